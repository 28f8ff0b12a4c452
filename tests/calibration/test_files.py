"""Labelled data from files: both formats, gzipped or not, and what is wrong with a line."""

import gzip

import pytest

from mneme import CalibrationError
from mneme.calibration.files import read_pairs

LINES = '{"a": "x", "b": "y", "same": true}\n\n{"a": "p", "b": "q", "same": 0, "more": 1}\n'
CELLS = 'same,a,b\nyes,x,y\n\nno,p,"q, or\nr"\n'


def test_json_lines_and_csv_are_read_plain_and_gzipped(tmp_path):
    for name, text, second in (("p.jsonl", LINES, "q"), ("p.csv", CELLS, "q, or\nr")):
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
        for path in (tmp_path / name, tmp_path / f"{name}.gz"):
            assert read_pairs(path) == ([("x", "y")], [("p", second)])


def test_pairs_are_json_in_a_file_of_whatever_name(tmp_path):
    (tmp_path / "p.txt").write_text(LINES, encoding="utf-8")
    assert read_pairs(tmp_path / "p.txt") == ([("x", "y")], [("p", "q")])


def test_fields_may_have_other_names(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text(LINES.replace("same", "equal"), encoding="utf-8")
    assert read_pairs(path, ("b", "a", "equal")) == ([("y", "x")], [("q", "p")])


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("p.jsonl", LINES + "{", "p.jsonl, line 4: no JSON"),
        ("p.jsonl", "[1]", "line 1: not a JSON object"),
        ("p.jsonl", '{"a": "x"}', "line 1: has no 'b'; it has 'a'"),
        ("p.jsonl", '{"a": "x", "b": 5, "same": 1}', "line 1: 'b' must be a text that is not blank, not 5"),
        ("p.jsonl", r'{"a": "x", "b": "\ud800", "same": 1}', "line 1: 'b' holds a lone surrogate"),
        ("p.jsonl", '{"a": "x", "b": "y", "same": "maybe"}', "line 1: 'same' must be true or false.*not 'maybe'"),
        ("p.jsonl", '{"a": "x", "b": "y", "same": 2}', "line 1: 'same' must be true or false.*not 2"),
        ("p.jsonl", '{"a": "x", "b": "y", "same": 1.0}', "line 1: 'same' must be"),
        ("p.jsonl", '{"a": "x", "b": "y", "same": 1}', "no pair .* do not mean the same"),
        ("p.csv", "same,a,b\n1,x\n", "p.csv, line 2: 2 cells, and the line of titles has 3"),
        ("p.csv", 'same,a,b\n1,x,"y\n', "p.csv, line 2: no CSV"),
        ("p.csv", "", "no pair .* that its texts mean the same"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_line(tmp_path, name, text, says):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CalibrationError, match=says):
        read_pairs(path)


def test_bytes_that_are_no_text_and_half_a_gzip_file_are_refused(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(CalibrationError, match="not UTF-8"):
        read_pairs(path)
    half = tmp_path / "p.jsonl.gz"
    half.write_bytes(gzip.compress(LINES.encode())[:-9])
    with pytest.raises(CalibrationError, match="no whole gzip file"):
        read_pairs(half)
    half.write_bytes(b"not at all")
    with pytest.raises(CalibrationError, match="no whole gzip file"):
        read_pairs(half)
    with pytest.raises(FileNotFoundError):
        read_pairs(tmp_path / "nowhere.csv")
