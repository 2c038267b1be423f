"""Textbook echo servers, on loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import pytest

from mcast.doctor.textbook import TcpEcho, UdpEcho, line, split_address
from mcast.errors import SocketError, UsageError


def served(kind: socket.SocketKind, serve: Callable[[socket.socket], None]) -> str:
    """Run a server in a thread; its address."""
    server = socket.socket(socket.AF_INET, kind)
    server.bind(("127.0.0.1", 0))
    if kind is socket.SOCK_STREAM:
        server.listen()

    def run() -> None:
        with server:
            serve(server)

    threading.Thread(target=run, daemon=True).start()
    return f"127.0.0.1:{server.getsockname()[1]}"


def test_a_udp_server_that_shouts_is_one() -> None:
    def shout(server: socket.socket) -> None:
        for _ in range(2):
            data, source = server.recvfrom(65535)
            server.sendto(b"something else", source)
            server.sendto(data.upper(), source)

    with UdpEcho(served(socket.SOCK_DGRAM, shout)) as echo:
        assert echo.echoed(0, 100, 10.0)
        assert echo.echoed(1, 0, 10.0)
        assert not echo.echoed(2, 0, 0.01)


def test_a_tcp_server_must_return_the_whole_line() -> None:
    def halves(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            data = connection.recv(65535)
            connection.sendall(b"welcome\n" + data[:5])
            connection.sendall(data[5:])
            connection.recv(65535)

    with TcpEcho(served(socket.SOCK_STREAM, halves)) as echo:
        assert echo.connect_seconds is not None
        assert echo.echoed(0, 200, 10.0)
        assert not echo.echoed(1, 0, 10.0)


def test_a_line_has_its_size() -> None:
    assert len(line(1, 200)) == 200
    assert line(7, 0) == b"mcast ping 7 \n"


@pytest.mark.parametrize("text", ["host", "host:", ":1", "host:0", "host:70000", "host:x"])
def test_an_address_needs_host_and_port(text: str) -> None:
    with pytest.raises(UsageError):
        split_address(text)


def test_what_cannot_be_reached_is_explained() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(SocketError, match="cannot connect"):
        TcpEcho(f"127.0.0.1:{port}").__enter__()
    assert split_address("[::1]:3000") == ("::1", 3000)
