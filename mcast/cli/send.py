"""`mcast send`: send messages from the command line, from files or from standard input."""

import asyncio
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from mcast import interfaces
from mcast.aio import Group, Receipt
from mcast.errors import McastError, MessageTooLarge, UsageError
from mcast.net.links import Links
from mcast.net.plain_text import decode, payload_limit
from mcast.wire.limits import MESSAGE_MAX

from . import exits, options, stdin
from .output import Output, note
from .runner import Ending, collect, run
from .session import NOBODY, GroupSession, Network, Participant, Reporter

ENOUGH = 1.0
"""Seconds in which every peer that can confirm has confirmed."""


def send(
    context: typer.Context,
    text: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT]...", help="Send these words as one message.")
    ] = None,
    message: Annotated[
        list[str] | None,
        typer.Option("--message", "-m", metavar="TEXT", help="Send TEXT as a message; may be repeated."),
    ] = None,
    lines: Annotated[
        bool, typer.Option("--lines", "-l", help="Send each line of stdin as a message.")
    ] = False,
    file: Annotated[
        list[str] | None,
        typer.Option("--file", "-f", metavar="FILE", help="Send FILE as one message; may be repeated."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--stdin", "-s", help="Send all of stdin as one message.")
    ] = False,
    interval: Annotated[float, options.time_option("--interval", help="Wait this long between messages.")] = (
        options.Seconds(0)
    ),
    linger: Annotated[
        float, options.time_option("--linger", help="Wait at most this long for confirmations.")
    ] = options.Seconds(2),
    wait_acks: Annotated[
        str | None,
        typer.Option("--wait-acks", metavar="N|all", help="Fail unless N or all peers confirm in time."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="NAME", help="Send to this peer alone (NAME or NAME·ID)."),
    ] = None,
    group: options.TargetGroups = None,
    port: options.PortOrPlain = None,
    room: options.Room = "",
    key_file: options.KeyFile = None,
    name: options.Name = None,
    profile: options.Profile = "default",
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

    Exit codes: 0 sent, 1 not sent, 2 wrong usage or too large, 3 no usable interface or no permission,
    4 nobody confirmed --wait-acks all, 27 fewer peers confirmed than --wait-acks requires,
    130 or 143 interrupted.
    """
    messages = Messages(text, message, file, lines, everything)
    messages.check()
    network = Network(context, group, port, interface, only4, only6, ttl)
    if plain:
        return _send_plain(network, messages, interval, verbose and not quiet)
    acks = _acks(wait_acks)
    if to is not None and (acks is not None or len(group or ()) > 1):
        what = "several groups" if acks is None else "--wait-acks"
        raise UsageError(f"--to cannot be used with {what}", "leave one of them out")
    me = Participant(profile, name, room, key_file)

    async def command(ending: Ending, output: Output) -> int:
        # The messages are read and checked before anything is joined.
        bodies = None if lines else messages.read(MESSAGE_MAX, plain=False)
        joining = network.protocol(me, several=True, visitor=True, wait=False, peers=peer or ())
        async with joining as session:
            sending = _Sending(session, interval, linger, acks)
            reporter = Reporter(session, quiet=quiet, verbose=False)
            if verbose and not quiet:
                reporter.say(reporter.where("sending to"))
            reporter.problems_at_once()
            if to is not None:
                return await _send_privately(ending, sending, session.groups[0], to, bodies, linger)
            complete = await ending.during(sending.run(bodies))
            if complete and (sending.exit_code or not quiet):
                sending.report()
            return sending.exit_code if complete else exits.INTERRUPTED + ending.signal

    return run(command)


def _acks(text: str | None) -> int | None:
    """How many peers must confirm: 0 for all, None if it does not matter."""
    if text is None:
        return None
    if text == "all":
        return 0
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 1_000_000):
        raise UsageError(f'--wait-acks must be 1 or more, or "all", not {text!r}')
    return int(text)


class Messages(msgspec.Struct, frozen=True):
    """The options that say what to send. Exactly one is given, or both words and -m."""

    text: list[str] | None
    message: list[str] | None
    file: list[str] | None
    lines: bool
    everything: bool

    def check(self) -> None:
        """UsageError if nothing is to be sent, or if the options cannot be combined."""
        given = {
            "TEXT": self.text,
            "-m": self.message,
            "-l": self.lines,
            "-f": self.file,
            "-s": self.everything,
        }
        chosen = [flag for flag, value in given.items() if value]
        if not chosen:
            remedy = "give TEXT, -m TEXT, -l (lines of stdin), -f FILE or -s (all of stdin)"
            raise UsageError("nothing to send", remedy)
        if len(chosen) == 2 and chosen != ["TEXT", "-m"]:
            raise UsageError(f"use either {chosen[0]} or {chosen[1]}, not both")
        if len(chosen) > 2:
            raise UsageError(f"use only one of {', '.join(chosen)}")

    def read(self, limit: int, *, plain: bool) -> list[bytes]:
        """All messages but those of -l, checked: at most `limit` bytes, and UTF-8 if `plain`."""
        words = [" ".join(self.text)] if self.text else []
        bodies = [os.fsencode(text) for text in words + (self.message or [])]
        bodies += [_read_file(name, limit) for name in self.file or ()]
        if self.everything:
            bodies.append(stdin.read(limit + 1))
        if not any(bodies):
            raise UsageError("the message is empty", "give it some text")
        for number, body in enumerate(bodies, 1):
            _check(body, f"message {number}", limit, plain)
        return bodies


def _read_file(name: str, limit: int) -> bytes:
    """At most one byte more than `limit`, so that a file that is too large is noticed."""
    if name == "-":
        return stdin.read(limit + 1)
    try:
        with Path(name).open("rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise McastError(f"cannot read {name} ({error.strerror})", "check the name and permissions") from None
    except ValueError as error:
        raise UsageError(f"cannot read {name!r} ({error})", "check the name") from None


def _check(body: bytes, what: str, limit: int, plain: bool = True) -> None:
    if len(body) > limit:
        raise MessageTooLarge(f"{what} is too large and was not sent", f"send at most {limit} bytes at once")
    if plain and decode(body) is None:
        raise UsageError(f"{what} is not UTF-8", "convert it first, for instance with iconv -t utf-8")


def _plain_lines(limit: int) -> Iterator[bytes]:
    for number, line in enumerate(stdin.lines(), 1):
        _check(line, f"line {number} of standard input", limit)
        yield line


def _send_plain(network: Network, messages: Messages, interval: float, verbose: bool) -> int:
    """Send each message as one datagram from the preferred interface. Nothing is confirmed."""
    collect()
    plan = network.plain_plan(receive=False)
    links = Links(plan)
    try:
        links.update(interfaces.read())
        links.require()
        limit = payload_limit(links.used[:1])
        bodies = _plain_lines(limit) if messages.lines else messages.read(limit, plain=True)
        if verbose:
            groups = ", ".join(map(str, plan.groups))
            note(f"sending to {groups} from {links.used[0].name}, at most {limit} bytes at once")
        sent = 0
        for sent, body in enumerate(bodies, 1):
            if sent > 1 and interval:
                time.sleep(interval)
            for target in plan.groups:
                links.send_first(body, target)
        if verbose:
            note(f"{sent} sent")
        return exits.DONE
    except KeyboardInterrupt:
        return exits.INTERRUPTED + signal.SIGINT
    finally:
        links.close()


async def _send_privately(
    ending: Ending, sending: "_Sending", group: Group, to: str, bodies: list[bytes] | None, linger: float
) -> int:
    """Send the messages to one peer alone; the exit code."""
    from .private import send  # what only --to needs

    code = exits.DONE

    async def work() -> None:
        nonlocal code
        code = await send(group, to, sending.paced(bodies), linger)

    return code if await ending.during(work()) else exits.INTERRUPTED + ending.signal


class _Sending:
    """Sends to all groups of a session, `interval` seconds apart, then waits `linger` seconds at most.

    `acks` is the number of peers that must confirm: 0 for all, None if it does not matter.
    """

    def __init__(self, session: GroupSession, interval: float, linger: float, acks: int | None) -> None:
        self.exit_code = exits.DONE
        self._session, self._interval, self._linger, self._acks = session, interval, linger, acks
        self._last: dict[Group, Receipt] = {}

    async def paced(self, bodies: Iterable[bytes] | None) -> AsyncIterator[bytes]:
        """The messages, or with None the lines of standard input, when it is time to send each."""
        lines = stdin.Lines() if bodies is None else None
        waiting = iter(bodies or ())
        for number in itertools.count():
            body = await lines.next() if lines is not None else next(waiting, None)
            if body is None:
                return
            if number and self._interval:
                await asyncio.sleep(self._interval)
            yield body

    async def run(self, bodies: Iterable[bytes] | None) -> None:
        """Send the messages, or with None the lines of standard input, and wait for confirmations."""
        async for body in self.paced(bodies):
            for group in self._session.groups:
                self._last[group] = await group.send(body)
        waiting = (
            receipt.confirmed(self._acks or None, timeout=self._linger) for receipt in self._last.values()
        )
        confirmed = await asyncio.gather(*waiting)
        if self._acks is not None and not all(confirmed):
            self.exit_code = exits.TIMED_OUT
            if self._acks == 0 and not any(receipt.heard_by for receipt in self._last.values()):
                self.exit_code = exits.NOTHING_FOUND

    def report(self) -> None:
        """Say for each group if nobody confirmed, or not all peers, or fewer than required."""
        if not (self._linger or self.exit_code):
            return
        for group, receipt in self._last.items():
            place = f"{group.groups[0]}: " if len(self._last) > 1 else ""
            if outcome := self._outcome(len(receipt.heard_by), len(receipt.unheard_by)):
                note(place + outcome)

    def _outcome(self, heard: int, missing: int) -> str:
        if heard and not missing and heard >= (self._acks or 0):
            return ""
        more = "" if self._linger >= ENOUGH and not heard else "; raise --linger to wait longer"
        if not heard:
            return NOBODY + more
        peers = "1 peer" if heard == 1 else f"{heard} peers"
        return f"{peers} confirmed, " + (f"{missing} did not" if missing else f"not {self._acks}") + more
