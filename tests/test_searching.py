"""The search, with a prober that makes up probes: what is found, what it costs, and what happens when nothing can be had."""

from dataclasses import replace

import pytest

from auditdm.method.coverage import Smallest
from auditdm.method.predicate import Predicate
from auditdm.runs.searching import Effort, _Seeker, search
from planted import PlantedProber, about, asks, is_, overlap

RED, SMALL = Predicate.of(asks(0), about("red")), Predicate.of(asks(2), about("small"))
EFFORT = Effort(
    budget=4_500, chunk=1_500, smallest=Smallest(prevalence=0.02, rate=0.5)
)  # 800 unchosen probes are enough


def best(predicate, found):
    return max((overlap(e.predicate, predicate) for e in found.confirmed), default=0.0)


def states(found):
    return [(e.predicate.words(), e.state) for e in found.entries]


# --- what is found


@pytest.mark.parametrize("seed", range(3))
def test_planted_modes_are_confirmed_under_their_names_and_nothing_else(seed):
    found = search(PlantedProber([(RED, 0.7), (SMALL, 0.5)], seed), EFFORT)
    assert best(RED, found) >= 0.8, states(found)
    assert best(SMALL, found) >= 0.8, states(found)
    assert len(found.confirmed) == 2, states(found)


@pytest.mark.parametrize("base", [0.0, 0.02, 0.1])
def test_a_target_without_a_mode_has_no_finding_and_the_search_stops_early(base):
    prober = PlantedProber(base=base)
    found = search(prober, EFFORT)
    assert found.confirmed == ()
    assert "named nothing new" in found.stopped
    assert found.calls < EFFORT.budget


def test_what_the_references_disagree_on_is_no_finding_of_the_target():
    found = search(PlantedProber([(RED, 0.7)], split=RED), EFFORT)
    assert not [e for e in found.confirmed if overlap(e.predicate, RED) > 0.1], states(found)
    assert "consensus unreliable" in {e.state for e in found.entries}


def test_where_the_references_disagree_on_one_way_of_asking_the_other_is_a_finding():
    both = Predicate.of(is_(*(a for n in (0, 1) for a in asks(n).any_of)), about("red"))
    found = search(PlantedProber([(both, 0.9)], split=Predicate.of(asks(1), about("red"))), EFFORT)
    assert best(RED, found) >= 0.8, states(found)
    unsure = {e.predicate for e in found.entries if e.state == "consensus unreliable"}
    assert any(overlap(one, both) > 0.8 for one in unsure), states(found)
    assert not [e for e in found.confirmed if overlap(e.predicate, Predicate.of(asks(1), about("red"))) > 0.1]


def test_what_does_not_fail_again_in_other_words_is_noise():
    found = search(PlantedProber([(RED, 0.7)], steady=False), EFFORT)
    assert found.confirmed == ()
    assert "noise" in {e.state for e in found.entries}, states(found)


def test_the_same_search_finds_the_same():
    one, other = (search(PlantedProber([(RED, 0.7)], 4), replace(EFFORT, budget=3_000)) for _ in range(2))
    assert one == other


# --- how it goes about it


def test_confirmation_is_on_pictures_that_were_never_seen_before():
    prober = PlantedProber([(RED, 0.7)])
    found = search(prober, EFFORT)
    assert found.confirmed
    fresh = {p.picture for p in prober.asked if p.picture.startswith("fresh")}
    own = {p.picture for p in prober.asked if p.picture.startswith("own")}
    assert fresh
    assert own
    beside = [p for p in prober.asked if p.id.startswith("beside")]
    assert {p.picture for p in beside} <= fresh  # other questions on the same pictures
    again = {p.id for p in prober.asked_again}
    assert again <= {p.id for p in prober.asked if p.picture in fresh}


def test_what_two_names_hold_of_is_asked_once_and_counts_for_both():
    class Few(PlantedProber):
        """Has the same fresh probes for every name."""

        def pose_for(self, predicate, count, *, fresh=False):
            return [p for p in pool if p.views is not None and predicate.holds(p.views)][:count]

    prober = Few([(RED, 0.9)])
    pool = PlantedProber.pose_for(prober, Predicate(), 2_000, fresh=True)
    seeker = _Seeker(prober, EFFORT)
    seeker.look_around()
    for name in (RED, Predicate.of(about("red"))):
        seeker.confirm(name)
    narrow, wide = seeker.trials
    assert set(narrow.inside) & set(wide.inside)
    assert [len(t.inside) for t in seeker.trials] == [e.inside.asked for e in seeker.evidence]
    ids = [p.id for p in prober.asked]
    assert len(ids) == len(set(ids))
    assert seeker.calls == len(ids) + len(prober.asked_again)


def test_a_mode_that_is_confirmed_is_asked_less_than_it_was_while_unknown():
    prober = PlantedProber([(RED, 0.9)])
    search(prober, EFFORT)
    aimed = [p for p in prober.asked if p.id.startswith("own") and RED.holds(p.views)]
    assert len(aimed) < 0.5 * len(prober.asked)


def test_the_baseline_looks_no_closer():
    prober = PlantedProber([(RED, 0.7)])
    found = search(prober, replace(EFFORT, focus=False))
    assert best(RED, found) >= 0.5, states(found)
    assert all(fresh for _, fresh in prober.wanted)


def test_the_usual_rate_is_of_unchosen_probes():
    founds = [search(PlantedProber([(RED, 0.7)], seed), replace(EFFORT, budget=2_500)) for seed in range(4)]
    usual = sum(found.usual.hits for found in founds) / sum(found.usual.asked for found in founds)
    assert 0.037 < usual < 0.057  # a twenty-fifth of the proposals is inside: .04 * .7 + .96 * .02 = .047
    assert all(found.hits / found.asked > found.usual.value for found in founds)  # who looks closer finds more


def test_a_curve_never_goes_back_and_each_cycle_is_told():
    told = []
    found = search(PlantedProber([(RED, 0.7)]), EFFORT, tell=lambda *event: told.append(event))
    calls, confirmed = zip(*found.curve, strict=True)
    assert list(calls) == sorted(calls)
    assert (calls[-1], confirmed[-1]) == (found.calls, len(found.confirmed))
    assert [name for name, _ in told] == ["cycle"] * (len(found.curve) - 1)
    assert [values["calls"] for _, values in told] == list(calls[:-1])
    assert {values["of"] for _, values in told} == {EFFORT.budget}


# --- what it costs


@pytest.mark.parametrize("budget", [1, 150, 1_000, 1_732, 1_900, 2_500, 4_000])
def test_every_call_is_counted_and_the_budget_is_never_exceeded(budget):
    gaps = [(Predicate.of(asks(n), about("red")), 0.6) for n in range(5)] + [(SMALL, 0.5)]
    prober = PlantedProber(gaps)
    found = search(prober, replace(EFFORT, budget=budget))
    assert found.calls == len(prober.asked) + len(prober.asked_again)
    assert found.calls <= budget


@pytest.mark.parametrize("seed", range(4))
def test_what_a_confirmation_costs_is_kept_for_it(seed):
    found = search(PlantedProber([(RED, 0.7)], seed), replace(EFFORT, budget=1_900))
    assert len(found.confirmed) == 1, states(found)


def test_no_probe_is_paid_for_twice():
    prober = PlantedProber([(RED, 0.7), (SMALL, 0.5)])
    search(prober, EFFORT)
    assert len({p.id for p in prober.asked}) == len(prober.asked)


def test_what_was_measured_before_costs_nothing_and_is_learned_from():
    before = PlantedProber([(RED, 0.7)], seed=8)
    posed = before.pose(1_500)
    known = [(p.views, failed, False) for p, failed in zip(posed, before.ask(posed), strict=True)]
    prober = PlantedProber([(RED, 0.7)])
    found = search(prober, replace(EFFORT, budget=2_500), known=known)
    assert found.calls == len(prober.asked) + len(prober.asked_again)
    assert best(RED, found) >= 0.8, states(found)


# --- when nothing can be had


def test_without_pictures_nothing_is_asked():
    prober = PlantedProber([(RED, 0.7)], pool=0)
    found = search(prober, EFFORT)
    assert (found.calls, found.entries) == (0, ())
    assert found.stopped.startswith("the pictures are used up; 0 unchosen probes")
    assert (found.usual.value, found.unseen) == (None, None)  # unmeasured, not 0


@pytest.mark.parametrize("pool", [1, 50, 1_000])
def test_a_pool_that_is_used_up_ends_the_search_with_what_is_known(pool):
    found = search(PlantedProber([(RED, 0.7)], pool=pool), EFFORT)
    assert found.stopped.startswith("the pictures are used up; ")
    assert found.usual.asked <= pool


def test_where_no_probe_can_be_made_for_a_name_nothing_is_confirmed():
    found = search(PlantedProber([(RED, 0.7)], made_to_order=False), EFFORT)
    assert found.confirmed == ()
    assert {e.state for e in found.entries} <= {"too few"}


def test_a_target_that_cannot_be_measured_has_no_failures_and_no_rate():
    found = search(PlantedProber([(RED, 0.7)], void=1.0), replace(EFFORT, budget=2_000))
    assert (found.hits, found.asked, found.entries) == (0, 0, ())
    assert found.void == found.calls
    assert found.usual.value is None


def test_what_cannot_be_measured_is_counted_apart_from_every_rate():
    found = search(PlantedProber([(RED, 0.7)], void=0.2), EFFORT)
    assert best(RED, found) >= 0.8, states(found)
    inside = found.confirmed[0].evidence.inside
    assert inside.void > 0
    assert abs(inside.value - 0.7) < 0.15  # and not 0.56, which it would be if silence were no failure
    assert 0.15 < found.void / (found.asked + found.void) < 0.25
