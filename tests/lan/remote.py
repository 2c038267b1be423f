"""A Python program on a host that does what a test tells it: sockets under the test's control."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.lab import Host, LabTimeout
from tests.lab.process import WAIT_SECONDS

GROUP, GROUP6, SITE6 = "239.9.9.9:3000", "[ff12::9:9]:3000", "[ff05::9:9]:3000"

_PROGRAM = """
    import errno, json, os, socket, struct, sys, time
    from mcast import errors, interfaces, multicast
    from mcast.net import links
    from mcast.net import socket_options as sockopt
    from mcast.multicast import Receiver, Sender

    def group(text):
        return multicast.parse_group(text, default_port=3000)

    def index(name="eth0"):
        return socket.if_nametoindex(name)

    def address(name="eth0", version=4):
        return next(link for link in interfaces.read() if link.name == name).address(version)

    def sender(name="eth0", version=4, **options):
        return Sender(index(name), address(name, version), **options)

    def receiver(text, *names, sources=(), **options):
        made = Receiver(group(text), **options)
        made.join_all(map(index, names), sources)
        return made

    def texts(datagrams):
        return [datagram.data.decode("latin-1") for datagram in datagrams]

    def plainly(value):
        return value.decode("latin-1") if isinstance(value, bytes) else repr(value)

    print("ready", flush=True)
    for line in sys.stdin:
        code = json.loads(line)
        try:
            try:
                reply = {"value": eval(compile(code, "test", "eval"), globals())}
            except SyntaxError:
                exec(compile(code, "test", "exec"), globals())
                reply = {"value": None}
        except Exception as error:
            number = getattr(error, "errno", None)
            reply = {"error": type(error).__name__, "text": str(error), "errno": number}
        print(json.dumps(reply, default=plainly), flush=True)
"""


class RemoteError(Exception):
    """The host's program raised `name`; `number` is its errno, if any."""

    def __init__(self, name: str, text: str, number: int | None) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text
        self.number = number


class Remote:
    """Runs statements and evaluates expressions on a host; bytes come back as latin-1 text.

    There are `receiver(group, *interfaces)`, `sender(interface, version)`, `group`, `index`, `address`,
    `texts` and mcast's modules.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self.process = host.python(_PROGRAM)
        self.process.wait_for("ready", stream="stdout")
        self._asked = 1

    def __call__(self, code: str) -> Any:
        """The value of an expression, None for a statement. RemoteError for what it raises."""
        self.process.write(json.dumps(code) + "\n")
        self._asked += 1
        reply = json.loads(self.process.wait_lines(self._asked)[self._asked - 1])
        if "error" in reply:
            raise RemoteError(reply["error"], reply["text"], reply["errno"])
        return reply["value"]

    def until(self, code: str, wanted: Any = True, timeout: float = WAIT_SECONDS) -> None:
        """Evaluate again and again until the value is the wanted one."""
        deadline = time.monotonic() + timeout
        while (value := self(code)) != wanted:
            if time.monotonic() > deadline:
                raise LabTimeout(f"{code} is {value!r}, not {wanted!r}, after {timeout} s")
            time.sleep(0.01)

    def heard(self, receiver: str = "r", timeout: float = 0.5) -> list[str]:
        """The text of the next datagram of a receiver, in a list; [] if none comes in time."""
        datagram = self(f"{receiver}.receive({timeout})")
        return [datagram[0]] if datagram else []
