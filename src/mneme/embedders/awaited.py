"""Makes an asynchronous embedder of an embedding library's object that can be awaited."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np

from mneme.embedders._libraries import recipe_for
from mneme.embedders._lifted import check_count
from mneme.embedders._shape import as_matrix
from mneme.ports import AsyncEmbedder, Matrix, Vector

__all__ = ["as_async_embedder"]

# Which method is awaited, and by which of an object's own it is told whether that waits without blocking the loop: what
# the classes of these libraries inherit does not, or runs a thread.
_VERBS = (
    ("aget_text_embedding_batch", ("_aget_text_embedding", "_aget_text_embeddings")),
    ("aembed_documents", ("aembed_documents",)),
)
_BASES = ("llama_index.core.base.", "langchain_core.embeddings.embeddings")
_DIMENSIONS = ("dimensions", "output_dimensionality", "output_dimension", "embed_dim", "size")


def as_async_embedder(obj: Any, *, fingerprint: str | None = None, dim: int | None = None) -> AsyncEmbedder:
    """An embedder for `AsyncSemanticCache` that awaits *obj*, an embedding of LangChain's or LlamaIndex's.

    It awaits `aembed_documents` or `aget_text_embedding_batch`: texts are embedded as documents, as `as_embedder` does,
    and the fingerprint is the same. Everything else goes through `as_embedder`: an `AsyncSemanticCache` takes what that
    makes of a coroutine function, and runs what blocks in threads.

    Args:
        obj: An embedding with methods of its own that wait without blocking.
        fingerprint: As for `as_embedder`.
        dim: Length of the vectors. Needed where *obj* does not say: finding out would take a loop of its own.

    Raises:
        TypeError: *obj* is nothing of the kind, or only wraps blocking calls: pass it to `as_embedder`.
        ValueError: The fingerprint or the dimension is needed and missing.
    """
    if dim is not None:
        check_count("dim", dim)
    nothing: tuple[str, tuple[str, ...]] = ("", ())
    verb, own = next(((verb, own) for verb, own in _VERBS if callable(getattr(obj, verb, None))), nothing)
    recipe = recipe_for(obj) if verb else None
    if recipe is None or isinstance(obj, type):
        raise TypeError(
            f"{type(obj).__qualname__} is no embedding of LangChain's or LlamaIndex's; use as_embedder, which takes "
            f"coroutine functions too"
        )
    if not any(_is_own(obj, name) for name in own):
        raise TypeError(
            f"{recipe.source} has no {' or '.join(own)} of its own: what it inherits blocks. Use as_embedder: an "
            f"AsyncSemanticCache runs it in threads"
        )
    name = fingerprint or recipe.fingerprint
    if name is None:
        raise ValueError(
            f"this {recipe.source} does not say which model it is; pass fingerprint= with the name of the model and "
            f"everything else that changes its vectors"
        )
    length = dim or recipe.dim or _dimension(obj)
    if length is None:
        raise ValueError(f"{recipe.source} does not say how long its vectors are; pass dim=, such as dim=1536")
    return _AwaitedBatches(getattr(obj, verb), recipe.source, name, length)


def _is_own(obj: Any, name: str) -> bool:
    method = getattr(type(obj), name, None)
    return method is not None and not str(getattr(method, "__module__", "")).startswith(_BASES)


def _dimension(obj: Any) -> int | None:
    found = (getattr(obj, name, None) for name in _DIMENSIONS)
    return next((one for one in found if isinstance(one, int) and not isinstance(one, bool) and one > 0), None)


class _AwaitedBatches:
    """Awaits a library, batch by batch; one text is a batch of one, so that both are the same."""

    def __init__(self, many: Callable[[list[str]], Awaitable[Any]], source: str, fingerprint: str, dim: int) -> None:
        self._many = many
        self._source = source
        self._fingerprint = fingerprint
        self._dim = dim

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    async def embed(self, text: str) -> Vector:
        """The vector of *text*."""
        vector: Vector = (await self.embed_many([text]))[0]
        return vector

    async def embed_many(self, texts: Sequence[str]) -> Matrix:
        """The vectors of *texts*, a row each."""
        if not texts:
            return np.empty((0, self._dim), dtype=np.float32)
        return as_matrix(await self._many(list(texts)), self._source, len(texts), self._dim)

    def __repr__(self) -> str:
        return f"<embedder {self._fingerprint!r} on {self._source}>"
