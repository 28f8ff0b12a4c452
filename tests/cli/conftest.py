"""Running the command: in this process, in one of its own, and on a terminal."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import mneme as package
from mneme import SemanticCache
from mneme.cli import main
from mneme.testing import HashEmbedder

HASH = ("--embedder", "mneme.testing:HashEmbedder")


class Ran(NamedTuple):
    """How the command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


@pytest.fixture
def mneme(capsys):
    """Run the command in this process."""

    def run(*arguments: object) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ran(ended.value.code, captured.out, captured.err)

    return run


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    """For a process that finds the package where this one did, and leaves its temporary files in `tmp_path`."""
    ours = {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"}  # of the terminal that the tests are watched on
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return kept | {
        "PYTHONPATH": str(Path(package.__file__).parents[1]),
        "PYTHONIOENCODING": "utf-8",
        "PYTHONWARNINGS": "error",
        "TMPDIR": str(tmp_path),
    }


@pytest.fixture
def process(environment, tmp_path):
    """Run `python -m mneme` in a process of its own, without a terminal."""

    def run(*arguments: object, **options: Any) -> Ran:
        command = [sys.executable, "-m", "mneme", *map(str, arguments)]
        options = {"stdin": subprocess.DEVNULL} | options
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=environment | options.pop("env", {}),
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            **options,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def filled(cache_path) -> Path:
    """A file with three entries of two tenants, made by `HashEmbedder`."""
    with SemanticCache(cache_path, HashEmbedder()) as cache:
        cache.put("What is the capital of France?", "Paris", tags=["geography"], metadata={"by": "a person"})
        cache.put("Where is my order?", {"state": "on its way", "days": 2}, namespace="shop", ttl="1h")
        cache.put("The logo, please", b"\x89PNG", namespace="shop", scope={"size": "small"})
    return cache_path
