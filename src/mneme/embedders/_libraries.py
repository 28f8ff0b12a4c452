"""How the objects of well-known embedding libraries are called. Told by their methods: no library is imported.

A fingerprint is made of class, model name and whatever else is seen to change a vector. Where no name is to be found
there is none, and the caller has to give one.
"""

from __future__ import annotations

import functools
import json
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mneme.errors import InputTooLongError

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

    def embed_many(texts: list[str]) -> Any:
        with lock:
            _refuse_too_long(obj, texts)
            return obj.encode(texts, show_progress_bar=False, convert_to_numpy=True)

    # Older releases have only the longer name, newer ones warn of it.
    ask = getattr(obj, "get_embedding_dimension", None) or obj.get_sentence_embedding_dimension
    return Recipe(_kind(obj), _fingerprint(obj, _transformer_name(obj)), _number(ask()), embed_many)


def _refuse_too_long(obj: Any, texts: list[str]) -> None:
    """Raise `InputTooLongError` where sentence-transformers would cut off without a word."""
    window = getattr(obj, "max_seq_length", None)
    tokenizer: Any = getattr(obj, "tokenizer", None)
    if not callable(tokenizer) or not isinstance(window, (int, float)) or not math.isfinite(window):
        return
    tokenize: Callable[..., Any] = tokenizer
    prompts = getattr(obj, "prompts", None) or {}
    prompt = prompts.get(getattr(obj, "default_prompt_name", None)) or ""
    for text in texts:
        tokens = len(tokenize(prompt + text, truncation=False, verbose=False)["input_ids"])
        if tokens > window:
            raise InputTooLongError(f"the text has {tokens} tokens; {_kind(obj)} would cut it off after {window}")


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
    # max_length=None: by default it cuts off after 512 tokens without a word. It has no window of its own.
    embed_many = functools.partial(obj.encode, show_progress_bar=False, max_length=None)
    return Recipe(_kind(obj), _fingerprint(obj, _name(obj), without="max_length"), obj.dim, embed_many)


def _is_llama_index(obj: Any) -> bool:
    return _has(obj, "get_text_embedding")


def _llama_index(obj: Any) -> Recipe:
    # As text, never as query: with some models the two differ, and a cache compares like with like.
    batch = getattr(obj, "get_text_embedding_batch", None)
    return Recipe(_kind(obj), _fingerprint(obj, _name(obj)), None, batch or _one_by_one(obj.get_text_embedding))


def _is_langchain(obj: Any) -> bool:
    return _has(obj, "embed_documents") or _has(obj, "embed_query")


def _langchain(obj: Any) -> Recipe:
    # As documents, never as query, for the same reason.
    batch = getattr(obj, "embed_documents", None)
    return Recipe(_kind(obj), _fingerprint(obj, _name(obj)), None, batch or _one_by_one(obj.embed_query))


def _is_fastembed(obj: Any) -> bool:
    return _has(obj, "embed") and _has(obj, "query_embed")


def _fastembed(obj: Any) -> Recipe:
    def embed_many(texts: list[str]) -> Any:
        _refuse_cut_off(obj, texts)
        return list(obj.embed(texts))

    return Recipe(_kind(obj), _fingerprint(obj, _name(obj)), _number(getattr(obj, "embedding_size", None)), embed_many)


def _refuse_cut_off(obj: Any, texts: list[str]) -> None:
    """Raise `InputTooLongError` where the tokenizer of fastembed, which is set to cut off, does so."""
    tokenizer: Any = getattr(getattr(obj, "model", None), "tokenizer", None)
    if not _has(tokenizer, "encode"):
        return
    for text in texts:
        encoding = tokenizer.encode(text)
        if getattr(encoding, "overflowing", None):
            raise InputTooLongError(f"the text is longer than the {len(encoding.ids)} tokens that {_kind(obj)} takes")


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


def _fingerprint(obj: Any, name: str | None, *, without: str = "") -> str | None:
    if name is None:
        return None
    settings = {key: _setting(getattr(obj, key, None)) for key in _SETTINGS if key != without}
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
