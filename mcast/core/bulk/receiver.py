"""The receiving side of a transfer: what is missing, what is genuine, whom to ask."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from math import inf

import msgspec

from mcast.core.events import Address, PeerId
from mcast.wire.bulk import (
    CHANGED,
    ECHO_UNICAST,
    EXHAUSTED,
    FAN,
    HASH_SIZE,
    NO_ECHO,
    REFUSED,
    REPORT_ROOM,
    SECTION_SIZE,
    TOKEN_SIZE,
    WANTS_UNICAST,
    BulkReport,
    BulkStatus,
    Entry,
    encode_entry,
)

from .layout import Layout
from .tree import HashTree, NodeStore
from .wants import Wants

HELD = 6 << 20
"""Bytes of items that wait for the node above them. The attack: items without end under nodes that never
come. The group that waits for longest goes first, and is asked for again."""
VARIANTS = 4
"""Different items of them for one place: more are refused. The attack: to push out what waits with others."""
SOURCES = 16
"""Addresses of which it is counted what came; the one unheard for longest goes first, but never our server.
The attack: items from ever new addresses."""
FIRST_INTERVAL, LONGEST_INTERVAL = 0.05, 1.0
"""Seconds between reports until the server says how often, doubled each time; and at most."""
SHORTEST_INTERVAL = 0.01
IDLE = 0.03
"""Seconds without data after which what is missing is asked for at once."""
ECHO_MOST = 1.0
"""Seconds after which what came last says nothing of the path any more."""
AHEAD = 1 << 17
"""How far a serial may be beyond what the server said last. The attack: serials that no seal covers."""
SETTLED = 0.015
"""Seconds without data after which what the server says it has sent is lost, not in a queue."""
PATIENCE, FIRST_PATIENCE = 2.0, 0.75
"""Seconds without an answer or useful data after which somebody else is asked; and without any answer yet:
who was killed is still known as one who has it."""
USELESS, ENOUGH = 10.0, 32
"""Seconds of answers without useful data after which somebody else is asked; and the blocks that must come
in that time if somebody else can be asked. The attack: a server that gives a block now and then."""
HOSTS = 256
"""Computers of which it is counted how often those there served us badly; who did first goes first."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """Items of one group that came together, opened: those of `mask`, and `data` has one after the other.

    Each has its serial. `data` may be a part of a buffer that is used again.
    """

    level: int
    group: int
    mask: int
    serials: tuple[int, ...]
    unicast: bool
    data: bytes | memoryview


class Arrivals:
    """What came from one address, each way: the highest serial, how many; and when the latest came and was
    read. `held` wait for their node, and count when a serial does. `reported` was the highest at our latest
    report."""

    __slots__ = ("at", "counts", "held", "highest", "read_at", "reported", "unicast")

    def __init__(self) -> None:
        self.highest, self.counts, self.held, self.reported = [0, 0], [0, 0], [0, 0], [0, 0]
        self.at = self.read_at = -inf
        self.unicast = False

    def came(self, serials: Sequence[int], held: int, *, unicast: bool, now: float, age: float) -> None:
        """Datagrams of one way came `age` seconds ago: genuine ones with these serials, and `held`."""
        self.held[unicast] += held
        self.read_at = now
        if serials:
            self.highest[unicast] = max(self.highest[unicast], *serials)
            self.counts[unicast] += len(serials) + self.held[unicast]
            self.held[unicast] = 0
            self.at, self.unicast = now - age, unicast

    def settle(self, told: Sequence[int]) -> None:
        """Nothing is under way: what is held counts too, as much as was sent until these serials."""
        for way, serial in enumerate(told):
            more = min(self.held[way], max(0, serial - self.counts[way]))
            self.counts[way] += more
            self.held[way] -= more

    def correct(self, *said: int) -> None:
        """The server says how far its serials are: what is far beyond, or was before it answered, was forged.
        It says 0 of a way by which it sends us nothing."""
        for way, serial in enumerate(said):
            if self.highest[way] > serial + AHEAD or self.reported[way] > serial > 0:
                self.highest[way] = serial


class Server(msgspec.Struct):
    """A peer that may serve us. `complete`: it says that it holds all. `failures`: how often it did not."""

    complete: bool
    failures: int = 0


class Outreach(msgspec.Struct, frozen=True):
    """A report to send to `to`, by unicast or to the group."""

    to: PeerId
    report: BulkReport
    by_group: bool


class BulkReceiver:
    """One fetch. Blocks that are verified are returned by take(); who writes them to disk tells `backlog`,
    and whether nothing waits to be read (`drained`).

    `left` counts the blocks that are missing. `server` is whom we ask, `status` its latest word. Only the
    groups before `horizon` are asked for: first those of the manifest, which tells where the rest goes.
    `doubted` are blocks that may be here from a run before; `checks` groups of them can be checked now.
    """

    def __init__(
        self, layout: Layout, root: bytes, store: NodeStore, now: float, *, unicast: bool = False
    ) -> None:
        self.layout, self.tree = layout, HashTree(layout, root, store)
        self.missing = [Wants(layout, level, all_of_it=True) for level in range(len(layout.counts))]
        self.left = layout.blocks
        self.forged = self.duplicates = 0
        self.backlog = 0
        self.drained = True
        self.server: PeerId | None = None
        self.status: BulkStatus | None = None
        self.servers: dict[PeerId, Server] = {}
        self.doubted = Wants(layout, 0)
        self.checks = 0
        self._ready = bytearray(self.doubted.groups)
        self._ready_from = 0
        self.next_timeout = now
        self._unicast = unicast
        self._arrivals: dict[Address, Arrivals] = {}
        self._server_at: Address = None
        self._server_host = ""
        self._failed: dict[str, int] = {}
        self._changed: set[PeerId] = set()
        self._changed_at = inf
        self._held: dict[tuple[int, int], dict[tuple[int, bytes], None]] = {}
        self._held_count = 0
        self._interval = FIRST_INTERVAL
        self._unanswered = 0
        self._useful_at = self._enough_at = self._told_at = self._asked_at = self._chosen_at = now
        self._gained = 0
        self._asking = True
        self._ask_from = 0
        self.horizon = layout.groups(0) if layout.blocks else 0

    def ask_all(self, now: float) -> None:
        """Ask for everything from now on."""
        self.horizon = self.layout.groups(0) if self.layout.blocks else 0
        self.next_timeout = min(self.next_timeout, now)

    # Items

    def take(
        self, source: Address, rows: Sequence[Row], now: float, age: float = 0.0
    ) -> list[tuple[int, bytes]]:
        """Items came from one address, and have waited for us for `age` seconds. Returns the blocks that are
        new and genuine: where each run of them begins, and their bytes.

        One that is not genuine costs its hash, and nothing else: it says nothing of the path, and nobody is
        blamed for it. The attack: items from the address of a server, which anybody can use.
        """
        before = self.left
        runs: list[tuple[int, bytes]] = []
        counted: tuple[list[int], list[int]] = [], []
        held_by_way = [0, 0]
        for row in rows:
            forged, held = None if row.level else self._take_blocks(row, runs), 0
            if forged is None:
                forged, held = self._take_each(row, runs)
            serials: Iterable[int] = row.serials
            if forged | held:
                bits = zip(_bits(row.mask), row.serials, strict=True)
                serials = [serial for bit, serial in bits if not (forged | held) >> bit & 1]
            counted[row.unicast].extend(serials)
            held_by_way[row.unicast] += held.bit_count()
        self._count(source, counted, held_by_way, now, age)
        if runs:
            self._useful_at = now
            self._gained += before - self.left
            if self._gained >= ENOUGH:
                self._enough_at, self._gained = now, 0
        if self._asking:
            self.next_timeout = now if not self.left else min(self._asked_at + self._interval, now + IDLE)
        return runs

    def _take_blocks(self, row: Row, runs: list[tuple[int, bytes]]) -> int | None:
        """Take a row of blocks if their node is known, as for most; the mask of those that are forged.

        It does what _take() does with each.
        """
        group, mask = row.group, row.mask
        size, last = self.layout.block_size, FAN * group + mask.bit_length() - 1
        if not self.layout.exists(0, last) or self.doubted.get(group) & mask:
            return None
        node = self.tree.node(1, group)
        if node is None or len(row.data) != self.layout.row_size(0, group, mask):
            return None
        data = row.data
        digests = [sha256(data[at : at + size]).digest() for at in range(0, len(data), size)]
        good = mask
        if b"".join(digests) != _hashes(node, mask):
            for bit, digest in zip(_bits(mask), digests, strict=True):
                if digest != node[HASH_SIZE * bit : HASH_SIZE * (bit + 1)]:
                    good ^= 1 << bit
        missing = self.missing[0].get(group)
        new = good & missing
        if new:
            if new != mask:
                data = _choose(data, mask, new, size)
            self.missing[0].set(group, missing & ~new)
            self.left -= new.bit_count()
            _split(FAN * group, new, data, size, runs)
        self.duplicates += (good ^ new).bit_count()
        self.forged += (mask ^ good).bit_count()
        return mask ^ good

    def _take_each(self, row: Row, runs: list[tuple[int, bytes]]) -> tuple[int, int]:
        """Take the items of a row; the masks of those that are known to be forged, and of those held."""
        size, last = self.layout.stride(row.level), row.mask.bit_length() - 1
        forged = held = 0
        for at, bit in enumerate(_bits(row.mask)):
            data = row.data[at * size :] if bit == last else row.data[at * size : (at + 1) * size]
            index = FAN * row.group + bit
            exists = self.layout.exists(row.level, index)
            genuine = exists and self._take(row.level, index, bytes(data), runs)
            if genuine is None:
                held |= 1 << bit
            elif not genuine:
                forged |= 1 << bit
        return forged, held

    def _count(
        self,
        source: Address,
        serials_by_way: tuple[list[int], list[int]],
        held_by_way: list[int],
        now: float,
        age: float,
    ) -> None:
        arrivals = self._arrivals.pop(source, None) or Arrivals()
        self._arrivals[source] = arrivals
        if len(self._arrivals) > SOURCES:
            del self._arrivals[next(one for one in self._arrivals if one != self._server_at)]
        for unicast, serials, held in zip((False, True), serials_by_way, held_by_way, strict=True):
            if self.status is not None and source == self._server_at and serials:
                limit = AHEAD + (self.status.unicast if unicast else self.status.multicast)
                if max(serials) > limit:
                    serials = [serial for serial in serials if serial <= limit]
            if serials or held:
                arrivals.came(serials, held, unicast=unicast, now=now, age=age)

    def _take(self, level: int, index: int, data: bytes, runs: list[tuple[int, bytes]]) -> bool | None:
        """Take an item; False if it is known to be forged, None if that is not known yet.

        One that is here is checked too. The attack: its serial counts, and no seal covers that.
        """
        genuine = self.tree.check(level, index, data)
        if genuine is None:
            self._hold(level, index, data)
        elif not genuine:
            self.forged += 1
        elif not self._lacks(level, index):
            self.duplicates += 1
        elif level == 0:
            self._has_block(index)
            runs.append((index, data))
        else:
            self.missing[level].discard(index)
            self.tree.put(level, index, data)
            self._release(level, index, runs)
        return genuine

    def _lacks(self, level: int, index: int) -> bool:
        if self.missing[level].has(index) or (level + 1, index // FAN) in self._held:
            return True
        return level == 0 and self.doubted.has(index)

    def _has_block(self, index: int) -> None:
        if not self.missing[0].discard(index):
            self.doubted.discard(index)
        self.left -= 1

    def lose(self, index: int) -> None:
        """A block that was taken is not here any more: ask for it again."""
        self.missing[0].add(index // FAN, 1 << index % FAN)
        self.left += 1

    def _hold(self, level: int, index: int, data: bytes) -> None:
        """Its node has not come yet: it is not asked for until then.

        A few that differ are held. The attack: to be first with a false one, so that the right is refused.
        """
        if level == 0 and self.doubted.has(index):
            return
        waiting = self._held.setdefault((level + 1, index // FAN), {})
        if (index, data) in waiting:
            self.duplicates += 1
            return
        if sum(place == index for place, _ in waiting) >= VARIANTS:
            return
        waiting[index, data] = None
        self._held_count += 1
        self.missing[level].discard(index)
        if self._held_count * self.layout.block_size > HELD:
            self._unhold(*next(iter(self._held)))

    def _unhold(self, level: int, index: int) -> Iterable[tuple[int, bytes]]:
        """Nothing waits for that node any more: what did, and is asked for again."""
        waiting = self._held.pop((level, index), {})
        self._held_count -= len(waiting)
        for place, _ in waiting:
            self.missing[level - 1].add(place // FAN, 1 << place % FAN)
        return waiting

    def _release(self, level: int, index: int, runs: list[tuple[int, bytes]]) -> None:
        """A node came: what waited for it is checked, and the blocks under it that may be here already."""
        for place, data in self._unhold(level, index):
            self._take(level - 1, place, data, runs)
        if level == 1 and self.doubted.get(index):
            self._set_ready(index)

    # Blocks that may be here from a run before

    def suppose(self, ranges: Iterable[tuple[int, int]]) -> None:
        """The blocks [start, stop) of each range may be here: they are not asked for until they are checked,
        a group at a time, once its node is known."""
        for start, stop in ranges:
            stop = min(stop, self.layout.blocks)
            if start >= stop:
                continue
            group, last = start // FAN, (stop - 1) // FAN
            while group <= last:
                run = self.missing[0].run(group, last) if start <= FAN * group else 0
                if run:
                    self.doubted.add_run(group, group + run)
                    self.missing[0].discard_run(group, group + run)
                else:
                    low, high = max(start - FAN * group, 0), min(stop - FAN * group, FAN)
                    missing = self.missing[0].get(group)
                    mask = missing & ((1 << high) - (1 << low))
                    self.missing[0].set(group, missing & ~mask)
                    self.doubted.add(group, mask)
                    run = 1
                for known in self.tree.known(group, group + run):
                    self._set_ready(known)
                group += run

    def _set_ready(self, group: int) -> None:
        self.checks += not self._ready[group]
        self._ready[group] = 1

    def next_check(self) -> int | None:
        """A group to check, once: its node is known, and some of its blocks may be here."""
        if not self.checks:
            return None
        group = self._ready.find(1, self._ready_from)
        if group < 0:
            group = self._ready.find(1)
        self._ready[group], self._ready_from = 0, group + 1
        self.checks -= 1
        return group

    def checked(self, group: int, asked: int, right: int) -> None:
        """The masks of the doubted blocks of a group that were read, and of those that are right."""
        asked &= self.doubted.get(group)  # others have come meanwhile
        self.doubted.set(group, self.doubted.get(group) & ~asked)
        self.left -= (asked & right).bit_count()
        self.missing[0].add(group, asked & ~right)

    def holds(self, group: int) -> int:
        """The mask of the blocks of a group that are here, verified."""
        mask = self.missing[0].full(group) & ~self.missing[0].get(group) & ~self.doubted.get(group)
        return mask if self.tree.knows(1, group) else 0

    # Whom to ask

    def may_serve(self, peer_id: PeerId, *, complete: bool) -> None:
        """A peer says that it can be asked."""
        known = self.servers.get(peer_id)
        if known is None:
            self.servers[peer_id] = Server(complete)
            if self.server is None:
                self.next_timeout = min(self.next_timeout, self._asked_at)
        else:
            known.complete = complete or known.complete

    def serves_no_more(self, peer_id: PeerId, now: float) -> None:
        """A peer withdrew, failed or left."""
        self.servers.pop(peer_id, None)
        self._changed.discard(peer_id)
        if self.server == peer_id:
            self._leave(now)

    def on_status(self, peer_id: PeerId, source: Address, status: BulkStatus, now: float) -> None:
        """A peer that we asked has answered."""
        if peer_id != self.server:
            return
        if status.flags & (EXHAUSTED | REFUSED):
            if status.flags & CHANGED:
                self._changed.add(peer_id)
                self._changed_at = min(self._changed_at, now)
            self._fail(now)
            return
        self.status, self._server_at = status, source
        if source in self._arrivals:
            self._arrivals[source].correct(status.multicast, status.unicast)
        self._unanswered = 0
        self._told_at = now
        self._interval = min(LONGEST_INTERVAL, max(SHORTEST_INTERVAL, status.interval / 1000))
        self.next_timeout = min(self.next_timeout, self._asked_at + self._interval)

    def is_lost(self, author: bytes, now: float) -> bool:
        """Whether what is missing cannot be had any more: its author says that it has changed, and nobody
        else gives it. The word of others is not enough. Who has a part gives what it has at once."""
        if not self.left or all(one.origin != author for one in self._changed):
            return False
        others = [one for peer_id, one in self.servers.items() if peer_id not in self._changed]
        patience = USELESS if any(one.complete for one in others) else PATIENCE
        return not others or now - max(self._useful_at, self._changed_at) > patience

    def lacking(self) -> Iterator[tuple[int, int]]:
        """The runs [start, stop) of blocks that are missing."""
        group = 0
        while (group := self.missing[0].next(group)) >= 0:
            run = self.missing[0].run(group)
            if run:
                yield FAN * group, min(FAN * (group + run), self.layout.blocks)
            else:
                mask = self.missing[0].get(group)
                yield from (
                    (FAN * group + bit, FAN * group + bit + 1) for bit in range(FAN) if mask >> bit & 1
                )
            group += max(1, run)

    def _fail(self, now: float) -> None:
        if self.server in self.servers:
            self.servers[self.server].failures += 1
        self._failed[self._server_host] = self._failed.pop(self._server_host, 0) + 1
        if len(self._failed) > HOSTS:
            del self._failed[next(iter(self._failed))]
        self._leave(now)

    def _leave(self, now: float) -> None:
        self.server, self.status, self._server_at = None, None, None
        self._unanswered = self._gained = 0
        self._interval = FIRST_INTERVAL
        self.next_timeout = min(self.next_timeout, now + FIRST_INTERVAL)

    def on_timeout(
        self, now: float, able: Callable[[PeerId], bool], host: Callable[[PeerId], str] = lambda _: "here"
    ) -> Outreach | None:
        """The report that is due. `able`: whether a peer can be asked at all; `host`: the computer that it is
        at, "" if it is not in the roster, as most that can be asked are."""
        if not self.left:
            self._asking = False
        elif self.server is not None and self._disappoints(now):
            self._fail(now)
        if self.server is None:
            self._choose(now, able, host)
        if self.server is None:
            self.next_timeout = now + LONGEST_INTERVAL
            return None
        self._asked_at = now
        self._unanswered += 1
        if self.status is None:
            self._interval = min(LONGEST_INTERVAL, self._interval * 2)
        self.next_timeout = now + self._interval if self._asking else inf
        by_group = self._unanswered % 2 == 0  # unicast may not get through
        return Outreach(self.server, self._report(now), by_group)

    def _disappoints(self, now: float) -> bool:
        """Whether to ask somebody else: silence, or words without deeds, as if all that comes is garbage."""
        useful = max(self._useful_at, self._chosen_at)
        patience = FIRST_PATIENCE if self.status is None else PATIENCE
        silent = now - max(useful, self._told_at) > patience
        since = max(self._enough_at, self._chosen_at) if len(self.servers) > 1 else useful
        return silent or now - since > USELESS

    def _choose(self, now: float, able: Callable[[PeerId], bool], host: Callable[[PeerId], str]) -> None:
        """Ask who failed least, of those who is here, of those who holds all; at least for a while.

        What counts first is how often those at its computer failed. The attack: members by the hundred that
        say they have it all, so that each is tried before an honest one.
        """
        candidates = []
        for peer_id, one in self.servers.items():
            at = host(peer_id)
            candidates.append((self._failed.get(at, 0), one.failures, not at, not one.complete, peer_id, at))
        for *_, peer_id, at in sorted(candidates):
            if able(peer_id):
                self.server, self._server_host, self._chosen_at = peer_id, at, now
                return

    # Reports

    def _report(self, now: float) -> BulkReport:
        arrivals = self._arrivals.get(self._server_at) or Arrivals()
        status = self.status
        highest = list(arrivals.highest)
        arrivals.reported = list(highest)
        stale = now - arrivals.read_at > ECHO_MOST
        delay = NO_ECHO if stale else round(min(NO_ECHO, (now - arrivals.at) * 1e6))
        if status is not None and self.drained and now - max(arrivals.read_at, self._told_at) > SETTLED:
            told = [max(highest[0], status.multicast), max(highest[1], status.unicast)]
            delay = delay if told == highest else NO_ECHO
            arrivals.settle(told)
            highest = told
        # What is held shows that datagrams come this way, before a serial counts.
        counts = [count or held for count, held in zip(arrivals.counts, arrivals.held, strict=True)]
        flags = (WANTS_UNICAST if self._unicast else 0) | (ECHO_UNICAST if arrivals.unicast else 0)
        return BulkReport(
            bytes(TOKEN_SIZE) if status is None else status.token,
            flags,
            self.layout.blocks - self.left,
            (highest[0], counts[0]),
            (highest[1], counts[1]),
            delay,
            self.backlog,
            tuple(self._list_missing()),
        )

    def _list_missing(self) -> Iterator[tuple[int, tuple[Entry, ...]]]:
        """What is missing, the upper levels first, as much as fits. Level 0 goes on where it ended last."""
        room = REPORT_ROOM
        for level in range(self.layout.top, -1, -1):
            room -= SECTION_SIZE
            entries, room = self._list_level(level, self._ask_from if level == 0 else 0, room)
            if level == 0 and not entries and self._ask_from:
                entries, room = self._list_level(0, 0, room)
            if level == 0:
                self._ask_from = entries[-1].group + (entries[-1].run or 1) if entries else 0
            if entries:
                yield level, tuple(entries)

    def _list_level(self, level: int, group: int, room: int) -> tuple[list[Entry], int]:
        """What is missing of a level from a group on, before the horizon; and the room that is left."""
        wants = self.missing[level]
        entries: list[Entry] = []
        items = -(-self.horizon >> 5 * (level - 1)) if level else FAN * self.horizon
        whole, following = items // FAN, 0
        while True:
            group = wants.next(group)
            if not 0 <= group < -(-items // FAN):
                return entries, room
            run = min(wants.run(group), whole - group)
            mask = wants.get(group) & (1 << min(FAN, items - FAN * group)) - 1
            entry = Entry(group, 0, run) if run > 0 else Entry(group, mask)
            if run > 0 or mask:
                room -= len(encode_entry(entry, following))
                if room < 0:
                    return entries, 0
                entries.append(entry)
                following = group + max(1, run)
            group += max(1, run)


def _bits(mask: int) -> list[int]:
    return [bit for bit in range(FAN) if mask >> bit & 1]


def _hashes(node: bytes, mask: int) -> bytes:
    """The hashes of the items of `mask` in the node above them."""
    low, high = (mask & -mask).bit_length() - 1, mask.bit_length()
    if mask == (1 << high) - (1 << low):
        return node[HASH_SIZE * low : HASH_SIZE * high]
    return _choose(node, (1 << len(node) // HASH_SIZE) - 1, mask, HASH_SIZE)


def _choose(data: bytes | memoryview, mask: int, chosen: int, size: int) -> bytes:
    """The items of `chosen` in `data`, which has those of `mask`, of so many bytes but the last."""
    places = [at for at, bit in enumerate(_bits(mask)) if chosen >> bit & 1]
    return b"".join([data[at * size : (at + 1) * size] for at in places])


def _split(first: int, mask: int, data: bytes | memoryview, size: int, runs: list[tuple[int, bytes]]) -> None:
    """Add the runs of neighbours that the blocks of `mask` are; `first` is the number of the lowest bit."""
    at = 0
    while mask:
        low = (mask & -mask).bit_length() - 1
        rest = mask >> low
        length = (~rest & rest + 1).bit_length() - 1
        runs.append((first + low, bytes(data[at : at + length * size])))
        at += length * size
        mask &= -1 << low + length
