"""What two companies know: their records, and those of their people. The page about tenants answers from these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mneme import Embedder, SemanticCache

__all__ = ["TENANTS", "Records", "Tenant", "User"]


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who asks."""

    name: str
    tenant: str
    own: Mapping[str, str]
    """What concerns this person alone: questions and answers."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """A company, and what it tells all of its people."""

    name: str
    title: str
    facts: Mapping[str, str]
    users: tuple[User, ...]


TENANTS = (
    Tenant(
        "acme",
        "Acme",
        {
            "What does the premium plan cost?": "At Acme the premium plan costs 20 € a month.",
            "Who is the data protection officer?": "Acme's data protection officer is Dr. Ada Novak.",
            "When is the office closed?": "Acme's office is closed from 24 December to 1 January.",
            "What is the password of the guest network?": "Acme's guests use the password maple-syrup-77.",
            "Where do I report a broken laptop?": "At Acme, laptops are repaired at desk 12.",
        },
        (
            User("anna", "acme", {"How many days of holiday do I have left?": "Anna has 12 days of holiday left."}),
            User("ben", "acme", {"How many days of holiday do I have left?": "Ben has 3 days of holiday left."}),
        ),
    ),
    Tenant(
        "globex",
        "Globex",
        {
            "What does the premium plan cost?": "At Globex the premium plan costs 35 € a month.",
            "Who is the data protection officer?": "Globex's data protection officer is Mr. Henk Mulder.",
            "When is the office closed?": "Globex's office is closed on the first Monday of August.",
            "What is the password of the guest network?": "Globex's guests use the password hammer-zebra-12.",
            "Where do I report a broken laptop?": "At Globex, one writes to the service desk.",
        },
        (
            User("carla", "globex", {"How many days of holiday do I have left?": "Carla has 20 days of holiday left."}),
            User("dario", "globex", {"How many days of holiday do I have left?": "Dario has 8 days of holiday left."}),
        ),
    ),
)


class Records:
    """Finds the record that answers a question: the slow, careful work that a cache is to save."""

    def __init__(self, embedder: Embedder) -> None:
        # A search by meaning over records is a search by meaning: a cache of its own, never written to again.
        self._found = SemanticCache(":memory:", embedder, guards=())
        for tenant in TENANTS:
            self._found.put_many(list(tenant.facts.items()), namespace=tenant.name)
            for user in tenant.users:
                self._found.put_many(list(user.own.items()), namespace=tenant.name, scope={"user": user.name})

    def answer(self, question: str, tenant: str, user: str | None) -> str:
        """What the records of a tenant, or of one of its people, say to *question*."""
        found = self._found.lookup(question, k=1, namespace=tenant, scope={"user": user} if user else None)
        if found and found[0].similarity >= 0.6:
            return str(found[0].response)
        owner = user.capitalize() if user else next(one.title for one in TENANTS if one.name == tenant)
        return f"{owner}'s records say nothing of that."

    def close(self) -> None:
        """Let go of them."""
        self._found.close()
