"""Fine-tune the target on rows of picture, question and answer: any chat model, and PaliGemma, which has its own form.

What is trained is what is asked: the prompt is the one that `TransformersModel` puts to the model, token for token, and
behind the answer stands a token that ends a reply.

Source: TRL's SFTTrainer; big_vision, the transfers of PaliGemma. Differs: docs/method.md.
"""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from auditdm.backends.families import Family, family_of, plain_prompt
from auditdm.config import AuditConfig
from auditdm.errors import ConfigError
from auditdm.method.trainset import Lesson
from auditdm.runs.auditor_training import Tell
from auditdm.runs.keeping import keeping, numbered
from auditdm.runs.trainer_options import (
    adapter_options,
    last_checkpoint,
    load_for_training,
    plain_words,
    sft_options,
    train,
    weights_on_disk,
)
from auditdm.store import Run

_MARK = "0ANSWER0"  # stands for the answer while the chat template is read


def fine_tune(run: Run, config: AuditConfig, lessons: Sequence[Lesson], name: str, tell: Tell) -> Path:
    """Fine-tune a copy of the target by TRL's SFTTrainer; returns its folder, resuming from the last checkpoint.

    The vision tower is frozen, as it is in most recipes; with `rectify.lora` only adapters on language layers learn, and
    are merged into the saved weights. With `rectify.keep` it keeps its own probabilities where it was right (`keeping`).

    Args:
        run: The run, open for writing; it has the pictures of the lessons.
        config: `target`, `rectify`, `wordings` and `seed` are read. The first wording is the one that is trained.
        lessons: At least one, in any order; the trainer shuffles them by the seed.
        name: Names the set, and so the folder `models/target-NAME`.
        tell: Called with ("lesson", {"set", "step", "of"}) after each step.

    Raises:
        ConfigError: `rectify.options` sets what the run itself decides, or TRL refuses it.
        ModelError: The target cannot be loaded.
        StoreError: The disk is full.

    Cost: `rectify.options` decides it; without LoRA four times the target's weights in float32.
    """
    folder = run.path / "models" / f"target-{name}"
    if folder.exists():
        return folder
    with weights_on_disk(run.path):
        trainer = _trainer(run, config, lessons, name, tell)
        train(trainer, last_checkpoint(Path(trainer.args.output_dir)))
        trained = trainer.model if config.rectify.lora is None else trainer.model.merge_and_unload()
        unfinished = folder.with_name(folder.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        trained.save_pretrained(unfinished)
        trainer.processing_class.save_pretrained(unfinished)
    unfinished.rename(folder)
    return folder


def _trainer(run: Run, config: AuditConfig, lessons: Sequence[Lesson], name: str, tell: Tell) -> Any:
    from datasets import Dataset, Image
    from datasets import Sequence as Many
    from transformers import PrinterCallback, TrainerCallback
    from trl import SFTTrainer

    keep, lora = config.rectify.keep, config.rectify.lora
    kind = keeping(keep) if keep else SFTTrainer

    class Told(TrainerCallback):  # type: ignore[misc]  # its base has no types
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            tell("lesson", {"set": name, "step": state.global_step, "of": state.max_steps})

    model, processor = load_for_training(config.target, lora, "target")
    family, wording = family_of(model.config), config.wordings[0]
    opening, ending = _around_the_answer(processor, family, _stops(model, processor))
    rows = [
        {
            "row": n,
            "images": [str(run.picture_path(x.picture_id))],
            "prompt": prompt_of(processor, family, wording.replace("{question}", x.question)),
            "completion": f"{opening}{plain_words(processor, x.answer)}{ending}",
        }
        for n, x in enumerate(lessons)
    ]
    try:
        trainer = kind(
            model=model,
            args=sft_options(config, run.path / "trainer" / f"target-{name}"),
            train_dataset=Dataset.from_list(rows).cast_column("images", Many(Image())),
            processing_class=processor,
            data_collator=partial(prefix_and_suffix, processor) if takes_suffix(processor) else None,
            peft_config=adapter_options(lora, "rectify.lora", family.lora),
            callbacks=[Told()],
        )
    except ValueError as problem:
        raise ConfigError(f"rectify: target {config.target.model} cannot be trained so: {problem}") from problem
    if keep:
        trainer.data_collator = partial(numbered, trainer.data_collator)
        trainer.note()
    trainer.remove_callback(PrinterCallback)  # `tell` tells
    return trainer


def prompt_of(processor: Any, family: Family, text: str) -> str:
    """A text as `TransformersModel` puts it to the model, so that TRL, which adds no opening token, reads the same.

    Args:
        processor: The model's own.
        family: Its row in the table of families.
        text: A question in its wording; control tokens in it are taken apart.

    Returns:
        The whole prompt, with the place of the picture in it.
    """
    safe = plain_words(processor, text)
    if not processor.chat_template:
        prompt = plain_prompt(family, processor.image_token, safe)
    else:
        prompt = processor.apply_chat_template([_turn("user", safe)], add_generation_prompt=True, tokenize=False)
    tokenizer = processor.tokenizer
    if takes_suffix(processor) or (tokenizer.bos_token and prompt.startswith(tokenizer.bos_token)):
        return prompt
    return "".join(tokenizer.convert_ids_to_tokens(tokenizer("").input_ids)) + prompt  # LLaVA's template leaves <s> out


def _around_the_answer(processor: Any, family: Family, stops: set[str]) -> tuple[str, str]:
    """What stands before an answer, behind the prompt, and what after it.

    Where the chat template does not end a reply by a token that ends generation, as that of LLaVA 1.5, the tokenizer's
    own is written: a model that never saw an end would talk on.
    """
    if takes_suffix(processor):
        return "", ""  # the processor ends it
    opening, ending = "", ""
    if processor.chat_template:
        asked = _turn("user", _MARK + "?")
        prompt = processor.apply_chat_template([asked], add_generation_prompt=True, tokenize=False)
        whole = processor.apply_chat_template([asked, _turn("assistant", _MARK)], tokenize=False)
        before, _, ending = whole.rpartition(_MARK)
        opening = before.removeprefix(prompt) if before.startswith(prompt) else ""
    if not any(stop in ending for stop in stops):
        ending += processor.tokenizer.eos_token
    return opening, ending


def _turn(role: str, text: str) -> dict[str, Any]:
    picture = [{"type": "image"}] if role == "user" else []
    return {"role": role, "content": [*picture, {"type": "text", "text": text}]}


def _stops(model: Any, processor: Any) -> set[str]:
    """The tokens that end generation, as text."""
    told = model.generation_config.eos_token_id
    numbers = [processor.tokenizer.eos_token_id] if told is None else told if isinstance(told, list) else [told]
    return set(processor.tokenizer.convert_ids_to_tokens(numbers))


def takes_suffix(processor: Any) -> bool:
    """Whether it is PaliGemma's kind, which reads prompt and answer in one call and refuses an answer without picture."""
    return "suffix" in inspect.signature(type(processor).__call__).parameters


def prefix_and_suffix(processor: Any, rows: Sequence[Mapping[str, Any]]) -> Any:
    """The batch of PaliGemma: the prompt read both ways, the answer from left to right, and labels on the answer alone.

    TRL's own collator hands the answers over without their pictures, which PaliGemma's processor refuses.

    Args:
        processor: PaliGemma's; it ends the prompt with a newline and the answer with its last token.
        rows: N rows with "images" (one picture), "prompt" and "completion".

    Returns:
        Tensors of N rows, padded on the right; `token_type_ids` are 1 on the answer, and elsewhere labels are -100.

    Source: big_vision, the prefix-LM training of PaliGemma.
    """
    opening = processor.tokenizer.bos_token
    begun = opening is not None and str(rows[0]["prompt"]).startswith(opening)
    batch = processor(
        images=[[picture.convert("RGB") for picture in row["images"]] for row in rows],
        text=[row["prompt"] for row in rows],
        suffix=[row["completion"] for row in rows],
        padding=True,
        padding_side="right",
        return_tensors="pt",
        **({"add_special_tokens": False} if begun else {}),
    )
    batch["labels"] = batch["input_ids"].masked_fill(batch["token_type_ids"] == 0, -100)
    return batch
