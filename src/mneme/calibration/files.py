"""Labelled data from files: JSON lines or CSV, plain or gzipped. What is wrong is named with file and line."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mneme import CalibrationError
from mneme.calibration.pairs import Pair

PAIR_FIELDS = ("a", "b", "same")
TEXT_FIELDS = ("query", "question", "text")
_YES, _NO = frozenset({"true", "1", "yes"}), frozenset({"false", "0", "no"})


def read_pairs(path: str | Path, fields: Sequence[str] = PAIR_FIELDS) -> tuple[list[Pair], list[Pair]]:
    """The pairs of a file that mean the same, and those that do not.

    A line has two texts and whether they mean the same: `true`, `1` or `yes`, or `false`, `0` or `no`. Where that is
    blank or `null` nobody has said it yet, and the line is left out. Other fields are ignored.

    Args:
        path: A name that ends in `.csv` (with a line of titles) or in anything else (a JSON object a line); `.gz` after
            that means that it is gzipped.
        fields: What the three are called.

    Raises:
        CalibrationError: A line is wrong; the message names it. Or there are no pairs of one kind.
        OSError: The file cannot be read.
    """
    first, second, label = fields
    pairs: dict[bool, list[Pair]] = {True: [], False: []}
    for where, row in rows(path):
        texts = text_of(row, first, where), text_of(row, second, where)
        same = _truth(row, label, where)
        if same is not None:
            pairs[same].append(texts)
    for same, kind in ((True, "mean the same"), (False, "do not mean the same")):
        if not pairs[same]:
            raise CalibrationError(f"{path}: no pair has a {label!r} that says that its texts {kind}; both are needed")
    return pairs[True], pairs[False]


def rows(path: str | Path, *, plain: bool = False) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every line that is not blank as a mapping, and where it stands ("pairs.csv, line 3")."""
    source = Path(path)
    zipped = source.suffix == ".gz"
    kind = Path(source.stem).suffix if zipped else source.suffix
    read = _csv_rows if kind == ".csv" else _text_rows if plain and kind == ".txt" else _json_rows
    try:
        with (
            gzip.open(source) if zipped else source.open("rb") as raw,
            io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as file,
        ):
            for number, row in read(file, str(path)):
                yield f"{path}, line {number}", row
    except UnicodeDecodeError as error:
        raise CalibrationError(f"{path} is not UTF-8: {error}") from error
    except (EOFError, gzip.BadGzipFile) as error:
        raise CalibrationError(f"{path} is no whole gzip file: {error}") from error


def _json_rows(file: io.TextIOWrapper, name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise CalibrationError(f"{name}, line {number}: no JSON: {error}") from error
        if not isinstance(row, dict):
            raise CalibrationError(f"{name}, line {number}: not a JSON object")
        yield number, row


def _text_rows(file: io.TextIOWrapper, _: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    yield from ((number, {"text": line.strip()}) for number, line in enumerate(file, start=1) if line.strip())


def _csv_rows(file: io.TextIOWrapper, name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.reader(file, strict=True)
    try:
        titles = next(reader, [])
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(titles):
                raise CalibrationError(
                    f"{name}, line {reader.line_num}: {len(cells)} cells, and the line of titles has {len(titles)}"
                )
            yield reader.line_num, dict(zip(titles, cells, strict=True))
    except csv.Error as error:
        raise CalibrationError(f"{name}, line {reader.line_num}: no CSV: {error}") from error


def value_of(row: Mapping[str, Any], field: str, where: str) -> Any:
    """What the line has in that field."""
    if field not in row:
        raise CalibrationError(f"{where}: has no {field!r}; it has {', '.join(map(repr, row)) or 'nothing'}")
    return row[field]


def read_texts(path: str | Path, field: str | None = None) -> list[str]:
    """The texts of a file, one a line: JSON lines or CSV as for pairs, or in a `.txt` nothing but the text.

    Args:
        path: A name that ends in `.csv`, `.txt` or anything else (JSON), with `.gz` after that if it is gzipped.
        field: What the text is called; if not given, the first of "query", "question" and "text" that a line has.

    Raises:
        CalibrationError: A line is wrong; the message names it.
        OSError: The file cannot be read.
    """
    return [text_of(row, field or _text_field(row, where), where) for where, row in rows(path, plain=True)]


def _text_field(row: Mapping[str, Any], where: str) -> str:
    for name in TEXT_FIELDS:
        if name in row:
            return name
    raise CalibrationError(
        f"{where}: has none of {', '.join(map(repr, TEXT_FIELDS))}; it has {', '.join(map(repr, row)) or 'nothing'}: "
        "say which of them is the text"
    )


def text_of(row: Mapping[str, Any], field: str, where: str) -> str:
    """The text in that field, which says something."""
    text = value_of(row, field, where)
    if not isinstance(text, str) or not text.strip():
        raise CalibrationError(f"{where}: {field!r} must be a text that is not blank, not {text!r}")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise CalibrationError(f"{where}: {field!r} holds a lone surrogate and is not valid text; repair its decoding")
    return text


def _truth(row: Mapping[str, Any], field: str, where: str) -> bool | None:
    value = value_of(row, field, where)
    word = "" if value is None else str(value).strip().lower()
    if not word:
        return None
    if isinstance(value, (bool, int, str)) and word in _YES | _NO:
        return word in _YES
    raise CalibrationError(f"{where}: {field!r} must be true or false, 1 or 0, yes or no, not {value!r}")
