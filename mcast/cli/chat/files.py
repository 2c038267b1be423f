"""Files in a chat: what others offer, what is accepted, what one offers oneself, and how far all that is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterator
from math import inf
from typing import TYPE_CHECKING, Any, TypeGuard

import platformdirs

from mcast.cli.items import GroupContext
from mcast.cli.offers import (
    QUIET,
    gets_on,
    is_stuck,
    listed,
    offer_text,
    share_text,
    size_text,
    standing,
    stuck_text,
    why_nothing_comes,
)
from mcast.cli.output import escape, note
from mcast.cli.transfers import current
from mcast.core.events import PeerId
from mcast.errors import McastError, UsageError
from mcast.events import TransferOffered
from mcast.files.incoming import Incoming
from mcast.files.outgoing import Outgoing
from mcast.runtime.bulk.transfers import Drop, Fetch, TransferOpen
from mcast.runtime.bulk.views import Progress, ReceiverProgress, State
from mcast.runtime.bulk.worker import apart

if TYPE_CHECKING:
    from .talk import Talk
    from .view import View

LOOK = 0.25
"""Seconds, at least, between two changes of the line of a transfer."""
NAMED = 3
"""Receivers that the line of a transfer names."""
AT_ONCE = 8
"""Transfers that one takes or offers at a time: each has a worker thread and open files."""
HELD = 8
"""Transfers that are whole and that others can have from us."""
TAKING = (State.ACCEPTED, State.RECEIVING)
OVER = (State.WHOLE, State.FAILED)
SKIPPED = 5
"""Files that are not sent and are named."""


class Files:
    """The transfers of one room. `view` shows a line for each, which changes in place."""

    def __init__(self, context: GroupContext, view: View) -> None:
        self._context, self._group, self._view = context, context.group, view
        self._numbers: dict[str, int] = {}
        self._count = 0
        self._transfers: dict[str, Drop | Fetch] = {}
        self._outcomes: dict[str, str] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._reading: set[asyncio.Task[None]] = set()
        self._lines: dict[str, str] = {}
        self._closing = False

    def number(self, offer: TransferOffered) -> int:
        """The number of an offer in this room. Offers that are known no more lose theirs."""
        if offer.id not in self._numbers:
            known = {one.id for one in self._group.offered()} | self._transfers.keys()
            self._numbers = {one: number for one, number in self._numbers.items() if one in known}
            self._count += 1
            self._numbers[offer.id] = self._count
        return self._numbers[offer.id]

    def has(self, offer: TransferOffered) -> bool:
        """Whether one offers, takes or has this already."""
        return offer.id in self._transfers

    def untaken(self) -> list[TransferOffered]:
        """What somebody who is here offers and one does not take."""
        return [one for one in self._offers().values() if not self.has(one) and self._group.holders(one)]

    def report(self) -> Iterator[str]:
        """A line for each offer that is known, and for each transfer of one's own."""
        offers = self._offers()
        offers |= {one: transfer.offer for one, transfer in self._transfers.items()}
        if not offers:
            yield "nobody offers files; /drop PATH offers some"
        for offer in offers.values():
            transfer = self._transfers.get(offer.id)
            state = self._outcomes.get(offer.id) or (
                self._words(transfer, transfer.progress()) if transfer else ""
            )
            if not state and not self._group.holders(offer):
                state = "nobody who is here has it"
            line = f"[{self.number(offer)}] {offer_text(offer)} from {self._author(offer)}"
            yield f"{line}: {state}" if state else line

    def _offers(self) -> dict[str, TransferOffered]:
        """What others offer. Of several who offer the same, the first one says what it is called."""
        offers: dict[str, TransferOffered] = {}
        for offer in self._group.offered():
            offers.setdefault(offer.id, offer)
        return offers

    async def drop(self, path: str) -> None:
        """Offer a file or a directory, once it has been read. One can go on typing meanwhile."""
        await self._make_room()
        task = asyncio.create_task(self._offer(path))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _offer(self, path: str) -> None:
        try:
            await self._read_and_offer(path)
        except TransferOpen as error:
            note(self._open_already(error.transfer))
        except McastError as error:
            note(str(error))

    def _open_already(self, transfer: Drop | Fetch) -> str:
        """Why something is not offered or taken once more."""
        verb = "offer" if isinstance(transfer, Drop) else "get"
        return f"you {verb} it already, as [{self.number(transfer.offer)}]"

    async def _read_and_offer(self, path: str) -> None:
        outgoing = await apart(_outgoing, path)
        for one in outgoing.skipped[:SKIPPED]:
            note(f"not sent: {one.path}: {one.reason}")
        if len(outgoing.skipped) > SKIPPED:
            note(f"{len(outgoing.skipped) - SKIPPED:,} more files are not sent")
        drop = await self._group.drop(outgoing, title=outgoing.title, count=outgoing.files)
        self._start(drop, self._watch_drop(drop))

    async def accept(self, number: int, into: str) -> None:
        """Take what was offered under a number."""
        offers = {self.number(offer): offer for offer in self._offers().values()}
        if number not in offers:
            raise UsageError(f"there is no offer {number}", "see /files")
        offer = offers[number]
        if isinstance(self._transfers.get(offer.id), Drop):
            raise UsageError(self._open_already(self._transfers[offer.id]))
        if offer.id in self._transfers:
            state = self._outcomes.get(offer.id, "it is on its way")
            raise UsageError(f"you have taken {offer_text(offer)} already", state)
        incoming = Incoming(_home(into) or platformdirs.user_downloads_dir())
        await self._leave_other(offer)
        await self._make_room()
        try:
            fetch = await self._group.accept(offer, incoming)
        except TransferOpen as error:
            raise UsageError(self._open_already(error.transfer)) from None
        self._outcomes.pop(offer.id, None)
        self._start(fetch, self._watch_fetch(fetch, incoming))

    async def _leave_other(self, offer: TransferOffered) -> None:
        """Leave what is taken under the same hash, but of other sizes: only one of them can be true."""
        for other in list(self._transfers.values()):
            if isinstance(other, Fetch) and other.offer.root == offer.root and other.id in self._tasks:
                task = self._tasks[other.id]
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                self._transfers.pop(other.id, None)
                self._end(other, "left for another offer of it")

    async def close(self) -> None:
        """Stop. What is unfinished stays on the disk; tell what becomes of it."""
        self._closing = True
        for transfer in self._transfers.values():
            if isinstance(transfer, Drop):
                self._tell_unserved(transfer)
        tasks = [*self._reading, *self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _tell_unserved(self, drop: Drop) -> None:
        """Tell whom a transfer does not complete any more, unless somebody else has all of it."""
        progress = drop.progress()
        taking = [one for one in current(progress.receivers) if one.state in TAKING]
        moving = [one for one in taking if one.have < progress.total]  # the others are just finishing
        if moving and drop.failure is None and not self._group.holders(drop.offer):
            labels = listed([self._context.labels.label(one.peer_id, one.name) for one in moving])
            verb = "does" if len(moving) == 1 else "do"
            rest = f"{labels} {verb} not get the rest of {offer_text(drop.offer)} from you"
            note(f"{rest}: /drop it again to go on")

    def _tell_kept(self, fetch: Fetch, incoming: Incoming) -> None:
        """Tell that what is here of a transfer is kept, and how to go on."""
        progress = fetch.progress()
        there = incoming.part != incoming.into and incoming.part.exists()
        if fetch.failure is not None and progress.have and there:
            share, into = share_text(progress.have, progress.total), escape(str(incoming.into))
            again = f"to go on, see /files and /accept it into {into} again"
            note(f"{offer_text(fetch.offer)} is not whole: {share} is kept; {again}")

    async def _make_room(self) -> None:
        """UsageError if there are too many transfers, and none of one's own that nobody is taking now.

        Of those that are whole and given to others, the oldest are given no more.
        """
        for fetch in [one for one in self._transfers.values() if self._is_whole(one)][:-HELD]:
            del self._transfers[fetch.id]
            await fetch.close()
        if len(self._tasks) + len(self._reading) < AT_ONCE:
            return
        for transfer in self._transfers.values():
            if isinstance(transfer, Drop) and all(one.state in OVER for one in transfer.progress().receivers):
                self._tasks[transfer.id].cancel()
                await transfer.withdraw()
                del self._transfers[transfer.id]
                note(f"you offer {offer_text(transfer.offer)} no more")
                return
        raise UsageError(f"{AT_ONCE} transfers are going on", "wait until one of them has ended")

    def _is_whole(self, transfer: Drop | Fetch) -> TypeGuard[Fetch]:
        return isinstance(transfer, Fetch) and transfer.id not in self._tasks

    def _start(self, transfer: Drop | Fetch, watching: Coroutine[Any, Any, None]) -> None:
        self._transfers[transfer.id] = transfer
        task = self._tasks[transfer.id] = asyncio.create_task(watching)
        task.add_done_callback(lambda _: self._tasks.pop(transfer.id, None))

    async def _watch_fetch(self, fetch: Fetch, incoming: Incoming) -> None:
        ended = asyncio.create_task(fetch.wait())
        have, since = -1, 0.0
        try:
            while not ended.done():
                progress = fetch.progress()
                self._show(fetch, progress)
                if progress.have != have:
                    have, since = progress.have, self._group.now
                elif have < progress.total and self._group.now - since >= QUIET:
                    since = inf
                    note(why_nothing_comes(fetch.offer, self._author(fetch.offer), progress))
                await fetch.changed(LOOK)
            failure = ended.result()
        except asyncio.CancelledError:
            ended.cancel()
            await fetch.cancel()
            if self._closing:
                self._tell_kept(fetch, incoming)
            raise
        if failure is None:
            outcome = f"whole, in {', '.join(escape(str(path)) for path in incoming.places[:NAMED])}"
        else:
            # The reason names no directory: others are told it, too.
            where = f" in {escape(str(incoming.into))}" if failure.kind == "sink" else ""
            reason = escape(failure.text or failure.kind)
            outcome = f"not whole{where}: {reason}; /accept again goes on with it"
            del self._transfers[fetch.id]
        self._end(fetch, outcome)

    async def _watch_drop(self, drop: Drop) -> None:
        """Show how it stands as long as one is in the room: more people may take it."""
        told: set[tuple[PeerId, str]] = set()
        while drop.failure is None:
            progress = drop.progress()
            self._show(drop, progress)
            for one in progress.receivers:
                key = one.peer_id, one.reason
                if one.reason and is_stuck(one) and key not in told:
                    told.add(key)
                    label = self._context.labels.label(one.peer_id, one.name)
                    note(f"{offer_text(drop.offer)}: {stuck_text(one, label, progress.total)}")
            await drop.changed(LOOK)
        del self._transfers[drop.id]
        self._end(drop, f"ended: {escape(drop.failure.text or drop.failure.kind)}")

    def _show(self, transfer: Drop | Fetch, progress: Progress) -> None:
        """Show how a transfer stands, in its line."""
        self._outcomes.pop(transfer.id, None)
        words = self._line(transfer, self._words(transfer, progress))
        if self._lines.get(transfer.id) != words:
            first = transfer.id not in self._lines
            self._lines[transfer.id] = words
            if not self._view.change(transfer.id, words) and first:
                note(words)

    def _end(self, transfer: Drop | Fetch, outcome: str) -> None:
        self._outcomes[transfer.id] = outcome
        self._lines.pop(transfer.id, None)
        words = self._line(transfer, outcome)
        if not self._view.change(transfer.id, words):
            note(words)

    def _line(self, transfer: Drop | Fetch, state: str) -> str:
        verb = "you offer" if isinstance(transfer, Drop) else "you get"
        name = self._view.look().one_row(offer_text(transfer.offer), 4)
        return f"[{self.number(transfer.offer)}] {verb} {name}: {state}"

    def _words(self, transfer: Drop | Fetch, progress: Progress) -> str:
        moving = isinstance(transfer, Fetch) or any(map(gets_on, progress.receivers))
        rate = f", {size_text(progress.rate)}/s" if progress.rate and moving else ""
        if isinstance(transfer, Fetch):
            gone = "" if self._group.holders(transfer.offer) else ", nobody who is here has it"
            return f"{share_text(progress.have, progress.total)}{gone or rate}"
        receivers = current(progress.receivers)
        if not receivers:
            return "nobody has accepted it yet"
        whole = sum(one.state == State.WHOLE for one in receivers)
        others = [one for one in receivers if one.state != State.WHOLE]
        named = [self._receiver(one, progress.total) for one in others[:NAMED]]
        more = [f"{len(others) - NAMED:,} more"] if len(others) > NAMED else []
        return f"{', '.join([f'{whole} of {len(receivers)} whole', *named, *more])}{rate}"

    def _receiver(self, receiver: ReceiverProgress, total: int) -> str:
        label = self._context.labels.label(receiver.peer_id, receiver.name)
        state = "" if standing(receiver) == State.RECEIVING else f" {standing(receiver)}"
        return f"{label} {share_text(receiver.have, total)}{state}"

    def _author(self, offer: TransferOffered) -> str:
        own = offer.peer_id == self._group.peer_id
        return "you" if own else self._context.labels.label(offer.peer_id, offer.name)


def _home(path: str) -> str:
    """The path with the user's home for a tilde, and without quotes: some terminals quote what is dragged."""
    if len(path) > 1 and path[0] == path[-1] and path[0] in "'\"" and not os.path.lexists(path):
        path = path[1:-1]
    return os.path.expanduser(path)


def _outgoing(path: str) -> Outgoing:
    local = _home(path)
    if " " in path and local == path and not os.path.lexists(local):
        raise UsageError(f"there is no file {local}", "/drop takes one path, which may have spaces")
    return Outgoing([local])


async def drop(talk: Talk, path: str) -> None:
    """/drop PATH"""
    if not path:
        raise UsageError("/drop needs a file or a directory", "write /drop PATH")
    await _files(talk).drop(path)


async def accept(talk: Talk, words: str) -> None:
    """/accept N [DIR]"""
    number, _, into = words.partition(" ")
    if not number.isdecimal():
        raise UsageError(
            "/accept needs the number of an offer", "write /accept N or /accept N DIR; see /files"
        )
    await _files(talk).accept(int(number), into.strip())


async def files(talk: Talk, _: str) -> None:
    """/files"""
    for line in _files(talk).report():
        note(line)


def _files(talk: Talk) -> Files:
    if talk.room.files is None:
        raise UsageError("plain text has no files", "use mcast chat without --plain")
    return talk.room.files
