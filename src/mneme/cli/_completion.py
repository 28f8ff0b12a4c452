"""`mneme completion`: the script that lets a shell complete commands, options, files and namespaces."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from mneme.cli import _options as options
from mneme.cli._command import Command
from mneme.cli._failure import Failure
from mneme.cli._out import Out

_VARIABLE = "_MNEME_COMPLETE"
"""Set by the script when it asks; click's own name for a program that is called mneme."""


@click.command(
    cls=Command,
    short_help="Print the script that lets a shell complete commands.",
    epilog="""\b
Examples:
  mneme completion bash > ~/.local/share/bash-completion/completions/mneme
  mneme completion zsh > ~/.zfunc/_mneme      a directory of your fpath
  mneme completion fish > ~/.config/fish/completions/mneme.fish
  eval "$(mneme completion bash)"             in this shell alone""",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@options.json_option
@click.pass_context
def completion(context: click.Context, /, *, shell: str, as_json: bool) -> None:
    """Print the script that lets SHELL complete commands, options, files and namespaces.

    Namespaces are read from the file that stands before them in the line.
    """
    made = get_completion_class(shell)
    if made is None:
        raise Failure(f"click knows no completion for {shell}; choose bash, zsh or fish")
    script = made(context.find_root().command, {}, "mneme", _VARIABLE).source()
    out = Out(as_json=as_json)
    out.document({"shell": shell, "script": script})
    if not as_json:
        click.echo(script)
