"""The list of commands, and the help that teaches them."""

from __future__ import annotations

import click

from mneme import __version__
from mneme.cli._calibrate import calibrate
from mneme.cli._care import check, clear, vacuum
from mneme.cli._certify import certify
from mneme.cli._checkpoint import export, import_
from mneme.cli._forget import forget
from mneme.cli._get import get
from mneme.cli._inspect import inspect
from mneme.cli._plan import plan
from mneme.cli._put import put
from mneme.cli._reembed import reembed
from mneme.cli._stats import stats
from mneme.cli.demo import demo

__all__ = ["app"]


class _Commands(click.Group):
    """Commands in the order in which one meets them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the signature is click's
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            # click would end the process with 1, which says "no" here.
            raise _PipeClosed from error


class _PipeClosed(click.exceptions.Exit):
    def __init__(self) -> None:
        super().__init__(141)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  mneme demo                                                 see it work
  mneme put answers.db "What is the capital of France?" Paris
  mneme get answers.db "Which city is France's capital?"     in other words
  mneme get answers.db "capital of France" --explain         why, or why not
  mneme inspect answers.db --contains france                 what is in there
  mneme inspect answers.db --similar "French cities"         by meaning
  mneme stats answers.db                                     how it is used
  mneme check answers.db                                     is it sound
  mneme vacuum answers.db                                    remove what expired
  mneme reembed answers.db --embedder my.module:model        move to another embedder
  mneme clear answers.db --yes                               remove everything
  mneme forget answers.db --where user_id=42                 leave no trace of it
  mneme export answers.db answers.mneme                      all of it in one archive
  mneme import answers.mneme copy.db                         and out of it again
  mneme plan --entries 10m --dim 768                         what that many would take
  mneme calibrate pairs.jsonl                                a threshold from labelled pairs
  mneme certify traffic.jsonl                                how often a hit is wrong

Every command takes --json: one document on stdout, errors as JSON on stderr. Where there is no terminal the output
is plain text.

Exit codes: 0 ok, 1 no (a miss, or a problem found), 2 wrong usage, 3 failed, 130 interrupted.""",
)
@click.version_option(__version__, prog_name="mneme")
def app() -> None:
    """A semantic cache in a file: it answers again whatever means the same as something answered before."""


for _command in (
    demo,
    put,
    get,
    inspect,
    stats,
    check,
    vacuum,
    clear,
    forget,
    reembed,
    export,
    import_,
    plan,
    calibrate,
    certify,
):
    app.add_command(_command)
