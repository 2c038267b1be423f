"""A plain-socket peer on a host, for tests of the network itself and as a stranger to mcast."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.lab.host import Host
from tests.lab.process import WAIT_SECONDS, LabTimeout

PORT = 5009

_PROGRAM = """
    import errno, json, socket, struct, sys, threading, time

    port = int(sys.argv[1])
    received, lock = [], threading.Lock()

    def listen(family):
        s = socket.socket(family, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind(("", port))
        threading.Thread(target=read, args=[s], daemon=True).start()
        return s

    def read(s):
        while True:
            data, source = s.recvfrom(65536)
            with lock:
                received.append((data.decode("latin-1"), source[0]))

    sockets = {False: listen(socket.AF_INET), True: listen(socket.AF_INET6)}

    def join(group, interface):
        index = socket.if_nametoindex(interface) if interface else 0
        if ":" in group:
            request = socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", index)
            sockets[True].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
        else:
            request = struct.pack("@4s4si", socket.inet_aton(group), b"", index)
            sockets[False].setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)

    def send(where, text, count, interface, to):
        index = socket.if_nametoindex(interface) if interface else 0
        s = sockets[":" in where]
        if ":" in where:
            target = (where, to, 0, index)
        else:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("@4s4si", b"", b"", index))
            target = (where, to)
        data = text.encode("latin-1")
        for number in range(count):
            s.sendto(data, target)
            if number % 50 == 49:
                time.sleep(0.001)

    def count():
        return len(received)

    def take():
        with lock:
            taken = received[:]
            received.clear()
        return taken

    def settle():
        token = "settled " + str(time.monotonic())
        sent = sum(sent_to_self(where, token) for where in ("127.0.0.1", "::1"))
        deadline = time.monotonic() + 5
        while sum(text == token for text, _ in received) < sent and time.monotonic() < deadline:
            time.sleep(0.002)
        with lock:
            received[:] = [entry for entry in received if entry[0] != token]

    def sent_to_self(where, text):
        try:
            return bool(sockets[":" in where].sendto(text.encode(), (where, port)))
        except OSError:
            return False

    print("ready", flush=True)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            reply = {"result": globals()[name](*arguments)}
        except OSError as error:
            reply = {"error": errno.errorcode.get(error.errno, str(error))}
        print(json.dumps(reply), flush=True)
"""


class Refused(Exception):
    """The kernel refused a socket call; the text is the name of the errno."""


class Peer:
    """Sends, joins and counts on one port, IPv4 and IPv6, with sockets that know nothing of mcast.

    Multicast goes out on, and is joined on, the interface named; "" leaves the choice to the kernel.
    """

    def __init__(self, host: Host, port: int = PORT) -> None:
        self.port = port
        self.process = host.python(_PROGRAM, str(port))
        self.process.wait_for("ready", stream="stdout")
        self._asked = 1

    def join(self, group: str, interface: str = "eth0") -> None:
        """Join a group."""
        self._ask("join", group, interface)

    def send(
        self, where: str, text: str = "hello", *, count: int = 1, interface: str = "eth0", port: int = 0
    ) -> None:
        """Send `count` datagrams, at most 50 a millisecond; characters of `text` above U+00FF are refused."""
        self._ask("send", where, text, count, interface, port or self.port)

    def count(self) -> int:
        """Datagrams received so far and not taken."""
        return int(self._ask("count"))

    def take(self) -> list[tuple[str, str]]:
        """(text, source address) of the datagrams received so far; they are counted no more."""
        return [(text, source) for text, source in self._ask("take")]

    def settle(self) -> None:
        """Wait until all that has reached the host's sockets is counted, by a datagram to itself."""
        self._ask("settle")

    def wait_count(self, wanted: int, timeout: float = WAIT_SECONDS) -> int:
        """Wait until at least so many have come; how many have."""
        deadline = time.monotonic() + timeout
        while (count := self.count()) < wanted:
            if time.monotonic() > deadline:
                raise LabTimeout(f"{count} of {wanted} datagrams came within {timeout} s")
            time.sleep(0.01)
        return count

    def _ask(self, *request: str | int) -> Any:
        self.process.write(json.dumps(request) + "\n")
        self._asked += 1
        reply = json.loads(self.process.wait_lines(self._asked)[self._asked - 1])
        if "error" in reply:
            raise Refused(reply["error"])
        return reply["result"]
