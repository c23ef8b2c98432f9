"""Put the findings of a run to other models: whose weakness is it? `auditdm replay RUN --target M`.

Every model gets the finding's own fresh probes and those beside them, in the run's first wording, and its answers are held
against the consensus of the run's references by the run's judge and rule. What is written: `replays.json` (the matrix) and
`replays/<id>.json` (one per model: its answers). The tables stay as they are, and so does the marker DONE.

Source: ours; the question is left open in arXiv:2512.16921. `method.transfer` says what the verdicts mean.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from auditdm.backends.specs import load_judge, resolved
from auditdm.config import AuditConfig, ModelSpec, parse_config
from auditdm.environment import environment
from auditdm.errors import StoreError
from auditdm.runs.auditor_training import Tell
from auditdm.runs.replay_matrix import Asked, Material, Posed, material_of, matrix
from auditdm.runs.roles import model_from
from auditdm.runs.stages import quiet
from auditdm.runs.usage import Spending
from auditdm.store import Run
from auditdm.types import Judge, Model, content_id

CHUNK = 256  # probes, after which the answers are on the disk


def replay(
    path: str | Path,
    targets: Sequence[str | ModelSpec | Model],
    *,
    judge: Judge | None = None,
    limit: int | None = None,
    again: bool = False,
    tell: Tell = quiet,
) -> dict[str, Any]:
    """Ask other models what the confirmed findings of a run ask, and say which of them are shared.

    The audited target is the first column; its answers come from the tables, as do those of a reference. A model of the
    same name and revision is asked nothing twice, except where it was silent, so a killed replay goes on.

    Args:
        path: A run folder of `audit` with confirmed findings.
        targets: Specs, or models; none only writes the matrix of the models that were replayed before.
        judge: None: the run's own. Another one judges every kept answer anew; the target's verdicts stay.
        limit: At most so many probes inside each finding and beside it; None: all.
        again: Ask everything anew, such as a server that tells no revision.
        tell: Called with ("stage", ...), ("replayed", {"model", "done", "of", "void"}) and ("spent", ...).

    Returns:
        What `replays.json` holds: models, findings with a cell for each model, similarity of each two models, groups of
        findings that the same models share. What was not measured is None or void.

    Raises:
        AuditError: The run has no findings, or none was confirmed.
        ConfigError: Nothing is known under a spec; found before any model is asked.
        ModelError: A model cannot be loaded or a whole batch failed; what was answered before is kept.
        StoreError: There is no run, or another process writes in it.

    Cost: one answer per model and distinct probe, one judgement, and up to 2 * (R - 1) more where it differs.
    """
    found = Run.read(path)
    material = material_of(found)
    config = parse_config(found.config, str(found.path / "config.yaml"))
    specs = [ModelSpec(model=one) if isinstance(one, str) else one for one in targets]
    for spec in specs:
        if isinstance(spec, ModelSpec):
            resolved("model", spec.model)
    with Run.open(path, found.config, environment()) as run:
        judging = judge or load_judge(config.judge.name, **config.judge.options)
        judged_by = None if judge else content_id(json.dumps(found.config.get("judge")))
        spending = Spending()
        spending.watch("judge.model", getattr(judging, "asked", None))
        wanted = _wanted(material, limit)
        for spec in specs:
            model = model_from(spec, seed=config.seed) if isinstance(spec, ModelSpec) else spec
            tell("stage", {"name": f"replay {model.name}"})
            if (model.name, model.revision) == (material.target.model, material.target.revision):
                tell("replayed", {"model": model.name, "done": len(wanted), "of": len(wanted), "void": 0})
                continue
            spending.watch(f"replay {model.name}", model)
            try:
                _ask(run, material, model, wanted, config, again, tell)
            finally:
                spending.keep(run)
            del model  # the next one may need its memory
        try:
            for kept in _kept(run):
                _judge(run, material, kept, judging, judged_by)
        finally:
            if spent := spending.keep(run):
                tell("spent", spent)
        told = matrix(material, [material.target, *(_asked(run, material, kept) for kept in _kept(run))])
        run.write_json("replays.json", told)
    return told


# --- what is asked


def _wanted(material: Material, limit: int | None) -> list[Posed]:
    ids = [
        probe
        for f in material.findings
        for role in (material.inside, material.beside)
        for probe in role[f["id"]][:limit]
    ]
    return [material.posed[probe] for probe in dict.fromkeys(ids)]


# --- what is kept of a model: {"model", "revision", "number", "judge", "answers": {probe: [text, problem]}, "failed"}


def _file(model: str, revision: str | None) -> str:
    return f"replays/{content_id(model, revision or '')}.json"


def _kept(run: Run) -> list[str]:
    """The files of all models, in the order in which they came."""
    names = [f"replays/{path.name}" for path in (run.path / "replays").glob("*.json") if path.name[0] != "."]
    return sorted(names, key=lambda name: (_read(run, name)["number"], name))


def _read(run: Run, name: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((run.path / name).read_text("utf-8"))
    except (OSError, ValueError) as problem:
        raise StoreError(f"{run.path / name}: damaged ({problem}). Delete it; its model is asked again.") from problem
    return found


def _ask(
    run: Run, material: Material, model: Model, wanted: Sequence[Posed], config: AuditConfig, again: bool, tell: Tell
) -> None:
    """Put to a model what it has not answered yet."""
    name = _file(model.name, model.revision)
    known: dict[str, Any] = _read(run, name) if (run.path / name).exists() else {"number": len(_kept(run))}
    if again or "answers" not in known:
        said = material.references.get((model.name, model.revision), {})
        known = {
            "model": model.name, "revision": model.revision, "number": known["number"], "judge": None,
            "answers": {p.id: [said[p.id], None] for p in wanted if p.id in said}, "failed": {},
        }  # fmt: skip

    def told(done: int) -> None:
        void = sum(text is None for text, _ in known["answers"].values())
        tell("replayed", {"model": model.name, "done": done, "of": len(wanted), "void": void})

    missing = [p for p in wanted if known["answers"].get(p.id, [None])[0] is None]
    for start in range(0, len(missing), CHUNK):
        posed = missing[start : start + CHUNK]
        asked = [(run.picture(p.picture), config.wordings[0].replace("{question}", p.question)) for p in posed]
        for p, answer in zip(posed, model.generate(asked), strict=True):
            known["answers"][p.id] = [answer.text, answer.problem]
            known["failed"].pop(p.id, None)
        run.write_json(name, known)
        told(len(wanted) - len(missing) + start + len(posed))
    if not missing:
        run.write_json(name, known)
        told(len(wanted))


def _judge(run: Run, material: Material, name: str, judge: Judge, judged_by: str | None) -> None:
    """Judge the answers of a model that were not judged, or not by this judge."""
    known = _read(run, name)
    if judged_by is None or known["judge"] != judged_by:
        known |= {"judge": judged_by, "failed": {}}
    open_ones = [p for p in material.posed.values() if p.id in known["answers"] and p.id not in known["failed"]]
    for start in range(0, len(open_ones), CHUNK):
        posed = open_ones[start : start + CHUNK]
        said = [known["answers"][p.id][0] for p in posed]
        known["failed"] |= zip([p.id for p in posed], failures(posed, said, judge), strict=True)
        run.write_json(name, known)


def failures(posed: Sequence[Posed], said: Sequence[str | None], judge: Judge) -> list[bool | None]:
    """Say of each answer whether it differs from what the references agree on, by the rule of `method.verdict`.

    Args:
        posed: N probes.
        said: N answers of one model; None where there is none.
        judge: Decides which answers mean the same.

    Returns:
        N values: True where it differs from the consensus and from every reference that shares it; None where there is no
        answer or the judge cannot tell.

    Cost: N judgements, and two for each other wording of a reference where the answer is not the consensus.
    """
    spoken = {n: text for n, text in enumerate(said) if text is not None}
    same = dict(
        zip(spoken, judge.same([(posed[n].question, t, posed[n].consensus) for n, t in spoken.items()]), strict=True)
    )
    doubted = [(n, other) for n, s in same.items() if not s for other in posed[n].others]
    like = judge.same([(posed[n].question, spoken[n], other) for n, other in doubted])
    agreeing = judge.same([(posed[n].question, posed[n].consensus, other) for n, other in doubted])
    with_agreed: dict[int, list[bool | None]] = {n: [s] for n, s in same.items()}
    for (n, _), one, agrees in zip(doubted, like, agreeing, strict=True):
        if agrees:
            with_agreed[n].append(one)
    return [_differs(with_agreed.get(n, [None])) for n in range(len(posed))]


def _differs(same: Sequence[bool | None]) -> bool | None:
    return False if True in same else None if None in same else True


def _asked(run: Run, material: Material, name: str) -> Asked:
    known = _read(run, name)
    who = (known["model"], known["revision"])
    return Asked(
        model=known["model"],
        revision=known["revision"],
        role="reference" if who in material.references else "other",
        failed=known["failed"],
        problem=next((problem for text, problem in known["answers"].values() if text is None), None),
    )
