"""The sockets of one transfer: its multicast group, and a port of its own for unicast."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

import msgspec

from mcast.core.events import Address
from mcast.errors import McastError
from mcast.multicast import Burst, Sender
from mcast.net.address import GroupAddress
from mcast.net.links import Change, Links, Plan
from mcast.net.reader import SocketReader
from mcast.net.slots import Piece, Slots
from mcast.wire.bulk import DATA_START

BUFFER = 8 << 20
"""Bytes of each receive buffer, as far as the system grants them: for what comes while we have no turn."""
AGE_MAX = 1.0
"""Seconds that a datagram can have waited for us: the clock that tells it may be set."""


def bulk_group(groups: Sequence[GroupAddress], place: bytes) -> GroupAddress:
    """The multicast group of a transfer: in 239.255/16, the local scope of RFC 2365; for a room that uses
    IPv6 alone, a transient link-local one. `place` is 2 bytes."""
    port = groups[0].port
    if any(group.version == 4 for group in groups):
        return GroupAddress(f"239.255.{place[0]}.{place[1]}", port)
    return GroupAddress(f"ff12::6d64:{place.hex()}", port)


class Endpoint:
    """Sends and receives the datagrams of one transfer. Addresses are (host, port, interface).

    `on_pieces(pieces, age)` is called with what came, `age` seconds ago. It is in `slots` until then.
    """

    def __init__(
        self,
        plan: Plan,
        group: GroupAddress,
        on_pieces: Callable[[list[Piece], float], None],
        slots: Slots,
    ) -> None:
        self.group, self.slots = group, slots
        self._on_pieces = on_pieces
        self._plan = msgspec.structs.replace(
            plan, groups=(group,), unicast=True, hold=False, wait=True, buffer=BUFFER
        )
        self.links = Links(self._plan)
        self._reader = SocketReader(self.links, self._read, self._changed, slots)
        self.paused = self._left = False
        self.sent_bytes = 0

    def start(self) -> None:
        """Open the sockets and begin to read."""
        self._reader.start()

    @property
    def port(self) -> int:
        """Our port for unicast."""
        return self.links.unicast_port

    def leave_group(self) -> None:
        """Receive by unicast alone: what is sent to the group only stands in the way."""
        self._left = True
        joined = [(one, index) for one in self.links.receivers.values() for index in one.joined]
        if joined:
            self._reader.pause()
            for receiver, index in joined:
                receiver.leave(index)
            if not self.paused:
                self._reader.resume()

    def join_group(self) -> None:
        """Receive from the group again, if it was left."""
        if self._left:
            self._left = False
            with contextlib.suppress(McastError, OSError):  # the reader tries again by itself
                self._reader.refresh()

    def need_no_data(self) -> None:
        """Do not receive what is sent to the group, our own data among it, but for control messages."""
        for receiver in self.links.receivers.values():
            receiver.ignore(DATA_START)

    def pause(self) -> None:
        """Read nothing for now."""
        if not self.paused:
            self.paused = True
            self._reader.pause()

    def resume(self) -> None:
        """Read again."""
        if self.paused:
            self.paused = False
            self._reader.resume()

    def send(self, to: Address, bursts: Sequence[Burst]) -> int:
        """Send datagrams to the group (None) or an address. Returns how many left, or are lost: those after
        them find no room now."""
        if to is None:
            routes = [
                (sender, (self.group.host, self.group.port))
                for sender in self.links.endpoints
                if sender.version == self.group.version
            ]
        else:
            assert isinstance(to, tuple)  # noqa: S101 - what we handed in
            sender = self._sender_to(to[0], to[2])
            routes = [] if sender is None else [(sender, to[:2])]
        done = sum(len(burst.parts) // 2 for burst in bursts)
        for sender, address in routes:
            done = min(done, sender.send_bursts(bursts, address))
        left = 2 * done
        for burst in bursts:
            self.sent_bytes += sum(map(len, burst.parts[:left]))
            left = max(0, left - len(burst.parts))
        return done

    def _sender_to(self, host: str, interface: int) -> Sender | None:
        version = 6 if ":" in host else 4
        able = [sender for sender in self.links.endpoints if sender.version == version]
        here = (sender for sender in able if sender.interface == interface)
        return next(here, able[0] if able else None)

    @property
    def filling(self) -> float:
        """How full the fullest receive buffer is, 0 to 1."""
        links = self.links
        groups, own = links.receivers.values(), links.endpoints
        return max([*(one.filling for one in groups), *(one.filling for one in own)], default=0.0)

    def _read(self, group: GroupAddress | None, pieces: list[Piece]) -> None:
        arrived = self.slots.arrived
        age = 0.0 if arrived is None else max(0.0, min(AGE_MAX, time.time() - arrived))
        self._on_pieces(pieces, age)

    def _changed(self, change: Change) -> None:
        """Interfaces came or went: the sockets follow by themselves."""

    async def close(self) -> None:
        """Close the sockets."""
        with contextlib.suppress(McastError, asyncio.CancelledError):
            await self._reader.close()

    def stop(self, *, forked: bool = False) -> None:
        """Close the sockets at once."""
        self._reader.stop(forked=forked)
