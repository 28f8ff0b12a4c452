"""Asking the guards whether the answer to one question may stand for another."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from mneme._engine.core import Core, logger
from mneme._rules.guards_kinds import TextGuard
from mneme._rules.guards_reading import Reading
from mneme.log import log_fields


class Refusal(NamedTuple):
    """Which guard refused, and why."""

    guard: str
    reason: str

    def __str__(self) -> str:
        return f"{self.guard}: {self.reason}"


async def refusal(
    core: Core, asked: str, stored: str, *, similarity: float, response: Any = None, slow: bool = True
) -> Refusal | None:
    """The first refusal, in the order of the guards; those that are *slow* are passed over if that is said.

    A guard that raises, or returns what is no reason, has refused: that is logged.
    """
    first, second = Reading.of(asked), Reading.of(stored)
    for guard in core.options.guards:
        if similarity >= getattr(guard, "below", _ANY) or (not slow and getattr(guard, "slow", False)):
            continue
        try:
            if type(guard) is TextGuard:  # ready-made: it waits for nothing
                reason = guard.differs(first, second)
            else:
                ask = partial(guard.check, asked, stored, similarity=similarity, response=response)
                reason = _checked(await core.runtime.consult(ask, slow=bool(getattr(guard, "slow", False))))
        except Exception as error:  # noqa: BLE001 -- a caller's guard may raise anything, and then it has not said yes
            extra = log_fields("guard_failure", guard=guard.name, error=error)
            logger.warning("the guard %r failed, which counts as a refusal", guard.name, exc_info=True, extra=extra)
            reason = f"it failed: {error!r}"
        if reason is not None:
            return Refusal(guard.name, reason)
    return None


_ANY = 2.0
"""More than any similarity."""


def _checked(reason: object) -> str | None:
    if reason is None or isinstance(reason, str):
        return reason
    raise TypeError(f"a guard must return a reason or None, not {reason!r}")
