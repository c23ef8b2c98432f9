"""What both trainings, of the auditor and of the target, share: options that TRL and PEFT own, checkpoints, a full disk.

Options are handed through as they are. Both sets are built before the first model is asked anything, so that a mistake
in the options of the repair does not wait until the audit is done.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from auditdm.backends.families import LANGUAGE_LAYERS
from auditdm.config import AuditConfig, ModelSpec
from auditdm.errors import ConfigError, ModelError, StoreError
from auditdm.runs.checkpoints import check_checkpoints, thinning
from auditdm.runs.vllm_server import refuse_colocate, vllm_options

_LONGEST_REPLY = 96  # of an auditor, in tokens, unless its spec allows more
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_ROOM_SAID = ("No space left", "File too large", "Disk quota exceeded", "PytorchStreamWriter", "inline_container")


def check_options(config: AuditConfig) -> None:
    """Let TRL and PEFT look at the options they will get; where nothing is trained, neither is imported.

    Raises:
        ConfigError: One of them sets what the run itself decides, or is refused; the message names the key.
    """
    check_checkpoints(config)
    if config.training.steps:
        grpo_options(config, Path("unused"), config.reward)
    if config.rectify.options:
        sft_options(config, Path("unused"))
    adapter_options(config.training.lora, "training.lora")
    adapter_options(config.rectify.lora, "rectify.lora")


def longest_reply(auditor: ModelSpec) -> int:
    """Tokens that an auditor may write: a proposal is longer than the answers that a spec is made for."""
    return max(_LONGEST_REPLY, auditor.max_new_tokens)


def grpo_options(config: AuditConfig, folder: Path, reward: str) -> Any:
    """TRL's options for the training of the auditor.

    Args:
        config: `training` and `seed` are read.
        folder: Where checkpoints go.
        reward: "gated", whose differences inside a group mean something, or "paper", which TRL scales as published.

    Raises:
        ConfigError: `training.grpo` sets what the run itself decides, or TRL refuses it.
    """
    from trl import GRPOConfig

    given = dict(config.training.grpo)
    refuse_colocate(given)
    accumulated = given.get("gradient_accumulation_steps", 1)
    if not isinstance(accumulated, int) or accumulated < 1 or config.training.batch % accumulated:
        raise ConfigError(
            f"training.grpo.gradient_accumulation_steps is {accumulated!r}; it must divide training.batch, "
            f"{config.training.batch}. Change one of them."
        )
    ours = {
        "output_dir": str(folder),
        "seed": config.seed,
        "max_steps": config.training.steps,
        "per_device_train_batch_size": config.training.batch // accumulated,
        "num_generations": config.training.group,
        "save_steps": config.training.checkpoint_every,
        "remove_unused_columns": False,
        "shuffle_dataset": False,
        **vllm_options(config.training.vllm_server),
    }
    defaults = {
        "save_total_limit": None if config.rectify.checkpoints > 1 else 2,
        "max_completion_length": longest_reply(config.auditor),
        "temperature": 1.0,
        "scale_rewards": "group" if reward == "paper" else "none",
        "epsilon_high": 0.28,
    }
    return _options(GRPOConfig, "training.grpo", defaults, given, ours)


def sft_options(config: AuditConfig, folder: Path) -> Any:
    """TRL's options for the fine-tuning of the target; checkpoints go to the folder.

    Raises:
        ConfigError: `rectify.options` sets what the run itself decides, or a loss beside `rectify.keep`, or TRL refuses it.
    """
    from trl import SFTConfig

    ours = {"output_dir": str(folder), "seed": config.seed, "max_length": None}
    defaults = {"save_steps": 100, "save_total_limit": 1}
    for key in ("loss_type", "label_smoothing_factor"):
        if config.rectify.keep and config.rectify.options.get(key):
            raise ConfigError(
                f"rectify.options.{key} is {config.rectify.options[key]!r}, but with rectify.keep the loss is our own. "
                "Remove it, or set rectify.keep: 0."
            )
    return _options(SFTConfig, "rectify.options", defaults, config.rectify.options, ours)


def _options(
    kind: Any, key: str, defaults: Mapping[str, Any], given: Mapping[str, Any], ours: Mapping[str, Any]
) -> Any:
    import torch

    if clash := ours.keys() & given.keys():
        raise ConfigError(f"{key}.{min(clash)} is set by the run itself; remove it from the YAML.")
    on_gpu = torch.cuda.is_available()
    always = {
        "use_cpu": not on_gpu,
        "bf16": on_gpu,
        "gradient_checkpointing": on_gpu,
        "report_to": "none",
        "logging_strategy": "no",
        "disable_tqdm": True,
    }
    try:
        return kind(**{**always, **defaults, **given, **ours})
    except (TypeError, ValueError) as problem:
        raise ConfigError(f"{key}: TRL refuses it: {problem}") from problem


def adapter_options(lora: Mapping[str, Any] | None, key: str, layers: str = LANGUAGE_LAYERS) -> Any:
    """PEFT's options, on the given layers if the user says nothing else; None to train all weights.

    Args:
        lora: The user's options.
        key: Where they stand, for messages.
        layers: A regex of module names: those that the model's family trains.

    Raises:
        ConfigError: PEFT refuses them.
    """
    if lora is None:
        return None
    from peft import LoraConfig

    try:
        return LoraConfig(**{"target_modules": layers, **lora})
    except (TypeError, ValueError) as problem:
        raise ConfigError(f"{key}: PEFT refuses it: {problem}") from problem


def load_for_training(spec: ModelSpec, lora: Mapping[str, Any] | None, role: str) -> tuple[Any, Any]:
    """The model and the processor of a role, with the options and the adapter of its spec; the vision tower is frozen.

    Where all weights are trained and no dtype is asked for, they are float32: in bfloat16 an update of 3e-6 rounds away.

    Raises:
        ConfigError: It names a class of the user's, whose weights are its own.
        ModelError: It cannot be loaded, or TRL cannot train its kind in this role.
    """
    from auditdm.backends.families import family_of
    from auditdm.backends.local import load_vlm
    from auditdm.backends.specs import model_location

    options, dtype = dict(spec.options), "float32" if spec.dtype == "auto" and lora is None else spec.dtype
    adapter = options.pop("adapter", None)
    model, processor = load_vlm(model_location(spec.model), dtype, spec.device, adapter, options=options)
    family = family_of(model.config)
    if role == "auditor" and family.no_grpo:
        raise ModelError(
            f"auditor is {spec.model}: {family.name} cannot be trained by GRPO: {family.no_grpo}. "
            "Use a Gemma 3, Qwen-VL or SmolVLM auditor; this one can be the target."
        )
    if role == "auditor" and not processor.chat_template:
        raise ModelError(
            f"auditor is {spec.model}: it has no chat template, so TRL cannot train it by GRPO. "
            "Put a chat_template.jinja into its folder, or choose a model that has one."
        )
    for name, weight in model.named_parameters():  # a merged adapter has frozen everything; here only the tower is
        weight.requires_grad_(weight.is_floating_point() and not any(eye in name for eye in ("vision", "visual")))
    return model, processor


def plain_words(processor: Any, text: str) -> str:
    """A text as `TransformersModel` puts it to a model, so that the same tokens are trained and asked.

    A control token in it, such as the <image> that many data sets write into their questions, is taken apart.
    """
    from auditdm.backends.local import control_tokens

    return control_tokens(processor).sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)


def train(trainer: Any, checkpoint: Path | None) -> None:
    """Train to the end, from a checkpoint if there is one: the same weights come out as if it had never been stopped.

    The trainer's own loading does not know the names that `save_pretrained` gives the weights of LLaVA, Gemma 3 and
    others, and passes over what it does not know: it would go on from the untrained weights (transformers 5.23, #43701).
    So whole weights are put in place here; optimiser, schedule, chance and adapters are left to the trainer.

    Where all checkpoints are kept (`save_total_limit` is None), the older ones keep their weights alone.
    """
    from auditdm.backends.local import load_vlm

    if checkpoint is not None and (checkpoint / "config.json").exists():
        saved, _ = load_vlm(checkpoint, str(trainer.model.dtype).removeprefix("torch."), "cpu")
        trainer.model.load_state_dict(saved.state_dict())
        trainer._issue_warnings_after_load = lambda _found: None  # it would list every weight as missing; none is
    if trainer.args.save_total_limit is None:
        trainer.add_callback(thinning())
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint: `trainer_state.json` is written last, and a killed process may leave half of it."""
    found = [p for p in folder.glob("checkpoint-*") if _is_json(p / "trainer_state.json")]
    return max(found, key=lambda p: int(p.name.split("-")[1]), default=None)


def _is_json(file: Path) -> bool:
    try:
        json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return True


@contextmanager
def weights_on_disk(folder: Path) -> Iterator[None]:
    """Say in words that weights could not be written; what else goes wrong inside is passed on.

    Args:
        folder: The run folder.

    Raises:
        StoreError: The disk is full.
    """
    try:
        yield
    except Exception as problem:  # safetensors and torch have errors of their own for a full disk
        full = getattr(problem, "errno", None) in _NO_ROOM or any(words in str(problem) for words in _NO_ROOM_SAID)
        if isinstance(problem, StoreError) or not full:
            raise
        raise StoreError(
            f"{folder}: the disk is full while writing weights or a checkpoint ({problem}). The tables and the last "
            "whole checkpoint are kept. Free some space and give the same command again: it resumes from there."
        ) from problem
