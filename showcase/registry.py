"""Which pages there are: every module in `showcase.pages` that has a `PAGE`. Adding one touches no other."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

from starlette.routing import BaseRoute

from mneme.ui import Frame, Link
from showcase import pages
from showcase.state import State

__all__ = ["Page", "find", "frame"]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the showcase, and an item of its navigation."""

    title: str
    path: str
    """Where it begins: "/tenants". What belongs to it lies below."""
    summary: str
    """What a visitor sees there: one sentence."""
    order: int
    """Its place in the navigation."""
    routes: Callable[[State], Sequence[BaseRoute]]
    """Its routes, with whole paths; called once, when the application is made."""


def find() -> list[Page]:
    """Every page, in order of the navigation."""
    modules = [import_module(f"{pages.__name__}.{found.name}") for found in pkgutil.iter_modules(pages.__path__)]
    found = [module.PAGE for module in modules if hasattr(module, "PAGE")]
    return sorted(found, key=lambda page: page.order)


def frame() -> Frame:
    """What surrounds every page, those of the inspector as well."""
    return Frame("mneme", home="/", links=tuple(Link(page.title, page.path) for page in find()))
