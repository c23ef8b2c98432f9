"""An auditor at work: it proposes on pictures that its training never showed, and what comes of it is asked and kept.

Source: arXiv:2512.16921, failures found at inference by one pass of the auditor, no search. Differs: docs/method.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from auditdm.config import AuditConfig
from auditdm.method.allocation import shares_by_pay
from auditdm.method.auditor import prompt_for
from auditdm.method.promise import promise
from auditdm.runs.auditor_training import Kind, Tell, kinds_of_requests, one_request
from auditdm.runs.examining import Examined, Examiner, record
from auditdm.runs.pictures import Split
from auditdm.runs.roles import Roles, loaded, model_from
from auditdm.runs.trainer_options import longest_reply
from auditdm.store import Run
from auditdm.types import Model


def auditor_of(run: Run, config: AuditConfig, arm: str) -> Model:
    """The auditor of one arm, sampling: trained weights from the run folder, or the untrained one."""
    sampled: dict[str, Any] = {
        "temperature": config.discovery.temperature,
        "max_new_tokens": longest_reply(config.auditor),
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
