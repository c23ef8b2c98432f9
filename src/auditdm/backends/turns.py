"""One device, many models: each comes to the device when it is asked, and the one before leaves for the computer's memory.

Source: ours. On one GPU a target, three references and an auditor in training rarely fit side by side; moved back and
forth they do, at the price of one copy of the weights in each direction per batch. So let batches be large.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from typing import Any

from PIL.Image import Image

from auditdm.types import Answer, Model


class Turns:
    """Lets at most one of its guests be on the device.

    Guests may be asked from several threads; they then wait for one another.

    Example:
        >>> from auditdm.backends.fakes import FakeModel, fake_picture
        >>> turns = Turns()
        >>> model = turns.load(lambda: FakeModel(lambda _: "two"))
        >>> model.generate([(fake_picture(), "How many?")])[0].text
        'two'
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._here: Any = None  # the module whose weights are on the device

    def load(self, make: Callable[[], Model]) -> Model:
        """Make a model on the empty device, and let it take turns from then on.

        Args:
            make: Loads a model onto its device; `.model` is its module. One that holds no weights in this process (a
                server's, a rule), or that accelerate has placed, stays as it is.

        Returns:
            The model, behind its turn. It has left the device already.
        """
        self.clear()
        model = make()
        module = getattr(model, "model", None)
        if module is None or not hasattr(module, "to") or getattr(module, "hf_device_map", None):
            return model
        return _Guest(self, model, module)

    def clear(self) -> None:
        """Send away who is on the device, so that something else has room, such as a training."""
        with self._lock:
            if self._here is not None:
                self._leave(self._here)

    def _come(self, module: Any, device: Any) -> None:
        if self._here is not None and self._here is not module:
            self._leave(self._here)
        module.to(device)
        self._here = module

    def _leave(self, module: Any) -> None:
        module.to("cpu")
        self._here = None
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def at_length(model: Model, max_new_tokens: int) -> Model:
    """The same model with replies of at most so many tokens, without loading it twice; itself where it knows no length."""
    make: Callable[[int], Model] | None = getattr(model, "at_length", None)
    return model if make is None else make(max_new_tokens)


class _Guest:
    """A model that comes to the device to answer, and leaves when another one is asked."""

    def __init__(self, turns: Turns, model: Model, module: Any) -> None:
        self.name, self.revision = model.name, model.revision
        self._turns, self._model, self._module = turns, model, module
        self._device = next(module.parameters()).device
        with turns._lock:
            turns._leave(module)

    def at_length(self, max_new_tokens: int) -> _Guest:
        """The same guest, with replies of at most so many tokens; one that cannot say so stays as it is."""
        longer = copy.copy(self)
        longer._model = at_length(self._model, max_new_tokens)
        return longer

    def generate(self, batch: Sequence[tuple[Image, str]]) -> list[Answer]:
        """Answer as the model does.

        Cost: its own, and two moves of weights where another guest was asked before.
        """
        with self._turns._lock:
            self._turns._come(self._module, self._device)
            return self._model.generate(batch)
