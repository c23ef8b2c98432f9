"""Gap files drawn by chance: in the language, of the promised sizes, and the same each time."""

import doctest
import random
from itertools import combinations

import pytest
import yaml

from auditdm.sandbox import drawn_gaps
from auditdm.sandbox.drawn_gaps import drawn, main
from auditdm.sandbox.gap_files import parse_gaps
from auditdm.sandbox.gap_language import MOST_CONDITIONS, order, random_valid


@pytest.fixture(scope="module", autouse=True)
def fewer():
    """Questions that gaps are drawn on, for time's sake."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawn_gaps, "_SAMPLE", 3_000)
        yield


@pytest.fixture(scope="module")
def file():
    return drawn(3, organisms=4, gaps=4)


@pytest.fixture(scope="module")
def questions():
    rng = random.Random(77)
    return [random_valid(rng) for _ in range(5_000)]


def held(gap, questions):
    return {n for n, (scene, question, truth) in enumerate(questions) if gap.where.holds(scene, question, truth)}


def test_each_organism_has_its_gaps_and_each_gap_is_in_the_language(file):
    assert [len(o.gaps) for o in file.organisms] == [4] * 4
    gaps = [gap for o in file.organisms for gap in o.gaps]
    assert all(1 <= order(gap.where) <= MOST_CONDITIONS for gap in gaps)
    assert {gap.error for gap in gaps} == {0.3, 0.6} and not any(gap.shared_with for gap in gaps)
    assert parse_gaps(file.as_dict()) == file


def test_gaps_are_neither_too_rare_nor_too_common_and_lie_apart(file, questions):
    for organism in file.organisms:
        sets = [held(gap, questions) for gap in organism.gaps]
        # on questions that they were not drawn on, so with some leeway
        assert all(0.002 * len(questions) <= len(s) <= 0.15 * len(questions) for s in sets)
        assert all(len(a & b) <= 0.3 * min(len(a), len(b)) for a, b in combinations(sets, 2))


def test_a_seed_gives_one_file_and_another_seed_another(file):
    assert drawn(3, organisms=4, gaps=4) == file
    names = [{gap.name for o in f.organisms for gap in o.gaps} for f in (file, drawn(4, organisms=4, gaps=4))]
    assert len(names[0] & names[1]) < 8
    assert {o.name for o in file.organisms}.isdisjoint(o.name for o in drawn(4, organisms=1, gaps=1).organisms)


def test_no_condition_is_idle(file, questions):
    for gap in (gap for o in file.organisms for gap in o.gaps):
        keys = gap.where.as_dict()
        for gone in keys if len(keys) > 1 else ():
            without = parse_gaps({"organisms": [{"name": "o", "gaps": [
                {"name": "g", "where": {k: v for k, v in keys.items() if k != gone}, "error": 0.6}]}]})  # fmt: skip
            assert len(held(gap, questions)) < len(held(without.organisms[0].gaps[0], questions)), (gap.name, gone)


def test_the_example_holds():
    assert doctest.testmod(drawn_gaps).failed == 0


def test_what_is_written_to_a_file_is_read_back(monkeypatch, capsys):
    small = drawn(5, organisms=1, gaps=2)
    monkeypatch.setattr(drawn_gaps, "drawn", lambda seed: small)
    main(5)
    out = capsys.readouterr().out
    assert out.startswith("# Planted gaps drawn by chance: python -m auditdm.sandbox.drawn_gaps 5\n")
    assert parse_gaps(yaml.safe_load(out)) == small
