"""A router that remembers where it sent requests, and does not trust a neighbour where its neighbours disagree.

Routing decisions, labels and tool results can be compared. With value contrast the cache serves farther paraphrases
where everything near has the same answer, and computes anew where the nearest entries have different ones.
"""

from mneme import SemanticCache
from mneme.embedders import LocalEmbedder

DESKS = {
    "Where is my parcel?": "shipping",
    "My parcel has not arrived yet": "shipping",
    "I would like to return my order": "returns",
    "How do I send an item back?": "returns",
    "Can I get a refund for my order?": "billing",
    "I was charged twice for one order": "billing",
}


def ask_model(request: str) -> str:
    """Stands for a call that is slow, and costs money."""
    print(f"    (asked the model about {request!r})")
    return "billing" if "money" in request else "returns"


# Scores are not similarities: 1.0 is no equality here, but a good beginning. See docs/value-contrast.md.
with SemanticCache(":memory:", LocalEmbedder(), value_contrast=True, similarity_threshold=1.0) as cache:
    cache.put_many(DESKS.items())
    for request in (
        "Where has my parcel got to?",
        "I want my money back for an order",
        "How can I send my order back?",
    ):
        for near in cache.explain(request, k=2).candidates:
            print(f"{near.similarity:.2f} - {near.rival:.2f} -> {near.score:.2f}  {near.query}: {near.reason}")
        print(f"{request} -> {cache.get_or_compute(request, ask_model)}")
