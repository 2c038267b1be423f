"""Which records are held, run by run: what digests sum up and vectors list (docs/protocol.md, History)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from hashlib import sha256

from mcast.wire import limits
from mcast.wire.frames import Holding
from mcast.wire.lists import HOLDINGS

from .peer_id import PeerId
from .ranges import RangeSet, collapse

FLOORS = 4096  # runs whose oldest records we let go are remembered; first in, first out
HOLES = 400  # bytes that the holes of one entry take on the wire, at most
PAGE = limits.DATAGRAM_SAFE - 200  # bytes of entries in a VECTOR frame: the same everywhere
NOTHING = RangeSet()


class Held:
    """Sequences by run, as ranges; and where we let go of what was older, so that it is not asked for."""

    def __init__(self) -> None:
        self._ranges: dict[PeerId, RangeSet] = {}
        self._floors: dict[PeerId, int] = {}
        self.changes = 0

    def __iter__(self) -> Iterator[tuple[PeerId, RangeSet]]:
        return iter(self._ranges.items())

    def of(self, run: PeerId) -> RangeSet:
        """The sequences held of `run`."""
        return self._ranges.get(run, NOTHING)

    def floor(self, run: PeerId) -> int:
        """The first record of `run` that may still be wanted."""
        return self._floors.get(run, 1)

    def add(self, run: PeerId, sequences: Collection[int]) -> None:
        """These are held, too."""
        if not sequences:
            return
        ranges = self._ranges.get(run)
        if ranges is None:
            ranges = self._ranges[run] = RangeSet()
        for start, stop in collapse(sorted(sequences)):
            ranges.add(start, stop)
        self.changes += 1

    def remove(self, run: PeerId, sequences: Iterable[int], *, wanted: bool = False) -> None:
        """These, at least one, are no more; unless they may still be `wanted`, nor is anything before."""
        ranges = self._ranges[run]
        gone = collapse(sorted(sequences))
        for start, stop in gone:
            ranges.cut(start, stop)
        if not ranges:
            del self._ranges[run]
        self.changes += 1
        if wanted:
            return
        self._floors[run] = max(self._floors.pop(run, 1), gone[-1][1])
        if len(self._floors) > FLOORS:
            del self._floors[next(iter(self._floors))]

    def clear(self) -> None:
        """Nothing is held, and everything may come again."""
        self._ranges.clear()
        self._floors.clear()
        self.changes += 1


class Catalogue:
    """Everything held at one moment: its digest and the pages of its vectors."""

    def __init__(self, held: Iterable[tuple[PeerId, Iterable[tuple[int, int]]]]) -> None:
        self._entries: list[tuple[Holding, bytes]] = []
        self.records = 0
        for run, ranges in sorted(held, key=lambda entry: entry[0]):
            ranges = list(ranges)
            self.records += sum(stop - start for start, stop in ranges)
            for holding in _holdings(run, ranges):
                self._entries.append((holding, HOLDINGS.write((holding,))[1:]))
        self.digest = sha256(b"".join(data for _, data in self._entries)).digest()[: limits.DIGEST_SIZE]
        self.pages = list(self._paged())

    def __len__(self) -> int:
        return len(self._entries)

    def _paged(self) -> Iterator[tuple[Holding, ...]]:
        page: list[Holding] = []
        size = 0
        for holding, data in self._entries:
            if page and (size + len(data) > PAGE or len(page) == limits.ENTRIES_MAX):
                yield tuple(page)
                page, size = [], 0
            page.append(holding)
            size += len(data)
        if page:
            yield tuple(page)


def _holdings(run: PeerId, ranges: list[tuple[int, int]]) -> Iterator[Holding]:
    """The entries of one run of which something is held; holes that fit no window or page part them."""
    low = high = 0
    holes: list[tuple[int, int]] = []
    pairs = 0
    for start, stop in ranges:
        if low:
            hole = (high + 1, start - 1)
            first = holes[0][0] if holes else hole[0]
            pairs += (hole[0] - (holes[-1][1] if holes else hole[0])) // 255 + (hole[1] - hole[0]) // 255 + 2
            if hole[1] - first < limits.WINDOW and 2 * pairs <= HOLES:
                holes.append(hole)
                high = stop - 1
                continue
            yield Holding(run.origin, run.incarnation, low, high, tuple(holes))
        low, high, holes, pairs = start, stop - 1, [], 0
    yield Holding(run.origin, run.incarnation, low, high, tuple(holes))


def filled(holding: Holding) -> Iterator[tuple[int, int]]:
    """The [start, stop) ranges that a holding says are held."""
    at = holding.low
    for first, last in holding.holes:
        if first > at:
            yield at, first
        at = last + 1
    if at <= holding.high:
        yield at, holding.high + 1
