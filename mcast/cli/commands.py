"""The commands: each is a function of its own name in a module of that name, imported when it is called for.

`mcast --help` imports none of them: it shows the lines below, which are the first of each docstring.
Their modules leave annotations what they are (no `from __future__ import annotations`): strings typer would
evaluate four times, which takes longer than all else it does with a command.
"""

from __future__ import annotations

import importlib
from typing import Any, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

SUMMARIES = {
    "chat": "Talk with everyone in a group. In a pipe every line of stdin is a message.",
    "announce": "Say what you offer, be in the group with it, and show who is there.",
    "browse": "Show who is in the group and what they offer.",
    "listen": "Print the messages that arrive in a group, a line each.",
    "send": "Send messages to a group.",
    "bench": "Measure what the network carries between members: bandwidth, losses, jitter, repairs, CPU.",
    "interfaces": "Show the network interfaces, whether mcast uses them, and why.",
}


class Named(TyperCommand):
    """A command of which only name and line are known yet."""

    def imported(self) -> TyperCommand:
        """The command itself."""
        name = str(self.name)
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(name)(getattr(importlib.import_module(f".{name}", __package__), name))
        return cast(TyperCommand, get_command(alone))


class Commands(TyperGroup):
    """The group `mcast`: names and lines, until one of the commands is to run."""

    def __init__(self, **options: Any) -> None:
        named = {name: Named(name, help=line, rich_markup_mode=None) for name, line in SUMMARIES.items()}
        super().__init__(**{**options, "commands": named})

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error in its arguments tells whose they are, as typer's parser may not."""
        try:
            return super().invoke(ctx)
        except TyperException as error:
            if ctx.invoked_subcommand is not None:
                error.add_note(f"{ctx.command_path} {ctx.invoked_subcommand}")
            raise

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Import the command that is to run, or whose options are to be completed."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.imported() if isinstance(command, Named) else command, rest
