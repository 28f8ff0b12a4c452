"""`mneme pairs`: from a file of questions to a file of pairs that `mneme calibrate` takes when it is filled in."""

import csv
import io
import json

import pytest

from cli.conftest import HASH
from mneme.calibration.proposals import Proposal
from mneme.cli._pairs import _write as write

QUESTIONS = ["When are you open today?", "When do you open today?", "Cancel my subscription", "Cancel the subscription"]
QUESTIONS.append("Cancel my appointment")


@pytest.fixture(params=["txt", "csv", "jsonl"])
def questions(request, tmp_path):
    path = tmp_path / f"questions.{request.param}"
    texts = {
        "txt": "\n".join(QUESTIONS),
        "csv": "number,question\n" + "".join(f"{n},{text}\n" for n, text in enumerate(QUESTIONS)),
        "jsonl": "\n".join(json.dumps({"text": text}) for text in QUESTIONS),
    }
    path.write_text(texts[request.param], encoding="utf-8")
    return path


def test_pairs_are_written_labelled_and_calibrated_with(mneme, questions, tmp_path):
    pairs = tmp_path / "pairs.csv"
    ran = mneme("pairs", questions, pairs, *HASH, "--least", "0")
    assert ran.code == 0
    assert f"mneme calibrate {pairs}" in ran.out
    rows = list(csv.DictReader(io.StringIO(pairs.read_text(encoding="utf-8"))))
    assert len(rows) == 3
    assert {row["same"] for row in rows} == {""}

    unlabelled = mneme("calibrate", pairs, *HASH)
    assert unlabelled.code == 3
    assert "'same'" in unlabelled.err

    for row in rows:
        row["same"] = "no" if "appointment" in row["b"] else "yes"
    rows.append({"a": "x", "b": "y", "similarity": "0", "same": ""})  # nobody has said
    with pairs.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    document = mneme("calibrate", pairs, *HASH, "--json").document["result"]
    assert (document["paraphrases"], document["distractors"], document["f1"]) == (2, 1, 1.0)


def test_it_says_what_it_did_as_json(mneme, questions, tmp_path):
    pairs = tmp_path / "pairs.csv"
    assert mneme("pairs", questions, pairs, *HASH, "--count", "1", "--json").document == {
        "questions": 5,
        "pairs": 1,
        "file": str(pairs),
    }


def test_labels_are_never_written_over(mneme, questions, tmp_path):
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("a,b,same\nx,y,yes\n", encoding="utf-8")
    ran = mneme("pairs", questions, pairs, *HASH)
    assert ran.code == 3
    assert "may hold labels" in ran.err
    assert pairs.read_text(encoding="utf-8") == "a,b,same\nx,y,yes\n"


def test_half_a_file_of_pairs_is_not_left_behind(tmp_path):
    pairs = tmp_path / "pairs.csv"
    with pytest.raises(UnicodeEncodeError):
        write(pairs, [Proposal("x", "y", 0.9), Proposal("x", "\ud800", 0.8)])
    assert not pairs.exists()


def test_questions_that_have_nothing_in_common_are_no_pairs(mneme, tmp_path):
    questions, pairs = tmp_path / "q.txt", tmp_path / "pairs.csv"
    questions.write_text("abc def\nuvw xyz\n", encoding="utf-8")
    ran = mneme("pairs", questions, pairs, *HASH, "--least", "0.9")
    assert (ran.code, pairs.exists()) == (1, False)
    assert "similarity of 0.9" in ran.err


def test_a_file_whose_field_is_called_otherwise_says_which_there_are(mneme, tmp_path):
    questions = tmp_path / "q.csv"
    questions.write_text("id,prompt\n1,How do I pay?\n2,How do I pay now?\n", encoding="utf-8")
    ran = mneme("pairs", questions, tmp_path / "p.csv", *HASH)
    assert ran.code == 3
    assert "'prompt'" in ran.err
    assert mneme("pairs", questions, tmp_path / "p.csv", *HASH, "--field", "prompt").code == 0


def test_without_an_embedder_there_is_nothing_to_compare(mneme, questions, tmp_path):
    assert mneme("pairs", questions, tmp_path / "p.csv", "--embedder", "none").code == 2
