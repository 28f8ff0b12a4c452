"""Paste lines and see which mean the same, at a threshold to be moved, and what the guards kept apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from showcase import web
from showcase.desks import tried
from showcase.forms import Form
from showcase.registry import Page
from showcase.state import State
from showcase.work import deduplication as work
from showcase.work.remembered import Remembered

__all__ = ["PAGE"]

THRESHOLD = 0.8
SHOWN = 30
"""Pairs of each kind that are shown."""


class Deduplication:
    """The page. What is pasted is written nowhere; the latest texts stay in memory beside their vectors."""

    def __init__(self, state: State) -> None:
        self.embedder = Remembered(state.embedder, most=2000)

    def routes(self) -> Sequence[BaseRoute]:
        return [web.get("/deduplication", self.page), web.post("/deduplication", self.sort)]

    def page(self, request: Request) -> Response:
        return self._show(request, "\n".join(work.tickets()), THRESHOLD, guards=True)

    def sort(self, request: Request, form: Form) -> Response:
        lines = form.text("lines", most=100_000, default="")
        threshold = form.number("threshold", work.LOWEST, work.HIGHEST, default=THRESHOLD)
        return self._show(request, lines, threshold, guards=not form.all("without"))

    def _show(self, request: Request, lines: str, threshold: float, *, guards: bool) -> Response:
        outcome, problem = tried(
            lambda: work.deduplicate(work.checked_lines(lines), self.embedder, threshold=threshold, guards=guards)
        )
        values: dict[str, Any] = {
            "outcome": outcome,
            "problem": problem,
            "lines": lines,
            "threshold": threshold,
            "guards": guards,
            "lowest": work.LOWEST,
            "highest": work.HIGHEST,
            "most": work.MOST_LINES,
            "shown_pairs": SHOWN,
        }
        if web.is_fragment(request):
            return web.show(request, "deduplication/outcome.html", **values)
        return web.show(request, "deduplication/page.html", 400 if problem else 200, **values)


PAGE = Page(
    title="Duplicates",
    path="/deduplication",
    summary="Lines that mean the same, and what only looks alike.",
    order=80,
    routes=lambda state: Deduplication(state).routes(),
)
