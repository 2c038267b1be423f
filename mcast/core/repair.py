"""Sending records again for those who asked: the origin's and any other holder's side of repair."""

from __future__ import annotations

from collections.abc import Iterable

from .peer_id import PeerId
from .timers import Timers

RECENT = 16_384  # repairs and requests remembered, first in, first out
SHARE = RECENT // 4  # of them that one requester may be the first to ask for
STALE = 30.0  # seconds after which a request is a first one again
READY = 16_384  # repairs waiting for their turn; a flood of NACKs cannot queue more


class Asked:
    """When records were first asked for.

    The attack: one who asks for all there is pushes out what others asked for. So a requester has a
    share, and pushes out its own.
    """

    def __init__(self) -> None:
        self._first: dict[tuple[PeerId, int], tuple[float, bytes]] = {}
        self._of: dict[bytes, dict[tuple[PeerId, int], None]] = {}

    def __len__(self) -> int:
        return len(self._first)

    def when(self, run: PeerId, sequence: int) -> float | None:
        """When it was first asked for."""
        entry = self._first.get((run, sequence))
        return None if entry is None else entry[0]

    def add(self, run: PeerId, sequence: int, now: float, requester: bytes) -> None:
        """`requester` asks for it, as the first one."""
        key = (run, sequence)
        self._forget(key)
        self._first[key] = now, requester
        own = self._of.setdefault(requester, {})
        own[key] = None
        if len(own) > SHARE:
            self._forget(next(iter(own)))
        elif len(self._first) > RECENT:
            self._forget(next(iter(self._first)))

    def _forget(self, key: tuple[PeerId, int]) -> None:
        entry = self._first.pop(key, None)
        if entry is None:
            return
        own = self._of[entry[1]]
        del own[key]
        if not own:
            del self._of[entry[1]]


class Repairs:
    """Which records are going to be sent again, and when.

    Requests for one run are gathered until its timer runs out; then they are `ready`, in their order. A
    verified copy heard from anybody cancels ours.
    """

    def __init__(self) -> None:
        self._gathering: dict[PeerId, dict[int, None]] = {}
        self._timers: Timers[PeerId] = Timers()
        self.ready: dict[tuple[PeerId, int], None] = {}
        self._recent: dict[tuple[PeerId, int], float] = {}
        self._asked = Asked()

    @property
    def planned(self) -> bool:
        """Whether any record is going to be sent again."""
        return bool(self.ready or self._gathering)

    def fresh(self, run: PeerId, sequences: Iterable[int], now: float, grtt: float) -> list[int]:
        """Those of `sequences` that are neither under way nor were repaired within the last `grtt`."""
        gathering = self._gathering.get(run, {})
        return [
            sequence
            for sequence in sequences
            if sequence not in gathering
            and (run, sequence) not in self.ready
            and now - self._recent.get((run, sequence), float("-inf")) >= grtt
        ]

    def insisted(
        self, run: PeerId, sequences: Iterable[int], now: float, chance: float, requester: bytes
    ) -> list[int]:
        """Those of `sequences`, which we hold, whose author had its `chance` (s) since the first request."""
        again = []
        for sequence in sequences:
            first = self._asked.when(run, sequence)
            if first is None or now - first > STALE:
                self._asked.add(run, sequence, now, requester)
            elif now - first >= chance:
                again.append(sequence)
        return again

    def gather(self, run: PeerId, sequences: Iterable[int], when: float) -> None:
        """Repair `sequences` of `run` at `when`, or earlier if its timer runs already."""
        self._gathering.setdefault(run, {}).update(dict.fromkeys(sequences))
        if run not in self._timers:
            self._timers.set(run, when)

    def heard(self, run: PeerId, sequence: int, now: float) -> None:
        """A verified copy of the record was heard: nobody needs ours."""
        self.ready.pop((run, sequence), None)
        gathering = self._gathering.get(run)
        if gathering is None or sequence not in gathering:
            return
        _remember(self._recent, (run, sequence), now)
        del gathering[sequence]
        if not gathering:
            del self._gathering[run]
            self._timers.cancel(run)

    def when(self) -> float | None:
        """The next time at which repairs become due."""
        return self._timers.next()

    def tick(self, now: float) -> None:
        """Move what is due to the queue."""
        for run in self._timers.due(now):
            for sequence in self._gathering.pop(run):
                if len(self.ready) < READY:
                    self.ready[run, sequence] = None

    def take(self, now: float) -> tuple[PeerId, int]:
        """The next record to send again; call only when there is one."""
        run, sequence = next(iter(self.ready))
        del self.ready[run, sequence]
        _remember(self._recent, (run, sequence), now)
        return run, sequence


def _remember(table: dict[tuple[PeerId, int], float], key: tuple[PeerId, int], now: float) -> None:
    table.pop(key, None)
    table[key] = now
    if len(table) > RECENT:
        del table[next(iter(table))]
