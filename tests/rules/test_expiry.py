"""Durations and deadlines."""

import math
from datetime import timedelta

import pytest
from hypothesis import given, strategies as st

from mneme._rules.expiry import deadlines, fraction, is_expired, seconds

keys = st.binary(min_size=32, max_size=32)
times = st.floats(1.0e9, 2.0e9)
lives = st.floats(1e-3, 1e9)


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (None, None),
        (90, 90.0),
        (0.25, 0.25),
        (math.inf, math.inf),
        (timedelta(minutes=2, milliseconds=5), 120.005),
        ("90s", 90.0),
        ("1h30m", 5400.0),
        ("1h 30m", 5400.0),
        (" 2D ", 172_800.0),
        ("1w", 604_800.0),
        ("500ms", 0.5),
        ("1.5h", 5400.0),
        ("30m1h", 5400.0),
        ("1d2h3m4s5ms", 93_784.005),
    ],
)
def test_every_form_of_a_duration_is_understood(duration, expected):
    assert seconds(duration) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text",
    ["", " ", "s", "90", "1.h", ".5h", "1h30", "h1", "1y", "-1s", "1h-1m", "1h,30m", "inf", "nan", "1e3s", "1m m"],
)
def test_text_that_is_no_duration_is_a_value_error_that_shows_how(text):
    with pytest.raises(ValueError, match="write it like '90s', '1h30m' or '2d'"):
        seconds(text)


@pytest.mark.parametrize("duration", [0, 0.0, -1, -0.5, -math.inf, math.nan, timedelta(0), timedelta(-1), "0s"])
def test_a_duration_that_is_not_positive_is_a_value_error_that_names_the_remedy(duration):
    with pytest.raises(ValueError, match=r"must be positive.*float\('inf'\)"):
        seconds(duration)


@pytest.mark.parametrize("duration", [True, False, b"90s", [90], (1, 2), {}, 1j, object()])
def test_what_is_no_kind_of_duration_is_a_type_error(duration):
    with pytest.raises(TypeError, match=f"ttl must be seconds, a timedelta or text like.*{type(duration).__name__}"):
        seconds(duration)


def test_an_int_beyond_all_floats_is_a_value_error():
    with pytest.raises(ValueError, match=r"too large.*float\('inf'\)"):
        seconds(10**400)


def test_the_error_names_the_argument():
    with pytest.raises(ValueError, match="stale_ttl must be positive"):
        seconds(0, "stale_ttl")


units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@given(st.lists(st.tuples(st.integers(1, 999), st.sampled_from(sorted(units))), min_size=1, max_size=5))
def test_the_parts_of_a_text_add_up(parts):
    text = "".join(f"{number}{unit}" for number, unit in parts)
    assert seconds(text) == pytest.approx(sum(number * units[unit] for number, unit in parts))


@pytest.mark.parametrize("value", [0, 0.0, 0.5, 0.999])
def test_a_fraction_is_below_one(value):
    assert fraction(value, "jitter") == value


@pytest.mark.parametrize("value", [1, 1.0, -0.1, math.nan, math.inf, 10**400])
def test_what_is_outside_is_a_value_error(value):
    with pytest.raises(ValueError, match="jitter must be at least 0 and below 1"):
        fraction(value, "jitter")


@pytest.mark.parametrize("value", ["0.5", None, True, [0.5]])
def test_a_fraction_of_another_type_is_a_type_error(value):
    with pytest.raises(TypeError, match=f"jitter must be a number, not {type(value).__name__}"):
        fraction(value, "jitter")


@given(times, lives, keys)
def test_without_jitter_an_entry_lives_exactly_its_ttl(now, ttl, key):
    assert deadlines(now, ttl, key=key) == (now + ttl, now + ttl)


@given(times, keys, st.floats(0, 0.99))
def test_without_a_ttl_it_lives_for_ever(now, key, jitter):
    for ttl in (None, math.inf):
        assert deadlines(now, ttl, key=key, jitter=jitter, stale=5.0) == (None, None)


@given(times, lives, keys, st.floats(0, 0.99))
def test_jitter_only_shortens_and_by_no_more_than_asked(now, ttl, key, jitter):
    expires, removable = deadlines(now, ttl, key=key, jitter=jitter)
    assert now + ttl * (1 - jitter) <= expires <= now + ttl
    assert removable == expires
    assert deadlines(now, ttl, key=key, jitter=jitter) == (expires, removable)


@given(times, st.floats(0.1, 0.9))
def test_entries_written_together_expire_apart(now, jitter):
    found = {deadlines(now, 1e6, key=bytes([n]) * 32, jitter=jitter)[0] for n in range(0, 256, 8)}
    assert len(found) == 32


@given(times, lives, keys, lives, st.floats(0, 0.99))
def test_an_entry_that_may_be_served_stale_is_kept_that_much_longer(now, ttl, key, stale, jitter):
    expires, removable = deadlines(now, ttl, key=key, jitter=jitter, stale=stale)
    assert removable == expires + stale
    assert deadlines(now, ttl, key=key, jitter=jitter, stale=math.inf) == (expires, None)


@given(times)
def test_at_the_very_moment_an_entry_is_gone(moment):
    assert is_expired(moment, moment)
    assert not is_expired(moment, math.nextafter(moment, 0))
    assert is_expired(moment, math.nextafter(moment, math.inf))
    assert not is_expired(None, moment)
