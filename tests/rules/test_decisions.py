"""Eviction, matching, confidence and vectors, as pure decisions."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from mneme import EmbedderDimensionError, half_life
from mneme._rules.eviction import plan
from mneme._rules.matching import RESOLUTION, confidence_of, judge
from mneme._rules.options import default_validator, make_options
from mneme._rules.vectors import unit_matrix, unit_vector
from mneme.ports import Record

NOW = 1_700_000_000.0


def options(**changes):
    defaults = {
        "default_ttl": None,
        "max_entries": None,
        "namespace_quotas": None,
        "confidence_fn": None,
        "min_confidence": None,
        "validator": None,
        "normalize": True,
        "codec": None,
        "vector_dtype": "float32",
        "max_query_bytes": 100,
        "max_response_bytes": 100,
        "max_metadata_bytes": 100,
    }
    return make_options(**{**defaults, **changes})


def record(**changes):
    fields = {
        "key": bytes(32),
        "partition": bytes(16),
        "namespace": "default",
        "scope": "",
        "query": "q",
        "payload": b"a",
        "codec": "text",
        "metadata": "",
        "tags": (),
        "created_at": NOW,
        "accessed_at": NOW,
        "expires_at": None,
        "removable_at": None,
        "compute_seconds": 0.0,
    }
    return Record(**{**fields, **changes})


# --- eviction --------------------------------------------------------------------------------------------------------

namespaces = st.sampled_from("abcd")
counts = st.dictionaries(namespaces, st.integers(0, 2000))
quotas = st.dictionaries(namespaces, st.integers(0, 2000))
caps = st.none() | st.integers(1, 4000)


def carried_out(entries, steps):
    """How many entries are left of each namespace; the global step takes from whichever has most."""
    left = dict(entries)
    for namespace, count in steps:
        if namespace is not None:
            left[namespace] -= count
            continue
        for _ in range(count):
            left[max(left, key=left.get)] -= 1
    return left


@given(counts, quotas, caps)
def test_after_an_eviction_every_cap_holds(entries, quota, cap):
    left = carried_out(entries, plan(entries, quota, cap))
    assert all(count >= 0 for count in left.values())
    assert all(left.get(namespace, 0) <= limit for namespace, limit in quota.items())
    assert cap is None or sum(left.values()) <= cap


@given(counts, quotas, caps)
def test_no_more_is_evicted_than_a_small_share_below_the_cap(entries, quota, cap):
    for namespace, count in plan(entries, quota, cap):
        limit = cap if namespace is None else quota[namespace]
        before = sum(entries.values()) if namespace is None else entries[namespace]
        assert 0 < count <= max(before - limit, 0) + limit // 256
    left = carried_out(entries, plan(entries, quota, cap))
    assert plan(left, quota, cap) == []


@given(counts, quotas, caps)
def test_quotas_come_before_the_global_cap_and_count_towards_it(entries, quota, cap):
    steps = plan(entries, quota, cap)
    assert [namespace is None for namespace, _ in steps] == sorted(namespace is None for namespace, _ in steps)
    within = sum(min(count, quota.get(namespace, count)) for namespace, count in entries.items())
    if cap is not None and within <= cap:
        assert all(namespace is not None for namespace, _ in steps)


@given(st.integers(1, 255), st.integers(0, 1000))
def test_a_small_cap_is_met_exactly(cap, entries):
    assert sum(carried_out({"a": entries}, plan({"a": entries}, {}, cap)).values()) == min(cap, entries)


# --- matching --------------------------------------------------------------------------------------------------------

unit = st.floats(0, 1)


@given(unit, unit, unit)
def test_a_stricter_threshold_never_accepts_more(similarity, one, other):
    loose, strict = sorted((one, other))

    def accepted(threshold):
        verdict = judge(record(), "a", similarity=similarity, threshold=threshold, now=NOW, options=options())
        return verdict.reason == "accepted"

    assert accepted(strict) <= accepted(loose)


@given(unit)
def test_a_similarity_at_the_threshold_answers(threshold):
    for similarity in (threshold, threshold - RESOLUTION / 2):
        verdict = judge(record(), "a", similarity=similarity, threshold=threshold, now=NOW, options=options())
        assert verdict.reason == "accepted"
    below = judge(record(), "a", similarity=threshold - 2 * RESOLUTION, threshold=threshold, now=NOW, options=options())
    assert below.reason == "below_threshold"


@given(unit, unit, unit)
def test_a_stricter_confidence_never_accepts_more(confidence, one, other):
    loose, strict = sorted((one, other))

    def accepted(least):
        opts = options(min_confidence=least, confidence_fn=lambda similarity, age: confidence)
        return judge(record(), "a", similarity=1.0, threshold=0.5, now=NOW, options=opts).reason == "accepted"

    assert accepted(strict) <= accepted(loose)
    assert accepted(confidence)


def test_the_first_objection_is_the_one_that_is_told():
    dead = record(expires_at=NOW, removable_at=NOW)
    opts = options(validator=lambda response: False, min_confidence=1.0, confidence_fn=lambda s, a: 0.0)
    verdict = judge(dead, "a", similarity=0.1, threshold=0.9, now=NOW, options=opts)
    assert (verdict.reason, verdict.remove) == ("expired", True)
    verdict = judge(record(), "a", similarity=0.1, threshold=0.9, now=NOW, options=opts)
    assert (verdict.reason, verdict.remove) == ("below_threshold", False)
    verdict = judge(record(), "a", similarity=0.9, threshold=0.9, now=NOW, options=opts)
    assert (verdict.reason, verdict.remove) == ("rejected", True)
    opts = options(min_confidence=1.0, confidence_fn=lambda s, a: 0.0)
    verdict = judge(record(), "a", similarity=0.9, threshold=0.9, now=NOW, options=opts)
    assert (verdict.reason, verdict.remove, verdict.confidence) == ("low_confidence", False, 0.0)


def test_an_entry_that_may_be_served_stale_is_expired_but_not_removed():
    stale = record(expires_at=NOW, removable_at=NOW + 1)
    verdict = judge(stale, "a", similarity=1.0, threshold=0.9, now=NOW, options=options())
    assert (verdict.reason, verdict.stale, verdict.remove) == ("expired", True, False)


def test_a_validator_that_raises_on_reading_keeps_the_entry_out_without_removing_it(caplog):
    def validator(response):
        raise RuntimeError("validator")

    verdict = judge(record(), "a", similarity=1.0, threshold=0.9, now=NOW, options=options(validator=validator))
    assert (verdict.reason, verdict.remove) == ("rejected", False)
    assert "the validator raised" in caplog.text


def test_a_confidence_function_that_raises_or_returns_rubbish_is_no_confidence(caplog):
    def raising(similarity, age):
        raise RuntimeError("confidence")

    assert confidence_of(1.0, 0.0, options(confidence_fn=raising)) == 0.0
    assert "confidence_fn raised" in caplog.text
    assert confidence_of(1.0, 0.0, options(confidence_fn=lambda s, a: "rubbish")) == 0.0
    rubbish = options(min_confidence=0.1, confidence_fn=lambda s, a: math.nan)
    assert judge(record(), "a", similarity=1.0, threshold=0.9, now=NOW, options=rubbish).reason == "low_confidence"


def test_the_age_of_an_entry_from_the_future_is_zero():
    ages = []
    opts = options(confidence_fn=lambda similarity, age: ages.append(age) or 1.0)
    verdict = judge(record(created_at=NOW + 5), "a", similarity=1.0, threshold=0.9, now=NOW, options=opts)
    assert ages == [0.0]
    assert verdict.age_seconds == 0.0


@pytest.mark.parametrize("response", ["", " \n\t", "[ERROR] no", "[LLM Error] no"])
def test_the_default_validator_refuses_what_is_no_answer(response):
    assert not default_validator(response)


@pytest.mark.parametrize("response", ["yes", " [ERROR]", "error", b"", None, 0, [], {}, False])
def test_the_default_validator_lets_everything_else_pass(response):
    assert default_validator(response)


# --- confidence ------------------------------------------------------------------------------------------------------


@given(st.floats(0.01, 1e4), unit, st.integers(0, 5))
def test_a_half_life_halves(hours, similarity, times):
    assert half_life(hours)(similarity, times * hours * 3600) == pytest.approx(similarity / 2**times)


@given(st.floats(0.01, 1e4), unit, st.floats(0, 1e12), st.floats(0, 1e12))
def test_confidence_never_grows_with_age(hours, similarity, one, other):
    young, old = sorted((one, other))
    decay = half_life(hours)
    assert 0 <= decay(similarity, old) <= decay(similarity, young) <= similarity


@pytest.mark.parametrize("hours", [0, -1, math.nan])
def test_a_half_life_that_is_not_positive_is_a_value_error(hours):
    with pytest.raises(ValueError, match="hours must be positive"):
        half_life(hours)


@pytest.mark.parametrize("hours", ["24", None, True])
def test_a_half_life_that_is_no_number_is_a_type_error(hours):
    with pytest.raises(TypeError, match="hours must be a number"):
        half_life(hours)


# --- vectors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given_vector",
    [
        [3, 4, 0],
        (3.0, 4.0, 0.0),
        np.array([3, 4, 0], np.int8),
        np.array([3, 4, 0], np.uint64),
        np.array([3, 4, 0], np.float16),
        np.array([3, 4, 0], np.float64) * 1e-300,
        np.array([3, 4, 0], np.float64) * 1e300,
        np.array([3e-38, 4e-38, 0], np.float32),
        np.array([1.5e38, 2e38, 0], np.float32),
        np.array([3e-45, 4e-45, 0], np.float64),
        np.array([3, 9, 4, 9, 0, 9], np.float32)[::2],
        [3 * 2**60, 4 * 2**60, 0],
    ],
    ids=str,
)
def test_any_real_vector_becomes_one_of_unit_length(given_vector):
    unit = unit_vector(given_vector, 3)
    assert unit.dtype == np.float32
    assert unit.flags.c_contiguous
    assert unit == pytest.approx([0.6, 0.8, 0.0], abs=1e-6)


vectors = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=20).filter(any)


@given(vectors)
def test_length_is_one_whatever_it_was(values):
    unit = unit_vector(np.array(values, np.float32), len(values))
    assert np.linalg.norm(unit.astype(np.float64)) == pytest.approx(1.0, abs=1e-6)
    assert np.array_equal(unit_matrix([values], 1, len(values))[0], unit)


def test_the_callers_array_is_neither_changed_nor_kept():
    mine = np.array([0.6, 0.8], np.float32)
    unit = unit_vector(mine, 2)
    mine[:] = 7
    assert unit == pytest.approx([0.6, 0.8])


@pytest.mark.parametrize("shape", [(2,), (4,), (1, 3), (3, 1), (), (0,)])
def test_another_shape_is_a_dimension_error_that_names_both(shape):
    with pytest.raises(EmbedderDimensionError, match=rf"{str(shape)[:-1]}.*\(3,\)".replace("(", r"\(", 1)):
        unit_vector(np.ones(shape), 3)


@pytest.mark.parametrize(
    "rubbish",
    ["abc", None, object(), [1, "a", 2], [True, False, True], [1j, 2, 3], [[1], [2, 3]], {"a": 1}, [None] * 3],
)
def test_what_is_not_made_of_real_numbers_is_a_type_error(rubbish):
    with pytest.raises(TypeError, match=f"array of real numbers, not {type(rubbish).__name__}"):
        unit_vector(rubbish, 3)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinities_are_a_value_error(value):
    with pytest.raises(ValueError, match="NaN or an infinity"):
        unit_vector([1.0, value, 0.0], 3)
    with pytest.raises(ValueError, match="NaN or an infinity"):
        unit_matrix([[1.0, 0.0], [value, 0.0]], 2, 2)


def test_zero_has_no_direction():
    with pytest.raises(ValueError, match="zero"):
        unit_vector([0.0, -0.0], 2)
    with pytest.raises(ValueError, match="zero"):
        unit_matrix([[1.0, 0.0], [0.0, 0.0]], 2, 2)


@pytest.mark.parametrize("shape", [(2, 3), (3, 2, 1), (6,), (3, 3)])
def test_a_batch_of_another_shape_is_a_dimension_error(shape):
    with pytest.raises(EmbedderDimensionError, match=r"3 texts.*\(3, 2\)"):
        unit_matrix(np.ones(shape), 3, 2)
