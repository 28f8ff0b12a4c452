"""Lines that mean the same come together; what only looks alike stays apart, with the reason."""

import pytest

from showcase.work.deduplication import checked_lines, deduplicate, tickets
from showcase.work.inputs import BadInputError


def texts(outcome):
    return [[member.text for member in group.members] for group in outcome.groups]


def test_reports_of_one_trouble_come_together_in_their_order(remembered):
    outcome = deduplicate(tickets(), remembered)
    groups = texts(outcome)
    assert [
        "The app crashes when I upload a photo",
        "App crashes when uploading a photo",
        "Uploading a photo crashes the app",
        "The app crashes when I upload a photo",
    ] in groups
    assert outcome.groups[0].members[-1].layer == "exact"
    assert sum(map(len, groups)) == outcome.lines == len(tickets())
    assert outcome.duplicates == outcome.lines - len(groups)
    assert outcome.vectors == len(groups)


@pytest.mark.parametrize(
    ("one", "other", "guard"),
    [
        ("Version 4.2 does not start", "Version 4.1 does not start", "numbers"),
        ("Dark mode cannot be turned off", "Dark mode cannot be turned on", "opposites"),
        ("The refund for April is missing", "The refund for March is missing", "dates"),
        ("The order from Bergen to Oslo never arrived", "The order from Oslo to Bergen never arrived", "direction"),
    ],
)
def test_what_only_looks_alike_is_kept_apart_by_a_guard_and_comes_together_without(remembered, one, other, guard):
    outcome = deduplicate(tickets(), remembered)
    [pair] = [pair for pair in outcome.guarded if {pair.text, pair.other} == {one, other}]
    assert pair.similarity >= 0.8
    assert pair.guard.startswith(f"{guard}:")
    without = deduplicate(tickets(), remembered, guards=False)
    assert without.guarded == ()
    assert any({one, other} <= set(group) for group in texts(without))


def test_a_higher_threshold_makes_more_groups_and_shows_what_is_just_below(remembered):
    low, high = (deduplicate(tickets(), remembered, threshold=threshold) for threshold in (0.7, 0.95))
    assert len(low.groups) < len(high.groups)
    assert high.near
    assert all(0.85 <= pair.similarity < 0.95 for pair in high.near)


def test_a_line_that_the_embedder_cannot_read_is_told_and_equals_itself(remembered):
    outcome = deduplicate(["\N{GRINNING FACE}", "Hello there", "\N{GRINNING FACE}"], remembered)
    assert texts(outcome) == [["\N{GRINNING FACE}"] * 2, ["Hello there"]]
    [(line, why)] = outcome.unread
    assert line == "\N{GRINNING FACE}"
    assert "no token" in why
    assert outcome.vectors == 1


@pytest.mark.parametrize(
    ("text", "says"), [(" \n ", "no lines"), ("a\n" * 201, "paste fewer"), ("a\n" + "b" * 301, "line 2 has 301")]
)
def test_lines_that_cannot_be_used_are_refused(text, says):
    with pytest.raises(BadInputError, match=says):
        checked_lines(text)


@pytest.mark.parametrize("threshold", [0.4, 1.0, float("nan")])
def test_a_threshold_out_of_range_is_refused(remembered, threshold):
    with pytest.raises(BadInputError, match="threshold"):
        deduplicate(["a"], remembered, threshold=threshold)


def test_blank_lines_are_left_out():
    assert checked_lines("one\n\n  two \n") == ["one", "two"]
