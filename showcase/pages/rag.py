"""Ask the project's own documentation: retrieved, answered by the model, kept until one of them changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from showcase import web
from showcase.desks import Late, asker_of, namespace_of, tried
from showcase.forms import Form
from showcase.registry import Page
from showcase.sessions import session_of
from showcase.state import State
from showcase.work import rag
from showcase.work.inputs import BadInputError
from showcase.work.passages import PAGES, Library, Shelf
from showcase.work.sessions import Sessions

__all__ = ["PAGE"]

# What one may ask, and the same in other words.
SEEDS = (
    ("Can several processes share one cache file?", "Can one cache file be shared by several processes?"),
    ("When is an expired entry removed?", "When are expired entries removed?"),
    ("What does a guard refuse?", "What is refused by a guard?"),
    ("How do I change the encryption key?", "How can I change the encryption key?"),
)


class Rag:
    """The page, with a desk for each visitor."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.shelf = Late(lambda: Shelf.of_this_project(state.embedder))
        self.desks = Sessions(self._desk, end=rag.Desk.clear)

    def routes(self) -> Sequence[BaseRoute]:
        return [
            web.get("/rag", self.page),
            web.post("/rag/ask", self.ask),
            web.post("/rag/edit", self.edit),
            web.post("/rag/clear", self.clear),
        ]

    def page(self, request: Request) -> Response:
        return self._show(request)

    def ask(self, request: Request, form: Form) -> Response:
        question = form.text("question", most=10_000, default="")
        desk = self._of(request)
        with self.state.recorder.asking(question, desk.scope):
            answered, problem = tried(lambda: desk.ask(question))
        return self._show(request, answered=answered, problem=problem, question=question)

    def edit(self, request: Request, form: Form) -> Response:
        desk = self._of(request)
        number = form.whole("passage", 0, 10**6)
        question = form.text("question", most=rag.MOST_QUESTION, default="")
        text = form.text("text", most=100_000, default="")
        try:
            edited, problem = tried(lambda: desk.edit(number, text))
        except KeyError as error:
            raise BadInputError(f"there is no passage {number}") from error
        return self._show(request, edited=edited, problem=problem, question=question)

    def clear(self, request: Request, form: Form) -> Response:
        self._of(request).clear()
        return self._show(request)

    def _of(self, request: Request) -> rag.Desk:
        self.shelf()  # before the lock of the sessions is taken, which must not be held for seconds
        return self.desks.of(session_of(request))

    def _desk(self, session: str) -> rag.Desk:
        library = Library(self.shelf())
        return rag.Desk(self.state.cache, namespace_of("rag", session), library, asker_of(self.state))

    def _show(self, request: Request, **values: Any) -> Response:
        known = {"answered": None, "edited": None, "problem": "", "question": ""}
        desk = self.desks.known(session_of(request))  # a first visit is not made to wait for the library
        fragment = web.is_fragment(request)
        return web.show(
            request,
            "rag/desk.html" if fragment else "rag/page.html",
            400 if values.get("problem") and not fragment else 200,
            **known | values,
            kept=desk.kept() if desk else (),
            versions=desk.library.versions if desk else {},
            seeds=SEEDS,
            pages=PAGES,
            threshold=rag.THRESHOLD,
            most_question=rag.MOST_QUESTION,
            most_passage=rag.MOST_PASSAGE,
        )


PAGE = Page(
    title="RAG",
    path="/rag",
    summary="Answers from documents, kept until a document changes.",
    order=60,
    routes=lambda state: Rag(state).routes(),
)
