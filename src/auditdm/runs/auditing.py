"""An audit from start to end, in a folder: train the auditor, discover on fresh pictures, confirm what was found.

Every stage skips what the run folder already has, so the same command resumes an interrupted run.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from auditdm.config import AuditConfig
from auditdm.environment import environment
from auditdm.method.modes import Measured, failure_modes
from auditdm.runs.auditor_training import Tell, train_auditor
from auditdm.runs.compared import REWARDS, arms_beside, goes_beside
from auditdm.runs.discovery import discover, loaded_auditor
from auditdm.runs.examining import Examiner
from auditdm.runs.ledger_keeping import confirm, explain, ledger_figures
from auditdm.runs.pictures import split_pool
from auditdm.runs.quorum import settle_quorum
from auditdm.runs.roles import Roles, fill_roles
from auditdm.runs.stages import Stages, quiet
from auditdm.runs.trainer_options import check_options
from auditdm.runs.wording import describers, word_findings
from auditdm.store import Run


def audit(config: AuditConfig, path: str | Path | None = None, *, tell: Tell = quiet) -> Run:
    """Find questions and pictures on which the target stands alone.

    Args:
        config: Who audits whom, on what, and how long.
        path: The run folder; `config.run`, or runs/audit, when None. If it has a part of this audit, the rest is done.
        tell: Called with (event, values) while it goes: "stage", "step", "discovered", "cycle", "causes" and others.

    Returns:
        The finished run, closed. Its tables are described in docs/run-folder.md.

    Raises:
        ConfigError: Something in the configuration cannot be.
        ModelError: A model cannot be loaded or a whole batch failed. The same command resumes.
        StoreError: The folder is another audit's, in use, or cannot be written.

    Source: arXiv:2512.16921. Differs: docs/method.md lists each departure.

    Cost: (training.steps * training.batch per trained arm + discovery.probes per arm) * (1 + R) answers for R
        references, less what repeats; and confirmation.budget answers of the target, each with those of the references
        to a handful of probes that were posed and not asked.
    """
    with Run.open(path or config.run or Path("runs/audit"), config.model_dump(mode="json"), environment()) as run:
        if not run.finished:
            perform(run, config, fill_roles(config), tell)
            run.finish()
    return run


def perform(run: Run, config: AuditConfig, roles: Roles, tell: Tell) -> None:
    """Every stage of an audit, in order, in an open run."""
    check_options(config)
    stages, rewards = Stages(run, tell), {"trained": config.reward, **REWARDS}
    run.write_json("models.json", roles.revisions)
    examiner = Examiner(roles)
    examiner.recall(run.rows("answers"))
    with stages.timed("pictures", examiner):
        split = split_pool(config, run)
    if config.quorum == "auto":
        with stages.timed("quorum", examiner):
            settle_quorum(run, config, examiner, split)
    with arms_beside(run, config, stages):
        here = [arm for arm in ("trained", *config.compare) if not goes_beside(config, arm)]
        for arm in here:
            if arm in rewards and config.training.steps:
                with stages.timed(f"training {arm}", examiner):
                    if roles.turns:
                        roles.turns.clear()
                    train_auditor(run, config, split, examiner, arm=arm, reward=rewards[arm], tell=tell)
        for arm in here:
            with stages.timed(f"discovery {arm}", examiner):
                auditor = loaded_auditor(run, config, roles, arm)
                discover(run, config, split, examiner, auditor, arm=arm, tell=tell)
    examiner.recall(run.rows("answers"))
    with stages.timed("modes", examiner):
        group(run)
    if config.confirmation.budget:
        with stages.timed("confirmation", examiner):
            confirm(run, config, split, examiner, partial(loaded_auditor, run, config, roles, "prompt_only"), tell)
        if roles.editor is not None and config.confirmation.pairs:
            with stages.timed("causes", examiner):
                explain(run, config, split, examiner, loaded_auditor(run, config, roles, "trained"), tell)
        if config.confirmation.proposer is not None:
            with stages.timed("words", examiner):
                word_findings(run, partial(describers, config, roles), tell)
        told = run.path / "summary.json"
        known = json.loads(told.read_text()) if told.exists() else {}
        run.write_json("summary.json", known | ledger_figures(run))


def group(run: Run) -> None:
    """Group every failure of the trained auditor and of the untrained one into modes, next to the agreements."""
    decided = {r["id"]: r for r in run.rows("verdicts") if r["outcome"] in ("failure", "agreement")}
    audited = {
        p["probe_id"]
        for p in run.rows("proposals")
        if p["arm"] in ("trained", "prompt_only") and p["phase"] in ("training", "discovery")
    }
    measured = [
        Measured(
            probe_id=p["id"],
            question=p["question"],
            consensus=decided[p["id"]]["consensus"],
            target_answer=decided[p["id"]]["target_answer"],
            failed=decided[p["id"]]["outcome"] == "failure",
        )
        for p in run.rows("probes")
        if p["id"] in decided and p["id"] in audited
        and (decided[p["id"]]["outcome"] == "agreement" or decided[p["id"]]["self_consistent"])
    ]  # fmt: skip
    rows = [
        {
            "id": m.id,
            "name": m.name,
            "description": m.description,
            "probe_ids": list(m.probe_ids),
            "measured": m.measured,
        }
        for m in failure_modes(measured)
    ]
    run.append("failure_modes", rows)
