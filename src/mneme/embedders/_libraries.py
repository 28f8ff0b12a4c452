"""How the objects of well-known embedding libraries are called. Told by their methods: no library is imported.

A fingerprint is made of class, model name and whatever else is seen to change a vector. Where no name is to be found
there is none, and the caller has to give one.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mneme.embedders._frameworks import extended
from mneme.embedders._windows import refuse_unseen, refuse_unseen_by_transformers, unknown_token

__all__ = ["Recipe", "recipe_for"]

# Where libraries keep the model's name. The first that holds a non-empty string counts.
_NAMES = ("model_name", "model_id", "model_name_or_path", "model", "deployment", "base_model_name")

# What changes a vector, under the names that libraries use. Settings of transport and speed stay out: a fingerprint
# that knew the device would throw a cache away when a GPU is added.
_SETTINGS = (
    "revision",
    "dimensions",
    "output_dimensionality",
    "truncate_dim",
    "embed_instruction",
    "query_instruction",
    "text_instruction",
    "prefix",
    "prompts",
    "default_prompt_name",
    "encode_kwargs",
    "normalize",
    "normalize_embeddings",
    "pooling",
    "precision",
    "input_type",
    "task_type",
    "max_length",
)
_IRRELEVANT = frozenset({"batch_size", "convert_to_numpy", "device", "show_progress_bar"})


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to get vectors out of one library object."""

    source: str
    """Class of the object, for messages."""
    fingerprint: str | None
    """`None` if the object does not say which model it is."""
    dim: int | None
    """`None` if only a vector can tell."""
    embed_many: Callable[[list[str]], Any]


def recipe_for(obj: Any) -> Recipe | None:
    """How to call *obj*, or `None` if it is not one of the known kinds."""
    for known, recipe in _KINDS:
        if known(obj):
            return recipe(obj)
    return None


# --- one pair for each kind ------------------------------------------------------------------------------------------


def _is_sentence_transformers(obj: Any) -> bool:
    return _has(obj, "encode") and any(
        _has(obj, name) for name in ("get_embedding_dimension", "get_sentence_embedding_dimension")
    )


def _sentence_transformers(obj: Any) -> Recipe:
    # Its fast tokenizer is not safe to reconfigure from two threads, and counting tokens without cutting does that.
    lock = threading.Lock()
    tokenizer: Any = getattr(obj, "tokenizer", None)
    source = _kind(obj)
    prompt = (getattr(obj, "prompts", None) or {}).get(getattr(obj, "default_prompt_name", None)) or ""

    static = not callable(tokenizer) and _has(tokenizer, "encode")
    unknown = unknown_token(tokenizer) if static else None

    def embed_many(texts: list[str]) -> Any:
        with lock:
            if callable(tokenizer):
                window = getattr(obj, "max_seq_length", None)
                refuse_unseen_by_transformers(tokenizer, texts, source, window=window, prompt=prompt)
            elif static:
                refuse_unseen(tokenizer, texts, source, unknown=unknown, special=False)
            return obj.encode(texts, show_progress_bar=False, convert_to_numpy=True)

    # The prompts that are not used change no vector, and a new release may bring new ones.
    more = {"prompt": prompt or None, "backend": _unless(obj, "backend", "torch")}
    more["dtype"] = _unless(obj, "dtype", "torch.float32")
    name = _fingerprint(obj, _transformer_name(obj), without=("prompts", "default_prompt_name"), more=more)
    # Older releases have only the longer name, newer ones warn of it.
    ask = getattr(obj, "get_embedding_dimension", None) or obj.get_sentence_embedding_dimension
    return Recipe(source, name, _number(ask()), embed_many)


def _unless(obj: Any, setting: str, usual: str) -> str | None:
    value = getattr(obj, setting, None)
    return None if value is None or str(value) == usual else str(value)


def _transformer_name(obj: Any) -> str | None:
    """As it was loaded. The model card is asked last: it knows the name only when the hub could be reached."""
    try:
        config = obj[0].auto_model.config
    except (AttributeError, IndexError, KeyError, TypeError):
        config = None
    card = getattr(obj, "model_card_data", None)
    places = (
        (config, "_name_or_path"),
        (getattr(obj, "tokenizer", None), "name_or_path"),
        (card, "base_model"),
        (card, "model_id"),
    )
    for place, attribute in places:
        name = getattr(place, attribute, None)
        if isinstance(name, str) and name:
            return name
    return _name(obj)


def _is_model2vec(obj: Any) -> bool:
    return _has(obj, "encode") and isinstance(getattr(obj, "dim", None), int)


def _model2vec(obj: Any) -> Recipe:
    source = _kind(obj)
    # By default it cuts off after 512 tokens without a word, has no window of its own, and sets its tokenizer anew with
    # every call: a call in another thread would switch the cut on again. So a twin with a tokenizer of its own is used,
    # and another one to look at texts with.
    lock = threading.Lock()
    twin = copy.copy(obj)
    tokenizer: Any = getattr(obj, "tokenizer", None)
    if _has(tokenizer, "to_str"):
        twin.tokenizer, tokenizer = (type(tokenizer).from_str(tokenizer.to_str()) for _ in range(2))
        tokenizer.no_truncation()

    def embed_many(texts: list[str]) -> Any:
        with lock:
            if _has(tokenizer, "encode"):  # it leaves out the words that it does not know
                unknown = getattr(obj, "unk_token_id", None)
                refuse_unseen(tokenizer, texts, source, unknown=unknown, special=False)
            return twin.encode(texts, show_progress_bar=False, max_length=None, use_multiprocessing=False)

    # Its name is that of the model it was distilled from, if it has one at all: the content tells.
    content = _content(obj, tokenizer)
    name = _name(obj) or ("unnamed" if content else None)
    fingerprint = _fingerprint(obj, name, without=("max_length",), more={"sha256": content})
    return Recipe(source, fingerprint, obj.dim, embed_many)


def _content(obj: Any, tokenizer: Any) -> str | None:
    """A hash of all that a static model makes vectors of.

    The tokenizer's vocabulary, not its JSON: that is written differently by other releases of the same tokenizer.
    """
    vectors = getattr(obj, "embedding", None)
    if vectors is None or not _has(tokenizer, "get_vocab"):
        return None
    parts = (vectors, getattr(obj, "weights", None), getattr(obj, "token_mapping", None))
    found = hashlib.sha256(json.dumps(tokenizer.get_vocab(), sort_keys=True).encode())
    for part in parts:
        if part is not None:
            array = np.ascontiguousarray(part)
            found.update(f"{array.dtype}{array.shape}".encode())
            found.update(array.data.cast("B"))
    return found.hexdigest()[:16]


def _is_llama_index(obj: Any) -> bool:
    return _has(obj, "get_text_embedding")


def _llama_index(obj: Any) -> Recipe:
    # As text, never as query: with some models the two differ, and a cache compares like with like.
    batch = getattr(obj, "get_text_embedding_batch", None)
    return Recipe(_kind(obj), _framework_name(obj), None, batch or _one_by_one(obj.get_text_embedding))


def _is_langchain(obj: Any) -> bool:
    return _has(obj, "embed_documents") or _has(obj, "embed_query")


def _langchain(obj: Any) -> Recipe:
    # As documents, never as query, for the same reason.
    batch = getattr(obj, "embed_documents", None)
    inner = getattr(obj, "underlying_embeddings", None)  # of one that only keeps vectors: it makes none itself
    name = _framework_name(obj if inner is None else inner)
    return Recipe(_kind(obj), name, None, batch or _one_by_one(obj.embed_query))


def _is_fastembed(obj: Any) -> bool:
    return _has(obj, "embed") and _has(obj, "query_embed")


def _fastembed(obj: Any) -> Recipe:
    source = _kind(obj)
    model = getattr(obj, "model", None)
    look = functools.cache(unknown_token)

    def embed_many(texts: list[str]) -> Any:
        if model is not None and getattr(model, "tokenizer", None) is None:  # lazy_load=True: the first text loads it
            list(obj.embed(["a"]))
        tokenizer: Any = getattr(model, "tokenizer", None)
        if _has(tokenizer, "encode"):  # set to cut off, and to say what it cut off
            refuse_unseen(tokenizer, texts, source, unknown=look(tokenizer))
        return list(obj.embed(texts))

    # Its class says how the model's output is pooled, which releases of fastembed have changed.
    more = {"by": type(model).__qualname__, "path": getattr(model, "_specific_model_path", None)}
    fingerprint = _fingerprint(obj, _name(obj), more=more)
    return Recipe(source, fingerprint, _number(getattr(obj, "embedding_size", None)), embed_many)


def _is_wordllama(obj: Any) -> bool:
    return _has(obj, "embed") and _has(obj, "rank") and getattr(obj, "embedding", None) is not None


def _wordllama(obj: Any) -> Recipe:
    dim = _number(obj.embedding.shape[1])
    return Recipe(_kind(obj), _fingerprint(obj, _name(obj)), dim, obj.embed)


_KINDS: Sequence[tuple[Callable[[Any], bool], Callable[[Any], Recipe]]] = (
    (_is_sentence_transformers, _sentence_transformers),
    (_is_model2vec, _model2vec),
    (_is_llama_index, _llama_index),
    (_is_langchain, _langchain),
    (_is_fastembed, _fastembed),
    (_is_wordllama, _wordllama),
)


# --- what they share -------------------------------------------------------------------------------------------------


def _has(obj: Any, method: str) -> bool:
    return callable(getattr(obj, method, None))


def _kind(obj: Any) -> str:
    return f"{type(obj).__module__.partition('.')[0]}.{type(obj).__qualname__}"


def _number(value: Any) -> int | None:
    return int(value) if value else None


def _one_by_one(embed: Callable[[str], Any]) -> Callable[[list[str]], Any]:
    return lambda texts: [embed(text) for text in texts]


def _name(obj: Any) -> str | None:
    for attribute in _NAMES:
        name = getattr(obj, attribute, None)
        if isinstance(name, str) and name and name != "unknown":
            return name
    return None


def _framework_name(obj: Any) -> str | None:
    """Names that are set besides the first count as settings: on Azure the deployment is the model, and not `model`."""
    name = _name(obj)
    said = [attribute for attribute in _NAMES if getattr(obj, attribute, None) == name]
    return extended(_fingerprint(obj, name), obj, known=(*said, *_SETTINGS))


def _fingerprint(
    obj: Any, name: str | None, *, without: tuple[str, ...] = (), more: Mapping[str, object] | None = None
) -> str | None:
    if name is None:
        return None
    settings = {key: _setting(getattr(obj, key, None)) for key in _SETTINGS if key not in without}
    settings |= {key: _setting(value) for key, value in (more or {}).items()}
    said = {key: value for key, value in settings.items() if value is not None}
    return f"{_kind(obj)}:{name}" + "".join(f";{key}={value}" for key, value in sorted(said.items()))


def _setting(value: Any) -> str | None:
    """*value* as canonical JSON, or `None` if it is unset or nothing that could be told from its text."""
    if isinstance(value, Mapping):
        value = {key: setting for key, setting in value.items() if key not in _IRRELEVANT}
    if value is None or value == {}:
        return None
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    except (TypeError, ValueError):
        return None
