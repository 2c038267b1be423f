"""The command line: `main` runs a command and turns every error into one line on standard error.

Each command is a function in a module of its own name, imported when the command is called. `mcast --help`
imports none of them: it shows SUMMARIES, the first lines of their docstrings. Their modules do without
`from __future__ import annotations`, because typer would evaluate the strings four times, which is slow.
"""

import errno
import importlib
import os
import re
import signal
import sys
from typing import Annotated, Any, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

import mcast
from mcast.errors import McastError, UsageError

from . import config, exits
from .output import (
    OutputClosed,
    discard,
    finish_notes,
    finish_outputs,
    internal_error,
    note,
    prepare_console,
    write_error,
)

SUMMARIES = {
    "chat": "Chat with everyone in a group. In a pipe, each line of stdin is a message.",
    "announce": "Advertise services and show who is in the group.",
    "browse": "Show who is in the group and what they offer.",
    "listen": "Print the messages that arrive in a group, one per line.",
    "send": "Send messages to a group.",
    "drop": "Send files and directories to all who accept them, at once.",
    "get": "Accept files that others offer with mcast drop, or with /drop in a chat.",
    "ask": "Ask the peers that answer questions, and print each answer behind the name of its peer.",
    "reply": "Answer the questions of others: with a command, with an echo, or yourself on a terminal.",
    "replay": "Send the messages of a recording again, with the pauses between them.",
    "gateway": "Let people without mcast into a group: lines over TCP, or a web page.",
    "key": "Make, share and keep the secret keys of rooms.",
    "identity": "Show, move and replace your identity, and verify those of others.",
    "history": "Show the messages that your chats have kept, or remove them.",
    "bench": "Measure bandwidth, loss, jitter and repairs between members.",
    "ping": "Measure the ways to peers, by unicast and by multicast.",
    "doctor": "Find out why multicast does not work here, and what to do about it.",
    "interfaces": "Show the network interfaces, whether mcast uses them, and why.",
}


class LazyCommand(TyperCommand):
    """A command that is not imported yet: only its name and summary are known."""

    def load(self) -> TyperCommand:
        """Import the command."""
        name = str(self.name)
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        module = importlib.import_module(f".{name}", __package__)
        settings = getattr(module, "CONTEXT_SETTINGS", {})
        alone.command(name, context_settings=settings)(getattr(module, name))
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            # By mcast.__main__, for the time of imports. What commands do can be interrupted.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return cast(TyperCommand, get_command(alone))


class Commands(TyperGroup):
    """The group `mcast`, with a lazy command for each summary."""

    def __init__(self, **options: Any) -> None:
        lazy = {name: LazyCommand(name, help=line, rich_markup_mode=None) for name, line in SUMMARIES.items()}
        super().__init__(**{**options, "commands": lazy})

    def invoke(self, ctx: Any) -> Any:
        """Run the command. An error in its arguments gets a note with its name, which typer may not know."""
        try:
            return super().invoke(ctx)
        except TyperException as error:
            if ctx.invoked_subcommand is not None:
                error.add_note(f"{ctx.command_path} {ctx.invoked_subcommand}")
            raise

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Import the command that is called, or whose options are to be completed."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, LazyCommand) else command, rest


app = typer.Typer(
    name="mcast",
    cls=Commands,
    help="Group chat and discovery on your LAN: no server, no account, no configuration.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    # Plain help: importing rich takes longer than the rest of --help.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mcast {mcast.__version__}")
        raise typer.Exit


@app.callback()
def _common(
    context: typer.Context,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="MCAST_DEBUG", help="Show the traceback of an error.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    os.environ["MCAST_DEBUG"] = "1" if debug else ""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(exits.USAGE)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code. Errors are one line on standard error."""
    prepare_console()
    try:
        return _run(arguments)
    finally:
        finish_notes()


def _run(arguments: list[str] | None) -> int:
    typed = sys.argv[1:] if arguments is None else arguments
    try:
        defaults = config.defaults(app)
        code = app(args=arguments, prog_name="mcast", standalone_mode=False, default_map=defaults)
        finish_outputs()
        return code or exits.DONE
    except TyperException as error:
        return _fail(_usage_text(error, typed), exits.USAGE)
    except UsageError as error:
        return _fail(f"{error}{config.set_in_environment(error.message, typed)}", exits.USAGE, error)
    except McastError as error:
        return _fail(_sentence(error), exits.of_error(error), error)
    except (OutputClosed, BrokenPipeError):
        return exits.DONE
    except SystemExit as end:
        # typer raises this if nobody reads the help.
        if isinstance(end.__context__, BrokenPipeError):
            return exits.DONE
        raise
    except (KeyboardInterrupt, typer.Abort) as end:
        return exits.INTERRUPTED + (signal.SIGTERM if isinstance(end, exits.Terminated) else signal.SIGINT)
    except OSError as error:
        return _fail(_refused(error), exits.FAILED, error)
    except Exception as error:
        return _fail(_fault(error), exits.FAILED, error)


def _refused(error: OSError) -> str:
    """The line about an OSError that has not become a McastError."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "too many open files: raise the limit: ulimit -n"
    discard(sys.stdout)  # typer could not print the help
    return str(write_error(error))


def _fault(error: Exception) -> str:
    """The line about an error that nothing else explains."""
    # typer puts completions for the shell there.
    if isinstance(error, RuntimeError) and "home directory" in str(error):
        return "this user has no home directory: set HOME"
    return internal_error(error)


def _fail(text: str, code: int, error: Exception | None = None) -> int:
    if error is not None and os.environ.get("MCAST_DEBUG"):
        import traceback

        traceback.print_exception(error)
    note(" ".join(text.split()))
    return code


def _sentence(error: McastError) -> str:
    """The error and its remedy; a command as the remedy is marked as one."""
    command = error.remedy.removeprefix("see: ")
    return str(error) if command == error.remedy else f"{error.message}; run `{command}`"


_REWORDED = (
    # typer names the variable of an option even if the value was typed.
    (r" \(env var: '\w+'\)", ""),
    (r"\. Did you mean (.+)\?$", r" (did you mean \1?)"),
    (r" \(Possible options: (.+)\)$", r" (did you mean \1?)"),
    (r"^Got unexpected extra argument\(s\) \((.+)\)$", r"Too many arguments: \1"),
    (r"is not a valid boolean\. Recognized values: .*", "is neither 1 (on) nor 0 (off)"),
    (r"^(Missing argument '.+')\. Choose from:.*", r"\1"),
)
"""What typer says, as patterns, and how it is said here."""


def _usage_text(error: TyperException, typed: list[str]) -> str:
    message = error.format_message().strip().rstrip(".")
    for pattern, words in _REWORDED:
        message = re.sub(pattern, words, message, flags=re.DOTALL)
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else [*getattr(error, "__notes__", ()), "mcast"][0]
    if getattr(error, "option_name", "") == "--debug" and path != "mcast":
        return f"--debug goes before the command: mcast --debug {path.removeprefix('mcast ')}"
    # If typer knows the parameter, only its own variable can be the cause.
    variable = getattr(getattr(error, "param", None), "envvar", None)
    environ = {variable: os.environ.get(variable, "")} if isinstance(variable, str) else os.environ
    message += config.set_in_environment(message, typed, environ)
    return f"{message}; see: {path} --help"
