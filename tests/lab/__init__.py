"""A real LAN on one machine: hosts in Linux network namespaces, with real faults.

    with lab.Lan(hosts=3) as lan:
        h1, h2, h3 = lan.hosts
        h2.loss(30)
        with h2.mcast("listen", "--json") as listening:
            listening.wait_for("listening", stream="stderr")
            h1.mcast("send", "hello").wait()
            listening.wait_for("hello")

Works as root and as an ordinary user. Whatever ends the test program ends the lab.
"""

from __future__ import annotations

from tests.lab.faults import Firewall
from tests.lab.host import Host
from tests.lab.kernel import Traffic
from tests.lab.lan import Lan, MakeLan, Switch
from tests.lab.namespaces import LabError, LabUnavailable, missing
from tests.lab.peer import Peer, Refused
from tests.lab.probe import arrives, lost, snapshot, until
from tests.lab.process import LabTimeout, Process
from tests.lab.programs import REPOSITORY
from tests.lab.terminal import Terminal
from tests.lab.wiring import Link

__all__ = [
    "REPOSITORY",
    "Firewall",
    "Host",
    "LabError",
    "LabTimeout",
    "LabUnavailable",
    "Lan",
    "Link",
    "MakeLan",
    "Peer",
    "Process",
    "Refused",
    "Switch",
    "Terminal",
    "Traffic",
    "arrives",
    "lost",
    "missing",
    "snapshot",
    "until",
]
