"""Templates of others on the base, forms, and the files beside them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

import mneme.ui
from mneme.ui import Frame, Link, Pages, posted, static

FRAME = Frame("Somebody's", links=(Link("Home", "{at}/"), Link("More", "{at}/more"), Link("Away", "/away")))
PACKAGE = Path(mneme.ui.__file__).parent


@pytest.fixture
def made(tmp_path):
    """A page of an application of somebody else's; what it prints is given."""
    (tmp_path / "page.html").write_text(
        '{% extends "base.html" %}{% block title %}Page{% endblock %}{% block main %}<p>{{ word }}</p>{% endblock %}'
    )
    pages = Pages(tmp_path, frame=FRAME)

    def make(path="/", **values):
        def page(request):
            return pages.show(request, "page.html", **values)

        app = Starlette(routes=[Route(path, page), Mount("/static", static())])
        return TestClient(Starlette(routes=[Mount("/inside", app), Mount("/", app)]))

    return make


def test_what_is_printed_is_escaped_whatever_the_template_is_called(made):
    assert "<p>&lt;script&gt;&#34;&#39;</p>" in made(word="<script>\"'").get("/").text


def test_what_was_not_given_is_an_error_and_no_blank(made):
    with pytest.raises(UndefinedError):
        made().get("/")


def test_links_and_files_fit_where_the_application_is_mounted(made):
    page = made(word="").get("/inside/").text
    assert re.findall(r'(?:href|src)="([^"#]+)"', page) == [
        *("/inside/static/icon.svg", "/inside/static/vendor/pico.min.css", "/inside/static/mneme.css"),
        *("/inside/static/theme.js", "/inside/static/vendor/htmx.min.js"),
        *("/inside/", "/inside/", "/inside/more", "/away"),
    ]
    for file in re.findall(r'"(/inside/static/[^"]+)"', page):
        assert made(word="").get(file).status_code == 200


@pytest.mark.parametrize(
    ("path", "current"),
    [("/", "/"), ("/more", "/more"), ("/more/of/it", "/more"), ("/moreover", None), ("/elsewhere", None)],
)
def test_the_page_one_is_on_is_marked_in_the_navigation(made, path, current):
    page = made(path, word="").get(path).text
    assert re.findall(r'href="([^"]+)" aria-current="page"', page) == ([] if current is None else [current])


def test_the_fields_of_a_form_arrive():
    app = Starlette(routes=[Route("/", lambda request: JSONResponse(posted(request)), methods=["POST"])])
    client = TestClient(app)
    sent = {"a": "ö & =", "b": "", "c": "x\r\ny"}
    assert client.post("/", data=sent).json() == {"a": "ö & =", "b": "", "c": "x\ny"}
    assert client.post("/").json() == {}
    assert client.post("/", json={}).status_code == 415
    assert client.post("/", data={"a": "x" * 2**20}).status_code == 413
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert client.post("/", content=b"a=%ff", headers=form).status_code == 400
    assert client.post("/", content=b"a=\xff", headers=form).status_code == 400


def test_no_template_has_anything_inline():
    """The policy forbids it, so it would not work."""
    for template in PACKAGE.rglob("*.html"):
        text = template.read_text(encoding="utf-8")
        assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|hx-on|javascript:|\|\s*safe", text), (
            template
        )


def test_licences_lie_beside_what_they_are_about():
    names = {path.name for path in (PACKAGE / "static" / "vendor").iterdir()}
    assert names == {"htmx.min.js", "hx-sse.min.js", "htmx.LICENSE", "pico.min.css", "pico.LICENSE"}


def test_without_the_extra_one_is_told_what_to_install():
    script = "import sys; sys.modules['jinja2'] = None\nimport mneme.ui"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "pip install 'mneme-cache[ui]'" in done.stderr
