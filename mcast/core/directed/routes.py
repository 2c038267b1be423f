"""Where a peer is reached: at an address, if it is right, or through the group."""

from __future__ import annotations

from math import inf

from mcast.core.events import Address, PeerId
from mcast.core.membership.roster import Roster
from mcast.core.membership.roster_sync import AMPLIFICATION

ROUTES = 4096  # peers whose address is remembered; the attack is made-up ones: least recently used out
ANNOUNCED = 330  # bytes of the announcement by which an address became known
UNICAST_TRIES = 2  # in vain, before a message goes through the group
VALID_TRIES = 4  # the same for an address that was right before
GROUP_TIME = 600.0  # seconds in which who answered through the group only is not tried by unicast
ACK_SIZE = 151  # bytes of the longest acknowledgement


class Route:
    """How to reach a peer.

    `credit`: bytes that may leave to an address that is not `validated`. `known`: the peer has our key.
    """

    __slots__ = ("address", "credit", "group_until", "known", "validated")

    def __init__(self, address: Address) -> None:
        self.address = address
        self.credit = AMPLIFICATION * ANNOUNCED
        self.validated = self.known = False
        self.group_until = -inf

    def way(self, size: int, tries: int, now: float) -> Address:
        """Where a datagram of `size` bytes goes after so many `tries` in vain; None: through the group."""
        if self.address is None or now < self.group_until:
            return None
        if self.validated:
            # When both are tried in vain they take turns.
            return self.address if tries < VALID_TRIES or tries % 2 else None
        if tries >= UNICAST_TRIES or self.credit < size:
            return None
        self.credit -= size
        return self.address

    def moved(self, address: Address, credit: int) -> None:
        """The peer is somewhere else."""
        self.address, self.credit, self.validated = address, credit, False

    def answered(self, source: Address, sent_there: bool, direct: bool, now: float) -> None:
        """The peer acknowledged what we sent: to `source`, if we `sent_there`, else it had it otherwise."""
        self.known = True
        if not direct:
            self.group_until = now + GROUP_TIME
        elif sent_there:
            self.address, self.validated, self.group_until = source, True, -inf


class Routes:
    """The routes of ROUTES peers."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._routes: dict[PeerId, Route] = {}

    def to(self, peer_id: PeerId, tries: int = 0) -> Route:
        """The route to a peer. Its address in the roster counts while no better one works."""
        peer = self._roster.get(peer_id)
        route = self._used(peer_id, None if peer is None else peer.source)
        moved = peer is not None and peer.source not in (None, route.address)
        if peer is not None and moved and (not route.validated or tries >= UNICAST_TRIES):
            route.moved(peer.source, AMPLIFICATION * ANNOUNCED)
        return route

    def heard(self, peer_id: PeerId, source: Address, size: int) -> None:
        """`size` genuine bytes of a peer came from `source`; an acknowledgement goes there."""
        route = self._used(peer_id, None)
        allowed = AMPLIFICATION * size - ACK_SIZE
        if route.validated or source == route.address:
            route.credit += allowed
        else:
            route.moved(source, allowed)

    def _used(self, peer_id: PeerId, address: Address) -> Route:
        route = self._routes.pop(peer_id) if peer_id in self._routes else Route(address)
        self._routes[peer_id] = route
        if len(self._routes) > ROUTES:
            del self._routes[next(iter(self._routes))]
        return route
