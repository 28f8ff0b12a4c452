"""What refuses the answer to a similar question: the ready-made guards, one of your own, one for doubtful matches."""

from mneme import SemanticCache
from mneme.embedders import LocalEmbedder
from mneme.guards import DEFAULT_GUARDS, Rule, Uncertain

STORED = {
    "How do I turn on dark mode?": "Settings, Display, Dark mode.",
    "What does the premium plan cost in 2025?": "12 euros a month.",
    "Which trains go from Oslo to Bergen?": "The 8:25 and the 12:03.",
}
ASKED = [
    "How can I turn on dark mode?",
    "How do I turn off dark mode?",
    "What did the premium plan cost in 2023?",
    "Which trains go from Bergen to Oslo?",
    "How do I turn on dark mode on my old phone?",
]


def other_device(asked: str, stored: str) -> str | None:
    """A rule that only this shop needs."""
    devices = {"phone", "tablet", "laptop"}
    ones, others = devices & set(asked.lower().split()), devices & set(stored.lower().split())
    return None if ones == others else f"one asks about {', '.join(sorted(ones ^ others))}"


def judge(asked: str, stored: str) -> str | None:
    """A language model would be asked here."""
    return (
        None if asked.split(maxsplit=1)[0].lower() == stored.split(maxsplit=1)[0].lower() else "they begin differently"
    )


def main() -> None:
    """Ask what is stored, and what only looks like it."""
    guards = (*DEFAULT_GUARDS, Rule("device", other_device), Uncertain(Rule("judge", judge), below=0.92))
    with SemanticCache(":memory:", LocalEmbedder(), guards=guards, similarity_threshold=0.8) as cache:
        cache.put_many(STORED.items())
        for question in ASKED:
            hit = cache.get(question)
            if hit is not None:
                print(f"{question}\n    {hit.similarity:.3f} {hit.response}")
                continue
            nearest = cache.explain(question).candidates[0]
            print(f"{question}\n    {nearest.similarity:.3f} {nearest.reason}: {nearest.detail}")


if __name__ == "__main__":
    main()
