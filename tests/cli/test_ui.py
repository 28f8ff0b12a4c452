"""`mneme ui`: a server for as long as somebody looks, on this machine alone."""

import hashlib
import json
import os
import pty
import signal
import socket
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from mneme import EncryptedStore, KeyRing, RedisStore, SemanticCache, SQLiteStore
from mneme.testing import HashEmbedder

EVERYWHERE = "0.0.0.0"  # noqa: S104 - without leave it is refused; with it, that is what is tested
HASH = ("--embedder", "mneme.testing:HashEmbedder")


@pytest.fixture
def serving(environment, tmp_path):
    """Start the command, and say when it listens; at the end it was ended by Ctrl-C unless the test did so."""
    started = []

    def start(*arguments):
        command = [sys.executable, "-m", "mneme", "ui", *map(str, arguments), "--json"]
        running = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(running)
        lines = []
        while not lines or lines[-1] != "}\n":
            lines.append(running.stdout.readline())
            assert lines[-1], running.stderr.read()
        return running, json.loads("".join(lines))

    yield start
    for running in started:
        if running.poll() is None:
            running.send_signal(signal.SIGINT)
        running.communicate()


def ended(running, number):
    running.send_signal(number)
    out, err = running.communicate()
    return running.returncode, out, err.strip()


def browser():
    return httpx2.Client(follow_redirects=True, trust_env=False)


def test_whoever_has_the_address_sees_the_cache_and_nobody_else_and_it_stays_as_it_was(serving, filled):
    before = hashlib.sha256(filled.read_bytes()).hexdigest(), filled.stat().st_mtime_ns
    running, said = serving(filled, *HASH)
    assert said["writable"] is False
    home, _, token = said["url"].partition("?token=")
    assert urlsplit(home).hostname == "127.0.0.1"
    assert len(token) >= 40
    with browser() as client:
        assert client.get(home).status_code == 401
        page = client.get(said["url"])
        assert page.status_code == 200
        assert str(page.url) == home
        assert "What is the capital of France?" in client.get(f"{home}entries").text
        assert "1.000" in client.get(f"{home}similar?query=What+is+the+capital+of+France%3F").text
        assert client.post(f"{home}entries/1/remove", headers={"origin": home[:-1]}).status_code in (404, 405)
        assert client.get(f"{home}entries", headers={"host": "example.org"}).status_code == 400
        for path in ("entries/1", "explain?query=france", "namespace?name=default", "check?run=1"):
            assert client.get(home + path).status_code == 200
    assert ended(running, signal.SIGINT) == (0, "", "")
    assert (hashlib.sha256(filled.read_bytes()).hexdigest(), filled.stat().st_mtime_ns) == before
    assert [path.name for path in filled.parent.glob("cache*")] == [filled.name]


def test_with_write_an_entry_can_be_removed(serving, filled):
    running, said = serving(filled, "--write", "--embedder", "none")
    home = said["url"].partition("?")[0]
    with browser() as client:
        client.get(said["url"])
        page = client.post(f"{home}entries/1/remove", headers={"origin": home[:-1]})
        assert "Removed: 1" in page.text
    assert ended(running, signal.SIGINT)[0] == 0
    with SemanticCache(filled) as cache:
        assert [entry.entry_id for entry in cache.entries()] == [2, 3]


def test_it_shows_what_another_process_writes_meanwhile(serving, filled):
    _, said = serving(filled, *HASH)
    home = said["url"].partition("?")[0]
    with browser() as client:
        client.get(said["url"])
        with SemanticCache(filled, HashEmbedder()) as cache:
            cache.put("something new", "yes")
            assert "something new" in client.get(f"{home}entries").text


def test_a_browser_is_opened_with_a_ticket_that_is_good_once(environment, filled, tmp_path):
    """Others on the machine can read its command line."""
    pipe, script = tmp_path / "pipe", tmp_path / "browser"
    os.mkfifo(pipe)
    script.write_text(f'#!/bin/sh\necho "$1" > {pipe}\n')
    script.chmod(0o700)
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "-m", "mneme", "ui", str(filled), "--embedder", "none"],
        cwd=tmp_path,
        env=environment | {"DISPLAY": ":0", "BROWSER": str(script), "TERM": "xterm"},
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    try:
        opened = pipe.read_text().strip()  # waits for the browser
        printed = os.read(ours, 4096).decode()
        assert opened.partition("?token=")[0] in printed
        assert opened.partition("?token=")[2] not in printed
        with browser() as client, browser() as another:
            assert client.get(opened).status_code == 200
            assert client.get(opened.partition("?")[0] + "entries").status_code == 200
            assert another.get(opened).status_code == 401
        running.send_signal(signal.SIGINT)
        assert running.wait() == 0
    finally:
        os.close(ours)


def test_it_begins_with_a_namespace(serving, filled):
    _, said = serving(filled, "--namespace", "shop", "--embedder", "none")
    with browser() as client:
        page = client.get(said["url"])
    assert parse_qs(urlsplit(str(page.url)).query) == {"namespace": ["shop"]}
    assert "Where is my order?" in page.text
    assert "capital" not in page.text


def test_being_terminated_closes_the_cache(serving, filled):
    running, _ = serving(filled, *HASH)
    assert ended(running, signal.SIGTERM)[0] == 143
    assert [path.name for path in filled.parent.glob("cache*")] == [filled.name]


def test_vectors_of_an_unknown_embedder_are_no_reason_not_to_look(serving, filled):
    _, said = serving(filled)
    assert said["embedder"] is None
    assert "made by mneme-testing-hash" in said["note"]
    with browser() as client:
        assert said["note"] in client.get(said["url"]).text
        home = said["url"].partition("?")[0]
        assert "no embedder here" in client.get(f"{home}similar").text


def test_a_wrong_embedder_that_was_asked_for_is(mneme, filled):
    ran = mneme("ui", filled, "--embedder", "local")
    assert ran.code == 3
    assert "--embedder" in ran.err


def test_an_encrypted_cache_is_shown_with_its_keys(serving, cache_path, tmp_path):
    ring = KeyRing.generate("2026")
    with SemanticCache(embedder=HashEmbedder(), store=EncryptedStore(SQLiteStore(cache_path), ring)) as cache:
        cache.put("What is the capital of France?", "Paris")
    keys = tmp_path / "ring.json"
    keys.write_text(ring.to_json())
    _, said = serving(cache_path, "--keys", keys, *HASH)
    with browser() as client:
        client.get(said["url"])
        assert "capital of France" in client.get(said["url"].partition("?")[0] + "entries").text


def test_keys_that_cannot_be_read_are_named(mneme, filled, tmp_path):
    ran = mneme("ui", filled, "--keys", tmp_path / "none.json")
    assert (ran.code, ran.out) == (3, "")
    assert "none.json" in ran.err
    (tmp_path / "odd.json").write_text('{"secret": 1}')
    ran = mneme("ui", filled, "--keys", tmp_path / "odd.json")
    assert ran.code == 2
    assert "secret" not in ran.err


def test_a_cache_on_a_server_is_shown_by_its_url(serving, mneme, server_of):
    url = server_of("redis")
    with SemanticCache(store=RedisStore(url, prefix="mneme-ui")) as cache:
        cache.put("What is the capital of France?", "Paris")
    running, said = serving(url, "--prefix", "mneme-ui")
    with browser() as client:
        client.get(said["url"])
        assert "Paris" in client.get(said["url"].partition("?")[0] + "entries").text
    assert ended(running, signal.SIGINT)[0] == 0
    ran = mneme("ui", url, "--prefix", "nothing-there")
    assert ran.code == 3
    assert "there is no cache" in ran.err


# --- where it listens ------------------------------------------------------------------------------------------------


def test_a_port_that_is_taken_is_named(mneme, filled):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = mneme("ui", filled, "--port", port)
    assert (ran.code, ran.out) == (3, "")
    assert (
        ran.err
        == f"mneme: port {port} on 127.0.0.1 is in use; choose another, or leave --port out for one that is free\n"
    )


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.0.2.1", "example.org", "10.0.0.1"])
def test_an_address_that_others_reach_needs_leave(mneme, filled, host):
    ran = mneme("ui", filled, "--host", host)
    assert (ran.code, ran.out) == (2, "")
    assert "not encrypted" in " ".join(ran.err.split())


def test_an_address_of_another_machine_is_refused(mneme, filled):
    ran = mneme("ui", filled, "--host", "192.0.2.1", "--allow-network")
    assert ran.code == 2
    assert "no address of this machine" in ran.err


def test_with_leave_it_answers_to_any_name_but_not_without_the_token(serving, filled):
    _, said = serving(filled, "--host", EVERYWHERE, "--allow-network", "--embedder", "none")
    with browser() as client:
        named = {"host": "a-name-of-the-machine:1"}
        assert client.get(said["url"].partition("?")[0], headers=named).status_code == 401
        assert client.get(said["url"], headers=named, follow_redirects=False).status_code == 303


def test_without_the_extra_one_is_told_what_to_install(mneme, filled, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    ran = mneme("ui", filled, "--embedder", "none")
    assert ran.code == 3
    assert "pip install 'mneme-cache[ui]'" in ran.err
