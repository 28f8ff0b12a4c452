"""How the showcase is started: settings, a port that is taken, and the page that answers then."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from mneme import SemanticCache
from mneme.testing import HashEmbedder
from showcase import Settings
from showcase.__main__ import main
from showcase.models import EndpointModel
from showcase.settings import PRICE

ROOT = Path(__file__).parents[2]


def test_everything_can_be_set_by_the_environment():
    told = Settings.from_environment(
        {
            "MNEME_SHOWCASE_ENDPOINT": "http://host:1/v1",
            "MNEME_SHOWCASE_MODEL": "nemotron",
            "MNEME_SHOWCASE_API_KEY": "secret",
            "MNEME_SHOWCASE_FOLDER": "there",
            "MNEME_SHOWCASE_PRICE": "0.5",
        }
    )
    assert told == Settings("http://host:1/v1", "nemotron", "secret", Path("there"), 0.5)
    assert Settings.from_environment({"MNEME_SHOWCASE_ENDPOINT": ""}) == Settings(price=PRICE)


@pytest.mark.parametrize("price", ["much", "-1", "nan", "inf"])
def test_a_price_that_is_none_is_refused(price):
    with pytest.raises(ValueError, match="MNEME_SHOWCASE_PRICE is"):
        Settings.from_environment({"MNEME_SHOWCASE_PRICE": price})


def test_a_port_that_is_taken_is_named(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--port", str(port)]) == 1
    said = capsys.readouterr()
    assert f"port {port} cannot be used" in said.err
    assert "PORT=" in said.err


@pytest.mark.parametrize("endpoint", ["nowhere", "http://host:port/v1", "http://", "me:pass-word@nowhere"])
def test_an_endpoint_that_is_no_address_is_refused(capsys, endpoint):
    assert main(["--port", "0", "--endpoint", endpoint]) == 1
    said = capsys.readouterr().err
    assert "must look like http://localhost:8000/v1" in said
    assert "pass-word" not in said


@pytest.mark.parametrize("file", ["showcase.db", "memory.db"])
def test_a_folder_with_a_cache_of_another_embedder_is_refused_and_nothing_stays_open(tmp_path, capsys, file):
    with SemanticCache(tmp_path / file, HashEmbedder()) as cache:
        cache.put("a question", "an answer")
    assert main(["--port", "0", "--endpoint", "http://127.0.0.1:9/v1", "--folder", str(tmp_path)]) == 1
    assert "embedder" in capsys.readouterr().err


def test_interrupted_while_its_model_is_looked_for_it_leaves_nothing_open(monkeypatch, tmp_path):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(EndpointModel, "probe", interrupted)
    assert main(["--port", "0", "--endpoint", "http://127.0.0.1:9/v1", "--folder", str(tmp_path)]) == 0


def test_it_says_where_it_is_and_what_is_wrong_with_its_model_and_ends_when_interrupted(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    environment = os.environ | {"MNEME_SHOWCASE_ENDPOINT": f"http://127.0.0.1:{port}/v1", "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-W", "error", "-m", "showcase", "--port", "0"]
    with running(command, environment) as process:
        said = ""
        for line in process.stdout:
            said += line
            if found := re.search(r"http://127\.0\.0\.1:\d+/(?= )", line):
                break
        assert f"The model at http://127.0.0.1:{port}/v1 does not answer" in said
        with urllib.request.urlopen(found[0], timeout=30) as page:  # noqa: S310 -- http, as printed
            assert "does not answer" in page.read().decode()
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert "Traceback" not in rest
    assert list(tmp_path.iterdir()) == []


@contextlib.contextmanager
def running(command, environment):
    """A process that a failing test does not leave behind."""
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise
