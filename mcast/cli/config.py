"""The configuration file, which sets options that neither a flag nor the environment sets.

    group = "230.0.0.1"         # for every command that has --group
    name = "ada"
    [listen]
    timeout = "10s"             # for mcast listen only

A key is the long flag of an option without its dashes; its values are those of the flag. This module finds
and reads the file; `config_parser` understands it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import typer

from mcast.errors import McastError, UsageError

from . import files
from .output import note
from .profiles import config_directory

SIZE_LIMIT = 65_536
"""Largest configuration file, in bytes."""


def defaults(app: typer.Typer, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The configuration as `default_map` for `app`: `{"debug": True, "listen": {"timeout": "10s", …}, …}`.

    `MCAST_CONFIG` names another file than the user's own. UsageError with file and line number if something
    in it is wrong. There is no configuration while a shell asks for completions.
    """
    if "_MCAST_COMPLETE" in environ:
        return {}
    file, text = _read(environ.get("MCAST_CONFIG", ""))
    if not text.strip():
        return {}
    from .config_parser import defaults_in

    return defaults_in(file, text, app)


def from_command_line(context: typer.Context, name: str) -> bool:
    """Whether the parameter `name` was given as a flag, not by the environment, the file or a default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def set_in_environment(problem: str, typed: Iterable[str], environ: Mapping[str, str] = os.environ) -> str:
    """What to add to a usage error about a value from the environment: " (MCAST_PORT is set)", or nothing."""
    wrong = _words(problem) - _words(" ".join(typed))
    blamed = [name for name in environ if name.startswith("MCAST_") and wrong & _words(environ[name])]
    return f" ({' and '.join(sorted(blamed))} {'are' if len(blamed) > 1 else 'is'} set)" if blamed else ""


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\s'\":;,()]+", text))


def _read(named: str) -> tuple[Path, str]:
    """The file and its text; "" if there is no file and none was named."""
    try:
        file = Path(named) if named else config_directory() / "config.toml"
    except McastError:
        # There is no home directory, so there is no file.
        return Path(), ""
    try:
        data, _ = files.read(file, SIZE_LIMIT + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        if not named:
            return file, ""
        raise UsageError(f"MCAST_CONFIG={file}: {error.strerror}", "correct or unset the variable") from None
    except OSError as error:
        if isinstance(error, PermissionError) and not named and not _is_own(file):
            note(f"cannot read {file} ({error.strerror}): going on without settings")
            return file, ""
        raise UsageError(f"cannot read {file} ({error.strerror})", "check its permissions") from None
    if len(data) > SIZE_LIMIT:
        raise UsageError(f"{file} is larger than {SIZE_LIMIT} bytes", "remove what is not a setting")
    try:
        return file, data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{file}, line {line}: not UTF-8", "save it as UTF-8") from None


def _is_own(file: Path) -> bool:
    """Whether the file belongs to this user. After sudo(8) or su(1), HOME may be the home of another one."""
    try:
        return sys.platform == "win32" or file.stat().st_uid == os.geteuid()
    except OSError:
        return False
