"""The checks in conftest.py can fail: they are shown tests that leak, and tests that do not."""

import shutil
import subprocess
import sys
from pathlib import Path

LEAKY = """
import asyncio, os, threading, time
from hypothesis import given, strategies as st

def test_a_thread_that_lives_on():
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()

def test_a_file_that_stays_open(tmp_path):
    os.open(tmp_path / "left_open", os.O_CREAT)

async def test_a_task_that_is_still_pending():
    global task
    task = asyncio.create_task(asyncio.sleep(60))

async def test_an_assertion_that_fails():
    assert 1 == 2

@given(st.integers())
async def test_a_property_that_does_not_hold(n):
    assert n < 10
"""

TIDY = """
import asyncio, threading
from hypothesis import given, strategies as st

def test_a_thread_that_ends(tmp_path):
    threading.Thread(target=print).start()
    (tmp_path / "closed").write_text("x")

async def test_tasks_that_end(torture_rounds):
    assert await asyncio.to_thread(lambda: torture_rounds) > 0
    asyncio.create_task(asyncio.sleep(60)).cancel()

class TestClass:
    async def test_a_method(self):
        await asyncio.sleep(0)

@given(st.integers())
async def test_a_property_that_holds(n):
    await asyncio.sleep(0)
    assert n == n
"""


def run_pytest(directory: Path, source: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(Path(__file__).with_name("conftest.py"), directory)
    (directory / "test_sample.py").write_text(source, encoding="utf-8")
    options = ["-W", "error", "-p", "no:asyncio", "-p", "no:cacheprovider", "--rootdir", str(directory)]
    command = [sys.executable, "-m", "pytest", *options, str(directory)]
    return subprocess.run(command, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def test_every_leak_fails_its_test(tmp_path):
    done = run_pytest(tmp_path, LEAKY)
    assert done.returncode == 1, done.stdout + done.stderr
    for message in ("threads still alive", "asyncio tasks still pending", "assert 1 == 2", "assert 10 < 10"):
        assert message in done.stdout
    assert "ERROR test_sample.py::test_a_thread_that_lives_on" in done.stdout
    if Path("/proc/self/fd").is_dir():  # elsewhere nobody says what is open
        assert "ERROR test_sample.py::test_a_file_that_stays_open" in done.stdout
    for name in ("a_task_that_is_still_pending", "an_assertion_that_fails", "a_property_that_does_not_hold"):
        assert f"FAILED test_sample.py::test_{name}" in done.stdout


def test_tidy_tests_pass(tmp_path):
    done = run_pytest(tmp_path, TIDY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
