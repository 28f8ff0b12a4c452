"""The first page: what mneme does, as it does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from mneme import MnemeError
from showcase import seeds, web
from showcase.figures import live_figures, threshold_figures, threshold_of
from showcase.forms import Form, read_query
from showcase.models import CutOffError, ModelError
from showcase.registry import Page
from showcase.state import State
from showcase.whatif import WhatIf

__all__ = ["PAGE"]

LEAST = 0.4
# One question in three wordings, and another that is like it.
PICKS = (seeds.GROUPS[1].first, *seeds.GROUPS[1].same, *seeds.GROUPS[1].other)


class Dashboard:
    """The page, its live part, and what can be done there."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.tour = state.tour
        self.what_if = WhatIf(state)

    def routes(self) -> Sequence[BaseRoute]:
        return [
            web.get("/", self.page),
            web.get("/dashboard/live", self.live),
            web.get("/dashboard/threshold", self.threshold),
            web.post("/dashboard/threshold", self.set_threshold),
            web.post("/dashboard/ask", self.ask),
            web.post("/dashboard/tour", self.start_tour),
            web.post("/dashboard/tour/stop", self.stop_tour),
            web.post("/dashboard/clear", self.start_over),
            web.post("/model/probe", self.probe),
        ]

    def page(self, request: Request, *, threshold: float | None = None, answer: Any = None) -> Response:
        values = self.live_values() | self.threshold_values(threshold)
        return web.show(request, "dashboard/page.html", **values, answer=answer, picks=PICKS)

    def live(self, request: Request) -> Response:
        return web.show(request, "dashboard/live.html", **self.live_values())

    def ask(self, request: Request, form: Form) -> Response:
        answer = self.answer_to(form.text("pick", default="") or form.text("question"))
        if web.is_fragment(request):
            return web.show(request, "dashboard/answer.html", **answer)
        return self.page(request, answer=answer)

    def answer_to(self, question: str) -> dict[str, Any]:
        """The answer, or what stood in its way."""
        try:
            return {"asked": self.state.ask_model(question), "problem": ""}
        except CutOffError as error:
            problem = f"The model was cut off, so this is not kept: {error.answer.text}"
        except (ModelError, MnemeError, ValueError) as error:
            problem = str(error)
        return {"asked": None, "problem": problem}

    def threshold(self, request: Request) -> Response:
        wanted = read_query(request).number("threshold", 0, 1, default=threshold_of(self.state.cache))
        if web.is_fragment(request):
            return web.show(request, "dashboard/what_if.html", **self.threshold_values(wanted))
        return self.page(request, threshold=wanted)

    def set_threshold(self, request: Request, form: Form) -> Response:
        self.state.cache.set_similarity_threshold(form.number("threshold", LEAST, 1))
        if web.is_fragment(request):
            return web.show(request, "dashboard/what_if.html", **self.threshold_values())
        return back()

    def start_tour(self, request: Request, form: Form) -> Response:
        self.tour.start()
        return self.live(request) if web.is_fragment(request) else back()

    def stop_tour(self, request: Request, form: Form) -> Response:
        self.tour.stop()
        return self.live(request) if web.is_fragment(request) else back()

    def start_over(self, request: Request, form: Form) -> Response:
        self.tour.stop()
        self.state.cache.clear()
        self.state.recorder.clear()
        return back()

    def probe(self, request: Request, form: Form) -> Response:
        self.state.model.probe()
        return back()

    def live_values(self) -> dict[str, Any]:
        return live_figures(self.state) | {"tour": self.tour, "price": self.state.settings.price}

    def threshold_values(self, threshold: float | None = None) -> dict[str, Any]:
        return threshold_figures(self.state.cache, self.what_if.latest(), threshold) | {"least": LEAST}


def back() -> Response:
    """To the page itself, which a reload then asks for without sending the form again."""
    return RedirectResponse("/", status_code=303)


PAGE = Page(
    title="Dashboard",
    path="/",
    summary="What the cache does, as it does it.",
    order=10,
    routes=lambda state: Dashboard(state).routes(),
)
