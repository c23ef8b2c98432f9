"""Fine-tuning that does not forget: where a model was right before, it also keeps its own probabilities.

A training set teaches one answer where the model knew how likely each was, and few rows wear down what thousands had
taught. The model as it was before says what it thought of every answer that it already gave; that costs no label.

Source: arXiv:1606.09282 (learning without forgetting), arXiv:1503.02531 (the temperature). Differs: an answer is kept only
where the consensus confirms it, so that what is to be repaired is not kept.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

TEMPERATURE = 2.0  # of both models: lets less likely answers be seen


def kept_loss(new_TV: Any, old_TV: Any, labels_T: Any, row_T: Any, keep: float) -> Any:
    """Cross-entropy of all tokens, and for answers that the old model gave the divergence from it, summed.

    Args:
        new_TV: The logits of the model in training at T tokens of answers, over V words.
        old_TV: Those of the model before.
        labels_T: The tokens that are taught.
        row_T: The row that each token is of; an answer is kept where the old model was right about all tokens of its row.
        keep: Weight of the divergence, in nats at the temperature `TEMPERATURE`, times its square.

    Returns:
        A scalar tensor, in nats.

    Source: the head of this module.
    """
    import torch
    from torch.nn.functional import cross_entropy, kl_div

    taught = cross_entropy(new_TV, labels_T, reduction="sum")
    wrong = torch.zeros(int(row_T.max()) + 1, dtype=torch.bool, device=row_T.device)
    wrong[row_T[old_TV.argmax(-1) != labels_T]] = True
    known = ~wrong[row_T]
    new, old = ((x[known] / TEMPERATURE).log_softmax(-1) for x in (new_TV, old_TV))
    return taught + keep * TEMPERATURE**2 * kl_div(new, old, log_target=True, reduction="sum")


def keeping(keep: float, before: Any | None) -> type[Any]:
    """TRL's SFTTrainer with `kept_loss` for its loss.

    Args:
        keep: Weight, above 0.
        before: The model as it was, in eval mode; None where adapters are trained: without them it is the model itself.

    Cost: one more forward of the model a step, without gradients, and the memory of `before`. Logits are made at the
        answers alone, so they take less memory than TRL's.
    """
    import torch
    from trl import SFTTrainer

    class KeepingTrainer(SFTTrainer):  # type: ignore[misc]  # its base has no types
        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            labels = inputs["labels"][:, 1:]
            told = labels != -100
            columns = torch.nonzero(told.any(0))[:, 0]  # those of the answers
            rest = {key: value for key, value in inputs.items() if key != "labels"}
            asked = {**rest, "use_cache": False, "logits_to_keep": columns}
            told, labels = told[:, columns], labels[:, columns]
            outputs = model(**asked)
            with torch.no_grad(), self._without_adapters(model):
                old = (model if before is None else before)(**asked).logits
            loss = kept_loss(
                outputs.logits[told].float(), old[told].float(), labels[told], torch.nonzero(told)[:, 0], keep
            )
            count = told.sum() if num_items_in_batch is None else num_items_in_batch
            loss = loss / torch.as_tensor(count, device=loss.device).clamp(min=1)
            if self.args.average_tokens_across_devices and num_items_in_batch is not None:
                loss = loss * self.accelerator.num_processes  # as TRL does: gradients are averaged over devices
            return (loss, outputs) if return_outputs else loss

        def _without_adapters(self, model: Any) -> AbstractContextManager[Any]:
            return nullcontext() if before is not None else self.accelerator.unwrap_model(model).disable_adapter()

    return KeepingTrainer
