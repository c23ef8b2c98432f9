"""Verdicts, similarity and groups, on figures worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditdm.method.transfer import alike, column, excess_interval, similarity, whose
from auditdm.stats import Rate

OWN = (Rate(60, 100), Rate(2, 100))  # an excess of .58


def verdict(inside, beside, own=OWN):
    [cell] = column([(inside, beside)], [own])
    return cell.verdict


def test_the_interval_of_the_excess_is_newcombes():
    # Newcombe 1998, table II, method 10, examples (b) and (d)
    assert excess_interval(Rate(9, 10), Rate(3, 10)) == pytest.approx((0.1705, 0.8090), abs=1e-4)
    assert excess_interval(Rate(5, 56), Rate(0, 29)) == pytest.approx((-0.0381, 0.1926), abs=1e-4)
    assert excess_interval(Rate(0, 0), Rate(3, 10)) is None


@pytest.mark.parametrize(
    ("inside", "beside", "expected"),
    [
        (Rate(40, 64), Rate(2, 64), "shared"),
        (Rate(14, 100), Rate(2, 100), "undecided"),  # more than beside, but not for certain by the least lift
        (Rate(24, 100), Rate(2, 100), "shared"),
        (Rate(2, 100), Rate(2, 100), "not shared"),
        (Rate(0, 64), Rate(0, 64), "not shared"),
        (Rate(40, 100), Rate(40, 100), "not shared"),  # poor everywhere is no weakness here
        (Rate(1, 3), Rate(0, 3), "undecided"),  # too few to tell
        (Rate(40, 64), Rate(0, 0, 64), "undecided"),  # nothing beside it
        (Rate(0, 0, 64), Rate(1, 64), "void"),
        (Rate(0, 0), Rate(0, 0), "void"),
    ],
)
def test_a_verdict_follows_from_the_models_own_excess(inside, beside, expected):
    assert verdict(inside, beside) == expected


def test_a_small_weakness_of_the_target_is_not_ruled_out_by_few_probes():
    weak = (Rate(12, 100), Rate(2, 100))  # half of .10 is less than what 100 probes can exclude
    assert verdict(Rate(2, 100), Rate(2, 100), weak) == "undecided"


def test_many_findings_are_corrected_for():
    once = column([(Rate(8, 24), Rate(0, 24))], [OWN])[0]
    among = column([(Rate(8, 24), Rate(0, 24))] + [(Rate(1, 64), Rate(1, 64))] * 19, [OWN] * 20)[0]
    assert once.p == once.q == among.p
    assert among.q == pytest.approx(20 * once.p)  # Benjamini-Hochberg: the smallest of 20
    assert once.verdict == among.verdict == "shared"
    many = column([(Rate(8, 24), Rate(0, 24))] + [(Rate(1, 64), Rate(1, 64))] * 39, [OWN] * 40)[0]
    assert many.q > 0.05
    assert many.verdict == "undecided"


def test_what_was_void_keeps_out_of_the_correction_and_is_never_a_zero():
    cells = column([(Rate(0, 0, 9), Rate(0, 0, 9)), (Rate(40, 64), Rate(1, 64))], [OWN] * 2)
    told = cells[0].as_dict()
    assert told["verdict"] == "void"
    assert (
        told["inside"]["value"] is told["excess"]["value"] is told["excess"]["ci95"] is told["p"] is told["q"] is None
    )
    assert told["inside"]["void"] == 9
    assert cells[1].q == cells[1].p


def test_no_model_is_said_to_share_what_it_has_not():
    rng = np.random.default_rng(0)
    drawn = [(Rate(int(rng.binomial(100, 0.05)), 100), Rate(int(rng.binomial(100, 0.05)), 100)) for _ in range(400)]
    verdicts = [cell.verdict for cell in column(drawn, [OWN] * 400)]
    assert verdicts.count("shared") == 0
    assert verdicts.count("not shared") >= 380


def test_whose_a_finding_is():
    assert whose({}) == "not known: no other model was asked"
    assert whose({"a": "undecided", "b": "void"}) == "not known: undecided: a; void: b"
    assert whose({"a": "not shared", "b": "undecided"}) == "not shared by a; undecided: b"  # not yet the target's own
    assert whose({"a": "not shared", "b": "shared"}) == "shared by b; not shared by a"


def test_kappa_is_that_of_a_table_worked_by_hand():
    # 20 both fail, 5 only the first, 10 only the second, 15 neither: agreement .7, by chance .5, kappa .4
    pairs = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    first = {str(n): one for n, (one, _) in enumerate(pairs)}
    second = {str(n): other for n, (_, other) in enumerate(pairs)}
    found = similarity(first | {"x": None, "y": True}, second | {"x": True}, {})
    assert found.kappa == pytest.approx(0.4)
    assert (found.agree.hits, found.agree.asked, found.agree.void) == (35, 50, 1)
    assert (found.difference.gained, found.difference.lost) == (5, 10)
    assert found.interval[0] < 0.4 < found.interval[1]
    assert found.interval == pytest.approx((0.13, 0.65), abs=0.03)  # Fleiss et al.: .4 +- 1.96 * .13


def test_kappa_is_not_told_where_one_model_never_fails():
    found = similarity({"a": False, "b": False}, {"a": True, "b": False}, {})
    assert (found.kappa, found.interval, found.agree.value) == (None, None, 0.5)
    assert similarity({}, {}, {}).agree.value is None


def test_probes_on_one_picture_widen_the_interval():
    rng = np.random.default_rng(3)
    first, second, picture = {}, {}, {}
    for n in range(40):  # forty pictures decide everything, five questions each
        one, other = bool(rng.random() < 0.5), bool(rng.random() < 0.5)
        for k in range(5):
            first[f"{n} {k}"], second[f"{n} {k}"], picture[f"{n} {k}"] = one, other, str(n)
    apart, together = similarity(first, second, {}), similarity(first, second, picture)
    assert apart.kappa == together.kappa
    width = [found.interval[1] - found.interval[0] for found in (apart, together)]
    assert width[1] > 1.5 * width[0]


def test_findings_that_the_same_models_share_are_one_group():
    assert alike([]) == []
    assert alike([[0.5]]) == [0]
    assert alike([[0.6, 0.0], [0.1, 0.6], [0.5, 0.05], [0.0, 0.7]]) == [0, 1, 0, 1]
    assert alike([[0.6, None], [0.6, 0.9], [0.5, 0.0]]) == [0, 0, 1]  # what was not measured does not tell apart


cells = st.lists(st.lists(st.one_of(st.none(), st.floats(-1, 1)), min_size=2, max_size=2), max_size=8)


@given(cells)
def test_groups_are_numbered_in_the_order_of_appearance(found):
    groups = alike(found)
    assert len(groups) == len(found)
    assert list(dict.fromkeys(groups)) == list(range(len(set(groups))))


outcomes = st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from([True, False, None]))


@given(outcomes, outcomes)
def test_similarity_is_symmetric_and_its_interval_holds_kappa(first, second):
    one, other = similarity(first, second, {}), similarity(second, first, {})
    assert one.agree == other.agree
    assert one.agree.asked + one.agree.void == len(first.keys() & second.keys())
    assert (one.kappa is None) == (other.kappa is None)
    if one.kappa is not None:
        assert one.kappa == pytest.approx(other.kappa)
        assert one.interval[0] <= one.kappa <= one.interval[1]
