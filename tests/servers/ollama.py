"""Ollama as `_embeddings` plays it, in a process of its own, which ends with this one."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import mneme


@contextlib.contextmanager
def serving(directory: Path):
    """A server on a port of its own; its address."""
    directory.mkdir()
    paths = [str(Path(__file__).parents[1]), str(Path(mneme.__file__).parents[1])]
    process = subprocess.Popen(
        [sys.executable, "-m", "servers._embeddings", str(os.getpid())],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        text=True,
    )
    try:
        with process.stdout:
            port = process.stdout.readline().strip()
        if not port:
            process.wait()
            raise RuntimeError(f"the provider of embeddings did not start: status {process.returncode}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
