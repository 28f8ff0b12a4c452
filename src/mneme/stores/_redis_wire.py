"""Commands as they go over the wire. Written here, because a command of thousands of words is packed often."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["command", "packed"]


def packed(words: Iterable[bytes]) -> bytes:
    """The words, each as a bulk string."""
    return b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words])


def command(head: bytes, words: int, arguments: Sequence[bytes]) -> bytes:
    """A command that begins with *words* words, already packed in *head*, and goes on with *arguments*."""
    return b"*%d\r\n%b%b" % (words + len(arguments), head, packed(arguments))
