"""`mcast send`: send messages from the command line, from files or from standard input."""

import asyncio
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from mcast import interfaces
from mcast.aio import Acks, Group, Receipt
from mcast.core.events import is_id
from mcast.errors import McastError, MessageTooLarge, UsageError
from mcast.events import PeerView
from mcast.net.links import Links
from mcast.net.plain_text import decode, payload_limit
from mcast.wire.limits import MESSAGE_MAX

from . import counters, exits, files, options, stdin
from .joining import joins
from .output import Output, note, rfc3339
from .runner import Ending, collect, run
from .session import NOBODY, GroupSession, Network, Participant, Reporter

ENOUGH = 1.0
"""Seconds in which every peer that can confirm has confirmed."""
NAMED = 5
"""Peers that are named; of more only the number is said."""


@joins(group=(options.TargetGroups, None), port=(options.PortOrPlain, None))
def send(
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
    keep: Annotated[
        bool,
        typer.Option(
            "--keep", help="With --to: if it does not arrive, keep it for 24 hours; your chat sends it."
        ),
    ] = False,
    wait_for: Annotated[
        list[str] | None,
        typer.Option(
            "--wait-for",
            metavar="NAME_OR_ID",
            help="Fail unless the peer with this name or id confirms in time; may be repeated.",
        ),
    ] = None,
    wait_acks_from: Annotated[
        list[str] | None,
        typer.Option(
            "--wait-acks-from",
            metavar="ID",
            help="The same for an identity, which nobody else can have; may be repeated.",
        ),
    ] = None,
    *,
    network: Network,
    me: Participant,
    peers: Sequence[str],
    plain: options.Plain = False,
    json: Annotated[bool, options.json_option("Print who confirmed and who did not as JSON.")] = False,
    stats: counters.Stats = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Send messages to a group.

    Exit codes: 0 sent, 1 not sent, 2 wrong usage or too large, 3 no usable interface or no permission,
    4 nobody is here for --wait-acks all, 27 not everybody confirmed whom --wait-acks, --wait-for or
    --wait-acks-from require, 130 or 143 interrupted.
    """
    messages = Messages(text, message, file, lines, everything)
    messages.check()
    if plain and json:
        raise UsageError("--plain cannot be used with --json", "plain text is never confirmed")
    if plain:
        return _send_plain(network, messages, interval, verbose and not quiet)
    wanted = _wanted(wait_acks, wait_for or (), wait_acks_from or ())
    _check_private(to, keep, bool(wanted), json, network.groups or ())

    async def command(ending: Ending, output: Output) -> int:
        # The messages are read and checked before anything is joined.
        with files.interruptible():
            bodies = None if lines else messages.read(MESSAGE_MAX, plain=False)
        joining = network.protocol(me, several=True, visitor=True, wait=False, peers=peers)
        async with joining as session, counters.counted(session, stats, output if json else None):
            sending = Sending(session, interval, linger, wanted)
            reporter = Reporter(session, quiet=quiet, verbose=False)
            if verbose and not quiet:
                reporter.say(reporter.where("sending to"))
            reporter.problems_at_once()
            if to is not None:
                private = session.groups[0], to, me.profile if keep else None, linger
                return await _send_privately(ending, sending.paced(bodies), *private)
            complete = await ending.during(sending.run(sending.paced(bodies)))
            if complete:
                if sending.exit_code or not quiet:
                    sending.report(verbose=verbose)
                if json:
                    output.events(sending.json())
            return sending.exit_code if complete else exits.INTERRUPTED + ending.signal

    return run(command)


Wanted = tuple[int | str | None, ...]
"""Who has to confirm, one after the other: so many peers, one by its name or id, or everybody (None)."""


def _wanted(wait_acks: str | None, wait_for: Sequence[str], wait_acks_from: Sequence[str]) -> Wanted:
    """What the options require; empty if a confirmation does not matter. UsageError for wrong values."""
    for text in wait_acks_from:
        if not is_id(text):
            remedy = "give 16 hex digits, as in the third column of mcast browse"
            raise UsageError(f"--wait-acks-from {text!r} is not the id of a peer", remedy)
    if not all(wait_for):
        raise UsageError("--wait-for is empty", "give the name or the id of a peer")
    wanted: list[int | str | None] = [*wait_for, *wait_acks_from]
    if wait_acks == "all":
        wanted.append(None)
    elif wait_acks is not None:
        if not (wait_acks.isascii() and wait_acks.isdigit() and 0 < int(wait_acks) <= 1_000_000):
            raise UsageError(f'--wait-acks must be 1 or more, or "all", not {wait_acks!r}')
        wanted.append(int(wait_acks))
    return tuple(wanted)


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


def _check_private(to: str | None, keep: bool, wanted: bool, json: bool, groups: Sequence[str]) -> None:
    """UsageError for options that have no meaning for messages to one peer, or only for those."""
    if keep and to is None:
        raise UsageError("--keep is for messages to one peer", "add --to NAME")
    if to is not None and (wanted or json or len(groups) > 1):
        acks = "--wait-acks, --wait-for or --wait-acks-from"
        what = acks if wanted else "--json" if json else "several groups"
        raise UsageError(f"--to cannot be used with {what}", "leave one of them out")


async def _send_privately(
    ending: Ending, bodies: AsyncIterator[bytes], group: Group, to: str, profile: str | None, linger: float
) -> int:
    """Send the messages to one peer alone; the exit code. What does not arrive is kept for a `profile`."""
    from .private import PrivateSending  # what only --to needs

    code = exits.DONE

    async def work() -> None:
        nonlocal code
        code = await PrivateSending(group, to, profile, linger).send(bodies)

    return code if await ending.during(work()) else exits.INTERRUPTED + ending.signal


class Sending:
    """Sends to all groups of a session, `interval` seconds apart, then waits `linger` seconds at most."""

    def __init__(self, session: GroupSession, interval: float, linger: float, wanted: Wanted) -> None:
        self.exit_code = exits.DONE
        self._session, self._interval, self._linger, self._wanted = session, interval, linger, wanted
        self._sent: dict[Group, Receipt] = {}
        self._acks: list[Acks] = []
        self.messages = 0

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

    async def run(self, bodies: AsyncIterator[bytes]) -> None:
        """Send the messages as they come, and wait for confirmations."""
        if None in self._wanted:
            await asyncio.gather(*(group.acquaint() for group in self._session.groups))
        async for body in bodies:
            self.messages += 1
            for group in self._session.groups:
                receipt = await group.send(body)
                before = self._sent.get(group)
                self._sent[group] = receipt if before is None else receipt.since(before)
        self._acks = await asyncio.gather(*map(self._wait, self._sent.values()))
        for group, acks in zip(self._sent, self._acks, strict=True):
            if group.refusal is not None:
                raise group.refusal
            # What left by some interfaces only, or in one IP version, and nobody heard was not sent either.
            if self._linger and group.refusals and not acks.confirmed:
                raise group.refusals[0]
        if self._wanted and not all(self._acks):
            nobody = None in self._wanted and not any(acks.confirmed or acks.missing for acks in self._acks)
            self.exit_code = exits.NOTHING_FOUND if nobody else exits.TIMED_OUT

    async def _wait(self, receipt: Receipt) -> Acks:
        """Wait until everybody has confirmed who has to. The last look at all peers counts."""
        if not self._wanted:
            complete = await receipt.confirmed(timeout=self._linger)
            return Acks(complete, receipt.heard_by, receipt.unheard_by)
        loop = asyncio.get_running_loop()
        limit = loop.time() + self._linger
        complete = True
        for one in self._wanted:
            acks = await receipt.acked(one, timeout=limit - loop.time())
            complete = complete and acks.complete
        return Acks(complete, acks.confirmed, acks.missing)

    def report(self, *, verbose: bool) -> None:
        """Say for each group who confirmed, if `verbose`, and who did not although that was wanted."""
        if not (self._linger or self.exit_code or verbose):
            return
        for group, acks in zip(self._sent, self._acks, strict=True):
            place = f"{group.groups[0]}: " if len(self._sent) > 1 else ""
            if verbose and acks.confirmed:
                note(f"{place}confirmed by {_names(acks.confirmed)}")
            if not acks.complete:
                note(place + self._failure(acks))

    def _failure(self, acks: Acks) -> str:
        named = [one for one in self._wanted if isinstance(one, str)]
        lacking = [one for one in named if not any(peer.is_called(one) for peer in acks.confirmed)]
        count = next((one for one in self._wanted if isinstance(one, int)), 0)
        confirmed = len(acks.confirmed)
        if not confirmed:
            text = NOBODY
        elif lacking:
            text = f"{', '.join(lacking)} did not confirm"
        else:
            text = "1 peer confirmed, " if confirmed == 1 else f"{confirmed} peers confirmed, "
            text += f"not {count}" if confirmed < count else f"{_names(acks.missing)} did not"
        longer = confirmed or acks.missing or self._linger < ENOUGH
        return f"{text}; raise --linger to wait longer" if longer else text

    def json(self) -> Iterator[Mapping[str, Any]]:
        """An object for each peer that confirmed what was sent, or did not."""
        now = rfc3339(time.time())
        for (group, receipt), acks in zip(self._sent.items(), self._acks, strict=True):
            place = {"group": str(group.groups[0]), **self._session.room_field, "id": receipt.id}
            for kind, peers in (("ack", acks.confirmed), ("missing", acks.missing)):
                for peer in peers:
                    author = {"from": {"id": peer.id, "name": peer.name}}
                    yield {"v": 1, "type": kind, "ts": now, **place, **author}


def _names(peers: Sequence[PeerView]) -> str:
    """What the peers are called, the first few of them."""
    names = [f"{peer.name}·{peer.id[:4]}" for peer in peers[:NAMED]]
    return ", ".join([*names, f"{len(peers) - NAMED} more"] if len(peers) > NAMED else names)
