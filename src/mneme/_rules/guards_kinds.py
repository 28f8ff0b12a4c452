"""The kinds of guards, and what is asked of a sequence of them when a cache is made."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from mneme._rules.arguments import check_unit
from mneme._rules.guards_reading import Reading
from mneme.ports import Guard

__all__ = ["Rule", "TextGuard", "Uncertain", "check_guards", "is_awaited"]


@dataclass(frozen=True, slots=True)
class TextGuard:
    """A ready-made guard: a pure function of the two texts, in microseconds."""

    name: str
    differs: Callable[[Reading, Reading], str | None]
    below: ClassVar[float] = float("inf")
    slow: ClassVar[bool] = False

    def check(self, asked: str, stored: str, /, *, similarity: float = 1.0, response: Any = None) -> str | None:  # noqa: ARG002 -- the protocol's
        """Why the two differ; `None` if this guard sees no difference."""
        return self.differs(Reading.of(asked), Reading.of(stored))

    def __repr__(self) -> str:
        return f"<guard {self.name}>"


class Rule:
    """A function of yours as a guard: called with the two questions, it returns why they differ, or `None`.

    Args:
        name: A short word for events and explanations.
        differs: Called as `differs(asked, stored)`. On the async face it may be a coroutine function.
        slow: Whether the async face must call it on a worker thread, because it takes milliseconds or more.

    Example:
        ```python
        Rule("product", lambda asked, stored: None if sku(asked) == sku(stored) else "another product")
        ```
    """

    def __init__(self, name: str, differs: Callable[[str, str], Any], *, slow: bool = False) -> None:
        if not callable(differs):
            raise TypeError(f"differs must be callable with two questions, not {type(differs).__name__}")
        self.name = name
        self.slow = slow
        self.awaited: bool = is_awaited_call(differs)
        self._differs = differs

    def check(self, asked: str, stored: str, /, *, similarity: float = 1.0, response: Any = None) -> Any:  # noqa: ARG002 -- the protocol's
        """What the function says."""
        return self._differs(asked, stored)

    def __repr__(self) -> str:
        return f"Rule({self.name!r})"


class Uncertain:
    """A guard that is asked in the uncertain band alone: for one too dear to be asked of every hit.

    A cross-encoder or a language model as a judge belongs here. Put it last: what a cheap guard refuses, it is not
    asked of.

    Args:
        guard: Any guard. It counts as slow: the async face gives it a worker thread, unless it is awaited.
        below: Entries at least as similar as this are not shown to it.
    """

    def __init__(self, guard: Guard, *, below: float) -> None:
        check_guard(guard)
        self.name: str = guard.name
        self.below: float = min(check_unit(below, "below"), getattr(guard, "below", 1.0))
        self.awaited: bool = is_awaited(guard)
        self.slow: bool = not self.awaited and not isinstance(guard, TextGuard)
        self._guard = guard

    def check(self, asked: str, stored: str, /, *, similarity: float, response: Any = None) -> Any:
        """What the guard says within the band; `None` above it."""
        if similarity >= self.below:
            return None
        return self._guard.check(asked, stored, similarity=similarity, response=response)

    def __repr__(self) -> str:
        return f"Uncertain({self._guard!r}, below={self.below})"


def check_guard(guard: Any) -> Guard:
    """A guard; raises `TypeError` or `ValueError` for what is none."""
    if isinstance(guard, type):
        raise TypeError(f"a guard must be an instance, and {guard.__name__} is a class; call it")
    if not hasattr(guard, "name") or not callable(getattr(guard, "check", None)):
        hint = ", which is what guards.Rule(name, function) makes of a function" if callable(guard) else ""
        raise TypeError(f"a guard must have a name and a check(asked, stored, ...){hint}; {guard!r} has not")
    if not isinstance(guard.name, str):
        raise TypeError(f"the name of a guard must be a str, not {type(guard.name).__name__}")
    if not guard.name or guard.name.isspace():
        raise ValueError(f"the name of the guard {guard!r} is empty; events and explanations need one")
    below = getattr(guard, "below", 0.0)
    if isinstance(below, bool) or not isinstance(below, (int, float)):
        raise TypeError(f"below of the guard {guard.name!r} must be a similarity, not {type(below).__name__}")
    checked: Guard = guard
    return checked


def check_guards(guards: Any) -> tuple[Guard, ...]:
    """Guards in order, checked; raises `TypeError` or `ValueError` for the first that does not hold."""
    if guards is None:
        raise TypeError("guards must be a sequence of guards, not None; for no guards pass ()")
    if isinstance(guards, str) or not isinstance(guards, Iterable):
        raise TypeError(f"guards must be a sequence of guards, like (*DEFAULT_GUARDS, mine), not {guards!r}")
    checked = tuple(check_guard(guard) for guard in guards)
    names = [guard.name for guard in checked]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"there are {names.count(name)} guards of the name {name!r}; give each one of its own")
    return checked


def is_awaited_call(function: Any) -> bool:
    """Whether calling *function* surely gives something to await."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004 -- a callable object may have an async __call__


def is_awaited(guard: Guard) -> bool:
    """Whether *guard* is for the async face alone."""
    return bool(getattr(guard, "awaited", False)) or inspect.iscoroutinefunction(guard.check)
