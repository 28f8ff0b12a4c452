"""Responses and metadata to bytes and back, exactly: what cannot come back as it went in is refused.

Never pickle: what is read from a file must not be able to run code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from mneme.errors import CorruptCacheError
from mneme.ports import Codec

TEXT, BYTES, JSON = "text", "bytes", "json"
_SCALARS = (str, int, bool, type(None))
_DEPTH = 200
"""Fixed, and far below the interpreter's recursion limit: what a shallow stack wrote, a deep one must be able to read.
"""


def check_json(value: Any, what: str) -> None:
    """Raise unless JSON gives *value* back with the same types.

    Raises:
        TypeError: It holds a type that JSON lacks (tuples and keys that are no strings included: they would come back
            as something else).
        ValueError: It holds NaN or an infinity, or is nested too deeply.
    """
    try:
        _check(value, what, _DEPTH)
    except RecursionError:
        raise ValueError(f"{what} is nested too deeply (more than {_DEPTH} levels), or contains itself") from None


def _check(value: Any, where: str, levels: int) -> None:
    kind = type(value)
    if kind in _SCALARS:
        return
    if levels == 0:
        raise RecursionError
    if kind is float:
        if not math.isfinite(value):
            raise ValueError(f"{where} is {value}, which JSON cannot hold; use None or a string")
    elif kind is list:
        for position, item in enumerate(value):
            _check(item, f"{where}[{position}]", levels - 1)
    elif kind is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise TypeError(f"{where} has the key {key!r}; keys must be strings to come back unchanged")
            _check(item, f"{where}[{key!r}]", levels - 1)
    else:
        raise TypeError(
            f"{where} is of type {kind.__name__}, which would not come back as it went in; "
            "use str, int, float, bool, None, and lists and dicts of them"
        )


def dump_json(value: Any, what: str, *, sort_keys: bool = False) -> str:
    """The JSON of *value*; raises like `check_json`."""
    check_json(value, what)
    try:
        # ASCII output carries lone surrogates unharmed, which UTF-8 would refuse.
        return json.dumps(value, separators=(",", ":"), allow_nan=False, sort_keys=sort_keys)
    except (ValueError, RecursionError) as error:  # integers beyond the interpreter's digit limit, a stack used up
        raise ValueError(f"{what} cannot be written as JSON: {error}") from error


def encode_response(response: Any, codec: Codec | None) -> tuple[str, bytes]:
    """The name of the encoding, and the bytes.

    Raises:
        TypeError, ValueError: It is not `str`, `bytes` or JSON, and *codec* is missing or refuses it too.
    """
    if type(response) is str:
        return TEXT, response.encode("utf-8", "surrogatepass")
    if type(response) is bytes:
        return BYTES, response
    try:
        return JSON, dump_json(response, "response").encode("ascii")
    except TypeError as error:
        if codec is None:
            raise TypeError(f"{error}; or pass the cache a codec= for it") from None
    except ValueError:
        if codec is None:
            raise
    payload = codec.encode(response)
    if type(payload) is not bytes:
        raise TypeError(f"codec {codec.name!r} encoded to {type(payload).__name__}; it must return bytes")
    return codec_name(codec), payload


def codec_name(codec: Codec) -> str:
    """A caller's codec never passes for a built-in one."""
    return f"codec:{codec.name}"


def is_readable(name: str, codec: Codec | None) -> bool:
    """Whether `decode_response` knows the encoding of that name."""
    return name in {TEXT, BYTES, JSON} or (codec is not None and codec_name(codec) == name)


def decode_response(name: str, payload: bytes, codec: Codec | None) -> Any:
    """The response, fresh: nothing in it is shared with anything.

    Raises:
        CorruptCacheError: The bytes do not decode.
        TypeError: They were encoded by a codec that was not passed to this cache.
    """
    try:
        if name == TEXT:
            return payload.decode("utf-8", "surrogatepass")
        if name == BYTES:
            return payload
        if name == JSON:
            return json.loads(payload)
    except ValueError as error:
        raise CorruptCacheError(f"a stored response does not decode as {name}: {error}") from error
    if codec is None or codec_name(codec) != name:
        raise TypeError(f"the response was stored by {name!r}; open the cache with the same codec=")
    return codec.decode(payload)


def encode_metadata(metadata: Mapping[str, Any] | None) -> str:
    """Metadata as a JSON object, empty for none."""
    if metadata is None:
        return ""
    if not isinstance(metadata, Mapping):
        raise TypeError(f"metadata must be a mapping of JSON values, not {type(metadata).__name__}")
    return dump_json(dict(metadata), "metadata") if metadata else ""


def decode_metadata(text: str) -> dict[str, Any]:
    """The metadata, fresh."""
    if not text:
        return {}
    decoded: dict[str, Any] = json.loads(text)
    return decoded
