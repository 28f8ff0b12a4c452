"""For testing what uses mneme, and what mneme stands on: contract suites, fakes, a clock to move by hand.

The contract suites need pytest and Hypothesis and are loaded when first asked for; everything else needs neither.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mneme.testing.clock import FakeClock
from mneme.testing.embedders import AsyncTwin, FailingEmbedder, HashEmbedder, ScriptedEmbedder, SlowEmbedder
from mneme.testing.stores import Faults, FlakyIndex, FlakyStore, SlowStore

if TYPE_CHECKING:
    from mneme.testing.index_contract import IndexContract
    from mneme.testing.store_contract import ReembeddingContract, SearchContract, StoreContract

__all__ = [
    "AsyncTwin",
    "FailingEmbedder",
    "FakeClock",
    "Faults",
    "FlakyIndex",
    "FlakyStore",
    "HashEmbedder",
    "IndexContract",
    "ReembeddingContract",
    "ScriptedEmbedder",
    "SearchContract",
    "SlowEmbedder",
    "SlowStore",
    "StoreContract",
]

_LAZY: dict[str, str] = {
    "IndexContract": "mneme.testing.index_contract",
    "ReembeddingContract": "mneme.testing.store_contract",
    "SearchContract": "mneme.testing.store_contract",
    "StoreContract": "mneme.testing.store_contract",
}
"""Name to module, of what needs pytest or Hypothesis."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
