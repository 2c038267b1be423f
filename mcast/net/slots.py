"""Datagrams read into two areas, so that what many of them carry lies in one piece and costs no copy."""

from __future__ import annotations

import socket

import msgspec

from .errnos import PASSING_ON_READ, explain
from .socket_options import (
    ANCILLARY_ROOM,
    STAMP,
    WINDOWS,
    Ancillary,
    plain_source,
    read_ancillary,
    split_segments,
)

SLOTS = 256
"""Datagrams that are read before the others get their turn."""
LARGEST = 65_535
SINGLES = 8
"""After so many reads of one datagram each it is read without room for several: each part takes time."""


class Piece(msgspec.Struct, gc=False):
    """Datagrams of one source, in the slots from `start` on; `last` is the size of the last one's body, the
    others are full. Or datagrams of other sizes: then there are no slots, and they are in `odd`."""

    source: tuple[str, int]
    interface: int
    start: int
    count: int
    last: int
    odd: tuple[bytes, ...] = ()


class Slots:
    """Reads datagrams of `head` and at most `body` bytes: all heads, and all bodies, one after the other.

    `arrived` is when the kernel got the last one, in unix seconds, if the system tells.
    The kernel puts a run of datagrams of one size there by itself (UDP_GRO). What was read stays until the
    next call.
    """

    def __init__(self, head: int, body: int) -> None:
        self.head, self.body = head, body
        self._several = min(SLOTS // 2, LARGEST // (head + body) + 1)
        """Slots that one read may fill."""
        self.heads = memoryview(bytearray(head * SLOTS))
        self.bodies = memoryview(bytearray(body * SLOTS))
        self._rest = memoryview(bytearray(LARGEST))
        parts = []
        for at in range(SLOTS):
            parts.append(self.heads[head * at : head * (at + 1)])
            parts.append(self.bodies[body * at : body * (at + 1)])
        self._parts = parts
        self._single = [[*parts[2 * at : 2 * at + 2], self._rest] for at in range(SLOTS)]
        self._singles = 0
        self.arrived: float | None = None

    def __call__(self, sock: socket.socket, interface: int, limit: int) -> list[Piece]:
        """Read up to `limit` datagrams, or a few more. Raises SocketError if the socket is dead."""
        pieces: list[Piece] = []
        ancillary: Ancillary = []
        before: tuple[Ancillary, object] | None = None
        used, limit = 0, min(limit, SLOTS - self._several + 1)
        full = self.head + self.body
        try:
            while used < limit:
                alone = self._singles >= SINGLES
                into = self._single[used] if alone else self._parts[2 * used : 2 * (used + self._several)]
                if WINDOWS:  # it has no recvmsg
                    length, source = sock.recvfrom_into(self._rest)
                    self._spread(used, length)
                else:
                    length, ancillary, _, source = sock.recvmsg_into(into, ANCILLARY_ROOM)
                if before == (ancillary[1:], source) and length == full:  # as most, where no runs come
                    pieces[-1].count += 1
                    used += 1
                    continue
                stamped = bool(ancillary) and ancillary[0][:2] == STAMP
                before = (ancillary[1:], source) if alone and stamped and length == full else None
                _, size, interface_told, _ = read_ancillary(ancillary)
                if interface_told not in (None, interface):
                    before = None
                    continue
                if len(source) == 4:
                    source = plain_source(source)
                used += self._add(pieces, source, interface, used, length, size, alone=alone)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            if error.errno not in PASSING_ON_READ:
                raise explain(error, "cannot receive") from error
        self.arrived = read_ancillary(ancillary)[3]
        return pieces

    def _add(
        self,
        pieces: list[Piece],
        source: tuple[str, int],
        interface: int,
        used: int,
        length: int,
        size: int,
        *,
        alone: bool,
    ) -> int:
        """Enter what was read into the slots from `used` on; how many slots it takes."""
        full = self.head + self.body
        several = 0 < size < length
        self._singles = 0 if several else self._singles + 1
        count = -(-length // size) if several else 1
        last = length - (count - 1) * full - self.head
        if last <= 0 or last > self.body or (alone and count > 1) or (count > 1 and size != full):
            odd = tuple(split_segments(self._gather(used, length, single=alone), size))
            pieces.append(Piece(source, interface, used, 0, 0, odd))
            return 1
        before = pieces[-1] if pieces else None
        if (
            before is not None
            and before.last == self.body
            and before.source == source
            and before.interface == interface
            and before.count
        ):
            before.count, before.last = before.count + count, last
        else:
            pieces.append(Piece(source, interface, used, count, last))
        return count

    def _gather(self, used: int, length: int, *, single: bool) -> bytes:
        """The bytes of one read, as they came."""
        parts = self._single[used] if single else self._parts[2 * used :]
        whole, left = [], length
        for part in parts:
            whole.append(bytes(part[:left]))
            left -= len(whole[-1])
            if not left:
                break
        return b"".join(whole)

    def _spread(self, used: int, length: int) -> None:
        """Put one datagram into its slot, as recvmsg does."""
        data, left = bytes(self._rest[:length]), 0
        for part in self._single[used]:
            some = data[left : left + len(part)]
            part[: len(some)] = some
            left += len(some)
