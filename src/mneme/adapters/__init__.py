"""Connections to other systems. Each module needs a library, named in its first lines, and is imported by itself."""

from __future__ import annotations

from mneme.adapters._compose import compose

__all__ = ["compose"]
