"""The last stage of an audit: search for failure modes, put each to the test on fresh pictures, and keep the ledger.

Writes the tables `findings` and `confirmations`, `search.json` and `references.json`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from auditdm.backends.turns import at_length
from auditdm.config import AuditConfig
from auditdm.method.attributes import Views
from auditdm.method.confirmation import LEAST, Entry
from auditdm.method.coverage import Smallest
from auditdm.runs.auditor_training import Tell
from auditdm.runs.causing import auditor_commands, find_causes
from auditdm.runs.describing import LONGEST, Describer, describing, names_of
from auditdm.runs.examining import Examiner
from auditdm.runs.pictures import Split
from auditdm.runs.probing import PoolProber
from auditdm.runs.reference_check import check_references
from auditdm.runs.searching import Effort, Found, Trial, search
from auditdm.store import Run
from auditdm.types import Model, content_id

BESIDE = 24  # probes just outside each condition of a name
SPREAD = 2  # proposals of which one is taken where least was asked


def confirm(
    run: Run, config: AuditConfig, split: Split, examiner: Examiner, auditor: Callable[[], Model], tell: Tell
) -> None:
    """Search with what discovery knows, and keep what was found; nothing where it is kept already.

    Args:
        run: Open for writing, after discovery.
        config: `confirmation.budget` calls of the target are spent at most.
        split: With a confirmation part.
        examiner: Asks and judges.
        auditor: Loads the auditor that proposes.
        tell: Called with ("described", ...) and ("cycle", ...).

    Raises:
        ModelError: A whole batch could not be answered. The same command resumes.

    Cost: the budget in calls of the target, those of the references to at most `probing.MOST_POSED` times as many
        probes, and a description for each picture.
    """
    if not (run.path / "search.json").exists():
        roles = examiner.roles
        reference = at_length(roles.references[0], LONGEST)
        if reference is not roles.references[0]:
            roles.spending.watch("references[0]", reference)
        describer = Describer(run, reference, config.confirmation.describe, tell)
        prober = PoolProber(run, config, split, examiner, auditor, describer)
        found = search(prober, effort_of(config), known=prober.known(), tell=tell)
        examiner.calls += describer.calls
        _keep(run, prober, found)
    check_references(run, examiner.roles.judge)


def explain(run: Run, config: AuditConfig, split: Split, examiner: Examiner, auditor: Model, tell: Tell) -> None:
    """Look for the cause of each finding: counterfactual pairs, by the run's editor.

    Cost: that of `causing.find_causes`, for `confirmation.pairs` pairs a finding.
    """
    prompt = config.confirmation.describe
    references = [at_length(r, LONGEST) for r in examiner.roles.references]
    names = names_of(run, split.discovery, Describer(run, references[0], prompt, tell))
    find_causes(
        run,
        examiner,
        run.rows("findings"),
        describe=[describing(r, prompt) for r in references],
        names=names,
        commands=auditor_commands(auditor, examiner.roles.prompts),
        pairs=config.confirmation.pairs,
        tell=tell,
    )


def effort_of(config: AuditConfig) -> Effort:
    """How an audit's search spends its budget: most on testing, for training and discovery have looked around."""
    budget, fresh, smallest = config.confirmation.budget, config.confirmation.fresh, config.confirmation.smallest
    return Effort(
        budget=budget, chunk=max(32, budget // 16), spread=SPREAD, inside=fresh, beside=BESIDE, tries=1, confirm=fresh,
        beside_confirm=fresh, least=LEAST, smallest=Smallest(smallest.prevalence, smallest.rate),
    )  # fmt: skip


def ledger_figures(run: Run) -> dict[str, Any]:
    """`modes_confirmed` and `calls_per_confirmed_gap` for summary.json; absent where nothing was tested or confirmed.

    The calls are all that the audit put to the target: in training, in discovery and in confirmation.
    """
    if not (run.path / "search.json").exists():
        return {}
    confirmed = sum(row["state"] == "confirmed" for row in run.rows("findings"))
    arms = ("trained", "prompt_only")
    audited = {
        p["probe_id"] for p in run.rows("proposals") if p["arm"] in arms and p["phase"] in ("training", "discovery")
    } - {None}
    calls = len(audited) + json.loads((run.path / "search.json").read_text())["calls"]
    return {"modes_confirmed": confirmed} | (
        {"calls_per_confirmed_gap": round(calls / confirmed, 1)} if confirmed else {}
    )


def finding_id(entry: Entry) -> str:
    """Of a mode, by what it says."""
    return content_id("finding", entry.predicate.as_json())


def _keep(run: Run, prober: PoolProber, found: Found) -> None:
    tested = list(zip(found.entries, found.trials, strict=True))
    run.append("confirmations", [row for entry, trial in tested for row in _confirmations(entry, trial, prober)])
    run.append("findings", [_finding(entry, trial, prober) for entry, trial in tested])
    told = {
        "calls": found.calls, "curve": [list(point) for point in found.curve], "unseen": found.unseen,
        "usual": found.usual.as_dict(), "stopped": found.stopped, "hits": found.hits, "asked": found.asked,
        "void": found.void,
    }  # fmt: skip
    run.write_json("search.json", told)


def _confirmations(entry: Entry, trial: Trial, prober: PoolProber) -> list[dict[str, Any]]:
    finding = finding_id(entry)
    return [
        {
            "id": content_id(finding, role, probe), "finding_id": finding, "probe_id": probe, "role": role,
            "failed": prober.said[probe],
            "failed_again": prober.said_again[probe] if role == "inside" and probe in trial.again else None,
        }
        for role, probes in (("inside", trial.inside), ("beside", trial.beside))
        for probe in probes
    ]  # fmt: skip


def _finding(entry: Entry, trial: Trial, prober: PoolProber) -> dict[str, Any]:
    e = entry.evidence
    by_outcome = {failed: [p for p in trial.inside if prober.said[p] is failed] for failed in (True, False)}
    failing, passing = (
        [by_outcome[failed][n] for n in most_typical([prober.questions.views[p] for p in by_outcome[failed]])]
        for failed in (True, False)
    )
    return {
        "id": finding_id(entry), "name": entry.predicate.words(), "predicate": entry.predicate.as_json(),
        "state": entry.state, "reason": entry.reason, "hits": e.inside.hits, "asked": e.inside.asked,
        "void": e.inside.void, "base_hits": e.base.hits, "base_asked": e.base.asked, "splits": e.splits.hits,
        "posed": e.splits.asked, "again_hits": e.again.hits, "again_asked": e.again.asked,
        "decoy_floor": entry.decoy_floor, "p": entry.p, "q": entry.q, "failing": failing, "passing": passing,
    }  # fmt: skip


def most_typical(views: Sequence[Views]) -> list[int]:
    """Places of probes, those first that have most attributes in common with the others (mean Jaccard overlap).

    Example:
        >>> most_typical([(frozenset("x"),), (frozenset("ab"),), (frozenset("abc"),)])
        [2, 1, 0]
    """
    told = [frozenset[str]().union(*v) for v in views]
    near = [sum(len(one & other) / (len(one | other) or 1) for other in told) for one in told]
    wide = [len(one) for one in told]
    return sorted(range(len(told)), key=lambda n: (-near[n], -wide[n], n))
