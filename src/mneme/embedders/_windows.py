"""Refuses texts that a library would not see whole: it would cut them off, or has no token for a word of them.

Either lets different texts look the same, and one answer for another. No library says so by itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from typing import Any

from mneme.errors import InputTooLongError

__all__ = ["refuse_unseen", "refuse_unseen_by_transformers", "unknown_token"]


def refuse_unseen(
    tokenizer: Any, texts: Iterable[str], source: str, *, unknown: int | None, special: bool = True
) -> None:
    """Raise `InputTooLongError` for the first text that a `tokenizers.Tokenizer` does not see whole, set as it is.

    *unknown* is the id of its token for words it does not know; *special* whether *source* has it add special tokens.
    """
    for text in texts:
        encoding = tokenizer.encode(text, add_special_tokens=special)
        if encoding.overflowing:
            raise InputTooLongError(f"the text is longer than the {len(encoding.ids)} tokens that {source} takes")
        words = [
            (token, where)
            for token, where, added in zip(encoding.ids, encoding.offsets, encoding.special_tokens_mask, strict=True)
            if not added
        ]
        for token, (start, end) in words:
            if token == unknown:
                _no_token(repr(text[start:end]), source)
        if not words:
            raise InputTooLongError(f"{source} has no token for anything in {text!r}, and sees an empty text")


def unknown_token(tokenizer: Any) -> int | None:
    """The id of the token for words that a `tokenizers.Tokenizer` does not know; `None` if it knows all."""
    model = tokenizer.model
    if not hasattr(model, "unk_token"):  # a Unigram model keeps it to itself
        found = json.loads(tokenizer.to_str())["model"].get("unk_id")
        return found if isinstance(found, int) else None
    token = model.unk_token
    found = tokenizer.token_to_id(token) if token else None
    return found if isinstance(found, int) else None


def refuse_unseen_by_transformers(
    tokenizer: Callable[..., Any], texts: Iterable[str], source: str, *, window: object, prompt: str
) -> None:
    """The same for a tokenizer of transformers, which takes at most *window* tokens, *prompt* among them."""
    limit = window if isinstance(window, (int, float)) and math.isfinite(window) else math.inf
    special = set(getattr(tokenizer, "all_special_ids", ()))
    unknown = _unknown_to_transformers(tokenizer)
    for text in texts:
        tokens = tokenizer(prompt + text, truncation=False, verbose=False)["input_ids"]
        if len(tokens) > limit:
            raise InputTooLongError(f"the text has {len(tokens)} tokens; {source} would cut it off after {window}")
        if unknown is not None and unknown in tokens:
            _no_token("a word of the text", source)
        if special.issuperset(tokens):
            raise InputTooLongError(f"{source} has no token for anything in {text!r}, and sees an empty text")


def _unknown_to_transformers(tokenizer: Any) -> int | None:
    """Unless the token stands for the end of a text as well, as with tokenizers that know every byte."""
    found = getattr(tokenizer, "unk_token_id", None)
    names = ("bos", "eos", "cls", "sep", "pad", "mask")
    return None if found in {getattr(tokenizer, f"{name}_token_id", None) for name in names} else found


def _no_token(what: str, source: str) -> None:
    raise InputTooLongError(
        f"{source} has no token for {what}, and could not tell the text from one with another such word in its place"
    )
