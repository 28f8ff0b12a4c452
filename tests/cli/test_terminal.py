"""What a terminal gets: tables, colours, progress and questions; and that nothing else gets them."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

HASH = ("--embedder", "mneme.testing:HashEmbedder")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
MOVE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


@pytest.fixture
def terminal(environment, tmp_path):
    """Run the command on a terminal of so many columns; its exit code, and all that it sent."""

    def run(*arguments, columns=80, typed="", **variables):
        ours, theirs = pty.openpty()
        try:
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
            running = subprocess.Popen(
                [sys.executable, "-m", "mneme", *map(str, arguments)],
                cwd=tmp_path,
                env=environment | {"TERM": "xterm-256color"} | variables,
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
            )
            os.close(theirs)
            os.write(ours, typed.encode())
            sent = b"".join(received(ours))
            return running.wait(), sent.decode().replace("\r\n", "\n")
        finally:
            os.close(ours)

    return run


def received(descriptor):
    while True:
        try:
            data = os.read(descriptor, 65536)
        except OSError:  # how Linux reports that the other side is closed
            return
        if not data:
            return
        yield data


def shown(sent: str) -> str:
    """Without colours, and each piece that was written elsewhere on a line of its own."""
    return MOVE.sub("\n", COLOUR.sub("", sent))


@pytest.mark.parametrize("columns", [80, 120])
def test_a_table_fits_the_terminal(terminal, filled, columns):
    code, sent = terminal("inspect", filled, columns=columns)
    assert code == 0
    lines = shown(sent).splitlines()
    assert max(map(len, lines)) == columns
    assert lines[0].split() == ["id", "namespace", "query", "response", "tags", "age"]
    assert set(lines[1]) == {"─"}
    assert lines[-1] == "3 of 3 entries"


def test_the_next_page_is_offered_as_a_command_to_paste(terminal, filled):
    _, sent = terminal("inspect", filled, "--limit", 1, "--namespace", "shop")
    assert f"\n  python -m mneme inspect {filled} --namespace shop --limit 1 --after 2\n" in shown(sent)


def test_colours_are_for_terminals_that_want_them(terminal, process, filled):
    coloured = re.compile(r"\x1b\[[0-9;]*3\dm")
    assert coloured.search(terminal("check", filled)[1])
    assert not coloured.search(terminal("check", filled, NO_COLOR="1")[1])
    assert terminal("check", filled, TERM="dumb")[1] == "sound: 3 entries\n"
    ran = process("inspect", filled, env={"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"})
    assert "\x1b" not in ran.out
    assert "─" not in ran.out


def test_json_is_json_on_a_terminal_too(terminal, filled):
    code, sent = terminal("stats", filled, "--json")
    assert code == 0
    assert json.loads(sent)["total"]["entries"] == 3


def test_markup_in_a_response_is_text(terminal, cache_path):
    terminal("put", cache_path, "q", "[red]not markup[/red] :smile: \x1b[2J", "--embedder", "none")
    _, sent = terminal("get", cache_path, "q", "--embedder", "none")
    assert r"[red]not markup[/red] :smile: \x1b[2J" in shown(sent)


@pytest.mark.parametrize(
    ("typed", "code", "left"), [("y\n", 0, 1), ("n\n", 1, 3), ("\x04", 130, 3)], ids=["yes", "no", "end"]
)
def test_clear_asks_first(terminal, process, filled, typed, code, left):  # noqa: PLR0917 - all by name
    ended, sent = terminal("clear", filled, "--namespace", "shop", typed=typed, columns=200)
    assert f"Remove all of the 2 entries in namespace 'shop' of {filled}?" in sent
    assert ended == code
    assert "Traceback" not in sent
    assert process("stats", filled, "--json").document["total"]["entries"] == left


def test_a_batch_shows_its_progress(terminal, cache_path, tmp_path):
    source = tmp_path / "answers.jsonl"
    source.write_text("".join(f'{{"query": "question {n}", "response": {n}}}\n' for n in range(600)))
    code, sent = terminal("put", cache_path, "--from", source, *HASH)
    assert code == 0
    assert "600/600" in shown(sent)
    assert shown(sent).rstrip().endswith("stored 600 lines; the file holds 600 entries now")


def test_an_archive_is_made_and_read_under_a_bar_and_never_sent_to_a_terminal(terminal, filled, tmp_path):
    code, sent = terminal("export", filled, tmp_path / "a.mneme", columns=200)
    assert code == 0
    assert "3/3" in shown(sent)
    assert re.search(r"^wrote 3 entries, \S+ \S+ to \S+a\.mneme$", shown(sent), flags=re.MULTILINE)
    code, sent = terminal("import", tmp_path / "a.mneme", tmp_path / "b.db", columns=200)
    assert (code, "3/3" in shown(sent)) == (0, True)
    code, sent = terminal("export", filled, "-", columns=200)
    assert code == 2
    assert "nothing for a terminal" in sent


def test_the_demo_draws_itself(terminal):
    code, sent = terminal("demo", "--quick", "--model", "slow", "--slow-seconds", "0.01", columns=100)
    assert code == 0
    text = shown(sent)
    assert "━" in text  # the progress bar
    assert text.count("answered by") > 10  # the totals, drawn again and again
    assert re.search(r"^semantic +[\d.]+ ms +0\.\d{3} +\S.* ~ \S", text, flags=re.MULTILINE)
    assert re.search(r"^PASSED in ", text, flags=re.MULTILINE)
    assert max(len(line) for line in text.splitlines() if not line.startswith("  python ")) <= 100
    assert re.search(
        r"^  python -m mneme inspect \S+ --contains capital$", text, flags=re.MULTILINE
    )  # to be pasted in one piece
    assert sent.count("\x1b[?25h") == sent.count("\x1b[?25l") > 0  # the cursor is back
