"""The inspector of `mneme ui`, on the cache of the showcase, and allowed to remove entries."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute, Mount

from mneme.ui import inspector
from showcase import registry
from showcase.registry import Page
from showcase.state import State

__all__ = ["PAGE"]


def routes(state: State) -> Sequence[BaseRoute]:
    """All of it, below the navigation of the showcase."""
    return [Mount("/inspector", inspector(state.cache, writable=True, frame=registry.frame()))]


PAGE = Page(
    title="Inspector",
    path="/inspector/",
    summary="What is stored, and why it answers.",
    order=40,
    routes=routes,
)
