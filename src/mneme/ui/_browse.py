"""Which entries a page lists: what was asked for, and reading on until there are enough of them."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from mneme import Entry, SemanticCache
from mneme.ui._words import readable

__all__ = ["Filter", "Page", "as_scope", "as_seconds", "entry_of", "is_expired", "query_string", "read"]

_BATCH = 500
_READ = 50_000
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
STATES = ("live", "expired")
KINDS = ("text", "json", "bytes", "codec")


@dataclasses.dataclass(frozen=True)
class Filter:
    """What a listed entry must be; empty means anything. Times are as one types them: "90s", "1h30m", "2d"."""

    namespace: str = ""
    tag: str = ""
    text: str = ""
    answer: str = ""
    state: str = ""
    kind: str = ""
    older: str = ""
    younger: str = ""

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> Filter:
        """What the fields of a request say.

        Raises:
            ValueError: A field does not hold.
        """
        found = cls(**{one.name: fields.get(one.name, "") for one in dataclasses.fields(cls)})
        if found.state not in ("", *STATES):
            raise ValueError(f"state is live or expired, not {found.state!r}")
        if found.kind not in ("", *KINDS):
            raise ValueError(f"kind is one of {', '.join(KINDS)}, not {found.kind!r}")
        for text in (found.older, found.younger):
            as_seconds(text)
        return found

    def fields(self) -> dict[str, str]:
        """Those that say something: the query of a link to this list."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value}

    def fits(self, entry: Entry, now: float) -> bool:
        """Whether it is what is asked for, namespace and tag aside, which the store looks at."""
        age = now - entry.created_at
        older, younger = as_seconds(self.older), as_seconds(self.younger)
        return (
            (not self.text or self.text.casefold() in entry.query.casefold())
            and (not self.answer or self.answer.casefold() in readable(entry.response).casefold())
            and (not self.state or (self.state == "expired") == is_expired(entry, now))
            and (not self.kind or entry.codec.partition(":")[0] == self.kind)
            and (older is None or age >= older)
            and (younger is None or age <= younger)
        )


@dataclasses.dataclass(frozen=True)
class Page:
    """Entries in order of id, and where to read on."""

    entries: list[Entry]
    next_after: int | None
    """The id to read on after; `None` at the end."""
    read: int
    """How many were looked at."""


def read(cache: SemanticCache, wanted: Filter, *, after: int, limit: int, now: float, budget: int = _READ) -> Page:
    """The next *limit* entries that are *wanted*, or fewer if *budget* were looked at before there were as many."""
    found: list[Entry] = []
    looked = 0
    while looked < budget:
        # One more than wanted tells whether there is another page.
        batch = cache.entries(
            namespace=wanted.namespace or None, tags=[wanted.tag] if wanted.tag else None, after=after, limit=_BATCH
        )
        for entry in batch:
            if wanted.fits(entry, now):
                if len(found) == limit:
                    return Page(found, found[-1].entry_id, looked)
                found.append(entry)
            looked += 1
            after = entry.entry_id
        if len(batch) < _BATCH:
            return Page(found, None, looked)
    return Page(found, after, looked)


def entry_of(cache: SemanticCache, entry_id: int) -> Entry | None:
    """The entry of that id, if there is one."""
    found = cache.entries(after=entry_id - 1, limit=1) if 0 < entry_id < 2**63 else []
    return found[0] if found and found[0].entry_id == entry_id else None


def is_expired(entry: Entry, now: float) -> bool:
    return entry.expires_at is not None and entry.expires_at <= now


def as_scope(text: str) -> Any:
    """A scope as one types it: JSON if it begins like a mapping or a text of JSON, else a text; nothing for none.

    Raises:
        ValueError: It begins like JSON and is not.
    """
    if not text.strip():
        return None
    if not text.lstrip().startswith(("{", '"')):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the scope begins like JSON and is not: {error}") from error


def as_seconds(text: str) -> float | None:
    """A time as one types it: seconds, or numbers with units; nothing for none.

    Raises:
        ValueError: It is no time.
    """
    text = text.strip().lower()
    if not text:
        return None
    if re.fullmatch(r"(\d+(\.\d+)?[smhdw])+", text):
        return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)([smhdw])", text))
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"{text!r} is no time; write seconds, or '90s', '1h30m', '2d'")
    return seconds


def query_string(**fields: Any) -> str:
    """The query of a link, with its question mark; fields that are empty are left out."""
    said = {name: str(value) for name, value in fields.items() if value not in (None, "")}
    return f"?{urlencode(said, errors='replace')}" if said else ""
