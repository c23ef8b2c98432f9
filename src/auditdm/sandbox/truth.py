"""What the oracle knows of a run: written beside it for the figures and the report, never read by any stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from auditdm.backends.judges import ExactJudge
from auditdm.sandbox.gaps import Gap, gap_of
from auditdm.sandbox.language import answer
from auditdm.sandbox.renderer import read
from auditdm.stats import Rate
from auditdm.store import Run

LEAST = 5  # true failures that make a failure type


def tell_truth(run: Run, gaps: Sequence[Gap]) -> None:
    """Read every probe's picture back into its scene and write what the oracle says of it, table `truths`.

    Cost: about 2 ms a probe.
    """
    known, judge = run.ids("truths"), ExactJudge()
    said = {v["id"]: v["target_answer"] for v in run.rows("verdicts")}
    rows = []
    for p in run.rows("probes"):
        if p["id"] in known or p["id"] not in said:  # shown to references alone
            continue
        scene = read(run.picture(p["picture_id"]))
        assert scene is not None, f"picture {p['picture_id']} shows no scene"
        truth = answer(scene, p["question"])
        told = said[p["id"]]
        right = None if told is None else judge.same([(p["question"], told, truth.reply)])[0]
        gap = gap_of(tuple(gaps), truth.skill, p["question"], truth.answer)
        rows.append(
            {
                "id": p["id"],
                "valid": truth.answer is not None,
                "invalid_reason": truth.invalid,
                "skill": truth.skill,
                "answer": truth.answer,
                "target_right": right,
                "gap": gap.name if gap else None,
            }
        )
    run.append("truths", rows)


def figures(run: Run) -> dict[str, Any]:
    """The figures that need the truth, over all proposals of an arm's discovery.

    A proposal counts once, malformed ones as misses; what nobody could measure is void.
    """
    truths = {t["id"]: t for t in run.rows("truths")}
    verdicts = {v["id"]: v for v in run.rows("verdicts")}
    discovered = [p for p in run.rows("proposals") if p["phase"] == "discovery"]
    found: dict[str, Any] = {}
    names = {
        "trained": "search_success",
        "prompt_only": "search_success_prompt_only",
        "paper_reward": "search_success_paper_reward",
    }
    by_arm: dict[str, Any] = {}
    for arm, name in names.items():
        of_arm = [p for p in discovered if p["arm"] == arm]
        if not of_arm:
            continue
        told = _of_arm(of_arm, verdicts, truths)
        found[name] = told["search_success"]
        by_arm[arm] = told
    if "trained" in by_arm:
        found |= {k: by_arm["trained"][k] for k in ("validity", "true_failure_precision", "false_consensus")}
    found["arms"] = by_arm
    trained = [p for p in run.rows("proposals") if p["arm"] == "trained" and p["phase"] in ("training", "discovery")]
    types = failure_types(trained, verdicts, truths)
    found["distinct_failure_types"] = len(types)
    found["failure_types"] = types
    return found


def failure_types(
    proposals: Sequence[Mapping[str, Any]], verdicts: Mapping[str, Any], truths: Mapping[str, Any]
) -> dict[str, int]:
    """Skill x planted slice with at least `LEAST` distinct true failures; what lies in no slice is not counted."""
    hit = {p["probe_id"] for p in proposals if p["probe_id"] in verdicts and _is_hit(verdicts[p["probe_id"]])}
    counts = Counter(
        f"{truths[i]['skill']}: {truths[i]['gap']}" for i in hit if _is_true(truths[i]) and truths[i]["gap"]
    )
    return {name: n for name, n in counts.most_common() if n >= LEAST}


def confirmed_types(run: Run) -> dict[str, Any]:
    """What the ledger's findings stand for, by their failing fresh probes.

    Returns:
        `distinct_failure_types_confirmed`: failure types, as `failure_types` counts them, among the fresh probes of
        confirmed findings; a finding whose failures lie mostly in no slice adds none.
        `failure_types_named`: slice -> names of the findings that mostly lie in it, so that a finding counts once.
        `confirmed_in_no_slice`: names. Empty where no ledger was kept.
    """
    findings = run.rows("findings")
    if not findings:
        return {}
    truths = {t["id"]: t for t in run.rows("truths")}
    met: Counter[str] = Counter()
    named: dict[str, list[str]] = {}
    elsewhere = []
    for f in findings:
        if f["state"] != "confirmed":
            continue
        inside = [truths[i] for i in f["failing"] if i in truths and _is_true(truths[i]) and truths[i]["gap"]]
        if 2 * len(inside) <= len(f["failing"]):
            elsewhere.append(f["name"])
            continue
        met.update(f"{t['skill']}: {t['gap']}" for t in inside)
        gap, most = Counter(t["gap"] for t in inside).most_common(1)[0]
        if 2 * most > len(f["failing"]):
            named.setdefault(gap, []).append(f["name"])
    return {
        "distinct_failure_types_confirmed": sum(n >= LEAST for n in met.values()),
        "failure_types_named": named,
        "confirmed_in_no_slice": elsewhere,
    }


def _of_arm(
    proposals: Sequence[Mapping[str, Any]], verdicts: Mapping[str, Any], truths: Mapping[str, Any]
) -> dict[str, Any]:
    void = sum(
        p["void"] is not None or (p["probe_id"] is not None and verdicts[p["probe_id"]]["outcome"] == "void")
        for p in proposals
    )
    asked = [p["probe_id"] for p in proposals if p["probe_id"] and verdicts[p["probe_id"]]["outcome"] != "void"]
    hits = [i for i in asked if _is_hit(verdicts[i])]
    true = [i for i in hits if _is_true(truths[i])]
    agreed = [i for i in asked if verdicts[i]["consensus"] is not None]
    wrong = [i for i in agreed if _consensus_is_wrong(verdicts[i], truths[i])]
    measured = len(proposals) - void
    kinds = Counter(p["action"] for p in proposals if p["probe_id"] in set(true))
    pairings = Counter(_pairing(p) for p in proposals if p["probe_id"] in set(true))
    slices = Counter(truths[i]["gap"] for i in true if truths[i]["gap"])
    return {
        "search_success": Rate(len(true), measured, void).as_dict(),
        "claimed_success": Rate(len(hits), measured, void).as_dict(),
        "validity": Rate(sum(truths[i]["valid"] for i in asked), measured, void).as_dict(),
        "true_failure_precision": Rate(len(true), len(hits), 0).as_dict(),
        "false_consensus": Rate(len(wrong), len(agreed), 0).as_dict(),
        "true_failures_by_kind": dict(kinds),
        "true_failures_by_pairing": dict(pairings),
        "true_failures_by_slice": dict(slices.most_common()),
        "distinct_questions_of_true_failures": len(set(true)),
    }


def _pairing(proposal: Mapping[str, Any]) -> str:
    if proposal["action"] == "question":
        return "Q*,I"
    return "Q,I*" if proposal["given_question"] else "Q*,I*"


def _is_hit(verdict: Mapping[str, Any]) -> bool:
    return verdict["outcome"] == "failure" and verdict["self_consistent"] is True


def _is_true(truth: Mapping[str, Any]) -> bool:
    return bool(truth["valid"]) and truth["target_right"] is False


def _consensus_is_wrong(verdict: Mapping[str, Any], truth: Mapping[str, Any]) -> bool:
    if not truth["valid"]:
        return True
    return ExactJudge().same([("", verdict["consensus"], truth["answer"])])[0] is False
