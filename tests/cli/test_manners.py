"""How the command behaves whatever it is asked: help, exit codes, errors, JSON, pipes, interrupts."""

import json
import re
import signal
import subprocess
import sys

import pytest

import mneme as package
from mneme.cli._app import app
from mneme.cli._command import _MEANT
from mneme.cli._open import without_password

COMMANDS = sorted(app.commands)
HASH = ("--embedder", "mneme.testing:HashEmbedder")


# --- help ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [["--help"], ["-h"]])
def test_help_has_every_command_in_one_section_and_first_steps_that_exist(mneme, asked):
    ran = mneme(*asked)
    assert ran.code == 0
    listed = [line.split()[0] for line in ran.out.splitlines() if re.match(r"  [a-z]+  ", line)]
    assert sorted(listed) == COMMANDS
    assert sorted(name for section in app.sections.values() for name in section) == COMMANDS
    steps = [line.split()[1] for line in ran.out.splitlines() if line.startswith("    mneme ")]
    assert set(steps) - {"COMMAND"} <= set(COMMANDS)
    assert len(steps) >= 4


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_fits_eighty_columns_with_nothing_cut_off(mneme, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    lines = mneme(*([] if command is None else [command]), "-h").out.splitlines()
    assert not [line for line in lines if len(line) > 80 or re.search(r"\w\.\.\.$", line)]


@pytest.mark.parametrize(("typed", "meant"), [("inspct", "inspect"), ("exprot", "export"), ("ls", "inspect")])
def test_a_mistyped_command_names_the_nearest(mneme, typed, meant):
    ran = mneme(typed)
    assert (ran.code, ran.out) == (2, "")
    assert f"There is no command '{typed}'. Did you mean '{meant}'?" in ran.err


def test_what_other_programs_call_a_command_leads_to_one_that_is_there():
    assert set(_MEANT.values()) <= set(COMMANDS)
    assert not _MEANT.keys() & set(COMMANDS)


def test_a_mistyped_option_names_the_nearest(mneme, cache_path):
    assert "--contains" in mneme("inspect", cache_path, "--contain", "x").err


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_has_examples_whose_options_exist(mneme, command):
    ran = mneme(command, "--help")
    assert ran.code == 0
    examples = [line.split() for line in ran.out.splitlines() if line.lstrip().startswith(f"mneme {command}")]
    assert examples
    options = {option for parameter in app.commands[command].params for option in parameter.opts}
    options |= {option for parameter in app.commands[command].params for option in parameter.secondary_opts}
    assert {word for example in examples for word in example if word.startswith("--")} <= options
    assert "Exit codes: 0 " in ran.out
    assert "--json" in options


def test_version(mneme):
    ran = mneme("--version")
    assert (ran.code, ran.out) == (0, f"mneme, version {package.__version__}\n")


def test_the_module_is_the_command(process):
    assert process("--version").out == f"mneme, version {package.__version__}\n"


# --- exit codes and errors -------------------------------------------------------------------------------------------

NEEDS_A_FILE = {
    "get": ["get", "FILE", "q"],
    "inspect": ["inspect", "FILE"],
    "stats": ["stats", "FILE"],
    "check": ["check", "FILE"],
    "vacuum": ["vacuum", "FILE"],
    "clear": ["clear", "FILE", "--yes"],
    "reembed": ["reembed", "FILE", "other.db", "--embedder", "mneme.testing:HashEmbedder"],
    "export": ["export", "FILE", "/dev/null"],
    "forget": ["forget", "FILE", "--tag", "t", "--yes"],
    "ui": ["ui", "FILE"],
}


def test_every_command_that_reads_a_file_is_listed_here():
    assert NEEDS_A_FILE.keys() | {
        "put",
        "demo",
        "import",
        "plan",
        "pairs",
        "calibrate",
        "certify",
        "completion",
    } == set(COMMANDS)


@pytest.mark.parametrize("command", NEEDS_A_FILE)
def test_a_missing_file_is_an_error_and_is_not_made(mneme, cache_path, command):
    arguments = [cache_path if word == "FILE" else word for word in NEEDS_A_FILE[command]]
    ran = mneme(*arguments)
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith(f"mneme: there is no file '{cache_path}'")
    ran = mneme(*arguments, "--json")
    assert (ran.code, ran.out) == (3, "")
    assert json.loads(ran.err)["error"]["type"] == "FileNotFoundError"
    assert not cache_path.exists()


@pytest.mark.parametrize("command", ["clear", "forget", "reembed", "vacuum"])
def test_the_address_of_a_server_is_told_from_a_path_and_its_password_not_shown(mneme, command):
    address = "redis://me:hunter2@localhost:6379/0"
    ran = mneme(*(address if word == "FILE" else word for word in NEEDS_A_FILE[command]))
    assert (ran.code, ran.out) == (3, "")
    assert "hunter2" not in ran.err
    assert "this command works with files" in ran.err


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("redis://me:hunter2@host:6379/0", "redis://me:***@host:6379/0"),
        ("redis://:hunter2@host", "redis://:***@host"),
        ("postgresql://me:hun@ter2@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me@host:5432/db", "postgresql://me@host:5432/db"),
        ("redis://me:hun/ter2@host/0", "redis://me:***@host/0"),
        ("postgresql://me:hun?ter2@host/db", "postgresql://me:***@host/db"),
        ("postgresql+psycopg:/me:hunter2@host/db", "postgresql+psycopg:/me:***@host/db"),
        ("postgresql://host/db?user=me&password=hunter2", "postgresql://host/db?user=me&password=***"),
        ("postgresql://host/db?sslPassword=hunter2&user=me", "postgresql://host/db?sslPassword=***&user=me"),
        ("postgresql://host:5432/db?user=me@firm", "postgresql://host:5432/db?user=me@firm"),
        ("dynamodb://table", "dynamodb://table"),
        ("a@b:c.db", "a@b:c.db"),
    ],
)
def test_a_password_in_an_address_is_not_shown(address, shown):
    assert without_password(address) == shown


@pytest.mark.parametrize("command", NEEDS_A_FILE)
def test_a_file_that_is_no_cache_is_refused_and_left_alone(mneme, cache_path, command):
    cache_path.write_bytes(b"my thesis " * 100)
    ran = mneme(*(cache_path if word == "FILE" else word for word in NEEDS_A_FILE[command]), "--json")
    assert (ran.code, ran.out) == (3, "")
    assert json.loads(ran.err)["error"]["type"] == "CorruptCacheError"
    assert cache_path.read_bytes() == b"my thesis " * 100


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["stats"],
        ["stats", "FILE", "--frobnicate"],
        ["get", "FILE", "q", "--threshold", "7", *HASH],
        ["get", "FILE", " ", *HASH],
        ["get", "FILE", "q", "--raw", "--json"],
        ["get", "FILE", "q", "--scope", "{"],
        ["get", "FILE", "q", "--embedder", "nonsense"],
        ["get", "FILE", "q", "--embedder", "no_such_module:at_all"],
        ["get", "FILE", "q", "--embedder", "mneme.testing:NoSuchThing"],
        ["get", "FILE", "q", "--embedder", "math:sin"],
        ["export", "FILE"],
        ["export", "FILE", "-", "--json"],
        ["export", "FILE", "a.mneme", "--namespace", ""],
        ["export", "ftp://FILE", "a.mneme"],
        ["export", "dynamodb://", "a.mneme"],
        ["import", "a.mneme"],
        ["import", "a.mneme", "new.db", "--max-bytes", "0"],
        ["put", "FILE", "q"],
        ["put", "FILE", "q", "r", "--from", "x"],
        ["put", "FILE", "q", "r", "--ttl", "-1", *HASH],
        ["put", "FILE", "q", "r", "--ttl", "soon", *HASH],
        ["put", "FILE", "q", "{", "--parse"],
        ["put", "FILE", "q", "r", "--metadata", "[]", *HASH],
        ["inspect", "FILE", "--id", "1", "--contains", "x"],
        ["inspect", "FILE", "--similar", "x", "--tag", "y"],
        ["inspect", "FILE", "--scope", "x"],
        ["clear", "FILE", "--older-than", "x", "--yes"],
        ["check", "FILE", "--apply"],
        ["check", "FILE", "--repair", "--salvage", "new.db"],
        ["forget", "FILE", "--yes"],
        ["forget", "FILE", "--tag", "t"],
        ["forget", "FILE", "--where", "user_id", "--yes"],
        ["forget", "FILE", "--where", "a=1", "--where", "a=2", "--yes"],
        ["forget", "FILE", "--tag", "t", "--timeout", "-1", "--yes"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2_and_a_message(mneme, filled, arguments):
    ran = mneme(*(filled if word == "FILE" else word for word in arguments))
    assert (ran.code, ran.out) == (2, "")
    assert "Traceback" not in ran.err
    if "--json" in arguments:
        assert json.loads(ran.err)["error"]["message"]
        return
    assert "Error: " in ran.err
    ran = mneme(*(filled if word == "FILE" else word for word in arguments), "--json")
    assert (ran.code, ran.out) == (2, "")
    assert json.loads(ran.err)["error"]["message"]


def test_what_nobody_foresaw_exits_with_3_and_says_where(mneme, filled, monkeypatch):
    monkeypatch.setattr("mneme.SemanticCache.check", lambda _: 1 // 0)
    ran = mneme("check", filled)
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.endswith("mneme: unexpected ZeroDivisionError: integer division or modulo by zero\n")
    assert "Traceback" in ran.err
    error = json.loads(mneme("check", filled, "--json").err)["error"]
    assert error["type"] == "ZeroDivisionError"
    assert "Traceback" in error["traceback"]


def test_an_embedder_that_fails_is_one_line(mneme, filled, monkeypatch):
    def fail(self, text):
        raise ConnectionError("no route")

    monkeypatch.setattr("mneme.testing.HashEmbedder.embed", fail)
    ran = mneme("get", filled, "something new", *HASH)
    assert ran.code == 1
    assert ran.err == "mneme: warning: the embedder failed; the query is a miss: ConnectionError: no route\n"
    ran = mneme("put", filled, "something new", "x", *HASH)
    assert (ran.code, ran.err) == (3, "mneme: no route\n")


@pytest.mark.parametrize("missing", ["click", "rich"])
@pytest.mark.parametrize("as_json", [False, True])
def test_without_the_extra_one_line_says_what_to_install(environment, tmp_path, missing, as_json):
    arguments = ["stats", "x.db", *(["--json"] if as_json else [])]
    script = f"import sys; sys.modules[{missing!r}] = None; from mneme.cli import main; main({arguments!r})"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (3, "")
    message = json.loads(done.stderr)["error"]["message"] if as_json else done.stderr
    assert "pip install 'mneme-cache[cli]'" in message
    assert message.rstrip("\n").count("\n") == 0


def test_without_the_model_the_message_says_what_to_install(mneme, cache_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    ran = mneme("put", cache_path, "q", "r")
    assert (ran.code, ran.out) == (3, "")
    assert "mneme-cache[local]" in ran.err
    assert not cache_path.exists()


# --- pipes and interrupts --------------------------------------------------------------------------------------------


def test_a_reader_that_goes_away_is_no_reason_to_complain(environment, tmp_path, filled):
    command = [sys.executable, "-m", "mneme", "inspect", str(filled), "--json"]
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait() == 141


def test_an_interrupt_ends_the_demo_quietly_and_leaves_no_file(environment, tmp_path):
    command = [sys.executable, "-m", "mneme", "demo", "--model", "slow", "--slow-seconds", "10"]
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        for line in running.stdout:
            if line.startswith("1."):  # the first question is on its way to the model
                break
        running.send_signal(signal.SIGINT)
        rest = running.stdout.read(), running.stderr.read().strip()
        assert (running.wait(), *rest) == (130, "", "")
    assert not list(tmp_path.glob("mneme-demo-*"))


# --- the local embedder ----------------------------------------------------------------------------------------------


def test_put_and_get_with_the_local_embedder(process):
    assert process("put", "answers.db", "What is the capital of France?", "Paris").code == 0
    ran = process("get", "answers.db", "Which city is France's capital?", "--json")
    assert ran.code == 0
    assert ran.document["hit"]["layer"] == "semantic"
    found = process("inspect", "answers.db", "--similar", "French cities", "--json").document["hits"]
    assert found[0]["response"] == "Paris"
