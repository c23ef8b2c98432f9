"""`quorum: auto`: how many references have to agree, chosen before anything is audited.

They answer the pool's own questions; how often they agree and who stands alone says how often a consensus of so many is
expected to be wrong (`method.panel`). The smallest quorum within the bound is taken. An auditor learns to ask what is harder
than these questions, so `references.json` says afterwards what its own would have allowed.

Source: ours.
"""

from __future__ import annotations

from dataclasses import replace

from auditdm.config import AuditConfig
from auditdm.method.panel import choose_quorum, fit
from auditdm.method.probe import probe_id
from auditdm.runs.examining import Examiner, probe_row
from auditdm.runs.pictures import Split
from auditdm.runs.reference_check import QUORUM_FILE, ballots, chosen_quorum
from auditdm.runs.roles import Roles
from auditdm.store import Run
from auditdm.types import Probe, Proposal

TRIED = 400  # of the pool's own questions, at most
LEAST = 100  # and at least: of fewer nothing is concluded


def settle_quorum(run: Run, config: AuditConfig, examiner: Examiner, split: Split) -> None:
    """Try the references on the pool's own questions and write what follows to RUN/quorum.json, once.

    Args:
        run: Open for writing.
        config: Its quorum is "auto".
        examiner: Asks the references; from now on it judges by the quorum that was chosen.
        split: Questions on its training pictures are asked.

    Raises:
        ModelError: A whole batch could not be answered. The same command resumes.
        StoreError: The disk refused.

    Cost: `TRIED` answers of each reference, and none of the target.
    """
    if chosen_quorum(run) is None:
        asked = [(i, q) for i in split.training if (q := split.questions.get(i)) is not None][:TRIED]
        names = [spec.model for spec in config.references]
        found = choose_quorum(None, len(names))
        if len(asked) < LEAST:
            reason = (
                f"the pool has {len(asked)} questions of its own and {LEAST} are needed: all {len(names)} have to agree"
            )
            found = replace(found, reason=reason)
        else:
            probes = [_probe(split, source, question) for source, question in asked]
            consulted = examiner.consult(probes)
            run.append("probes", [probe_row(p, run.save_picture(p.image)) for p in probes])
            run.append("answers", [row for c in consulted for row in c.answers])
            panel = fit(ballots(run, [p.id for p in probes], names, examiner.roles.judge))
            found = choose_quorum(panel, len(names))
        told = {"agreeing": found.agreeing, "of": found.of, "expected": found.expected, "reason": found.reason}
        run.write_json(QUORUM_FILE, told | {"probes": len(asked) if len(asked) >= LEAST else 0})
    examiner.roles = with_quorum(run, examiner.roles)


def with_quorum(run: Run, roles: Roles) -> Roles:
    """The roles with the quorum that was chosen for this run, if one was."""
    share = chosen_quorum(run)
    return roles if share is None else replace(roles, quorum=share)


def _probe(split: Split, source: str, question: str) -> Probe:
    image = split.pictures[source]
    proposal = Proposal(source_id=source, action="question", question=question)
    return Probe(id=probe_id(image, question), proposal=proposal, image=image)
