"""Translate messages: one translation for each language, which other words get too, and other numbers do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from mneme.guards import DEFAULT_GUARDS
from showcase import web
from showcase.desks import asker_of, namespace_of, tried
from showcase.forms import Form
from showcase.registry import Page
from showcase.sessions import session_of
from showcase.state import State
from showcase.work.phrases import LANGUAGES, PLACEHOLDERS
from showcase.work.sessions import Sessions
from showcase.work.translation import MOST_TEXT, TABLE, THRESHOLD, Translator

__all__ = ["PAGE"]

MOST_ENTRIES = 2000
# A message, the same in other words, and one that only looks like it.
SEEDS = (
    ("Your password has been changed", "Your password was changed", "Your password has not been changed"),
    ("You have 3 new messages", "There are 3 new messages for you", "You have 4 new messages"),
    (
        "The file {file} could not be opened",
        "The file {file} cannot be opened",
        "The file {filename} could not be opened",
    ),
    (
        "Two-factor authentication is enabled",
        "Two-factor authentication has been enabled",
        "Two-factor authentication is disabled",
    ),
)


class Translation:
    """The page, with a translator for each visitor."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.cache = state.open_cache(
            "translations.db",
            guards=(*DEFAULT_GUARDS, PLACEHOLDERS),
            max_entries=MOST_ENTRIES,
            metrics_hook=state.recorder.elsewhere,
        )
        state.on_close(self.cache.close)
        self.translators = Sessions(self._translator, end=Translator.clear)

    def routes(self) -> Sequence[BaseRoute]:
        return [
            web.get("/translation", self.page),
            web.post("/translation", self.translate),
            web.post("/translation/clear", self.clear),
        ]

    def page(self, request: Request) -> Response:
        return self._show(request)

    def translate(self, request: Request, form: Form) -> Response:
        text = form.text("pick" if form.all("pick") else "text", most=100_000, default="")
        language = form.text("language", most=20, default="de")
        translator = self._of(request)
        with self.state.recorder.asking(text, translator.scope(language)):
            done, problem = tried(lambda: translator.translate(text, language))
        return self._show(request, done=done, problem=problem, text=text, language=language)

    def clear(self, request: Request, form: Form) -> Response:
        self._of(request).clear()
        return self._show(request)

    def _of(self, request: Request) -> Translator:
        return self.translators.of(session_of(request))

    def _translator(self, session: str) -> Translator:
        return Translator(self.cache, namespace_of("translation", session), asker_of(self.state))

    def _show(self, request: Request, **values: Any) -> Response:
        known = {"done": None, "problem": "", "text": "", "language": "de"}
        fragment = web.is_fragment(request)
        return web.show(
            request,
            "translation/done.html" if fragment else "translation/page.html",
            400 if values.get("problem") and not fragment else 200,
            **known | values,
            kept=self._of(request).kept(),
            languages=LANGUAGES,
            seeds=SEEDS,
            table=TABLE,
            threshold=THRESHOLD,
            most=MOST_TEXT,
            has_model=asker_of(self.state) is not None,
        )


PAGE = Page(
    title="Translation",
    path="/translation",
    summary="One translation for each language, with numbers and placeholders kept apart.",
    order=70,
    routes=lambda state: Translation(state).routes(),
)
