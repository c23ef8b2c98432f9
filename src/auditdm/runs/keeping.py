"""Fine-tuning that does not forget: where a model was right before, it also keeps its own probabilities.

A training set teaches one answer where the model knew how likely each was, and few rows wear down what thousands had
taught. What the model thought of each answer is noted before the first step; that costs no label, and no second model
in memory.

Source: arXiv:1606.09282 (learning without forgetting), arXiv:1503.02531 (the temperature). Differs: an answer is kept only
where the consensus confirms it, so that what is to be repaired is not kept; of each word's probabilities the largest are.

Shapes: T tokens of answers, V words that the model knows, K of them noted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

TEMPERATURE = 2.0  # lets less likely words be seen
NOTED = 64  # likeliest words of which the probability is noted; the others count together


class Thought(NamedTuple):
    """What a model thought at the T tokens of an answer that it would have given."""

    words_TK: Any  # int64
    logs_TK: Any  # float32: their log-probabilities at `TEMPERATURE`, of which the highest come first


def thought_of(logits_TV: Any, labels_T: Any) -> Thought | None:
    """What to keep of an answer; None where the model would have said anything else."""
    if (logits_TV.argmax(-1) != labels_T).any():
        return None
    logs, words = (logits_TV.float() / TEMPERATURE).log_softmax(-1).topk(min(NOTED, logits_TV.shape[-1]))
    return Thought(words.cpu(), logs.cpu())


def strayed(new_TV: Any, thought: Thought) -> Any:
    """How far a model has gone from a thought: the divergence in nats at `TEMPERATURE`, summed over tokens; a scalar tensor."""
    import torch

    words, old = (x.to(new_TV.device) for x in thought)
    new = (new_TV.float() / TEMPERATURE).log_softmax(-1).gather(-1, words)
    noted = (old.exp() * (old - new)).sum()
    rest_old, rest_new = ((1 - logs.exp().sum(-1)).clamp(min=1e-6) for logs in (old, new))
    rest: Any = noted + (rest_old * torch.log(rest_old / rest_new)).sum()
    return rest


def keeping(keep: float) -> type[Any]:
    """TRL's SFTTrainer, whose rows have a number, "row", and whose loss also holds the model to what `note` wrote down.

    The loss of a token is cross-entropy, and in answers that were right before, `keep` times the square of `TEMPERATURE`
    times what the model strayed.

    Args:
        keep: Weight, above 0.

    Cost: one forward of the training set before the first step, and 0.75 KiB of memory for each token of an answer.
        Logits are made at the answers alone, so they take less memory than TRL's.
    """
    import torch
    from torch.nn.functional import cross_entropy
    from trl import SFTTrainer

    class KeepingTrainer(SFTTrainer):  # type: ignore[misc]  # its base has no types
        thoughts: Mapping[int, Thought | None] = {}  # by the number of the row

        def _set_signature_columns_if_needed(self) -> None:
            super()._set_signature_columns_if_needed()
            if "row" not in self._signature_columns:
                self._signature_columns.append("row")

        def note(self) -> None:
            """Ask the model as it is now, before any step or checkpoint, what it thinks of every row."""
            found: dict[int, Thought | None] = {}
            size, rows = self.args.per_device_train_batch_size, self.train_dataset
            self.model.eval()
            for start in range(0, len(rows), size):
                batch = self._prepare_inputs(
                    self.data_collator([rows[n] for n in range(start, min(start + size, len(rows)))])
                )
                with torch.no_grad(), self.compute_loss_context_manager():
                    numbers, answers, _ = self._answers(self.model, batch)
                found |= {n: thought_of(*answer) for n, answer in zip(numbers, answers, strict=True)}
            self.thoughts = found

        def _answers(self, model: Any, inputs: Mapping[str, Any]) -> tuple[list[int], list[tuple[Any, Any]], Any]:
            """For each row its number, and the logits and the labels of its answer; and what the model returned."""
            told = inputs["labels"][:, 1:] != -100
            columns = torch.nonzero(told.any(0))[:, 0]
            rest = {key: value for key, value in inputs.items() if key not in ("labels", "row")}
            outputs = model(**rest, use_cache=False, logits_to_keep=columns)
            labels, told = inputs["labels"][:, 1:][:, columns], told[:, columns]
            answers = [(outputs.logits[n][told[n]], labels[n][told[n]]) for n in range(len(labels))]
            return inputs["row"].tolist(), answers, outputs

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            numbers, answers, outputs = self._answers(model, inputs)
            logits_TV, labels_T = (torch.cat(parts) for parts in zip(*answers, strict=True))
            loss = cross_entropy(logits_TV.float(), labels_T, reduction="sum")
            kept = [(logits, t) for n, (logits, _) in zip(numbers, answers, strict=True) if (t := self.thoughts.get(n))]
            if kept:
                known = Thought(*(torch.cat(parts) for parts in zip(*(thought for _, thought in kept), strict=True)))
                loss = loss + keep * TEMPERATURE**2 * strayed(torch.cat([logits for logits, _ in kept]), known)
            count = len(labels_T) if num_items_in_batch is None else num_items_in_batch
            loss = loss / torch.as_tensor(count, device=loss.device).clamp(min=1)
            if self.args.average_tokens_across_devices and num_items_in_batch is not None:
                loss = loss * self.accelerator.num_processes  # as TRL does: gradients are averaged over devices
            return (loss, outputs) if return_outputs else loss

    return KeepingTrainer


def numbered(collate: Callable[[Sequence[Mapping[str, Any]]], Any], rows: Sequence[Mapping[str, Any]]) -> Any:
    """A batch by a collator that knows nothing of numbers, with those of its rows."""
    import torch

    batch = collate(rows)
    batch["row"] = torch.tensor([row["row"] for row in rows])
    return batch
