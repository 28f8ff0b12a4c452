"""Indexes find vectors near a query within one partition. All follow `mneme.ports.Index`; see ARCHITECTURE.md."""

from __future__ import annotations

from mneme.indexes.exact import ExactIndex

__all__ = ["ExactIndex"]
