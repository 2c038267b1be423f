"""The command line: one module a command (`commands`); `main` runs them, an error is a line."""

import os
import re
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

import mcast
from mcast.errors import McastError, UsageError

from . import config, exits
from .commands import Commands
from .render import OutputClosed, discard, fault, note, prepare_console, write_error

app = typer.Typer(
    name="mcast",
    cls=Commands,
    help="The LAN's own group chat: no server, no account, no configuration.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    # Plain help: importing rich takes longer than all else that --help does.
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
        bool, typer.Option("--debug", envvar="MCAST_DEBUG", help="Show where an error comes from.")
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
    typed = sys.argv[1:] if arguments is None else arguments
    try:
        defaults = config.defaults(app)
        code = app(args=arguments, prog_name="mcast", standalone_mode=False, default_map=defaults)
        return code or exits.DONE
    except TyperException as error:
        return _say(_usage_text(error, typed), exits.USAGE)
    except UsageError as error:
        return _say(f"{error}{config.set_in_environment(error.message, typed)}", exits.USAGE, error)
    except McastError as error:
        return _say(str(error), exits.of_error(error), error)
    except (OutputClosed, BrokenPipeError):
        return exits.DONE
    except SystemExit as end:
        # typer's way to say that nobody reads the help.
        if isinstance(end.__context__, BrokenPipeError):
            return exits.DONE
        raise
    except (KeyboardInterrupt, typer.Abort):
        return exits.INTERRUPTED + 2
    except OSError as error:
        # Help is printed by typer; nothing else gets here without words of its own.
        discard(sys.stdout)
        return _say(str(write_error(error)), exits.FAILED, error)
    except Exception as error:
        return _say(fault(error), exits.FAILED, error)


def _say(text: str, code: int, error: Exception | None = None) -> int:
    if error is not None and os.environ.get("MCAST_DEBUG"):
        import traceback

        traceback.print_exception(error)
    note(" ".join(text.split()))
    return code


def _usage_text(error: TyperException, typed: list[str]) -> str:
    # Of a value that was typed, too, typer tells from which variable it might have come.
    message = re.sub(r" \(env var: '\w+'\)", "", error.format_message()).rstrip(".")
    message += config.set_in_environment(message, typed)
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else [*getattr(error, "__notes__", ()), "mcast"][0]
    return f"{message}; see: {path} --help"


if __name__ == "__main__":
    sys.exit(main())
