"""The picture of how search time grows with the rows, as a small SVG that can be read on light and dark pages."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workshop import Curve, Recalls

# Strong on white as well as on black. Ours solid, exact others dashed, graphs dotted.
_STYLES = {
    "mneme float32": ("#e8590c", "-", 2.4),
    "mneme int8": ("#d6336c", "-", 2.4),
    "matrix @ q, float32": ("#868e96", "--", 1.6),
    "faiss IndexFlatIP": ("#1c7ed6", "--", 1.6),
    "usearch, exact": ("#0c8599", "--", 1.6),
    "hnswlib, ef 64": ("#2f9e44", ":", 1.6),
    "hnswlib, ef 128": ("#2f9e44", ":", 1.6),
    "usearch HNSW, ef 64": ("#9c36b5", ":", 1.6),
    "usearch HNSW, ef 128": ("#9c36b5", ":", 1.6),
}
_INK = "#123456"
"""Stands for the colour of text, which depends on the page."""
_PAPER = (
    "<style>svg{color:#1f2328;background:#fff}"
    "@media(prefers-color-scheme:dark){svg{color:#d1d7e0;background:#0d1117}}</style>"
)


def draw(curve: Curve, recalls: Recalls, path: Path, head: Sequence[str]) -> str:
    """Write the picture; a sentence about where it is, or why there is none."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 -- the table needs none
        from matplotlib.figure import Figure  # noqa: PLC0415 -- the same
    except ImportError as error:
        return f"no plot: matplotlib is not installed ({error})"
    options: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "mneme", "font.family": "sans-serif"}
    with mpl.rc_context(options):
        figure = Figure(figsize=(8, 5), layout="constrained")
        _axes(figure.add_subplot(), curve, recalls, head)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    path.write_text(_themed(out.getvalue()), encoding="utf-8")
    return f"drawn: {path.name}"


def _axes(axes: Any, curve: Curve, recalls: Recalls, head: Sequence[str]) -> None:
    for name, times in curve.items():
        colour, dashes, width = _STYLES.get(name, ("#868e96", "-", 1.0))
        label = f"{name} (recall@1 {recalls[name].any:.1%})" if name in recalls else name
        marker = "s" if "ef 128" in name else "o"
        axes.plot(
            list(times),
            [taken / 1e6 for taken in times.values()],
            color=colour,
            linestyle=dashes,
            linewidth=width,
            marker=marker,
            markersize=3.5,
            label=label,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("rows of 384 numbers", color=_INK)
    axes.set_ylabel("milliseconds for one search, median", color=_INK)
    axes.set_title("Search time where nothing is near enough (threshold 0.85)\n" + head[0], color=_INK, fontsize=10)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(visible=True, which="major", color="#868e96", alpha=0.25, linewidth=0.6)
    axes.minorticks_off()
    axes.tick_params(colors=_INK)
    for side in axes.spines.values():
        side.set_color("#868e96")
    axes.legend(frameon=False, fontsize=8, labelcolor=_INK)


def _themed(svg: str) -> str:
    """The same picture with the colour of text, and of what is behind it, left to the page."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg [^>]*?) width="(\d+)pt" height="(\d+)pt"([^>]*>)', rf"\1\4{_PAPER}", svg, count=1)
    return re.sub(r"[ \t]+$", "", svg.replace(_INK, "currentColor"), flags=re.MULTILINE)
