"""Label pairs that are in doubt, and see the curve, the threshold, and what can be promised of it, move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast, get_args

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from mneme.ui import Series, line_chart
from showcase import web
from showcase.desks import Late
from showcase.forms import Form, read_query
from showcase.registry import Page
from showcase.sessions import session_of
from showcase.state import State
from showcase.work import calibration as work
from showcase.work.questions import Pool, written
from showcase.work.remembered import Remembered
from showcase.work.sessions import Sessions

__all__ = ["PAGE"]

ORDERS = get_args(work.Order)
VERDICTS = ("same", "different", "skip")
FILL = (10, 50, 500)
RATE = "0.1"


class Calibration:
    """The page, with a bench for each visitor. The questions are embedded when somebody begins."""

    def __init__(self, state: State) -> None:
        self.pool = Late(lambda: Pool(written(), Remembered(state.embedder)))
        self.benches = Sessions(lambda _: work.Bench(self.pool()))

    def routes(self) -> Sequence[BaseRoute]:
        return [
            web.get("/calibration", self.page),
            web.get("/calibration/promise", self.promise),
            web.get("/calibration/pairs.jsonl", self.pairs),
            web.get("/calibration/traffic.jsonl", self.traffic),
            web.post("/calibration/label", self.label),
            web.post("/calibration/undo", self.undo),
            web.post("/calibration/fill", self.fill),
            web.post("/calibration/clear", self.clear),
        ]

    def page(self, request: Request) -> Response:
        query = read_query(request)
        if not query.all("begin") and self.benches.known(session_of(request)) is None:
            return web.show(request, "calibration/page.html", bench=None)
        return self._show(request, query)

    def promise(self, request: Request) -> Response:
        rate = rate_of(read_query(request))
        promise = self._bench(request).guarantee(rate)
        return web.show(request, "calibration/promise.html", promise=promise, confidence=work.CONFIDENCE)

    def label(self, request: Request, form: Form) -> Response:
        bench = self._bench(request)
        first, second = form.whole("first", 0, 10**6), form.whole("second", 0, 10**6)
        verdict = form.choice("verdict", VERDICTS)
        if verdict == "skip":
            bench.skip(first, second)
            return self._show(request, form, said="Skipped.")
        label = bench.label(first, second, verdict == "same")
        return self._show(request, form, said=f"{verdict.capitalize()}: their similarity is {label.similarity:.3f}.")

    def undo(self, request: Request, form: Form) -> Response:
        label = self._bench(request).undo()
        return self._show(request, form, said="Taken back." if label else "There is nothing to take back.")

    def fill(self, request: Request, form: Form) -> Response:
        most = form.whole("most", 1, max(FILL))
        done = self._bench(request).fill(order_of(form), most)
        return self._show(request, form, said=f"{done} labelled as their author saw them.")

    def clear(self, request: Request, form: Form) -> Response:
        self._bench(request).clear()
        return self._show(request, form, said="All labels are taken back.")

    def pairs(self, request: Request) -> Response:
        return download(self._bench(request).export_pairs(), "pairs.jsonl")

    def traffic(self, request: Request) -> Response:
        return download(self._bench(request).export_traffic(), "traffic.jsonl")

    def _bench(self, request: Request) -> work.Bench:
        self.pool()  # before the lock of the sessions is taken, which must not be held for seconds
        return self.benches.of(session_of(request))

    def _show(self, request: Request, form: Form, *, said: str = "") -> Response:
        bench, order, rate = self._bench(request), order_of(form), rate_of(form)
        curve, moves, fragment = bench.curve(), bench.moves(), web.is_fragment(request)
        values: dict[str, Any] = {
            "bench": bench,
            "asked": bench.next(order),
            "order": order,
            "rate": rate,
            "rates": work.RATES,
            "confidence": work.CONFIDENCE,
            "careful": work.CAREFUL,
            "said": said,
            "curve": curve,
            "chart": drawn(curve) if curve else None,
            "moving": moved(moves) if len([one for one in moves if one is not None]) > 1 else None,
            "labels": bench.labels(),
            "fill": FILL,
            # htmx fetches it when the rest is shown already: a replay takes up to a second.
            "promise": None if fragment else bench.guarantee(rate),
        }
        return web.show(request, "calibration/bench.html" if fragment else "calibration/page.html", **values)


def order_of(form: Form) -> work.Order:
    """In which order pairs are shown."""
    return cast("work.Order", form.choice("order", ORDERS, default=ORDERS[0]))


def rate_of(form: Form) -> float:
    """What is to be promised."""
    return float(form.choice("rate", [f"{rate:g}" for rate in work.RATES], default=RATE))


def download(text: str, name: str) -> Response:
    """A file to be saved."""
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(text, media_type="application/jsonl", headers=headers)


def drawn(curve: work.Curve) -> Markup:
    """Precision and recall by threshold."""
    careful = f"From {curve.careful:g} on precision is {work.CAREFUL:.0%}." if curve.careful is not None else ""
    marks = {curve.threshold: f"F1 {curve.threshold:g}"}
    if curve.careful is not None:
        marks[curve.careful] = f"{work.CAREFUL:.0%} {curve.careful:g}"
    return line_chart(
        [
            Series(
                "precision: of those served, how many are right",
                "exact",
                [(p.threshold, p.precision) for p in curve.points],
            ),
            Series(
                "recall: of those that are right, how many are served",
                "semantic",
                [(p.threshold, p.recall) for p in curve.points],
            ),
        ],
        title="What a threshold makes of your labels",
        description=(
            f"At {curve.threshold:g}, where the two are best together, precision is {curve.precision:.0%} and recall "
            f"{curve.recall:.0%}. {careful}"
        ),
        x_label="threshold",
        y_max=1.0,
        marks=list(marks.items()),
    )


def moved(moves: Sequence[float | None]) -> Markup:
    """The threshold with each label."""
    points = [(float(count), threshold) for count, threshold in enumerate(moves, start=1) if threshold is not None]
    return line_chart(
        [Series("the threshold of the best balance", "primary", points)],
        title="How it moved with each label",
        description=f"{points[0][1]:g} after {points[0][0]:g} labels, {points[-1][1]:g} after {points[-1][0]:g}.",
        x_label="labels",
        y_max=1.0,
    )


PAGE = Page(
    title="Calibration",
    path="/calibration",
    summary="Label pairs, and see the threshold and its guarantee move.",
    order=100,
    routes=lambda state: Calibration(state).routes(),
)
