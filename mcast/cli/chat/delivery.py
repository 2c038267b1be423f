"""Who has got a line of one's own: the marks before it, and the words for the last one.

What is claimed comes from confirmations: a peer has a line when it said so, signed. Who is here is what the
roster says; in an open room anybody can invent peers.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

from mcast.aio import Receipt
from mcast.cli.items import GroupContext
from mcast.cli.output import clock
from mcast.events import PeerView

from .render import ALERT, ALL, DIM, REFUSED, SOME, UNHEARD, Parts

CONFIRMED = 3.0
"""Seconds in which somebody should confirm a line. It usually takes less than 0.2."""
WATCHED = 20
"""Lines whose marks can change."""
LOOK, SELDOM = 0.3, 2.0
"""Seconds between two looks at who has confirmed, soon after something happened and later."""
SHARE = 20
"""The looks take at most this part of the time, however many peers there are."""
CROWD = 50
"""Peers above which only one is asked to confirm: all their answers would be more than the conversation."""
NAMED = 3
"""Peers that the line below the prompt names."""


def with_silence(context: GroupContext, peer: PeerView) -> str:
    """The label of a peer, and since when it is silent, if it is suspected to be gone."""
    label = context.labels.label(peer.peer_id, peer.name)
    return (
        f"{label} (suspect since {max(0.0, context.group.now - peer.heard):.0f} s)" if peer.suspect else label
    )


class OwnLine:
    """A line of one's own: when it was sent, and the mark that it has."""

    def __init__(self, receipt: Receipt, now: float) -> None:
        self.receipt = receipt
        self.sent, self.at = time.time(), now
        self.mark = ""
        self.refused = False


class Delivery:
    """Watches over the lines that were sent to a group.

    mark: called with the id of a line and its new mark. changed: called when the words for the last line may
    be others. say: tells the user something, once.
    """

    def __init__(
        self,
        context: GroupContext,
        mark: Callable[[str, str], None],
        changed: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        self._context, self._group = context, context.group
        self._mark, self._changed, self._say = mark, changed, say
        self._lines: dict[str, OwnLine] = {}
        self._unconfirmed = False
        self._happened = asyncio.Event()
        self._asked = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def sent(self, receipt: Receipt) -> str:
        """Watch the receipt of a line, and return its first mark."""
        line = self._lines[receipt.id] = OwnLine(receipt, self._group.now)
        if len(self._lines) > WATCHED:
            del self._lines[next(iter(self._lines))]
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._ask()), asyncio.create_task(self._watch())]
        self.happened()
        self._look_at(line)
        return line.mark

    def happened(self) -> None:
        """A peer came or left, or an interface did: look again, and ask."""
        if self._lines:
            self._happened.set()
            self._asked.set()

    async def close(self) -> None:
        """Stop watching."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def status(self) -> Parts:
        """Who has got the last line, in few words; nothing if none was sent."""
        if not self._lines:
            return []
        line = next(reversed(self._lines.values()))
        return [(ALERT if line.mark in (REFUSED, UNHEARD) else DIM, self._words(line, NAMED))]

    def report(self) -> list[str]:
        """Who has got the last line, and who has not."""
        if not self._lines:
            return ["you have said nothing yet"]
        line = next(reversed(self._lines.values()))
        heard = ", ".join(map(self._label, line.receipt.heard_by)) or "nobody"
        lines = [f"your line of {clock(line.sent)}: {self._words(line, NAMED)}", f"heard by: {heard}"]
        if missing := self._missing(line):
            lines.append(
                f"not confirmed by: {', '.join(with_silence(self._context, peer) for peer in missing)}"
            )
        return lines

    def _words(self, line: OwnLine, named: int) -> str:
        """Who has got the line; `named` of those who have not are named, the others are counted."""
        missing = self._missing(line)
        late = [peer for peer in missing if peer.joined > line.at]
        missing = [peer for peer in missing if peer.joined <= line.at]
        heard = line.receipt.heard_by
        here = {peer.peer_id for peer in self._group.peers()}
        count = sum(peer.peer_id in here for peer in heard)
        if line.mark == REFUSED:
            refusal = self._group.refusal
            return f"not sent: {refusal.message if refusal else 'there is no network'}"
        if not heard:
            confirmed = (
                "sent" if not line.mark else "nobody has confirmed it yet" if missing else "nobody was here"
            )
        elif missing:
            confirmed = f"heard by {count} of {count + len(missing)}, not by {self._names(missing, named)}"
        elif count > 1:
            confirmed = f"heard by all {count}" + (" who were here" if late else " here")
        else:
            confirmed = f"heard by {self._label(heard[0])}"
        return f"{confirmed}; {self._names(late, named)} came later" if late else confirmed

    def _names(self, peers: Sequence[PeerView], most: int) -> str:
        more = [f"{len(peers) - most:,} more"] if len(peers) > most else []
        return ", ".join([*map(self._label, peers[:most]), *more])

    def _missing(self, line: OwnLine) -> Sequence[PeerView]:
        """Who is here and has not confirmed the line."""
        unheard = {peer.peer_id for peer in line.receipt.unheard_by}
        return [peer for peer in self._group.peers() if peer.peer_id in unheard]

    def _label(self, peer: PeerView) -> str:
        return self._context.labels.label(peer.peer_id, peer.name)

    def _look_at(self, line: OwnLine) -> bool:
        """Give the line its mark; whether it has another one now."""
        if line.receipt.heard_by:
            mark = SOME if self._missing(line) else ALL
        elif self._group.refusal is not None or all(one.loopback for one in self._group.links.used):
            mark = REFUSED
        else:
            mark = UNHEARD if time.time() - line.sent >= CONFIRMED else ""
        if mark == line.mark:
            return False
        line.mark = mark
        if line.refused and mark in (SOME, ALL):
            self._say(f"your line of {clock(line.sent)} has arrived: {self._words(line, NAMED)}")
        line.refused = mark == REFUSED or (line.refused and not line.receipt.heard_by)
        return True

    async def _watch(self) -> None:
        """Look again and again who has confirmed, seldom if nothing happens."""
        pause = LOOK
        while True:
            start = time.monotonic()
            changed = [line for line in self._lines.values() if self._look_at(line)]
            for line in changed:
                self._mark(line.receipt.id, line.mark)
            self._tell()
            self._changed()
            pause = LOOK if changed or self._happened.is_set() else min(SELDOM, 1.3 * pause)
            self._happened.clear()
            await asyncio.sleep(max(LOOK, SHARE * (time.monotonic() - start)))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._happened.wait()

    def _tell(self) -> None:
        """Say once that nobody confirms, and again only after somebody has confirmed a line."""
        last = next(reversed(self._lines.values()))
        if last.mark == UNHEARD and not self._unconfirmed:
            self._say("nobody has confirmed this yet; peers that join soon can still get it")
        self._unconfirmed = last.mark == UNHEARD or (self._unconfirmed and not last.receipt.heard_by)

    async def _ask(self) -> None:
        """Ask for confirmations of the last line, whenever something happened."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            receipt = next(reversed(self._lines.values())).receipt
            crowd = len(self._group.peers()) > CROWD
            await receipt.confirmed(1 if crowd else None, timeout=CONFIRMED)
            self._happened.set()
