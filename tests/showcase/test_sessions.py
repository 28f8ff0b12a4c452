"""What belongs to one browser is found again, is nobody else's, and does not pile up."""

import pytest

from showcase.work.sessions import Sessions, new_name


def test_a_name_finds_its_own_and_another_name_something_else():
    sessions = Sessions(lambda name: [name])
    one, other = new_name(), new_name()
    assert sessions.of(one) is sessions.of(one)
    assert sessions.of(one) is not sessions.of(other)


def test_of_too_many_the_one_unused_longest_goes_and_is_ended():
    ended = []
    sessions = Sessions(lambda name: name, most=2, end=ended.append)
    first, second, third = new_name(), new_name(), new_name()
    for name in (first, second, first, third):
        sessions.of(name)
    assert ended == [second]
    assert len(sessions) == 2


@pytest.mark.parametrize("name", ["", "x", "../../etc/passwd/and/so", "ä" * 22, "a" * 23, "<script>alert(1)</scrip"])
def test_a_name_that_somebody_made_up_makes_nothing(name):
    sessions = Sessions(lambda name: name)
    with pytest.raises(ValueError, match="no name of a session"):
        sessions.of(name)
    assert len(sessions) == 0


def test_what_is_not_made_yet_is_not_made_by_looking():
    sessions = Sessions(lambda name: [name])
    one = new_name()
    assert sessions.known(one) is None
    assert sessions.known("made up") is None
    made = sessions.of(one)
    assert sessions.known(one) is made


def test_no_session_is_no_place():
    with pytest.raises(ValueError, match="at least 1"):
        Sessions(lambda name: name, most=0)
