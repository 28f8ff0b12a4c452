"""What the showcase is told when it starts: by the command line, else by the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mneme import Embedder
from showcase.models.base import Model

__all__ = ["Settings"]

PREFIX = "MNEME_SHOWCASE_"
PRICE = 10.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set. With nothing set it runs offline, and leaves nothing behind."""

    endpoint: str | None = None
    """Where a model answers: `http://host:port/v1` of anything OpenAI-compatible, or an Ollama; `None` for the small
    model that runs in this process."""
    model: str | None = None
    """Its name there; by default the first that the endpoint has."""
    api_key: str | None = field(default=None, repr=False)
    folder: Path | None = None
    """Where the cache file is kept; by default a temporary folder, which is removed in the end."""
    price: float = PRICE
    """What a million tokens of an answer are taken to cost, in euros: answers of a model at home are priced as well."""
    embedder: Embedder | None = None
    """By default the local one."""
    answers: Model | None = None
    """Instead of what `endpoint` says: tests pass one."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """What the variables `MNEME_SHOWCASE_ENDPOINT`, `..._MODEL`, `..._API_KEY`, `..._FOLDER` and `..._PRICE` say.

        Raises:
            ValueError: The price is no number, or below 0.
        """

        def told(name: str) -> str | None:
            return environment.get(PREFIX + name) or None

        folder, price = told("FOLDER"), told("PRICE")
        return cls(
            endpoint=told("ENDPOINT"),
            model=told("MODEL"),
            api_key=told("API_KEY"),
            folder=Path(folder) if folder else None,
            price=_price(price) if price else PRICE,
        )


def _price(text: str) -> float:
    try:
        price = float(text)
    except ValueError:
        price = -1.0
    if not 0 <= price < 1e6:
        raise ValueError(f"{PREFIX}PRICE is {text!r}; it must be euros for a million tokens, such as 10")
    return price
