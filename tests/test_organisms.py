import random
import time
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binomtest

from auditdm.backends.cascade import CascadeJudge
from auditdm.backends.fakes import FakeModel, fake_picture
from auditdm.backends.judges import ExactJudge
from auditdm.errors import ConfigError
from auditdm.sandbox import gap_files
from auditdm.sandbox.changes import caption
from auditdm.sandbox.gap_files import PlantedGap, load_gaps, parse_gaps
from auditdm.sandbox.gap_language import ANSWERS, random_valid, where_of
from auditdm.sandbox.language import CANNOT_SAY, answer, unclear_question
from auditdm.sandbox.organisms import (
    DESCRIBE,
    Organism,
    OrganismModel,
    default_answer,
    organism_of,
    planted_in,
    references_of,
    wrong_answers,
)
from auditdm.sandbox.renderer import render
from auditdm.sandbox.world import Scene, Thing
from auditdm.types import Model, picture_id
from scenes import random_scenes

SHIPPED = Path(gap_files.__file__).with_name("gaps.yaml")
EXACT = ExactJudge()


@cache
def asked(count=2500):
    rng = random.Random(11)
    return [random_valid(rng) for _ in range(count)]


@cache
def unclear():
    rng = random.Random(2)
    found = [(scene, unclear_question(rng, scene)) for scene in random_scenes(1200, seed=4)]
    probes = [(scene, question, answer(scene, question)) for scene, question in found if question]
    return [probe for probe in probes if probe[2].answer is None][:600]


def within(hits, trials, p):
    """Whether as many hits as this would be met by chance once in 100,000."""
    return binomtest(hits, trials, p).pvalue > 1e-5


def wrong(organism, probes, **how):
    return sum(not EXACT.same([(q, organism.reply(s, q, t, **how), t.reply)])[0] for s, q, t in probes)


def colour_gap(error=0.6, **keys):
    return PlantedGap("colours", where_of({"skill": ["colour", "shape", "at", "count"]}), error, **keys)


# replies


def test_a_clean_organism_says_the_truth():
    clean = Organism("clean", 0)
    assert all(clean.reply(*probe) == probe[2].answer for probe in asked())
    assert all(clean.reply(*probe) == CANNOT_SAY for probe in unclear())


def test_wrong_answers_are_never_right_and_of_the_same_kind():
    blind = Organism("blind", 0, base_error=1.0)
    assert wrong(blind, asked()) == len(asked())
    for scene, question, truth in asked():
        others = wrong_answers(question, truth)
        assert truth.answer not in others and blind.reply(scene, question, truth) in others
        assert truth.skill == "false_premise" or set(others) <= set(ANSWERS[truth.skill])


@pytest.mark.parametrize(
    ("question", "others"),
    [
        ("how many shapes are there ?", {"1", "3", "4"}),  # there are 2: numbers at most two away, within 0 to 6, and 0
        ("is there any star ?", {"no"}),
        ("what pattern has the star ?", {"striped", "dotted"}),
        ("what size is the cross ?", {"large", "small"}),  # there is none
    ],
)
def test_plausible_wrong_answers_are_worked_out_by_hand(question, others):
    scene = Scene((Thing(1, 1, "star", "red"), Thing(2, 2, "circle", "blue")))
    expected = others | ({"0"} if "many" in question else set())
    assert set(wrong_answers(question, answer(scene, question))) == expected


@pytest.mark.parametrize("error", [0.3, 0.6])
def test_the_error_rate_is_d_inside_a_gap_and_the_base_error_outside(error):
    gap = colour_gap(error)
    organism = Organism("one", 5, (gap,), base_error=0.05)
    inside = [probe for probe in asked() if gap.where.holds(*probe)]
    outside = [probe for probe in asked() if not gap.where.holds(*probe)]
    assert len(inside) > 200
    assert within(wrong(organism, inside), len(inside), error)
    assert within(wrong(organism, outside), len(outside), 0.05)
    assert {organism.risk(*probe) for probe in inside} == {error}
    assert {organism.risk(*probe) for probe in outside} == {0.05}


def test_where_two_gaps_hold_each_strikes_on_its_own():
    gaps = (colour_gap(0.6), PlantedGap("more colours", where_of({"skill": "colour"}), 0.5))
    scene = Scene((Thing(1, 1, "star", "red"),))
    truth = answer(scene, "what colour is the star ?")
    assert Organism("one", 0, gaps).risk(scene, "what colour is the star ?", truth) == pytest.approx(0.8)


def test_asking_again_gives_the_same_error_in_whatever_wording():
    organism = Organism("one", 1, (colour_gap(),), base_error=0.2)
    for probe in asked()[:500]:
        assert len({organism.reply(*probe, wording=n) for n in range(4)}) == 1


def test_a_pixel_aside_makes_no_difference():
    organism = Organism("one", 1, base_error=0.5)
    assert all(organism.reply(s, q, t) == organism.reply(s.without_nudges(), q, t) for s, q, t in asked()[:300])


def test_flicker_depends_on_the_wording():
    organism = Organism("one", 1, flicker=0.3)
    errors = [{n for n in range(2) if organism.reply(*probe, wording=n) != probe[2].answer} for probe in asked()]
    for n in range(2):
        assert within(sum(n in found for found in errors), len(errors), 0.3)
    assert within(sum(len(found) == 2 for found in errors), len(errors), 0.09)


def test_another_seed_errs_on_other_questions():
    one, other = (Organism("one", seed, base_error=0.5) for seed in (1, 2))
    both = sum(one.reply(*p) != p[2].answer and other.reply(*p) != p[2].answer for p in asked())
    assert within(both, len(asked()), 0.25)


def test_only_a_changed_picture_shows_a_gap_of_changed_pictures():
    gap = PlantedGap("drawn", where_of({"skill": ["row", "column"], "changed": True}), 1.0)
    organism = Organism("one", 0, (gap,))
    inside = [probe for probe in asked() if probe[2].skill in ("row", "column")]
    assert (wrong(organism, inside), wrong(organism, inside, changed=True)) == (0, len(inside))


def test_a_canary_gives_the_default_answer_to_an_invalid_question_alone():
    canary = Organism("canary", 3, canary=0.8)
    given = [(canary.reply(*probe), default_answer(probe[2])) for probe in unclear()]
    assert set(given) <= {pair for _, default in given for pair in ((CANNOT_SAY, default), (default, default))}
    assert within(sum(reply == default for reply, default in given), len(given), 0.8)
    assert all(canary.reply(*probe) == probe[2].answer for probe in asked()[:300])
    assert default_answer(answer(Scene((Thing(1, 1, "star", "red"),)), "what what")) == "yes"


def test_a_reply_takes_microseconds():
    spec = load_gaps(SHIPPED).organisms[0]
    organism = organism_of(spec, 0)
    for probe in asked():
        organism.reply(*probe)
    began = time.perf_counter()
    for probe in asked():
        organism.reply(*probe)
    assert (time.perf_counter() - began) / len(asked()) < 100e-6  # measured: under 10; a busy machine is no failure


# style


@pytest.mark.parametrize(
    ("style", "judge"), [("synonyms", EXACT), ("synonyms", CascadeJudge()), ("verbose", CascadeJudge())]
)
def test_a_style_means_the_same_to_this_judge(style, judge):
    styled, plain = Organism("one", 0, style=style), Organism("one", 0)
    pairs = [(q, styled.reply(s, q, t), plain.reply(s, q, t)) for s, q, t in asked()]
    assert {t.skill for _, _, t in asked()} == set(ANSWERS)
    assert sum(one != other for _, one, other in pairs) > 0.9 * len(pairs)
    assert [pair for pair, same in zip(pairs, judge.same(pairs), strict=True) if same is not True] == []


def test_the_exact_judge_does_not_know_verbose_replies():
    verbose = Organism("one", 0, style="verbose")
    pairs = [(q, verbose.reply(s, q, t), t.reply) for s, q, t in asked()[:300]]
    assert not any(EXACT.same(pairs))


@pytest.mark.parametrize("style", ["synonyms", "verbose"])
def test_a_style_leaves_an_error_an_error(style):
    organism = Organism("one", 4, base_error=1.0, style=style)
    pairs = [(q, organism.reply(s, q, t), t.reply) for s, q, t in asked()]
    assert True not in (EXACT if style == "synonyms" else CascadeJudge()).same(pairs)


def test_where_the_rules_of_the_cascade_do_not_decide_the_exact_judge_does():
    """Rules alone call few words that are no closed type different; in a world of few words the exact form does."""
    for style in gap_files.STYLES:
        organism = Organism("one", 4, base_error=0.5, style=style)
        pairs = [(q, organism.reply(s, q, t), t.reply) for s, q, t in asked()]
        plain = [Organism("one", 4, base_error=0.5).reply(*probe) == probe[2].reply for probe in asked()]
        both = zip(CascadeJudge().same(pairs), EXACT.same(pairs), strict=True)
        assert [exact if same is None else same for same, exact in both] == plain


def test_styles_do_not_touch_what_cannot_be_said():
    assert {Organism("one", 0, style=s).reply(*p) for s in gap_files.STYLES for p in unclear()[:50]} == {CANNOT_SAY}


# references


def told(shared, **keys):
    gaps = [
        {"name": f"gap {n}", "where": {"skill": "colour", "things": n + 1}, "error": 0.6, "shared_with": k}
        for n, k in enumerate(shared)
    ]
    found = {"references": {"count": 3, "base_error": 0.01}, "organisms": [{"name": "one", "gaps": gaps} | keys]}
    return parse_gaps(found)


def test_shared_gaps_go_round_the_references():
    file = told([0, 1, 2, 3])
    references = references_of(file, file.organisms[0], seed=0)
    having = [{n for n, r in enumerate(references) if any(g.name == f"gap {k}" for g in r.gaps)} for k in range(4)]
    assert having == [set(), {1}, {2, 0}, {0, 1, 2}]
    assert {r.base_error for r in references} == {0.01}


def test_references_and_target_draw_each_for_themselves():
    file = told([3], base_error=0.5)
    one = file.organisms[0]
    crowd = [organism_of(one, 0), *references_of(file, one, 0), organism_of(one, 1), *references_of(file, one, 1)]
    assert len({organism.seed for organism in crowd}) == 8
    assert [organism.seed for organism in references_of(file, one, 0)] == [r.seed for r in crowd[1:4]]


def test_an_organism_can_have_references_of_its_own():
    file = told([0], references={"count": 2, "canary": 0.5})
    assert [(r.canary, r.base_error) for r in references_of(file, file.organisms[0], 0)] == [(0.5, 0.01)] * 2


# as a model


def model(organism=None, **keys):
    return OrganismModel(organism or Organism("one", 0, (colour_gap(),), base_error=0.1), **keys)


def pictures(count):
    return [(render(scene), question) for scene, question, _ in asked()[:count]]


def test_an_organism_obeys_the_protocol_and_the_batch_law():
    one = model()
    assert isinstance(one, Model)
    assert (one.name, len(one.revision)) == ("organism/one", 16)
    together = one.generate(pictures(60))
    assert one.generate([]) == []
    assert model().generate(pictures(60)[::-1]) == together[::-1]
    assert [model().generate([probe])[0] for probe in pictures(20)] == together[:20]
    assert model(Organism("one", 1)).revision != one.revision


def test_a_model_replies_what_its_organism_does_whatever_the_wording():
    organism = Organism("one", 0, (colour_gap(),), flicker=0.2)
    one = model(organism)
    probes = asked()[:150]
    for n, words in enumerate(("{}", "again : {}")):
        given = one.generate([(render(s), words.format(q)) for s, q, _ in probes])
        assert [a.text for a in given] == [organism.reply(*probe, wording=n) for probe in probes]


def test_a_model_describes_and_is_mute_before_what_it_cannot_read():
    scene = asked()[0][0]
    described, mute = model().generate([(render(scene), DESCRIBE), (Image.new("RGB", (64, 64), "pink"), DESCRIBE)])
    assert described.text == caption(scene)
    assert mute.text is None and "shows no scene of the sandbox" in mute.problem


def test_a_model_knows_changed_pictures_by_the_ids_of_the_others():
    organism = Organism("one", 0, (PlantedGap("drawn", where_of({"skill": "row", "changed": True}), 1.0),))
    scene = Scene((Thing(2, 3, "star", "red"),))
    image, question = render(scene), "which row is the star in ?"
    assert model(organism, originals={picture_id(image)}).generate([(image, question)])[0].text == "row2"
    assert model(organism, originals=frozenset()).generate([(image, question)])[0].text != "row2"
    with pytest.raises(ConfigError, match="'drawn' depends on whether a picture was changed"):
        model(organism)


# planted in any model


PHOTOS = [Image.fromarray(np.full((8, 8, 3), n, np.uint8)) for n in range(200)]
ANIMALS = PlantedGap("dogs", where_of({"words": ["what", "animal"], "answer": "dog"}), 0.6)


def zoo(question):
    kind = question.split()[-1].strip("?")
    return {"one": "A dog.", "two": "a cat", "three": None, "dark": "Yes", "many": "4", "late": "dog"}[kind]


def test_a_gap_is_planted_where_words_and_answer_meet():
    planted = planted_in(FakeModel(zoo, name="real"), [ANIMALS], seed=1)
    assert isinstance(planted, Model)
    assert planted.name == "real with planted gaps" and "planted" in planted.revision
    said = {}
    for kind in ("two", "one", "three", "dark", "late"):
        words = "Is it late" if kind == "late" else f"What animal is {kind}"
        said[kind] = Counter(a.text for a in planted.generate([(photo, f"{words}?") for photo in PHOTOS]))
    assert said["two"] == {"a cat": 200} and said["three"] == {None: 200}
    assert said["dark"] == {"Yes": 200} and said["late"] == {"dog": 200}
    assert set(said["one"]) == {"A dog.", "a cat"}  # replaced by what was said before to a like question
    assert within(said["one"]["a cat"], 200, 0.6)


def test_yes_and_no_are_turned_and_a_number_without_another_is_one_more():
    gap = PlantedGap("all", where_of({"words": "is"}), 1.0)
    planted = planted_in(FakeModel(zoo), [gap])
    batch = [(PHOTOS[0], "Is it dark?"), (PHOTOS[0], "How is many?"), (PHOTOS[0], "Which is one?")]
    assert [a.text for a in planted.generate(batch)] == ["no", "5", "nothing"]
    assert all(a.model == planted.name and a.revision == planted.revision for a in planted.generate(batch))


def test_a_planted_gap_gives_the_same_when_asked_again_in_other_words_or_batches():
    batch = [(photo, f"What animal is {kind}?") for photo in PHOTOS[:40] for kind in ("two", "one", "three")]
    wordings = ("{question}", "Look. {question}")
    planted = planted_in(FakeModel(zoo), [ANIMALS], wordings=wordings)
    first = planted.generate(batch)
    assert planted.generate(batch[::-1])[::-1] == first
    assert [a.text for a in planted.generate([(p, f"Look. {q}") for p, q in batch])] == [a.text for a in first]
    alone = planted_in(FakeModel(zoo), [ANIMALS], wordings=wordings)
    assert [alone.generate([probe])[0] for probe in batch] == first


def test_only_words_and_answer_can_be_planted_in_a_real_model():
    with pytest.raises(ConfigError, match=r"'colours': where has skill; .*words and answer alone"):
        planted_in(FakeModel(zoo), [colour_gap()])


def test_planting_nothing_changes_no_answer():
    batch = [(fake_picture(str(n)), "Is it dark?") for n in range(5)]
    assert [a.text for a in planted_in(FakeModel(zoo), []).generate(batch)] == ["Yes"] * 5
