"""Searches share a partition; a change that overwrites rows has it alone."""

import threading
import time

import pytest

from mneme.indexes._gate import Gate


def _until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.001)


def test_readers_are_inside_at_the_same_time():
    gate = Gate()
    meeting = threading.Barrier(3, timeout=30)

    def read():
        with gate.shared():
            meeting.wait()

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    read()
    for thread in threads:
        thread.join()


def test_a_writer_waits_for_the_readers_inside_and_holds_back_those_who_come_later():
    gate = Gate()
    log = []

    def write():
        with gate.exclusive():
            log.append("changed")

    def read():
        with gate.shared():
            log.append("read")

    writer, late = threading.Thread(target=write), threading.Thread(target=read)
    with gate.shared():
        writer.start()
        _until(gate._turnstile.locked)
        late.start()
        log.append("left")
    writer.join()
    late.join()
    assert log == ["left", "changed", "read"]


def test_the_gate_opens_again_after_an_error_inside():
    gate = Gate()
    for enter in (gate.shared, gate.exclusive, gate.shared):
        with pytest.raises(KeyError), enter():
            {}["missing"]
    with gate.exclusive():
        assert gate._room.locked()
    assert not gate._room.locked()
