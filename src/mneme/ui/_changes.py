"""What the inspector changes, if it may: entries are removed, after a page that asks. Reading one removes nothing."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from mneme import Hit
from mneme.ui import _browse as browse
from mneme.ui._views import Views

__all__ = ["Changes"]


class Changes:
    """The pages that remove. Each is asked for twice: a page with what would go, and a form that says yes."""

    def __init__(self, views: Views) -> None:
        self.views = views
        self.cache = views.cache

    def routes(self) -> list[Route]:
        return [
            Route("/entries/{entry_id:int}/remove", self.ask, methods=["GET"]),
            Route("/entries/{entry_id:int}/remove", self.remove, methods=["POST"]),
            Route("/remove", self.ask_for_many, methods=["GET"]),
            Route("/remove", self.remove_many, methods=["POST"]),
        ]

    def ask(self, request: Request) -> Response:
        """Whether one entry is to go."""
        return self.views.show(request, "remove.html", entry=self.views.found(request), now=time.time())

    def remove(self, request: Request) -> Response:
        """One entry, whatever it holds by now."""
        entry = self.views.found(request)
        # By its id: the same query under another `normalize` would be another key.
        hit = Hit(
            response=None,
            similarity=1.0,
            confidence=1.0,
            age_seconds=0.0,
            layer="exact",
            namespace=entry.namespace,
            metadata={},
            query=entry.query,
            entry_id=entry.entry_id,
        )
        gone = self.cache.delete(hit)
        return self._back(request, int(gone))

    def ask_for_many(self, request: Request) -> Response:
        """Whether all entries of a namespace, or of a tag, are to go."""
        wanted = _selection(request)
        page = browse.read(self.cache, wanted, after=0, limit=5, now=time.time())
        return self.views.show(request, "remove_many.html", wanted=wanted, page=page, now=time.time())

    def remove_many(self, request: Request) -> Response:
        """All entries of a namespace, or of a tag; with `trace=none`, and every trace of them."""
        wanted = _selection(request)
        namespace, tags = wanted.namespace or None, [wanted.tag] if wanted.tag else None
        if request.query_params.get("trace") != "none":
            return self._back(request, self.cache.invalidate(namespace=namespace, tags=tags))
        done = self.cache.forget(namespace=namespace, tags=tags)
        if done.clean:
            return self._back(request, done.entries, clean=1)
        return self.views.show(request, "remains.html", done=done)

    def _back(self, request: Request, removed: int, **more: int) -> Response:
        root = request.scope.get("root_path", "").rstrip("/")
        return RedirectResponse(f"{root}/entries{browse.query_string(removed=removed, **more)}", 303)


def _selection(request: Request) -> browse.Filter:
    fields = request.query_params
    wanted = browse.Filter(namespace=fields.get("namespace", ""), tag=fields.get("tag", ""))
    if not wanted.fields():
        raise ValueError("say what is to go: a namespace, a tag, or both")
    return wanted
