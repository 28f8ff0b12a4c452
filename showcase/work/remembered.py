"""An embedder that remembers what it embedded, for pages that compare the same texts again and again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from mneme import Embedder
from mneme.ports import Matrix, Vector

__all__ = ["Remembered"]


class Remembered:
    """Another embedder's vectors; those of the latest *most* texts are not computed twice.

    Thread safety: as the other embedder's. Two threads that ask for a new text at once may both compute it.
    """

    def __init__(self, embedder: Embedder, most: int = 4000) -> None:
        self.dim: int = embedder.dim
        self.fingerprint: str = embedder.fingerprint
        self._embedder = embedder
        self._most = most
        self._vectors: OrderedDict[str, Vector] = OrderedDict()
        self._lock = threading.Lock()

    def embed(self, text: str) -> Vector:
        """The vector of *text*. Raises what the other embedder raises, and remembers nothing then."""
        vector: Vector = self.embed_many([text])[0]
        return vector

    def embed_many(self, texts: Sequence[str]) -> Matrix:
        """The vectors of *texts*, a row each; what is new is embedded in one batch."""
        with self._lock:
            known = {text: self._vectors[text] for text in texts if text in self._vectors}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known.update(zip(new, self._embedded(new), strict=True))
        with self._lock:
            for text in dict.fromkeys(texts):
                self._vectors[text] = known[text]
                self._vectors.move_to_end(text)
            while len(self._vectors) > self._most:
                self._vectors.popitem(last=False)
        return np.stack([known[text] for text in texts]) if texts else np.zeros((0, self.dim), np.float32)

    def _embedded(self, texts: list[str]) -> Sequence[Vector]:
        embed_many = getattr(self._embedder, "embed_many", None)
        if embed_many is None:
            return [self._embedder.embed(text) for text in texts]
        return list(embed_many(texts))
