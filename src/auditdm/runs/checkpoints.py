"""Checkpoints of the auditor that outlive its training, so that several ages of it can write probes.

Source: arXiv:2512.16921, rectification without labels: the untrained auditor and several checkpoints. Which ones is not
known; ours are spread evenly over the training, and the trained auditor is the last of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from auditdm.config import AuditConfig
from auditdm.errors import AuditError, ConfigError
from auditdm.store import Run

_TO_RESUME = ("trainer_state.json", "optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state*.pth", "training_args.bin")
_WHOLE = 2  # checkpoints from which a training can go on: a killed process may leave half of the newest


def check_checkpoints(config: AuditConfig) -> None:
    """Refuse, before anything is trained, what would leave the repair without its checkpoints.

    Raises:
        ConfigError: Old checkpoints are removed, or one is an adapter on top of another, which are not loaded together.
    """
    training, count = config.training, config.rectify.checkpoints
    if count < 2:
        return
    if training.grpo.get("save_total_limit") is not None:
        raise ConfigError(
            f"rectify.checkpoints is {count} and training.grpo.save_total_limit {training.grpo['save_total_limit']}, "
            "which removes checkpoints. Take it out; older checkpoints keep their weights alone."
        )
    if training.lora is not None and "adapter" in config.auditor.options:
        raise ConfigError(
            f"rectify.checkpoints is {count} and the auditor learns an adapter on top of its own, "
            f"{config.auditor.options['adapter']!r}; a checkpoint would hold only the new one. Merge the first into the "
            "auditor's weights, or set rectify.checkpoints: 1."
        )


def kept_steps(steps: int, every: int, count: int) -> tuple[int, ...]:
    """The training steps whose weights are wanted, the last step left out.

    Args:
        steps: Of the whole training.
        every: A checkpoint is written after each so many steps.
        count: Ages wanted, the trained auditor among them.

    Returns:
        At most `count` - 1 steps, spread evenly, rising; fewer where there are fewer checkpoints.

    Example:
        >>> kept_steps(1000, 20, 4), kept_steps(100, 40, 4), kept_steps(100, 40, 1)
        ((260, 500, 760), (40, 80), ())
    """
    saved = range(every, steps, every)
    wanted = [steps * n / count for n in range(1, count)]
    return tuple(sorted({min(saved, key=lambda s: (abs(s - w), -s)) for w in wanted})) if saved else ()


def kept_auditors(run: Run, config: AuditConfig) -> tuple[str, ...]:
    """Move the wanted checkpoints beside the trained auditor, where they are found like it; done twice, nothing happens.

    Returns:
        Their arms, such as "trained-step-40", oldest first, and "trained" at the end; none where none is wanted.

    Raises:
        AuditError: A checkpoint is not there.
    """
    training, count = config.training, config.rectify.checkpoints
    if count == 0:
        return ()
    steps = kept_steps(training.steps, training.checkpoint_every, count)
    for step in steps:
        folder = run.path / "models" / f"auditor-trained-step-{step}"
        checkpoint = run.path / "trainer" / "auditor-trained" / f"checkpoint-{step}"
        if folder.exists():
            continue
        if not any(checkpoint.glob("*.safetensors")):
            raise AuditError(
                f"{checkpoint}: there is no such checkpoint of the auditor, and rectify.checkpoints is {count}. The "
                "training keeps them where that key is set from the start. Set rectify.checkpoints: 1, or audit again."
            )
        checkpoint.rename(folder)
    return (*(f"trained-step-{step}" for step in steps), "trained")


def thinning() -> Any:
    """A callback of transformers that strips all but the newest checkpoints of what only a resumed training needs.

    Of a checkpoint the weights are a third of the bytes; the optimiser has the rest.
    """
    from transformers import TrainerCallback

    class Thin(TrainerCallback):  # type: ignore[misc]  # its base has no types
        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            thin(Path(args.output_dir))

    return Thin()


def thin(folder: Path) -> None:
    """Leave only weights and their configuration in all but the two newest checkpoints of the folder."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
    for checkpoint in found[:-_WHOLE]:
        for pattern in _TO_RESUME:  # the state first: without it nobody takes the checkpoint for whole
            for file in checkpoint.glob(pattern):
                file.unlink()
