import doctest
import string

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from auditdm.errors import ConfigError, MalformedProposal
from auditdm.method import auditor
from auditdm.method.auditor import ABOUT, MAX_CHARACTERS, PROMPT_NAMES, parse, prompt_for, read_prompts, written
from auditdm.types import Proposal

PARTS = st.text(string.ascii_letters + string.digits + " ?!.,:<>&/'\"\u00e9\u4e8c", max_size=60).map(
    lambda text: " ".join(text.split())
)
WORDS = PARTS.filter(lambda text: text and auditor._TAG.search(text) is None)


@st.composite
def proposals(draw):
    action = draw(st.sampled_from(auditor.ACTIONS))
    return Proposal(
        source_id="one",
        action=action,
        question=draw(WORDS),
        instruction=None if action == "question" else draw(WORDS),
        given_question=draw(st.booleans()),
    )


@given(proposals())
def test_what_is_written_is_read(proposal):
    given = proposal.question if proposal.given_question else None
    assert parse(written(proposal), "one", proposal.action, given) == proposal


@given(st.text(), st.sampled_from(auditor.ACTIONS), st.sampled_from([None, "Why?"]))
def test_any_reply_is_a_proposal_or_malformed(reply, action, given):
    try:
        proposal = parse(reply, "one", action, given)
    except MalformedProposal:
        return
    assert proposal.action == action
    assert parse(written(proposal), "one", action, given) == proposal


@pytest.mark.parametrize(
    ("reply", "action", "given", "pairing"),
    [
        ("<question>Why?</question>", "question", None, "Q*,I"),
        ("", "question", "Why?", "Q,I"),  # the pool's own question on its own picture: nothing is left to write
        ("<question>Why?</question>\n<edit> add  a\ndog </edit>", "edit", None, "Q*,I*"),
        ("<edit>add a dog</edit>", "edit", "Why?", "Q,I*"),
        ("<caption>a dog</caption> <question>Why?</question>", "caption", None, "Q*,I*"),
        (" <caption>a dog</caption>\n", "caption", "Why?", "Q,I*"),
    ],
)
def test_each_action_is_read_with_its_pairing(reply, action, given, pairing):
    proposal = parse(reply, "one", action, given)
    assert (proposal.question, proposal.pairing, proposal.source_id) == ("Why?", pairing, "one")
    assert proposal.instruction == {"question": None, "edit": "add a dog", "caption": "a dog"}[action]


def test_a_question_may_compare():
    assert parse("<question>Is 3 < 5 > 2?</question>", "one", "question").question == "Is 3 < 5 > 2?"


LONG = "x" * (MAX_CHARACTERS + 1)
REFUSED = [
    ("", "question", None, "0 <question>...</question>, one is wanted, in ''"),
    ("How many?", "question", None, "0 <question>...</question>, one is wanted, in 'How many?'"),
    ("<question>How many?", "question", None, "0 <question>...</question>, one is wanted, in '<question>How many?'"),
    ("<edit>x</edit>", "edit", None, "0 <question>...</question>, one is wanted, in '<edit>x</edit>'"),
    ("<question>x</question>", "edit", "Why?", "0 <edit>...</edit>, one is wanted, in '<question>x</question>'"),
    (
        "<Question>x</Question>",
        "question",
        None,
        "0 <question>...</question>, one is wanted, in '<Question>x</Question>'",
    ),
    (
        "<question>a</question><question>b</question>",
        "question",
        None,
        "2 <question>...</question>, one is wanted, in '<question>a</question><question>b</question>'",
    ),
    ("<question> \n </question>", "question", None, "<question> is blank in '<question> \\n </question>'"),
    ("<edit></edit>", "edit", "Why?", "<edit> is blank in '<edit></edit>'"),
    (
        "<question>a <question>b</question>",
        "question",
        None,
        "<question> has <question> inside it in '<question>a <question>b</question>'",
    ),
    (
        "<edit>a <question>b</question></edit>",
        "edit",
        "Why?",
        "<edit> has <question> inside it in '<edit>a <question>b</question></edit>'",
    ),
    (f"<question>{LONG}</question>", "question", None, "<question> has 401 characters, at most 400 are read"),
    (
        "<edit>a</edit><question>b</question>",
        "edit",
        "Why?",
        "more than was asked for (edit) in '<edit>a</edit><question>b</question>'",
    ),
    (
        "<caption>a</caption><question>b</question>",
        "question",
        None,
        "more than was asked for (question) in '<caption>a</caption><question>b</question>'",
    ),
    ("Sure! <question>a</question>", "question", None, "words outside the tags: 'Sure!'"),
    ("<question>a</question></question>", "question", None, "words outside the tags: '</question>'"),
]


@pytest.mark.parametrize(("reply", "action", "given", "message"), REFUSED)
def test_a_refusal_says_what_is_wrong(reply, action, given, message):
    with pytest.raises(MalformedProposal) as refusal:
        parse(reply, "one", action, given)
    assert str(refusal.value) == message


def test_as_much_as_is_allowed_is_read():
    assert len(parse(f"<question>{LONG[1:]}</question>", "one", "question").question) == MAX_CHARACTERS


def test_a_refusal_does_not_repeat_a_book():
    with pytest.raises(MalformedProposal) as refusal:
        parse("word " * 10_000, "one", "question")
    assert len(str(refusal.value)) < 200


# --- prompts

GOOD = {name: f"Write a {name}. {{question}}" for name in PROMPT_NAMES}


def test_the_packages_own_prompts_are_whole():
    prompts = read_prompts()
    assert tuple(prompts) == (*PROMPT_NAMES, ABOUT)
    for name, prompt in prompts.items():
        assert ("{question}" in prompt) == name.endswith("_for")
        assert ("<question>" in prompt) != name.endswith("_for")
        assert ("{name}" in prompt) == (name == ABOUT)


def test_the_prompt_of_each_row():
    prompts = read_prompts(yaml.safe_dump(GOOD))
    assert prompt_for(prompts, "question") == "Write a question. {question}"
    assert prompt_for(prompts, "question", "Why?") == "Write a question. {question}"
    assert prompt_for(prompts, "edit") == "Write a edit. {question}"
    assert prompt_for(prompts, "edit", "Why {not}?") == "Write a edit_for. Why {not}?"
    assert prompt_for(prompts, "caption", "Why?") == "Write a caption_for. Why?"
    told = read_prompts(yaml.safe_dump(GOOD | {ABOUT: "Ask about {name}."}))
    assert prompt_for(told, "question", about='says "red"') == 'Ask about says "red".'


KEYS = "a file of prompts has exactly the keys question, caption, edit, caption_for, edit_for."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"mine.yaml: found nothing; {KEYS}"),
        ("just words", f"mine.yaml: found 'just words'; {KEYS}"),
        ("question: a\nedti: b", f"mine.yaml: found question, edti; {KEYS}"),
        (yaml.safe_dump(GOOD | {"more": "x"}), f"mine.yaml: found caption, caption_for, edit, edit_for, more, question; {KEYS}"),
        (yaml.safe_dump(GOOD | {"edit": None}), "mine.yaml: edit is None; a prompt is a text that is not blank."),
        (yaml.safe_dump(GOOD | {"edit": " "}), "mine.yaml: edit is ' '; a prompt is a text that is not blank."),
        (yaml.safe_dump(GOOD | {"edit": 3}), "mine.yaml: edit is 3; a prompt is a text that is not blank."),
        (
            yaml.safe_dump(GOOD | {"edit_for": "x"}),
            "mine.yaml: edit_for has to contain {question}, where the pool's own question goes.",
        ),
        (
            yaml.safe_dump(GOOD | {ABOUT: "x"}),
            "mine.yaml: question_about has to contain {name}, where what is to be asked about goes.",
        ),
    ],
)  # fmt: skip
def test_a_wrong_file_of_prompts_is_refused(text, message):
    with pytest.raises(ConfigError) as refusal:
        read_prompts(text, "mine.yaml")
    assert str(refusal.value) == message


def test_a_file_of_prompts_that_is_no_yaml_is_refused():
    with pytest.raises(ConfigError, match=r"^mine.yaml: is not YAML: "):
        read_prompts("question: [", "mine.yaml")


def test_the_examples_of_the_docstrings_run():
    assert doctest.testmod(auditor).failed == 0
