"""Runs the command: every way it can end becomes an exit code, and a message without a traceback."""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import Sequence

import click

from mneme import MnemeError
from mneme.cli._app import app
from mneme.cli._failure import FAILED, Failure

_INTERRUPTED = 130
_PIPE_CLOSED = 141
"""What a shell reports of a command that SIGPIPE ended: neither a success nor a "no"."""


def run(arguments: Sequence[str]) -> int:
    """The exit code of the command with *arguments*."""
    as_json = "--json" in arguments
    _show_every_character()
    warnings = _Warnings()
    logger = logging.getLogger("mneme")
    logger.addHandler(warnings)
    try:
        outcome = app.main(args=list(arguments), prog_name="mneme", standalone_mode=False)
        sys.stdout.flush()
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except BrokenPipeError:
        _let_go_of_stdout()
        return _PIPE_CLOSED
    except Exception as error:  # noqa: BLE001 - Python would exit with 1, which says "no" here
        return _tell(error, as_json=as_json)
    finally:
        logger.removeHandler(warnings)
    return outcome if isinstance(outcome, int) else 0


def _tell(error: Exception, *, as_json: bool) -> int:
    """Say on stderr what went wrong; the exit code."""
    if isinstance(error, click.UsageError):
        if as_json:
            _complain(type(error).__name__, error.format_message(), as_json=True)
        else:
            error.show()
        return error.exit_code
    trace = None
    if not isinstance(error, (Failure, MnemeError, click.ClickException, ImportError, OSError)):
        trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    kind = error.kind if isinstance(error, Failure) else type(error).__name__
    _complain(kind, str(error), as_json=as_json, trace=trace)
    return FAILED


def _complain(kind: str, message: str, *, as_json: bool, trace: str | None = None) -> None:
    if as_json:
        told = {"type": kind, "message": message} | ({} if trace is None else {"traceback": trace})
        click.echo(json.dumps({"error": told}), err=True)
        return
    if trace is not None:  # not foreseen, so whoever reports it needs to know where
        click.echo(trace, err=True, nl=False)
        message = f"unexpected {kind}: {message}"
    click.echo(f"mneme: {message}", err=True)


def _show_every_character() -> None:
    """Let no character that the terminal's encoding lacks end the command."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # a stream that a program put there may have none
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


class _Warnings(logging.Handler):
    """Prints a warning of the library and the error behind it on one line, without the traceback."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        because = "" if error is None else f": {type(error).__name__}: {error}"
        click.echo(f"mneme: warning: {record.getMessage()}{because}", err=True)


def _let_go_of_stdout() -> None:
    """The reader is gone; what is still buffered would fail again when Python ends."""
    try:
        descriptor = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
