"""What an agent remembers of its users: facts heard in a conversation, recalled by what they are about.

A memory is not a cache of answers: nothing is served, the nearest facts are looked up and given to the model with their
age and origin. A user is a namespace; the kind of a fact is a tag, so that a correction replaces what it corrects.
"""

import re
from pathlib import Path

from mneme import Hit, SemanticCache
from mneme.embedders import LocalEmbedder
from mneme.testing import FakeClock

PATH = Path("memory.db")
DAY = 24 * 3600.0

# Kind, how it is said, how it is remembered, how long it is true.
PATTERNS = (
    ("home", r"\bI (?:live in|moved to) (\w+)", "The user lives in {}", None),
    ("diet", r"\bI(?: a|')m (vegan|vegetarian|allergic to \w+)", "What the user can eat: the user is {}", None),
    ("pet", r"\bmy (?:dog|cat) (\w+)", "The user has a pet named {}", None),
    ("job", r"\bI work as an? (\w+)", "The user works as a {}", None),
    ("mood", r"\bI(?: a|')m (tired|ill|in a hurry)\b", "Today the user is {}", "1d"),
    ("trip", r"\bI(?: a|')m flying to (\w+)", "The user is about to travel: a flight to {}", "14d"),
)
TALK = {
    "ann": (
        "I live in Lisbon with my dog Rex.",
        "I'm vegetarian, and I work as a nurse.",
        "I'm tired.",
        "I moved to Porto!",
    ),
    "bob": ("I live in Oslo.", "I'm allergic to peanuts.", "I'm flying to Rome next week."),
}


def listen(memory: SemanticCache, user: str, said: str) -> None:
    """Keep the facts in a sentence; a fact of the same kind that is known already is not true any more."""
    for kind, pattern, fact, ttl in PATTERNS:
        for found in re.finditer(pattern, said, flags=re.IGNORECASE):
            memory.invalidate(namespace=user, tags=[kind])
            metadata = {"user": user, "kind": kind, "said": said}
            memory.put(fact.format(found[1]), found[1], namespace=user, metadata=metadata, ttl=ttl, tags=[kind])


def recall(memory: SemanticCache, user: str, about: str, k: int = 2, least: float = 0.25) -> list[Hit]:
    """The facts nearest to what it is about, without those that have nothing to do with it."""
    return [hit for hit in memory.lookup(about, k=k, namespace=user) if hit.similarity >= least]


def main() -> None:
    """Listen to two users, recall, forget by time and on demand."""
    clock = FakeClock()
    with SemanticCache(PATH, LocalEmbedder(), clock=clock) as memory:
        for user, sentences in TALK.items():
            for said in sentences:
                listen(memory, user, said)
                clock.advance(60)

        def show(user: str, about: str) -> list[str]:
            hits = recall(memory, user, about)
            print(f"{user}: {about}")
            for hit in hits:
                age = f"{hit.age_seconds / 60:.0f} min ago"
                print(f"    {hit.similarity:.2f}  {hit.query}  ({age}: {hit.metadata['said']!r})")
            return [hit.metadata["kind"] for hit in hits]

        assert show("ann", "Which city does the user live in?")[0] == "home"
        assert recall(memory, "ann", "Which city does the user live in?")[0].response == "Porto"  # Lisbon was corrected
        assert show("ann", "What is the dog called?")[0] == "pet"
        assert show("ann", "Suggest a meal to eat")[0] == "diet"
        assert recall(memory, "ann", "Suggest a meal to eat")[0].response == "vegetarian"
        assert recall(memory, "bob", "Suggest a meal to eat")[0].response == "allergic to peanuts"
        assert show("ann", "How does the user feel today?")[0] == "mood"

        clock.advance(2 * DAY)
        print("two days later:")
        assert "mood" not in show("ann", "How does the user feel today?")
        assert show("bob", "When is the user's flight?")[0] == "trip"

        done = memory.forget(where={"user": "bob"})
        left = [file.name for file in Path().glob(f"{PATH}*") if b"peanuts" in file.read_bytes()]
        print(f"bob is forgotten: {done.entries} facts, clean: {done.clean}; files that still say so: {left}")
        assert done.clean
        assert not left
        assert recall(memory, "bob", "Suggest a meal to eat") == []
        assert recall(memory, "ann", "Suggest a meal to eat") != []


if __name__ == "__main__":
    main()
