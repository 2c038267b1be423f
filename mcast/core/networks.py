"""On which networks each peer was heard, so that what was heard on one is not carried to another.

A network is an interface (both IP versions of it) or a static peer, whatever interface leads to it. A set of
networks is an int with a bit for each. ALL is where our own frames go, and where a peer is that was heard
while this computer was alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from functools import reduce
from math import inf
from operator import or_
from typing import TypeVar

from .events import PeerId

Name = TypeVar("Name", PeerId, bytes, Hashable)

ALL = -1
AWAY = 60.0  # seconds after its interface was lost in which a peer of a network must be heard again
STATIC = 256  # static peers with a network; the attack is a new address with each lease: least recent out


class Networks:
    """The networks, and those of each of at most `limit` peers; first in, first out.

    The attack: made-up peers by the thousand. They push out each other, but none that `keep` names: the
    roster, and the authors of what we hold. What falls out is handed out nowhere until it is heard again.

    `bits` is by the number of an interface or the address of a static peer, `masks` by peer. `changes` counts
    the changes of `masks`. `shared` is by the address of a unicast peer on the network of an interface.
    """

    def __init__(self, limit: int) -> None:
        self.bits: dict[Hashable, int] = {}
        self.masks: dict[PeerId, int] = {}
        self.shared: dict[Hashable, int] = {}
        self.changes = 0
        self.keep: Callable[[PeerId], bool] = self.masks.__contains__
        self._limit = limit
        self._origins: dict[bytes, int] = {}
        self._sessions: dict[bytes, PeerId] = {}
        # The bits of networks that were lost: the interface of each, and until when it may be found again. As
        # many as interfaces are lost in AWAY seconds.
        self._former: dict[int, tuple[int, float]] = {}

    def add(self, network: Hashable) -> int:
        """The bit of an interface (a number; negative: this computer alone) or of a static peer's address."""
        if isinstance(network, int) and network < 0:
            return ALL
        bit = self.bits.pop(network, 0)
        self.shared.pop(network, None)
        if not bit:
            static = [known for known in self.bits if not isinstance(known, int)]
            if len(static) >= STATIC:
                self._forget(self.bits.pop(static[0]))
            used = reduce(or_, self._former, self.known)
            bit = ~used & (used + 1)
        self.bits[network] = bit  # at the end
        return bit

    def share(self, address: Hashable, networks: int) -> None:
        """The unicast peer at `address` is on these networks, and on none of its own."""
        bit = self.bits.pop(address, 0)
        if bit:
            self._forget(bit, networks)
        self.shared.pop(address, None)
        self.shared[address] = networks
        if len(self.shared) > STATIC:
            del self.shared[next(iter(self.shared))]

    def at(self, address: Hashable) -> int:
        """The networks of the unicast peer at `address`."""
        return self.bits.get(address, 0) or self.shared.get(address, 0)

    def _forget(self, bit: int, instead: int = 0) -> None:
        """A network is no more, or is another by now."""
        self.masks.update(_replaced(bit, instead, self.masks))
        self.shared.update(_replaced(bit, instead, self.shared))
        self._origins.update(_replaced(bit, instead, self._origins))
        self.changes += 1

    def lost(self, interface: int, now: float) -> None:
        """An interface has left its network: what comes by it next is another one, unless a peer of before
        announces itself there."""
        bit = self.bits.pop(interface, 0)
        if bit:
            self._former[bit] = interface, now + AWAY

    @property
    def next(self) -> float:
        """When to call expire(), inf if never."""
        return next(iter(self._former.values()))[1] if self._former else inf

    def expire(self, now: float) -> None:
        """Forget the networks of which nobody was heard again in time."""
        while self.next <= now:
            bit = next(iter(self._former))
            del self._former[bit]
            self._forget(bit)

    def interfaces(self, networks: int) -> tuple[int, ...] | None:
        """The numbers of the interfaces among `networks`; None: of all there are."""
        if networks < 0:
            return None
        return tuple(name for name, bit in self.bits.items() if isinstance(name, int) and bit & networks)

    @property
    def known(self) -> int:
        """All networks on which something was heard."""
        return reduce(or_, self.bits.values(), 0)

    # Peers

    def heard(self, peer_id: PeerId, networks: int) -> None:
        """A fresh genuine frame of a peer came by `networks`."""
        before = self.masks.get(peer_id, 0)
        if before & networks == networks:
            return
        if not before and len(self.masks) >= self._limit:
            self._evict()
        self.masks[peer_id] = before | networks
        self.key_heard(peer_id.origin, networks)
        self.changes += 1

    def _evict(self) -> None:
        for peer_id in list(self.masks):
            mask = self.masks.pop(peer_id)
            if not self.keep(peer_id):
                return
            self.masks[peer_id] = mask  # at the end: others are looked at next time
        del self.masks[next(iter(self.masks))]

    def key_heard(self, origin: bytes, networks: int) -> None:
        """The key of an identity is known on `networks`."""
        self._origins[origin] = self._origins.pop(origin, 0) | networks
        if len(self._origins) > self._limit:
            del self._origins[next(iter(self._origins))]

    def announced(self, peer_id: PeerId, session: bytes, networks: int, *, local: bool = False) -> None:
        """A peer, whose datagrams have this `session`, announced itself; `local`: it is on this computer.

        If it was heard on a lost network and nowhere else but here, and is not local, which moves along with
        us, it shows that the interface is on that network again.
        """
        before = 0 if local else self.of(peer_id)
        if before & ~reduce(or_, self._former, networks):
            before = 0
        for bit, (interface, _) in list(self._former.items()):
            if before & bit and self.bits.get(interface) == networks:
                del self._former[bit]
                self._forget(bit, networks)
        self.heard(peer_id, networks)
        self._sessions.pop(session, None)
        self._sessions[session] = peer_id
        if len(self._sessions) > self._limit:
            del self._sessions[next(iter(self._sessions))]

    def repeated(self, session: bytes, networks: int) -> PeerId | None:
        """A datagram came once more, perhaps by another network: its sender is there, too. Who that is."""
        peer_id = self._sessions.get(session)
        if peer_id is not None:
            self.heard(peer_id, networks)
        return peer_id

    def peer_of(self, session: bytes) -> PeerId | None:
        """The peer whose datagrams have this session, as far as it has announced itself."""
        return self._sessions.get(session)

    def of(self, peer_id: PeerId) -> int:
        """The networks on which a peer was heard."""
        return self.masks.get(peer_id, 0)

    def has(self, peer_id: PeerId, networks: int) -> bool:
        """Whether a peer was heard on all of `networks`."""
        return self.masks.get(peer_id, 0) & networks == networks

    def of_origin(self, origin: bytes) -> int:
        """The networks on which the key of an identity was heard, or any peer of it."""
        return self._origins.get(origin, 0)

    def grouped(self, peer_ids: Iterable[PeerId]) -> dict[int, list[PeerId]]:
        """The peers by the networks on which they were heard."""
        groups: dict[int, list[PeerId]] = {}
        for peer_id in peer_ids:
            groups.setdefault(self.of(peer_id), []).append(peer_id)
        return groups


def _replaced(bit: int, instead: int, masks: dict[Name, int]) -> dict[Name, int]:
    """The masks that have `bit`, with another instead."""
    return {name: mask & ~bit | instead for name, mask in masks.items() if mask > 0 and mask & bit}
