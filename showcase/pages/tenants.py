"""Two tenants with two users each: the same question, separate answers; a quota; and forgetting one of them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from mneme import Entry, MnemeError
from showcase import web
from showcase.forms import Form
from showcase.records import TENANTS, Records, Tenant, User
from showcase.registry import Page
from showcase.state import QUOTAS, Asked, State
from showcase.traces import traces
from showcase.work.inputs import BadInputError

__all__ = ["PAGE"]

COMPANY = (
    "What does the premium plan cost?",
    "How much is the premium plan?",
    "Who is the data protection officer?",
    "When is the office closed?",
    "What is the password of the guest network?",
    "Where do I report a broken laptop?",
)
PERSONAL = ("How many days of holiday do I have left?", "How many holidays have I got left?")
_MOST = 50


@dataclass(frozen=True, slots=True)
class Said:
    """What one user was told."""

    user: User
    asked: Asked
    matched: str


class TenantsPage:
    """The page, asking as everybody, and forgetting."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.records = Records(state.embedder)
        state.on_close(self.records.close)

    def routes(self) -> Sequence[BaseRoute]:
        return [
            web.get("/tenants", self.page),
            web.post("/tenants/ask", self.ask),
            web.post("/tenants/forget", self.forget),
            web.post("/tenants/clear", self.clear),
        ]

    def page(self, request: Request, **values: Any) -> Response:
        standard = {"question": "", "personal": False, "said": {}, "forgotten": None}
        return web.show(request, "tenants/page.html", **(self._stored() | standard | values))

    def _stored(self) -> dict[str, Any]:
        """What each tenant has in the cache, and what each user may be answered from."""
        entries = {one.name: self._entries(one) for one in TENANTS}
        return {
            "tenants": TENANTS,
            "entries": entries,
            "may_see": {
                user.name: [entry for entry in entries[one.name] if entry.scope in (None, {"user": user.name})]
                for one in TENANTS
                for user in one.users
            },
            "stats": {one.name: self.state.cache.stats(one.name) for one in TENANTS},
            "quotas": QUOTAS,
            "company": COMPANY,
            "personal_questions": PERSONAL,
        }

    def _entries(self, tenant: Tenant) -> list[Entry]:
        return self.state.cache.entries(namespace=tenant.name, limit=_MOST)

    def ask(self, request: Request, form: Form) -> Response:
        picked = form.text("pick", default="")
        question = picked or form.text("question")
        personal = picked in PERSONAL if picked else form.choice("about", ("company", "me"), default="company") == "me"
        try:
            said = {
                user.name: self._ask(question, user, user.name if personal else None)
                for one in TENANTS
                for user in one.users
            }
        except (MnemeError, ValueError) as error:
            raise BadInputError(str(error)) from error
        return self.page(request, question=question, personal=personal, said=said)

    def _ask(self, question: str, user: User, who: str | None) -> Said:
        """*user* asks about the person *who*, or else about the company."""
        asked = self.state.ask(
            question,
            functools.partial(self.records.answer, tenant=user.tenant, user=who),
            namespace=user.tenant,
            scope={"user": who} if who else None,
        )
        matched = ""
        if asked.seen and asked.outcome == "semantic" and asked.seen.entry_id is not None:
            found = self.state.cache.entries(namespace=user.tenant, after=asked.seen.entry_id - 1, limit=1)
            matched = found[0].query if found else ""
        return Said(user, asked, matched)

    def forget(self, request: Request, form: Form) -> Response:
        tenant = form.choice("tenant", [one.name for one in TENANTS])
        # Others may have the same question: what is looked for is what this tenant alone was told.
        texts = {str(entry.response) for one in TENANTS if one.name == tenant for entry in self._entries(one)}
        before = traces(self.state.file, texts)
        try:
            report = self.state.cache.forget(namespace=tenant)
        except MnemeError as error:
            raise BadInputError(str(error)) from error
        after = traces(self.state.file, texts)
        files = [(name, before.get(name, 0), after.get(name, 0)) for name in sorted(before | after)]
        return self.page(request, forgotten={"tenant": tenant, "report": report, "files": files, "texts": len(texts)})

    def clear(self, request: Request, form: Form) -> Response:
        for one in TENANTS:
            self.state.cache.clear_namespace(one.name)
        return RedirectResponse("/tenants", 303)


PAGE = Page(
    title="Tenants",
    path="/tenants",
    summary="The same question of two tenants: separate answers, a quota, and forgetting.",
    order=50,
    routes=lambda state: TenantsPage(state).routes(),
)
