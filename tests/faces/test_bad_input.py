"""Every wrong argument of every verb: what is raised, what it says, and that nothing has changed."""

import math

import pytest

from faces.adapter import DIM
from mneme import EmbedderDimensionError, QuantizationError

SURROGATE = "broken \ud800"
NAN_VECTOR = [math.nan] + [0.0] * (DIM - 1)
INF_VECTOR = [math.inf] + [0.0] * (DIM - 1)

# Argument, wrong value, error, what the message says: for every verb that has the argument.
SHARED = [
    ("query", "", ValueError, "query is empty"),
    ("query", " \n\t\u3000", ValueError, "query is empty"),
    ("query", None, TypeError, "query must be a str, not NoneType"),
    ("query", 5, TypeError, "query must be a str, not int"),
    ("query", b"rain", TypeError, "query must be a str, not bytes"),
    ("query", ["rain"], TypeError, "query must be a str, not list"),
    ("query", "x" * 101, ValueError, "query has 101 bytes, more than the 100 allowed"),
    ("query", "ä" * 51, ValueError, "query has 102 bytes, more than the 100 allowed"),
    ("query", SURROGATE, ValueError, "query holds a lone surrogate"),
    ("namespace", "", ValueError, "namespace is empty"),
    ("namespace", "  ", ValueError, "namespace is empty"),
    ("namespace", 5, TypeError, "namespace must be a str, not int"),
    ("namespace", ["n"], TypeError, "namespace must be a str, not list"),
    ("namespace", b"n", TypeError, "namespace must be a str, not bytes"),
    ("namespace", "n" * 513, ValueError, "namespace has 513 bytes, more than the 512 allowed"),
    ("namespace", SURROGATE, ValueError, "namespace holds a lone surrogate"),
    ("scope", 5, TypeError, "scope must be a string or a mapping of JSON values, not int"),
    ("scope", ["s"], TypeError, "scope must be a string or a mapping of JSON values, not list"),
    ("scope", {"t": (1,)}, TypeError, r"scope\['t'\] is of type tuple"),
    ("scope", {"t": {1}}, TypeError, r"scope\['t'\] is of type set"),
    ("scope", {1: "t"}, TypeError, "scope has the key 1; keys must be strings"),
    ("scope", {"t": math.nan}, ValueError, r"scope\['t'\] is nan"),
    ("embedding", NAN_VECTOR, ValueError, "NaN or an infinity"),
    ("embedding", INF_VECTOR, ValueError, "NaN or an infinity"),
    ("embedding", [0.0] * DIM, ValueError, "zero"),
    ("embedding", [1.0] * (DIM - 1), EmbedderDimensionError, rf"\({DIM - 1},\).*\({DIM},\)"),
    ("embedding", [[1.0] * DIM], EmbedderDimensionError, rf"\(1, {DIM}\).*\({DIM},\)"),
    ("embedding", "vector", TypeError, "array of real numbers, not str"),
    ("embedding", [True] * DIM, TypeError, "array of real numbers"),
    ("similarity_threshold", 1.1, ValueError, "similarity_threshold must be from 0 to 1.*1.1"),
    ("similarity_threshold", -1, ValueError, "similarity_threshold must be from 0 to 1.*-1"),
    ("similarity_threshold", math.nan, ValueError, "similarity_threshold must be from 0 to 1.*nan"),
    ("similarity_threshold", "0.9", TypeError, "similarity_threshold must be a number from 0 to 1, not str"),
    ("similarity_threshold", True, TypeError, "similarity_threshold must be a number from 0 to 1, not bool"),
    ("k", 0, ValueError, "k must be at least 1, got 0"),
    ("k", 1.5, TypeError, "k must be a whole number, not float"),
    ("k", "5", TypeError, "k must be a whole number, not str"),
    ("response", (1, 2), TypeError, "tuple, which would not come back as it went in.*codec="),
    ("response", {1: 2}, TypeError, "the key 1; keys must be strings"),
    ("response", {1, 2}, TypeError, "of type set"),
    ("response", math.nan, ValueError, "nan"),
    ("response", [[math.inf]], ValueError, "inf"),
    ("response", object(), TypeError, "of type object"),
    ("response", "x" * 201, ValueError, "the response takes 201 bytes, more than max_response_bytes=200"),
    ("response", b"x" * 201, ValueError, "the response takes 201 bytes, more than max_response_bytes=200"),
    ("metadata", "text", TypeError, "metadata must be a mapping of JSON values, not str"),
    ("metadata", [("a", 1)], TypeError, "metadata must be a mapping of JSON values, not list"),
    ("metadata", {"a": (1,)}, TypeError, r"metadata\['a'\] is of type tuple"),
    ("metadata", {"a": "x" * 100}, ValueError, "the metadata takes 108 bytes, more than max_metadata_bytes=100"),
    ("ttl", 0, ValueError, r"ttl must be positive, got 0.*float\('inf'\)"),
    ("ttl", -5, ValueError, "ttl must be positive, got -5"),
    ("ttl", math.nan, ValueError, "ttl must be positive, got nan"),
    ("ttl", "soon", ValueError, "ttl 'soon' is not a duration; write it like '90s'"),
    ("ttl", True, TypeError, "ttl must be seconds, a timedelta or text.*bool"),
    ("ttl", [5], TypeError, "ttl must be seconds, a timedelta or text.*list"),
    ("ttl", 10**400, ValueError, "ttl is too large"),
    ("tags", "tag", TypeError, r"tags must be a collection of strings, like \('a', 'b'\), not 'tag'"),
    ("tags", 5, TypeError, "tags must be a collection of strings.*not 5"),
    ("tags", [1], TypeError, "tag must be a str, not int"),
    ("tags", [""], ValueError, "tag is empty"),
    ("tags", ["t" * 513], ValueError, "tag has 513 bytes"),
    ("tags", [SURROGATE], ValueError, "tag holds a lone surrogate"),
    ("compute", None, TypeError, "compute must be callable with the query, not NoneType"),
    ("compute", "text", TypeError, "compute must be callable with the query, not str"),
    ("cost", -0.5, ValueError, "cost must be a finite amount, 0 or more, got -0.5"),
    ("cost", math.nan, ValueError, "cost must be a finite amount"),
    ("cost", math.inf, ValueError, "cost must be a finite amount"),
    ("cost", 10**400, ValueError, "cost is too large"),
    ("cost", "0.1", TypeError, "cost must be a number, not str"),
    ("cost", True, TypeError, "cost must be a number, not bool"),
    ("cost", None, TypeError, "cost must be a number, not NoneType"),
    ("jitter", 1, ValueError, "jitter must be at least 0 and below 1, got 1"),
    ("jitter", -0.1, ValueError, "jitter must be at least 0 and below 1, got -0.1"),
    ("jitter", "0.1", TypeError, "jitter must be a number, not str"),
    ("stale_ttl", 0, ValueError, "stale_ttl must be positive, got 0"),
    ("stale_ttl", "x", ValueError, "stale_ttl 'x' is not a duration"),
    ("stale_on_error", True, ValueError, "stale_on_error needs stale_ttl="),
    ("single_flight", "none", ValueError, "single_flight must be 'exact' or 'semantic', got 'none'"),
    ("single_flight", ["exact"], ValueError, "single_flight must be 'exact' or 'semantic'"),
    ("query_or_hit", None, TypeError, "query must be a str, not NoneType|query_or_hit"),
    ("query_or_hit", 7, TypeError, "query must be a str, not int|query_or_hit"),
    ("query_or_hit", "", ValueError, "query is empty"),
    ("older_than", 0, ValueError, "older_than must be positive, got 0"),
    ("older_than", "x", ValueError, "older_than 'x' is not a duration"),
    ("older_than", False, TypeError, "older_than must be seconds, a timedelta or text.*bool"),
    ("contains", "", ValueError, "contains is empty"),
    ("contains", 5, TypeError, "contains must be a str, not int"),
    ("after", -1, ValueError, "after must be at least 0, got -1"),
    ("after", "1", TypeError, "after must be a whole number, not str"),
    ("limit", 0, ValueError, "limit must be at least 1, got 0"),
    ("limit", None, TypeError, "limit must be a whole number, not NoneType"),
    ("dtype", "int4", QuantizationError, "'int4' is unknown; use one of float32, float16, int8"),
    ("dtype", None, QuantizationError, "None is unknown; use one of float32, float16, int8"),
    ("threshold", 2, ValueError, "threshold must be from 0 to 1.*2"),
    ("threshold", None, TypeError, "threshold must be a number from 0 to 1, not NoneType"),
    ("queries", "text", TypeError, "queries must be a sequence of strings; for one query use get"),
    ("queries", b"text", TypeError, "queries must be a sequence of strings; for one query use get"),
    ("queries", None, TypeError, "queries must be a sequence of strings, not NoneType"),
    ("queries", 5, TypeError, "queries must be a sequence of strings, not int"),
    ("queries", {"a", "b"}, TypeError, "queries must be a sequence of strings, not set"),
    ("queries", ["a", None], TypeError, "query must be a str, not NoneType"),
    ("queries", ["a", ""], ValueError, "query is empty"),
    ("embeddings", [], ValueError, "0 embeddings were given for 1 queries"),
    ("embeddings", [None, None], ValueError, "2 embeddings were given for 1 queries"),
    ("embeddings", [NAN_VECTOR], ValueError, "NaN or an infinity"),
    ("embeddings", 5, TypeError, "embeddings must be a sequence.*int"),
    ("items", None, TypeError, "items must be an iterable of .*pairs.*NoneType"),
    ("items", 5, TypeError, "items must be an iterable of .*pairs.*int"),
    ("items", ["text"], TypeError, r"item 0 must be a \(query, response\) pair or a mapping, not str"),
    ("items", [("q",)], TypeError, r"item 0 must be a \(query, response\) pair"),
    ("items", {"query": "response"}, TypeError, r"item 0 must be a \(query, response\) pair or a mapping, not str"),
    (
        "items",
        [{"query": "a", "response": "b", "tag": "c"}],
        TypeError,
        "item 0 has the unknown key 'tag'; put has.*tags",
    ),
    ("items", [{"query": "a"}], TypeError, "item 0 lacks 'response'"),
]

LOOKING = {"query": "sun @90", "embedding": None, "namespace": "default", "scope": None}
PUTTING = {"metadata": None, "ttl": None, "tags": (), "cost": 0.0}
VERBS = {
    "get": {**LOOKING, "similarity_threshold": None},
    "get_many": {
        "queries": ["sun @90"],
        "embeddings": None,
        "namespace": "n",
        "scope": None,
        "similarity_threshold": 0.5,
    },
    "lookup": {**LOOKING, "k": 5},
    "explain": {**LOOKING, "k": 5, "similarity_threshold": None},
    "entries": {"namespace": None, "tags": None, "contains": None, "after": 0, "limit": 10},
    "put": {**LOOKING, "response": "hot", **PUTTING},
    "put_many": {"items": [("sun @90", "hot")], "namespace": "default", "scope": None, **PUTTING},
    "get_or_compute": {
        **LOOKING,
        "compute": str,
        "similarity_threshold": None,
        **PUTTING,
        "jitter": 0.0,
        "stale_ttl": None,
        "stale_on_error": False,
        "single_flight": "exact",
    },
    "delete": {"query_or_hit": "sun @90", "namespace": "default", "scope": None},
    "invalidate": {"tags": None, "namespace": None, "scope": None, "older_than": None},
    "clear_namespace": {"namespace": "n"},
    "vacuum": {"namespace": None},
    "stats": {"namespace": None},
    "requantize": {"dtype": "int8"},
    "set_similarity_threshold": {"threshold": 0.5},
}

CASES = [
    pytest.param(verb, argument, value, error, says, id=f"{verb}-{argument}-{position}")
    for verb, arguments in VERBS.items()
    for position, (argument, value, error, says) in enumerate(SHARED)
    if argument in arguments
]


@pytest.mark.parametrize(("verb", "argument", "value", "error", "says"), CASES)
def test_a_wrong_argument_is_refused_and_nothing_changes(  # noqa: PLR0917 -- a row of the table
    open_cache, compass, verb, argument, value, error, says
):
    cache = open_cache(max_query_bytes=100, max_response_bytes=200, max_metadata_bytes=100)
    cache.put("rain @0", "water", tags=["t"])
    before, calls = cache.entries(), len(compass.calls)
    stats = cache.stats()
    with pytest.raises(error, match=says):
        getattr(cache, verb)(**{**VERBS[verb], argument: value})
    assert cache.entries() == before
    assert cache.stats() == stats
    assert len(compass.calls) == calls
    assert cache.similarity_threshold == 0.85


def test_every_argument_of_every_verb_is_in_the_table(face):
    import inspect

    untested = {
        (verb, name)
        for verb, arguments in VERBS.items()
        for name in inspect.signature(getattr(face.cls, verb)).parameters
        if name not in {"self", "bypass", "compact"} and name not in arguments
    }
    assert untested == set()
    assert {argument for argument, *_ in SHARED} == {name for arguments in VERBS.values() for name in arguments}
