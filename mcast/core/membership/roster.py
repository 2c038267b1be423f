"""The roster: all peers known."""

from __future__ import annotations

from collections.abc import Iterator

from mcast.core.context import Context
from mcast.core.events import Address, PeerId, PeerView
from mcast.wire.frames import ANSWERS, HEARS, LISTENER, Announcement
from mcast.wire.reasons import DropReason

ADDRESSES = 8  # of one peer; the attack is its datagrams, sent again under made-up addresses: oldest out


class Peer:
    """One entry.

    `start` is the first of its records that concerns us, `existing` the last that existed when it was
    entered. `placed`: that comes from its own fresh word; what others say may be older than what it
    has published since. `said`: when it said its announcement, on our clock. `addresses` are those that it
    was heard at, the latest last.
    """

    __slots__ = (
        "addresses",
        "announcement",
        "confirmed",
        "existing",
        "heard",
        "joined",
        "name",
        "peer_id",
        "placed",
        "probes",
        "said",
        "source",
        "start",
        "suspect",
    )

    def __init__(
        self,
        peer_id: PeerId,
        name: str,
        announcement: Announcement,
        source: Address,
        now: float,
        confirmed: bool,
    ) -> None:
        self.peer_id, self.name, self.announcement = peer_id, name, announcement
        self.addresses: dict[str, None] = {}
        self.heard_at(source)
        self.heard = self.joined = self.said = now
        self.confirmed = confirmed
        self.suspect = False
        self.probes = 0
        self.start = 1
        self.existing = 0
        self.placed = False

    @property
    def address(self) -> Address:
        """Where it was heard itself; None before that, as anybody can make up what a ROSTER says."""
        return self.source if self.confirmed else None

    def heard_at(self, source: Address) -> None:
        """The peer was heard at `source`, or others heard it there."""
        self.source = source
        self.also_at(source)

    def also_at(self, source: Address) -> None:
        """What it had sent before came once more, from `source`: it has several addresses."""
        if isinstance(source, tuple):
            self.addresses.pop(source[0], None)
            self.addresses[source[0]] = None
            if len(self.addresses) > ADDRESSES:
                del self.addresses[next(iter(self.addresses))]

    def view(self) -> PeerView:
        """The peer as the application sees it."""
        return PeerView(
            self.peer_id,
            self.name,
            self.announcement.attributes,
            self.source,
            self.confirmed,
            self.suspect,
            self.heard,
            self.joined,
            self.announcement.machine,
            self.announcement.flags & HEARS,
            bool(self.announcement.flags & ANSWERS),
            tuple(self.addresses),
            listener=bool(self.announcement.flags & LISTENER),
        )


class Roster:
    """Peers by peer_id; at most `limit`, and `per_origin` of one origin.

    The attack: made-up peers by the thousand. Entries that we did not hear ourselves go first, oldest first;
    when all are confirmed a new one is refused, so a flooder cannot push out who is here. `get(peer_id)` is
    the peer, None if unknown.
    """

    def __init__(self, context: Context, limit: int, per_origin: int) -> None:
        self._context = context
        self._peers: dict[PeerId, Peer] = {}
        self.get = self._peers.get
        self._unconfirmed: dict[PeerId, None] = {}
        self._of: dict[bytes, list[PeerId]] = {}
        self._limit, self._per_origin = limit, per_origin

    def __len__(self) -> int:
        return len(self._peers)

    def __contains__(self, peer_id: PeerId) -> bool:
        return peer_id in self._peers

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._peers.values())

    def of(self, origin: bytes) -> list[PeerId]:
        """The peers of one origin."""
        return self._of.get(origin, [])

    def add(self, peer: Peer) -> DropReason | None:
        """Enter a new peer, or say why not."""
        if len(self.of(peer.peer_id.origin)) >= self._per_origin:
            return DropReason.TOO_MANY_PEERS
        if len(self._peers) >= self._limit:
            if not self._unconfirmed:
                return DropReason.TABLE_FULL
            self.remove(next(iter(self._unconfirmed)))
        self._peers[peer.peer_id] = peer
        self._of.setdefault(peer.peer_id.origin, []).append(peer.peer_id)
        if not peer.confirmed:
            self._unconfirmed[peer.peer_id] = None
        self._context.members = len(self._peers) + 1
        return None

    def confirm(self, peer: Peer) -> None:
        """The peer was heard itself."""
        peer.confirmed = True
        self._unconfirmed.pop(peer.peer_id, None)

    def remove(self, peer_id: PeerId) -> None:
        """Take a peer out."""
        del self._peers[peer_id]
        self._context.members = len(self._peers) + 1
        self._unconfirmed.pop(peer_id, None)
        peer_ids = self._of[peer_id.origin]
        peer_ids.remove(peer_id)
        if not peer_ids:
            del self._of[peer_id.origin]
