"""What a page needs of a language model: a name to show, and a reply to an instruction and a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Asks", "Reply"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model said."""

    text: str
    whole: bool = True
    """Whether it came to its own end; one that was cut off is shown and not kept."""


class Asks(Protocol):
    """A language model, wherever it runs. Whatever it raises is shown, and nothing is kept."""

    @property
    def name(self) -> str:
        """Which one: part of the scope, because another model answers otherwise."""
        ...

    def ask(self, instruction: str, text: str) -> Reply:
        """What it says to *text*. May take seconds."""
        ...
