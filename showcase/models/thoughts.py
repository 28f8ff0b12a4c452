"""What a model that thinks aloud says besides: its thoughts are no part of the answer."""

from __future__ import annotations

__all__ = ["Spoken", "without_thoughts"]

_BEGIN, _END = "<think>", "</think>"


class Spoken:
    """Lets through what is said after the thoughts, piece by piece as it comes."""

    def __init__(self) -> None:
        self._held = ""
        self._speaking = False

    def hear(self, piece: str) -> str:
        """What of the answer is known with *piece*; empty while the model thinks."""
        if self._speaking:
            return piece
        self._held += piece
        text = self._held.lstrip()
        if text.startswith(_BEGIN):
            _, end, said = text.partition(_END)
            self._speaking = bool(end)
            return said.lstrip()
        if _BEGIN.startswith(text):  # not yet to be told
            return ""
        self._speaking = True
        return self._held


def without_thoughts(text: str) -> str:
    """A whole answer. Some models are made to think by their template: then only the end of the thoughts is marked."""
    _, end, said = text.rpartition(_END)
    if end:
        return said.strip()
    return "" if text.lstrip().startswith(_BEGIN) else text.strip()
