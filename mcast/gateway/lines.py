"""The TCP door: one line a message, for nc, telnet and the chat clients of textbooks."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Self, cast

from mcast.errors import McastError, PortTaken, UsageError
from mcast.net.address import parse_port
from mcast.net.escaping import escape

from .lobby import Guest, Line, Lobby

DEFAULT = "127.0.0.1:3000"
LONGEST = 64 * 1024  # bytes of a line
PAUSE = 0.05  # seconds of silence that end a message of a client that sends no newlines
BACKLOG = 256 * 1024  # bytes that wait for a guest that does not read; more is left out, and it is told so
WAITING = 64  # lines of a guest that are still to be sent, before it is read no further
GATHER, GATHER_EACH = 0.02, 0.0001  # seconds in which lines are gathered, and more for each guest
KERNEL = 64 * 1024  # bytes that the kernel keeps for a guest
SAYING = 10.0  # seconds for what was said by who has hung up
HELP = "/nick NAME changes your name, /who shows who is here, /quit leaves; // at the start is a /"
IAC, SE, SB, WILL, DONT = 255, 240, 250, 251, 254  # telnet (RFC 854)


def parse_listen(text: str, port: int) -> tuple[str, int]:
    """`HOST`, `HOST:PORT` or `[IPV6]:PORT`; `port` is the default. UsageError otherwise."""
    host, colon, number = text.rpartition(":")
    if not colon or text.endswith("]") or (":" in host and not host.endswith("]")):
        host, number = text, ""
    host = host.strip("[]")
    if not host:
        raise UsageError(
            f"{text!r} names no address to listen on", "write HOST:PORT, for example 127.0.0.1:3000"
        )
    return host, 0 if number == "0" else parse_port(number) if number else port


class Telnet:
    """Takes the commands of telnet (RFC 854) out of what a client sends. 255 is no byte of UTF-8."""

    def __init__(self) -> None:
        self._inside = False  # of a subnegotiation
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """`data` without them; a command that is not whole yet is kept."""
        if IAC not in data and not self._held and not self._inside:
            return data
        data, self._held = self._held + data, b""
        text = bytearray()
        at = 0
        while at < len(data):
            if data[at] != IAC:
                if not self._inside:
                    text.append(data[at])
                at += 1
                continue
            size = 3 if at + 1 < len(data) and WILL <= data[at + 1] <= DONT and not self._inside else 2
            if at + size > len(data):
                self._held = data[at:]
                break
            if data[at + 1] == SB:
                self._inside = True
            elif data[at + 1] == SE:
                self._inside = False
            at += size
        return bytes(text)


class Splitter:
    """Cuts what a client sends into messages: at newlines, or where it pauses if it never sends one."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._overlong = False
        self.terminated = False  # it sends newlines
        self.newline = "\n"

    @property
    def waits(self) -> bool:
        """Whether there is a message that a pause would end."""
        return bool(self._data) and not self.terminated

    def feed(self, data: bytes) -> list[bytes | None]:
        """The messages that are complete; None for one that is too long."""
        messages: list[bytes | None] = []
        self._data += data
        while (at := self._data.find(b"\n")) >= 0:
            self.terminated = True
            if self._data[at - 1 : at] == b"\r":
                self.newline = "\r\n"
            line = bytes(self._data[:at])
            del self._data[: at + 1]
            messages += self._ended(line)
        if len(self._data) > LONGEST and not self._overlong:
            self._overlong = True
            messages.append(None)
        if self._overlong:
            self._data.clear()
        return messages

    def _ended(self, line: bytes) -> list[bytes | None]:
        if self._overlong:
            self._overlong = False
            return []
        return [None] if len(line) > LONGEST else [line]

    def rest(self) -> list[bytes | None]:
        """What is there at a pause or at the end."""
        line = bytes(self._data)
        self._data.clear()
        return self._ended(line) if line else []


@lru_cache(maxsize=64)
def _rendered(text: str, newline: str) -> bytes:
    """A line for a guest's terminal; a thousand guests get the same one.

    A line break of a message must not begin a line that looks like somebody else's.
    """
    parts = text.replace("\r\n", "\n").split("\n")
    return ((newline + "  ").join(map(escape, parts)) + newline).encode("utf-8", "replace")


class Writing:
    """What the guests of a door are about to get: written together, so that each is written to less often."""

    def __init__(self) -> None:
        self._due: dict[Connection, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._last = 0

    def soon(self, connection: Connection) -> None:
        """Write what waits for a guest in a moment."""
        self._due[connection] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER + GATHER_EACH * self._last, self.now)

    def now(self) -> None:
        """Write it now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due, self._due = self._due, {}
        self._last = len(due)
        for connection in due:
            connection.write_out()


class Connection(asyncio.Protocol):
    """One guest at the TCP door."""

    def __init__(self, lobby: Lobby, connections: set[Connection], writing: Writing) -> None:
        self._lobby, self._connections, self._writing = lobby, connections, writing
        self._out = bytearray()
        self._guest: Guest | None = None
        self._telnet, self._splitter = Telnet(), Splitter()
        self._said: deque[bytes] = deque()
        self._talking: asyncio.Task[None] | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._missed = 0
        self._ended = self._slowed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A guest comes."""
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)
        prepare(self._transport)
        self._transport.set_write_buffer_limits(BACKLOG // 2)
        try:
            self._guest = self._lobby.enter(self._tell)
        except UsageError as error:
            self._notice(str(error))
            self.close()
            return
        self._notice(f"you are {self._guest.name}, a guest of {self._lobby.name}; {HELP}")

    def connection_lost(self, _: Exception | None) -> None:
        """It is gone."""
        self._connections.discard(self)
        if self._pause is not None:
            self._pause.cancel()
        self._leave()

    def data_received(self, data: bytes) -> None:
        """It says something."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        self._take(self._splitter.feed(self._telnet.feed(data)))
        if self._splitter.waits:
            self._pause = asyncio.get_running_loop().call_later(PAUSE, self._paused)

    def _paused(self) -> None:
        self._pause = None
        self._take(self._splitter.rest())

    def eof_received(self) -> bool:
        """It will say nothing more: what it said is still sent."""
        self._take(self._splitter.rest())
        self._end()
        return True

    def resume_writing(self) -> None:
        """It reads again."""
        self._tell_missed()

    def _take(self, lines: list[bytes | None]) -> None:
        for line in lines:
            if line is None:
                self._notice(f"that line is longer than {LONGEST // 1024} KiB and was not sent")
            elif text := line.strip(b"\r\0"):
                self._said.append(text)
        if self._said and self._talking is None and not self._transport.is_closing():
            self._talking = asyncio.get_running_loop().create_task(self._talk())
        if len(self._said) >= WAITING:
            self._transport.pause_reading()

    async def _talk(self) -> None:
        """Send what it said, no faster than a guest may."""
        try:
            while self._said and self._guest is not None:
                line = self._said.popleft()
                await self._say(self._guest, line.decode("utf-8", "replace"))
                if delay := self._lobby.delay(self._guest, len(line)):
                    if not self._slowed:
                        self._notice("you send more than 10 lines a second, so they are sent slowly")
                    self._slowed = True
                    self._transport.pause_reading()
                    await asyncio.sleep(delay)
                elif not self._said:
                    self._slowed = False
        finally:
            self._talking = None
        if self._ended:
            self.close()
        else:
            self._transport.resume_reading()

    async def _say(self, guest: Guest, text: str) -> None:
        if text.startswith("/") and not text.startswith("//"):
            self._command(guest, text)
            return
        try:
            await self._lobby.say(guest, text.removeprefix("/") if text.startswith("//") else text)
        except McastError as error:
            self._notice(f"not sent: {error}")

    def _command(self, guest: Guest, text: str) -> None:
        word, _, rest = text.partition(" ")
        if word == "/quit":
            self._said.clear()
            self._end()
        elif word == "/who":
            self._notice("here are: " + ", ".join(self._lobby.who()))
        elif word == "/nick":
            try:
                self._lobby.rename(guest, rest.strip())
            except UsageError as error:
                self._notice(str(error))
            else:
                self._notice(f"you are {guest.name} now")
        else:
            self._notice(HELP if word == "/help" else f"{word} is not a command: {HELP}")

    def _end(self) -> None:
        """Close, once what it said is sent."""
        self._ended = True
        if self._talking is None:
            self.close()
        else:
            asyncio.get_running_loop().call_later(SAYING, self.close)

    def _leave(self) -> None:
        if self._guest is not None:
            self._lobby.leave(self._guest)

    def _tell(self, line: Line) -> None:
        if line.guest is None or line.guest is not self._guest:
            self._write(f"{line.sender}: {line.text}" if line.sender else f"* {line.text}")

    def _notice(self, text: str) -> None:
        self._write(f"* {text}")

    def _write(self, text: str) -> None:
        if self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() + len(self._out) > BACKLOG:
            self._missed += 1
            return
        self._tell_missed()
        self._out += _rendered(text, self._splitter.newline)
        self._writing.soon(self)

    def write_out(self) -> None:
        """Write what has gathered."""
        self._transport.write(bytes(self._out))
        self._out.clear()

    def close(self) -> None:
        """Hang up, once all is written."""
        self.write_out()
        self._transport.close()

    def _tell_missed(self) -> None:
        if self._missed and not self._transport.is_closing():
            missed, self._missed = self._missed, 0
            self._write(f"* you read too slowly: {missed} lines were left out here")


class Lines:
    """Listens for guests who send lines, while it is entered.

    listen: `HOST:PORT`. Entering raises UsageError for a wrong one, PortTaken, or McastError.
    """

    def __init__(self, lobby: Lobby, listen: str = DEFAULT) -> None:
        self._lobby, self._listen = lobby, parse_listen(listen, 3000)
        self._connections: set[Connection] = set()
        self._writing = Writing()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await serve(
            lambda: Connection(self._lobby, self._connections, self._writing), self._listen
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection._notice("the gateway closes")
            connection.close()

    @property
    def addresses(self) -> list[str]:
        """Where it listens, each as HOST:PORT."""
        return addresses(self._server)


class Echo:
    """Sends back what it gets, byte for byte: the echo server of textbooks. Entered like Lines."""

    def __init__(self, listen: str = DEFAULT) -> None:
        self._listen = parse_listen(listen, 3000)
        self._connections: set[_Echoing] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await serve(lambda: _Echoing(self._connections), self._listen)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.transport.close()

    @property
    def addresses(self) -> list[str]:
        """Where it listens, each as HOST:PORT."""
        return addresses(self._server)


class _Echoing(asyncio.Protocol):
    """One client of the echo server. While it does not read, nothing more is read from it."""

    def __init__(self, connections: set[_Echoing]) -> None:
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client comes. Beyond the limit it is turned away."""
        self.transport = cast(asyncio.Transport, transport)
        prepare(self.transport)
        if len(self._connections) >= ECHOING:
            transport.close()
        self._connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        """It is gone."""
        self._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Send it back."""
        self.transport.write(data)

    def pause_writing(self) -> None:
        """It does not read."""
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        self.transport.resume_reading()


ECHOING = 2000  # clients at a time


async def serve(factory: Callable[[], asyncio.Protocol], listen: tuple[str, int]) -> asyncio.Server:
    """A TCP server. PortTaken or UsageError if there can be none."""
    host, port = listen
    try:
        return await asyncio.get_running_loop().create_server(factory, host, port, backlog=512)
    except socket.gaierror:
        raise UsageError(f"{host!r} is no address of this computer", "see: mcast interfaces") from None
    except OSError as error:
        raise refused(host, port, error) from None


def refused(host: str, port: int, error: OSError) -> McastError:
    """Why one cannot listen there."""
    if error.errno == errno.EADDRINUSE:
        return PortTaken(
            f"TCP port {port} is taken by another program", "choose another one with --listen HOST:PORT"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return UsageError(f"{host!r} is no address of this computer", "see: mcast interfaces")
    if error.errno in (errno.EACCES, errno.EPERM):
        return McastError(f"port {port} needs more rights", "choose one from 1024 on")
    return McastError(f"cannot listen on {host}:{port}: {error.strerror}", "choose another address")


def addresses(server: asyncio.Server | None) -> list[str]:
    """Where a server listens."""
    sockets = server.sockets if server is not None else ()
    names = [one.getsockname() for one in sockets]
    return [f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}" for name in names]


def prepare(transport: asyncio.Transport) -> None:
    """Notice within two minutes that the other side has vanished, and keep little for one that is slow."""
    end = transport.get_extra_info("socket")
    with contextlib.suppress(OSError, AttributeError):  # not every system has all of these
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
