"""The demo: the whole loop on the zoo, with figures that only a world of exact truth can give."""

from __future__ import annotations

import time
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from auditdm.backends.specs import load_model
from auditdm.config import AuditConfig, parse_config
from auditdm.environment import environment
from auditdm.runs.auditing import perform
from auditdm.runs.auditor_training import Tell
from auditdm.runs.evaluation import evaluate
from auditdm.runs.ledger_keeping import ledger_figures
from auditdm.runs.rectification import repair
from auditdm.runs.replaying import replay
from auditdm.runs.reporting import report
from auditdm.runs.roles import fill_roles
from auditdm.runs.stages import Stages, quiet
from auditdm.sandbox.gaps import Gap
from auditdm.sandbox.suites import suite
from auditdm.sandbox.truth import confirmed_types, figures, tell_truth
from auditdm.sandbox.zoo import ZOO, manifest, taught_skills
from auditdm.stats import Rate
from auditdm.store import Run
from auditdm.types import Example

NATURAL, INSIDE = 250, 100  # held-out questions per skill, and more per planted slice
_SEED = 9_000  # of those questions
Rates = dict[tuple[str, str], Rate]


def demo_config(seed: int = 0, **changes: Any) -> AuditConfig:
    """The configuration of the demo, sandbox/demo.yaml."""
    told = yaml.safe_load(resources.files("auditdm.sandbox").joinpath("demo.yaml").read_text("utf-8"))
    return parse_config({**told, "seed": seed, **changes}, "sandbox/demo.yaml")


def demo(path: str | Path = "runs/demo", *, config: AuditConfig | None = None, tell: Tell = quiet) -> dict[str, Any]:
    """Audit a tiny model, repair it from its failures, measure it before and after, and write the report.

    The findings are put to the repaired models too: are they gone?

    Args:
        path: The run folder; an interrupted demo is resumed there.
        config: Another configuration whose target is of the zoo; None: sandbox/demo.yaml.
        tell: Called with (event, values) while it goes.

    Returns:
        What RUN/summary.json holds: the figures of docs/run-folder.md.

    Cost: ten minutes on 2 cores, give or take one.
    """
    config, began, told = config or demo_config(), time.perf_counter(), Path(path) / "summary.json"
    before = yaml.safe_load(told.read_text("utf-8")).get("wall_s", 0.0) if told.exists() else 0.0
    gaps = ZOO[config.target.model.removeprefix("sandbox/")].gaps
    with Run.open(path, config.model_dump(mode="json"), environment()) as run:
        roles, stages = fill_roles(config), Stages(run, tell)
        perform(run, config, roles, tell)
        folders = repair(run, config, roles, control=True, tell=tell)
        with stages.timed("truth"):
            tell_truth(run, gaps)
        answering = {"batch": 256, "max_new_tokens": 6}
        after, control = (load_model(str(folders[which]), **answering) for which in ("audited", "control"))
        with stages.timed("evaluation"):
            larger = load_model("sandbox/target-large", **answering)
            models = {"before": roles.target, "after": after, "control": control, "larger": larger}
            scores = evaluate(models, held_out(gaps), roles.judge, run, tell=tell)
        summary = summarise(run, config, scores, gaps)
        summary["wall_s"] = round(before + time.perf_counter() - began, 1)
        run.write_json("summary.json", summary)
        run.finish()
    if summary.get("modes_confirmed"):
        replay(path, [after, control, larger], tell=tell)
    report(path)
    return summary


def held_out(gaps: tuple[Gap, ...]) -> list[Example]:
    """Fresh questions of each learned skill as they come, and more of each planted slice."""
    natural = [e for s in taught_skills() for e in suite(s, NATURAL, seed=_SEED, gaps=gaps)]
    return natural + [e for g in gaps for e in suite(g.skill, INSIDE, seed=_SEED, gaps=gaps, inside=g)]


def summarise(run: Run, config: AuditConfig, scores: dict[str, Rates], gaps: tuple[Gap, ...]) -> dict[str, Any]:
    """Every figure of the demo by its name."""
    skills = taught_skills()
    benchmarks = {s: {_NAMES[m]: _elsewhere(rates, s).as_dict() for m, rates in scores.items()} for s in skills}
    slices = {
        g.name: {"skill": g.skill, **{_NAMES[m]: rates[g.skill, g.name].as_dict() for m, rates in scores.items()}}
        for g in gaps
    }
    changes = {s: _change(scores["before"], scores["after"], s) for s in skills}
    worst = min(changes, key=lambda s: changes[s])
    return {
        **figures(run),
        **ledger_figures(run),
        **confirmed_types(run),
        "modes_found": len(run.rows("failure_modes")),
        "benchmarks": benchmarks,
        "slices": slices,
        "mean_over_skills": {_NAMES[m]: _mean(rates, skills) for m, rates in scores.items()},
        "guard": changes[worst],
        "guard_skill": worst,
        "stages": yaml.safe_load((run.path / "stages.json").read_text()),
        "seed": config.seed,
        "zoo_skills": manifest()["learned_skills"],
    }


_NAMES = {"before": "before", "after": "after", "control": "random_control", "larger": "larger_sibling"}


def _elsewhere(rates: Rates, skill: str) -> Rate:
    """The rate on what lies in no planted slice."""
    return rates[skill, "elsewhere"] if (skill, "elsewhere") in rates else rates[skill, ""]


def _change(before: Rates, after: Rates, skill: str) -> float:
    one, other = _elsewhere(before, skill).value, _elsewhere(after, skill).value
    assert one is not None and other is not None
    return round(other - one, 4)


def _mean(rates: Rates, skills: tuple[str, ...]) -> float:
    """Mean over skills of the rate on each skill as it comes, planted slices included."""
    return round(sum(rates[s, ""].value or 0.0 for s in skills) / len(skills), 4)
