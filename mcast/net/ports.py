"""Which UDP port a run has at each address of its computer: the group's, where no other program there has it.

Whoever knows a computer's address then finds its peers without multicast: the *holder* of the port tells the
ports of the others (WHO and HERE in docs/protocol.md). A holder that ends leaves the port to whoever claims
it next.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from mcast.errors import SocketError
from mcast.multicast import Sender
from mcast.net.interface_table import Interface

CLAIM_INTERVAL = 10.0
"""Seconds between attempts to get the group's port where another program has it."""
DOORS = 8
"""Further addresses of one interface at which we can be asked."""


class Ports:
    """Opens the senders of a run, and the *doors*: sockets at further addresses, where we are only asked.

    `wanted` is the group's port, 0 for who does not want it: visitors, and who never speaks.
    """

    def __init__(self, wanted: int, ttl: int) -> None:
        self._wanted, self._ttl = wanted, ttl
        self._own = 0
        self._doors: dict[tuple[int, str], Sender] = {}

    def open(self, interface: int, address: str) -> Sender:
        """A sender at the group's port, else at the same port as at our other addresses, else at any."""
        for port in filter(None, (self._wanted, self._own)):
            with contextlib.suppress(SocketError):
                return Sender(interface, address, port=port, ttl=self._ttl)
        sender = Sender(interface, address, ttl=self._ttl)
        self._own = sender.source[1]
        return sender

    def claim(self, senders: dict[tuple[int, int], Sender]) -> bool:
        """Replace senders where the group's port has become free; whether one was."""
        claimed = False
        for key, sender in senders.items():
            if sender.source[1] != self._wanted:
                with contextlib.suppress(SocketError):
                    senders[key] = Sender(sender.interface, sender.address, port=self._wanted, ttl=self._ttl)
                    sender.close()
                    claimed = True
        return claimed

    def holds(self, senders: Iterable[Sender]) -> bool:
        """Whether all `senders`, at least one, have the group's port."""
        ports = {sender.source[1] for sender in senders}
        return ports == {self._wanted}

    def told(self, senders: Iterable[Sender]) -> int:
        """The port to announce: 0 for the group's."""
        return 0 if self.holds(senders) else self._own

    @property
    def wants(self) -> bool:
        """Whether the group's port is wanted."""
        return bool(self._wanted)

    @property
    def doors(self) -> tuple[Sender, ...]:
        """The sockets at further addresses."""
        return tuple(self._doors.values())

    def open_doors(self, links: Iterable[Interface], senders: Iterable[Sender]) -> None:
        """Keep one door at each further address of `links`, where nobody else has the group's port."""
        taken = {sender.address for sender in senders}
        wanted = {
            (link.index, address): None
            for link in links
            for address in [text for text in link.addresses if text not in taken][:DOORS]
        }
        for key in self._doors.keys() - wanted.keys():
            self._doors.pop(key).close()
        for key in wanted if self._wanted else ():
            if key not in self._doors:
                with contextlib.suppress(SocketError):
                    self._doors[key] = Sender(*key, port=self._wanted, ttl=self._ttl)

    def close_door(self, door: Sender) -> None:
        """Close one that failed."""
        if self._doors.get((door.interface, door.address)) is door:
            del self._doors[door.interface, door.address]

    def close(self) -> None:
        """Close the doors. Closing twice is fine."""
        for door in self._doors.values():
            door.close()
        self._doors = {}
