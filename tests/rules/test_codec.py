"""Responses and metadata come back exactly as they went in, or are refused."""

import enum
import math
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, strategies as st

from mneme import CorruptCacheError
from mneme._rules.codec import (
    check_json,
    decode_metadata,
    decode_response,
    encode_metadata,
    encode_response,
)

any_text = st.text(st.characters())  # lone surrogates included
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | any_text
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4), max_leaves=25
)


def same(left, right):
    """Equal, with the same types all the way down, the sign of zero and the order of keys."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, float):
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    return left == right


@given(json_values | any_text | st.binary())
def test_every_value_comes_back_as_it_went_in(value):
    assert same(decode_response(*encode_response(value, None), None), value)


@given(st.dictionaries(any_text, json_values, max_size=4))
def test_metadata_come_back_as_they_went_in(metadata):
    assert same(decode_metadata(encode_metadata(metadata)), metadata)


def test_no_metadata_is_an_empty_dict():
    assert decode_metadata(encode_metadata(None)) == {}
    assert encode_metadata({}) == ""


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


REFUSED_TYPES = {
    "tuple": (1, 2),
    "tuple inside": {"a": [(1,)]},
    "set": {1, 2},
    "bytes inside": [b"raw"],
    "bytearray": bytearray(b"raw"),
    "subclass of str": Text("a"),
    "subclass of str inside": ["a", Text("a")],
    "subclass of str as a key": {Text("a"): 1},
    "subclass of int": Number(3),
    "subclass of dict": OrderedDict(a=1),
    "Enum": Colour.RED,
    "IntEnum": Level.LOW,
    "numpy float": np.float64(1.5),
    "numpy int": np.int64(1),
    "numpy bool": np.bool_(True),
    "array": np.zeros(2),
    "int key": {1: "a"},
    "None key": {None: "a"},
    "complex": 1j,
    "function": len,
    "object": object(),
}


@pytest.mark.parametrize("value", REFUSED_TYPES.values(), ids=REFUSED_TYPES)
def test_what_would_come_back_as_something_else_is_a_type_error(value):
    with pytest.raises(TypeError, match=r"would not come back as it went in|keys must be strings"):
        encode_response(value, None)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, {"a": [math.nan]}])
def test_numbers_that_json_lacks_are_a_value_error(value):
    with pytest.raises(ValueError, match=r"nan|inf"):
        encode_response(value, None)


def test_an_error_says_where_in_the_value_it_is():
    with pytest.raises(TypeError, match=r"response\['a'\]\[1\]\['b'\] is of type tuple"):
        encode_response({"a": [0, {"b": ()}]}, None)


def test_a_value_that_contains_itself_is_a_value_error():
    circle = []
    circle.append({"again": circle})
    with pytest.raises(ValueError, match="contains itself"):
        encode_response(circle, None)


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("depth", [400, 950, 5_000, 100_000])
def test_extreme_nesting_is_a_value_error(depth):
    with pytest.raises(ValueError, match="nested too deeply"):
        encode_response(nested(depth), None)


def at_depth(frames, function):
    """Call *function* below so many frames of other people's code."""
    return at_depth(frames - 1, function) if frames else function()


def test_what_was_stored_from_a_shallow_stack_can_be_read_from_a_deep_one():
    encoded = encode_response(nested(150), None)
    assert at_depth(600, lambda: decode_response(*encoded, None)) == nested(150)


def test_an_int_with_too_many_digits_is_a_value_error():
    assert decode_response(*encode_response(10**4000, None), None) == 10**4000
    with pytest.raises(ValueError, match="cannot be written as JSON"):
        encode_response([10**5000], None)


@pytest.mark.parametrize("metadata", [[("a", 1)], "a=1", 3, b"{}"])
def test_metadata_that_are_no_mapping_are_a_type_error(metadata):
    with pytest.raises(TypeError, match="metadata must be a mapping of JSON values"):
        encode_metadata(metadata)


def test_metadata_that_would_not_come_back_are_refused():
    with pytest.raises(TypeError, match=r"metadata\['a'\] is of type tuple"):
        encode_metadata({"a": ()})
    with pytest.raises(TypeError, match="keys must be strings"):
        encode_metadata({1: "a"})


@pytest.mark.parametrize(("name", "payload"), [("text", b"\xff\xfe"), ("json", b"{"), ("json", b"\xff")])
def test_bytes_that_do_not_decode_are_a_corrupt_cache(name, payload):
    with pytest.raises(CorruptCacheError, match=name):
        decode_response(name, payload, None)


class Complex:
    name = "complex"

    def encode(self, value):
        if type(value) is not complex:
            raise TypeError("only complex numbers")
        return repr(value).encode()

    def decode(self, payload):
        return complex(payload.decode())


class Impostor(Complex):
    name = "text"


def test_a_codec_is_asked_only_for_what_is_not_json():
    assert encode_response("a", Complex())[0] == "text"
    assert encode_response({"a": 1}, Complex())[0] == "json"
    encoded = encode_response(1 + 2j, Complex())
    assert decode_response(*encoded, Complex()) == 1 + 2j


def test_a_codec_that_refuses_too_has_the_last_word():
    with pytest.raises(TypeError, match="only complex numbers"):
        encode_response({1}, Complex())


def test_a_codec_cannot_pass_for_a_built_in_one():
    name, payload = encode_response(1j, Impostor())
    assert name not in {"text", "bytes", "json"}
    assert decode_response(name, payload, Impostor()) == 1j


def test_without_the_codec_that_stored_it_reading_is_a_type_error_that_says_so():
    encoded = encode_response(1j, Complex())
    for codec in (None, Impostor()):
        with pytest.raises(TypeError, match=r"complex.*same codec="):
            decode_response(*encoded, codec)


def test_a_codec_that_does_not_return_bytes_is_a_type_error():
    class Texts(Complex):
        def encode(self, value):
            return str(value)

    with pytest.raises(TypeError, match="must return bytes"):
        encode_response(1j, Texts())


def test_check_json_names_what_it_looked_at():
    with pytest.raises(ValueError, match=r"scope\['t'\] is nan"):
        check_json({"t": math.nan}, "scope")
