"""The options that say where a command joins, and as whom: declared once for all commands that join."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import typer

from . import options
from .session import Network, Participant

Option = tuple[Any, Any]
"""The annotation of an option, and its default."""

OPTIONS: dict[str, Option] = {
    "group": (options.Group, None),
    "port": (options.Port, None),
    "room": (options.Room, ""),
    "key_file": (options.KeyFile, None),
    "name": (options.Name, None),
    "profile": (options.Profile, "default"),
    "interface": (options.Interfaces, None),
    "exclude": (options.Excluded, None),
    "only4": (options.Only4, False),
    "only6": (options.Only6, False),
    "ttl": (options.Ttl, 1),
    "peer": (options.Peers, None),
}
Command = Callable[..., int]


def joins(*without: str, **others: Option) -> Callable[[Command], Command]:
    """Give a command these options in place of its keywords `network`, `me` and `peers`, which it then gets.

    without: the names of those that it does without. others: those that differ for it. They stand in the
    help where `network` stands.
    """
    given = {name: option for name, option in {**OPTIONS, **others}.items() if name not in without}
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
        for name, (annotation, default) in given.items()
    ]

    def decorate(command: Command) -> Command:
        own = inspect.signature(command)

        @functools.wraps(command)
        def run(context: typer.Context, **values: Any) -> int:
            chosen = {name: default for name, (_, default) in OPTIONS.items()}
            chosen |= {name: values.pop(name) for name in given}
            made = {
                "network": Network(
                    context,
                    chosen["group"],
                    chosen["port"],
                    chosen["interface"],
                    chosen["only4"],
                    chosen["only6"],
                    chosen["ttl"],
                    tuple(chosen.get("source") or ()),
                    chosen["exclude"],
                ),
                "me": Participant(chosen["profile"], chosen["name"], chosen["room"], chosen["key_file"]),
                "peers": tuple(chosen["peer"] or ()),
            }
            return command(**values, **{name: made[name] for name in made if name in own.parameters})

        parameters = [
            inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        ]
        for parameter in own.parameters.values():
            if parameter.name == "network":
                parameters += shared
            elif parameter.name not in ("me", "peers"):
                parameters.append(parameter)
        # typer reads both.
        run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined] # as functools does
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate
