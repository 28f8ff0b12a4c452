"""Whether anything of a text is left in the files of a cache: every byte of them is read."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

__all__ = ["traces"]

_CHUNK = 1 << 20


def traces(file: Path, texts: Collection[str]) -> dict[str, int]:
    """For each file of the cache, the log and the saved index among them, how often any of *texts* stands in it."""
    files = sorted(found for found in file.parent.glob(f"{file.name}*") if found.is_file())
    wanted = {text.encode() for text in texts if text}
    return {found.name: sum(_count(found, text) for text in wanted) for found in files}


def _count(file: Path, text: bytes) -> int:
    """How often *text* stands in *file*, also where it lies across the border of two chunks."""
    count, before = 0, b""
    with file.open("rb") as reader:
        while chunk := reader.read(_CHUNK):
            data = before + chunk
            count += data.count(text)
            before = data[-(len(text) - 1) :] if len(text) > 1 else b""
    return count
