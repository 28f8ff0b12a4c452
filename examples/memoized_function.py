"""A function answered from a cache: which argument is the query, and what keeps calls apart."""

from mneme import SemanticCache
from mneme.embedders import LocalEmbedder

cache = SemanticCache("functions.db", LocalEmbedder())


@cache.memoize(query="text", ttl="7d", ignore=("verbose",))
def classify(text: str, labels: list[str], *, verbose: bool = False) -> str:
    """Stand in for a model that sorts texts."""
    print(f"  working on {text!r}{' (verbose)' if verbose else ''}")
    return next((label for label in labels if label in text), labels[-1])


def main() -> None:
    """Call it: equal, in other words, with other labels."""
    with cache:
        labels = ["password", "invoice", "other"]
        for text in ("I forgot my password", "i forgot  my password", "I have forgotten my password"):
            print(classify(text, labels), "<-", text)
        print("verbose is ignored:", classify("I forgot my password", labels, verbose=True))
        print("other labels, another call:", classify("I forgot my password", ["account", "other"]))
        print(classify.cache_info())

        print("invalidated:", classify.invalidate("I forgot my password", labels))
        print("refreshed:", classify.refresh("I forgot my password", labels))


if __name__ == "__main__":
    main()
