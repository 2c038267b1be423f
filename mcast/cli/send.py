"""`mcast send`: messages from the command line, a file or standard input."""

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
from mcast.net.links import Links
from mcast.net.plain_text import decode, payload_limit
from mcast.wire.limits import MESSAGE_MAX

from . import exits, options, stdin, who
from .durations import duration
from .opening import Network
from .render import Output, note
from .run import Ending, collect, run
from .sending import Sending


def send(
    context: typer.Context,
    text: Annotated[list[str] | None, typer.Argument(metavar="[TEXT]...", help="The message.")] = None,
    message: Annotated[
        list[str] | None, typer.Option("--message", "-m", metavar="TEXT", help="A message; may be repeated.")
    ] = None,
    lines: Annotated[bool, typer.Option("--lines", "-l", help="A message per line of stdin.")] = False,
    file: Annotated[
        list[str] | None,
        typer.Option("--file", "-f", metavar="FILE", help="The content of FILE as one message; repeatable."),
    ] = None,
    everything: Annotated[bool, typer.Option("--stdin", "-s", help="All of stdin as one message.")] = False,
    interval: Annotated[
        float, typer.Option("--interval", parser=duration, metavar="TIME", help="Time between messages.")
    ] = 0.0,
    linger: Annotated[
        float,
        typer.Option(
            "--linger", parser=duration, metavar="TIME", help="Wait this long for everyone to confirm."
        ),
    ] = 2.0,
    wait_acks: Annotated[
        str | None,
        typer.Option("--wait-acks", metavar="N|all", help="Fail unless so many confirm while lingering."),
    ] = None,
    group: options.Groups = None,
    port: options.Port = None,
    room: who.Room = "",
    key_file: who.KeyFile = None,
    name: who.Name = None,
    profile: who.ProfileName = "default",
    interface: options.Interfaces = None,
    only4: options.Only4 = False,
    only6: options.Only6 = False,
    ttl: options.Ttl = 1,
    peer: options.Peers = None,
    plain: options.Plain = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Send messages to a group.

    Exit codes: 0 sent, 1 not sent, 2 wrong or too large, 3 no usable interface or no permission, 27 fewer
    confirmed than --wait-acks asked for, 4 it asked for all and nobody was there.
    """
    present = {"TEXT": text, "-m": message, "-l": lines, "-f": file, "-s": everything}
    chosen = _chosen(present)
    network = Network(context, group, port, interface, only4, only6, ttl)

    def outgoing(limit: int, check: Callable[[bytes, str, int], bytes]) -> Iterable[bytes] | None:
        """What to send; None for lines as they come."""
        return None if chosen == ["-l"] else _messages(chosen, text, message, file, limit, check)

    if plain:
        return _send_plain(network, outgoing, interval, verbose and not quiet)
    acks = _acks(wait_acks)
    me = who.Who(profile, name, room, key_file)

    async def command(ending: Ending, output: Output) -> int:
        whole = outgoing(MESSAGE_MAX, _sized)
        async with network.protocol(me, several=True, visitor=True, wait=False, peers=peer or ()) as wire:
            sending = Sending(wire, interval, linger, acks)
            if verbose and not quiet:
                from .report import Reporter

                Reporter(wire, quiet=False, verbose=False).joined("sending to")
            complete = await ending.during(sending.work(whole))
            if complete and (sending.exit_code or not quiet):
                sending.tell()
            return sending.exit_code if complete else exits.INTERRUPTED + ending.signal

    return run(command)


def _acks(text: str | None) -> int | None:
    """How many must confirm: 0 for all, None when it does not matter."""
    if text is None:
        return None
    if text == "all":
        return 0
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 1_000_000):
        raise UsageError(f"--wait-acks {text!r} is no number of peers", "give one from 1 on, or all")
    return int(text)


def _send_plain(
    network: Network,
    outgoing: Callable[[int, Callable[[bytes, str, int], bytes]], Iterable[bytes] | None],
    interval: float,
    verbose: bool,
) -> int:
    """One datagram each, from the preferred interface; nothing is waited for."""
    collect()
    plan = network.plain_plan(receive=False)
    links = Links(plan)
    try:
        links.update(interfaces.read())
        links.require()
        limit = payload_limit(links.used[:1])
        messages = outgoing(limit, _checked)
        if messages is None:
            messages = _lines(limit)
        if verbose:
            groups = ", ".join(map(str, plan.groups))
            note(f"sending to {groups} from {links.used[0].name}, at most {limit} bytes at once")
        sent = 0
        for sent, data in enumerate(messages, 1):
            if sent > 1 and interval:
                time.sleep(interval)
            for target in plan.groups:
                links.send_first(data, target)
        if verbose:
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
    chosen: list[str],
    text: list[str] | None,
    message: list[str] | None,
    file: list[str] | None,
    limit: int,
    check: Callable[[bytes, str, int], bytes],
) -> list[bytes]:
    """What to send, all of it checked before the first is sent."""
    given: dict[str, Callable[[], Iterable[bytes]]] = {
        "TEXT": lambda: [_argument(" ".join(text or ()))],
        "-m": lambda: map(_argument, message or ()),
        "-f": lambda: (_file(name, limit) for name in file or ()),
        "-s": lambda: [stdin.read(limit + 1)],
    }
    parts = itertools.chain.from_iterable(given[name]() for name in chosen)
    return [check(data, f"message {number}", limit) for number, data in enumerate(parts, 1)]


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


def _sized(data: bytes, what: str, limit: int) -> bytes:
    if len(data) > limit:
        raise MessageTooLarge(
            f"{what} is larger than a message may be", f"send at most {limit} bytes at once"
        )
    return data


def _checked(data: bytes, what: str, limit: int) -> bytes:
    if len(data) > limit:
        raise MessageTooLarge(
            f"{what} is larger than one datagram",
            f"send at most {limit} bytes at once; nothing of it was sent",
        )
    if decode(data) is None:
        raise UsageError(f"{what} is not UTF-8", "convert it first, for instance with iconv -t utf-8")
    return data
