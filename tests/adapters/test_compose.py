"""Several hooks as one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from faces.adapter import Events
from mneme import SemanticCache
from mneme.adapters import compose
from mneme.testing import HashEmbedder


def test_every_hook_is_called_in_order_with_the_same_fields(caplog):
    first, second, order = Events(), Events(), []

    def greedy(event, fields):
        order.append(len(first))
        fields.clear()

    with SemanticCache(":memory:", HashEmbedder(), metrics_hook=compose(greedy, first, second)) as cache:
        cache.put("a question", "an answer")
        cache.get("a question")
    assert first == second
    assert first.names() == ["put", "hit_exact"]
    assert order == [0, 1]
    assert not caplog.records


def test_one_that_raises_is_logged_and_stops_nobody(caplog):
    def broken(event, fields):
        raise RuntimeError("no room")

    events = Events()
    with SemanticCache(":memory:", HashEmbedder(), metrics_hook=compose(broken, events)) as cache:
        assert cache.get("a question") is None
    assert events.names() == ["miss"]
    assert "no room" in caplog.text
    assert "miss" in caplog.text


@pytest.mark.parametrize("wants", [False, True])
def test_it_wants_to_know_how_long_things_took_if_one_of_them_does(wants):
    timed, plain = Events(), Events()
    timed.wants_seconds = wants
    hook = compose(plain, compose(timed))
    assert hook.wants_seconds is wants
    with SemanticCache(":memory:", HashEmbedder(), metrics_hook=hook) as cache:
        cache.get("a question")
    assert ("seconds" in timed.of("miss")[0]) is wants


def test_what_cannot_be_called_is_refused():
    with pytest.raises(TypeError, match="callable with an event and its fields, not str"):
        compose(print, "hook")


def test_none_is_a_hook_that_does_nothing():
    compose()("miss", {"namespace": "n"})


@pytest.mark.parametrize(
    ("module", "library", "extra"),
    [("prometheus", "prometheus_client", "prometheus"), ("opentelemetry", "opentelemetry", "otel")],
)
def test_a_missing_library_is_named_with_what_brings_it(module, library, extra):
    script = f"import sys; sys.modules[{library!r}] = None; import mneme.adapters.{module}"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert f'pip install "mneme-cache[{extra}]"' in done.stderr.splitlines()[-1]


def test_hooks_are_composed_without_any_of_their_libraries():
    script = "import sys; import mneme.adapters; assert not {'prometheus_client', 'opentelemetry'} & set(sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=60)
