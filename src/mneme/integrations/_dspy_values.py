"""What DSPy caches, as JSON and back, without pickle. No I/O."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from mneme.llm import reason_not_to_keep

__all__ = ["from_json", "is_whole", "texts_of", "to_json"]

_KIND = "mneme-kind"
_RESPONSES = {
    "EmbeddingResponse": "litellm.types.utils",
    "ModelResponse": "litellm.types.utils",
    "ResponsesAPIResponse": "litellm.types.llms.openai",
    "TextCompletionResponse": "litellm.types.utils",
}
"""The classes of LiteLLM's that come back as what they were. No name that was stored is imported but these."""
_ATTRIBUTES = "AttributeDict"
_WHOLE = ("stop", "tool_call", "tool_calls", None)


def to_json(value: Any) -> Any:
    """*value* as JSON.

    Raises:
        TypeError: Something in it is of a type that DSPy does not cache of itself.
    """
    if value is None or isinstance(value, (str, bool, int, float, np.generic)):
        return value.item() if isinstance(value, np.generic) else value
    kind = type(value)
    if kind in (list, tuple):
        plain = [to_json(one) for one in value]
        return plain if kind is list else {_KIND: "tuple", "value": plain}
    if kind is dict or (kind.__name__ == _ATTRIBUTES and kind.__module__.startswith("dspy.")):
        if not all(isinstance(name, str) for name in value) or _KIND in value:
            raise TypeError("a dictionary whose keys JSON cannot hold")
        fields = {name: to_json(one) for name, one in value.items()}
        return fields if kind is dict else {_KIND: _ATTRIBUTES, "value": fields}
    if _RESPONSES.get(kind.__name__) == kind.__module__:
        return {_KIND: kind.__name__, "value": value.model_dump(mode="json", exclude_unset=True)}
    if kind is np.ndarray and value.dtype.kind in "biuf":
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
        return {_KIND: "ndarray", "dtype": value.dtype.str, "shape": list(value.shape), "value": data}
    raise TypeError(f"{kind.__module__}.{kind.__qualname__} is none of the types that are kept")


def from_json(stored: Any) -> Any:
    """What `to_json` was given; raises `KeyError`, `TypeError` or `ValueError` for what it did not make."""
    if isinstance(stored, list):
        return [from_json(one) for one in stored]
    if not isinstance(stored, dict):
        return stored
    kind, value = stored.get(_KIND), stored.get("value")
    if kind is None:
        return {name: from_json(one) for name, one in stored.items()}
    if kind in ("tuple", _ATTRIBUTES):
        made = from_json(value)
        return tuple(made) if kind == "tuple" else import_module("dspy.clients.call_result").attributes(made)
    if kind == "ndarray":
        data = np.frombuffer(base64.b64decode(str(value)), dtype=np.dtype(str(stored["dtype"])))
        return data.reshape(stored["shape"])  # DSPy's cache copies it, so that it may be written to
    return getattr(import_module(_RESPONSES[kind]), kind)(**stored["value"])


def is_whole(plain: Any) -> bool:
    """Whether a value, as JSON, is no answer of a model's that was cut off, filtered or empty."""
    value = _bare(plain) if isinstance(plain, Mapping) else None
    if not isinstance(value, Mapping):
        return True
    if value.get("_dspy_format"):
        reasons = [one.get("finish_reason") for one in value.get("responses") or ()]
        outputs = value.get("outputs") or ()
        return bool(outputs) and all(outputs) and all(one in _WHOLE for one in reasons) and is_whole(value.get("raw"))
    if value.get("choices") and all("text" in one for one in value["choices"]):  # a completion of a text
        return all(one.get("finish_reason") in _WHOLE and one["text"] for one in value["choices"])
    if "choices" in value or value.get("object") == "response":
        return reason_not_to_keep(value) is None
    return True


def texts_of(plain: Any) -> list[str]:
    """The texts of an answer, one for each choice."""
    value = _bare(plain) if isinstance(plain, Mapping) else None
    if not isinstance(value, Mapping):
        return []
    if value.get("_dspy_format"):
        found = [one.get("text") if isinstance(one, Mapping) else one for one in value.get("outputs") or ()]
    else:
        found = [(one.get("message") or one).get("content") for one in value.get("choices") or ()]
    return [one for one in found if isinstance(one, str)]


def _bare(plain: Any) -> Any:
    """The same without its kinds."""
    if isinstance(plain, dict):
        return _bare(plain["value"]) if _KIND in plain else {name: _bare(one) for name, one in plain.items()}
    return [_bare(one) for one in plain] if isinstance(plain, list) else plain
