"""What an agent remembers of its users: said, recalled by meaning, expired, forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from showcase import web
from showcase.desks import asker_of, namespace_of, tried
from showcase.forms import Form, read_query
from showcase.registry import Page
from showcase.sessions import session_of
from showcase.state import State
from showcase.work import memory as work
from showcase.work.sessions import Sessions

__all__ = ["PAGE"]

QUESTIONS = (
    "Suggest a meal to eat",
    "Which city does the user live in?",
    "What is the pet called?",
    "How does the user feel today?",
)


class Memory:
    """The page, with a memory for each visitor."""

    def __init__(self, state: State) -> None:
        self.state = state
        # A file of its own: forgetting a user rewrites it, and nobody else's answers have to wait for that.
        self.cache = state.open_cache("memory.db", max_entries=5000)
        state.on_close(self.cache.close)
        self.memories = Sessions(self._memory, end=work.Memory.clear)

    def routes(self) -> Sequence[BaseRoute]:
        return [
            web.get("/memory", self.page),
            web.get("/memory/facts", self.facts),
            web.post("/memory/say", self.say),
            web.post("/memory/talk", self.talk),
            web.post("/memory/ask", self.ask),
            web.post("/memory/forget", self.forget),
            web.post("/memory/forget-user", self.forget_user),
            web.post("/memory/user", self.add_user),
        ]

    def page(self, request: Request) -> Response:
        user = read_query(request).text("user", most=work.MOST_NAME, default="")
        return self._show(request, user)

    def facts(self, request: Request) -> Response:
        memory = self._of(request)
        user = read_query(request).choice("user", memory.users, default=memory.users[0])
        return web.show(request, "memory/facts.html", user=user, facts=memory.facts(user))

    def say(self, request: Request, form: Form) -> Response:
        memory, user = self._of(request), self._user(form)
        said = form.text("pick" if form.all("pick") else "said", most=100_000, default="")
        lasts = form.text("lasts", most=20, default="")
        heard, problem = tried(lambda: memory.hear(user, said, lasts))
        return self._show(request, user, heard=heard, problem=problem, said=said if problem else "")

    def talk(self, request: Request, form: Form) -> Response:
        """Let both users of the showcase say all that they have to say."""
        memory = self._of(request)
        for user, sentences in work.TALK.items():
            for said in sentences:
                _, problem = tried(partial(memory.hear, user, said))
                if problem:
                    return self._show(request, self._user(form), problem=problem)
        return self._show(request, self._user(form))

    def ask(self, request: Request, form: Form) -> Response:
        memory, user = self._of(request), self._user(form)
        question = form.text("pick" if form.all("pick") else "question", most=100_000, default="")
        recalled, problem = tried(lambda: memory.recall(user, question))
        reply, trouble = None, ""
        if recalled is not None:
            reply, trouble = tried(lambda: memory.answer(question, recalled))
        return self._show(
            request,
            user,
            recalled=recalled,
            prompt=memory.prompt(question, recalled) if recalled is not None else "",
            reply=reply,
            problem=problem or trouble,
            question=question,
        )

    def forget(self, request: Request, form: Form) -> Response:
        memory, user = self._of(request), self._user(form)
        number = form.whole("fact", 0, 10**12)
        gone, problem = tried(lambda: memory.forget_fact(user, number))
        note = "" if problem else "That fact is forgotten." if gone else "That fact was forgotten already."
        return self._show(request, user, problem=problem, note=note)

    def forget_user(self, request: Request, form: Form) -> Response:
        memory, user = self._of(request), self._user(form)
        done, problem = tried(lambda: memory.forget_user(user))
        return self._show(request, user, forgotten=done, problem=problem)

    def add_user(self, request: Request, form: Form) -> Response:
        memory = self._of(request)
        name, problem = tried(lambda: memory.add_user(form.text("name", most=10_000, default="")))
        return self._show(request, name or self._user(form), problem=problem)

    def _of(self, request: Request) -> work.Memory:
        return self.memories.of(session_of(request))

    def _memory(self, session: str) -> work.Memory:
        return work.Memory(self.cache, namespace_of("memory", session), asker_of(self.state), self.state.embedder)

    @staticmethod
    def _user(form: Form) -> str:
        return form.text("user", most=work.MOST_NAME, default="")

    def _show(self, request: Request, user: str, **values: Any) -> Response:
        memory = self._of(request)
        if user not in memory.users:
            values["problem"] = values.get("problem") or (f"There is no user {user!r}." if user else "")
            user = memory.users[0]
        known = dict.fromkeys(("heard", "recalled", "reply", "forgotten"))
        texts = dict.fromkeys(("problem", "note", "prompt", "said", "question"), "")
        fragment = web.is_fragment(request)
        return web.show(
            request,
            "memory/desk.html" if fragment else "memory/page.html",
            400 if values.get("problem") and not fragment else 200,
            **known | texts | values,
            user=user,
            users=memory.users,
            facts=memory.facts(user),
            talk=work.TALK.get(user, ()),
            lasts=work.LASTS,
            questions=QUESTIONS,
            least=work.LEAST,
            most_said=work.MOST_SAID,
            most_name=work.MOST_NAME,
        )


PAGE = Page(
    title="Memory",
    path="/memory",
    summary="Facts about users: recalled by meaning, expired, forgotten.",
    order=90,
    routes=lambda state: Memory(state).routes(),
)
