"""The roles of an audit, filled: every model, generator, editor and judge that a configuration names, loaded once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

from auditdm.backends.specs import load_editor, load_generator, load_judge, load_model
from auditdm.backends.turns import Turns
from auditdm.config import AuditConfig, ModelSpec, ToolSpec
from auditdm.errors import ConfigError
from auditdm.method.auditor import read_prompts
from auditdm.runs.usage import Spending
from auditdm.types import ImageEditor, ImageGenerator, Judge, Model


@dataclass(frozen=True)
class Roles:
    """Whoever takes part."""

    target: Model
    references: tuple[Model, ...]
    judge: Judge
    generator: ImageGenerator | None
    editor: ImageEditor | None
    prompts: Mapping[str, str]
    quorum: float
    wordings: tuple[str, ...]
    turns: Turns | None = None  # None: all models stay on their devices
    spending: Spending = field(default_factory=Spending)  # of endpoints among them, and of auditors that are watched

    @property
    def revisions(self) -> dict[str, dict[str, str | None]]:
        """Which weights answer, for the run folder."""
        told = {"target": self.target} | {f"references[{n}]": r for n, r in enumerate(self.references)}
        revisions = {role: {"model": m.name, "revision": m.revision} for role, m in told.items()}
        return revisions | getattr(self.judge, "revisions", {})  # of a judge that asks models of its own


def fill_roles(config: AuditConfig) -> Roles:
    """Load every role but the auditor. A quorum that is to be chosen is all references, until `settle_quorum`.

    Raises:
        ConfigError: A spec or the file of prompts is wrong.
        ModelError: A model cannot be loaded.

    Cost: the memory of the target and all references together; of the largest one, if they take turns.
    """
    turns, spending, seed = Turns() if config.turns else None, Spending(), config.seed
    specs = {"target": config.target} | {f"references[{n}]": spec for n, spec in enumerate(config.references)}
    answering = {role: loaded(turns, partial(model_from, spec, seed=seed)) for role, spec in specs.items()}
    judge = load_judge(config.judge.name, **config.judge.options)
    generator = load_generator(config.generator.name, **_drawing(config.generator, seed)) if config.generator else None
    editor = config.editor
    for role, model in (*answering.items(), ("judge.model", getattr(judge, "asked", None))):
        spending.watch(role, model)
    target, *references = answering.values()
    return Roles(
        target=target,
        references=tuple(references),
        judge=judge,
        generator=generator,
        editor=load_editor(editor.name, beside=generator, **_drawing(editor, seed)) if editor else None,
        prompts=_prompts(config.prompts),
        quorum=1.0 if config.quorum == "auto" else config.quorum,
        wordings=config.wordings,
        turns=turns,
        spending=spending,
    )


def _drawing(spec: ToolSpec, seed: int) -> dict[str, Any]:
    """The options of whatever draws: the run's seed, from which each picture gets its own, unless another is given."""
    return {"seed": seed, **spec.options}


def loaded(turns: Turns | None, make: Callable[[], Model]) -> Model:
    """Make a model that takes turns, if there are any."""
    return make() if turns is None else turns.load(make)


def _prompts(path: Path | None) -> Mapping[str, str]:
    """The prompts in a file, or in a package's file ("package:file"), or our own."""
    if path is None:
        return read_prompts()
    package, _, name = str(path).partition(":")
    try:
        text = path.read_text("utf-8") if not name else resources.files(package).joinpath(name).read_text("utf-8")
    except (OSError, ModuleNotFoundError, UnicodeDecodeError) as problem:
        raise ConfigError(
            f"prompts is {str(path)!r}, which cannot be read: {problem}. Give a YAML file, or package:file."
        ) from problem
    return read_prompts(text, str(path))


def model_from(spec: ModelSpec, weights: Path | None = None, **other: Any) -> Model:
    """Build the model that a spec names, or the same kind of model from other weights, which hold its adapter already."""
    handed = spec.options if weights is None else {k: v for k, v in spec.options.items() if k != "adapter"}
    options: dict[str, Any] = {
        "batch": spec.batch,
        "max_new_tokens": spec.max_new_tokens,
        "temperature": spec.temperature,
        "device": spec.device,
        "dtype": spec.dtype,
        "options": handed,
        **({"price": (spec.price.input, spec.price.output)} if spec.price else {}),
        **other,
    }
    return load_model(str(weights) if weights else spec.model, **options)
