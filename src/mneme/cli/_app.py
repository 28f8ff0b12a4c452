"""The list of commands, and the help that teaches them."""

from __future__ import annotations

import click

from mneme import __version__
from mneme.cli._calibrate import calibrate
from mneme.cli._care import check, clear, vacuum
from mneme.cli._certify import certify
from mneme.cli._checkpoint import export, import_
from mneme.cli._command import Group
from mneme.cli._completion import completion
from mneme.cli._forget import forget
from mneme.cli._get import get
from mneme.cli._inspect import inspect
from mneme.cli._pairs import pairs
from mneme.cli._plan import plan
from mneme.cli._put import put
from mneme.cli._reembed import reembed
from mneme.cli._stats import stats
from mneme.cli._ui import ui
from mneme.cli.demo import demo

__all__ = ["app"]


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
First steps:
  mneme demo --quick                             see it work
  mneme put a.db "Capital of France?" Paris      a cache in a file
  mneme get a.db "France's capital?" --explain   what answers, and why
  mneme inspect a.db                             what is in there
  mneme COMMAND -h                               more of each, with examples

Every command takes --json: one document on stdout, errors as JSON on stderr. Where there is no terminal the output
is plain text.

Exit codes: 0 done; 1 no (a miss, or a problem found); 2 wrong usage; 3 failed; 130 interrupted.""",
)
@click.version_option(__version__, prog_name="mneme")
def app() -> None:
    """A semantic cache in a file: it answers again whatever means the same as something answered before."""


app.add_sections(
    {
        "To begin": (demo, plan, completion),
        "Looking": (get, inspect, stats, ui),
        "Changing": (put, clear, forget, vacuum),
        "Moving": (export, import_, reembed),
        "Trusting": (check, pairs, calibrate, certify),
    }
)
