"""Many requests at once: hit rate and times as they develop, and whether any answer is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from mneme.ui import Series, line_chart
from showcase import web
from showcase.figures import threshold_of
from showcase.forms import Form
from showcase.registry import Page
from showcase.state import State
from showcase.stress import Plan, Sample, Snapshot, Stress, percentile
from showcase.traffic import TOPICS

__all__ = ["PAGE"]

MOST_REQUESTS = 20_000
MOST_OF_THE_MODEL = 200
MOST_THREADS = 16
_POINTS = 24
_DEFAULT = Plan(requests=1500, threads=8, paraphrases=0.5, delay=0.3)


class StressPage:
    """The page, its live part, and the run."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.stress = Stress(state)
        state.on_close(self.stress.stop)

    def routes(self) -> Sequence[BaseRoute]:
        return [
            web.get("/stress", self.page),
            web.get("/stress/live", self.live),
            web.post("/stress", self.start),
            web.post("/stress/stop", self.stop),
        ]

    def page(self, request: Request) -> Response:
        values = shown(self.stress.snapshot())
        most = {"requests": MOST_REQUESTS, "threads": MOST_THREADS, "model": MOST_OF_THE_MODEL}
        return web.show(
            request,
            "stress/page.html",
            **values,
            threshold=threshold_of(self.state.cache),
            form=values["plan"] or _DEFAULT,
            most=most,
            topics=TOPICS,
        )

    def live(self, request: Request) -> Response:
        return web.show(request, "stress/live.html", **shown(self.stress.snapshot()))

    def start(self, request: Request, form: Form) -> Response:
        stand_in = form.choice("answers", ("stand-in", "model"), default="stand-in") == "stand-in"
        plan = Plan(
            requests=form.whole("requests", 1, MOST_REQUESTS if stand_in else MOST_OF_THE_MODEL),
            threads=form.whole("threads", 1, MOST_THREADS),
            paraphrases=form.number("paraphrases", 0, 100) / 100,
            delay=form.number("delay", 0, 5000, default=_DEFAULT.delay) / 1000 if stand_in else None,
        )
        self.stress.start(plan)
        return self.live(request) if web.is_fragment(request) else RedirectResponse("/stress", 303)

    def stop(self, request: Request, form: Form) -> Response:
        self.stress.stop()
        return self.live(request) if web.is_fragment(request) else RedirectResponse("/stress", 303)


def shown(snapshot: Snapshot) -> dict[str, Any]:
    """The figures of a run, and its charts."""
    plan, samples = snapshot.plan, snapshot.samples
    served = snapshot.count("exact", "semantic")
    calls = snapshot.count("miss")
    rows = [(name, snapshot.count(name), snapshot.times(name)) for name in ("exact", "semantic", "miss")]
    # Without the cache every request waits as long as a computed one did, in as many threads.
    misses = snapshot.times("miss")
    without = len(samples) * sum(misses) / len(misses) / plan.threads if plan and misses else None
    return {
        "plan": plan,
        "running": snapshot.running,
        "seconds": snapshot.seconds,
        "failure": snapshot.failure,
        "done": len(samples),
        "rate": served / len(samples) if samples else 0.0,
        "calls": calls,
        "wrong": snapshot.wrong,
        "without": without,
        "rows": [(name, count, percentile(times, 0.5), percentile(times, 0.99)) for name, count, times in rows],
        "all_p50": percentile(snapshot.times("exact", "semantic", "miss"), 0.5),
        "all_p99": percentile(snapshot.times("exact", "semantic", "miss"), 0.99),
        "charts": charts(samples) if samples else (),
    }


def charts(samples: Sequence[Sample]) -> tuple[Any, Any]:
    """Hit rate and times over the run, in slices of equally many requests."""
    rate: list[tuple[float, float]] = []
    half: list[tuple[float, float]] = []
    most: list[tuple[float, float]] = []
    step = max(1, len(samples) // _POINTS)
    ordered = sorted(samples, key=lambda sample: sample.at)
    for begin in range(0, len(ordered), step):
        part = ordered[begin : begin + step]
        times = sorted(sample.seconds * 1000 for sample in part)
        at = part[-1].at
        rate.append((at, 100 * sum(sample.outcome != "miss" for sample in part) / len(part)))
        half.append((at, times[len(times) // 2]))
        most.append((at, times[min(len(times) - 1, int(len(times) * 0.99))]))
    latest = f"Half of the latest took less than {half[-1][1]:.1f} ms, 99 of 100 less than {most[-1][1]:.1f} ms"
    return (
        line_chart(
            [Series("answered from memory, %", "exact", rate)],
            title="Hit rate",
            description=f"From {rate[0][1]:.0f} % at the beginning to {rate[-1][1]:.0f} % now",
            x_label="seconds",
            y_label="%",
            y_max=100.0,
        ),
        line_chart(
            [
                Series("half are faster (p50), ms", "semantic", half),
                Series("99 of 100 are faster (p99), ms", "miss", most),
            ],
            title="Time of an answer",
            description=latest,
            x_label="seconds",
            y_label="ms",
        ),
    )


PAGE = Page(
    title="Stress run",
    path="/stress",
    summary="Many requests at once: hit rate, times, and whether any answer is wrong.",
    order=30,
    routes=lambda state: StressPage(state).routes(),
)
