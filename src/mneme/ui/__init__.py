"""Pages in a browser: an inspector for any open cache, and what it is made of, for other pages beside it.

Needs the extra `ui`. `inspector(cache)` is a Starlette application, to be served or mounted. What the pages share is
here too: a base template, styles, charts drawn as SVG on the server, and the checks before every request. Another
Starlette application uses them so:

    ```python
    frame = Frame("Showcase", home="/", links=(Link("Dashboard", "/"), Link("Inspector", "/inspector/")))
    pages = Pages(Path(__file__).parent / "templates", frame=frame)

    def dashboard(request):  # a plain function: Starlette runs it in a thread, where a cache may be asked
        chart = line_chart([Series("hits", "exact", points)], title="Hits", description="...")
        return pages.show(request, "dashboard.html", chart=chart)

    def ask(request):
        query = posted(request)["query"]  # of a form
        ...

    app = Starlette(
        routes=[
            Route("/", dashboard),
            Route("/ask", ask, methods=["POST"]),
            Mount("/static", static()),
            Mount("/inspector", inspector(cache, writable=True, frame=frame)),
        ],
        middleware=guards(token=None),
    )
    ```

    ```html
    {% extends "base.html" %}
    {% import "parts.html" as parts %}
    {% block title %}Dashboard{% endblock %}
    {% block main %}<h1>Dashboard</h1> {{ parts.layer("exact") }} {{ chart }}{% endblock %}
    ```

Templates know `at`, the path under which their application is mounted (write `href="{{ at }}/ask"`), `frame`, and
`here`, the path asked for. Everything is escaped. htmx 4 is loaded on every page; there attributes are inherited only
if they say so (`hx-target:inherited`), and a form that is sent as one types needs `hx-sync="replace"`, or what was
typed last may never be sent. `hx-sse.min.js` lies beside it: `{% block scripts %}` is the place to load it or a file
of your own. Nothing inline works, neither scripts nor `style=` nor `hx-on`: the policy forbids it.
"""

from __future__ import annotations

try:
    import jinja2 as _jinja2
    import starlette as _starlette
except ModuleNotFoundError as _error:
    raise ImportError(
        f"mneme.ui needs {_error.name!r}, which is not installed; run: pip install 'mneme-cache[ui]'", name=_error.name
    ) from _error

from mneme.ui._charts import Bar, Series, bar_chart, histogram_chart, line_chart
from mneme.ui._frame import Frame, Link
from mneme.ui._guard import LOOPBACK, guards
from mneme.ui._inspector import inspector
from mneme.ui._pages import Pages, posted, static

del _jinja2, _starlette

__all__ = [
    "LOOPBACK",
    "Bar",
    "Frame",
    "Link",
    "Pages",
    "Series",
    "bar_chart",
    "guards",
    "histogram_chart",
    "inspector",
    "line_chart",
    "posted",
    "static",
]
