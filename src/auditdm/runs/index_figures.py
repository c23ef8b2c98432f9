"""Everything that the first page counts: the audit's own figures, its curves, and the loop with what leaves each stage.

Reads what was gathered, writes nothing.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from auditdm.runs import tallies
from auditdm.runs.exhibits import Evidence, Exhibit
from auditdm.runs.ledger_exhibits import STATES, Tested, state_counts
from auditdm.runs.plots import SMOOTHED_OVER, curve_svg
from auditdm.runs.yardsticks import SELFTEST_RATES, Searched
from auditdm.stats import Rate

CURVES = {  # columns of the training log: heading, and whether they are shares
    "success": ("Failures found", True),
    "split": ("References split", True),
    "void": ("Void", True),
    "invalid": ("Malformed or ill-posed", True),
    "distinct": ("Distinct questions that failed", True),
    "zero_variance": ("Groups without signal", True),
}


def ledger_figures(modes: Sequence[Tested], search: Searched | None) -> dict[str, object]:
    """What the first page says of the ledger.

    `confirming` is False where the run holds none; `lost` is True where its search confirmed modes that the tables do
    not hold.
    """
    curve = search.curve if search is not None else ()
    return {
        "confirming": bool(modes) or search is not None,
        "modes": modes,
        "lost": not modes and bool(curve) and curve[-1][1] > 0,
        "findings": [mode for mode in modes if mode.confirmed],
        "state_counts": state_counts(modes),
        "state_words": STATES,
        "tested_q": sum(mode.q is not None for mode in modes),
        "search": search,
        "confirmed_curve": curve_svg(
            "confirmed", {"confirmed": curve}, x_label="target calls", share=False, stairs=True, size=(6, 2.4)
        )
        if curve
        else None,
        "selftest_rates": SELFTEST_RATES,
    }


def figures(evidence: Evidence, summary: Mapping[str, Any]) -> dict[str, object]:
    """Everything that the first page counts."""
    tables = evidence.tables
    all_scores = tallies.scores(evidence)
    slices = [score for score in all_scores if score.slice not in ("", "elsewhere")]
    suites = [score for score in all_scores if not score.slice]
    found_in = "discovery" if tallies.outcomes(evidence, "trained", "discovery").probes else None
    success = tallies.rate_in(summary, "search_success")
    prompted = tallies.rate_in(summary, "search_success_prompt_only")
    return {
        "counts": {name: len(rows) for name, rows in tables.items()},
        "whole": Counter(row["outcome"] for row in tables["verdicts"]),
        "headline": tallies.outcomes(evidence, "trained", found_in),
        "found_in": found_in,
        "arms": tallies.arms(evidence, summary),
        "arm_names": tallies.ARMS,
        "model_names": tallies.MODELS,
        "outcome_names": tallies.OUTCOMES,
        "slices": slices,
        "suites": suites,
        "means": {
            "slices": {model: tallies.mean_of(slices, model) for model in tallies.MODELS},
            "suites": {model: tallies.mean_of(suites, model) for model in tallies.MODELS},
        },
        "slices_pooled": {model: tallies.pooled(score.rates[model] for score in slices) for model in tallies.MODELS},
        "training_sets": Counter((row["set"], row["origin"]) for row in tables["trainset"]),
        "label_sources": Counter(row["label_from"] for row in tables["trainset"] if row.get("label_from")),
        "trainset_rows": sum(row["set"] == "audited" for row in tables["trainset"]),
        "left_out": tallies.left_out(evidence),
        "success": success,
        "prompted": prompted,
        "times_prompted": _ratio(success, prompted),
        "true_precision": tallies.rate_in(summary, "true_failure_precision"),
        "validity": tallies.rate_in(summary, "validity"),
        "distinct_types": summary.get("distinct_failure_types"),
        "guard": summary.get("guard") if isinstance(summary.get("guard"), int | float) else None,
    }


def curves(evidence: Evidence) -> dict[str, object]:
    """The curves of training, and distinct failure types over probes where the truth is known."""
    measured = tallies.training_curves(evidence, tuple(CURVES))
    found = tallies.discovery(evidence)
    per_step = Counter((row["arm"], row["step"]) for row in evidence.tables["proposals"] if row["phase"] == "training")
    training = []
    for name, by_arm in measured.items():
        heading, is_share = CURVES[name]
        largest = max(value for points in by_arm.values() for _, value in points)
        svg = curve_svg(name, by_arm, x_label="step", share=is_share and largest <= 1)
        ends = (f"{tallies.ARMS.get(arm, arm)} ends at {points[-1][1]:.2f}" for arm, points in by_arm.items())
        training.append({"heading": heading, "svg": svg, "words": ", ".join(ends)})
    sizes = sorted(per_step.values())
    return {
        "training": training,
        "curve_arms": {arm: tallies.ARMS.get(arm, arm) for by_arm in measured.values() for arm in by_arm},
        "per_step": (sizes[0], sizes[-1]) if sizes else None,
        "smoothed_over": SMOOTHED_OVER,
        "discovery": curve_svg("discovery", found, x_label="probes", share=False, stairs=True, size=(9, 2.9))
        if found
        else None,
        "discovered": {arm: curve[-1] for arm, curve in found.items()},
        "type_from": tallies.TYPE_FROM,
    }


def roles(evidence: Evidence, config: Mapping[str, Any]) -> dict[str, Any]:
    """Names of auditor, target and references, from the answers or else from the configuration."""
    answered: dict[str, list[str]] = {"target": [], "reference": []}
    for row in evidence.tables["answers"]:
        if row["model"] not in answered.setdefault(row["role"], []):
            answered[row["role"]].append(row["model"])
    references = config.get("references")
    named = [_spec_name(spec) for spec in references] if isinstance(references, list) else []
    return {
        "auditor": _spec_name(config.get("auditor")),
        "target": answered["target"][0] if answered["target"] else _spec_name(config.get("target")),
        "references": answered["reference"] or [name for name in named if name],
    }


def _spec_name(spec: object) -> str | None:
    named = spec.get("model") if isinstance(spec, Mapping) else spec
    return str(named) if named else None


def command(environment: Mapping[str, Any]) -> str | None:
    """The command as a person would type it; None where it was not stored."""
    given = environment.get("command")
    return shlex.join(map(str, given)) if isinstance(given, list) else given


def steps(evidence: Evidence, examples: Sequence[Exhibit]) -> list[dict[str, object]]:
    """The stages of the loop, each with what leaves it, over the whole run; a table without rows is no count."""
    tables = evidence.tables
    failures = sum(row["outcome"] == "failure" for row in tables["verdicts"]) if tables["verdicts"] else None
    audited = sum(row["set"] == "audited" for row in tables["trainset"])
    changed = next((example for example in examples if example.original_id), None)
    shown = changed or next(iter(examples), None)
    loop = (
        ("Images", "the pool", "pictures", len(tables["sources"]) or None),
        ("Auditor", "proposes", "proposals", len(tables["proposals"]) or None),
        ("Probe", "picture, question", "probes", len(tables["probes"]) or None),
        ("Models", "target, references", "answers", len(tables["answers"]) or None),
        ("Verdict", "who stands alone", "failures", failures),
        ("Modes", "that look alike", "groups", len(tables["failure_modes"]) or None),
        ("Training set", "consensus labels", "rows", audited or None),
        ("Repaired target", "scored again", "", None),
    )
    thumbs = {"Images": shown.original_id or shown.picture_id, "Probe": shown.picture_id} if shown else {}
    return [
        {
            "name": name,
            "what": what,
            "unit": unit,
            "known": count is not None,
            "count": "not measured" if count is None else f"{count:,}",
            "thumb": thumbs.get(name),
        }
        for name, what, unit, count in loop
    ]


def revisions(evidence: Evidence) -> list[tuple[str, str, str | None]]:
    """Role, model and revision of all that answered, the target first."""
    return sorted(
        {(row["role"], row["model"], row.get("revision")) for row in evidence.tables["answers"]},
        key=lambda row: (row[0] != "target", row[1], row[2] or ""),
    )


def stages(summary: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What each stage cost; empty where the summary does not say."""
    told = summary.get("stages")
    return {name: stage for name, stage in told.items() if isinstance(stage, Mapping)} if told else {}


def _ratio(one: Rate | None, other: Rate | None) -> float | None:
    if one is None or other is None or one.value is None or not other.value:
        return None
    return one.value / other.value
