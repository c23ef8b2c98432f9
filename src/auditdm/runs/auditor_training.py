"""Train the auditor by GRPO: each step it writes proposals, the models answer, and it is paid by the verdicts.

Source: arXiv:2512.16921: GRPO, advantage inside the group, reward s. Differs: rewards are `gated` unless `paper` is asked for; the
hyper-parameters are the configuration's (`training.grpo` goes to TRL's GRPOConfig as it is).
"""

from __future__ import annotations

import asyncio
import copy
import logging
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from auditdm.backends.families import family_of
from auditdm.config import AuditConfig
from auditdm.errors import ConfigError, StoreError
from auditdm.method.archive import Archive, Cell, cell_of
from auditdm.method.auditor import prompt_for
from auditdm.method.reward import gated_reward, group_diversity, paper_reward
from auditdm.runs.examining import Examined, Examiner, Request, record
from auditdm.runs.pictures import Split
from auditdm.runs.trainer_options import (
    adapter_options,
    grpo_options,
    last_checkpoint,
    load_for_training,
    plain_words,
    train,
    weights_on_disk,
)
from auditdm.runs.vllm_server import check_vllm, picture_places, server_in_words, without_picture_tokens
from auditdm.store import Run
from auditdm.types import Action, content_id, seed_for

log = logging.getLogger(__name__)
GIVEN = 0.4  # of the changes of a picture, how many are for the question that came with it
Kind = tuple[Action, bool]
Tell = Callable[[str, Mapping[str, Any]], None]  # (event, values): what a terminal may show


def train_auditor(
    run: Run, config: AuditConfig, split: Split, examiner: Examiner, *, arm: str, reward: str, tell: Tell
) -> Path:
    """Train the auditor in the run folder, resuming from its last checkpoint; returns the folder of its weights.

    Args:
        run: The run, open for writing.
        config: The whole configuration.
        split: Pictures; only the training half is shown.
        examiner: Asks and judges.
        arm: Names this training in the tables.
        reward: "gated", "gated_only" (the same without novelty) or "paper".
        tell: Called with ("step", row of training_log) after each step.

    Raises:
        ConfigError: `training.grpo` sets what the run itself decides, or `training.confirmed_in` is no audit with findings.
        ModelError: The auditor cannot be loaded or cannot be trained by GRPO, or `training.vllm_server` cannot be used.

    Cost: per step one generation of `training.batch` replies, the answers of all models to them, one forward and one
        backward pass of the auditor.
    """
    folder = run.path / "models" / f"auditor-{arm}"
    if folder.exists():
        return folder
    server = config.training.vllm_server
    check_vllm(server)
    model, processor = load_for_training(config.auditor, config.training.lora, "auditor")
    ledger = _Ledger(run, config, split, examiner, arm, reward, tell)
    with weights_on_disk(run.path), server_in_words(server):
        trainer = _trainer(run, config, model, processor, split, ledger, arm)
        last = last_checkpoint(Path(trainer.args.output_dir))
        if last is not None:
            ledger.forget_after(int(last.name.split("-")[1]))
        train(trainer, last)
        ledger.flush()
        unfinished = folder.with_name(folder.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        if config.training.lora is not None and "adapter" in config.auditor.options:
            trainer.model = trainer.model.merge_and_unload()  # a model is loaded with one adapter, not two
        trainer.save_model(str(unfinished))
        processor.save_pretrained(unfinished)
    unfinished.rename(folder)
    return folder


def training_requests(config: AuditConfig, split: Split, arm: str) -> list[list[Request]]:
    """What the auditor is asked, by step: one request per group, drawn from the training pictures.

    Every action gets its share by weight; and `GIVEN` of the changes are for the pool's own question, if it has one.
    """
    groups = config.training.batch // config.training.group
    return [
        [one_request(config, split, split.training, arm, "training", step, step * groups + n) for n in range(groups)]
        for step in range(config.training.steps)
    ]


def kinds_of_requests(config: AuditConfig) -> dict[Kind, float]:
    """Act and whether the question is given -> its share by the configuration's weights."""
    whole = sum(config.actions.values())
    found: dict[Kind, float] = {}
    for action, weight in config.actions.items():
        given = 0.0 if action == "question" else GIVEN
        found[action, False] = weight / whole * (1 - given)
        if given:
            found[action, True] = weight / whole * given
    return found


def one_request(
    config: AuditConfig,
    split: Split,
    ids: Sequence[str],
    arm: str,
    phase: str,
    step: int,
    number: int,
    promising: Mapping[str, float] | None = None,
    shares: Mapping[Kind, float] | None = None,
) -> Request:
    """Request `number` of a phase: pictures in turn, then chance that depends on seed and number alone.

    Acts are drawn by `shares`, else by the configuration's weights. A change for the pool's own question is asked for on a
    picture drawn by the weights of `promising`, if there are any.
    """
    rng = random.Random(seed_for(config.seed, phase, str(number)))
    source = ids[number % len(ids)]
    shares = shares or kinds_of_requests(config)
    action, for_own = rng.choices(list(shares), list(shares.values()))[0]
    given = split.questions.get(source) if for_own else None
    if for_own and promising:
        source = rng.choices(list(promising), list(promising.values()))[0]
        given = split.questions[source]
    return Request(arm=arm, phase=phase, step=step, copy=number, source_id=source, action=action, question=given)


def confirmed_cells(path: Path) -> list[Cell]:
    """The cells of what an earlier audit confirmed: of each finding those that at least a third of its failures lie in.

    Args:
        path: Its run folder.

    Raises:
        ConfigError: There is no run, or it kept no ledger.
    """
    try:
        earlier = Run.read(path)
        findings = [row for row in earlier.rows("findings") if row["state"] == "confirmed"]
    except StoreError as problem:
        raise ConfigError(
            f"training.confirmed_in is {str(path)!r}, from which no findings can be read: {problem}"
        ) from problem
    if not (earlier.path / "search.json").exists():
        raise ConfigError(
            f"training.confirmed_in is {str(path)!r}, an audit that confirmed nothing: it has no ledger. Give a finished "
            "audit with confirmation.budget above 0, or remove the key."
        )
    asked = {row["id"]: row["question"] for row in earlier.rows("probes")}
    agreed = {row["id"]: row["consensus"] for row in earlier.rows("verdicts") if row["consensus"] is not None}
    found: set[Cell] = set()
    for row in findings:
        met = Counter(cell_of(asked[i], agreed[i]) for i in row["failing"] if i in agreed)
        found.update(cell for cell, times in met.items() if 3 * times >= met.total())
    return sorted(found, key=lambda cell: (cell.form, cell.answer))


class _Ledger:
    """Pays the auditor, and keeps what it was paid for until the next checkpoint is due."""

    def __init__(
        self, run: Run, config: AuditConfig, split: Split, examiner: Examiner, arm: str, reward: str, tell: Tell
    ) -> None:
        self.run, self.config, self.split, self.examiner = run, config, split, examiner
        self.arm, self.reward, self.tell = arm, reward, tell
        self.archive = Archive(fair=config.training.fair)
        if config.training.confirmed_in is not None:
            self.archive.confirm(confirmed_cells(config.training.confirmed_in))
        self._examined: list[Examined] = []
        self._rewards: list[dict[str, Any]] = []
        self._log: list[dict[str, Any]] = []
        self._began = time.perf_counter()

    def forget_after(self, step: int) -> None:
        """Remember the hits up to a checkpoint, as the trajectory had found them."""
        decided = {r["id"]: r for r in self.run.rows("verdicts") if r["consensus"] is not None}
        lived = [
            (p["question"], decided[p["probe_id"]])
            for p in self.run.rows("proposals")
            if (p["arm"], p["phase"]) == (self.arm, "training") and p["step"] < step and p["probe_id"] in decided
        ]
        self.archive.remember((question, v["consensus"]) for question, v in lived if v["self_consistent"])

    async def pay(
        self,
        prompts: list[Any],
        completions: list[Any],
        trainer_state: Any,
        source_id: list[str],
        action: list[Action],
        question: list[str | None],
        number: list[int],
        **_: Any,
    ) -> list[float | None]:
        """TRL's reward function: one value per completion, None where nothing was measured."""
        step, group = int(trainer_state.global_step), self.config.training.group
        requests = [
            Request(
                arm=self.arm, phase="training", step=step, copy=number[n] * group + n % group,
                source_id=source_id[n], action=action[n], question=question[n],
            )
            for n in range(len(completions))
        ]  # fmt: skip
        replies = [c[0]["content"] for c in completions]
        examined = await asyncio.to_thread(self.examiner.examine, requests, replies, self.split.pictures)
        return self.settle(step, examined)

    def settle(self, step: int, examined: Sequence[Examined]) -> list[float | None]:
        """Turn records into rewards and remember both."""
        hits = [e for e in examined if e.is_failure]
        free = [cell_of(*_asked(e)) if e.is_failure and e.request.question is None else None for e in examined]
        shared = group_diversity(free, self.config.training.group)
        new = iter(self.archive.novelty([_asked(e) for e in hits]))
        novelty = {e.request.id: next(new) * s for e, s in zip(examined, shared, strict=True) if e.is_failure}
        rewards = [self._reward(e, novelty.get(e.request.id)) for e in examined]
        self._examined += examined
        self._rewards += [
            {"id": e.request.id, "reward": r, "novelty": novelty.get(e.request.id)}
            for e, r in zip(examined, rewards, strict=True)
        ]
        self._write_log(step, examined, rewards)
        return rewards

    def _reward(self, e: Examined, novelty: float | None) -> float | None:
        if self.reward == "paper":
            return None if e.void is not None and "declined" in e.void else paper_reward(e.verdict)
        return gated_reward(e.verdict, e.self_consistent, 1.0 if self.reward == "gated_only" else novelty or 0.0)

    def _write_log(self, step: int, examined: Sequence[Examined], rewards: Sequence[float | None]) -> None:
        count, now = len(examined), time.perf_counter()
        outcomes = [e.verdict.outcome if e.verdict else None for e in examined]
        failures = {e.probe.question for e in examined if e.is_failure and e.probe}
        paid = [r for r in rewards if r is not None]
        group = self.config.training.group
        groups = [rewards[n : n + group] for n in range(0, count, group)]
        row = {
            "id": content_id("training_log", self.arm, str(step)),
            "arm": self.arm,
            "step": step,
            "success": sum(e.is_failure for e in examined) / count,
            "split": outcomes.count("split") / count,
            "void": (outcomes.count("void") + sum(e.void is not None for e in examined)) / count,
            "invalid": sum(e.malformed is not None for e in examined) / count,
            "distinct": len(failures) / count,
            "zero_variance": sum(len({r for r in g if r is not None}) < 2 for g in groups) / len(groups),
            "seconds": round(now - self._began, 3),
            "reward": sum(paid) / len(paid) if paid else None,
        }
        self._began = now
        self._log.append(row)
        self.tell("step", row)

    def flush(self) -> None:
        """Write what was paid for; before every checkpoint, so that a killed run has the rows of its checkpoint."""
        record(self.run, self._examined)
        self.run.append("rewards", self._rewards)
        self.run.append("training_log", self._log)
        self._examined, self._rewards, self._log = [], [], []


def _asked(e: Examined) -> tuple[str, str]:
    assert e.probe is not None and e.verdict is not None and e.verdict.consensus is not None
    return e.probe.question, e.verdict.consensus


def _trainer(run: Run, config: AuditConfig, model: Any, processor: Any, split: Split, ledger: _Ledger, arm: str) -> Any:
    from datasets import Dataset, Image
    from transformers import PrinterCallback, TrainerCallback
    from trl import GRPOTrainer

    class FlushFirst(TrainerCallback):  # type: ignore[misc]  # its base has no types
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if control.should_save:  # transformers has decided so before; the last step is always saved
                ledger.flush()

    prompts = ledger.examiner.roles.prompts
    rows = [
        {
            "prompt": [{"role": "user", "content": plain_words(processor, prompt_for(prompts, r.action, r.question))}],
            "image": str(run.picture_path(r.source_id)),
            "source_id": r.source_id,
            "action": r.action,
            "question": r.question,
            "number": r.copy,
        }
        for step in training_requests(config, split, arm)
        for r in step
    ]
    args = grpo_options(config, run.path / "trainer" / f"auditor-{arm}", ledger.reward)
    if args.use_vllm:
        args.generation_kwargs = without_picture_tokens(args.generation_kwargs, model.config.image_token_id)
    try:
        trainer = GRPOTrainer(
            model=model,
            reward_funcs=ledger.pay,
            args=args,
            train_dataset=Dataset.from_list(rows).cast_column("image", Image()),
            processing_class=opened_once(processor),
            peft_config=adapter_options(config.training.lora, "training.lora", family_of(model.config).lora),
            callbacks=[FlushFirst()],
        )
    except ValueError as problem:
        raise ConfigError(f"training: auditor {config.auditor.model} cannot be trained so: {problem}") from problem
    if args.use_vllm:
        trainer.vllm_generation.processing_class = picture_places(model)
    trainer.remove_callback(PrinterCallback)  # `tell` tells
    return trainer


def opened_once(processor: Any) -> Any:
    """A processor for TRL that writes the opening token of a text once.

    TRL 1.16 reads a prompt twice: with the chat template to let the model write, and as rendered text to score what was
    written. The second time Gemma's tokenizer puts a <bos> before the one of the template, all token types move by one,
    and the reply is scored under another attention mask than it was written under.

    Returns:
        A copy, of the same class by name; what it does is the same where a text does not begin with the token.
    """
    opening = processor.tokenizer.bos_token
    kind: Any = type(processor)

    class OpenedOnce(kind):  # type: ignore[misc]  # whatever the model's processor is
        def __call__(self, images: Any = None, text: Any = None, **rest: Any) -> Any:
            texts = [text] if isinstance(text, str) else text or []
            if opening and any(str(one).startswith(opening) for one in texts):
                rest.setdefault("add_special_tokens", False)
            return super().__call__(images=images, text=text, **rest)

    OpenedOnce.__name__ = kind.__name__  # the name is what gets saved
    once = copy.copy(processor)
    once.__class__ = OpenedOnce
    return once
