"""`mneme calibrate`: figures for people and programs, a picture, and exit codes that tell "no" from "wrong"."""

import csv
import io
import json
import subprocess
import sys

import pytest

from cli.conftest import HASH

PAIRS = [
    ("When are you open today?", "When do you open today?", True),
    ("Where is my order now?", "Where is my order right now?", True),
    ("Cancel my subscription", "Cancel the subscription", True),
    ("Cancel my subscription", "Renew the contract", False),
    ("Where is my order now?", "What does it cost?", False),
]


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.jsonl"
    lines = [json.dumps({"a": a, "b": b, "same": same}) for a, b, same in PAIRS]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_it_says_the_threshold_and_its_figures(mneme, pairs):
    ran = mneme("calibrate", pairs, *HASH)
    assert ran.code == 0
    facts = dict(line.split(": ", 1) for line in ran.out.splitlines() if ": " in line)
    assert (facts["precision"], facts["recall"], facts["f1"]) == ("1.0000",) * 3
    assert facts["pairs"] == "3 that mean the same, 2 that do not"
    document = mneme("calibrate", pairs, *HASH, "--json").document["result"]
    assert f"{document['threshold']:g}" == facts["threshold"]
    assert len(document["pr_curve"]) == 201
    assert document["pr_curve"][0] == {"threshold": 0.0, "precision": 0.6, "recall": 1.0, "f1": pytest.approx(0.75)}


def test_it_says_when_there_are_too_few_pairs_of_a_kind(mneme, tmp_path):
    path = tmp_path / "pairs.jsonl"
    many = [{"a": f"Where is order {n}?", "b": f"Where is order {n} now?", "same": True} for n in range(20)]
    few = [{"a": "Cancel my subscription", "b": "Renew the contract", "same": False}]
    path.write_text("\n".join(map(json.dumps, many + few)), encoding="utf-8")
    ran = mneme("calibrate", path, *HASH)
    assert ran.err == "mneme: few pairs do not mean the same (1): with less than 20 the figures say little\n"
    assert mneme("calibrate", path, *HASH, "--json").err == ""


def test_the_curve_comes_as_csv(mneme, pairs):
    ran = mneme("calibrate", pairs, *HASH, "--csv", "--grid", "0.1:0.9:0.1")
    rows = list(csv.DictReader(io.StringIO(ran.out)))
    assert [float(row["threshold"]) for row in rows] == pytest.approx([n / 10 for n in range(1, 10)])
    assert rows[0].keys() == {"threshold", "precision", "recall", "f1"}


@pytest.mark.parametrize(("suffix", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_it_draws_the_distributions_and_the_curve(process, pairs, tmp_path, suffix, begins):
    picture = tmp_path / f"out.{suffix}"
    ran = process("calibrate", pairs, *HASH, "--plot", picture)  # matplotlib keeps its fonts open
    assert ran.code == 0, ran.err
    assert picture.read_bytes().startswith(begins)
    if suffix == "svg":
        assert b"<path" in picture.read_bytes()


@pytest.mark.parametrize(("name", "says"), [("out.docx", "cannot draw"), ("nowhere/out.png", "No such file")])
def test_a_picture_that_cannot_be_drawn_is_a_failure(process, pairs, tmp_path, name, says):
    ran = process("calibrate", pairs, *HASH, "--plot", tmp_path / name)
    assert ran.code == 3
    assert says in ran.err
    assert "Traceback" not in ran.err


def test_without_matplotlib_the_extra_is_named(mneme, pairs, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    ran = mneme("calibrate", pairs, *HASH, "--plot", tmp_path / "out.png")
    assert ran.code == 3
    assert "mneme-cache[plot]" in ran.err


def test_a_target_out_of_reach_is_a_no_and_a_wrong_file_a_failure(mneme, pairs, tmp_path):
    ran = mneme("calibrate", pairs, *HASH, "--min-recall", "1", "--grid", "0.99")
    assert ran.code == 1
    assert ran.out == ""
    assert "no pair reaches" in ran.err
    ran = mneme("calibrate", pairs, *HASH, "--min-recall", "1", "--grid", "0.99", "--json")
    assert ran.code == 1
    assert ran.document["result"] is None
    pairs.write_text(pairs.read_text(encoding="utf-8") + "\n{}", encoding="utf-8")
    ran = mneme("calibrate", pairs, *HASH)
    assert ran.code == 3
    assert f"{pairs}, line 6: has no 'a'" in ran.err
    assert mneme("calibrate", tmp_path / "nowhere.jsonl", *HASH).code == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--min-precision", "2"), "--min-precision must be from 0 to 1"),
        (("--grid", "0.9:0.1:0"), "step must be more than 0"),
        (("--grid", "high"), "'high'"),
        (("--grid", "1.5"), "must be from 0 to 1"),
        (("--fields", "a,b"), "are not three names"),
        (("--embedder", "none"), "has no vectors"),
        (("--csv", "--json"), "exclude each other"),
        (("--target-metric", "auc"), "auc"),
    ],
)
def test_wrong_usage_is_code_2(mneme, pairs, arguments, says):
    ran = mneme("calibrate", pairs, *(() if "--embedder" in arguments else HASH), *arguments)
    assert ran.code == 2
    assert says in ran.err


def test_the_module_is_the_same_command(pairs, environment):
    command = [sys.executable, "-m", "mneme.tools.calibrate", str(pairs), *HASH, "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["result"]["f1"] == 1.0
