"""Classification behind a cache: a text that says the same as one before gets its label without the classifier.

The classifier is logistic regression on embeddings. It votes over the text and all versions of it with one word less,
so that a single word decides less: a dozen embeddings for each text, where the cache needs one.
"""

import itertools
import time
from collections.abc import Sequence

import numpy as np

from mneme import SemanticCache
from mneme.embedders import LocalEmbedder

# For each label what a text begins with; each goes with all ends, so that an end says nothing about the label.
BEGINNINGS = {
    "track": ("Where is", "When will I get", "I am waiting for", "What happened to", "Has anybody seen"),
    "return": ("I want to return", "How can I send back", "Please take back", "How do I return", "I do not like"),
    "cancel": ("I want to cancel", "How do I cancel", "Do not send", "I no longer need", "Please cancel"),
    "invoice": ("I need the invoice for", "Send me a bill for", "Where is the invoice of", "The bill is wrong for"),
}
ENDS = ("my order", "the shoes that I ordered", "the lamp", "the parcel with the books", "my phone", "the chair")
FRAMES = ("{}", "Hello, {}", "{}, thanks", "{} from last week")


class Classifier:
    """Multinomial logistic regression by gradient descent, and a vote over versions of a text."""

    def __init__(self, embedder: LocalEmbedder, texts: Sequence[str], labels: Sequence[str]) -> None:
        self.calls = 0
        self._embedder = embedder
        self._names = sorted(set(labels))
        points = np.asarray(embedder.embed_many(texts))
        wanted = np.eye(len(self._names))[[self._names.index(label) for label in labels]]
        self._weights = np.zeros((points.shape[1], len(self._names)))
        for _ in range(300):
            self._weights -= 5.0 * points.T @ (self._shares(points) - wanted) / len(texts)

    def _shares(self, points: np.ndarray) -> np.ndarray:
        scores = np.exp(points @ self._weights)
        return np.asarray(scores / scores.sum(axis=1, keepdims=True))

    def __call__(self, text: str) -> str:
        """The label of a text."""
        self.calls += 1
        words = text.split()
        versions = [text, *(" ".join(words[:i] + words[i + 1 :]) for i in range(len(words)))]
        shares = self._shares(np.asarray(self._embedder.embed_many(versions)))
        return self._names[int(shares.mean(axis=0).argmax())]


def texts(seed: int) -> list[tuple[str, str]]:
    """Every text with its label, shuffled."""
    labelled = [
        (frame.format(f"{beginning} {end}"), label)
        for label, beginnings in BEGINNINGS.items()
        for beginning, end, frame in itertools.product(beginnings, ENDS, FRAMES)
    ]
    order = np.random.default_rng(seed).permutation(len(labelled))
    return [labelled[i] for i in order]


def compare(
    embedder: LocalEmbedder, vectors: dict[str, np.ndarray], *, contrast: bool, threshold: float
) -> tuple[int, int]:
    """How many texts of three shuffles a cache serves, and how many of them with another label than a person gave."""
    served = wrong = 0
    for seed in (1, 2, 3):
        with SemanticCache(":memory:", embedder, value_contrast=contrast, similarity_threshold=threshold) as cache:
            for text, label in texts(seed)[:240]:
                hit = cache.get(text, embedding=vectors[text])
                if hit is None:
                    cache.put(text, label, embedding=vectors[text])
                else:
                    served += 1
                    wrong += hit.response != label
    return served, wrong


def main() -> None:
    """Train, classify a stream through a cache, then compare two rules of what a hit is."""
    embedder = LocalEmbedder()
    labelled = texts(seed=0)
    classifier = Classifier(embedder, *zip(*labelled[:100], strict=True))
    unseen = labelled[-100:]

    started = time.perf_counter()
    right = sum(classifier(text) == label for text, label in unseen)
    each = (time.perf_counter() - started) / len(unseen)
    print(f"the classifier: {right} of {len(unseen)} right, {1000 * each:.1f} ms each")
    assert right >= 90

    # Some texts come often, most of them seldom.
    frequent = np.random.default_rng(1).zipf(1.3, 400) % len(unseen)
    classifier.calls = 0
    started = time.perf_counter()
    with SemanticCache(":memory:", embedder, similarity_threshold=0.9) as cache:
        for i in frequent:
            cache.get_or_compute(unseen[i][0], classifier)
        stats = cache.stats()
    print(
        f"behind a cache: {len(frequent)} texts in {time.perf_counter() - started:.1f} s instead of"
        f" {each * len(frequent):.1f} s; {classifier.calls} classified, {stats.hits_exact} were equal to one before,"
        f" {stats.hits_semantic} like one"
    )
    assert classifier.calls == stats.misses < len(frequent) / 2

    # Labels can be compared, so a text near others of one label may be served from farther away, and one between two
    # labels is not served at all. Compare how many are served for how many that are wrong.
    known = [text for text, _ in labelled]
    vectors = dict(zip(known, embedder.embed_many(known), strict=True))
    found = {}
    for contrast, threshold in ((False, 0.8), (True, 0.9), (False, 0.85), (True, 0.95), (False, 0.9), (True, 1.0)):
        found[contrast, threshold] = served, wrong = compare(embedder, vectors, contrast=contrast, threshold=threshold)
        what = "score" if contrast else "similarity"
        print(f"{what:10} at least {threshold:.2f}: {served:3} of 720 served, {wrong:2} of them wrong")
    assert found[True, 0.9][1] < found[False, 0.8][1]
    assert found[True, 1.0][0] > found[False, 0.9][0]


if __name__ == "__main__":
    main()
