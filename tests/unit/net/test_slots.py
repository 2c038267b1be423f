"""What is read into slots, whatever the kernel gives."""

from __future__ import annotations

import errno
import socket
import struct
from typing import Any, cast

import pytest

from mcast.errors import SocketError
from mcast.net.slots import SINGLES, Piece, Slots
from mcast.net.socket_options import SO_TIMESTAMPNS, SOL_UDP, UDP_GRO

ADA, BOB = ("10.0.0.1", 1), ("10.0.0.2", 2)
HEAD, BODY = 4, 10
RUN = [(SOL_UDP, UDP_GRO, (HEAD + BODY).to_bytes(4, "little"))]


class Kernel:
    """A socket with these reads: bytes, ancillary data, source; or an error."""

    def __init__(self, *reads: Any) -> None:
        self.reads = list(reads)

    def recvmsg_into(self, parts: list[memoryview], room: int) -> Any:
        """The next read."""
        if not self.reads:
            raise BlockingIOError
        data, ancillary, source = self.reads.pop(0)
        if isinstance(data, OSError):
            raise data
        left = data
        for part in parts:
            some = left[: len(part)]
            part[: len(some)] = some
            left = left[len(some) :]
        assert not left, "cut off"
        return len(data), ancillary, 0, source


def read(slots: Slots, *reads: Any) -> list[Piece]:
    return slots(cast(socket.socket, Kernel(*reads)), 7, 100)


def datagrams(count: int, last: int = BODY) -> bytes:
    bodies = [bytes([65 + at]) * (BODY if at < count - 1 else last) for at in range(count)]
    return b"".join(b"head" + body for body in bodies)


def test_a_run_lies_in_one_piece() -> None:
    slots = Slots(HEAD, BODY)
    assert read(slots, (datagrams(3, 2), RUN, ADA)) == [Piece(ADA, 7, 0, 3, 2)]
    assert bytes(slots.heads[:12]) == b"headheadhead"
    assert bytes(slots.bodies[:22]) == b"A" * BODY + b"B" * BODY + b"CC"


def test_what_follows_a_full_one_of_the_same_source_belongs_to_it() -> None:
    slots = Slots(HEAD, BODY)
    one: Any = (datagrams(1), [], ADA)
    assert read(slots, one, one, (datagrams(1), [], BOB)) == [
        Piece(ADA, 7, 0, 2, BODY),
        Piece(BOB, 7, 2, 1, BODY),
    ]
    assert read(slots, (datagrams(1, 3), [], ADA), one) == [Piece(ADA, 7, 0, 1, 3), Piece(ADA, 7, 1, 1, BODY)]


def test_other_sizes_come_as_they_are() -> None:
    slots = Slots(HEAD, BODY)
    odd = [(SOL_UDP, UDP_GRO, (6).to_bytes(4, "little"))]
    assert read(slots, (b"headABheadCDhead", odd, ADA)) == [
        Piece(ADA, 7, 0, 0, 0, (b"headAB", b"headCD", b"head"))
    ]
    assert [piece.odd for piece in read(slots, (b"x", [], ADA), (bytes(40), [], ADA), (b"", [], ADA))] == [
        (b"x",),
        (bytes(40),),
        (b"",),
    ]


def test_many_alone_are_read_with_less_room_until_a_run_comes() -> None:
    slots = Slots(HEAD, BODY)
    one: Any = (datagrams(1), [], ADA)
    assert read(slots, *[one] * (SINGLES + 2)) == [Piece(ADA, 7, 0, SINGLES + 2, BODY)]
    run = (datagrams(3), RUN, ADA)
    first, second = read(slots, run, run)
    assert first.odd == tuple(b"head" + bytes([letter]) * BODY for letter in b"ABC")
    assert second == Piece(ADA, 7, 1, 3, BODY)


def test_what_another_interface_received_is_left_out() -> None:
    slots = Slots(HEAD, BODY)
    elsewhere = [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, bytes(16) + (8).to_bytes(4, "little"))]
    here = [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, bytes(16) + (7).to_bytes(4, "little"))]
    source = ("ff02::1", 1, 0, 0)
    assert read(slots, (datagrams(1), elsewhere, source), (datagrams(1), here, source)) == [
        Piece(("ff02::1", 1), 7, 0, 1, BODY)
    ]


def test_errors() -> None:
    slots = Slots(HEAD, BODY)
    refused: Any = (OSError(errno.ECONNREFUSED, "refused"), [], ADA)
    assert read(slots, (datagrams(1), [], ADA), refused) == [Piece(ADA, 7, 0, 1, BODY)]
    with pytest.raises(SocketError, match="cannot receive"):
        read(slots, (OSError(errno.ENODEV, "gone"), [], ADA))


def test_no_more_is_read_than_there_is_room_for() -> None:
    slots = Slots(HEAD, BODY)
    kernel = Kernel(*[(datagrams(1), [], ADA)] * 200)
    assert sum(piece.count for piece in slots(cast(socket.socket, kernel), 7, 3)) == 3
    assert 1 <= sum(piece.count for piece in slots(cast(socket.socket, kernel), 7, 1000)) <= 256


def test_without_recvmsg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcast.net.slots.WINDOWS", True)
    slots, waiting = Slots(HEAD, BODY), [datagrams(1, 3), datagrams(1)]

    class Plain:
        """A socket of Windows."""

        def recvfrom_into(self, space: memoryview) -> Any:
            """The next datagram."""
            if not waiting:
                raise BlockingIOError
            data = waiting.pop()
            space[: len(data)] = data
            return len(data), ADA

    assert slots(cast(socket.socket, Plain()), 7, 100) == [Piece(ADA, 7, 0, 2, 3)]
    assert bytes(slots.bodies[: BODY + 3]) == b"A" * (BODY + 3)


def test_who_sends_alone_is_told_apart() -> None:
    slots = Slots(HEAD, BODY)
    times = iter(range(100))

    def one(source: Any, last: int = BODY) -> Any:
        stamp = (socket.SOL_SOCKET, SO_TIMESTAMPNS, struct.pack("@ll", 1000 + next(times), 0))
        return datagrams(1, last), [stamp, (socket.IPPROTO_IP, 12, b"\1\0\0\0")], source

    read(slots, *[one(ADA) for _ in range(SINGLES)])
    assert read(slots, one(ADA), one(ADA), one(BOB), one(BOB), one(BOB, 2), one(BOB)) == [
        Piece(ADA, 7, 0, 2, BODY),
        Piece(BOB, 7, 2, 3, 2),
        Piece(BOB, 7, 5, 1, BODY),
    ]
    assert slots.arrived == 1000 + SINGLES + 5
