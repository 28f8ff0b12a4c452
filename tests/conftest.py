"""What every test gets: Hypothesis profiles, `async def` tests, leak checks, a clock to move by hand.

A test that leaves a thread, a file descriptor or an asyncio task behind fails, whatever it was about.
"""

import asyncio
import contextlib
import functools
import importlib
import inspect
import os
import platform
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# --- Hypothesis ------------------------------------------------------------------------------------------------------

# No deadline and no complaint about slowness: a busy machine is no reason to fail.
settings.register_profile("default", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
# The same examples on every run: whether a change is merged must not depend on luck.
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, database=None)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=2000, stateful_step_count=100)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default"))


# --- what runs only if it is named -----------------------------------------------------------------------------------


def pytest_ignore_collect(collection_path, config):
    """Leave out what needs a browser, unless the command line names it: `make test-browser`."""
    browser = Path(__file__).parent / "browser"
    named = any(
        browser in (path := Path(arg.partition("::")[0]).resolve()).parents or path == browser for arg in config.args
    )
    return True if collection_path == browser and not named else None


# --- other people's packages -----------------------------------------------------------------------------------------

# LiteLLM and DSPy fetch a list of prices over the network, unless they are told to use the one they have.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")


# --- async tests -----------------------------------------------------------------------------------------------------


def _run(coroutine_function):
    """A plain function that runs *coroutine_function* in an event loop of its own and lets no task outlive it."""

    async def main(kwargs):
        await coroutine_function(**kwargs)
        for _ in range(10):  # a task that was told to end may need a few turns of the loop
            left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            if not left:
                return
            await asyncio.sleep(0)
        pytest.fail("asyncio tasks still pending at the end of the test:\n" + "\n".join(map(repr, left)), pytrace=False)

    @functools.wraps(coroutine_function)
    def run(**kwargs):
        asyncio.run(main(kwargs), debug=False)

    return run


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Run `async def` tests, those under Hypothesis as well, without a plugin."""
    test = pyfuncitem.obj
    hypothesis = getattr(test, "hypothesis", None)
    if hypothesis is not None:
        if inspect.iscoroutinefunction(hypothesis.inner_test):
            hypothesis.inner_test = _run(hypothesis.inner_test)
    elif inspect.iscoroutinefunction(test):
        _run(test)(**{name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames})
        return True
    return None


# --- leak checks -----------------------------------------------------------------------------------------------------


def _open_files() -> Counter[str] | None:
    """What every open file descriptor of this process points to, or `None` where the system does not say."""
    directory = Path("/proc/self/fd")
    if not directory.is_dir():
        return None
    found: Counter[str] = Counter()
    for entry in directory.iterdir():
        try:
            target = str(entry.readlink())
        except FileNotFoundError:  # the descriptor that lists the directory
            continue
        if "resource_tracker" not in target and int(entry.name) != _resource_tracker():
            found[target] += 1
    return found


def _resource_tracker() -> int | None:
    """The pipe that multiprocessing opens on first use and keeps for the life of the process."""
    from multiprocessing import resource_tracker

    return resource_tracker._resource_tracker._fd


@pytest.fixture(autouse=True)
def no_thread_leaks() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:  # one that is about to end may do so
        thread.join(timeout=2)
    left = [thread for thread in left if thread.is_alive()]
    assert not left, f"threads still alive after the test: {left}"


@pytest.fixture(autouse=True)
def no_open_file_leaks(no_thread_leaks) -> Iterator[None]:
    before = _open_files()
    yield
    after = _open_files()
    if before is not None and after is not None:
        # No garbage collection first: what is open until the collector comes was not closed.
        left = sorted((after - before).elements())
        assert not left, f"files still open after the test: {left}"


# --- fixtures to ask for ---------------------------------------------------------------------------------------------


@pytest.fixture
def clock():
    """A clock that stands still until `advance` is called."""
    from mneme.testing import FakeClock

    return FakeClock(1_700_000_000.0)


@pytest.fixture
def cache_path(tmp_path) -> Path:
    """Where a cache file may be made; nothing is there yet."""
    return tmp_path / "cache.db"


@pytest.fixture(scope="session")
def server_of() -> Iterator[Callable[[str], str]]:
    """The address of a server by the name of its module in `tests/servers`; it starts when it is first asked for."""
    addresses: dict[str, str] = {}
    with contextlib.ExitStack() as running:
        # Not under pytest's temporary directory, which only its owner can enter: Postgres runs as a user of its own.
        home = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="mneme-servers-")))
        home.chmod(0o755)

        def address(name: str) -> str:
            if name not in addresses:
                module = importlib.import_module(f"servers.{name}")
                addresses[name] = running.enter_context(module.serving(home / name))
            return addresses[name]

        yield address


@pytest.fixture(scope="session")
def torture_rounds() -> int:
    """How often a crash test kills its victim: few in CI, a thousand in `make torture`."""
    return int(os.environ.get("MNEME_TORTURE_ROUNDS", "50"))


# --- the report of `make torture` ------------------------------------------------------------------------------------

_torture_lines: list[str] = []


def pytest_runtest_logreport(report):
    """Note the outcome of each torture test, and what it printed."""
    if "torture" in report.keywords and (report.when == "call" or report.failed):
        _torture_lines.append(f"{report.outcome.upper()}  {report.nodeid}  ({report.duration:.0f} s)")
        _torture_lines.extend(f"    {line}" for line in report.capstdout.splitlines())


def pytest_sessionfinish(session):
    """Write the report where `MNEME_TORTURE_REPORT` says."""
    destination = os.environ.get("MNEME_TORTURE_REPORT")
    if not destination or not _torture_lines:
        return
    rounds = os.environ.get("MNEME_TORTURE_ROUNDS", "50")
    head = [
        f"make torture, {rounds} rounds, {time.strftime('%Y-%m-%d', time.gmtime())}",
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, NumPy {np.__version__}",
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "",
    ]
    path = session.config.rootpath / destination
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(head + _torture_lines) + "\n", encoding="utf-8")
