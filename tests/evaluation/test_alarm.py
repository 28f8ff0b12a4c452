"""The evaluation of the alarm simulates the alarm."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from mneme._rules import drift

SOURCE = Path(__file__).parents[2] / "evaluation"


@pytest.fixture(scope="module")
def simulation():
    sys.path.insert(0, str(SOURCE))  # for what the scripts share
    try:
        spec = importlib.util.spec_from_file_location("alarm", SOURCE / "alarm.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(SOURCE))
        sys.modules.pop("intervals", None)


@pytest.mark.parametrize(("limit", "rate"), [(0.02, 0.1), (0.05, 0.12), (0.05, 0.04)])
def test_the_streams_of_the_evaluation_raise_the_alarm_when_the_cache_would(simulation, limit, rate):
    count, streams = 500, 20
    chances = np.full(count, rate)
    found = simulation.first_alarms(chances, limit, "in blocks (ours)", np.random.default_rng(5), streams)
    draws = np.random.default_rng(5)
    stakes, first = [drift.beginning() for _ in range(streams)], [np.inf] * streams
    for audits in range(count):
        for stream, wrong in enumerate((draws.random(streams) < rate).tolist()):
            stakes[stream] = drift.after(stakes[stream], audits, wrong=wrong, limit=limit)
            if drift.is_alarm(stakes[stream]):
                first[stream] = min(first[stream], audits + 1)
        if np.isfinite(first).all():
            break
    assert found.tolist() == first
    assert rate < limit or np.isfinite(found).any()


def test_the_tables_are_printed(simulation, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["alarm.py", "--streams", "2", "--clean", "20"])
    monkeypatch.setattr(simulation, "delays", lambda *_: ["1"] * len(simulation.ALARMS))
    monkeypatch.setattr(simulation, "ramp", lambda *_: ["1"] * len(simulation.ALARMS))
    simulation.main()
    assert "| 5% | 2.5% | 0.0% (0.0% to" in capsys.readouterr().out
