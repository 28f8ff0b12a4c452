"""A model as pages of one instruction and one text want it."""

from __future__ import annotations

from showcase.models.base import Model
from showcase.work.asking import Reply

__all__ = ["Asker"]


class Asker:
    """Puts an instruction and a text to a model, and gives its reply.

    `ask` raises `ModelError` if there is none.
    """

    def __init__(self, model: Model) -> None:
        self._model = model

    @property
    def name(self) -> str:
        """Which model it is; empty if an endpoint does not say."""
        if not self._model.name:
            self._model.probe()
        return self._model.name

    def ask(self, instruction: str, text: str) -> Reply:
        """What the model says to *text*."""
        answer = self._model.answer([{"role": "system", "content": instruction}, {"role": "user", "content": text}])
        return Reply(answer.text, answer.whole)
