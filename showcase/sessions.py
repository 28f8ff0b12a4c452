"""Gives every browser a name of its own, in a cookie. What is kept under it: `showcase.work.sessions`."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from showcase.work.sessions import is_name, new_name

__all__ = ["SessionMiddleware", "session_of"]

_COOKIE = "mneme_showcase"
_KEY = "showcase.session"


class SessionMiddleware:
    """Names browsers. The name opens nothing: it keeps the things of visitors apart."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        name = HTTPConnection(scope).cookies.get(_COOKIE, "")
        known = is_name(name)
        scope[_KEY] = name if known else new_name()

        async def with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start" and not known:
                cookie = f"{_COOKIE}={scope[_KEY]}; Path=/; HttpOnly; SameSite=Strict"
                MutableHeaders(scope=message).append("set-cookie", cookie)
            await send(message)

        await self.app(scope, receive, with_cookie)


def session_of(connection: HTTPConnection) -> str:
    """The name of the browser that a request comes from."""
    name: str = connection.scope[_KEY]
    return name
