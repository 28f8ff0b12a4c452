"""How commands are found, grouped and helped with: the parts of the help that click leaves to its users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import click

__all__ = ["Command", "Group"]

_MEANT = {
    "add": "put",
    "ask": "get",
    "backup": "export",
    "browse": "ui",
    "delete": "clear",
    "dump": "export",
    "info": "stats",
    "list": "inspect",
    "load": "import",
    "lookup": "get",
    "ls": "inspect",
    "migrate": "reembed",
    "purge": "vacuum",
    "remove": "clear",
    "repair": "check",
    "restore": "import",
    "rm": "clear",
    "save": "export",
    "search": "inspect",
    "set": "put",
    "show": "inspect",
    "store": "put",
    "verify": "check",
    "web": "ui",
}
"""What other programs call what these commands do."""


class Command(click.Command):
    """A command whose help ends with what its exit codes mean.

    Args:
        no: What code 1 says; `None` for a command that never ends with it.
        usual: What code 0 says.
    """

    def __init__(self, *args: Any, no: str | None = None, usual: str = "done", **options: Any) -> None:
        super().__init__(*args, **options)
        self.no = no
        self.usual = usual

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        codes = [f"0 {self.usual}", *([] if self.no is None else [f"1 {self.no}"]), "2 wrong usage", "3 failed"]
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(f"Exit codes: {'; '.join(codes)}; 130 interrupted.")


class Group(click.Group):
    """Commands in sections, by what one wants of them."""

    command_class = Command

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.sections: dict[str, Sequence[str]] = {}

    def add_sections(self, sections: Mapping[str, Sequence[click.Command]]) -> None:
        """Add commands under the titles of their sections."""
        for title, commands in sections.items():
            self.sections[title] = [str(command.name) for command in commands]
            for command in commands:
                self.add_command(command)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the signature is click's
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - the same
        widest = max(map(len, self.commands))
        for title, names in self.sections.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(name.ljust(widest), self.commands[name].get_short_help_str(limit=200)) for name in names]
                )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = not args or args[0] in self.commands or args[0].startswith("-")
        if not known and not ctx.resilient_parsing:  # a shell that completes the line wants no message in it
            near = [_MEANT[args[0]]] if args[0] in _MEANT else get_close_matches(args[0], self.commands, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else " 'mneme --help' lists the commands."
            raise click.UsageError(f"There is no command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            # click would end the process with 1, which says "no" here.
            raise _PipeClosed from error


class _PipeClosed(click.exceptions.Exit):
    def __init__(self) -> None:
        super().__init__(141)
