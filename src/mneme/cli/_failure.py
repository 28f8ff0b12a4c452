"""What a command raises when it cannot do what it was asked, and how errors of the library become that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from mneme import EmbedderMismatchError, MnemeError

NO = 1
FAILED = 3


class Failure(Exception):  # noqa: N818 - the name of an outcome, next to `NO`
    """Ends the command with code 3 and this message, which says what to do about it."""

    def __init__(self, message: str, kind: str = "Failure") -> None:
        super().__init__(message)
        self.kind = kind


def no() -> click.exceptions.Exit:
    """To raise: the command did its work, and the answer is no."""
    return click.exceptions.Exit(NO)


@contextmanager
def asking() -> Iterator[None]:
    """Around calls that are given what the user typed: a value that the library refuses is wrong usage."""
    try:
        yield
    except EmbedderMismatchError as error:
        raise Failure(
            f"{error}. Here: pass --embedder module:attribute with the embedder it was made with; to look up equal "
            f"queries alone, --embedder none is enough",
            type(error).__name__,
        ) from error
    except MnemeError:  # some of these are ValueErrors too
        raise
    except (TypeError, ValueError) as error:
        raise click.UsageError(str(error)) from error
