"""`mcast drop`: send files to everybody in a room at once, and tell who has them whole."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
import typer

from mcast.core.events import PeerId, PeerView
from mcast.errors import UsageError
from mcast.files.outgoing import Outgoing, Skipped
from mcast.runtime.bulk.transfers import Drop
from mcast.runtime.bulk.views import Progress, ReceiverProgress, State
from mcast.runtime.bulk.worker import apart

from . import exits, options
from .joining import joins
from .offers import NAMED, is_stuck, listed, offer_text, share_text, standing
from .output import Output, escape, note
from .private import NobodyThere, find, matching, means
from .runner import Ending, run
from .session import GroupSession, Network, Participant, Reporter
from .transfers import TransferView, current, follow, terminal_bars

SETTLED = 1.0
"""Seconds for which somebody must have it whole and nobody be on the way, if nobody in particular is waited
for."""
GIVE_UP = 60.0
"""Seconds for which such a receiver is waited for once it is silent or nothing reaches it: it may have been
started again."""
LOOK = 0.2
"""Seconds between two looks, if nothing happens."""
NOT_ACCEPTED = "has not accepted it"


@joins()
def drop(
    files: Annotated[list[str], typer.Argument(metavar="PATH...", help="Send these files and directories.")],
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to", metavar="NAME", help="Only this peer can get them, and is waited for; may be repeated."
        ),
    ] = None,
    wait_acks: Annotated[
        str | None,
        typer.Option("--wait-acks", metavar="N|all", help="Wait until N or all peers have them whole."),
    ] = None,
    wait_for: Annotated[
        list[str] | None,
        typer.Option(
            "--wait-for", metavar="NAME", help="Wait until this peer has them whole; may be repeated."
        ),
    ] = None,
    timeout: options.Timeout = None,
    *,
    network: Network,
    me: Participant,
    peers: Sequence[str],
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Send files and directories to all who accept them, at once.

    Others accept with mcast get, or with /accept in a chat. It ends when somebody has everything and nobody
    is on the way, or all have it whom --to, --wait-acks and --wait-for require. Links and special files are
    not sent.

    Exit codes: 0 they all have everything, 1 failed, 2 wrong usage, 3 no usable interface or no permission,
    4 nobody is here for --wait-acks all or --to, 27 not all of them have everything, 130 or 143 interrupted.
    """
    if to and (wait_acks is not None or wait_for):
        other = "--wait-for" if wait_for else "--wait-acks"
        raise UsageError(
            f"--to cannot be used with {other}", "leave it out: --to waits for each of its peers"
        )
    wanted = Wanted([*(to or ()), *(wait_for or ())], *_number(wait_acks))
    if not all(wanted.names):
        raise UsageError("--to or --wait-for is empty", "give the name or the id of a peer")

    async def command(ending: Ending, output: Output) -> int:
        ending.unread = exits.TIMED_OUT
        outgoing = await _outgoing(files, ending)
        if outgoing is None:
            return _not_offered(ending, wanted)
        for line in _skipped(outgoing.skipped):
            note(line)
        joining = network.protocol(me, wait=False, peers=peers)
        with terminal_bars(not (json or quiet)) as bars:
            async with joining as session:
                reporter = Reporter(session, quiet=quiet, verbose=False)
                reporter.problems_at_once()
                following = asyncio.create_task(follow(session, reporter))
                view = TransferView(session.contexts[0], bars, reporter.say, output if json else None)
                dropping = Dropping(session, outgoing, wanted, view)
                try:
                    complete = await ending.during(dropping.run(to or (), wait=timeout is not None))
                except NobodyThere as error:
                    note(str(error))
                    return exits.NOTHING_FOUND
                following.cancel()
                if not dropping.offered:
                    return _not_offered(ending, wanted, dropping.absent())
                ending.unread = code = dropping.verdict()
                return code if complete else _code(ending, code)

    return run(command, timeout=timeout)


async def _outgoing(files: Sequence[str], ending: Ending) -> Outgoing | None:
    """What is to be sent; None if there was a reason to stop before all files were found."""
    found: list[Outgoing] = []

    async def find_all() -> None:
        found.append(await apart(Outgoing, files))

    return found[0] if await ending.during(find_all()) else None


class Wanted(msgspec.Struct, frozen=True):
    """Who has to have the files whole: these, so many, or everybody. If it is nobody, all that accept."""

    names: Sequence[str]
    count: int = 0
    everybody: bool = False

    def __bool__(self) -> bool:
        return bool(self.names) or self.count > 0 or self.everybody


def _number(wait_acks: str | None) -> tuple[int, bool]:
    """The number of --wait-acks, and whether it is all."""
    if wait_acks is None or wait_acks == "all":
        return 0, wait_acks == "all"
    if not (wait_acks.isascii() and wait_acks.isdigit() and 0 < int(wait_acks) <= 1_000_000):
        raise UsageError(f'--wait-acks must be 1 or more, or "all", not {wait_acks!r}')
    return int(wait_acks), False


def _not_offered(ending: Ending, wanted: Wanted, absent: Sequence[str] = ()) -> int:
    """Tell why nothing was offered; the exit code. absent: those of `--to` who did not come."""
    late, why = ending.reason == "timeout", "stopped"
    if late:
        why = f"{listed(absent)} did not come" if absent else "the time was over too soon"
    note(f"{why}; nothing was offered")
    return _code(ending, exits.NOTHING_FOUND if late and wanted.names else exits.TIMED_OUT)


def _code(ending: Ending, code: int) -> int:
    """The exit code, also if a signal came."""
    return exits.INTERRUPTED + ending.signal if ending.reason == "signal" else code


def _who(to: Sequence[str]) -> str:
    """Who takes what is offered to these peers, or to everybody if they are none."""
    if not to:
        return "others take"
    return f"{escape(to[0])} takes" if len(to) == 1 else f"these {len(to)} take"


def _skipped(skipped: Sequence[Skipped]) -> Iterator[str]:
    """What to tell about files that are not sent."""
    for one in skipped[:NAMED]:
        yield f"not sent: {one.path}: {one.reason}"
    if len(skipped) > NAMED:
        yield f"{len(skipped) - NAMED:,} more files are not sent"


class Lack(msgspec.Struct, frozen=True):
    """Somebody who does not have the files, and why not; escaped. `have` is None if none was accepted."""

    label: str
    reason: str
    have: int | None = None
    peer_id: PeerId | None = None

    def text(self, total: int) -> str:
        """The words for it."""
        share = "" if self.have is None else f"{share_text(self.have, total)}, "
        return f"{self.label} ({share}{self.reason})" if self.peer_id else f"{self.label} {self.reason}"


class Dropping:
    """Offers files, and waits until those have them who are to get them."""

    def __init__(self, session: GroupSession, outgoing: Outgoing, wanted: Wanted, view: TransferView) -> None:
        self._session, self._group, self._context = session, session.groups[0], session.contexts[0]
        self._outgoing, self._wanted, self._view = outgoing, wanted, view
        self._drop: Drop | None = None
        self._failure = ""
        self._awaited: Sequence[str] = ()
        self._exact: dict[str, bytes] = {}
        self._settled_at: float | None = None
        self._stuck: dict[PeerId, float] = {}
        self._told = 0

    @property
    def offered(self) -> bool:
        """Whether the files were offered."""
        return self._drop is not None

    def absent(self) -> list[str]:
        """The names of those the files are for who are not here, escaped."""
        peers = self._group.peers()
        return [escape(name) for name in self._awaited if not matching(peers, name)]

    async def _find(self, name: str, *, wait: bool) -> PeerView:
        """The peer with that name, also if it comes later."""
        told = False
        while True:
            try:
                return await find(self._group, name)
            except NobodyThere:
                if not wait:
                    raise
                if not told:
                    told = True
                    self._view.say(f"nobody here is called {name!r} yet: waiting")
            await asyncio.sleep(LOOK)

    async def run(self, to: Sequence[str], *, wait: bool) -> None:
        """Offer the files, if need be to these peers alone; return when nobody is waited for any more.

        wait: these peers may come later.
        """
        await self._group.acquaint()
        self._awaited = to
        peers = [await self._find(name, wait=wait) for name in to]
        self._exact = {name: peer.peer_id.origin for name, peer in zip(to, peers, strict=True)}
        self._drop = drop = await self._offer(peers)
        words = f"offering {offer_text(drop.offer)}: {_who(to)} it with mcast get --into DIR"
        self._view.begin(drop.offer, words)
        while drop.failure is None and not self._settled(drop.progress()):
            self._session.require_sent()
            self._view.look(drop.offer, drop.progress(), arrived(drop.progress()))
            self._tell_unsent(drop)
            await drop.changed(LOOK)
        self._tell_unsent(drop)
        if drop.failure is not None:
            self._failure = drop.failure.text or drop.failure.kind

    async def _offer(self, peers: Sequence[PeerView]) -> Drop:
        """Read the files and offer them. Large ones take a while: show how far they are read."""
        outgoing = self._outgoing
        offering = asyncio.ensure_future(
            self._group.drop(outgoing, title=outgoing.title, count=outgoing.files, to=peers or None)
        )
        try:
            while not (await asyncio.wait({offering}, timeout=LOOK))[0]:
                self._view.reading(outgoing.title, outgoing.read_to, outgoing.size)
        finally:
            self._view.reading("", 0, 0)
            if not offering.done():
                offering.cancel()
                await asyncio.gather(offering, return_exceptions=True)
        return offering.result()

    def _tell_unsent(self, drop: Drop) -> None:
        """Tell which files are not sent any more."""
        for line in drop.unsent[self._told : NAMED]:
            note(f"{escape(line)}: the others are sent without it")
        if len(drop.unsent) > NAMED > self._told - 1:
            note(f"{len(drop.unsent) - NAMED:,} more files have changed")
        self._told = len(drop.unsent)

    def verdict(self) -> int:
        """Tell who has the files and who has not; the exit code."""
        assert self._drop is not None, "asked only then"  # noqa: S101 - for mypy
        offer, progress = self._drop.offer, self._drop.progress()
        lacks = self._lacks(progress)
        state = "failed" if self._failure else "incomplete" if lacks else "whole"
        self._view.look(offer, progress, arrived(progress))
        self._view.end(offer, progress, arrived(progress), state, reason=self._failure)
        if self._failure:
            note(f"the transfer has ended: {self._failure}")
            return exits.FAILED
        whole = {self._view.label(one) for one in progress.receivers if one.state == State.WHOLE}
        if len(whole) > 1:  # each was named when it became whole
            self._view.say(f"{len(whole):,} have {offer_text(offer)} whole")
        if lacks:
            # The same command offers something else once a file has changed.
            goes_on = any(lack.have for lack in lacks) and not self._drop.unsent
            again = "; the same command goes on" if goes_on else ""
            note(f"not whole: {listed([lack.text(progress.total) for lack in lacks])}{again}")
        if self._wanted.everybody and not lacks and not whole:
            note("nobody is here to get it")
            return exits.NOTHING_FOUND
        return exits.TIMED_OUT if lacks else exits.DONE

    def _settled(self, progress: Progress) -> bool:
        """Whether there is nobody left to wait for."""
        now, lacks = self._group.now, self._lacks(progress)
        stuck = {one.peer_id for one in progress.receivers if is_stuck(one)}
        self._stuck = {peer_id: self._stuck.get(peer_id, now) for peer_id in stuck}
        failed = {one.peer_id for one in progress.receivers if one.state == State.FAILED}
        unsent = self._drop is not None and bool(self._drop.unsent)
        if self._wanted and not unsent:
            return all(lack.peer_id in failed for lack in lacks)
        given_up = {peer_id for peer_id, since in self._stuck.items() if now - since >= GIVE_UP}
        over = {one.peer_id for one in progress.receivers if one.state == State.WHOLE}
        if unsent:  # nobody becomes whole any more, but whoever is on the way gets the other files
            over |= failed | given_up
            lacks = [lack for lack in lacks if lack.peer_id is not None]
        if not over or not all(lack.peer_id in failed | given_up for lack in lacks):
            self._settled_at = None
        elif self._settled_at is None:
            self._settled_at = now
        return self._settled_at is not None and now - self._settled_at >= SETTLED

    def _lacks(self, progress: Progress) -> list[Lack]:
        """Who was to get the files and does not have them whole."""
        receivers, wanted = current(progress.receivers), self._wanted
        lacks: dict[str, Lack] = {}
        for name in wanted.names:
            lacks |= self._lacks_of(name, receivers)
        if wanted.everybody:
            known = {one.peer_id: one for one in receivers}
            for peer in self._group.peers():
                one = known.get(peer.peer_id)
                if one is None and not peer.listener:
                    label = self._context.labels.label(peer.peer_id, peer.name)
                    lacks[label] = Lack(label, NOT_ACCEPTED)
        waited_for = wanted.everybody or not wanted
        whole = sum(one.state == State.WHOLE for one in receivers)
        if waited_for or whole < wanted.count:
            lacks |= {self._view.label(one): self._lack(one) for one in receivers if one.state != State.WHOLE}
        more = wanted.count - sum(one.state != State.FAILED for one in receivers)
        if more > 0:
            lacks[""] = Lack(f"{more} more", NOT_ACCEPTED)
        elif not wanted and not receivers:
            lacks[""] = Lack("nobody", "has accepted it")
        return list(lacks.values())

    def _lacks_of(self, name: str, receivers: Sequence[ReceiverProgress]) -> dict[str, Lack]:
        """Who can be meant by a name and does not have the files whole.

        The attack: to take another's name, and to say at once that one has them.
        """
        exact, peers = self._exact.get(name), self._group.peers()
        lacks: dict[str, Lack] = {}
        if exact is None:
            called = [one for one in receivers if means(one.name, one.peer_id.origin, name)]
            here = matching(peers, name)
        else:
            called = [one for one in receivers if one.peer_id.origin == exact]
            here = [peer for peer in peers if peer.peer_id.origin == exact]
        here = [peer for peer in here if not peer.listener]
        whole = {one.peer_id.origin for one in called if one.state == State.WHOLE}
        for peer in here:
            label = self._context.labels.label(peer.peer_id, peer.name)
            if peer.peer_id.origin not in whole:
                lacks[label] = Lack(label, NOT_ACCEPTED)
        lacks |= {self._view.label(one): self._lack(one) for one in called if one.peer_id.origin not in whole}
        return lacks if called or lacks else {name: Lack(escape(name), NOT_ACCEPTED)}

    def _lack(self, receiver: ReceiverProgress) -> Lack:
        reason = standing(receiver)
        if receiver.reason and reason != "stopped":
            reason += f": {receiver.reason}"
        return Lack(self._view.label(receiver), escape(reason), receiver.have, receiver.peer_id)


def arrived(progress: Progress) -> int:
    """How much of it has arrived: the mean of those that take it; the most that one has if all stopped."""
    receivers = current(progress.receivers)
    taking = [one.have for one in receivers if one.state != State.FAILED]
    return sum(taking) // len(taking) if taking else max((one.have for one in receivers), default=0)
