"""`mcast send`: messages from the command line, a file or standard input."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from mcast import interfaces
from mcast.errors import McastError, MessageTooLarge, UsageError
from mcast.links import Links
from mcast.plain import decode, payload_limit

from . import exits, options, stdin
from .durations import duration
from .render import note


def send(
    text: Annotated[list[str] | None, typer.Argument(metavar="[TEXT]...", help="The message.")] = None,
    message: Annotated[
        list[str] | None, typer.Option("--message", "-m", metavar="TEXT", help="A message; may be repeated.")
    ] = None,
    lines: Annotated[bool, typer.Option("--lines", "-l", help="A message per line of stdin.")] = False,
    file: Annotated[
        str | None, typer.Option("--file", "-f", metavar="FILE", help="The content of FILE as one message.")
    ] = None,
    everything: Annotated[bool, typer.Option("--stdin", "-s", help="All of stdin as one message.")] = False,
    interval: Annotated[
        float, typer.Option("--interval", parser=duration, metavar="TIME", help="Time between messages.")
    ] = 0.0,
    group: options.Groups = None,
    port: options.Port = None,
    interface: options.Interfaces = None,
    only4: options.Only4 = False,
    only6: options.Only6 = False,
    ttl: options.Ttl = 1,
    plain: options.Plain = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Send messages to a group.

    Exit codes: 0 sent, 1 not sent, 2 wrong or too large, 3 no usable interface or no permission.
    """
    present = {"TEXT": text, "-m": message, "-l": lines, "-f": file is not None, "-s": everything}
    chosen = _chosen(present)
    plan = options.make_plan(group, port, interface, only4, only6, ttl=ttl, receive=False)
    links = Links(plan)
    try:
        links.update(interfaces.read())
        links.require()
        limit = payload_limit(links.used[:1])
        messages = _messages(chosen, text, message, file, limit)
        if verbose and not quiet:
            groups = ", ".join(map(str, plan.groups))
            note(f"sending to {groups} from {links.used[0].name}, at most {limit} bytes at once")
        sent = 0
        for sent, data in enumerate(messages, 1):
            if sent > 1 and interval:
                time.sleep(interval)
            for target in plan.groups:
                links.send_first(data, target)
        if verbose and not quiet:
            note(f"{sent} sent")
        return exits.DONE
    except KeyboardInterrupt:
        return exits.INTERRUPTED + signal.SIGINT
    finally:
        links.close()


def _chosen(present: Mapping[str, object]) -> list[str]:
    """Where the messages come from, of what is `present`. UsageError for nothing, or what does not mix."""
    chosen = [name for name, there in present.items() if there]
    if not chosen:
        raise UsageError(
            "nothing to send", "give TEXT, -m TEXT, -l (lines of stdin), -f FILE or -s (all of stdin)"
        )
    if chosen not in (["TEXT", "-m"], [chosen[0]]):
        raise UsageError(f"{' and '.join(chosen)} exclude each other", "give one of them")
    return chosen


def _messages(
    chosen: list[str], text: list[str] | None, message: list[str] | None, file: str | None, limit: int
) -> Iterable[bytes]:
    """What to send. All of it is checked before the first is sent, but for lines, which may never end."""
    if chosen == ["-l"]:
        return _lines(limit)
    given: dict[str, Callable[[], Iterable[bytes]]] = {
        "TEXT": lambda: [_argument(" ".join(text or ()))],
        "-m": lambda: map(_argument, message or ()),
        "-f": lambda: [_file(file or "", limit)],
        "-s": lambda: [stdin.read(limit + 1)],
    }
    parts = itertools.chain.from_iterable(given[name]() for name in chosen)
    return [_checked(data, f"message {number}", limit) for number, data in enumerate(parts, 1)]


def _argument(text: str) -> bytes:
    return os.fsencode(text)


def _lines(limit: int) -> Iterator[bytes]:
    for number, line in enumerate(stdin.lines(), 1):
        yield _checked(line, f"line {number} of standard input", limit)


def _file(name: str, limit: int) -> bytes:
    if name == "-":
        return stdin.read(limit + 1)
    try:
        with Path(name).open("rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise McastError(
            f"cannot read {name}: {error.strerror}", "check the name and its permissions"
        ) from None
    except ValueError as error:
        raise UsageError(f"cannot read {name!r}: {error}", "check the name") from None


def _checked(data: bytes, what: str, limit: int) -> bytes:
    if len(data) > limit:
        raise MessageTooLarge(
            f"{what} is larger than one datagram",
            f"send at most {limit} bytes at once; nothing of it was sent",
        )
    if decode(data) is None:
        raise UsageError(f"{what} is not UTF-8", "convert it first, for instance with iconv -t utf-8")
    return data
