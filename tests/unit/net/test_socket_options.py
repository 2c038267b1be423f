"""Bytes for the kernel, its ancillary data, and datagrams that go as segments of one call."""

from __future__ import annotations

import socket
import struct
import sys
from pathlib import Path

import pytest

from mcast.net import socket_options as sockopt
from mcast.net.socket_options import SEGMENTS_BYTES_MAX, SEGMENTS_MAX, group_segments, split_segments


def sizes(*lengths: int) -> list[list[int]]:
    """The lengths of datagrams as they are put together."""
    return [
        [len(datagram) for datagram in piece] for piece in group_segments([bytes(size) for size in lengths])
    ]


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([], []),
        ([5], [[5]]),
        ([5, 5, 5], [[5, 5, 5]]),
        ([5, 5, 3], [[5, 5, 3]]),
        ([5, 3, 3], [[5, 3], [3]]),
        ([5, 3, 5], [[5, 3], [5]]),
        ([5, 6, 6], [[5], [6, 6]]),
        ([5, 0, 0, 5], [[5], [0], [0], [5]]),
        ([1452] * 46, [[1452] * 45, [1452]]),
        ([9] * 65, [[9] * SEGMENTS_MAX, [9]]),
    ],
)
def test_only_the_last_of_a_piece_may_be_shorter(lengths: list[int], expected: list[list[int]]) -> None:
    assert sizes(*lengths) == expected
    assert all(sum(piece) <= SEGMENTS_BYTES_MAX for piece in expected)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, [b"abcdefg"]),
        (3, [b"abc", b"def", b"g"]),
        (7, [b"abcdefg"]),
        (9, [b"abcdefg"]),
        (-1, [b"abcdefg"]),
    ],
)
def test_a_piece_comes_apart(size: int, expected: list[bytes]) -> None:
    assert split_segments(b"abcdefg", size) == expected


def test_an_empty_datagram_stays_one() -> None:
    assert split_segments(b"", 0) == [b""]


def test_the_size_is_told_beside_the_ttl() -> None:
    ttl = (socket.IPPROTO_IP, socket.IP_TTL, (7).to_bytes(4, sys.byteorder))
    told = (sockopt.SOL_UDP, sockopt.UDP_GRO, (1200).to_bytes(4, sys.byteorder))
    assert sockopt.read_ancillary([ttl, told])[1] == 1200
    assert sockopt.read_ancillary([ttl])[1] == 0
    assert sockopt.read_ancillary([told, ttl])[0] == 7


def test_a_socket_that_is_not_for_datagrams_cannot_cut() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        assert not sockopt.can_segment(sock)
        sockopt.receive_segments(sock)


@pytest.mark.parametrize(
    ("host", "scope"),
    [
        ("fe80::1", 7),
        ("2001:db8::1", 0),
        ("ff02::1", 7),
        ("ff12::1", 7),
        ("ff11::1", 7),
        ("ff32::1", 7),
        ("ff05::1", 0),
        ("ff18::1", 0),
        ("ff0e::1", 0),
    ],
)
def test_link_scoped_addresses_are_bound_with_their_interface(host: str, scope: int) -> None:
    assert sockopt.scope(host, 7) == scope


def pktinfo(interface: int) -> tuple[int, int, bytes]:
    return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, bytes(16) + struct.pack("@I", interface)


def test_the_ttl_is_found_beside_other_control_messages() -> None:
    hops = (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT, struct.pack("@i", 42))
    assert sockopt.read_ancillary([pktinfo(3), hops])[0] == 42
    assert sockopt.read_ancillary([hops, pktinfo(3)])[0] == 42
    assert sockopt.read_ancillary([(socket.IPPROTO_IP, socket.IP_TTL, b"\x07")])[0] == 7, "BSD: one byte"
    assert sockopt.read_ancillary([pktinfo(3)])[0] is None
    assert sockopt.read_ancillary([])[0] is None
    assert sockopt.read_ancillary([(0, 0, b"")])[0] is None


def test_the_time_of_arrival_is_told() -> None:
    stamp = (socket.SOL_SOCKET, sockopt.SO_TIMESTAMPNS, struct.pack("@ll", 1_764_550_000, 250_000_000))
    hops = (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT, struct.pack("@i", 42))
    assert sockopt.read_ancillary([stamp, hops]) == (42, 0, None, 1_764_550_000.25)
    assert sockopt.read_ancillary([hops])[3] is None
    assert sockopt.read_ancillary([(socket.SOL_SOCKET, sockopt.SO_TIMESTAMPNS, b"short")])[3] is None


def test_the_interface_that_received_a_datagram_is_told() -> None:
    assert sockopt.read_ancillary([pktinfo(3)])[2] == 3
    assert sockopt.read_ancillary([])[2] is None
    assert sockopt.read_ancillary([(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, b"short")])[2] is None


def test_a_socket_address_for_the_kernel_has_128_bytes() -> None:
    v4, v6 = sockopt._sockaddr("10.0.0.1"), sockopt._sockaddr("fe80::1")
    assert (len(v4), len(v6)) == (128, 128)
    assert v4[4:8] == socket.inet_aton("10.0.0.1")
    assert v6[8:24] == socket.inet_pton(socket.AF_INET6, "fe80::1")


def test_a_source_keeps_the_number_of_an_interface_that_has_gone() -> None:
    assert sockopt.plain_source(("10.0.0.1", 5)) == ("10.0.0.1", 5)
    assert sockopt.plain_source(("2001:db8::1", 5, 0, 0)) == ("2001:db8::1", 5)
    assert sockopt.plain_source(("fe80::1", 5, 0, 1)) == ("fe80::1%lo", 5)
    assert sockopt.plain_source(("fe80::1%x", 5, 0, 1)) == ("fe80::1%x", 5)
    assert sockopt.plain_source(("fe80::1", 5, 0, 2**31 - 1)) == ("fe80::1", 5)


SNMP = """Ip: Forwarding InReceives
Ip: 1 99
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors
Udp: 1 2 3 4 5 6 7
UdpLite: InDatagrams RcvbufErrors InCsumErrors
UdpLite: 1000 1000 1000
"""
SNMP6 = "Udp6InErrors 1\nUdp6RcvbufErrors 20\nUdp6InCsumErrors 30\nUdpLite6InCsumErrors 1000\n"


def test_why_the_kernel_dropped_datagrams(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"/proc/net/snmp": SNMP, "/proc/net/snmp6": SNMP6}
    monkeypatch.setattr(Path, "read_text", lambda path: files[str(path)])
    assert sockopt.udp_errors() == (25, 37)


def test_a_system_that_does_not_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: Path) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert sockopt.udp_errors() == (0, 0)
