"""What every model offers, and what is said when one fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypedDict

__all__ = ["Answer", "CutOffError", "Message", "Model", "ModelError", "never", "unheard"]


class Message(TypedDict):
    """One turn, as OpenAI-compatible servers and Ollama want it."""

    role: str
    content: str


class ModelError(Exception):
    """The model did not answer. The message says why, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said."""

    text: str
    tokens: int
    """Of the answer: as the model counted them, or else how many pieces came."""
    seconds: float
    """From when it was this question's turn to the last token."""
    waited: float = 0.0
    """Seconds before that, while others were answered."""
    whole: bool = True
    """Whether it came to its own end; one that was cut off must not be kept."""


class CutOffError(Exception):
    """The model was stopped before its end. What it said is shown, and not kept."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("the answer was cut off")
        self.answer = answer


def unheard(text: str) -> None:
    """For callers that want no pieces."""


def never() -> bool:
    """For callers that do not stop."""
    return False


class Model(Protocol):
    """Answers chats. May be called from any thread."""

    name: str
    """What goes into scopes: answers of two models never mix. Empty until it is known, see `probe`."""
    description: str
    """What it is and where it runs, for people: one line."""
    trouble: str | None
    """Why the last call failed; `None` if it did not."""

    def answer(
        self,
        messages: Sequence[Message],
        *,
        say: Callable[[str], None] = unheard,
        stopped: Callable[[], bool] = never,
        most_tokens: int | None = None,
    ) -> Answer:
        """The answer to a chat; its pieces go to *say* as they come, until *stopped* says so.

        By default it may have as many tokens as suit the model.

        Raises:
            ModelError: There is no answer, or it broke off.
        """
        ...

    def probe(self) -> None:
        """Find out whether it answers at all, and note in `trouble` if not."""
        ...

    def close(self) -> None:
        """Let go of connections. Again is harmless."""
        ...
