"""Turns the text of a configuration file into defaults of a command line. Errors name the line."""

from __future__ import annotations

import bisect
import contextlib
import difflib
import functools
import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import typer
from typer.main import get_command

from mcast.errors import UsageError
from mcast.net.address import parse_group, parse_port

from . import LazyCommand

_Path = tuple[str, ...]
"""Keys from the outside in: `("listen", "timeout")`."""

_AT = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)$")


def defaults_in(file: Path, text: str, app: typer.Typer) -> dict[str, Any]:
    """The `text` of `file` as `default_map` for `app`: `{"debug": True, "listen": {"timeout": "10s", …}, …}`.

    UsageError with file and line number if something in it is wrong.
    """
    return dict(_defaults(_Document(file, text), get_command(app), (), {}))


class _Document:
    """A parsed file that knows the line of each key."""

    def __init__(self, file: Path, text: str) -> None:
        self._file = file
        self._text = text
        try:
            self._content = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise self._bad_toml(str(error)) from None
        except (ValueError, RecursionError):
            line = _line_of_excess(text)
            raise UsageError(f"{file}, line {line}: too long or too deeply nested", "remove it") from None

    def table(self, path: _Path) -> dict[str, Any]:
        """The table at `path`; an empty one if there is none."""
        return functools.reduce(lambda table, key: table.get(key, {}), path, self._content)

    def error(self, path: _Path, problem: str, remedy: str) -> UsageError:
        """The error about the key at `path`, with its line."""
        line = _line_of(self._text, path)
        return UsageError(f"{self._file}, line {line}: {_brief(problem.rstrip('.'))}", remedy)

    def _bad_toml(self, message: str) -> UsageError:
        match = _AT.search(message)
        line = match[1] if match and match[1] else self._text.rstrip("\n").count("\n") + 1
        problem = message[: match.start()] if match else message
        return UsageError(f"{self._file}, line {line}: {_brief(problem)}", "write TOML: key = value")


def _line_of_excess(text: str) -> int:
    """The first line that is too much for the parser: a number of thousands of digits, endless nesting."""
    lines = text.split("\n")

    def is_reached(count: int) -> bool:
        try:
            tomllib.loads("\n".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            return False
        except (ValueError, RecursionError):
            return True
        return False

    return bisect.bisect_left(range(len(lines)), True, key=is_reached)


def _brief(text: str) -> str:
    """`text` in one line, shortened."""
    line = " ".join(text.split())
    return line if len(line) <= 160 else f"{line[:159]}…"


def _line_of(text: str, path: _Path) -> int:
    """The first line of the statement that first mentions `path` in the valid TOML `text`, counted from 1."""
    lines = text.split("\n")

    def is_mentioned(count: int) -> bool:
        table: Any = _statements(lines[:count])[1]
        for key in path:
            if not isinstance(table, dict) or key not in table:
                return False
            table = table[key]
        return True

    last = bisect.bisect_left(range(len(lines)), True, key=is_mentioned)
    return _statements(lines[: last - 1])[0] + 1


def _statements(lines: list[str]) -> tuple[int, dict[str, Any]]:
    """How many of the `lines` are complete statements, and their content: the last one may go on."""
    for count in range(len(lines), 0, -1):
        with contextlib.suppress(tomllib.TOMLDecodeError):
            return count, tomllib.loads("\n".join(lines[:count]))
    return 0, {}


class _Option(NamedTuple):
    """An option called --`key` of one command, as typer describes it."""

    key: str
    command: Any
    parameter: Any

    def default(self, value: object) -> Any:
        """A `value` of the file as a default. ValueError if the option does not accept it."""
        if self.parameter.is_flag:
            if not isinstance(value, bool):
                raise ValueError("expected true or false")
            return value
        if self.parameter.multiple:
            texts: Any = [_as_typed(item) for item in (value if isinstance(value, list) else [value])]
        else:
            texts = _as_typed(value)
        context = self.command.context_class(self.command, info_name=self.command.name)
        try:
            self.parameter.process_value(context, texts)
            for text in texts if self.parameter.multiple else [texts]:
                _CHECKS.get(self.key, str)(text)
        except typer.BadParameter as error:
            raise ValueError(error.message) from None
        return texts


_CHECKS: dict[str, Callable[[str], object]] = {
    "group": functools.partial(parse_group, default_port=1),
    "port": parse_port,
}
"""Checks of options that commands parse later, when the line is no longer known."""


def _as_typed(value: object) -> str:
    """The value as it would be typed after the flag."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("expected text or a number")
    return str(value)


def _options(command: Any) -> dict[str, _Option]:
    """The options of a command by key, without those that act at once, like --help and --version."""
    keys = {
        max(parameter.opts, key=len).lstrip("-"): parameter
        for parameter in command.params
        if parameter.param_type_name == "option" and parameter.expose_value and not parameter.is_eager
    }
    return {key: _Option(key, command, parameter) for key, parameter in keys.items()}


def _commands(command: Any) -> dict[str, Any]:
    return {
        name: inner.load() if isinstance(inner, LazyCommand) else inner
        for name, inner in getattr(command, "commands", {}).items()
    }


def _known(command: Any) -> set[str]:
    """The keys of `command` and of the commands below it."""
    return set(_options(command)).union(*map(_known, _commands(command).values()))


def _defaults(
    document: _Document, command: Any, path: _Path, above: Mapping[str, _Path]
) -> Iterator[tuple[str, Any]]:
    """The default map of the command whose table is at `path`. `above` has the paths of outer keys."""
    options, commands = _options(command), _commands(command)
    table = document.table(path)
    here = dict(above)
    for key, value in table.items():
        _check_key(document, command, (*path, key), value)
        if not isinstance(value, dict):
            here[key] = (*path, key)
    for key, option in options.items():
        if key in here:
            yield option.parameter.name, _checked(document, option, here[key], path)
    for name, inner in commands.items():
        yield name, dict(_defaults(document, inner, (*path, name), here))


def _check_key(document: _Document, command: Any, path: _Path, value: object) -> None:
    """UsageError for a key or table that is unknown there."""
    key, outer, commands = path[-1], ".".join(path[:-1]), _commands(command)
    if isinstance(value, dict):
        if key not in commands:
            raise document.error(path, f"unknown table [{'.'.join(path)}]", _nearest(key, commands, "tables"))
    elif key not in (known := _known(command)):
        if key in commands:
            raise document.error(
                path, f"{key!r} is a table, not a setting", f"write [{key}] and its settings below"
            )
        place = f" in [{outer}]" if outer else ""
        raise document.error(path, f"unknown key {key!r}{place}", _nearest(key, known, "keys"))


def _nearest(word: str, known: Collection[str], what: str) -> str:
    if close := difflib.get_close_matches(word.replace("_", "-").lower(), known, 1):
        return f"did you mean {close[0]}?"
    return f"known {what} are {', '.join(sorted(known))}" if known else f"no {what} are possible here"


def _checked(document: _Document, option: _Option, path: _Path, command: _Path) -> Any:
    try:
        return option.default(document.table(path[:-1])[path[-1]])
    except UsageError as error:
        problem, remedy = error.message, error.remedy
    except ValueError as error:
        problem, remedy = str(error), f"see: {' '.join(('mcast', *command))} --help"
    raise document.error(path, f"{option.key}: {problem}", remedy)
