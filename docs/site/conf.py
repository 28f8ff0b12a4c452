"""How Sphinx makes a site of the pages; `docs/site/build.py` lays them out and calls it."""

import re
from collections.abc import Iterator
from importlib.metadata import version as version_of
from typing import Any

project = "mneme"
author = "The mneme maintainers"
release = version = version_of("mneme-cache")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # a page may begin its sections where it likes

html_theme = "furo"
pygments_dark_style = "one-dark"  # the usual one underlines the names of modules, as if they were links
html_title = f"mneme {release}"
html_static_path = ["wide.css"]
html_css_files = ["wide.css"]
html_show_copyright = False
html_show_sphinx = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_class_signature = "separated"
napoleon_numpy_docstring = False
nitpicky = False


def _without_fences(lines: list[str]) -> Iterator[str]:
    inside = None
    for line in lines:
        fence = re.match(r"( *)```(\w*)", line)
        if fence is None:
            yield _code(line) if inside is None else f"   {line}" if line.strip() else line
        elif inside is None:
            inside = fence[1]
            yield from ("", f"{inside}.. code-block:: {fence[2] or 'text'}", "")
        else:
            inside = None
            yield ""


def _code(line: str) -> str:
    return re.sub(r"(?<![`:\w])`([^`]+)`(?!`)", r"``\1``", line)


def _as_rst(*event: Any) -> None:
    what, lines = event[1], event[-1]
    if lines and lines[0].startswith("Alias for field number"):  # what a named tuple says of a field by itself
        lines.clear()
    if what in {"attribute", "data", "property"}:
        lines[:0] = ["..", ""]  # a comment, or napoleon takes what stands before a colon for the type
    # Docstrings are Markdown as far as code goes: between backticks, and in fences.
    lines[:] = _without_fences(lines)


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", _as_rst, priority=10)  # before napoleon, which would read the fences
