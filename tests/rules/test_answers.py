"""Whether two responses are the same answer."""

import json
import operator

import pytest
from hypothesis import given, strategies as st

from mneme._rules.answers import are_equal, same_answer
from mneme._rules.codec import encode_response
from mneme.ports import Record

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
responses = st.text() | st.binary() | json_values


class Complex:
    """Encodes complex numbers."""

    name = "complex"

    def encode(self, value):
        return repr(value).encode()

    def decode(self, payload):
        return complex(payload.decode())


def entry(response, codec=None):
    name, payload = encode_response(response, codec)
    return Record(bytes(32), bytes(16), "default", "", "q", payload, name, "", (), 0.0, 0.0, None, None, 0.0)


def same(one, other, codec=None, value_eq=operator.eq):
    return same_answer(entry(one, codec), entry(other, codec), codec=codec, value_eq=value_eq)


@given(responses, responses)
def test_by_default_answers_are_the_same_if_they_are_equal(one, other):
    assert same(one, other) == (one == other)


@given(responses)
def test_an_answer_is_the_same_as_itself(response):
    assert same(response, response)


def test_json_objects_are_compared_as_values_not_as_texts():
    assert same({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert same([1, 2.0], [1.0, 2])
    assert not same([1, 2], [2, 1])


def test_a_text_is_not_the_same_as_its_bytes():
    assert not same("rain", b"rain")


def test_equal_bytes_are_equal_without_asking_the_function():
    def value_eq(one, other):
        raise AssertionError

    assert same("rain", "rain", value_eq=value_eq)
    assert same({"a": [1]}, {"a": [1]}, value_eq=value_eq)


def test_the_function_decides_about_all_others():
    def by_digits(one, other):
        return "".join(filter(str.isdigit, one)) == "".join(filter(str.isdigit, other))

    assert same("7 days", "within 7 days", value_eq=by_digits)
    assert not same("7 days", "8 days", value_eq=by_digits)


def test_responses_of_a_codec_are_decoded_to_be_compared():
    assert same(1 + 0j, complex(1, -0.0), Complex())
    assert not same(1 + 2j, 1 + 3j, Complex())


def test_what_cannot_be_decoded_is_a_different_answer(caplog):
    with_codec = entry(1 + 2j, Complex())
    assert not same_answer(with_codec, entry("rain"), codec=None, value_eq=operator.eq)
    assert not same_answer(entry({}), with_codec._replace(codec="json"), codec=None, value_eq=operator.eq)
    assert [record.message for record in caplog.records] == [
        "a response that cannot be decoded counts as a different answer"
    ] * 2


class Unsure:
    def __bool__(self):
        raise ValueError


@pytest.mark.parametrize("value_eq", [lambda one, other: one["missing"], lambda one, other: Unsure()])
def test_a_function_that_raises_makes_the_answers_different(value_eq, caplog):
    assert not are_equal({}, {}, value_eq)
    assert not same({"a": 1}, {"a": 2}, value_eq=value_eq)
    assert [record.message for record in caplog.records] == [
        "value_eq raised; the two responses count as different answers"
    ] * 2


@pytest.mark.parametrize("result", [1, "yes", [0]])
def test_whatever_is_true_means_the_same(result):
    assert are_equal(json.loads("1"), 2, lambda one, other: result)
