"""The echo servers of tutorials: a datagram or a line that is sent comes back, perhaps in other letters."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Self

from mcast.errors import SocketError, UsageError
from mcast.net.errnos import explain, explained

CONNECT = 5.0
"""Seconds to wait for a connection."""
LINE_MAX = 65_536


def split_address(text: str) -> tuple[str, int]:
    """The host and the port of HOST:PORT or [ADDRESS]:PORT. UsageError otherwise."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"{text!r} is not HOST:PORT", "write for instance 10.9.0.2:3000")
    return host, int(port)


def line(sequence: int, size: int) -> bytes:
    """A line of `size` bytes that no other question has, in letters of both cases."""
    head = f"mcast ping {sequence} "
    return (head + "x" * max(0, size - len(head) - 1)).encode()[: max(size - 1, len(head))] + b"\n"


class _Echo:
    """`left_at` and `came_at`: when the last question left and its answer came."""

    kind = ""
    connect_seconds: float | None = None
    left_at = came_at = 0.0

    def __init__(self, text: str) -> None:
        self._host, self._port = split_address(text)
        self.source = f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"
        self._socket: socket.socket

    def _open(self, kind: socket.SocketKind) -> tuple[socket.socket, object]:
        try:
            family, _, _, _, address = socket.getaddrinfo(self._host, self._port, type=kind)[0]
        except (OSError, UnicodeError) as error:
            raise SocketError(
                f"{self._host}: {getattr(error, 'strerror', error)}", "check the name"
            ) from error
        return socket.socket(family, kind), address

    def __exit__(self, *_: object) -> None:
        self._socket.close()


class UdpEcho(_Echo):
    """A UDP echo server. An answer may differ in upper and lower case, as a tutorial's server has it."""

    kind = "udp"

    def __enter__(self) -> Self:
        self._socket, address = self._open(socket.SOCK_DGRAM)
        with explained(f"cannot reach {self.source}"):
            self._socket.connect(address)  # type: ignore[arg-type]  # getaddrinfo's address fits its family
        return self

    def echoed(self, sequence: int, size: int, seconds: float) -> bool:
        """Whether the line came back within so many seconds."""
        question = line(sequence, size).rstrip(b"\n")
        end = time.perf_counter() + seconds
        self._socket.settimeout(max(0.001, seconds))
        self.left_at = time.perf_counter()
        with contextlib.suppress(OSError):
            self._socket.send(question)
            while self.came_at < end:
                answer = self._socket.recv(LINE_MAX)
                self.came_at = time.perf_counter()
                if answer.strip().lower() == question.strip().lower():
                    return True
                self._socket.settimeout(max(0.001, end - self.came_at))
        return False


class TcpEcho(_Echo):
    """A TCP echo server that answers each line with a line."""

    kind = "tcp"

    def __enter__(self) -> Self:
        self._socket, address = self._open(socket.SOCK_STREAM)
        self._rest = b""
        self._socket.settimeout(CONNECT)
        start = time.perf_counter()
        try:
            self._socket.connect(address)  # type: ignore[arg-type]  # getaddrinfo's address fits its family
        except OSError as error:
            self._socket.close()
            raise explain(error, f"cannot connect to {self.source}") from error
        self.connect_seconds = time.perf_counter() - start
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self

    def echoed(self, sequence: int, size: int, seconds: float) -> bool:
        """Whether the whole line came back within so many seconds."""
        question = line(sequence, size)
        end = time.perf_counter() + seconds
        with contextlib.suppress(OSError):
            self._socket.settimeout(max(0.001, seconds))
            self.left_at = time.perf_counter()
            self._socket.sendall(question)
            while (left := end - time.perf_counter()) > 0:
                answer, newline, rest = self._rest.partition(b"\n")
                if newline:
                    self._rest = rest
                    if answer.strip().lower() == question.strip().lower():
                        self.came_at = time.perf_counter()
                        return True
                    continue
                self._socket.settimeout(left)
                data = self._socket.recv(LINE_MAX)
                if not data or len(self._rest) > LINE_MAX:
                    return False
                self._rest += data
        return False
