"""Completion, by bash itself: what a key press would offer."""

import os
import pty
import shutil
import subprocess
import sys

import pytest

from mneme import SemanticCache
from mneme.testing import HashEmbedder

BASH = shutil.which("bash")
ASK = r"""
source mneme.bash
complete -p mneme >/dev/null || exit 9
compopt() { printf 'compopt %s %s\n' "$@"; }   # outside of a completion there is none
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_mneme_completion mneme
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def shell(environment, tmp_path):
    """The environment of a shell that finds `mneme`, with its completion in a file."""
    command = tmp_path / "bin" / "mneme"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mneme "$@"\n')
    command.chmod(0o755)
    settings = environment | {"PATH": f"{command.parent}{os.pathsep}{environment['PATH']}"}
    script = subprocess.run(
        [command, "completion", "bash"], env=settings, capture_output=True, check=True, stdin=subprocess.DEVNULL
    )
    (tmp_path / "mneme.bash").write_bytes(script.stdout)
    return settings


@pytest.fixture
def offered(shell, tmp_path):
    """What bash offers for the last of the words."""

    def complete(*words):
        done = subprocess.run(
            [BASH, "--norc", "-c", ASK, "bash", "mneme", *words],
            env=shell,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    return complete


def test_commands_options_and_choices_are_offered(offered):
    assert offered("ex") == ["export"]
    assert offered("ca") == ["calibrate"]
    assert offered("inspect", "a.db", "--si") == ["--similar"]
    assert offered("completion", "f") == ["fish"]
    assert offered("get", "a.db", "q", "--embedder", "l") == ["local"]


@pytest.mark.parametrize("words", [["stats", ""], ["export", "an"], ["export", "a.db", "an"], ["import", "an"]])
def test_files_are_left_to_the_shell(offered, words):
    assert "compopt -o default" in offered(*words)


def test_namespaces_are_those_of_the_file_in_the_line(offered, tmp_path):
    with SemanticCache(tmp_path / "answers.db", HashEmbedder()) as cache:
        for name in ("shop", "shipping", "help", "$(touch gone)", "two words"):
            cache.put("q", "r", namespace=name)
    assert offered("stats", "answers.db", "--namespace", "sh") == ["shipping", "shop"]
    assert offered("export", "answers.db", "a.mneme", "--namespace", "") == ["help", "shipping", "shop"]
    assert not (tmp_path / "gone").exists()


def test_what_is_no_cache_offers_nothing_and_is_left_alone(offered, tmp_path):
    (tmp_path / "thesis.db").write_bytes(b"my thesis " * 100)
    assert offered("stats", "thesis.db", "--namespace", "") == [""]
    assert offered("stats", "no.db", "--namespace", "") == [""]
    assert not (tmp_path / "no.db").exists()
    (tmp_path / "empty.db").touch()
    assert offered("stats", "empty.db", "--namespace", "") == [""]
    assert (tmp_path / "empty.db").stat().st_size == 0


def test_nothing_is_said_in_a_line_whose_command_there_is_not(offered):
    assert "export" in offered("nosuch", "")


def test_the_tab_key_completes_a_command(shell, tmp_path):
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [BASH, "--norc", "--noprofile", "-i"],
        env=shell | {"TERM": "dumb", "PS1": "ready> ", "INPUTRC": os.devnull, "HISTFILE": ""},
        cwd=tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        until(ours, "ready> ")
        os.write(ours, b"source mneme.bash; echo so''urced\n")
        until(ours, "\nsourced\r\n")
        until(ours, "ready> ")
        os.write(ours, b"mneme ree\t")
        until(ours, "mneme reembed ")
        os.write(ours, b"\x15exit\n")
        assert running.wait() == 0
    finally:
        running.kill()
        running.wait()
        os.close(ours)


def until(descriptor, text):
    """Read until it is there; if it never comes, the time limit of tests ends that."""
    seen = b""
    while not seen.replace(b"\a", b"").endswith(text.encode()):
        seen += os.read(descriptor, 1)


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_every_shell_has_a_script(mneme, name):
    ran = mneme("completion", name)
    assert ran.code == 0
    assert f"_MNEME_COMPLETE={name}_complete" in ran.out
    assert mneme("completion", name, "--json").document == {"shell": name, "script": ran.out.removesuffix("\n")}


def test_other_shells_are_wrong_usage(mneme):
    assert mneme("completion", "tcsh").code == 2
