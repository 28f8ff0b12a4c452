"""What a shell is told to complete that only a file knows."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from mneme.cli._open import opened

__all__ = ["as_file", "embedders", "namespaces"]


def namespaces(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
    """Those of the file in the line; none where there is no such file, or it cannot be read.

    A name that the shell would not take as it stands is left out: tenants choose names, and one may hold a command.
    """
    # Where the option has no value yet, click has not told the arguments apart: they are what is left over.
    words = [context.params.get("file"), context.params.get("cache"), *context.args]
    file = next((Path(word) for word in words if word and Path(word).is_file()), None)
    try:
        if file is None or not file.stat().st_size:  # to open an empty file is to make a cache of it
            return []
        with opened(file) as cache:
            names = cache.list_namespaces()
    except Exception:  # noqa: BLE001 - whoever presses a key wants no message in the middle of the line
        return []
    return [CompletionItem(name) for name in names if name.startswith(begun) and shlex.quote(name) == name]


def as_file(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
    """A file, by the shell's own means, for what may be the URL of a server as well."""
    return [CompletionItem(begun, type="file")]


def embedders(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
    """The two that have names."""
    return [CompletionItem(name) for name in ("local", "none") if name.startswith(begun)]
