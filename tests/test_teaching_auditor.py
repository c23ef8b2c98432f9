import random
from collections import Counter

from hypothesis import given, settings

from auditdm.sandbox.changes import drawn, edited
from auditdm.sandbox.language import ALL_SKILLS, answer
from auditdm.sandbox.prompts import PROMPT_WORDS
from auditdm.sandbox.teaching_auditor import requests
from scenes import SEEDS, random_scenes, scenes

ODDS = dict.fromkeys(ALL_SKILLS, 1.0)


def parts(reply):
    """{"question": ..., "caption": ...}: what stands between the marks."""
    found, words = {}, reply.split()
    while words:
        mark = words[0].strip("<>")
        end = words.index(f"</{mark}>")
        found[mark] = " ".join(words[1:end])
        words = words[end + 1 :]
    return found


def check(scene, prompt, reply):
    told = parts(reply)
    kind, _, given_question = prompt.partition(" for : ")
    if kind == "ask":
        assert list(told) == ["question"]
        assert answer(scene, told["question"]).answer is not None
        return
    after = drawn(told["caption"]) if kind == "caption" else edited(scene, told["edit"])
    assert after is not None
    assert list(told) == [kind] if given_question else [kind, "question"]
    assert answer(after, given_question or told["question"]).answer is not None


@settings(deadline=None)
@given(scenes(), SEEDS)
def test_all_that_the_auditor_is_taught_can_be_done_and_asked(scene, rng):
    for prompt, reply, weight in requests(rng, scene, ODDS):
        assert weight > 0
        check(scene, prompt, reply)


def test_every_act_is_taught_in_words_that_the_models_know():
    rng, acts, marks = random.Random(0), Counter(), set()
    for scene in random_scenes(200):
        for prompt, reply, _ in requests(rng, scene, ODDS):
            acts[prompt.partition(" for : ")[0] + (" for" if " for : " in prompt else "")] += 1
            marks |= {w for w in reply.split() if "<" in w}
            marks |= set(prompt.partition(" : ")[0].split())
    assert set(acts) == {"ask", "caption", "edit", "caption for", "edit for"}
    assert min(acts.values()) >= 100, acts
    assert marks <= set(PROMPT_WORDS)


def test_only_the_skills_with_odds_are_asked():
    rng = random.Random(1)
    for scene in random_scenes(40):
        for prompt, reply, _ in requests(rng, scene, {"exist": 1.0, "at": 2.0}):
            if prompt == "ask":
                assert answer(scene, parts(reply)["question"]).skill in ("exist", "at")
