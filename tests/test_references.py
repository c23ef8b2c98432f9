import numpy as np
import pytest

from auditdm.method.panel import Ballot, choose_quorum, expected_false_consensus, fit, sides
from auditdm.method.references import by_pair, by_reference, by_round

RIGHT, LURE = 0, 1


def ballot(*found, target=None, abstained=None, kept=None):
    return Ballot(
        sides=(target, *found),
        abstained=abstained or (False,) * len(found),
        kept=kept or (None,) * len(found),
    )


def drawn(seed, probes, size, error, correlation, same, target=0.3):
    """Voters of the module's model: answers NR, the target's last; and whether each is wrong."""
    rng = np.random.default_rng(seed)
    if correlation:
        scale = (1 - correlation) / correlation
        hard = rng.beta(error * scale, (1 - error) * scale, probes)[:, None]
    else:
        hard = np.full((probes, 1), error)
    wrong = np.hstack([rng.random((probes, size)) < hard, rng.random((probes, 1)) < target])
    lured = rng.random(wrong.shape) < np.sqrt(same)
    return np.where(wrong, np.where(lured, LURE, 10 + np.arange(size + 1)), RIGHT)


def ballots_of(answers):
    return [ballot(*(int(a) for a in row[:-1]), target=int(row[-1])) for row in answers]


def false_consensus(answers, agreeing):
    """By the labels: wrong consensuses, out of all."""
    votes = answers[:, :-1]
    right, lured = (votes == RIGHT).sum(1) >= agreeing, (votes == LURE).sum(1) >= agreeing
    return lured.sum() / (right.sum() + lured.sum())


# --- sides


def pairs_of(*words):
    return {(i, j): words[i] == words[j] for i in range(len(words)) for j in range(i + 1, len(words))}


def test_equal_answers_have_equal_numbers():
    found = sides(pairs_of("a", "b", "a", "b"), [True] * 4)
    assert found[0] == found[2] and found[1] == found[3] and found[0] != found[1]


def test_who_does_not_speak_has_no_side():
    same = {pair: s for pair, s in pairs_of("a", "b", "a", "b").items() if 2 not in pair}
    found = sides(same, [True, True, False, True])
    assert found[2] is None and found[1] == found[3] and found[0] not in found[1:]
    assert sides({}, [False, False]) == (None, None)


def test_two_references_that_the_judge_cannot_compare_leave_no_sides():
    assert sides({**pairs_of("a", "a", "a", "a"), (1, 2): None}, [True] * 4) == (None,) * 4


def test_sameness_that_contradicts_itself_leaves_no_sides():
    assert sides({**pairs_of("a", "a", "a", "a"), (1, 3): False}, [True] * 4) == (None,) * 4


@pytest.mark.parametrize("judged", [None, False])
def test_a_target_that_cannot_be_placed_does_not_spoil_the_references(judged):
    found = sides({**pairs_of("a", "a", "a"), (0, 1): judged}, [True] * 3)
    assert found[0] is None and found[1] == found[2] is not None


# --- one by one


def test_a_reference_is_measured_where_the_others_agree():
    told = by_reference(
        [
            ballot(1, 1, 1),
            ballot(1, 1, 3),  # the third deviates; the others have nobody to deviate from
            ballot(1, 2, 3),
            ballot(None, 1, 1, abstained=(True, False, False)),
            ballot(None, None, None),
        ]
    )
    assert [(r.deviates.hits, r.deviates.asked, r.deviates.void) for r in told] == [(0, 1, 4), (0, 1, 4), (1, 2, 3)]
    assert [(r.abstains.hits, r.abstains.asked) for r in told] == [(1, 5), (0, 5), (0, 5)]


def test_self_consistency_is_of_those_that_were_asked_again():
    one, two = by_reference([ballot(1, 1, kept=(True, None)), ballot(1, 1, kept=(False, None)), ballot(1, 1)])
    assert (one.kept.hits, one.kept.asked, one.kept.void) == (1, 2, 1)
    assert two.kept.value is None and two.kept.void == 3


def test_of_two_references_the_target_is_the_other_third_party():
    one, two = by_reference([ballot(1, 1, target=1), ballot(1, 2, target=1), ballot(1, 2, target=3), ballot(1, 1)])
    assert (one.deviates.hits, one.deviates.asked) == (0, 1)
    assert (two.deviates.hits, two.deviates.asked) == (1, 2)


def test_one_reference_or_no_probe_measures_nothing():
    [alone] = by_reference([ballot(1, target=2)])
    assert alone.deviates.value is None
    assert by_reference([]) == [] == by_pair([], None)
    assert fit([]) is None and by_round([], [], None, 2) == []


# --- the panel


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize(("error", "correlation", "same"), [(0.03, 0.3, 0.6), (0.1, 0.15, 0.8), (0.01, 0.3, 0.8)])
def test_the_error_is_found_within_a_third_and_false_consensus_within_its_interval(size, error, correlation, same):
    truth = false_consensus(drawn(99, 400_000, size, error, correlation, same), size // 2 + 1)
    inside = 0
    for seed in range(5):
        answers = drawn(seed, 4000, size, error, correlation, same)
        panel = fit(ballots_of(answers))
        assert panel.error == pytest.approx((answers[:, :-1] != RIGHT).mean(), rel=1 / 3)
        low, high = expected_false_consensus(panel, size // 2 + 1).interval
        inside += low <= truth <= high
    assert inside >= 4


@pytest.mark.parametrize("size", [3, 5])
def test_the_false_consensus_of_independent_errors_is_not_understated(size):
    truth = false_consensus(drawn(99, 400_000, size, 0.03, 0.0, 0.6), size // 2 + 1)
    told = [
        expected_false_consensus(fit(ballots_of(drawn(seed, 4000, size, 0.03, 0.0, 0.6))), size // 2 + 1)
        for seed in range(5)
    ]
    assert all(truth <= e.interval[1] < 0.06 for e in told)  # with three references it is overstated


def test_of_five_references_correlation_and_sameness_are_found():
    strangers = fit(ballots_of(drawn(1, 6000, 5, 0.05, 0.0, 0.6)))
    assert strangers.correlation < 0.02 and strangers.votes > 4.6
    found = [fit(ballots_of(drawn(seed, 6000, 5, 0.05, 0.3, 0.6))) for seed in range(6)]
    assert all(0.2 < panel.correlation < 0.42 and 1.8 < panel.votes < 2.8 for panel in found)
    assert np.mean([panel.correlation for panel in found]) == pytest.approx(0.3, abs=0.05)
    assert np.mean([panel.same for panel in found]) == pytest.approx(0.6, abs=0.05)


def test_of_three_references_correlation_is_told_from_independence():
    strangers = fit(ballots_of(drawn(2, 6000, 3, 0.05, 0.0, 0.6)))
    relatives = fit(ballots_of(drawn(2, 6000, 3, 0.05, 0.3, 0.6)))
    assert strangers.correlation < 0.12 < 0.2 < relatives.correlation < 0.45


def test_a_panel_that_never_differs_is_not_said_to_be_infallible():
    panel = fit([ballot(1, 1, 1)] * 200)
    expected = expected_false_consensus(panel, 3)
    assert 0 < panel.error < 0.01 and 0 < expected.value < 0.01 and expected.interval[1] > expected.value


def test_a_stricter_quorum_is_seldomer_wrong_and_correlation_has_its_part():
    panel = fit(ballots_of(drawn(3, 3000, 5, 0.08, 0.3, 0.6)))
    told = [expected_false_consensus(panel, k) for k in (3, 4, 5)]
    assert told[0].value > told[1].value > told[2].value > 0
    assert all(e.independent < e.value / 5 for e in told)
    for agreeing in (2, 6):
        with pytest.raises(ValueError, match="more than half of 5"):
            expected_false_consensus(panel, agreeing)


def test_independent_errors_are_as_often_wrong_together_as_by_hand():
    panel = fit(ballots_of(drawn(4, 3000, 3, 0.1, 0.0, 0.6)))
    e, lure = panel.error, np.sqrt(panel.same)
    # all three at the lure, out of that and all three right
    by_hand = (e * lure) ** 3 / ((e * lure) ** 3 + (1 - e) ** 3)
    assert expected_false_consensus(panel, 3).independent == pytest.approx(by_hand, rel=1e-3)


def test_ballots_that_are_not_whole_are_counted_and_left_out():
    panel = fit([ballot(1, 1, 1)] * 50 + [ballot(1, 1, None)] * 7)
    assert (panel.measured, panel.void) == (50, 7)
    assert fit([ballot(1, 1, None)] * 7) is None


# --- two by two


@pytest.mark.parametrize(("size", "least", "most"), [(4, 0.4, 0.35), (5, 0.6, 0.1)])
def test_twins_among_strangers_are_found(size, least, most):
    answers = drawn(5, 6000, size, 0.06, 0.0, 0.5)
    copied = np.random.default_rng(6).random(len(answers)) < 0.7
    answers[:, 1] = np.where(copied, answers[:, 0], answers[:, 1])
    ballots = ballots_of(answers)
    found = {(p.first, p.second): p for p in by_pair(ballots, fit(ballots))}
    twins = found.pop((0, 1))
    assert twins.phi > least and twins.correlation > least and twins.same > 0.7 * twins.together
    assert all(p.phi < most and p.correlation < most for p in found.values())


def test_with_three_references_the_target_is_the_other_witness():
    strangers, relatives = (ballots_of(drawn(7, 6000, 3, 0.06, c, 0.6)) for c in (0.0, 0.4))
    assert all(p.correlation < 0.12 for p in by_pair(strangers, fit(strangers)))
    assert all(0.2 < p.correlation < 0.6 for p in by_pair(relatives, fit(relatives)))


def test_without_deviations_a_pair_has_the_correlation_of_the_panel():
    ballots = [ballot(1, 1, 1, target=1)] * 30
    panel = fit(ballots)
    assert [(p.asked, p.phi, p.correlation) for p in by_pair(ballots, panel)] == [(30, None, panel.correlation)] * 3


def test_of_two_references_no_correlation_is_claimed():
    ballots = [ballot(1, 2, target=1), ballot(1, 1, target=2)]
    assert fit(ballots) is None
    [only] = by_pair(ballots, None)
    assert (only.phi, only.correlation, only.asked) == (None, None, 0)


# --- quorum


@pytest.mark.parametrize("cautious", [True, False])
def test_the_smallest_quorum_within_the_bound_is_chosen(cautious):
    panel = fit(ballots_of(drawn(8, 4000, 5, 0.08, 0.25, 0.6)))
    told = [expected_false_consensus(panel, k) for k in (3, 4, 5)]
    three, four, _ = (e.interval[1] if cautious else e.value for e in told)
    loose = choose_quorum(panel, 5, bound=three * 1.01, cautious=cautious)
    assert (loose.agreeing, loose.share, loose.expected) == (3, 0.6, told[0].value)
    middle = choose_quorum(panel, 5, bound=(three + four) / 2, cautious=cautious)
    assert middle.agreeing == 4 and "allowed; 3 of 5 that agree are expected to be wrong in" in middle.reason


def test_where_no_quorum_is_within_the_bound_all_have_to_agree():
    panel = fit(ballots_of(drawn(8, 4000, 3, 0.25, 0.5, 0.9)))
    found = choose_quorum(panel, 3)
    assert found.agreeing == 3 and found.reason.startswith("even 3 of 3 that agree are expected to be wrong in")
    assert "add references of another family" in found.reason


def test_the_mean_alone_is_less_cautious_than_the_interval():
    panel = fit(ballots_of(drawn(2, 2000, 3, 0.03, 0.15, 0.6)))
    assert choose_quorum(panel, 3, cautious=False).agreeing == 2 < choose_quorum(panel, 3).agreeing


@pytest.mark.parametrize(
    ("size", "why"),
    [(1, "one reference cannot be compared"), (2, "without saying who erred"), (3, "no probe was answered by all")],
)
def test_what_cannot_be_estimated_is_as_strict_as_can_be(size, why):
    found = choose_quorum(None, size)
    assert (found.agreeing, found.expected, found.share) == (size, None, 1.0) and why in found.reason


# --- round by round


def test_a_round_in_which_references_err_more_stands_out():
    early, late = drawn(9, 1500, 3, 0.01, 0.3, 0.6), drawn(10, 1500, 3, 0.12, 0.3, 0.6)
    ballots = ballots_of(np.vstack([early, late]))
    one, two = by_round(["1"] * 1500 + ["2"] * 1500, ballots, fit(ballots), 3)
    assert (one.name, two.name) == ("1", "2") and one.split.asked == 1500
    assert two.split.value > 5 * one.split.value and two.expected.value > 5 * one.expected.value


def test_a_round_counts_splits_abstentions_and_changed_minds_apart_from_what_is_void():
    told = by_round(
        ["1"] * 6,
        [
            ballot(1, 1, 1, kept=(True, True, True)),
            ballot(1, 1, 1, kept=(True, False, None)),  # not measured of all
            ballot(1, 1, 1, kept=(True, False, True)),
            ballot(1, 1, 3),
            ballot(1, 1, None, abstained=(False, False, True)),
            ballot(1, 1, None),
        ],
        None,
        3,
    )
    [only] = told
    assert (only.split.hits, only.split.asked, only.split.void) == (2, 5, 1)
    assert (only.inconsistent.hits, only.inconsistent.asked) == (1, 2)
    assert only.expected is None
