"""Entailment between two answers, by a cross-encoder for natural language inference that transformers loads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from auditdm.backends.loading import local_folder, out_of_memory, revision_of
from auditdm.errors import ConfigError, ModelError

_OURS = frozenset({"trust_remote_code", "use_safetensors", "output_loading_info"})


class CrossEncoder:
    """Says how probable it is that one answer entails another.

    Premise and hypothesis are the question followed by an answer. A pair longer than the model reads is not measured,
    rather than cut.

    Args:
        folder_or_hub_id: A sequence classifier one of whose labels is "entailment", such as
            "cross-encoder/nli-deberta-v3-base".
        batch: Pairs per forward pass, at least 1.
        device: "auto" (a GPU if there is one) or a torch device.
        options: Handed to `from_pretrained` as they are, e.g. {"revision": "main"}.

    Attributes:
        name, revision: What it was loaded from, and the commit or digest of its weights.

    Raises:
        ModelError: Nothing there, no weights in safetensors, weights missing, or no such label; says which.
        ConfigError: A batch below 1, or an option that is set here.

    Source: question and answer in one text as in Kuhn et al., arXiv:2302.09664.
    """

    def __init__(
        self,
        folder_or_hub_id: str | Path,
        batch: int = 64,
        device: str = "auto",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        options = dict(options or {})
        self.name = str(folder_or_hub_id)
        if batch < 1:
            raise ConfigError(f"{self.name}: batch is {batch}; it must be at least 1.")
        if clash := sorted(_OURS & options.keys()):
            raise ConfigError(f"{self.name}: options.{clash[0]} is set by auditdm itself; remove it.")
        if local_folder(folder_or_hub_id) is None:
            options["revision"] = revision_of(folder_or_hub_id, options=options)
        self.revision: str | None = revision_of(folder_or_hub_id, options=options)
        self._model, self._tokenizer = _loaded(str(local_folder(folder_or_hub_id) or folder_or_hub_id), options)
        self._label = _entailment_label(self.name, self._model.config.id2label)
        place = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        try:
            self._model.to(place)
        except RuntimeError as error:
            raise ConfigError(
                f"{self.name}: device is {device!r}, which torch cannot use here: {str(error).splitlines()[0]} "
                "Use auto, cpu or cuda."
            ) from error
        self._batch = batch
        self._longest = min(
            self._tokenizer.model_max_length, getattr(self._model.config, "max_position_embeddings", None) or 10**9
        )

    def __call__(self, batch: Sequence[tuple[str, str, str]]) -> list[float | None]:
        """Measure each (question, answer, other).

        Returns:
            N probabilities that `answer` entails `other`, in order; None where the pair is longer than the model reads.

        Raises:
            ModelError: The device failed, or one batch does not fit into memory.

        Cost: one reading of each pair, ceil(N / batch) forward passes.
        """
        pairs = [(f"{question} {one}", f"{question} {other}") for question, one, other in batch]
        if not pairs:
            return []
        lengths = [len(ids) for ids in self._tokenizer([p for p, _ in pairs], [h for _, h in pairs])["input_ids"]]
        fitting = sorted((n for n, length in enumerate(lengths) if length <= self._longest), key=lengths.__getitem__)
        chances: dict[int, float] = {}
        for start in range(0, len(fitting), self._batch):
            part = fitting[start : start + self._batch]
            chances.update(zip(part, self._chances([pairs[n] for n in part]), strict=True))
        return [chances.get(n) for n in range(len(pairs))]

    def _chances(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        premises, hypotheses = (list(texts) for texts in zip(*pairs, strict=True))
        inputs = self._tokenizer(premises, hypotheses, padding=True, return_tensors="pt").to(self._model.device)
        try:
            with torch.inference_mode():
                logits = self._model(**inputs).logits
        except (RuntimeError, MemoryError) as error:
            remedy = "Lower its batch." if out_of_memory(error) else "If the device is well, run the command again."
            raise ModelError(f"{self.name}: {len(pairs)} pairs could not be compared: {error}\n{remedy}") from error
        found: list[float] = logits.float().softmax(-1)[:, self._label].tolist()
        return found


def _loaded(where: str, options: Mapping[str, Any]) -> tuple[Any, Any]:
    """The model in eval mode with every weight from its files, and its tokenizer."""
    hub = {key: options[key] for key in ("revision", "cache_dir", "local_files_only", "token") if key in options}
    tokenizers: Any = AutoTokenizer
    try:
        tokenizer = tokenizers.from_pretrained(where, trust_remote_code=False, **hub)
        model, told = AutoModelForSequenceClassification.from_pretrained(
            where, trust_remote_code=False, use_safetensors=True, output_loading_info=True, **options
        )
    except (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError) as error:
        raise ModelError(
            f"{where}: no sequence classifier can be loaded from there: {error}\n"
            "Give a folder or hub id with safetensors and a tokenizer, such as cross-encoder/nli-deberta-v3-base."
        ) from error
    if told["missing_keys"]:
        raise ModelError(
            f"{where}: {len(told['missing_keys'])} weights are missing, {min(told['missing_keys'])} for one; they would "
            "be random. Give a model that was trained for natural language inference."
        )
    return model.eval(), tokenizer


def _entailment_label(name: str, labels: Mapping[int, str]) -> int:
    for number, label in labels.items():
        if label.casefold() in ("entailment", "entail", "entails"):
            return int(number)
    raise ModelError(
        f"{name}: none of its labels is 'entailment': {', '.join(labels.values())}. "
        "Give a model for natural language inference whose config.json names its labels (id2label)."
    )
