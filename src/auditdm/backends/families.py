"""What differs between the families of local models: one table, by `config.model_type`.

What is not said here is the same for all, and a model type that is not here gets `PLAIN`. No model library is imported,
so the table can be listed without one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LANGUAGE_LAYERS = r".*\.(language_model|text_model)\..*\.(q|k|v|o|qkv|gate|up|down|gate_up)_proj"


@dataclass(frozen=True, kw_only=True)
class Family:
    """How the models of one architecture are asked, loaded and trained."""

    name: str  # for people
    example: str  # a spec of such a model
    prompt: str | None = None  # how a question is put where the folder has no chat template; None: picture, then text
    task: str | None = None  # regex: a text that begins so is a prompt of this family already, and stands as it is
    no_grpo: str | None = None  # why it cannot be trained as an auditor; None: it can
    attention: Mapping[str, str] | None = None  # by part of the configuration; None: as transformers chooses
    pixel_options: tuple[str, ...] = ()  # options that bound the pixels of a picture, and so its tokens and its memory
    lora: str = LANGUAGE_LAYERS  # regex of the layers that get an adapter when nothing else is said
    needs: tuple[str, ...] = ()  # packages that its processor asks for, beside transformers


_ANSWER = "{image}answer en {question}"  # the words that PaliGemma was trained on visual questions with
_TASK = r"(?:(?:answer|caption|describe) [a-z]{2}\b|(?:detect|segment) )"
_BOTH_WAYS = "its prompt is read both ways, and TRL would have the reply read so too: no reply could be scored"
_PIXELS = ("min_pixels", "max_pixels")

PLAIN = Family(name="any other", example="hf/OWNER/NAME")
FAMILIES: Mapping[str, Family] = {
    "gemma3": Family(name="Gemma 3", example="hf/google/gemma-3-4b-it"),
    "idefics3": Family(name="Idefics3", example="hf/HuggingFaceM4/Idefics3-8B-Llama3"),
    "internvl": Family(name="InternVL", example="hf/OpenGVLab/InternVL3-1B-hf"),
    "llava": Family(name="LLaVA", example="hf/llava-hf/llava-1.5-7b-hf"),
    "llava_next": Family(name="LLaVA-NeXT", example="hf/llava-hf/llava-v1.6-mistral-7b-hf"),
    "llava_onevision": Family(name="LLaVA-OneVision", example="hf/llava-hf/llava-onevision-qwen2-7b-ov-hf"),
    "paligemma": Family(
        name="PaliGemma",
        example="hf/google/paligemma-3b-mix-448",
        prompt=_ANSWER,
        task=_TASK,
        no_grpo=_BOTH_WAYS,
    ),
    "paligemma+gemma2": Family(  # the same model type around another language model
        name="PaliGemma 2",
        example="hf/google/paligemma2-3b-mix-448",
        prompt=_ANSWER,
        task=_TASK,
        no_grpo=_BOTH_WAYS,
        attention={"text_config": "eager"},  # Gemma 2 caps its attention scores, which sdpa cannot
    ),
    "qwen2_vl": Family(name="Qwen2-VL", example="hf/Qwen/Qwen2-VL-7B-Instruct", pixel_options=_PIXELS),
    "qwen2_5_vl": Family(name="Qwen2.5-VL", example="hf/Qwen/Qwen2.5-VL-7B-Instruct", pixel_options=_PIXELS),
    "qwen3_vl": Family(name="Qwen3-VL", example="hf/Qwen/Qwen3-VL-4B-Instruct", pixel_options=_PIXELS),
    "smolvlm": Family(name="SmolVLM", example="hf/HuggingFaceTB/SmolVLM2-2.2B-Instruct", needs=("num2words",)),
}


def family_of(config: Any) -> Family:
    """Look up a model's configuration in the table.

    Args:
        config: What `AutoConfig` read: its `model_type`, and that of its `text_config` where one type has two rows.

    Returns:
        The family's row; `PLAIN` for a model type that has none.

    Example:
        >>> from types import SimpleNamespace as Config
        >>> family_of(Config(model_type="paligemma", text_config=Config(model_type="gemma2"))).name
        'PaliGemma 2'
        >>> family_of(Config(model_type="of-tomorrow")).name
        'any other'
    """
    kind = config.model_type
    text = getattr(getattr(config, "text_config", None), "model_type", None)
    return FAMILIES.get(f"{kind}+{text}") or FAMILIES.get(kind, PLAIN)


def plain_prompt(family: Family, image_token: str, text: str) -> str:
    """Put a text to a model that has no chat template.

    Where the family has a form of its own the text becomes one line, because PaliGemma's processor ends the prompt with
    a newline itself.

    Source: big_vision, the prompts of PaliGemma's transfers.

    Example:
        >>> plain_prompt(FAMILIES["paligemma"], "<image>", "How many dogs?")
        '<image>answer en How many dogs?'
        >>> plain_prompt(FAMILIES["paligemma"], "<image>", "caption en")
        '<image>caption en'
        >>> plain_prompt(PLAIN, "<image>", "How many dogs?")
        '<image>How many dogs?'
    """
    if family.prompt is None:
        return f"{image_token}{text}"
    line = " ".join(text.split())
    if family.task is not None and re.match(family.task, line):
        return f"{image_token}{line}"
    return family.prompt.format(image=image_token, question=line)


def architectures() -> list[dict[str, Any]]:
    """List what is known of local models, one row per architecture, in the order of the table and `PLAIN` last.

    Returns:
        Rows that json can write: model_type (with the language model's after a "+" where it decides), name, example,
        prompt, grpo_auditor, reason (why not; None: it can), attention, pixel_options, lora, needs.

    Example:
        >>> [row["name"] for row in architectures() if not row["grpo_auditor"]]
        ['PaliGemma', 'PaliGemma 2']
    """
    rows = [*FAMILIES.items(), ("*", PLAIN)]
    return [
        {
            "model_type": kind,
            "name": family.name,
            "example": family.example,
            "prompt": family.prompt or "chat template",
            "grpo_auditor": family.no_grpo is None,
            "reason": family.no_grpo,
            "attention": dict(family.attention) if family.attention else "chosen by transformers",
            "pixel_options": list(family.pixel_options),
            "lora": family.lora,
            "needs": list(family.needs),
        }
        for kind, family in rows
    ]
