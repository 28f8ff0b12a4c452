"""Charts as SVG, drawn on the server: nothing to load, and everything in them is said in words too.

Colours come from the style sheet by class, so that a chart is right in light and in dark. No attribute `style` is
written: the policy of the pages forbids it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

from mneme.ui._scale import Scale, ticks

__all__ = ["Bar", "Series", "bar_chart", "histogram_chart", "line_chart"]

_WIDTH, _HEIGHT = 640, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 28, 38
_TONES = frozenset({"exact", "semantic", "miss", "primary", "muted", "good", "bad"})


class Series(NamedTuple):
    """A line: its name, its tone (the class that colours it), and its points (x, y) in order of x."""

    name: str
    tone: str
    points: Sequence[tuple[float, float]]


class Bar(NamedTuple):
    """A bar: what stands under it, its value, its tone, and what is said of it instead of the value."""

    name: str
    value: float
    tone: str = "primary"
    label: str = ""


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    description: str,
    x_label: str = "",
    y_label: str = "",
    y_max: float | None = None,
    marks: Sequence[tuple[float, str]] = (),
) -> Markup:
    """Lines over a common axis, such as time; *marks* are moments to be named, drawn as upright lines.

    Raises:
        ValueError: A tone is unknown, or a value is not finite.
    """
    points = [point for one in series for point in one.points]
    _finite([value for point in points for value in point])
    xs = [x for x, _ in points] + [x for x, _ in marks]
    x = Scale(min(xs, default=0.0), max(xs, default=1.0), _LEFT, _WIDTH - _RIGHT)
    top = y_max if y_max is not None else max((y for _, y in points), default=1.0)
    y = Scale(min(0.0, min((y for _, y in points), default=0.0)), top, _HEIGHT - _BOTTOM, _TOP)
    body = [_axes(x, y, x_label, y_label)]
    body += _marks(x, _HEIGHT - _BOTTOM, marks)
    for one in series:
        path = " ".join(f"{_n(x(a))},{_n(y(min(b, top)))}" for a, b in one.points)
        body.append(Markup('<polyline class="line {}" points="{}"/>').format(_tone(one.tone), path))
        if one.points:
            a, b = one.points[-1]
            body.append(
                Markup('<circle class="dot {}" cx="{}" cy="{}" r="3.5"/>').format(
                    one.tone, _n(x(a)), _n(y(min(b, top)))
                )
            )
    return _svg(body, title, description, [(one.name, one.tone) for one in series])


def bar_chart(bars: Sequence[Bar], *, title: str, description: str, y_label: str = "") -> Markup:
    """Upright bars side by side, each with its name below and its value above.

    Raises:
        ValueError: A tone is unknown, or a value is negative or not finite.
    """
    _finite([bar.value for bar in bars])
    if any(bar.value < 0 for bar in bars):
        raise ValueError("a bar has a negative value; draw what is not negative")
    y = Scale(0.0, max((bar.value for bar in bars), default=1.0), _HEIGHT - _BOTTOM, _TOP + 12)
    body = [_axes(None, y, "", y_label)]
    step = (_WIDTH - _LEFT - _RIGHT) / max(1, len(bars))
    for i, bar in enumerate(bars):
        middle, top = _LEFT + step * (i + 0.5), y(bar.value)
        width = min(72.0, step * 0.7)
        fits = max(2, int(step / 7))
        name = bar.name if len(bar.name) <= fits else f"{bar.name[: fits - 1]}…"
        body.append(
            Markup('<rect class="bar {}" x="{}" y="{}" width="{}" height="{}"/>').format(
                _tone(bar.tone), _n(middle - width / 2), _n(top), _n(width), _n(_HEIGHT - _BOTTOM - top)
            )
        )
        body.append(_text(bar.label or f"{bar.value:g}", middle, top - 5, "value middle"))
        body.append(_text(name, middle, _HEIGHT - _BOTTOM + 16, "tick middle"))
    return _svg(body, title, description, [])


def histogram_chart(
    first: Series,
    second: Series,
    *,
    title: str,
    description: str,
    width: float,
    x_label: str = "",
    marks: Sequence[tuple[float, str]] = (),
) -> Markup:
    """Two histograms over one another: each point is the lower end of a class of *width*, and how many are in it.

    Raises:
        ValueError: A tone is unknown, a value is not finite, or *width* is not positive.
    """
    points = [*first.points, *second.points]
    _finite([value for point in points for value in point])
    if not width > 0:
        raise ValueError(f"the width of a class is more than 0, not {width!r}")
    low = min((x for x, _ in points), default=0.0)
    x = Scale(low, max((x for x, _ in points), default=1.0 - width) + width, _LEFT, _WIDTH - _RIGHT)
    y = Scale(0.0, max((y for _, y in points), default=1.0), _HEIGHT - _BOTTOM, _TOP + 12)
    body = [_axes(x, y, x_label, "")]
    for one in (first, second):
        body += [
            Markup('<rect class="bar seen {}" x="{}" y="{}" width="{}" height="{}"/>').format(
                _tone(one.tone), _n(x(a)), _n(y(b)), _n(x(a + width) - x(a)), _n(y(0) - y(b))
            )
            for a, b in one.points
        ]
    body += _marks(x, y(0), marks)
    return _svg(body, title, description, [(first.name, first.tone), (second.name, second.tone)])


# --- what charts are made of -----------------------------------------------------------------------------------------


def _svg(body: list[Markup], title: str, description: str, legend: list[tuple[str, str]]) -> Markup:
    """The picture, with a legend below that is text, so that it wraps on a phone and is read out."""
    drawn = Markup(
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title><desc>{}</desc>{}</svg>'
    ).format(_WIDTH, _HEIGHT, f"{title}. {description}", title, description, Markup("").join(body))
    names = Markup("").join(
        Markup('<li><span class="swatch {}" aria-hidden="true"></span>{}</li>').format(_tone(tone), name)
        for name, tone in legend
    )
    below = Markup('<ul class="legend">{}</ul>').format(names) if legend else Markup("")
    caption = Markup("<figcaption>{}</figcaption>").format(title)
    return Markup('<figure class="chart">{}{}{}</figure>').format(caption, drawn, below)


def _axes(x: Scale | None, y: Scale, x_label: str, y_label: str) -> Markup:
    parts = []
    for value in ticks(y.low, y.high, 4):
        parts.append(
            Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
                _LEFT, _WIDTH - _RIGHT, _n(y(value)), _n(y(value))
            )
        )
        parts.append(_text(f"{value:,g}", _LEFT - 6, y(value) + 4, "tick end"))
    if x is not None:
        foot = _HEIGHT - _BOTTOM + 16
        parts += [_text(f"{value:,g}", x(value), foot, "tick middle") for value in ticks(x.low, x.high, 6)]
    if x_label:
        parts.append(_text(x_label, _WIDTH - _RIGHT, _HEIGHT - 4, "tick end"))
    if y_label:
        parts.append(_text(y_label, 2, _TOP - 14, "tick"))
    return Markup("").join(parts)


def _marks(x: Scale, foot: float, marks: Sequence[tuple[float, str]]) -> list[Markup]:
    parts = []
    for at, name in marks:
        line = Markup('<line class="mark" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(_n(x(at)), _TOP, _n(foot))
        beyond = x(at) > _WIDTH * 0.75  # there is no room to the right of it
        parts += [line, _text(name, x(at) + (-4 if beyond else 4), _TOP + 8, "mark end" if beyond else "mark")]
    return parts


def _text(text: str, x: float, y: float, kind: str) -> Markup:
    return Markup('<text class="{}" x="{}" y="{}">{}</text>').format(kind, _n(x), _n(y), escape(text))


def _tone(tone: str) -> str:
    if tone not in _TONES:
        raise ValueError(f"{tone!r} is no tone; there are {', '.join(sorted(_TONES))}")
    return tone


def _finite(values: Sequence[float]) -> None:
    for value in values:
        if not math.isfinite(value):
            raise ValueError(f"a chart cannot show {value!r}; leave the point out")


def _n(value: float) -> str:
    return re.sub(r"\.0+$", "", f"{value:.1f}")
