"""Who is asked, and what for: scopes, partitions and keys."""

import re
from collections import ChainMap
from types import MappingProxyType

import pytest
from hypothesis import assume, given, strategies as st

from mneme._rules.binding import Binding
from mneme._rules.keys import canonical_scope, key_of, normalize_query, partition_of

texts = st.text(st.characters(exclude_categories=("Cs",)))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
scopes = st.none() | st.text() | st.dictionaries(st.text(), values, max_size=4)


@given(texts)
def test_normalising_twice_is_normalising_once(text):
    once = normalize_query(text)
    assert normalize_query(once) == once


@given(texts)
def test_a_normalised_query_has_no_superfluous_white_space(text):
    once = normalize_query(text)
    assert once == once.strip()
    assert not re.search(r"\s\s", once)


@pytest.mark.parametrize(
    "spelling", ["what is it?", "  What is\tit? ", "WHAT\u00a0IS\n\n it?", "\u2003what \u2009is it?\r\n"]
)
def test_spellings_of_one_query_are_equal(spelling):
    assert normalize_query(spelling) == "what is it?"


@pytest.mark.parametrize(
    ("one", "other"),
    [("cafe", "café"), ("it is", "itis"), ("not ok", "ok"), ("a?", "a"), ("x²", "x2"), ("1,000", "1000")],
)
def test_what_may_change_the_meaning_is_kept(one, other):
    assert normalize_query(one) != normalize_query(other)


def test_case_folding_is_that_of_unicode():
    assert normalize_query("STRASSE") == normalize_query("straße")


@given(st.dictionaries(st.text(), values, max_size=5), st.randoms())
def test_the_order_of_keys_does_not_matter(scope, random):
    pairs = list(scope.items())
    random.shuffle(pairs)
    assert canonical_scope(dict(pairs)) == canonical_scope(scope)


def test_neither_does_the_order_of_keys_inside():
    assert canonical_scope({"a": {"x": 1, "y": [{"p": 1, "q": 2}]}}) == canonical_scope(
        {"a": {"y": [{"q": 2, "p": 1}], "x": 1}}
    )


def test_nor_does_the_kind_of_mapping():
    plain = {"a": 1, "b": 2}
    assert canonical_scope(MappingProxyType(plain)) == canonical_scope(ChainMap({"a": 1}, {"b": 2}))


def test_the_order_of_a_list_does():
    assert canonical_scope({"a": [1, 2]}) != canonical_scope({"a": [2, 1]})


def test_values_that_look_alike_are_told_apart():
    looks = [1, 1.0, True, "1", "True", "true", "1.0", None, "null", [1], ["1"], {"1": 1}, 0, 0.0, False, "", [], {}]
    canonical = [canonical_scope({"x": value}) for value in looks]
    canonical += [canonical_scope(scope) for scope in (None, "", "1", "null", "{}", {}, '{"x":1}', '""')]
    assert len(set(canonical)) == len(canonical)


def types_of(value):
    """A picture of a value in which 1, 1.0 and True differ."""
    if isinstance(value, dict):
        return {key: types_of(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [types_of(inner) for inner in value]
    return type(value), repr(value)


@given(scopes, scopes)
def test_scopes_share_a_text_only_when_they_are_equal(one, other):
    assert (canonical_scope(one) == canonical_scope(other)) == (types_of(one) == types_of(other))


@pytest.mark.parametrize("scope", [1, ["a"], ("a", "b"), b"a", {"a"}, 1.5, True])
def test_a_scope_that_is_neither_text_nor_mapping_is_a_type_error(scope):
    with pytest.raises(TypeError, match=f"scope must be a string or a mapping.*{type(scope).__name__}"):
        canonical_scope(scope)


@pytest.mark.parametrize(
    ("scope", "error", "says"),
    [
        ({1: "a"}, TypeError, "the key 1"),
        ({"a": (1,)}, TypeError, r"scope\['a'\] is of type tuple"),
        ({"a": {"b": b""}}, TypeError, r"scope\['a'\]\['b'\] is of type bytes"),
        ({"a": float("nan")}, ValueError, "nan"),
        ({"a": 10**5000}, ValueError, "scope cannot be written as JSON"),
    ],
)
def test_a_scope_with_values_that_are_not_json_is_refused(scope, error, says):
    with pytest.raises(error, match=says):
        canonical_scope(scope)


def test_a_scope_that_contains_itself_is_a_value_error():
    scope = {}
    scope["again"] = scope
    with pytest.raises(ValueError, match="contains itself"):
        canonical_scope(scope)


@given(texts, scopes, texts, scopes)
def test_namespace_and_scope_do_not_run_together(namespace, scope, other_namespace, other_scope):
    one, other = canonical_scope(scope), canonical_scope(other_scope)
    assume((namespace, one) != (other_namespace, other))
    assert partition_of(namespace, one) != partition_of(other_namespace, other)


@given(texts.filter(bool), st.data())
def test_the_boundary_between_namespace_and_scope_cannot_be_moved(joined, data):
    cuts = [data.draw(st.integers(0, len(joined))) for _ in range(2)]
    parts = {partition_of(joined[:cut], joined[cut:]) for cut in cuts}
    assert len(parts) == len(set(cuts))


def test_digits_at_the_boundary_do_not_help():
    assert partition_of("1", "0:x") != partition_of("10:x", "")
    assert partition_of("a", "1:b") != partition_of("a1:b", "")


@given(texts, texts)
def test_partitions_and_keys_have_their_lengths(namespace, query):
    partition = partition_of(namespace, "")
    assert (len(partition), len(key_of(partition, query))) == (16, 32)


def test_a_key_depends_on_the_partition_and_the_query():
    keys = {key_of(partition_of(name, scope), query) for name in "ab" for scope in ("", '"s"') for query in "xy"}
    assert len(keys) == 8


# --- calls of functions ----------------------------------------------------------------------------------------------


def ask(question, model="m", /, *rest, temperature=0.0, **more):
    return question


def bind(function=ask, *, query=None, ignore=(), scope=None):
    return Binding(function, query=query, ignore=ignore, scope=scope)


def test_spellings_of_one_call_are_one_request():
    def answer(question, model="m", temperature=0.0):
        return question

    binding = bind(answer)
    requests = [
        binding.request(("q",), {}),
        binding.request(("q", "m"), {"temperature": 0.0}),
        binding.request((), {"temperature": 0.0, "model": "m", "question": "q"}),
    ]
    assert requests == [requests[0]] * 3
    assert requests[0][0] == "q"


def test_every_other_argument_joins_the_scope():
    base = canonical_scope(bind().request(("q",), {})[1])
    for args, kwargs in [(("q", "n"), {}), (("q", "m", 1), {}), (("q",), {"temperature": 1.0}), (("q",), {"x": 1})]:
        assert canonical_scope(bind().request(args, kwargs)[1]) != base
    assert canonical_scope(bind().request(("another",), {})[1]) == base


def test_ignored_arguments_do_not():
    binding = bind(ignore=("temperature",))
    assert binding.request(("q",), {"temperature": 1.0}) == binding.request(("q",), {})


def test_the_scope_of_the_decorator_and_the_function_tell_requests_apart():
    def other(question, model="m", /, *rest, temperature=0.0, **more):
        return question

    found = {
        canonical_scope(binding.request(("q",), {})[1])
        for binding in (bind(), bind(scope="s"), bind(scope={"s": 1}), bind(other), bind(scope={}))
    }
    assert len(found) == 5


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"query": "nobody"}, "no argument 'nobody'"),
        ({"ignore": ("nobody",)}, "no argument 'nobody'"),
        ({"ignore": "temperature"}, r"\('temperature',\)"),
    ],
)
def test_names_that_are_no_arguments_are_a_type_error(options, says):
    with pytest.raises(TypeError, match=says):
        bind(**options)


def test_an_argument_that_is_no_json_value_is_a_type_error_that_names_the_remedy():
    with pytest.raises(TypeError, match=r"argument 'temperature'.*ignore=\('temperature',\)"):
        bind().request(("q",), {"temperature": object()})


def test_a_call_without_a_text_is_a_type_error_that_names_the_remedy():
    with pytest.raises(TypeError, match="query="):
        bind(lambda number: number, scope="s").request((3,), {})
