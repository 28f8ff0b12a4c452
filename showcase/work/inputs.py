"""What people type, checked: a page shows the message of a `BadInputError` beside the form, and nothing was done."""

from __future__ import annotations

__all__ = ["BadInputError", "checked_text"]


class BadInputError(ValueError):
    """Something that was typed cannot be used; the message says what, and what to do about it."""


def checked_text(value: str, what: str, most: int) -> str:
    """*value* without white space around it.

    Args:
        value: What was typed.
        what: What it is, for the message: "the question".
        most: How many characters it may have.

    Raises:
        BadInputError: It is blank or too long, or holds characters that are no text.
    """
    text = value.strip()
    if not text:
        raise BadInputError(f"{what} is empty: type something first")
    if len(text) > most:
        raise BadInputError(f"{what} has {len(text):,} characters, and at most {most:,} are taken: shorten it")
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise BadInputError(f"{what} holds characters that are no text: remove them")
    return text
