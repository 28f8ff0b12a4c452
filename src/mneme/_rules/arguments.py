"""Checks of what callers pass: each names the value and the remedy."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any, TypeVar

Choice = TypeVar("Choice", bound=str)


def check_text(value: Any, what: str, max_bytes: int) -> str:
    """A text that says something and fits.

    Raises:
        TypeError: It is not a string.
        ValueError: It is empty or blank, too long, or cannot be written as UTF-8.
    """
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {type(value).__name__}")
    if not value or value.isspace():
        raise ValueError(f"{what} is empty; pass a text with more than blanks in it")
    try:
        size = len(value) if value.isascii() else len(value.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{what} holds a lone surrogate and is not valid text; repair its decoding") from None
    if size > max_bytes:
        raise ValueError(f"{what} has {size} bytes, more than the {max_bytes} allowed; shorten it or raise the limit")
    # An exact str: a subclass may redefine what follows.
    return value if type(value) is str else str.__str__(value)


def check_namespace(value: Any) -> str:
    """Namespaces are short texts. Those that begin with `mneme:` are the cache's own."""
    namespace = check_text(value, "namespace", 512)
    if namespace.startswith("mneme:"):
        raise ValueError(f"namespaces that begin with 'mneme:' are the cache's own, got {value!r}; choose another name")
    return namespace


def check_namespaces(value: Any) -> tuple[str, ...] | None:
    """One namespace or several, each once; `None` for all."""
    if value is None:
        return None
    if isinstance(value, str):
        return (check_namespace(value),)
    if isinstance(value, bytes) or not isinstance(value, Collection) or not value:
        raise TypeError(f"namespace must be a str, a collection of them with at least one, or None, not {value!r}")
    return tuple(dict.fromkeys(map(check_namespace, value)))


def check_tags(tags: Any) -> tuple[str, ...]:
    """Tags without repetition, in order."""
    if isinstance(tags, tuple) and not tags:
        return ()
    if isinstance(tags, str) or not isinstance(tags, Collection):
        raise TypeError(f"tags must be a collection of strings, like ('a', 'b'), not {tags!r}")
    return tuple(dict.fromkeys(check_text(tag, "tag", 512) for tag in tags))


def check_unit(value: Any, what: str, most: float = 1.0) -> float:
    """A number from 0 to 1, or *most*, both included."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{what} must be a number from 0 to {most:g}, not {type(value).__name__}")
    if not 0 <= value <= most:
        kind = "cosine" if most == 1 else "2s - r"
        raise ValueError(f"{what} must be from 0 to {most:g} ({kind}, higher is stricter), got {value!r}")
    return float(value)


def check_share(value: Any, what: str) -> float:
    """A share, from 0 to 1, both included."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{what} must be a number from 0 to 1, not {type(value).__name__}")
    if not 0 <= value <= 1:
        raise ValueError(f"{what} must be a share from 0 to 1, got {value!r}")
    return float(value)


def check_count(value: Any, what: str, least: int) -> int:
    """A whole number of at least *least*."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} must be a whole number, not {type(value).__name__}")
    if value < least:
        raise ValueError(f"{what} must be at least {least}, got {value}")
    return value


def check_seconds(value: Any, what: str) -> float:
    """A span of time, which may be 0 or infinite."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{what} must be a number, not {type(value).__name__}")
    if not value >= 0:
        raise ValueError(f"{what} must be seconds, 0 or more, got {value!r}")
    return float(value)


def check_cost(value: Any, what: str = "cost") -> float:
    """A finite amount, 0 or more, in whatever unit the caller counts in."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{what} must be a number, not {type(value).__name__}")
    try:
        amount = float(value)
    except OverflowError:
        raise ValueError(f"{what} is too large for a float") from None
    if not 0 <= amount < math.inf:
        raise ValueError(f"{what} must be a finite amount, 0 or more, got {value!r}")
    return amount


def check_choice(value: Any, what: str, choices: Sequence[Choice]) -> Choice:
    """One of the texts there are to choose from."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {type(value).__name__}")
    for choice in choices:
        if choice == value:
            return choice
    raise ValueError(f"{what} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def check_callable(value: Any, what: str) -> None:
    """A function, or nothing."""
    if value is not None and not callable(value):
        raise TypeError(f"{what} must be callable, not {type(value).__name__}")


def check_parts(value: Any, what: str, *names: str) -> None:
    """An object with these attributes, or nothing."""
    missing = [name for name in names if not hasattr(value, name)]
    if missing and value is not None:
        raise TypeError(f"{what} must have {', '.join(names)}, and {type(value).__name__} lacks {', '.join(missing)}")
