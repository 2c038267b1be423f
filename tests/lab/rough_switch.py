"""A switch in user space that loses, doubles and delays frames, and keeps hosts apart.

It takes the place of the switches of a lab: every frame passes through a program, this file. Frames that wait
for different times overtake each other.
"""

from __future__ import annotations

import heapq
import itertools
import json
import random
import select
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass

from tests.lab.host import Host
from tests.lab.lan import Lan
from tests.lab.namespaces import environment
from tests.lab.process import Process
from tests.lab.programs import REPOSITORY

# Of linux/if_ether.h and linux/if_packet.h; the socket module has them from Python 3.12 on.
_ALL_PROTOCOLS, _PACKET, _IGNORE_OUTGOING = 0x0003, 263, 23
_BUFFER = 1 << 22
# Frames of one host that are read before the next host has its turn.
_TURN = 64


@dataclass(frozen=True)
class Cable:
    """What happens to the frames that a host should get. Only hosts of one island hear each other.

    Shares are from 0 to 1. Each frame waits for a time of its own, `delay` seconds at most.
    """

    loss: float = 0.0
    duplicates: float = 0.0
    delay: float = 0.0
    island: int = 0


class RoughSwitch:
    """Replaces the switches of a lab; all cables of its hosts lead here, and are good at first.

    A cable that is added later is not part of it.
    """

    def __init__(self, lan: Lan) -> None:
        ports = [link.port for host in lan.hosts for link in host.links.values()]
        lan.ip(*(f"link set {port} nomaster" for port in ports))
        for host in lan.hosts:
            for name in host.links:
                # A frame must fit the cable, and its checksum must be there, when a program sends it on.
                host.offload(False, name)
                host.run(["ethtool", "-K", name, "tx", "off"], check=True)
        argv = [sys.executable, "-u", "-m", "tests.lab.rough_switch", *ports]
        env = {**environment(), "PYTHONPATH": str(REPOSITORY)}
        self._process = Process(lan.namespaces, None, argv, env, str(REPOSITORY))
        lan.running.append(self._process)
        self._process.wait_for("ready\n", stream="stdout")
        self._asked = 1
        self._cables = dict.fromkeys(ports, Cable())

    def cable(self, host: Host, interface: str = "eth0") -> Cable:
        """What the cable of a host is like."""
        return self._cables[host.links[interface].port]

    def set(self, host: Host, cable: Cable, interface: str = "eth0") -> None:
        """Make the cable of a host good or bad, from now on."""
        port = host.links[interface].port
        self._cables[port] = cable
        self._process.write(json.dumps([port, vars(cable)]) + "\n")
        self._asked += 1
        self._process.wait_lines(self._asked)


class _Port:
    def __init__(self, name: str) -> None:
        self.cable = Cable()
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(_PACKET, _IGNORE_OUTGOING, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self.socket.setblocking(False)
        self.socket.bind((name, _ALL_PROTOCOLS))

    def frames(self) -> list[bytes]:
        """What has come since; nothing of a cable that is unplugged."""
        found: list[bytes] = []
        with suppress(OSError):
            while len(found) < _TURN:
                found.append(self.socket.recv(65536))
        return found

    def send(self, frame: bytes) -> None:
        """Send it at once; a cable that is unplugged or full loses it."""
        with suppress(OSError):
            self.socket.send(frame)


class _Forwarding:
    def __init__(self, names: list[str]) -> None:
        self.ports = {name: _Port(name) for name in names}
        self._learned: dict[bytes, _Port] = {}
        self._waiting: list[tuple[float, int, _Port, bytes]] = []
        self._numbers = itertools.count()

    def forward(self, source: _Port, frame: bytes) -> None:
        to, sender = frame[:6], frame[6:12]
        self._learned[sender] = source
        known = self._learned.get(to)
        for port in [known] if known else self.ports.values():
            if port is not source and port.cable.island == source.cable.island:
                self._deliver(port, frame)

    def _deliver(self, port: _Port, frame: bytes) -> None:
        cable = port.cable
        for _ in range(2 if random.random() < cable.duplicates else 1):
            if random.random() < cable.loss:
                continue
            if cable.delay:
                when = time.monotonic() + random.uniform(0.0, cable.delay)
                heapq.heappush(self._waiting, (when, next(self._numbers), port, frame))
            else:
                port.send(frame)

    def deliver_due(self) -> float | None:
        """Deliver what has waited long enough; seconds until there is more, None if nothing waits."""
        while self._waiting:
            left = self._waiting[0][0] - time.monotonic()
            if left > 0:
                return left
            _, _, port, frame = heapq.heappop(self._waiting)
            port.send(frame)
        return None

    def run(self) -> None:
        """Forward until standard input ends; each of its lines changes a cable."""
        of_socket = {port.socket: port for port in self.ports.values()}
        readable: list[socket.socket | int] = [*of_socket, 0]
        while True:
            ready = select.select(readable, [], [], self.deliver_due())[0]
            for one in ready:
                if isinstance(one, socket.socket):
                    for frame in of_socket[one].frames():
                        self.forward(of_socket[one], frame)
                elif not self._change():
                    return

    def _change(self) -> bool:
        line = sys.stdin.readline()
        if line:
            name, cable = json.loads(line)
            self.ports[name].cable = Cable(**cable)
            print("done")
        return bool(line)


if __name__ == "__main__":
    forwarding = _Forwarding(sys.argv[1:])
    print("ready")
    forwarding.run()
