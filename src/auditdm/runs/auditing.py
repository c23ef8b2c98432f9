"""An audit from start to end, in a folder: train the auditor, discover on fresh pictures, confirm what was found.

Every stage skips what the run folder already has, so the same command resumes an interrupted run.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from auditdm.config import AuditConfig
from auditdm.environment import environment
from auditdm.method.allocation import shares_by_pay
from auditdm.method.auditor import prompt_for
from auditdm.method.modes import Measured, failure_modes
from auditdm.method.promise import promise
from auditdm.runs.auditor_training import Kind, Tell, kinds_of_requests, one_request, train_auditor
from auditdm.runs.examining import Examined, Examiner, record
from auditdm.runs.ledger_keeping import confirm, explain, ledger_figures
from auditdm.runs.pictures import Split, split_pool
from auditdm.runs.roles import Roles, fill_roles, loaded, model_from
from auditdm.runs.trainer_options import MAX_REPLY_TOKENS, check_options
from auditdm.store import Run
from auditdm.types import Model

log = logging.getLogger(__name__)


def quiet(_event: str, _values: Mapping[str, Any]) -> None:
    """Tell nobody."""


def audit(config: AuditConfig, path: str | Path | None = None, *, tell: Tell = quiet) -> Run:
    """Find questions and pictures on which the target stands alone.

    Args:
        config: Who audits whom, on what, and how long.
        path: The run folder; `config.run`, or runs/audit, when None. If it has a part of this audit, the rest is done.
        tell: Called with (event, values) while it goes: "stage", "step", "discovered".

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
    stages = Stages(run, tell)
    run.write_json("models.json", roles.revisions)
    examiner = Examiner(roles)
    examiner.recall(run.rows("answers"))
    with stages.timed("pictures", examiner):
        split = split_pool(config, run)
    arms: dict[str, str] = {"trained": config.reward}
    if "paper_reward" in config.compare:
        arms["paper_reward"] = "paper"
    for arm, reward in arms.items() if config.training.steps else ():
        with stages.timed(f"training {arm}", examiner):
            if roles.turns:
                roles.turns.clear()
            train_auditor(run, config, split, examiner, arm=arm, reward=reward, tell=tell)
    for arm in ("trained", *config.compare):
        with stages.timed(f"discovery {arm}", examiner):
            auditor = loaded_auditor(run, config, roles, arm)
            discover(run, config, split, examiner, auditor, arm=arm, tell=tell)
    with stages.timed("modes", examiner):
        group(run)
    if config.confirmation.budget:
        with stages.timed("confirmation", examiner):
            confirm(run, config, split, examiner, partial(loaded_auditor, run, config, roles, "prompt_only"), tell)
        if roles.editor is not None and config.confirmation.pairs:
            with stages.timed("causes", examiner):
                explain(run, config, split, examiner, loaded_auditor(run, config, roles, "trained"), tell)
        told = run.path / "summary.json"
        known = json.loads(told.read_text()) if told.exists() else {}
        run.write_json("summary.json", known | ledger_figures(run))


def auditor_of(run: Run, config: AuditConfig, arm: str) -> Model:
    """The auditor of one arm, sampling: trained weights from the run folder, or the untrained one."""
    sampled: dict[str, Any] = {
        "temperature": config.discovery.temperature,
        "max_new_tokens": MAX_REPLY_TOKENS,
        "seed": config.seed,
    }
    folder = run.path / "models" / f"auditor-{arm}"
    if arm == "prompt_only" or config.training.steps == 0:
        return model_from(config.auditor, **sampled)
    if (folder / "adapter_config.json").exists():
        return model_from(config.auditor, adapter=str(folder), **sampled)
    return model_from(config.auditor, weights=folder, **sampled)


def loaded_auditor(run: Run, config: AuditConfig, roles: Roles, arm: str) -> Model:
    """The same, taking turns if there are any, and watched."""
    auditor = loaded(roles.turns, partial(auditor_of, run, config, arm))
    roles.spending.watch("auditor", auditor)
    return auditor


def discover(
    run: Run, config: AuditConfig, split: Split, examiner: Examiner, auditor: Model, *, arm: str, tell: Tell
) -> None:
    """Let an auditor propose `discovery.probes` times on pictures unseen in training; one forward pass each, no search.

    Cost: `discovery.probes` replies of the auditor, and the answers to what comes of them.
    """
    _propose(run, config, split, split.discovery, examiner, auditor, arm, "discovery", config.discovery.probes, tell)


def propose_more(
    run: Run, config: AuditConfig, split: Split, examiner: Examiner, *, arm: str, phase: str, count: int, tell: Tell
) -> None:
    """The same on training pictures, under another phase's name: raw material for training sets."""
    auditor = loaded_auditor(run, config, examiner.roles, arm)
    _propose(run, config, split, split.training, examiner, auditor, arm, phase, count, tell)


def _propose(
    run: Run, config: AuditConfig, split: Split, ids: tuple[str, ...], examiner: Examiner, auditor: Model, arm: str,
    phase: str, count: int, tell: Tell,
) -> None:  # fmt: skip
    done, size = run.ids("proposals"), config.discovery.batch
    promising = promising_pictures(run, split, ids, arm)
    shares = paying_kinds(run, config, arm)
    requests = [one_request(config, split, ids, arm, phase, n // size, n, promising, shares) for n in range(count)]
    for start in range(0, count, size):
        batch = requests[start : start + size]
        if all(r.id in done for r in batch):
            continue
        asked = [(split.pictures[r.source_id], prompt_for(examiner.roles.prompts, r.action, r.question)) for r in batch]
        answers = auditor.generate(asked)
        heard = [(r, a.text) for r, a in zip(batch, answers, strict=True) if a.text is not None]
        examined = examiner.examine([r for r, _ in heard], [t for _, t in heard], split.pictures)
        examined += [
            Examined(request=r, reply="", void=f"the auditor gave no reply: {a.problem}")
            for r, a in zip(batch, answers, strict=True)
            if a.text is None
        ]
        record(run, examined)
        tell("discovered", {
            "arm": arm, "phase": phase, "done": start + len(batch), "of": count,
            "failures": sum(e.is_failure for e in examined), "asked": len(examined),
        })  # fmt: skip


def paying_kinds(run: Run, config: AuditConfig, arm: str) -> dict[Kind, float]:
    """Shares of the acts by what they brought in the second half of this arm's training, if it did train."""
    outcomes = {v["id"]: v["outcome"] == "failure" and bool(v["self_consistent"]) for v in run.rows("verdicts")}
    paid: list[tuple[Kind, bool]] = [
        ((p["action"], p["given_question"]), outcomes.get(p["probe_id"], False))
        for p in run.rows("proposals")
        if p["arm"] == arm and p["phase"] == "training" and 2 * p["step"] >= config.training.steps
    ]
    return shares_by_pay(paid, kinds_of_requests(config))


def promising_pictures(run: Run, split: Split, ids: Sequence[str], arm: str) -> dict[str, float]:
    """Weights of the pictures that have a question of their own, learnt from what this arm tried in training, if it did."""
    hits = {v["id"] for v in run.rows("verdicts") if v["outcome"] == "failure" and v["self_consistent"]}
    tried = sorted(
        (p["step"], p["id"], p["prompt_question"], p["probe_id"] in hits)
        for p in run.rows("proposals")
        if p["arm"] == arm and p["phase"] == "training" and p["given_question"] and p["void"] is None
    )
    if not tried:
        return {}
    asking = {i: question for i in ids if (question := split.questions.get(i)) is not None}
    weights = promise([(question, hit) for _, _, question, hit in tried], list(asking.values()))
    return dict(zip(asking, weights, strict=True))


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


class Stages:
    """Times the stages of a run and counts their model calls, in `stages.json`; a resumed stage adds up."""

    def __init__(self, run: Run, tell: Tell) -> None:
        self._run, self._tell = run, tell
        self._name, self._began, self._before = "", 0.0, (0, 0)
        self._examiner: Examiner | None = None

    def timed(self, name: str, examiner: Examiner | None = None) -> Stages:
        """Use as `with stages.timed("discovery", examiner):`."""
        self._name, self._examiner = name, examiner
        return self

    def __enter__(self) -> None:
        self._tell("stage", {"name": self._name})
        self._began = time.perf_counter()
        self._before = (self._examiner.calls, self._examiner.cached) if self._examiner else (0, 0)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        path = self._run.path / "stages.json"
        known: dict[str, dict[str, float]] = json.loads(path.read_text()) if path.exists() else {}
        entry = known.setdefault(self._name, {"wall_s": 0.0, "model_calls": 0, "cached": 0})
        entry["wall_s"] = round(entry["wall_s"] + time.perf_counter() - self._began, 2)
        if self._examiner:
            entry["model_calls"] += self._examiner.calls - self._before[0]
            entry["cached"] += self._examiner.cached - self._before[1]
        self._run.write_json("stages.json", known)
        if self._examiner and (spent := self._examiner.roles.spending.keep(self._run)):
            self._tell("spent", spent)
