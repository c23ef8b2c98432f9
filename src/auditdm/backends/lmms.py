"""Our models inside lmms-eval: it makes the prompts and scores the replies, the model only answers.

The one module that imports lmms_eval, which changes the process it runs in (seeds, file locks, logging): import it in a
process of its own, as `auditdm.runs.benchmark_asking` does.
"""

from __future__ import annotations

import inspect
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmms_eval import tasks as lmms_tasks
from lmms_eval.api.model import lmms
from lmms_eval.api.task import ConfigurableTask
from lmms_eval.evaluator import simple_evaluate
from lmms_eval.tasks import TaskManager
from PIL.Image import Image
from tenacity import RetryError

from auditdm.errors import ConfigError
from auditdm.types import Answer, Model

CAPTIONS = "coco_captions"  # ours: lmms-eval's own caption tasks cannot be loaded without pycocoevalcap
_PLACEHOLDER = "<image>"  # some tasks write where the picture goes; our models are told by themselves
_LIKELIHOOD = "a model that answers in words has no likelihoods; only tasks that ask for words can be run"


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One question of a task, after lmms-eval has scored the reply to it."""

    doc_id: int  # the row of the task's data
    text: str | None  # what the model said; None iff problem
    problem: str | None  # why nothing was measured
    scored: Any  # what the task hands to the metric's aggregation; the metric of a hole means nothing


class LmmsModel(lmms):  # type: ignore[misc]  # lmms-eval has no types
    """One of our models as lmms-eval's model object.

    Args:
        model: Answers; its length limit and temperature are its own, whatever the task asks for.
        batch: Questions whose pictures are in memory at a time.
        rewrite: Turns each reply into the form that the task reads; None: as it is.

    Attributes:
        answers: What was said, by the row of the task's data; a question without a reply counts as "" for lmms-eval, and
            is to be taken out of what it counts.
    """

    def __init__(self, model: Model, *, batch: int = 64, rewrite: Callable[[str], str] | None = None) -> None:
        super().__init__()
        self.name = model.name
        self.answers: dict[int, Answer] = {}
        self._ask = model.generate  # not the model: lmms-eval deletes every torch module it finds on this object
        self._batch, self._rewrite = batch, rewrite

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Answer every request, in order."""
        for start in range(0, len(requests), self._batch):
            part = [request.args for request in requests[start : start + self._batch]]
            pictures = [self._pictures(*args[2:]) for args in part]
            texts = [args[0].replace(_PLACEHOLDER, "").strip() for args in part]
            single = [(shown[0], text) for shown, text in zip(pictures, texts, strict=True) if len(shown) == 1]
            said = iter(self._ask(single) if single else [])
            for args, shown in zip(part, pictures, strict=True):
                answer = next(said) if len(shown) == 1 else self._unasked(len(shown))
                self.answers[args[3]] = _ended(answer, args[1].get("until") or [])
        replies = [self.answers[request.args[3]].text or "" for request in requests]
        return [self._rewrite(reply) for reply in replies] if self._rewrite else replies

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Refuse: `load_task` has kept such tasks out."""
        raise ConfigError(f"{self.name}: {_LIKELIHOOD}.")

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Refuse: `load_task` has kept such tasks out."""
        raise ConfigError(f"{self.name}: {_LIKELIHOOD}.")

    def _pictures(self, shown: Callable[[Any], Any], doc_id: int, task: str, split: str) -> list[Image]:
        found = shown(self.task_dict[task][split][doc_id])
        return [] if found is None else [one for one in found if isinstance(one, Image)]

    def _unasked(self, count: int) -> Answer:
        return Answer(model=self.name, text=None, problem=f"shows {count} pictures; a model is asked with one")


def _ended(answer: Answer, stops: Sequence[str] | str) -> Answer:
    """The reply up to the first text at which the task wants it to stop."""
    text = answer.text
    if text is None:
        return answer
    for stop in [stops] if isinstance(stops, str) else stops:
        text = text.partition(stop)[0] if stop else text
    return Answer(model=answer.model, text=text, revision=answer.revision)


def load_task(
    task: str,
    settings: Mapping[str, Any],
    *,
    rows: Path | None = None,
    folder: Path | None = None,
) -> Any:
    """Load a task of lmms-eval with its rows.

    Args:
        task: Its name, or `CAPTIONS`.
        settings: What replaces the task's own settings of the same name.
        rows: The folder with its rows: a saved `DatasetDict`, or Parquet files whose names may begin with the split.
            None: as the task says, from the hub or its cache.
        folder: Tasks of one's own in lmms-eval's format; they come before lmms-eval's.

    Raises:
        ConfigError: No such task, no rows, or a task that asks for likelihoods.
    """
    own = _captions() if task == CAPTIONS else _settings_of(task, folder)
    found = {**own, **settings}
    if found.get("dataset_kwargs") == {"token": True}:
        found["dataset_kwargs"] = {}  # public rows, which are not to need a login; one that is there is used anyway
    if rows is not None:
        found.update(_from_folder(rows, str(found.get("test_split") or found.get("validation_split"))))
    try:
        made = ConfigurableTask(config={**found, "task": task})
    except (OSError, ValueError, KeyError, RetryError, ConnectionError) as problem:
        place = str(rows or f"{found.get('dataset_path')} on the hub")
        raise ConfigError(
            f"benchmark task {task}: its rows could not be read from {place}: {_cause(problem)}. "
            "Give --data a folder that holds them under the benchmark's name."
        ) from problem
    if made.OUTPUT_TYPE != "generate_until":
        raise ConfigError(f"benchmark task {task} asks for {made.OUTPUT_TYPE}: {_LIKELIHOOD}.")
    return made


def ask_task(
    model: Model, task: Any, metric: str, *, limit: int | None, batch: int, rewrite: Callable[[str], str] | None
) -> list[Scored]:
    """Have lmms-eval ask a model every question of a task and score each reply.

    Args:
        model: Is asked.
        task: From `load_task`.
        metric: One of the task's; a question that the task does not give it for is left out.
        limit: So many questions, the first; None: all.
        batch: Questions whose pictures are in memory at a time.
        rewrite: Turns each reply into the form that the task reads.

    Returns:
        In the order of the task's rows. Where a task has several filters, the first one's.

    Raises:
        ConfigError: The task has no such metric, or cannot score a reply.
        ModelError: The model failed as a whole.

    Cost: N answers, but none for a question that shows no picture or several.
    """
    if metric not in task.aggregation():
        raise ConfigError(f"{task.task_name} has no metric {metric!r}; it has {', '.join(task.aggregation())}.")
    asked = LmmsModel(model, batch=batch, rewrite=rewrite)
    own = task._aggregation_list
    task._aggregation_list = dict.fromkeys(own, _nothing)  # holes are still in; and some call a server or Java
    try:
        found = simple_evaluate(
            model=asked,
            tasks=[task],
            task_manager=_tasks_in([]),  # not asked for anything: the task is made
            limit=limit,
            log_samples=True,
            bootstrap_iters=0,
            process_docs_parallel=1,  # some scorers draw at random, and threads draw in any order
            cli_args=Namespace(process_with_media=False, output_path=".", reasoning_tags=None),
        )
    except RetryError as problem:
        raise ConfigError(f"{task.task_name}: lmms-eval cannot score a reply: {_cause(problem)}.") from problem
    finally:
        task._aggregation_list = own
    once = {sample["doc_id"]: sample for sample in reversed(found["samples"][task.task_name])}
    return [
        Scored(
            doc_id=doc_id,
            text=asked.answers[doc_id].text,
            problem=asked.answers[doc_id].problem,
            scored=once[doc_id][metric],
        )
        for doc_id in sorted(once)
        if metric in once[doc_id]
    ]


def counted(task: Any, metric: str, scored: Sequence[Any]) -> float | None:
    """Count scored replies with the task's own aggregation; None where that gives no number."""
    count = task.aggregation()[metric]
    more = {"args": Namespace(output_path=".")} if "args" in inspect.signature(count).parameters else {}
    found = float(count(list(scored), **more))
    return found if found == found else None


def _settings_of(task: str, folder: Path | None) -> dict[str, Any]:
    """The settings of a task: of the user's folder, else of lmms-eval, whose 2,000 take seconds to read all."""
    near = sorted({str(file.parent) for file in Path(lmms_tasks.__file__).parent.rglob(f"{task}.yaml")})
    for where in ([str(folder)] if folder else [], near, None):
        tasks = TaskManager("ERROR") if where is None else _tasks_in(where)
        if task in tasks.all_subtasks:
            found: dict[str, Any] = tasks._get_config(task)
            return found
    also = f" or in {folder}" if folder else ""
    raise ConfigError(f"benchmark {task!r}: lmms-eval has no single task of that name{also}.")


def _tasks_in(folders: Sequence[str]) -> Any:
    return TaskManager("ERROR", include_path=list(folders), include_defaults=False)


def _nothing(_scored: Sequence[Any]) -> float:
    return 0.0


def _from_folder(rows: Path, split: str) -> dict[str, Any]:
    """The settings that make a task read its rows from a folder."""
    if (rows / "dataset_dict.json").is_file():
        return {"dataset_path": str(rows), "dataset_name": None, "dataset_kwargs": {"load_from_disk": True}}
    parts = sorted(str(part) for part in rows.rglob("*.parquet"))
    named = [part for part in parts if Path(part).name.startswith(split)]
    if not parts:
        raise ConfigError(
            f"{rows}: neither a saved DatasetDict (dataset_dict.json) nor Parquet files. "
            f"Save it there with datasets: load_dataset(...).save_to_disk(folder); its split is {split!r}."
        )
    return {
        "dataset_path": "parquet",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": {split: named or parts}},
    }


def _captions() -> dict[str, Any]:
    """COCO captions as a task: the words of lmms-eval's coco2014_cap_val, without the packages that its file imports."""
    return {
        "task": CAPTIONS,
        "dataset_path": "lmms-lab-encoder/COCO-Caption",
        "test_split": "val",
        "output_type": "generate_until",
        "doc_to_visual": lambda row: [row["image"].convert("RGB")],
        "doc_to_text": "Provide a one-sentence caption for the provided image.",
        "doc_to_target": "answer",
        "generation_kwargs": {"max_new_tokens": 64, "do_sample": False},
        "process_results": lambda row, replies: {"captions": {"said": replies[0], "references": list(row["answer"])}},
        "metric_list": [{"metric": "captions", "aggregation": _nothing, "higher_is_better": True}],
    }


def _cause(problem: BaseException) -> str:
    """What stands behind a failure that was tried again; the last line of it."""
    inner = problem.last_attempt.exception() if isinstance(problem, RetryError) else problem
    return f"{type(inner).__name__}: {inner}".strip().splitlines()[0][:300]
