import random
import time
from collections import Counter, defaultdict
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditdm.method import archive as module
from auditdm.method.archive import answer_kind, cell_of, form
from auditdm.sandbox.language import SKILLS
from auditdm.sandbox.suites import suite

# The numbers below are worked out for these settings, whatever the defaults are.
Archive = partial(module.Archive, fair=0.2, alike=0.6, saturation=0.2, floor=0.5)

# --- cells

ENGLISH = {  # 20 ways of asking, 10 questions of each: the answer's kind is the template's
    "What color is the {}?": "dark blue",
    "How many {} are there?": "3",
    "Is the {} left of the {}?": "yes",
    "What is the man with the {} holding?": "an umbrella",
    "What is the woman near the {} wearing?": "a hat",
    "Where is the {}?": "on the table",
    "Which {} is closest to the {}?": "the cup",
    "Are there more {} than {}?": "no",
    "What time does the {} show?": "10:30",
    "Does the {} have a {}?": "yes",
    "Who is behind the {}?": "a child",
    "What is written on the {}?": "stop",
    "Is the {} larger than the {}?": "no",
    "Why is the {} on the {}?": "to dry",
    "What is the name of the {}?": "main street",
    "What kind of {} is this?": "spaniel",
    "Is there a {} under the {}?": "no",
    "Can you see any {} in the picture?": "yes",
    "How old is the {}?": "12",
    "Are both {} and {} in front of the {}?": "no",
}
THINGS = (
    "dog", "red bus", "tall glass", "bench", "kitchen clock", "wooden chair", "street sign", "old tree", "cat", "small boat"
)  # fmt: skip


def english(template, rng):
    return template.format(*(rng.choice(THINGS) for _ in range(template.count("{}"))))


def test_200_english_questions_fall_into_the_20_ways_in_which_they_ask():
    rng = random.Random(0)
    cells = {t: {cell_of(english(t, rng), answer) for _ in range(10)} for t, answer in ENGLISH.items()}
    several = {t: {c.form for c in found} for t, found in cells.items() if len(found) > 1}
    # the word after "which" says what is asked: which dog is another question than which bench
    assert set(several) == {"Which {} is closest to the {}?"}
    assert all(kept.endswith(" is closest to the _") for kept in several["Which {} is closest to the {}?"])
    assert len({c for found in cells.values() for c in found}) == sum(map(len, cells.values()))  # no two ways in one


@pytest.mark.parametrize(
    ("question", "kept"),
    [
        ("what size is the large circle ?", "what size is the _"),
        ("What size is the STAR?", "what size is the _"),
        ("which bar of the red chart is tallest ?", "which bar of the _ is tallest"),
        ("which bar of the chart is shortest ?", "which bar of the _ is shortest"),
        ("is the small star larger than the blue cross ?", "is the _ larger than the _"),
        ("are there more red circles than stars ?", "are there more _ than _"),
        ("What is the man riding?", "what is the _ riding"),
        ("What is the colour of the car?", "what is the colour of the _"),
        ("a king in spring", "a _ in spring"),  # five letters are needed; that spring is none in -ing is not known
        ("", ""),
        ("?!", ""),
    ],
)
def test_the_form_keeps_what_is_asked_and_blanks_what_it_is_asked_of(question, kept):
    assert form(question) == kept


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        (("yes", "Yes.", " YES "), "yes"),
        (("no", "No!"), "no"),
        (("none", "Nothing", "0", "zero", "cannot say", "", "?"), "nothing"),
        (("1", "9"), "digit"),
        (("10", "45"), "number"),
        (("9:00", "12:30"), "9:9"),
        (("row4", "row1"), "a9"),
        (("K", "x"), "letter"),
        (("purple", "a dark blue coat"), "words"),
    ],
)
def test_kinds_of_answers(answers, kind):
    assert {answer_kind(a) for a in answers} == {kind}


def test_skills_of_the_sandbox_share_a_cell_only_where_their_words_differ_in_things_alone():
    asked_of = {s: [(e.question, e.answer) for e in suite(s, 30, seed=4)] for s in SKILLS}
    of = defaultdict(set)
    for skill, asked in asked_of.items():
        for one in asked:
            of[cell_of(*one)].add(skill)
    together = {frozenset(skills) for skills in of.values() if len(skills) > 1}
    assert together == {frozenset({"count", "count_all"})}
    # and a skill has few of them: its form or forms, by the kinds of its answers
    each = Counter(skill for skills in of.values() for skill in skills)
    assert max(each.values()) <= 4


# --- what the archive keeps

DOGS = ("How many dogs?", "2")  # form: how many dogs; words: how many dogs 2


def other(n):
    """Shares no word and no cell with the others."""
    return (f"above q{n}ing q{n}b?", f"c{n}")


def lived(count, archive=None, hit=DOGS):
    archive = archive or Archive()
    archive.remember([hit] * count)
    return archive


def test_a_confirmed_cell_pays_nothing_and_the_others_as_before():
    archive, before = Archive(), Archive()
    archive.confirm([cell_of(*DOGS)])
    batch = [DOGS, ("How many dogs?", "3"), ("How many dogs?", "12"), other(1)]
    assert archive.novelty(batch)[:2] == [0.0, 0.0]
    assert Archive().novelty(batch)[2:] == before.novelty(batch)[2:]


# --- novelty


def test_the_first_hit_of_all_is_new():
    assert Archive().novelty([DOGS]) == [1.0]
    assert Archive().novelty([DOGS, other(1)]) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("same", "unlike", "novelty"),
    [
        # share s of the others that are of the cell and near: min(1, 0.2 / s) * (0.5 + 0.5 * max(0, 1 - s / 0.2))
        (0, 10, 1.0),
        (1, 19, 0.875),  # 1 of 20: the cell pays in full; the words a quarter of the way down: 1 - 0.5 / 4
        (1, 9, 0.75),  # 1 of 10: in full; half way: 0.5 + 0.5 / 2
        (2, 8, 0.5),  # 2 of 10: just due; the floor of the words
        (4, 6, 0.25),  # 4 of 10: half; the floor
        (5, 0, 0.1),  # all: 0.2 * 0.5
    ],
)
def test_a_repeated_hit_loses_its_pay(same, unlike, novelty):
    archive = lived(same)
    archive.remember([other(n) for n in range(unlike)])
    assert archive.novelty([DOGS]) == [pytest.approx(novelty)]


def test_other_words_in_the_same_cell_lose_by_the_cell_alone():
    archive = lived(
        4, hit=("What size is the large blue circle?", "none")
    )  # words: what size is the large blue circle none
    archive.remember([other(n) for n in range(6)])
    # shared with: what size is the star nothing: 4 of 10, so not near; 4 of 10 in its cell: 0.2 / 0.4
    assert archive.novelty([("What size is the star?", "nothing")]) == [pytest.approx(0.5)]


def test_the_same_words_in_another_cell_lose_by_the_words_alone():
    # above the star | red against above the star | 7: 3 of 5 words, which is near; another kind of answer
    archive = lived(4, hit=("Above the star?", "red"))
    archive.remember([other(n) for n in range(6)])
    assert archive.novelty([("Above the star?", "7")]) == [pytest.approx(0.5)]
    assert lived(4, Archive(alike=0.61), hit=("Above the star?", "red")).novelty([("Above the star?", "7")]) == [1.0]


def test_the_batch_counts_like_what_is_remembered():
    # each: 1 of 9 others: the cell pays in full; words 0.5 + 0.5 * (1 - (1 / 9) / 0.2) = 0.5 + 0.5 * 4 / 9
    assert Archive().novelty([DOGS, DOGS, *map(other, range(8))])[:2] == pytest.approx([13 / 18] * 2)
    # one is remembered: 2 of 10
    assert lived(1).novelty([DOGS, DOGS, *map(other, range(8))])[:2] == pytest.approx([0.5, 0.5])


def test_more_of_a_cell_than_is_due_earns_no_more_in_all():
    earned = []
    for count in (30, 60, 90):
        archive = Archive(floor=1.0)
        archive.remember(other(n) for n in range(100 - count))
        earned.append(sum(archive.novelty([DOGS] * count)))
    assert earned == pytest.approx([30 * 0.2 * 99 / 29, 60 * 0.2 * 99 / 59, 90 * 0.2 * 99 / 89])  # about 20 each time
    assert max(earned) / min(earned) < 1.03


def test_shares_are_taken_of_the_memory_alone():
    archive = lived(3, Archive(memory=3))
    assert archive.novelty([DOGS]) == [pytest.approx(0.1)]
    archive.novelty([other(n) for n in range(100)])
    assert archive.novelty([DOGS]) == [1.0]  # the dogs are out of it
    assert lived(9, Archive(memory=0)).novelty([DOGS]) == [1.0]


def test_hits_without_a_word_are_the_same_and_no_error():
    # 1 of 2 others: 0.2 / 0.5 * 0.5
    assert Archive().novelty([("?", "!"), ("...", ""), other(1)]) == pytest.approx([0.2, 0.2, 1.0])


def test_no_hits_no_novelty_and_nothing_to_remember():
    archive = lived(1)
    assert archive.novelty([]) == []
    assert archive.novelty([DOGS]) == lived(1).novelty([DOGS])


HITS = st.lists(st.sampled_from([DOGS, ("How many dogs?", "five"), ("How many cats?", "2"), other(1), ("?", "")]))


@given(st.lists(HITS, max_size=5), HITS, st.integers(0, 6))
def test_to_remember_is_to_have_lived_it(past, present, memory):
    one, another = Archive(memory=memory), Archive(memory=memory)
    for batch in past:
        one.novelty(batch)
    another.remember(hit for batch in past for hit in batch)
    assert one.novelty(present) == another.novelty(present)


@given(HITS, HITS, st.randoms(use_true_random=False))
def test_every_novelty_is_between_nothing_and_one_in_the_order_of_its_hit(past, present, rng):
    def after(batch):
        archive = Archive()
        archive.remember(past)
        return archive.novelty(batch)

    found = after(present)
    assert all(0.1 - 1e-12 <= value <= 1.0 for value in found)
    order = list(range(len(present)))
    rng.shuffle(order)
    assert after([present[n] for n in order]) == [found[n] for n in order]


def test_a_batch_among_10000_hits_is_cheap():
    rng = random.Random(0)
    templates, words = list(ENGLISH), [f"word{n}" for n in range(4000)]

    def hits(count):
        chosen = [rng.choice(templates) for _ in range(count)]
        return [(t.format(*(rng.choice(words) for _ in range(t.count("{}")))), rng.choice(words)) for t in chosen]

    archive = module.Archive(memory=10_000)
    archive.remember(hits(10_000))
    took = []
    for _ in range(5):
        batch, began = hits(64), time.perf_counter()
        archive.novelty(batch)
        took.append(time.perf_counter() - began)
    assert min(took) < 0.1  # 12 ms where it was written; the rest is for slow machines
