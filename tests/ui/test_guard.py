"""Who is let in, from where, and what browsers are told."""

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from mneme.ui import LOOPBACK, guards, static

TOKEN = "a-token-of-the-test"  # noqa: S105 - made up
HOME = "http://127.0.0.1:8642"


def application(token=None, hosts=LOOPBACK):
    def said(request):
        return PlainTextResponse(f"{request.method} {request.url.query}")

    return Starlette(
        routes=[Route("/", said, methods=["GET", "POST"]), Route("/a", said), Mount("/static", static())],
        middleware=guards(token=token, hosts=hosts),
    )


def client(token=None, base_url=HOME, **options):
    return TestClient(application(token, **options), base_url=base_url, follow_redirects=False)


# --- the token -------------------------------------------------------------------------------------------------------


def test_the_token_becomes_a_cookie_and_leaves_the_address():
    browser = client(TOKEN)
    answer = browser.get(f"/a?x=1%262&token={TOKEN}&y=")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/a?x=1%262&y="
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/;" in cookie
    assert TOKEN not in cookie
    assert browser.get("/a").status_code == 200


def test_nobody_without_the_token_sees_anything():
    browser = client(TOKEN)
    for attempt in ("/", "/a", "/?token=", "/?token=wrong", f"/?token={TOKEN}x", f"/?Token={TOKEN}", "/?token=%C3%A9"):
        assert browser.get(attempt).status_code == 401, attempt
    assert browser.get("/", headers={"cookie": f"mneme={TOKEN}; =; x"}).status_code == 401
    assert browser.post("/", headers={"origin": HOME}).status_code == 401
    assert browser.post(f"/?token={TOKEN}", headers={"origin": HOME}).status_code == 401


def test_a_cookie_of_another_server_opens_nothing():
    """Browsers send the cookies of all ports of a host to each of them."""
    first, second = client(TOKEN), client("another")
    first.get(f"/?token={TOKEN}")
    [(name, value)] = first.cookies.items()
    second.cookies.set(name, value)
    assert second.get("/").status_code == 401
    again = client(TOKEN)  # the same token after a restart
    again.cookies.set(name, value)
    assert again.get("/").status_code == 401


def test_odd_cookies_of_others_do_not_lock_one_out():
    """Every server on the machine may add some, and not all of them write what a parser of cookies expects."""
    browser = client(TOKEN)
    browser.get(f"/?token={TOKEN}")
    [(name, value)] = browser.cookies.items()
    browser.cookies.clear()
    for jar in ('x={"a": [1, 2]}; ', 'y="unclosed; ', "=; ", "z; ", f"{name}x=1; ", "ü=ü; "):
        answer = browser.get("/", headers={"cookie": f"{jar}{name}={value}".encode()})
        assert answer.status_code == 200, jar


def test_the_way_back_leads_to_this_server_alone():
    answer = client(TOKEN).get(f"{HOME}//example.org/?token={TOKEN}")
    assert answer.headers["location"] == "/example.org/"


def test_styles_are_for_everybody():
    assert client(TOKEN).get("/static/mneme.css").status_code == 200
    assert client(TOKEN).get("/static/../../../types.py").status_code != 200
    assert client(TOKEN).get("/static/%2e%2e/_guard.py").status_code == 404


def test_mounted_elsewhere_the_cookie_is_for_there_alone():
    outer = Starlette(routes=[Mount("/inside", application(TOKEN))])
    browser = TestClient(outer, base_url=HOME, follow_redirects=False)
    answer = browser.get(f"/inside/a?token={TOKEN}")
    assert answer.headers["location"] == "/inside/a"
    assert "Path=/inside/;" in answer.headers["set-cookie"]
    assert browser.get("/inside/a").status_code == 200
    assert browser.get("/inside/static/mneme.css").status_code == 200


def test_an_empty_token_is_refused():
    with pytest.raises(ValueError, match="secrets"):
        guards(token="")


# --- names and origins -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:1", "localhost:8642", "LOCALHOST", "[::1]:8642", "[::1]"])
def test_the_names_of_this_machine_are_answered(host):
    assert client().get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["example.org", "127.0.0.1.example.org", "localhost.example.org:8642", "", "[::2]", "::1", "10.0.0.1"]
)
def test_a_strangers_name_that_leads_here_is_not(host):
    """DNS rebinding: a page of a stranger may have its name resolve to this machine."""
    assert client().get("/", headers={"host": host}).status_code == 400
    assert client(hosts=None).get("/", headers={"host": host}).status_code == 200


def test_further_names_can_be_let_in():
    app = client(hosts={"cache.example.org"})
    assert app.get("/", headers={"host": "cache.example.org:80"}).status_code == 200
    assert app.get("/", headers={"host": "localhost"}).status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "null"},
        {"origin": "http://example.org"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://127.0.0.1:86420"},
        {"origin": HOME, "sec-fetch-site": "cross-site"},
        {"origin": HOME, "sec-fetch-site": "same-site"},
    ],
)
def test_a_change_that_no_page_of_ours_asked_for_is_refused(headers):
    answer = client().post("/", headers=headers)
    assert answer.status_code == 403
    assert "nothing was changed" in answer.text


def test_a_change_that_a_page_of_ours_asked_for_is_made():
    assert client().post("/", headers={"origin": HOME}).text == "POST "
    assert client().post("/", headers={"origin": HOME, "sec-fetch-site": "same-origin"}).text == "POST "


# --- what browsers are told ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/nowhere", "/static/mneme.css"])
def test_every_answer_says_what_may_be_done_with_it(path):
    headers = client().get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "same-origin"
    refused = client(TOKEN).get("/").headers
    assert refused["content-security-policy"] == headers["content-security-policy"]
