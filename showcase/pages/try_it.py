"""The same question with the cache and without it, side by side; and step by step what the cache did."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from mneme import MnemeError
from mneme.ui import Pages
from showcase import seeds, web
from showcase.forms import Form
from showcase.registry import Page
from showcase.side_by_side import Done, Piece, Run
from showcase.state import State
from showcase.stream import append, replace, streamed
from showcase.work.inputs import BadInputError

__all__ = ["PAGE"]


class TryIt:
    """The page, and the question that is asked on it."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._lock = threading.Lock()
        self._runs: set[Run] = set()
        state.on_close(self.close)

    def routes(self) -> Sequence[BaseRoute]:
        return [web.get("/try", self.page), web.post("/try", self.ask)]

    def page(self, request: Request, **values: Any) -> Response:
        return web.show(
            request,
            "try/page.html",
            **{"groups": [seeds.GROUPS[number] for number in (0, 1, 2, 4)], "run": None, "question": "", **values},
        )

    def ask(self, request: Request, form: Form) -> Response:
        question = form.text("question") if not form.all("pick") else form.text("pick")
        try:
            run = Run(self.state, question)
        except (MnemeError, ValueError) as error:
            raise BadInputError(str(error)) from error
        if web.is_fragment(request):
            return streamed(self._fragments(request, run), run.stop)
        ended = {event.side: event for event in self._events(run) if isinstance(event, Done)}
        return self.page(request, run=run, ended=ended, question=question)

    def _fragments(self, request: Request, run: Run) -> Iterator[str]:
        pages: Pages = request.app.state.pages
        yield pages.render(request, "try/results.html", run=run, ended={})
        for event in self._events(run):
            if event is None:
                yield ""
            elif isinstance(event, Done):
                yield replace(f"{event.side}-side", pages.render(request, "try/side.html", side=event.side, done=event))
                if event.side == "with":
                    yield replace("steps", pages.render(request, "try/steps.html", run=run, done=event))
            else:
                yield append(f"{event.side}-text", event.text)

    def _events(self, run: Run) -> Iterator[Piece | Done | None]:
        """The events of *run*, which is known meanwhile to whoever ends the application."""
        with self._lock:
            self._runs.add(run)
        try:
            yield from run
        finally:
            with self._lock:
                self._runs.discard(run)

    def close(self) -> None:
        """End what is under way."""
        with self._lock:
            runs = list(self._runs)
        for run in runs:
            run.stop()
        for run in runs:
            run.join()


PAGE = Page(
    title="Try it",
    path="/try",
    summary="The same question with the cache and without it, side by side.",
    order=20,
    routes=lambda state: TryIt(state).routes(),
)
