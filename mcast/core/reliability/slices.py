"""Records in slices, for who gets no large datagrams; and how large datagrams reach us.

Some paths drop large datagrams without telling. As PLPMTUD does (RFC 8899), we judge by what arrives: a
record that was asked for several times in vain and then came in slices shows that datagrams of its size do
not. From then on we announce a smaller limit, until we try again.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from mcast.core.context import Context, Datagram, Handlers
from mcast.core.events import Address, PeerId
from mcast.core.history.store import Store
from mcast.wire import limits
from mcast.wire.frames import Slice
from mcast.wire.reasons import DropReason, Malformed
from mcast.wire.records import Record, decode_record

from .nack import NackScheduler
from .receiver import Receiver

PARTIAL = 256  # records of which some slices are here; the attack is a flood of first slices, oldest out
PER_SOURCE = 64  # of them from one address, so that one cannot push out those of all others
NEAR = 64  # records before and after one that are looked at,
LATELY = 30.0  # seconds old at most, to see whether as large ones come whole
RAISE_AFTER = 600.0  # seconds until larger datagrams are tried again (RFC 8899, PMTU_RAISE_TIMER)

Name = tuple[Address, bytes, int]
"""Where the slices of a record came from, its name, its size."""


class Reassembly:
    """Slices until their record is whole. Nobody signed them: a wrong one spoils a record of its address."""

    def __init__(self) -> None:
        self._slices: dict[Name, dict[int, bytes]] = {}
        self._of: dict[Address, dict[Name, None]] = {}

    def __len__(self) -> int:
        return len(self._slices)

    def add(self, source: Address, piece: Slice) -> bytes | None:
        """The payload if `piece`, which came from `source`, was the last one missing."""
        name = (source, piece.record, piece.size)
        slices = self._slices.setdefault(name, {})
        mine = self._of.setdefault(source, {})
        mine[name] = None
        slices[piece.part] = piece.data
        if sum(map(len, slices.values())) == piece.size:
            self._forget(name)
            return b"".join(slices[part] for part in sorted(slices))
        if len(mine) > PER_SOURCE:
            self._forget(next(iter(mine)))
        elif len(self._slices) > PARTIAL:
            self._forget(next(iter(self._slices)))
        return None

    def _forget(self, name: Name) -> None:
        del self._slices[name]
        mine = self._of[name[0]]
        del mine[name]
        if not mine:
            del self._of[name[0]]


class PathSize:
    """Handles SLICE, and keeps `context.path_size`: the largest datagrams that reach us, as far as we know.

    `on_changed(now)` is called when it has changed.
    """

    def __init__(self, context: Context, receiver: Receiver, nacks: NackScheduler, store: Store) -> None:
        self._context, self._receiver = context, receiver
        self._windows, self._store = nacks.windows, store
        self.handlers: Handlers = {Slice: self._on_slice}
        self._reassembly = Reassembly()
        self._sliced: dict[tuple[PeerId, int], None] = {}  # the records that came in slices last
        self.next_timeout = inf
        self.on_changed: Callable[[float], None]

    def on_timeout(self, now: float) -> None:
        """Perhaps larger datagrams arrive by now: let others send them. If not, we shall see again."""
        self.next_timeout = inf
        self._context.path_size = self._context.settings.payload
        self.on_changed(now)

    def _on_slice(self, datagram: Datagram, frame: Slice, now: float) -> DropReason | None:
        """A part of a record; an AGE before it tells how old the record is."""
        age, datagram.age = datagram.age, 0.0
        payload = self._reassembly.add(datagram.source, frame)
        if payload is None:
            return None
        try:
            record = decode_record(payload)
        except Malformed as malformed:
            return malformed.reason
        peer_id = PeerId(record.origin, record.incarnation)
        self._sliced[peer_id, record.sequence] = None
        if len(self._sliced) > PARTIAL:
            del self._sliced[next(iter(self._sliced))]
        window = self._windows.get(peer_id)
        in_vain = window is not None and window.gaps.in_vain(record.sequence)
        self._receiver.receive([record], datagram, now, age)
        genuine = in_vain and window is not None and record.sequence not in window.gaps
        if genuine and not self._came_whole(peer_id, record, now):
            self._shrink(len(payload) + limits.RECORD_ENVELOPE, now)
        return None

    def _came_whole(self, peer_id: PeerId, record: Record, now: float) -> bool:
        """Whether a record of the same peer, as large, came whole lately: then this was lost by chance."""
        near = range(record.sequence - NEAR, record.sequence + NEAR + 1)
        whole = [sequence for sequence in near if (peer_id, sequence) not in self._sliced]
        records = [held for sequence in whole if (held := self._store.lookup(peer_id, sequence)) is not None]
        size = len(record.payload)
        return any(len(held.payload) >= size and now - held.at < LATELY for held in records)

    def _shrink(self, size: int, now: float) -> None:
        """Datagrams of `size` bytes do not reach us."""
        context = self._context
        smaller = limits.DATAGRAM_SAFE if size > limits.DATAGRAM_SAFE else limits.DATAGRAM_SLICE
        if smaller < context.path_size:
            context.path_size = smaller
            self.on_changed(now)
        self.next_timeout = now + RAISE_AFTER
