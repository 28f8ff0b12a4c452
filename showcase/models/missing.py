"""What stands where there is no model: it says what is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from showcase.models.base import Answer, Message, ModelError, never, unheard

__all__ = ["NoModel"]


class NoModel:
    """Answers nothing, and says why."""

    name = "none"
    description = "no model"

    def __init__(self, reason: str) -> None:
        self.trouble: str | None = (
            f"There is no language model: {reason}. `make showcase` installs a small one; or name an endpoint with "
            f"MNEME_SHOWCASE_ENDPOINT=http://host:port/v1, and start again."
        )

    def answer(
        self,
        messages: Sequence[Message],
        *,
        say: Callable[[str], None] = unheard,
        stopped: Callable[[], bool] = never,
        most_tokens: int | None = None,
    ) -> Answer:
        raise ModelError(self.trouble)

    def probe(self) -> None:
        """It stays away until the showcase is started again."""

    def close(self) -> None:
        """There is nothing to let go of."""
