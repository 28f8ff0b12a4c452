"""Removing what an index left in files: its saved form, and what a crash left of one that was being written."""

from __future__ import annotations

import re
from pathlib import Path

_UNFINISHED = re.compile(r"\.[0-9a-f]{8}\.new")


def remove(path: str) -> list[str]:
    """Remove the saved index at *path* and every unfinished one beside it; which could not be, a sentence each.

    Whoever has one of them mapped goes on with it: the name is gone, and the bytes are when they let go.
    """
    target = Path(path)
    remains = []
    try:
        names = [beside.name for beside in target.parent.iterdir()]
    except OSError:
        names = [target.name]
    for name in names:
        if name != target.name and not (
            name.startswith(target.name) and _UNFINISHED.fullmatch(name[len(target.name) :])
        ):
            continue
        try:
            (target.parent / name).unlink(missing_ok=True)
        except OSError as error:
            remains.append(
                f"{str(target.parent / name)!r} holds vectors and could not be removed ({error.strerror}): "
                "remove it when no process has it open"
            )
    return remains
