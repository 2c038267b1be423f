"""One stream of items to one destination, group or receiver: what is to be sent, and how fast."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Mapping
from math import inf

import msgspec

from mcast.core.events import Address
from mcast.core.flow.congestion import Path, Rate, Sample
from mcast.core.flow.controller import Meter
from mcast.core.token_bucket import TokenBucket
from mcast.settings import Settings
from mcast.wire.bulk import DATA_OVERHEAD, FAN, Entry, Missing
from mcast.wire.frames import Heard

from .layout import FULL, Layout
from .wants import Wants

SHORT_RUN = 8
"""Whole groups that are sent again at once when they are missing behind us. Longer runs wait for their turn:
they belong to a receiver that came late."""
AT_ONCE = 0.002
"""Seconds of the rate that may leave at once."""
DEPTH_MIN, DEPTH_SLOW, DEPTH_MAX = 4 << 10, 64 << 10, 1 << 20
SLOW_AT_ONCE = 0.005
"""The same for a slow rate, up to DEPTH_SLOW: more would be a queue on a slow line."""
ROW_TIME = 0.004
"""Seconds of the rate that the blocks take which leave in one call."""
GRACE = 0.25
"""Seconds beyond the round trip after which what was sent and not reported on counts as lost."""
TOP_GRACE = 0.05
"""The same for the highest node: without it nothing can be verified, not even the serial of what came."""
URGENT = 8192
"""Groups that are sent again before others; more wait for their turn in the stream. The attack: to ask for
one block of each group of a large transfer.
"""
FLIGHTS = 8192
"""Groups that are under way at most; the oldest count as arrived or lost."""
LANDED = 2.0
"""Seconds after which they do in any case."""
UDP_OVERHEAD = 28
METER = 0.05
"""Seconds over which it is measured how much really leaves."""

UNREAD = 4 << 20
UNREAD_TIME, UNREAD_MIN = 0.25, 128 << 10
"""Bytes that may wait at a receiver, for it or its disk, before the rate is cut. It has buffers for 8 MB. Not
more than so many seconds of the rate, or a slow receiver would tell too late."""

SMOOTHED = 256
"""Datagrams over which the loss is smoothed. Over fewer, chance looks like our own loss again and again."""
SPAN = 256, 0.5
"""Datagrams and seconds that a trial of a lower rate takes at most."""

STEP = float(1 << 20)
"""Bytes a second that the rate grows in a second, as TCP's does with a round trip of 1.2 ms."""

SEVERAL = None


Part = tuple[int, int, int]
"""Items of one group, in rising order: level, group, mask."""


class Batch(msgspec.Struct, frozen=True):
    """Items to send in this order, with serials from `serial` on: to the group, or to one address."""

    parts: list[Part]
    to: Address
    serial: int

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return sum(mask.bit_count() for level, _, mask in self.parts if level == 0)

    def without(self, count: int) -> Batch:
        """What is left of it when so many items have left."""
        parts, rest = [], count
        for level, group, mask in self.parts:
            while mask and rest:
                mask &= mask - 1
                rest -= 1
            if mask:
                parts.append((level, group, mask))
        return Batch(parts, self.to, self.serial + count)


class Flight(msgspec.Struct, frozen=True, gc=False):
    """Items of a group that left: `to` is None for the group, `serial` the last of them."""

    mask: int
    to: Address
    serial: int
    at: float


class Reporter(msgspec.Struct):
    """What a channel knows of one receiver. `trip`: seconds from sending to its report. `multicast` and
    `unicast` are the highest serials that it has seen; `loss` is the smoothed share it did
    not get, `group_loss` that of multicast alone. `hears`: it says that it gets multicast at all."""

    address: Address
    path: Path
    validated: bool = False
    trip: float = 0.1
    multicast: int = 0
    unicast: int = 0
    counts: tuple[int, int] = (0, 0)
    loss: float = 0.0
    group_loss: float = 0.0
    hears: bool = False

    def seen(self, to: Address) -> float:
        """The highest serial that it saw of what goes there; what goes to others it cannot see."""
        return self.multicast if to is None else self.unicast if to == self.address else inf


class Channel:
    """Sends what its receivers lack, once for all of them, at the rate that the slowest takes.

    `to` is None for the multicast group. `held(group)` is the mask of the blocks that we have. `serials` are
    the last ones, by destination.
    """

    def __init__(
        self, layout: Layout, settings: Settings, held: Callable[[int], int], to: Address, now: float
    ) -> None:
        self._layout, self._settings, self._held, self._to = layout, settings, held, to
        self.rate = Rate(settings.start_rate, settings.floor_rate, settings.queue_delay, UNREAD, STEP, SPAN)
        self._bucket = TokenBucket(settings.start_rate, DEPTH_MIN, now)
        self.meter = Meter(now, METER)
        self._wants = [Wants(layout, level) for level in range(len(layout.counts))]
        self._cursor = 0
        self._urgent: dict[tuple[int, int], Address] = {}
        self._flying: dict[tuple[int, int], list[Flight]] = {}
        self._order: deque[tuple[int, int]] = deque()
        self._left: dict[Address, tuple[list[int], list[float], list[list[Part]]]] = {}
        self.serials: dict[Address, int] = {}
        self.sent_at = -inf
        self.idle = True

    # What is wanted

    def want(self, reporter: Reporter, missing: Missing, now: float) -> int:
        """A receiver lacks this. Returns how many items it asks for that were not wanted or under way."""
        added = 0
        for level, entries in missing:
            if level < len(self._wants):
                groups = self._wants[level].groups
                for entry in entries:
                    if entry.group + max(1, entry.run) <= groups:
                        added += self._want(reporter, level, entry, now)
        self.idle = self.idle and not added
        return added

    def _want(self, reporter: Reporter, level: int, entry: Entry, now: float) -> int:
        wants = self._wants[level]
        if not entry.run:
            return self._want_group(reporter, level, entry.group, entry.mask, now)
        stop = entry.group + entry.run
        if entry.run <= SHORT_RUN or level >= 2:
            groups = range(entry.group, stop)
            return sum(self._want_group(reporter, level, group, wants.full(group), now) for group in groups)
        # What is under way of them is found first: there are fewer of these.
        under_way = {
            group: (wants.get(group), self._arriving(reporter, level, group, now))
            for group in self._unseen(reporter, level)
            if entry.group <= group < stop
        }
        added = FAN * (wants.idle(entry.group, stop) - len(under_way))
        wants.add_run(entry.group, stop)
        for group, (before, arriving) in under_way.items():
            wants.set(group, wants.full(group) & ~arriving | before)
        return max(0, added)

    def _unseen(self, reporter: Reporter, level: int) -> set[int]:
        """The groups of a level of which something has left that a receiver has not seen yet."""
        groups: set[int] = set()
        for to in (None, reporter.address):
            serials, _, parts = self._left.get(to, ([], [], []))
            for some in parts[bisect_right(serials, reporter.seen(to)) :]:
                groups.update(group for of_level, group, _ in some if of_level == level)
        return groups

    def _want_group(self, reporter: Reporter, level: int, group: int, mask: int, now: float) -> int:
        wants = self._wants[level]
        mask &= wants.full(group) & ~self._arriving(reporter, level, group, now)
        if not mask:
            return 0
        new = mask & ~wants.get(group)
        wants.add(group, mask)
        slot = (level, group)
        if mask & self._behind(level, group) and (len(self._urgent) < URGENT or slot in self._urgent):
            owner = reporter.address if reporter.validated else SEVERAL
            if self._urgent.setdefault(slot, owner) != owner:
                self._urgent[slot] = SEVERAL
        return new.bit_count()

    def _behind(self, level: int, group: int) -> int:
        """The mask of the items of a group that the cursor has passed."""
        if level == 0:
            return FULL if group < self._cursor else 0
        passed = -(-self._cursor >> 5 * (level - 1))
        return (1 << max(0, min(FAN, passed - FAN * group))) - 1

    def _arriving(self, reporter: Reporter, level: int, group: int, now: float) -> int:
        """What is under way to a receiver of a group."""
        mask, grace = 0, TOP_GRACE if level == self._layout.top else reporter.trip + GRACE
        for flight in self._flying.get((level, group), ()):
            if flight.serial > reporter.seen(flight.to) and now - flight.at < grace:
                mask |= flight.mask
        return mask

    def clear(self) -> None:
        """Nobody wants anything any more."""
        for level in range(len(self._wants)):
            self._wants[level] = Wants(self._layout, level)
        self._urgent.clear()
        self.idle = True

    def leave_out(self, address: Address) -> None:
        """Send nothing at once again that this receiver alone lacks: that waits for its turn."""
        self._urgent = {slot: owner for slot, owner in self._urgent.items() if owner != address}

    # What is sent

    def when(self, now: float) -> float:
        """When the next batch may leave."""
        return inf if self.idle else self._bucket.when(1, now)

    def take(self, only: Address, seen: Callable[[], Mapping[Address, int]], now: float) -> Batch | None:
        """The next batch, if the rate allows it. `only`: everything is for that receiver alone. `seen` tells
        the highest multicast serial that each receiver has seen."""
        if self.idle or self._bucket.level(now) <= 0:
            return None
        parts, owner = self._pick(seen)
        if not parts:
            self.idle = True
            return None
        to = next((one for one in (self._to, only, owner) if one is not None), None)
        return self._leaves(parts, to, now)

    def _pick(self, seen: Callable[[], Mapping[Address, int]]) -> tuple[list[Part], Address]:
        while self._urgent:
            slot = next(iter(self._urgent))
            owner = self._urgent.pop(slot)
            behind = self._behind(*slot)
            mask = self._take_group(*slot, behind)
            if self._wants[slot[0]].get(slot[1]) & behind:
                self._urgent[slot] = owner  # too much for now
            if mask:
                return [(*slot, mask)], owner if self._alone(owner, slot, seen()) else SEVERAL
        for _ in range(2):
            while (position := self._next_position()) is not None:
                self._cursor = position + 1
                parts = self._take_position(position)
                if self._wants[0].get(position):
                    self._cursor = position  # too much for now
                if parts:
                    return parts, SEVERAL
            self._cursor = 0
        return [], SEVERAL

    def _alone(self, owner: Address, slot: tuple[int, int], seen: Mapping[Address, int]) -> bool:
        """Whether all others have seen what was sent of a group, so that `owner` alone lacks some of it."""
        latest = max((flight.serial for flight in self._flying.get(slot, ()) if flight.to is None), default=0)
        return all(serial >= latest for address, serial in seen.items() if address != owner)

    def _take_group(self, level: int, group: int, mask: int = FULL) -> int:
        """Take what is wanted of it, as much as may leave at once; the mask of what we have of that."""
        wants = self._wants[level]
        wanted = wants.get(group)
        mask &= wanted
        most = max(1, int(self.rate.value * ROW_TIME / self._layout.block_size))
        while mask.bit_count() > most:
            mask &= ~(1 << mask.bit_length() - 1)
        wants.set(group, wanted & ~mask)
        return mask & self._held(group) if level == 0 else mask

    def _next_position(self) -> int | None:
        """The next group of blocks, from the cursor on, of which something is wanted: blocks or a node that
        is first needed there."""
        found = None
        for level, wants in enumerate(self._wants):
            shift = 5 * max(0, level - 1)
            if level == 0:
                position = wants.next(self._cursor)
            else:
                start = -(-self._cursor >> shift) if self._cursor else 0
                item = _next_item(wants, start)
                position = item << shift if item >= 0 else -1
            if position >= 0 and (found is None or position < found):
                found = position
        return found

    def _take_position(self, position: int) -> list[Part]:
        """The nodes that are first needed at a group of blocks, its blocks, and the node of the next group.

        So what leaves in one call has one size, but for the last.
        """
        parts: list[Part] = []
        for level in range(self._layout.top, 0, -1):
            shift = 5 * (level - 1)
            index = position >> shift
            if position == index << shift and self._wants[level].discard(index):
                parts.append((level, index // FAN, 1 << index % FAN))
        blocks = self._take_group(0, position)
        if blocks:
            parts.append((0, position, blocks))
        following = position + 1
        covered = following % FAN and following < self._wants[0].groups  # by a node that was sent
        if blocks and covered and self._wants[1].discard(following):
            parts.append((1, following // FAN, 1 << following % FAN))
        return parts

    def _leaves(self, parts: list[Part], to: Address, now: float) -> Batch:
        first = self.serials.get(to, 0) + 1
        last, size = first - 1, 0
        for _, _, mask in parts:
            last += mask.bit_count()
        for level, group, mask in parts:
            slot = level, group
            self._flying.setdefault(slot, []).append(Flight(mask, to, last, now))
            self._order.append(slot)
            each = DATA_OVERHEAD + UDP_OVERHEAD
            size += self._layout.row_size(level, group, mask) + each * mask.bit_count()
        self.serials[to] = last
        while len(self._order) > FLIGHTS or self._flying[self._order[0]][0].at < now - LANDED:
            self._land(self._order.popleft())
        serials, times, left = self._left.setdefault(to, ([], [], []))
        serials.append(last)
        times.append(now)
        left.append(parts)
        if len(serials) > FLIGHTS:
            del serials[: FLIGHTS // 2], times[: FLIGHTS // 2], left[: FLIGHTS // 2]
        self._tune(now)
        self._bucket.spend(size, now)
        self.meter.add(size, now)
        self.sent_at = now
        return Batch(parts, to, first)

    def _land(self, slot: tuple[int, int]) -> None:
        flights = self._flying[slot]
        del flights[0]
        if not flights:
            del self._flying[slot]

    def _tune(self, now: float) -> None:
        rate = max(float(self._settings.floor_rate), self.rate.value)
        slow = max(DEPTH_MIN, min(DEPTH_SLOW, rate * SLOW_AT_ONCE))
        self._bucket.retune(rate, min(DEPTH_MAX, max(slow, rate * AT_ONCE)), now)

    # How fast

    def sent_time(self, to: Address, serial: int) -> float | None:
        """When the datagram with that serial left."""
        serials, times, _ = self._left.get(to, ([], [], []))
        at = bisect_left(serials, serial)
        return times[at] if at < len(serials) else None

    def judge(self, path: Path, now: float) -> None:
        """The slowest receiver reported."""
        self.rate.unread = round(min(UNREAD, max(UNREAD_MIN, UNREAD_TIME * self.rate.value)))
        self.rate.judge(path, self.meter.value, not self.idle, now)
        self._tune(now)


def make_sample(
    highest: int, count: int, backlog: int, loss: float, trip: float | None, sent: float
) -> Sample:
    """A report in the words of the congestion control."""
    heard = Heard(b"", 0, count, highest, 0, 0, backlog, round(65535 * min(1.0, max(0.0, loss))))
    return Sample(heard, trip, sent)


def _next_item(wants: Wants, start: int) -> int:
    """The first item from `start` on that is wanted; -1 if there is none."""
    group = wants.next(start // FAN)
    while group >= 0:
        mask = wants.get(group)
        if group == start // FAN:
            mask &= -1 << start % FAN
        if mask:
            return FAN * group + (mask & -mask).bit_length() - 1
        group = wants.next(group + 1)
    return -1
