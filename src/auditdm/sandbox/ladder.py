"""Seven ways to audit one target of the zoo side by side, with one budget and one yardstick.

    python -m auditdm.sandbox.ladder [--target sandbox/target-many] [--seeds 0] [--steps 140] [--probes 1000]
                                     [--rungs 1 2 3 4 5 6 7] [--out runs/ladder.json]

T = training.steps * training.batch probes come before the last D = discovery.probes, on pictures of their own. Each rung
is a run folder, ladder-TARGET-SEED/RUNG beside `--out`; given again, the command resumes, and a finished rung is read.
Rungs 1 to 4 go on until T + D proposals became probes (and give up after four times as many). Rungs 5 to 7 are audits as
they are: T + D proposals, and what is malformed or declined is theirs to lose. A repeated probe costs no call, in any
rung. So target calls are not equal to the last one: those truly made are told of each rung. Every figure comes from the
oracle; nothing is named or confirmed.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import statistics
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil, exp, log
from pathlib import Path
from typing import Any

from auditdm.config import AuditConfig
from auditdm.environment import environment
from auditdm.errors import AuditError
from auditdm.method.archive import Cell, cell_of
from auditdm.method.auditor import prompt_for
from auditdm.method.probe import draw
from auditdm.runs.auditing import perform
from auditdm.runs.auditor_training import Tell, one_request
from auditdm.runs.discovery import loaded_auditor, promising_pictures
from auditdm.runs.examining import Examined, Examiner, Request, read_reply, record
from auditdm.runs.pictures import Split, split_pool
from auditdm.runs.roles import fill_roles
from auditdm.runs.stages import Stages
from auditdm.sandbox.auditor_lessons import teach_auditor
from auditdm.sandbox.demo import demo_config
from auditdm.sandbox.language import ALL_SKILLS, random_question
from auditdm.sandbox.renderer import read
from auditdm.sandbox.truth import failure_types, figures, tell_truth
from auditdm.sandbox.world import Scene
from auditdm.sandbox.zoo import ZOO, model_folder
from auditdm.store import Run
from auditdm.types import Model, Probe, Proposal, seed_for

FOLDERS = {
    1: "1-random-questions",
    2: "2-prompt-only",
    3: "3-prompt-archive",
    4: "4-rejection-sft",
    5: "5-grpo-paper",
    6: "6-grpo-gated",
    7: "7-grpo-gated-archive",
}
NAMES = {
    1: "random valid questions",
    2: "prompt-only",
    3: "prompt + archive",
    4: "rejection-sampling SFT",
    5: "GRPO, the paper's reward",
    6: "GRPO, gated",
    7: "GRPO, gated + archive",
}
REWARDS = {5: "paper", 6: "gated_only", 7: "gated"}
FIGURES = ("target_calls", "search_success", "true_failure_precision", "validity", "types_in_discovery",
           "distinct_failure_types", "effective_types", "calls_per_type")  # fmt: skip
OF = 4  # proposals that the references see for each that the target sees, with the archive
PATIENCE = 4  # times as many proposals as probes are wanted, before a rung gives up
_PICTURES = 200  # tried for a question of one skill

Posed = list[tuple[Request, str | None]]  # what is put to the target; None: the auditor was mute
Pose = Callable[[str, int, int], Posed]  # (phase, batch, how many at most)


def ladder(
    target: str = "sandbox/target-many",
    seeds: Sequence[int] = (0,),
    rungs: Sequence[int] = tuple(NAMES),
    out: Path = Path("runs/ladder.json"),
    **changes: Any,
) -> list[dict[str, Any]]:
    """Climb the rungs with every seed; `out` is written anew after each.

    Args:
        target: A model of the zoo with planted gaps.
        seeds: Of pictures, chance and trainings.
        rungs: Keys of `NAMES`.
        out: The file that a report shows; run folders lie beside it.
        changes: Keys of the configuration, over those of sandbox/demo.yaml; see `rung_config` for `steps` and `probes`.

    Returns:
        What the file holds: for each rung its name, the number of runs, and every figure's median, least and most over
        the seeds. A figure that one of the runs lacks is None: a median over the others would flatter.

    Raises:
        AuditError: The target is not of the zoo, or a run folder belongs to another configuration.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    found: dict[int, list[dict[str, Any]]] = {rung: [] for rung in rungs}
    for seed in seeds:
        for rung in rungs:
            config = rung_config(rung, target, seed, **changes)
            path = out.parent / f"ladder-{target.removeprefix('sandbox/')}-{seed}" / FOLDERS[rung]
            found[rung].append(climb(rung, path, config, _printing(f"{NAMES[rung]}, seed {seed}")))
            rows = [_spread(NAMES[r], told) for r, told in found.items() if told]
            out.write_text(json.dumps(rows, indent=1) + "\n")
    return rows


def rung_config(
    rung: int, target: str, seed: int, *, steps: int | None = None, probes: int | None = None, **changes: Any
) -> AuditConfig:
    """The demo's configuration with this target and nothing beside or after the search.

    Args:
        rung: Decides the reward; nothing else differs.
        target: Who is audited.
        seed: Of the run.
        steps: Of the training; T is so many batches. None: as in the demo.
        probes: Of the discovery, D. None: as in the demo.
        changes: Other keys of the configuration, over the demo's.
    """
    told = demo_config().model_dump(mode="json") | changes
    training = told["training"] | ({} if steps is None else {"steps": steps})
    discovery = told["discovery"] | ({} if probes is None else {"probes": probes})
    fixed = {
        "target": told["target"] | {"model": target},
        "training": training,
        "discovery": discovery,
        "reward": REWARDS.get(rung, "gated"),
        "compare": [],
        "confirmation": told["confirmation"] | {"budget": 0},
    }
    return demo_config(seed, **(changes | fixed))


def climb(rung: int, path: Path, config: AuditConfig, tell: Tell) -> dict[str, Any]:
    """One rung with one seed, in its run folder; a finished one is read, an interrupted one resumed.

    Returns:
        The figures by the names of `FIGURES`; None where there is nothing to measure one by.

    Cost: T + D probes: as many answers of the target and of each reference, less what repeats.
    """
    name = config.target.model.removeprefix("sandbox/")
    model_folder(name)  # raises where there is none
    with Run.open(path, config.model_dump(mode="json"), environment()) as run:
        if not run.finished:
            if rung in REWARDS:
                perform(run, config, fill_roles(config), tell)
            else:
                _search(rung, run, config, tell)
            with Stages(run, tell).timed("truth"):
                tell_truth(run, ZOO[name].gaps)
            told = rung_figures(run)
            run.write_json("summary.json", {**figures(run), "ladder": told})
            run.finish()
        found: dict[str, Any] = json.loads((run.path / "summary.json").read_text("utf-8"))["ladder"]
    tell("climbed", {name: found[name] for name in FIGURES})
    return found


def rung_figures(run: Run) -> dict[str, Any]:
    """The figures of a run whose truth is told; a type is made of distinct probes, a success and the entropy of proposals."""
    told = figures(run)
    proposals = [p for p in run.rows("proposals") if p["phase"] == "discovery"]
    truths, verdicts = ({r["id"]: r for r in run.rows(table)} for table in ("truths", "verdicts"))
    calls, types = sum(a["role"] == "target" for a in run.rows("answers")), told["distinct_failure_types"]
    return {
        "target_calls": calls,
        **{name: told[name]["value"] for name in ("search_success", "true_failure_precision", "validity")},
        "types_in_discovery": len(failure_types(proposals, verdicts, truths)),
        "distinct_failure_types": types,
        "effective_types": effective(list(told["arms"]["trained"]["true_failures_by_slice"].values())),
        "calls_per_type": calls / types if types else None,
    }


def effective(counts: Sequence[int]) -> float:
    """How many equally common kinds would be as diverse: the exponential of the entropy; 0 where there is nothing.

    Source: Hill's number of order 1.

    Example:
        >>> round(effective([5, 5, 5]), 6), round(effective([98, 1, 1]), 2), effective([])
        (3.0, 1.12, 0.0)
    """
    total = sum(counts)
    return exp(-sum(n / total * log(n / total) for n in counts if n)) if total else 0.0


@dataclass(frozen=True)
class _Search:
    run: Run
    config: AuditConfig
    split: Split
    examiner: Examiner
    tell: Tell

    def spend(self, phase: str, budget: int, pose: Pose) -> None:
        """Put proposals to everybody until so many became probes; batches are recorded whole, so a resumed one is the same."""
        size = self.config.discovery.batch
        rows = [p for p in self.run.rows("proposals") if p["phase"] == phase]
        done = sum(p["probe_id"] is not None for p in rows)
        step = 1 + max((p["step"] for p in rows), default=-1)
        while done < budget and step < PATIENCE * (4 + ceil(budget / size)):
            posed = pose(phase, step, min(size, budget - done))
            heard = [(request, reply) for request, reply in posed if reply is not None]
            examined = self.examiner.examine([r for r, _ in heard], [t for _, t in heard], self.split.pictures)
            examined += [
                Examined(request=r, reply="", void="the auditor gave no reply") for r, reply in posed if reply is None
            ]
            record(self.run, examined)
            became = sum(e.probe is not None for e in examined)
            done, step = done + became, step + 1
            failures = sum(e.is_failure for e in examined)
            self.tell("discovered", {"arm": "trained", "phase": phase, "done": done, "of": budget, "failures": failures,
                                     "asked": became})  # fmt: skip

    def ids(self, phase: str) -> tuple[str, ...]:
        """The pictures of a phase."""
        return self.split.training if phase == "training" else self.split.discovery


def _search(rung: int, run: Run, config: AuditConfig, tell: Tell) -> None:
    """Rungs 1 to 4, in the tables of an audit whose only arm is "trained"."""
    roles, stages = fill_roles(config), Stages(run, tell)
    run.write_json("models.json", roles.revisions)
    examiner = Examiner(roles)
    examiner.recall(run.rows("answers"))
    search = _Search(run, config, split_pool(config, run), examiner, tell)
    if rung == 1:
        pose = _random_questions(search)
    else:
        author = loaded_auditor(run, config, roles, "prompt_only")
        pose = _least_asked(search, author) if rung == 3 else _sampled(search, author)
    with stages.timed("training trained", examiner):
        search.spend("training", config.training.steps * config.training.batch, pose)
    if rung == 4:
        with stages.timed("teaching", examiner):
            taught = teach_auditor(run, config, roles.prompts, tell)
        if taught is not None:
            pose = _sampled(search, loaded_auditor(run, config, roles, "trained"), promising=True)
    with stages.timed("discovery trained", examiner):
        search.spend("discovery", config.discovery.probes, pose)


def _random_questions(search: _Search) -> Pose:
    """Every skill as often: the skill is drawn first, then a picture that supports a question of it."""

    @cache
    def scene_of(source_id: str) -> Scene:
        scene = read(search.split.pictures[source_id])
        assert scene is not None, f"picture {source_id} shows no scene"
        return scene

    def one(phase: str, step: int, number: int) -> tuple[Request, str]:
        rng = random.Random(seed_for(search.config.seed, phase, str(number)))
        while True:
            skill = rng.choice(ALL_SKILLS)
            for source in rng.choices(search.ids(phase), k=_PICTURES):
                if (question := random_question(rng, scene_of(source), skill)) is not None:
                    request = Request(
                        arm="trained", phase=phase, step=step, copy=number, source_id=source, action="question",
                        question=None,
                    )  # fmt: skip
                    return request, f"<question> {question} </question>"

    def pose(phase: str, step: int, count: int) -> Posed:
        first = step * search.config.discovery.batch
        return [one(phase, step, first + n) for n in range(count)]

    return pose


def _sampled(search: _Search, author: Model, *, each: int = 1, promising: bool = False) -> Pose:
    """What an auditor writes, `each` times as many; promising pictures as `discovery.discover` draws them."""
    weights = promising_pictures(search.run, search.split, search.split.discovery, "trained") if promising else None

    def pose(phase: str, step: int, count: int) -> Posed:
        first, ids = step * search.config.discovery.batch * each, search.ids(phase)
        numbers = range(first, first + count * each)
        requests = [one_request(search.config, search.split, ids, "trained", phase, step, n, weights) for n in numbers]
        prompts = search.examiner.roles.prompts
        asked = [(search.split.pictures[r.source_id], prompt_for(prompts, r.action, r.question)) for r in requests]
        return [(r, a.text) for r, a in zip(requests, author.generate(asked), strict=True)]

    return pose


def _least_asked(search: _Search, author: Model) -> Pose:
    """Of `OF` proposals in a row the one whose cell was least asked so far; none where the references agree on no answer."""
    write = _sampled(search, author, each=OF)
    agreed = {v["id"]: v["consensus"] for v in search.run.rows("verdicts") if v["consensus"] is not None}
    asked = Counter(
        cell_of(p["question"], agreed[p["probe_id"]]) for p in search.run.rows("proposals") if p["probe_id"] in agreed
    )

    def pose(phase: str, step: int, count: int) -> Posed:
        written = write(phase, step, count)
        cells = _cells(search, written)
        chosen = []
        for first in range(0, len(written), OF):
            among = [(n, cell) for n in range(first, first + OF) if (cell := cells[n]) is not None]
            if among:
                number, cell = min(among, key=lambda pair: asked[pair[1]])  # the first of several
                asked[cell] += 1
                chosen.append(written[number])
        return chosen

    return pose


def _cells(search: _Search, written: Posed) -> list[Cell | None]:
    """The cell of each proposal by what the references agree on; None where it is no probe, void, or split."""
    roles = search.examiner.roles
    read_ones = [None if reply is None else read_reply(request, reply) for request, reply in written]
    proposals = {n: p for n, p in enumerate(read_ones) if isinstance(p, Proposal)}
    drawn = draw(list(proposals.values()), search.split.pictures, roles.generator, roles.editor)
    probes = {n: p for n, p in zip(proposals, drawn, strict=True) if isinstance(p, Probe)}
    cells: list[Cell | None] = [None] * len(written)
    for (n, probe), told in zip(probes.items(), search.examiner.consult(list(probes.values())), strict=True):
        if told.consensus is not None and not told.void:
            cells[n] = cell_of(probe.question, told.consensus)
    return cells


def _spread(name: str, told: Sequence[dict[str, Any]]) -> dict[str, Any]:
    values = {figure: [t[figure] for t in told] for figure in FIGURES}
    spans = {
        figure: None if None in of else {"median": statistics.median(of), "least": min(of), "most": max(of)}
        for figure, of in values.items()
    }
    return {"rung": name, "n": len(told), "figures": spans}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rungs as text: medians, and the range where there are several runs."""
    lines = ["".join([f"{'rung':26}", *(f"{name:>24}" for name in FIGURES)])]
    for row in rows:
        cells = []
        for name in FIGURES:
            span = row["figures"][name]
            text = "not measured" if span is None else f"{span['median']:.4g}"
            if span is not None and row["n"] > 1:
                text += f" ({span['least']:.4g}-{span['most']:.4g})"
            cells.append(f"{text:>24}")
        lines.append("".join([f"{row['rung']:26}", *cells]))
    return "\n".join(lines)


def _printing(name: str) -> Tell:
    """Print what happens, each tenth of it, with the seconds since the rung began."""
    began = time.perf_counter()

    def tell(event: str, told: Any) -> None:
        said = ""
        if event == "stage":
            said = f"{told['name']} ..."
        elif event == "step" and told["step"] % 10 == 0:
            said = f"step {told['step']}, {told['success']:.0%} failures"
        elif event == "lesson" and told["step"] % 10 == 0:
            said = f"lesson {told['step']} of {told['of']}"
        elif (
            event == "discovered"
            and 10 * told["done"] // told["of"] != 10 * (told["done"] - told["asked"]) // told["of"]
        ):
            said = f"{told['phase']} {told['done']} of {told['of']}, {told['failures']} failures in the last {told['asked']}"
        elif event == "climbed":
            said = ", ".join(f"{k} {v if v is None else format(v, '.4g')}" for k, v in told.items())
        if said:
            print(f"{name}: {said} ({time.perf_counter() - began:.0f} s)", flush=True)

    return tell


def _silence_libraries() -> None:
    """Leave the lines of the ladder alone: no bars, and not a warning for each reward that was not measured."""
    for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "TQDM_DISABLE"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    logging.getLogger("trl").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(transformers|trl|torch)\b.*")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, climb, print the table."""
    parser = argparse.ArgumentParser(prog="python -m auditdm.sandbox.ladder", description=__doc__.partition("\n")[0])
    parser.add_argument("--target", default="sandbox/target-many")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=140, help="of the training; T is so many batches")
    parser.add_argument("--probes", type=int, default=1000, help="of the discovery, D")
    parser.add_argument("--rungs", type=int, nargs="+", default=list(NAMES), choices=list(NAMES))
    parser.add_argument("--out", type=Path, default=Path("runs/ladder.json"), help="holds the rungs of this call alone")
    told = parser.parse_args(arguments)
    _silence_libraries()
    try:
        rows = ladder(told.target, told.seeds, told.rungs, told.out, steps=told.steps, probes=told.probes)
    except AuditError as problem:
        sys.exit(str(problem))
    print(table(rows))
    print(told.out)


if __name__ == "__main__":
    main()
