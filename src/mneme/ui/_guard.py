"""What stands before every request: who may ask, from where, and what the browser may do with the answer.

The address is the machine's own, but a browser runs pages of strangers that can send requests to it too. So: the name
asked for must be one of ours (a stranger's name that resolves to this machine is not), what changes something must come
from a page of ours, and nobody without the token sees anything.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from urllib.parse import parse_qsl, urlencode, urlsplit

from markupsafe import escape
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["LOOPBACK", "guards"]

LOOPBACK: frozenset[str] = frozenset({"localhost", "127.0.0.1", "::1"})
"""The names of this machine that nobody else's server can have."""

_HEADERS = {
    # Pico has its icons as data: in the style sheet.
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`: with that, browsers send `Origin: null` with our own forms, which then could not be checked.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_READS = ("GET", "HEAD")
_STATIC = "/static/"


def guards(
    *, token: str | None, ticket: str | None = None, hosts: Collection[str] | None = LOOPBACK
) -> list[Middleware]:
    """The middleware for an application that shows a cache, outermost first.

    Args:
        token: What whoever asks must know: once as `?token=`, from then on as a cookie. `None`: whoever reaches the
            application may use it, because something else guards it.
        ticket: Lets in like the token, but once: for the command line of a browser, which others on the machine can
            read.
        hosts: The names, without ports, by which the application may be called; `None` for any.

    Raises:
        ValueError: The token is empty.
    """
    if token is not None and not token:
        raise ValueError("the token is empty; make one with secrets.token_urlsafe()")
    found = [Middleware(_Headers), Middleware(_Origin, hosts=None if hosts is None else frozenset(hosts))]
    return found if token is None else [*found, Middleware(_Token, token=token, ticket=ticket)]


class _Headers:
    """Adds to every answer what the browser must know; what the answer says itself stays."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, with_headers)


class _Origin:
    """Refuses what was sent to another name, and changes that a page of somebody else asked for."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None) -> None:
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refused := self._refusal(scope)) is not None:
            await refused(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self.hosts is not None and _name(host) not in self.hosts:
            return _said(scope, 400, "Wrong address", "These pages answer to this machine's own name alone.")
        if scope["method"] not in _READS and not _from_here(headers, host):
            return _said(
                scope, 403, "Refused", "This change was not asked for by one of these pages, so nothing was changed."
            )
        return None


class _Token:
    """Lets in who knows the token, and remembers it in a cookie that scripts cannot read."""

    def __init__(self, app: ASGIApp, token: str, ticket: str | None) -> None:
        self.app = app
        self.token = token.encode()
        self.ticket = None if ticket is None else ticket.encode()
        # Browsers keep one jar for all ports of a host: each server has a name of its own, and none learns the token.
        self.name = f"mneme_{hashlib.sha256(self.token).hexdigest()[:12]}"
        self.session = secrets.token_urlsafe(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._answer(scope) if scope["type"] == "http" else None
        await (answer or self.app)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response | None:
        """What to answer instead; `None` for who may go on."""
        root = scope.get("root_path", "")
        if scope["path"].removeprefix(root).startswith(_STATIC):
            return None  # the same for everybody, and part of the package
        fields = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in fields if name == "token"]
        if given and scope["method"] == "GET" and self._opens(given[-1].encode("utf-8", "replace")):
            rest = urlencode([(name, value) for name, value in fields if name != "token"])
            # The path may begin with two slashes, which a browser would read as another host.
            onward = RedirectResponse(f"/{scope['path'].lstrip('/')}{'?' if rest else ''}{rest}", 303)
            onward.set_cookie(self.name, self.session, path=f"{root}/", httponly=True, samesite="strict")
            return onward
        # Starlette's parser and not the standard library's, which gives up at the first odd cookie of somebody else.
        cookie = HTTPConnection(scope).cookies.get(self.name, "")
        if secrets.compare_digest(cookie.encode("utf-8", "replace"), self.session.encode()):
            return None
        return _said(
            scope,
            401,
            "Not yours to see",
            "Open the whole address that was printed when these pages were started: it ends in a token.",
        )

    def _opens(self, given: bytes) -> bool:
        if secrets.compare_digest(given, self.token):
            return True
        if self.ticket is None or not secrets.compare_digest(given, self.ticket):
            return False
        self.ticket = None
        return True


def _name(host: str) -> str:
    """The name in a Host header, without the port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _from_here(headers: Headers, host: str) -> bool:
    """Whether a request comes from a page of this server, which browsers say in headers that no script can set."""
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    origin = headers.get("origin")
    # Not the scheme: a proxy that ends TLS before this server would make the two differ.
    return origin is not None and bool(host) and urlsplit(origin).netloc.lower() == host.lower()


def _said(scope: Scope, status: int, title: str, text: str) -> Response:
    static = f"{escape(scope.get('root_path', ''))}/static"
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="{static}/icon.svg" type="image/svg+xml">'
        f'<link rel="stylesheet" href="{static}/vendor/pico.min.css"><link rel="stylesheet" href="{static}/mneme.css">'
        f'</head><body><main class="container"><h1>{title}</h1><p>{text}</p></main></body></html>'
    )
    return HTMLResponse(page, status)
