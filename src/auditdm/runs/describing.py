"""Pictures in words, by one of the references: what a failure mode can say of a picture.

Source: ours. The description is kept in the run, so that no picture is described twice and a resumed run speaks of it in
the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from PIL.Image import Image

from auditdm.method.archive import answer_kind
from auditdm.method.attributes import Names, names_in
from auditdm.runs.auditor_training import Tell
from auditdm.store import Run
from auditdm.types import Model

LONGEST = 160  # tokens of a description
_BATCH = 256  # pictures between two writes


def describing(model: Model, prompt: str) -> Callable[[Sequence[Image]], list[str | None]]:
    """The same for pictures that the run need not keep: nothing is remembered."""
    return lambda pictures: [a.text for a in model.generate([(p, prompt) for p in pictures])]


class Describer:
    """Describes pictures that the run keeps, each once.

    A silence is remembered too: what is known of a picture must not change within a run.

    Args:
        run: Open for writing.
        model: A reference, with replies as long as a description.
        prompt: `confirmation.describe`.
        tell: Called with ("described", {"done", "of"}).

    Attributes:
        calls: Pictures that were described by this object.
    """

    def __init__(self, run: Run, model: Model, prompt: str, tell: Tell = lambda _event, _values: None) -> None:
        self.calls = 0
        self._run, self._model, self._prompt, self._tell = run, model, prompt, tell
        self._known: dict[str, str | None] = {r["id"]: r["text"] for r in run.rows("descriptions")}

    def describe(self, pictures: Sequence[str]) -> list[str | None]:
        """Put pictures into words.

        Args:
            pictures: N ids of pictures that the run keeps.

        Returns:
            N descriptions in order; None where the model gave no reply.

        Raises:
            ModelError: A whole batch could not be answered.

        Cost: a reply for each picture that is new, and its decoding.
        """
        new = [p for p in dict.fromkeys(pictures) if p not in self._known]
        for start in range(0, len(new), _BATCH):
            batch = new[start : start + _BATCH]
            told = self._model.generate([(self._run.picture(p), self._prompt) for p in batch])
            rows: list[dict[str, Any]] = [
                {"id": p, "model": a.model, "revision": a.revision, "text": a.text, "problem": a.problem}
                for p, a in zip(batch, told, strict=True)
            ]
            self._run.append("descriptions", rows)
            self._known |= {r["id"]: r["text"] for r in rows}
            self.calls += len(batch)
            self._tell("described", {"done": start + len(batch), "of": len(new)})
        return [self._known[p] for p in pictures]


def names_of(run: Run, pictures: Sequence[str], describer: Describer) -> Names:
    """What the words of an audit's questions stand for, learned from those of training and discovery that were answered.

    What is asked later is passed over, so that a resumed search and a later stage learn the same.

    Args:
        run: Its proposals, probes and verdicts.
        pictures: Ids of pictures of the pool; what was asked of others is passed over.
        describer: Describes them.

    Cost: a description of each picture that was not described before.
    """
    told = {i: d for i, d in zip(pictures, describer.describe(pictures), strict=True) if d is not None}
    answered = {
        v["id"] for v in run.rows("verdicts") if v["consensus"] is not None and answer_kind(v["consensus"]) != "nothing"
    }
    known = answered & {p["probe_id"] for p in run.rows("proposals") if p["phase"] in ("training", "discovery")}
    asked = [
        (p["question"], told[p["picture_id"]])
        for p in run.rows("probes")
        if p["id"] in known and p["picture_id"] in told
    ]
    return names_in(told.values(), asked)
