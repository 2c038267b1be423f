"""Negative acknowledgements: which receive windows lack what, when to ask for it, when to give it up.

After NORM (RFC 5740, RFC 5401): random backoff, and suppression by what others ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from math import inf
from typing import NamedTuple

from mcast.core.context import Context, Handlers
from mcast.core.events import Event, PeerId
from mcast.core.membership.roster import Roster
from mcast.core.timers import Timers, backoff, earliest, rounds
from mcast.core.token_bucket import TokenBucket
from mcast.wire.frames import SLICED, Key, Missing, Nack
from mcast.wire.limits import (
    DATAGRAM_MAX,
    DATAGRAM_SAFE,
    DATAGRAM_SLICE,
    ENTRIES_MAX,
    FRAME_HEADER_SIZE,
    HEADER_SIZE,
    SIGNATURE_SIZE,
    TAG_SIZE,
)
from mcast.wire.ranges import pairs_of, split_ranges
from mcast.wire.reasons import DropReason

from .gaps import WHOLE, Span
from .window import PAID_MOST, ReceiveWindow, held_share

SEARCH = 64  # windows looked at for one to evict
KEPT = 60.0  # seconds that the window of a peer that is gone stays, and longer while it lacks something
MISSING_HEAD = 16 + 8 + 8 + 2  # bytes of a Missing before its ranges
NACK_HEAD = FRAME_HEADER_SIZE + 16 + 8 + 8 + 1 + SIGNATURE_SIZE
LINK_HEADERS = 62  # bytes of Ethernet, IPv6 and UDP around a datagram
PAGE_COST = LINK_HEADERS + HEADER_SIZE + TAG_SIZE + NACK_HEAD
CLAIM_RATE, VAIN_RATE = 100, 200  # bytes a second that NACKs may cost the whole group; see NackBudget
SAVED = 2 * DATAGRAM_MAX  # bytes of them that one member may have saved
RETRY = 5.0  # seconds after which a NACK that was not allowed is tried again, at the latest
CLAIMS_TOLD = 32  # gaps of peers of which no record came that the application is told of, at once
CLAIMS_AGAIN = 0.1  # and a second after that
PAGES = 16  # NACKs that leave at once; what is left over is asked for in the next round
RECESS = 0.1  # seconds at least from such a full round to the next
KEYED_NACKS = 3  # our key goes along with our first NACKs: an unknown requester shares a small quota
PASSIVE_TIMEOUT = 5.0  # seconds: who cannot ask must not wait for ever


Page = tuple[tuple[int, int], list[Missing]]
"""Networks and flags of a NACK, and what it asks for."""


class Ended(NamedTuple):
    """A window that is no more: the first record that concerned us, and the first that was not yet told."""

    first: int
    resumes: int


class WindowTable:
    """Receive windows by peer, at most `settings.peers`, and `peers_per_identity` of one origin; their bytes
    in all.

    The attack: made-up peers by the thousand. Those outside the roster go first, oldest first; what a
    window lacks is told when it goes, and where its peer would go on is remembered, so that nothing of it
    is told twice. `get(peer_id)` is the window of a peer, None if there is none.
    """

    def __init__(self, context: Context, roster: Roster) -> None:
        self._context, self._roster = context, roster
        self._most, self._limit = context.settings.held_bytes, context.settings.peers
        self._per_origin = context.settings.peers_per_identity
        self._share = held_share(self._most)
        self._windows: dict[PeerId, ReceiveWindow] = {}
        self.get = self._windows.get
        self._of: dict[bytes, dict[PeerId, None]] = {}
        self._strangers: dict[PeerId, None] = {}
        self._ended: dict[PeerId, Ended] = {}
        self._gone: dict[PeerId, float] = {}
        self._bytes: dict[PeerId, int] = {}
        self._total = 0
        self._claims_told = TokenBucket(CLAIMS_AGAIN, CLAIMS_TOLD, context.started)

    def __len__(self) -> int:
        return len(self._windows)

    def of(self, origin: bytes) -> list[ReceiveWindow]:
        """The windows of all peers of one identity."""
        return [self._windows[peer_id] for peer_id in self._of.get(origin, ())]

    def resumes(self, peer_id: PeerId) -> int | None:
        """Where the records of a peer go on whose window is no more."""
        ended = self._ended.get(peer_id)
        return None if ended is None else ended.resumes

    def remember(self, peer_id: PeerId, first: int, resumes: int) -> None:
        """Should the peer return, its records count from `first` on; those before `resumes` were told."""
        self._ended[peer_id] = Ended(first, resumes)
        if len(self._ended) > self._limit:
            del self._ended[next(iter(self._ended))]

    def open(
        self, peer_id: PeerId, name: str, start: int, existing: int, now: float
    ) -> ReceiveWindow | DropReason:
        """A new window that wants records from `start` on, or from where another ended."""
        ended = self._ended.get(peer_id)
        start = start if ended is None else ended.resumes
        window = ReceiveWindow(peer_id, name, start, self._context.settings.window, existing)
        if ended is not None:
            window.first = ended.first  # what was told before is no history that was not
        known = peer_id in self._roster
        mine = self._of.get(peer_id.origin, {})
        if len(mine) >= self._per_origin and not self._evict(mine, now):
            return DropReason.TOO_MANY_PEERS
        if len(self) >= self._limit and not self._evict(self._strangers, now):
            return DropReason.TABLE_FULL
        self._windows[peer_id] = window
        self._of.setdefault(peer_id.origin, {})[peer_id] = None
        if not known:
            self._strangers[peer_id] = None
        self._ended.pop(peer_id, None)
        return window

    def _evict(self, among: dict[PeerId, None], now: float) -> bool:
        for peer_id in list(islice(among, SEARCH)):
            if peer_id not in self._roster:
                self._end(peer_id, now)
                return True
            del among[peer_id]  # to the end: others are looked at next time
            among[peer_id] = None
        return False

    def _end(self, peer_id: PeerId, now: float) -> None:
        window = self._windows.pop(peer_id)
        self.tell(window, window.close(now), now)
        self.remember(peer_id, window.first, window.buffer.next)
        self._strangers.pop(peer_id, None)
        self._gone.pop(peer_id, None)
        self._total -= self._bytes.pop(peer_id, 0)
        mine = self._of[peer_id.origin]
        del mine[peer_id]
        if not mine:
            del self._of[peer_id.origin]

    def tell(self, window: ReceiveWindow, events: list[Event], now: float) -> None:
        """Tell the application what became of `window`.

        The attack: thousands of made-up peers, whose claims would be as many gaps. So gaps of peers of which
        no record came are told within a budget.
        """
        if events and not window.proven and not self._claims_told.take(1, now):
            self._context.drop(DropReason.OVER_BUDGET)
            return
        self._context.events += events

    def departed(self, window: ReceiveWindow, now: float) -> None:
        """The peer of `window` is gone: it may make room for others, and goes by itself after a while."""
        self._strangers[window.peer_id] = None
        self._gone.pop(window.peer_id, None)  # to the end: the first entry is the earliest
        self._gone[window.peer_id] = now

    @property
    def clears_at(self) -> float:
        """When the first window of a peer that is gone may go."""
        return next(iter(self._gone.values())) + KEPT if self._gone else inf

    def clear_out(self, now: float) -> None:
        """Let go of peers that have been gone for a while and lack nothing."""
        while self._gone:
            peer_id, since = next(iter(self._gone.items()))
            if now < since + KEPT:
                return
            del self._gone[peer_id]
            window = self._windows[peer_id]
            if not window.departed:
                continue
            if window.gaps or window.may_go_on(now):
                self._gone[peer_id] = now
            else:
                self._end(peer_id, now)

    def crowded(self, window: ReceiveWindow, sequence: int, size: int, now: float) -> bool:
        """Whether `window` has no room for `size` more bytes, those of its record `sequence`.

        One peer may hold a quarter of all; what is due early pushes out what is due last.
        """
        if window.waiting + size <= self._share:
            return False
        if sequence > window.buffer.top:
            return True
        window.drop_highest(now)
        return False

    def room(self, window: ReceiveWindow) -> int:
        """Bytes that `window` may still hold."""
        return self._share - window.waiting

    def weigh(self, window: ReceiveWindow, now: float) -> list[ReceiveWindow]:
        """Count what `window` holds. When all is full, those that hold most lose it: they are returned.

        What they held is asked for again, so many small hoarders cannot keep an honest peer out. An eighth
        is cleared at once, as each time costs a look at all.
        """
        size, before = window.waiting, self._bytes.pop(window.peer_id, 0)
        self._total += size - before
        if size:
            self._bytes[window.peer_id] = size
        if self._total <= self._most:
            return []
        robbed = []
        for peer_id in sorted(self._bytes, key=self._bytes.__getitem__, reverse=True):
            if self._total <= self._most - self._most // 8:
                break
            victim = self._windows[peer_id]
            self._context.events += victim.drop_held(now)
            self._total -= self._bytes.pop(peer_id)
            robbed.append(victim)
        return robbed


class NackBudget:
    """What NACKs may cost.

    Each record that comes pays for the next NACKs for its peer (`ReceiveWindow.paid`). NACKs beyond that have
    brought nothing so far. The whole group has a small rate for them, of which a member has its part: one for
    all peers of which no record has come, one for all others. When a record of such a peer comes, what was
    spent on it is given back.

    The attack: made-up peers that claim to have published 2**62 records.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._claims = TokenBucket(CLAIM_RATE, SAVED, context.started)
        self._vain = TokenBucket(VAIN_RATE, SAVED, context.started)

    def _bucket(self, window: ReceiveWindow, now: float) -> TokenBucket:
        bucket, rate = (self._vain, VAIN_RATE) if window.proven else (self._claims, CLAIM_RATE)
        bucket.retune(rate / self._context.members, SAVED, now)
        return bucket

    def allows(self, window: ReceiveWindow, now: float) -> bool:
        """Whether a NACK for `window` may leave."""
        return window.paid > 0 or self._bucket(window, now).level(now) > 0

    def when(self, window: ReceiveWindow, now: float) -> float:
        """When to try again, if it may not."""
        return min(self._bucket(window, now).when(PAGE_COST, now), now + RETRY)

    def spend(self, window: ReceiveWindow, size: int, now: float) -> None:
        """`size` bytes of a NACK for `window` leave."""
        if window.paid > 0:
            window.paid = min(window.paid, PAID_MOST) - size
            return
        self._bucket(window, now).spend(size, now)
        if not window.proven:
            window.owed += size

    def repay(self, window: ReceiveWindow) -> None:
        """A record of a peer has come of which none had: it was no lie."""
        self._claims.credit(window.owed, SAVED)
        window.owed = 0


class NackScheduler:
    """What is lacked of all peers, and when to ask for it or give it up.

    No step looks at more than one window for a datagram that arrives: the attack is thousands of windows
    that lack something. `on_asked(peer_ids, now)` is called with those whose records a NACK asks for.
    """

    def __init__(self, context: Context, roster: Roster, key: Key) -> None:
        settings = context.settings
        self._context, self._key = context, key
        self._grace, self._floor = settings.reorder_grace, settings.grtt_min
        timeout = settings.gap_timeout
        self._gap_timeout = earliest(timeout, PASSIVE_TIMEOUT if context.mode.passive else None)
        self.handlers: Handlers = {}
        self.windows = WindowTable(context, roster)
        self.on_asked: Callable[[list[PeerId], float], None]
        self._ripe: Timers[PeerId] = Timers()  # when something may be asked for
        self._asks: Timers[PeerId] = Timers()  # and with the backoff
        self._patience: Timers[PeerId] = Timers()
        self._not_before = 0.0
        self._budget = NackBudget(context)
        self.next_timeout = inf

    def _rearm(self) -> None:
        # A peer that claims to be far away must not hold up the others: the earliest counts.
        asks = max(self._asks.next, self._not_before)
        self.next_timeout = min(asks, self._patience.next, self.windows.clears_at)

    def on_timeout(self, now: float) -> None:
        """Ask for what is missing, give up what was waited for long enough."""
        if now >= max(self._asks.next, self._not_before):
            self._ask(now)
        for peer_id in self._patience.due(now):
            window = self.windows.get(peer_id)
            if window is not None:
                self._context.events += window.stalled(now)
                self.windows.tell(window, window.give_up(now, self._gap_timeout), now)
                self.update(window, now)
        self.windows.clear_out(now)
        self._rearm()

    def _ask(self, now: float) -> None:
        context = self._context
        used = NACK_HEAD + HEADER_SIZE + TAG_SIZE
        frames: tuple[Key, ...] = ()
        if context.sent["nack"] < KEYED_NACKS or context.mode.visitor:
            frames = (self._key,)
            used += FRAME_HEADER_SIZE + 41 + len(context.name.encode()) + SIGNATURE_SIZE
        for (networks, flags), page in self._pages(now, used):
            nack = Nack(*context.me, context.next_counter(), tuple(page), flags=flags)
            context.send(*frames, context.sign(nack), networks=networks)
            self.on_asked([PeerId(missing.origin, missing.incarnation) for missing in page], now)

    def _pages(self, now: float, used: int) -> list[Page]:
        """What to ask for, on which networks and with which flags, in lists.

        Each leaves `used` bytes of a datagram that passes everywhere. Empty when others have asked for it.
        """
        context, pages, budget = self._context, Pages(used), self._budget
        whole = self._whole()
        for window in self._due(now):
            hold, below = window.hold(self._floor), self._below(window)
            spans = window.gaps.ripe(now, self._grace, hold, window.pause, below)
            again = now
            if spans and len(pages.lists) < PAGES:
                if budget.allows(window, now):
                    for sliced in (False, True):
                        some = [span for span in spans if span.sliced(whole) is sliced]
                        networks = context.networks.of(window.peer_id)
                        size = pages.add(networks, SLICED * sliced, window.peer_id, some)
                        budget.spend(window, size, now)
                    context.events += window.asked(spans, now)
                    self._settle(window)
                else:
                    again = budget.when(window, now)
            self._arm(window, max(again, window.gaps.when(self._grace, hold, window.pause, below)))
        if len(pages.lists) >= PAGES:
            self._not_before = now + RECESS
        return pages.lists

    def _due(self, now: float) -> list[ReceiveWindow]:
        """The windows of which something is ripe: those asked for in vain least often first, then the newest.

        So an honest newcomer goes before those that have only made claims for a while.
        """
        due = []
        for peer_id in self._ripe.due(now):
            window = self.windows.get(peer_id)
            if window is None or not window.gaps:
                self._asks.cancel(peer_id)
            else:
                due.append(window)
        due.sort(key=lambda window: (window.gaps.vain, -window.gaps.noticed_at))
        return due

    def _whole(self) -> int:
        """How many NACKs for the same records leave before one asks for slices."""
        context = self._context
        if context.path_size == context.settings.payload:
            return WHOLE
        return 1 if context.path_size > DATAGRAM_SLICE else 0

    def _below(self, window: ReceiveWindow) -> float:
        """No more is asked for than there is room for: the first of what is missing."""
        return window.gaps.reach(max(1, self.windows.room(window) // DATAGRAM_MAX))

    def depart(self, peer_id: PeerId, now: float, said: bool) -> None:
        """The peer is gone; `said`: it said goodbye."""
        window = self.windows.get(peer_id)
        if window is not None:
            window.depart(now, said)
            self.windows.departed(window, now)
            self._settle(window)
            self._rearm()

    def returned(self, peer_id: PeerId, now: float) -> None:
        """The peer is here; perhaps it was taken to be gone."""
        window = self.windows.get(peer_id)
        if window is not None and window.departed:
            window.returned()
            self.update(window, now)

    def update(self, window: ReceiveWindow, now: float) -> None:
        """Keep the timers in step with what `window` holds and lacks."""
        lacking = bool(window.gaps) or window.waiting > 0
        if not (lacking or window.lacking):
            return  # as before
        window.lacking = lacking
        if window.owed and window.proven:
            self._budget.repay(window)
        for changed in (*self.windows.weigh(window, now), window):
            self._settle(changed)
            self._notice(changed, now)
        self._rearm()

    def _notice(self, window: ReceiveWindow, now: float) -> None:
        """New gaps are asked for after the grace, also by a window that waits for old ones."""
        if window.gaps.fresh:
            window.gaps.fresh = False
            ripe = self._ripe.get(window.peer_id)
            if window.gaps and (ripe is None or ripe > now + self._grace):
                self._arm(window, now + self._grace)

    def _arm(self, window: ReceiveWindow, ripe: float) -> None:
        context = self._context
        self._ripe.set(window.peer_id, ripe)
        wait = backoff(context.rng, rounds(context.members) * window.grtt, context.members)
        self._asks.set(window.peer_id, ripe + wait)

    def _settle(self, window: ReceiveWindow) -> None:
        if not window.gaps:
            for timers in (self._ripe, self._asks, self._patience):
                timers.cancel(window.peer_id)
            window.stall_told = False
            return
        when = earliest(window.gives_up_at(self._gap_timeout), window.stalls_at)
        if when is None:
            self._patience.cancel(window.peer_id)
        elif when != self._patience.get(window.peer_id):
            self._patience.set(window.peer_id, when)

    def overheard(self, peer_id: PeerId, ranges: Iterable[tuple[int, int]], now: float) -> None:
        """Somebody else asked for `ranges` of a peer."""
        window = self.windows.get(peer_id)
        if window is not None:
            window.gaps.overheard(ranges, now)


class Pages:
    """NACKs being filled: networks and flags of each, and its entries, `used` bytes being taken already.

    What asks for slices is no larger than a slice: perhaps large NACKs do not arrive either.
    """

    def __init__(self, used: int) -> None:
        self.lists: list[Page] = []
        self._used = used
        self._open: dict[tuple[int, int], tuple[list[Missing], int]] = {}  # the last list, bytes left

    def add(self, networks: int, flags: int, peer_id: PeerId, spans: Iterable[Span]) -> int:
        """Ask for `spans` of `peer_id`, which was heard on `networks`. The bytes that this takes."""
        room = (DATAGRAM_SLICE if flags else DATAGRAM_SAFE) - self._used
        way, size = (networks, flags), 0
        for piece in split_ranges(_joined(spans), (room - MISSING_HEAD) // 2):
            cost = MISSING_HEAD + 2 * pairs_of(piece)
            entries, left = self._open.get(way, ([], 0))
            if cost > left or len(entries) >= ENTRIES_MAX:
                entries, left = [], room
                self.lists.append((way, entries))
                size += PAGE_COST
            entries.append(Missing(peer_id.origin, peer_id.incarnation, tuple(piece)))
            self._open[way] = entries, left - cost
            size += cost
        return size


def _joined(spans: Iterable[Span]) -> list[tuple[int, int]]:
    """Inclusive ranges; spans that touch are one."""
    ranges: list[tuple[int, int]] = []
    for span in spans:
        first = ranges.pop()[0] if ranges and ranges[-1][1] + 1 == span.start else span.start
        ranges.append((first, span.stop - 1))
    return ranges
