"""The tokenizer against the reference: expected tokens were written down from the `tokenizers` library."""

import gzip
import hashlib
import json
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from mneme.embedders import _wordpiece
from mneme.embedders._wordpiece import tokenize, vocabulary

GOLDEN = json.loads((Path(__file__).parent / "wordpiece_golden.json").read_text("utf-8"))


@pytest.mark.parametrize(("text", "expected"), GOLDEN, ids=[ascii(text)[:30] for text, _ in GOLDEN])
def test_tokens_are_those_of_the_reference(text, expected):
    names = {number: token for token, number in vocabulary().items()}
    ids, unknown = tokenize(text)
    assert [names[number] for number in ids] == ["[CLS]", *expected, "[SEP]"]
    assert len(unknown) == expected.count("[UNK]")


def test_the_vocabulary_is_the_published_one():
    known = vocabulary()
    assert len(known) == 30_522
    assert known["[PAD]"] == 0
    assert (known["[UNK]"], known["[CLS]"], known["[SEP]"]) == (_wordpiece.UNK, _wordpiece.CLS, _wordpiece.SEP)
    packed = (files("mneme.embedders") / "bert_uncased_vocab.txt.gz").read_bytes()
    digest = hashlib.sha256(gzip.decompress(packed)).hexdigest()
    assert digest == "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"


def test_control_tokens_in_a_text_are_text():
    assert set(tokenize("[CLS] one [SEP] two [MASK] [PAD] [UNK]")[0][1:-1]).isdisjoint({0, 100, 101, 102, 103})


def test_a_long_word_is_unknown_even_if_its_pieces_are_not():
    assert tokenize("a" * 101)[1] == ["a" * 101]
    assert tokenize("a" * 100)[1] == []


def test_unknown_words_are_named():
    assert tokenize("smile \N{GRINNING FACE} please")[1] == ["\N{GRINNING FACE}"]


@given(st.text())
def test_any_text_has_tokens_of_the_vocabulary_between_the_two_marks(text):
    ids, unknown = tokenize(text)
    assert ids[0] == 101
    assert ids[-1] == 102
    assert all(0 <= number < 30_522 for number in ids)
    assert ids.count(100) == len(unknown)


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)))
def test_case_and_surrounding_space_make_no_difference(text):
    assert tokenize(text) == tokenize(f"  {text.upper()}\n")
