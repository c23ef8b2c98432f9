"""What this machine can run, and whether a model can serve in each role: `auditdm doctor [SPEC]`."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from typing import Any

from PIL import Image, ImageDraw

from auditdm.backends.specs import load_model
from auditdm.config import ModelSpec
from auditdm.environment import environment
from auditdm.errors import AuditError
from auditdm.runs.trainer_options import load_for_training

_QUESTIONS = ("What shape is in the picture?", "What colour is it? Answer in one word.", "How many shapes are there?")
_MODULES = {"pillow": "PIL", "pyyaml": "yaml", "scikit-learn": "sklearn", "lmms-eval": "lmms_eval"}
_SIDES_PX = (64, 224, 336)  # pictures of several sizes in one batch


@dataclass(frozen=True)
class Checkup:
    """How one model did: what it said, how fast, and what it cannot be, with the reason."""

    spec: str
    revision: str | None
    answers: tuple[str | None, ...]
    problems: tuple[str, ...]
    seconds_per_answer: float
    peak_gib: float  # of this process, or of the GPU the model is on, since the process began
    parameters: int | None  # None: not in this process
    device: str | None
    dtype: str | None
    roles: dict[str, str]  # role -> "yes", or why not

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return asdict(self)


def doctor(model: str | ModelSpec | None = None) -> dict[str, Any]:
    """Look at this machine, or at a model in every role.

    Args:
        model: A spec; None looks at the machine.

    Returns:
        What `machine` or `Checkup.as_dict` tells, as plain values.

    Raises:
        ConfigError: Nothing is known under that spec.
        ModelError: It cannot be loaded, or a whole batch failed.
    """
    if model is None:
        return machine()
    return check_model(ModelSpec(model=model) if isinstance(model, str) else model).as_dict()


def machine() -> dict[str, Any]:
    """What is here: the machine, and for each extra of the package what is missing.

    Returns:
        `environment()` without the command, and `extras`: name -> missing packages, none where it is complete.
    """
    told = {name: value for name, value in environment().items() if name != "command"}
    told["extras"] = {extra: _missing(extra) for extra in ("local", "diffusion", "eval", "ray", "dev")}
    return told


def check_model(spec: ModelSpec) -> Checkup:
    """Load a model, ask it three questions on pictures of three sizes in one batch, and try it in each role.

    Args:
        spec: As in a configuration.

    Raises:
        ConfigError: Nothing is known under that spec.
        ModelError: It cannot be loaded, or a whole batch failed.

    Cost: loads the model twice if its weights are here (the second time as a trainer would), one after the other.
    """
    options: dict[str, Any] = {
        "batch": spec.batch, "max_new_tokens": spec.max_new_tokens, "temperature": spec.temperature,
        "device": spec.device, "dtype": spec.dtype, "options": spec.options,
    }  # fmt: skip
    model = load_model(spec.model, **options)
    batch = list(zip(map(_picture, _SIDES_PX), _QUESTIONS, strict=True))
    model.generate(batch[:1])  # the first call of a process pays for much that the others do not
    began = time.perf_counter()
    answers = model.generate(batch)
    spent = (time.perf_counter() - began) / len(batch)
    weights: Any = getattr(model, "model", None)
    inside = hasattr(weights, "num_parameters")
    problems = tuple(a.problem for a in answers if a.problem is not None)
    found = Checkup(
        spec=spec.model,
        revision=model.revision,
        answers=tuple(a.text for a in answers),
        problems=problems,
        seconds_per_answer=round(spent, 4),
        peak_gib=_peak_gib(str(weights.device) if inside else "cpu"),
        parameters=weights.num_parameters() if inside else None,
        device=str(weights.device) if inside else None,
        dtype=str(weights.dtype).removeprefix("torch.") if inside else None,
        roles={},
    )
    del model, weights
    answering = "yes" if not problems else problems[0]
    roles = {"target": answering, "reference": answering, "auditor": answering}
    roles |= {"trained auditor": _trainable(spec, "auditor"), "repaired target": _trainable(spec, "target")}
    return Checkup(**{**asdict(found), "roles": roles})


def _trainable(spec: ModelSpec, role: str) -> str:
    try:
        load_for_training(spec, {"r": 1}, role)
    except AuditError as why:
        return str(why)
    except ModuleNotFoundError as missing:
        return f"{missing.name} is not installed: pip install -e '.[local]' -c constraints.txt"
    return "yes"


def _peak_gib(device: str) -> float:
    if device.startswith("cuda"):
        import torch

        return round(torch.cuda.max_memory_allocated(device) / 2**30, 2)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB here
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30, 2)


def _picture(side_px: int) -> Image.Image:
    picture = Image.new("RGB", (side_px, side_px), "white")
    ImageDraw.Draw(picture).ellipse((side_px // 4, side_px // 4, 3 * side_px // 4, 3 * side_px // 4), "red")
    return picture


def _missing(extra: str) -> list[str]:
    try:
        wanted = [r for r in requires("auditdm") or [] if f'extra == "{extra}"' in r.replace("'", '"')]
    except PackageNotFoundError:
        return ["auditdm is not installed, only imported"]
    names = [r.split(";")[0].split("[")[0].split(">")[0].split("=")[0].strip() for r in wanted]
    return [name for name in names if not _is_here(name)]


def _is_here(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return find_spec(_MODULES.get(name, name.replace("-", "_"))) is not None
    return True
