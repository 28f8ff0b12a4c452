"""What a cache says of itself at a prompt: from memory alone, without asking the store or a model."""

from __future__ import annotations

from mneme._engine.core import Core


def described(kind: str, where: str, core: Core) -> str:
    """One line: where the entries lie, how many there are, whose vectors, and from which similarity on they answer.

    Args:
        kind: The name of the class.
        where: The path or the store, as its `repr` shows it.
        core: May be closed, or not open yet.
    """
    if core.closed:
        return f"<{kind} {where}, closed>"
    if core.info is None:
        return f"<{kind} {where}, not open yet>"
    count = sum(list(core.counts.values()))  # copied at one stroke: others may write
    entries = "1 entry" if count == 1 else f"{count:,} entries"
    if core.embedder is None:
        return f"<{kind} {where}, {entries}, exact layer alone>"
    threshold = "certified" if core.certified is not None else f"{core.threshold:g}"
    return f"<{kind} {where}, {entries}, embedder {core.info.fingerprint!r}, threshold {threshold}>"
