import itertools
import pickle
import random
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from hypothesis import given

from auditdm.errors import ConfigError
from auditdm.sandbox import gap_files, language
from auditdm.sandbox.gap_files import GapFile, OrganismSpec, ReferencesSpec, load_gaps, parse_gaps
from auditdm.sandbox.gap_language import ANSWERS, PLACES, order, prevalence, random_valid, referents, where_of
from auditdm.sandbox.language import ALL_SKILLS, SKILLS, Truth, answer, random_question
from auditdm.sandbox.world import CELLS, Scene, Thing
from scenes import SEEDS, scenes

ROOT = Path(__file__).parents[1]
SHIPPED = Path(gap_files.__file__).with_name("gaps.yaml")
SCENE = Scene(
    (
        Thing(1, 1, "star", "purple", "small", "striped"),
        Thing(1, 3, "clock", "red", face="9:00"),
        Thing(2, 2, "circle", "blue", "large", "plain"),
        Thing(3, 4, "circle", "green", "small", "dotted"),
        Thing(4, 2, "digit", "black", face="7"),
    )
)
COLOUR, BLUE = "what colour is the star ?", "is the blue shape left of the digit ?"
COUNT, CLOCK = "how many shapes are there ?", "what time is it on the clock ?"
ABSENT = "what colour is the cross ?"


@pytest.mark.parametrize(
    ("where", "question", "holds"),
    [
        ({"skill": "colour"}, COLOUR, True),
        ({"skill": ["size", "colour"]}, COLOUR, True),
        ({"skill": "size"}, COLOUR, False),
        ({"skill": "colour", "answer": "purple"}, COLOUR, True),
        ({"skill": "colour", "answer": ["red", "blue"]}, COLOUR, False),
        ({"answer": 3}, COUNT, True),
        ({"answer": ">=3"}, COUNT, True),
        ({"answer": ">=4"}, COUNT, False),
        ({"answer": "<=3"}, COUNT, True),
        ({"answer": "4-6"}, COUNT, False),
        ({"answer": ">=9"}, CLOCK, True),  # hours too
        ({"answer": "9:00"}, CLOCK, True),
        ({"answer": "<=8"}, CLOCK, False),
        ({"things": 5}, COLOUR, True),
        ({"things": ["<=2", 6]}, COLOUR, False),
        ({"referent": {"noun": "star"}}, COLOUR, True),
        ({"referent": {"noun": "shape", "place": "corner"}}, COLOUR, True),
        ({"referent": {"size": "small", "pattern": "dotted"}}, COLOUR, False),  # the green circle is not asked about
        ({"referent": {"face": 7}}, BLUE, True),  # the second of two
        ({"referent": {"face": "8-12"}}, CLOCK, True),
        ({"referent": {"place": ["row2", "row3"]}}, BLUE, True),
        ({"referent": {"place": "centre", "noun": "digit"}}, BLUE, False),  # no thing is both
        ({"referent": {"colour": "purple"}}, COUNT, False),  # tells of nothing
        ({"referent": {"noun": "cross"}}, ABSENT, False),
        ({"picture": {"size": "small", "pattern": "dotted"}}, COLOUR, True),
        ({"picture": {"noun": "sign", "colour": ["blue", "green"]}}, COLOUR, False),
        ({"words": "star"}, COLOUR, True),
        ({"words": ["the", "left", "blue"]}, BLUE, True),
        ({"words": ["the", "right"]}, BLUE, False),
        ({"skill": "false_premise"}, ABSENT, True),
        ({"skill": "colour"}, ABSENT, False),
        ({"skill": "false_premise", "words": "colour"}, ABSENT, True),
        ({"not": {"skill": "colour"}}, COLOUR, False),
        ({"not": {"skill": "colour", "answer": "red"}}, COLOUR, True),  # negated as a whole
        ({"skill": "colour", "not": {"referent": {"noun": "star"}}}, COLOUR, False),
        ({"not": {"not": {"skill": "colour"}}}, COLOUR, True),
        ({"not": {"skill": "size"}}, "what colour is the circle ?", False),  # invalid: two circles
    ],
)
def test_where_a_gap_holds_is_worked_out_by_hand(where, question, holds):
    assert where_of(where).holds(SCENE, question, answer(SCENE, question)) is holds


def test_a_gap_of_changed_pictures_holds_of_those_alone():
    gaps = [{"name": k, "where": {"skill": "colour"}, "error": 1, "picture": k} for k in ("any", "changed", "original")]
    told = parse_gaps({"organisms": [{"name": "one", "gaps": gaps}]}).organisms[0].gaps
    truth = answer(SCENE, COLOUR)
    held = {gap.name: [gap.where.holds(SCENE, COLOUR, truth, changed) for changed in (False, True)] for gap in told}
    assert held == {"any": [True, True], "changed": [False, True], "original": [True, False]}
    assert where_of({"not": {"changed": True}}).holds(SCENE, COLOUR, truth, changed=False)


@given(scenes(), SEEDS)
def test_referents_are_those_that_the_oracle_answers_about(scene, rng):
    """Found a second way: slot by slot of the skill's own pattern."""
    for skill in SKILLS:
        question = random_question(rng, scene, skill) or random_question(rng, scene, language.FALSE_PREMISE)
        if question is None:
            continue
        asked = next(s for s in SKILLS if language._pattern(s).fullmatch(question))
        groups = language._pattern(asked).fullmatch(question).groups()
        expected = []
        for (kind, _), words in zip(language._slots(asked), groups, strict=True):
            fit = [t for t in scene.things if kind == "the" and language._description(words).fits(t)]
            expected += fit if len(fit) == 1 else []
        assert referents(scene, question) == tuple(expected)


@given(scenes(), SEEDS)
def test_every_right_answer_is_among_those_of_its_skill(scene, rng):
    for skill in ALL_SKILLS:
        question = random_question(rng, scene, skill)
        assert question is None or answer(scene, question).answer in ANSWERS[skill]


def test_places_cut_the_picture_as_their_names_say():
    whole = frozenset(CELLS)
    for parts in (
        ("border", "centre"),
        ("top", "bottom"),
        ("left", "right"),
        ("row1", "row2", "row3", "row4"),
        ("col1", "col2", "col3", "col4"),
    ):
        assert frozenset().union(*(PLACES[p] for p in parts)) == whole
        assert sum(len(PLACES[p]) for p in parts) == 16
    assert PLACES["corner"] < PLACES["border"]
    assert PLACES["col1"] < PLACES["left"] and PLACES["row4"] < PLACES["bottom"]


@pytest.mark.parametrize(
    ("where", "count", "words"),
    [
        ({"skill": ["size", "shape"]}, 1, "skill size or shape"),
        ({"answer": ">=4", "skill": "count"}, 2, "skill count and answer >=4"),
        (
            {"referent": {"size": "small", "place": "border"}, "not": {"skill": "exist", "answer": "yes"}},
            3,
            "referent (size small, place border) and not (skill exist and answer yes)",
        ),
        ({"words": ["is", "the"], "changed": True}, 1, "words is the and changed picture"),
        ({"things": "2-3", "changed": False}, 1, "things 2-3 and original picture"),
    ],
)
def test_conditions_are_counted_and_told(where, count, words):
    assert (order(where_of(where)), where_of(where).words()) == (count, words)


def test_a_predicate_goes_to_yaml_and_through_pickle_and_back():
    for spec in load_gaps(SHIPPED).organisms:
        for gap in spec.gaps:
            again = where_of(yaml.safe_load(yaml.safe_dump(gap.where.as_dict())))
            assert again == gap.where
            assert hash(again) == hash(gap.where)
            truth = answer(SCENE, COLOUR)
            held = gap.where.holds(SCENE, COLOUR, truth)
            assert pickle.loads(pickle.dumps(gap.where)).holds(SCENE, COLOUR, truth) is held


def test_prevalence_is_the_share_of_a_skill_where_all_are_as_likely():
    rate = prevalence(where_of({"skill": "colour"}), random.Random(1), 1500)
    assert rate.asked == 1500
    low, high = rate.interval
    assert low < 1 / len(ALL_SKILLS) < high
    assert prevalence(where_of({"skill": "colour", "changed": True}), random.Random(1), 1500) == rate


# files


def one(**keys):
    return {
        "organisms": [{"name": "one", "gaps": [{"name": "gap", "where": {"skill": "colour"}, "error": 0.5} | keys]}]
    }


def test_what_is_left_out_has_a_default():
    told = parse_gaps({"organisms": [{"name": "twin"}]})
    assert told == GapFile((OrganismSpec("twin", (), 0.02, "plain", 0.0, None),), ReferencesSpec(3, 0.01, 0.0))


@pytest.mark.parametrize(
    ("found", "parts"),
    [
        (None, ["the file is None", "organisms, references"]),
        ({"organism": []}, ["has no key 'organism'", "Did you mean 'organisms'?"]),
        ({"organisms": {}}, ["organisms is {}", "list"]),
        ({"organisms": [{"gaps": []}]}, ["organisms[0].name is None", "Add one"]),
        ({"organisms": [{"name": "a"}, {"name": "a"}]}, ["'a' is given twice", "Rename one"]),
        (
            {"organisms": [{"name": "a", "style": "verbos"}]},
            ["style is 'verbos'", "'verbose'", "plain, verbose, synonyms"],
        ),
        ({"organisms": [{"name": "a", "flicker": 2}]}, ["flicker is 2", "from 0 to 1"]),
        ({"organisms": [{"name": "a", "base_error": True}]}, ["base_error is True"]),
        ({"organisms": [], "references": {"count": 0}}, ["references.count is 0", "from 1 to 99"]),
        (one(error=0), ["gaps[0].error is 0", "remove the gap"]),
        (one(where={}), ["where is empty", "base_error"]),
        (one(where=None), ["where is None", "mapping"]),
        (one(where={"skil": "colour"}), ["has no key 'skil'", "Did you mean 'skill'?"]),
        (one(where={"skill": "color"}), ["where.skill is 'color'", "Did you mean 'colour'?", "exist"]),
        (one(where={"skill": "colour", "answer": "purpel"}), ["answer is 'purpel'", "'purple'", "red, orange"]),
        (one(where={"skill": "colour", "answer": ">=4"}), ["answer is '>=4'", "red, orange"]),
        (one(where={"skill": "count", "answer": "5-4"}), ["answer is '5-4'", '">=4"']),
        (one(where={"answer": None}), ["answer is None", "a value or a list"]),
        (one(where={"answer": []}), ["answer is []"]),
        (one(where={"things": 7}), ["things is 7", "1, 2, 3, 4, 5, 6"]),
        (one(where={"skill": "clock", "answer": 540}), ["reads 9:00 as the number 540", "in quotes"]),
        (one(where={"referent": {"shape": "star"}}), ["referent has no key 'shape'", "noun, colour"]),
        (one(where={"referent": {}}), ["referent is empty"]),
        (one(where={"picture": {"place": "center"}}), ["picture.place is 'center'", "'centre'"]),
        (one(where={"skill": "colour", "words": "colr"}), ["words is 'colr'", "'colour'"]),
        (one(where={"not": {"words": "colr"}}), ["not.words is 'colr'"]),
        (one(where={"changed": "maybe"}), ["changed is 'maybe'", "true or false"]),
        (one(where={"changed": True}, picture="changed"), ["picture is 'changed'", "Remove one"]),
        (one(picture="drawn"), ["picture is 'drawn'", "any, original, changed"]),
        (one(shared_with=4), ["shared_with is 4", "from 0 to 3"]),
        (
            one(where={"skill": "size", "things": 3, "referent": {"noun": "star", "place": "top"}}),
            ["joins 4 conditions", "at most 3", "Leave one out"],
        ),
    ],
)
def test_a_mistake_is_told_with_key_value_and_remedy(found, parts):
    with pytest.raises(ConfigError) as told:
        parse_gaps(found, "my.yaml")
    assert str(told.value).startswith("my.yaml: ")
    for part in parts:
        assert part in str(told.value)


def test_where_and_error_are_needed():
    for key in ("where", "error"):
        found = one()
        del found["organisms"][0]["gaps"][0][key]
        with pytest.raises(ConfigError, match=f"{key} is missing"):
            parse_gaps(found)


def test_yes_and_no_are_words_though_yaml_takes_them_for_truth_values():
    told = where_of(yaml.safe_load("{skill: exist, answer: no}"))
    assert told.answer == ("no",)
    assert where_of(yaml.safe_load("{words: dark, answer: [yes, dog]}")).answer == ("yes", "dog")


@pytest.mark.parametrize(
    ("text", "said"), [("a: [", "is not YAML"), ("organisms: []\norganisms: []", "given twice"), (None, "no such file")]
)
def test_a_file_that_cannot_be_read_is_told(tmp_path, text, said):
    path = tmp_path / "gaps.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_gaps(path)


def test_the_examples_of_the_documentation_load_and_go_round(tmp_path):
    page = (ROOT / "docs" / "gaps.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 3
    for n, block in enumerate(blocks):
        path = tmp_path / f"{n}.yaml"
        path.write_text(block)
        told = load_gaps(path)
        assert told.organisms
        assert parse_gaps(yaml.safe_load(yaml.safe_dump(told.as_dict()))) == told
    for key in (*gap_files.WHERE_KEYS, "shared_with", "base_error", "style", "flicker", "canary", *PLACES):
        assert key in page or key[:3] in ("row", "col"), key


def test_the_documentation_lists_every_skill_with_a_question_of_its_own():
    page = (ROOT / "docs" / "gaps.md").read_text().split("## Skills")[1].split("\n## ")[0]
    listed = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", page, re.MULTILINE))
    assert tuple(listed) == ALL_SKILLS
    for skill, (text, _) in SKILLS.items():
        fixed = re.escape(re.sub(r"\{[^}]*\}", "SLOT", text)).replace("SLOT", ".+")
        assert re.fullmatch(fixed, listed[skill]), (skill, text)


def test_the_shipped_file_is_a_varied_factorial():
    told = load_gaps(SHIPPED)
    assert parse_gaps(told.as_dict()) == told
    own = [spec for spec in told.organisms if len(spec.gaps) == 4 and not any(g.shared_with for g in spec.gaps)]
    assert len(own) >= 12
    gaps = [gap for spec in own for gap in spec.gaps]
    assert {order(gap.where) for gap in gaps} == {1, 2, 3}
    assert {gap.error for gap in gaps} == {0.3, 0.6}
    assert len({gap.where for gap in gaps}) == len(gaps)
    used = Counter(s for gap in gaps for s in gap.where.skill)
    assert len(used) >= 25 and max(used.values()) <= 8, "not the same skill over and over"
    keys = Counter(key for gap in gaps for key in gap.where.as_dict())
    assert set(keys) == set(gap_files.WHERE_KEYS) - {"changed"}
    assert {spec.style for spec in told.organisms} == set(gap_files.STYLES)
    assert any(not spec.gaps and not spec.flicker for spec in told.organisms)
    assert any(spec.flicker for spec in told.organisms)
    assert any(spec.references and spec.references.canary for spec in told.organisms)
    assert {g.shared_with for spec in told.organisms for g in spec.gaps} == {0, 1, 2}
    assert any(g.where.changed for spec in told.organisms for g in spec.gaps)


def test_the_shipped_gaps_are_as_frequent_as_their_comments_say_and_seldom_overlap():
    rng = random.Random(5)
    asked = [random_valid(rng) for _ in range(2500)]
    lines = SHIPPED.read_text().splitlines()
    for spec in load_gaps(SHIPPED).organisms:
        inside = {}
        for gap in spec.gaps:
            line = next(line for line in lines if f"name: {gap.name}," in line)
            share, conditions = re.search(r"# ([\d.]+)%, (\d)$", line).groups()
            assert int(conditions) == order(gap.where)
            held = {n for n, probe in enumerate(asked) if gap.where.holds(*probe, changed=bool(gap.where.changed))}
            inside[gap.name] = held
            p = float(share) / 100
            assert 0.004 <= p <= 0.1
            assert abs(len(held) - p * len(asked)) < 4 * (len(asked) * p) ** 0.5 + 2, gap.name
        for a, b in itertools.combinations(inside.values(), 2):
            assert len(a & b) <= 0.2 * max(1, len(a | b))


def test_an_invalid_question_belongs_nowhere():
    where = where_of({"not": {"skill": "exist"}})
    assert not where.holds(SCENE, "purple purple", Truth(None, invalid="no question"))
