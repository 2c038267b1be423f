"""`mcast get`: accept files that others offer, and keep them once they are whole."""

import asyncio
import fnmatch
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from mcast.aio import Group
from mcast.errors import UsageError
from mcast.events import TransferOffered
from mcast.files.incoming import Incoming, check_directory
from mcast.runtime.bulk.transfers import Fetch
from mcast.runtime.bulk.views import Progress

from . import exits, options
from .joining import joins
from .offers import QUIET, listed, offer_text, share_text, size_text, why_nothing_comes
from .output import Output, escape, note
from .private import means
from .runner import Ending, run
from .session import GroupSession, Network, Participant, Reporter
from .transfers import TransferView, follow, terminal_bars

LOOK = 0.2
"""Seconds between two looks, if nothing happens."""

LEAVING = 0.5
"""Seconds that a peer that offers something no more may take to leave."""

STALLED = 30.0
"""Seconds without a new block after which a transfer is left, if another one is offered that fits."""


@joins()
def get(
    into: Annotated[
        str, typer.Option("--into", metavar="DIR", help="Keep the files in DIR, which is created if new.")
    ],
    author: Annotated[
        str | None,
        typer.Option("--from", metavar="NAME", help="Accept only what this peer offers (NAME or NAME·ID)."),
    ] = None,
    match: Annotated[
        str, typer.Option("--match", metavar="GLOB", help="Accept only what is called like this.")
    ] = "*",
    count: Annotated[
        int, options.number_option("--count", "-C", "-c", least=1, help="Stop after N transfers.")
    ] = 1,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files of the same name instead of adding a number.")
    ] = False,
    executable: Annotated[
        bool, typer.Option("--executable", help="Let files be executable that are so at the sender.")
    ] = False,
    timeout: options.Timeout = None,
    linger: Annotated[
        float, options.time_option("--linger", help="Go on for this long to give the files to others.")
    ] = options.Seconds(0),
    *,
    network: Network,
    me: Participant,
    peers: Sequence[str],
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Accept files that others offer with mcast drop, or with /drop in a chat.

    It takes the first offer that fits, made before or after it was started. Files are put into DIR once they
    are whole. What was interrupted goes on when it is called again.

    Exit codes: 0 all is here whole, 1 failed, 2 wrong usage, 3 no usable interface or no permission,
    4 nothing was offered before -W, 27 not whole before -W, or a file changed while it was sent, 130 or 143
    interrupted.
    """
    if author == "":
        raise UsageError("--from is empty", "give the name or the id of a peer")
    if not into:
        raise UsageError("--into is empty", "give a directory, such as .")
    check_directory(Path(into))

    async def command(ending: Ending, output: Output) -> int:
        ending.unread = exits.TIMED_OUT
        joining = network.protocol(me, peers=peers, history=True)
        with terminal_bars(not (json or quiet)) as bars:
            async with joining as session:
                reporter = Reporter(session, quiet=quiet, verbose=False)
                reporter.joined("waiting for files in")
                following = asyncio.create_task(follow(session, reporter))
                json_output = output if json else None
                view = TransferView(session.contexts[0], bars, reporter.say, json_output, getting=True)
                getting = Getting(session, view, Path(into), count, author, match)
                getting.overwrite, getting.executable = overwrite, executable
                complete = await ending.during(getting.run())
                ending.unread = code = await getting.verdict()
                following.cancel()
                if complete and linger and not getting.failed:
                    await ending.during(asyncio.sleep(linger))
                if ending.reason == "signal" and not complete:
                    return exits.INTERRUPTED + ending.signal
                return code

    return run(command, timeout=timeout)


class Waiting:
    """Tells why no more comes of what the peer `label` offers."""

    def __init__(self, group: Group, offer: TransferOffered, label: str) -> None:
        self._group, self._offer, self._label = group, offer, label
        self._have, self._since = -1, 0.0
        self._left_at: float | None = None
        self._told_quiet = self._told_left = False

    def look(self, progress: Progress) -> float:
        """How many seconds it has waited for more now. Tells why, once."""
        now = self._group.now
        if progress.have != self._have or progress.have == progress.total:
            self._have, self._since = progress.have, now
        if progress.have == progress.total:
            return 0.0
        quiet = now - self._since
        if not self._tell_left(now) and quiet >= QUIET and not self._told_quiet:
            self._told_quiet = True
            note(why_nothing_comes(self._offer, self._label, progress))
        return quiet

    def _tell_left(self, now: float) -> bool:
        """Whether nobody is here who has all of it; tells it each time that this begins."""
        group, offer = self._group, self._offer
        if group.holders(offer):
            self._left_at, self._told_left = None, False
            return False
        self._left_at = now if self._left_at is None else self._left_at
        here = any(peer.peer_id == offer.peer_id for peer in group.peers())
        if not self._told_left and (not here or now - self._left_at >= LEAVING):
            self._told_left = True
            offered = any((one.id, one.peer_id) == (offer.id, offer.peer_id) for one in group.offered())
            what = "offers it no more" if here else "is not heard any more" if offered else "left"
            note(f"{self._label} {what}; waiting for somebody who has the rest")
        return True


class Getting:
    """Accepts offers that fit, until so many are done."""

    def __init__(
        self,
        session: GroupSession,
        view: TransferView,
        into: Path,
        count: int,
        author: str | None,
        match: str,
    ) -> None:
        self.overwrite = self.executable = self.failed = False
        self._session, self._group, self._view = session, session.groups[0], view
        self._into, self._count, self._author, self._match = into, count, author, match
        self._works: dict[bytes, asyncio.Task[None]] = {}
        self._running: dict[str, tuple[Fetch, Incoming]] = {}
        self._stalled: dict[bytes, TransferOffered] = {}
        self._left: Counter[str] = Counter()
        self._partly = False
        self._whole = 0

    async def run(self) -> None:
        """Return when so many transfers have ended."""
        works = self._works
        try:
            while sum(work.done() for work in works.values()) < self._count:
                self._session.require_sent()
                for offer in sorted(self._group.offered(), key=lambda offer: self._left[offer.id]):
                    if self._fits(offer) and await self._has_room(offer):
                        works[offer.root] = asyncio.create_task(self._get(offer))
                await asyncio.sleep(LOOK)
            for work in works.values():
                work.result()
        finally:
            for work in works.values():
                work.cancel()
            await asyncio.gather(*works.values(), return_exceptions=True)

    def _fits(self, offer: TransferOffered) -> bool:
        if not self._group.holders(offer):
            return False  # from before, and nobody has it any more, or nobody is known yet
        if self._author is not None and not means(offer.name, offer.peer_id.origin, self._author):
            return False
        return fnmatch.fnmatchcase(offer.title.rstrip("/"), self._match)

    async def _has_room(self, offer: TransferOffered) -> bool:
        """Whether it can be taken now. One that does not come is left for it.

        The attack: to offer what nobody has, and to be here, so that nothing else is ever taken.
        """
        if offer.root not in self._works and len(self._works) < self._count:
            return True
        root = offer.root if offer.root in self._works else next(iter(self._stalled), b"")
        stalled = self._stalled.get(root)
        if stalled is None or stalled.id == offer.id:
            return False
        note(f"{offer_text(stalled)} does not come: leaving it for {offer_text(offer)}")
        work = self._works.pop(root)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        fetch, _ = self._running.pop(stalled.id)
        progress = fetch.progress()
        self._view.end(stalled, progress, progress.have, "incomplete", reason="it does not come")
        await fetch.cancel()
        self._left[stalled.id] += 1
        return True

    async def _get(self, offer: TransferOffered) -> None:
        incoming = Incoming(self._into, overwrite=self.overwrite, executable=self.executable)
        label = self._session.contexts[0].labels.label(offer.peer_id, offer.name)
        self._view.begin(offer, f"getting {offer_text(offer)} from {label}")
        fetch = await self._group.accept(offer, incoming)
        self._running[offer.id] = fetch, incoming
        ended = asyncio.create_task(fetch.wait())
        waiting = Waiting(self._group, offer, label)
        try:
            while not ended.done():
                progress = fetch.progress()
                self._look(offer, progress)
                if waiting.look(progress) < STALLED:
                    self._stalled.pop(offer.root, None)
                else:
                    self._stalled[offer.root] = offer
                await fetch.changed(LOOK)
        finally:
            ended.cancel()
            self._stalled.pop(offer.root, None)
        del self._running[offer.id]
        failure, progress = ended.result(), fetch.progress()
        state = "whole" if failure is None else "failed"
        places = [str(path) for path in incoming.places]
        reason = "" if failure is None else failure.text or failure.kind
        self._view.end(offer, progress, progress.have, state, reason=reason, paths=places)
        if failure is not None:
            there = f"; the rest is in {os.path.join(self._into, '')}" if places else ""
            # The reason names no directory: others are told it, too.
            where = f" in {self._into}" if failure.kind == "sink" else ""
            note(f"{offer_text(offer)} is not whole{escape(where)}: {escape(reason)}{escape(there)}")
            self.failed = self.failed or failure.kind != "changed"
            self._partly = self._partly or failure.kind == "changed"
            return
        self._whole += 1
        seconds = max(self._view.seconds(offer), 0.001)
        speed = f"{size_text(offer.size)} in {seconds:.1f} s, {size_text(offer.size / seconds)}/s"
        shown = ", ".join(escape(path) for path in places[:3]) + (", …" if len(places) > 3 else "")
        self._view.say(f"{shown} ({speed})")

    def _look(self, offer: TransferOffered, progress: Progress) -> None:
        """Show how a transfer stands here. How far others are is told to its author."""
        self._view.look(offer, msgspec.structs.replace(progress, receivers=()), progress.have)

    async def verdict(self) -> int:
        """Tell what is not whole; the exit code, unless a signal ended it."""
        for fetch, incoming in self._running.values():
            progress = fetch.progress()
            self._view.end(fetch.offer, progress, progress.have, "incomplete", reason="")
            share = share_text(progress.have, progress.total)
            kept = f"; the same command goes on with what is in {incoming.part}" if progress.have else ""
            note(f"{offer_text(fetch.offer)} is not whole: {share} is here{escape(kept)}")
            await fetch.cancel()
        if self.failed:
            return exits.FAILED
        if self._whole == self._count:
            return exits.DONE
        if self._running or self._whole or self._partly:
            return exits.TIMED_OUT
        others = [offer_text(offer) for offer in self._group.offered() if self._group.holders(offer)]
        note(f"nothing that fits was offered, only {listed(others)}" if others else "nothing was offered")
        return exits.NOTHING_FOUND
