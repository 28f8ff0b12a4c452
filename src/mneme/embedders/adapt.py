"""Makes an embedder of what the caller has: a function, or an object of an embedding library."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, cast, overload

import numpy as np

from mneme.embedders._libraries import recipe_for
from mneme.embedders._lifted import check_count
from mneme.embedders._shape import as_matrix, as_vector, is_coroutine_function
from mneme.ports import AsyncEmbedder, Embedder, Matrix, Vector

__all__ = ["as_embedder"]

_PROBE = "probe"


@overload
def as_embedder(  # pyright: ignore[reportOverlappingOverload] -- of an object of no known type nobody can say more
    obj: AsyncEmbedder, *, fingerprint: str | None = None, dim: int | None = None
) -> AsyncEmbedder: ...
@overload
def as_embedder(
    obj: Callable[[str], Coroutine[Any, Any, Any]], *, fingerprint: str | None = None, dim: int | None = None
) -> AsyncEmbedder: ...
@overload
def as_embedder(obj: Any, *, fingerprint: str | None = None, dim: int | None = None) -> Embedder: ...


def as_embedder(obj: Any, *, fingerprint: str | None = None, dim: int | None = None) -> Embedder | AsyncEmbedder:
    """An embedder that calls *obj*. What is one already is returned as it is.

    Accepted are a function from text to vector, a coroutine function (the embedder is asynchronous then), an object
    with such a method `embed`, and the objects of sentence-transformers, model2vec, fastembed, WordLlama, LangChain and
    LlamaIndex. Texts that sentence-transformers or fastembed would cut off raise `InputTooLongError`, and so do those
    with a word that these two or model2vec have no token for, which would look like any other such text; inside
    LangChain and LlamaIndex, and in a function, it cannot be seen, and a function should raise it itself.

    Where the dimension is known from neither *obj* nor *dim*, the first vector tells; who asks for `dim` before that
    makes the embedder embed one short text.

    A library object is called in whatever thread calls the embedder; those of sentence-transformers and model2vec one
    at a time.

    Args:
        obj: What turns text into a vector.
        fingerprint: Names everything that changes a vector; a cache refuses vectors of another fingerprint. Needed for
            a function. For library objects the default is made of class, model name and settings; a model loaded
            from a directory is known by its path alone, so give one when its content changes. One of model2vec is known
            by its content.
        dim: Length of the vectors. Needed for a coroutine function, as finding out would take an event loop of its own,
            which the connections of its client would outlive.

    Raises:
        TypeError: *obj* is nothing that is known here.
        ValueError: The fingerprint or the dimension is needed and missing, or contradicts *obj*.
    """
    _check_arguments(fingerprint, dim)
    if isinstance(obj, type):
        raise TypeError(f"{obj.__qualname__} is a class; pass an instance of it")
    if _is_embedder(obj):
        if fingerprint is not None and fingerprint != obj.fingerprint:
            raise ValueError(f"this embedder calls itself {obj.fingerprint!r} already, which is not {fingerprint!r}")
        _agreed(dim, None if dim is None else obj.dim, type(obj).__qualname__)
        return cast("Embedder | AsyncEmbedder", obj)
    recipe = recipe_for(obj)
    if recipe is not None:
        name = fingerprint or recipe.fingerprint
        if name is None:
            raise ValueError(
                f"this {recipe.source} does not say which model it is; pass fingerprint= with the name of the model "
                f"and everything else that changes its vectors, such as fingerprint='potion-base-8M;normalised'"
            )
        return _Batching(recipe.embed_many, recipe.source, name, _agreed(dim, recipe.dim, recipe.source))
    return _from_function(obj, fingerprint, dim)


def _check_arguments(fingerprint: object, dim: object) -> None:
    if fingerprint is not None and not isinstance(fingerprint, str):
        raise TypeError(f"fingerprint must be a str, not {type(fingerprint).__name__}")
    if fingerprint is not None and not fingerprint.strip():
        raise ValueError("fingerprint is blank; name the model and everything else that changes its vectors")
    if dim is not None:
        check_count("dim", dim)


def _is_embedder(obj: object) -> bool:
    # Not isinstance(): before Python 3.12 that reads the properties, and reading `dim` may call a paid service.
    def has(name: str) -> bool:
        return name in getattr(obj, "__dict__", {}) or inspect.getattr_static(obj, name, None) is not None

    return has("dim") and has("fingerprint") and callable(getattr(obj, "embed", None))


def _agreed(given: int | None, known: int | None, source: str) -> int | None:
    if given is not None and known is not None and given != known:
        raise ValueError(f"dim is {given}, but {source} makes vectors of {known} numbers")
    return known if given is None else given


def _from_function(obj: Any, fingerprint: str | None, dim: int | None) -> Embedder | AsyncEmbedder:
    method = getattr(obj, "embed", None)
    function: Any = method if callable(method) else obj
    if not callable(function):
        raise TypeError(
            f"cannot make an embedder of {type(obj).__name__}; pass a function from text to vector, an object with "
            f"dim, fingerprint and embed(text), or a model of a known library"
        )
    source = getattr(function, "__qualname__", None) or type(obj).__qualname__
    own = getattr(obj, "fingerprint", None)
    name = fingerprint or (own if isinstance(own, str) else None)
    if name is None:
        raise ValueError(
            f"{source} needs a fingerprint: nothing else can tell its vectors from those of another function. Pass "
            f"fingerprint= with the name of the model and everything that changes its vectors, such as "
            f"fingerprint='text-embedding-3-small;dim=1536'"
        )
    known = _agreed(dim, obj.dim if isinstance(getattr(obj, "dim", None), int) else None, source)
    if not is_coroutine_function(function):
        return _Single(function, source, name, known)
    if known is None:
        raise ValueError(
            f"{source} is a coroutine function: it cannot be asked how long its vectors are outside its event loop. "
            f"Pass dim=, such as dim=1536"
        )
    return _Awaited(cast("Callable[[str], Awaitable[Any]]", function), source, name, known)


class _Adapted:
    """What all adapted embedders have."""

    def __init__(self, source: str, fingerprint: str) -> None:
        self._source = source
        self._fingerprint = fingerprint

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def __repr__(self) -> str:
        return f"<embedder {self._fingerprint!r} on {self._source}>"


class _Blocking(_Adapted):
    """One whose dimension may be known only later."""

    def __init__(self, source: str, fingerprint: str, dim: int | None) -> None:
        super().__init__(source, fingerprint)
        self._dim = dim
        self._probing = threading.Lock()

    @property
    def dim(self) -> int:
        if self._dim is None:
            with self._probing:  # so that many threads that ask at once pay for one call
                if self._dim is None:
                    self._dim = len(self.embed(_PROBE))
        return self._dim

    def embed(self, text: str) -> Vector:
        raise NotImplementedError


class _Single(_Blocking):
    """Calls a function, text by text."""

    def __init__(self, function: Callable[[str], Any], source: str, fingerprint: str, dim: int | None) -> None:
        super().__init__(source, fingerprint, dim)
        self._function = function

    def embed(self, text: str) -> Vector:
        """The vector of *text*."""
        vector = as_vector(self._function(text), self._source, self._dim)
        self._dim = len(vector)
        return vector


class _Batching(_Blocking):
    """Calls a library, batch by batch; one text is a batch of one, so that both are the same."""

    def __init__(self, many: Callable[[list[str]], Any], source: str, fingerprint: str, dim: int | None) -> None:
        super().__init__(source, fingerprint, dim)
        self._many = many

    def embed(self, text: str) -> Vector:
        """The vector of *text*."""
        vector: Vector = self.embed_many([text])[0]
        return vector

    def embed_many(self, texts: Sequence[str]) -> Matrix:
        """The vectors of *texts*, a row each."""
        if not texts:
            return np.empty((0, self.dim), dtype=np.float32)
        matrix = as_matrix(self._many(list(texts)), self._source, len(texts), self._dim)
        self._dim = matrix.shape[1]
        return matrix


class _Awaited(_Adapted):
    """Awaits a coroutine function, text by text."""

    def __init__(self, function: Callable[[str], Awaitable[Any]], source: str, fingerprint: str, dim: int) -> None:
        super().__init__(source, fingerprint)
        self._dim = dim
        self._function = function

    @property
    def dim(self) -> int:
        return self._dim

    async def embed(self, text: str) -> Vector:
        """The vector of *text*."""
        return as_vector(await self._function(text), self._source, self._dim)
