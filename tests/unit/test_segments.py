"""Datagrams that go as one piece: which fit together, and how a piece comes apart."""

from __future__ import annotations

import socket
import sys

import pytest

from mcast.net import socket_options as sockopt
from mcast.net.segmentation import PIECE_MAX, PIECES_MAX, cut, pieces


def sizes(*lengths: int) -> list[list[int]]:
    """The lengths of datagrams as they are put together."""
    return [[len(datagram) for datagram in piece] for piece in pieces([bytes(size) for size in lengths])]


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
        ([9] * 65, [[9] * PIECES_MAX, [9]]),
    ],
)
def test_only_the_last_of_a_piece_may_be_shorter(lengths: list[int], expected: list[list[int]]) -> None:
    assert sizes(*lengths) == expected
    assert all(sum(piece) <= PIECE_MAX for piece in expected)


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
    assert cut(b"abcdefg", size) == expected


def test_an_empty_datagram_stays_one() -> None:
    assert cut(b"", 0) == [b""]


def test_the_size_is_told_beside_the_ttl() -> None:
    ttl = (socket.IPPROTO_IP, socket.IP_TTL, (7).to_bytes(4, sys.byteorder))
    told = (sockopt.SOL_UDP, sockopt.UDP_GRO, (1200).to_bytes(4, sys.byteorder))
    assert sockopt.told([ttl, told])[1] == 1200
    assert sockopt.told([ttl])[1] == 0
    assert sockopt.told([told, ttl])[0] == 7


def test_a_socket_that_is_not_for_datagrams_cannot_cut() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        assert not sockopt.can_cut(sock)
        sockopt.take_pieces(sock)
