"""What --stats and ping count, beside what the kernel counts."""

from __future__ import annotations

import re
from typing import Any

from tests import lab
from tests.lan.programs import ping_echo

COUNTER = re.compile(r"counter packets (\d+) bytes (\d+)")
HEADERS = 28
"""Bytes of IPv4 and UDP, which the kernel counts too."""


def counting(host: lab.Host, hook: str) -> None:
    """Count what passes a hook over a cable at the port of the group."""
    rule = 'iifname "eth0" fib saddr type != local' if hook == "input" else 'oifname "eth0"'
    host.firewall(f"{rule} udp dport 28003 counter", hook=hook)


def counted(host: lab.Host) -> list[tuple[int, int]]:
    """Packets and bytes of each counter."""
    listed = host.run(["nft", "list", "ruleset"])
    assert listed.returncode == 0
    return [(int(packets), int(size)) for packets, size in COUNTER.findall(listed.stdout)]


def test_the_counters_are_those_of_the_kernel(lan: lab.MakeLan) -> None:
    """Offload is off: a datagram is a packet. Each side is counted before anything is sent."""
    h1, h2 = lan(2, ipv6=False).hosts
    for host in (h1, h2):
        host.offload(False)
    counting(h1, "output")
    counting(h2, "input")
    chat = h1.mcast("chat", "--json", "--stats", "300ms")
    chat.wait_for("chatting in", stream="stderr")
    listener = h2.mcast("listen", "--json", "--stats", "300ms")
    listener.wait_for("listening to", stream="stderr")
    for number in range(50):
        chat.write(f"{number}\n")
    listener.wait_for('"text":"49"')

    def agree() -> bool:
        """The counters of a moment: what goes on meanwhile is in the next line."""
        (out,) = counted(h1)
        (into,) = counted(h2)
        sent, received = latest(chat), latest(listener)
        return (sent["interfaces"]["eth0"]["sent"], sent["interfaces"]["eth0"]["sent_bytes"]) == (
            out[0],
            out[1] - HEADERS * out[0],
        ) and (
            received["interfaces"]["eth0"]["received"],
            received["interfaces"]["eth0"]["received_bytes"],
        ) == (into[0], into[1] - HEADERS * into[0])

    lab.until(agree)
    assert latest(listener)["interfaces"]["eth0"]["sent"] > 0
    assert 0 < latest(chat)["frames"]["record"] <= 50, "a record holds one message or several"


def latest(process: lab.Process) -> dict[str, Any]:
    """The counters that were printed last."""
    return next(
        (one for one in reversed(process.objects()) if one["type"] == "stats"),
        {
            "interfaces": {"eth0": dict.fromkeys(("sent", "sent_bytes", "received", "received_bytes"), 0)},
        },
    )


def test_a_line_of_counters(lan: lab.MakeLan) -> None:
    h1, _ = lan(2, ipv6=False).hosts
    line = re.compile(
        r"mcast: 230\.0\.0\.1:28003: eth0 sent \d+ \(.*B\), received \d+ \(.*B\); "
        r"repaired 0, dropped \d+; \d+ peers?"
    )
    h1.mcast("announce", "--stats", "200ms").wait_for(line, stream="stderr")
    refused = h1.mcast("listen", "--plain", "--stats", "1s")
    assert refused.wait() == 2
    assert "--stats cannot be used with --plain" in refused.stderr


def test_ping_counts_what_the_kernel_counts(lan: lab.MakeLan) -> None:
    """At 20 % loss in each direction: what is missing is lost on the way, not in ping."""
    h1, h2 = lan(2, ipv6=False).hosts
    h2.mcast("chat", "--name", "bob").wait_for("chatting in", stream="stderr")
    told, kernel = ping_echo.counts(h1, h2)
    assert told == kernel
    assert told[0] == 3 * 50 or told[0] == 2 * 50, "without a token nobody answers to the group"
    assert 0 < told[1] < told[0]
