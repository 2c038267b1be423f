"""Make every fault on a LAN, let `mcast doctor` name it, and print faults against diagnoses.

`python -m tests.lan.programs.doctor_matrix [FAULT…]` runs all of them, or these, one LAN each. The expected
causes stand beside each fault; a fault is named rightly if the first diagnosis is one of them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from tests import lab

HERE, THERE = "10.9.0.1", "10.9.0.2"
GROUP = "230.0.0.1"
MULTICAST = "ip daddr 224.0.0.0/4 drop"


class Case(NamedTuple):
    """A fault: what it expects of whom, and how it is made on the LAN before anybody runs.

    `who` runs the doctor, `alone` without a peer. `after` is done once the chats run.
    """

    expected: tuple[str, ...]
    make: Callable[[lab.Lan], None] | None = None
    who: int = 0
    alone: bool = False
    after: Callable[[lab.Lan], None] | None = None
    chat: tuple[str, ...] = ("chat", "--name", "bob")
    options: tuple[str, ...] = ()
    querier: bool = False
    hosts: int = 2


def isolate(lan: lab.Lan) -> None:
    """An access point that keeps its clients apart."""
    for host in lan.hosts[:2]:
        lan.switch.port(host, isolated=True)


def forget(lan: lab.Lan) -> None:
    """A querier asked once and is gone: the switch forgets its members, here after 15 s and not after 260."""
    lan.switch.configure(mcast_membership_interval=1500, mcast_querier_interval=100_000_000)
    lan.hosts[2].query()
    for known in (True, False):
        deadline = time.monotonic() + 45
        while (lan.hosts[1].name in lan.switch.members(GROUP)) != known and time.monotonic() < deadline:
            time.sleep(0.2)


def small_buffer(lan: lab.Lan) -> None:
    """A program with a small buffer loses what another one sends."""
    program = """
        import socket, time
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.bind(("127.0.0.1", 0))
        t = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for _ in range(500):
            t.sendto(bytes(1000), s.getsockname())
    """
    lan.hosts[0].python(program).wait(120)


def foreign_address(lan: lab.Lan) -> None:
    """h2 has an address to which h1, which is strict, knows no way by its interface."""
    lan.hosts[1].ip("addr flush dev eth0", "addr add 192.168.55.1/32 dev eth0", "route add default dev eth0")
    lan.hosts[0].ip("route del default")
    lan.hosts[0].sysctl("net.ipv4.conf.all.rp_filter", 1)
    lan.hosts[0].sysctl("net.ipv4.conf.eth0.rp_filter", 1)


def vpn(lan: lab.Lan) -> None:
    """A VPN has the better default route."""
    lan.hosts[0].ip(
        "link add wg0 type veth peer name wg1",
        "addr add 10.8.0.1/24 dev wg0",
        "link set wg0 up",
        "link set wg1 up",
        "route del default",
        "route add default dev wg0 metric 50",
    )


def no_route(lan: lab.Lan) -> None:
    lan.hosts[0].ip("route del default")


def prohibit(lan: lab.Lan) -> None:
    lan.hosts[0].ip("route add prohibit 224.0.0.0/4")


def narrow(lan: lab.Lan) -> None:
    lan.hosts[1].mtu(1400)


def hold(lan: lab.Lan) -> None:
    """A program has the port for itself."""
    program = """
        import socket, time
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(("", 28003))
        print("bound", flush=True)
        time.sleep(60)
    """
    lan.hosts[0].python(program).wait_for("bound", timeout=120)


def on(number: int, *rules: str, **options: str) -> Callable[[lab.Lan], None]:
    """Firewall rules on a host."""

    def make(lan: lab.Lan) -> None:
        lan.hosts[number].firewall(*rules, **options)

    return make


CASES: dict[str, Case] = {
    "healthy": Case(("none",)),
    "healthy, with a querier": Case(("none",), querier=True),
    "querier vanished": Case(("no-querier",), after=forget, hosts=3),
    "peer blocks outgoing IGMP": Case(
        ("igmp-blocked",), on(1, "ip protocol igmp drop", hook="output"), querier=True, hosts=3
    ),
    "switch drops multicast": Case(
        ("switch-drops-multicast",), lambda lan: lan.switch.port(lan.hosts[1], mcast_flood=False)
    ),
    "switch drops multicast to us": Case(
        ("switch-drops-multicast",), lambda lan: lan.switch.port(lan.hosts[0], mcast_flood=False)
    ),
    "client isolation": Case(("client-isolation",), isolate),
    "the peer's firewall": Case(("receiver-firewall",), on(1, policy="drop")),
    "our own firewall": Case(("receiver-firewall",), on(0, policy="drop")),
    "our own firewall, alone": Case(("receiver-firewall",), on(0, policy="drop"), alone=True),
    "a stateful firewall here": Case(
        ("replies-dropped",), on(0, "ct state established,related accept", policy="drop")
    ),
    "the sender's firewall here": Case(("sender-firewall",), on(0, MULTICAST, hook="output")),
    "the sender's firewall here, alone": Case(
        ("sender-firewall",), on(0, MULTICAST, hook="output"), alone=True
    ),
    "the sender's firewall there": Case(("sender-firewall",), on(1, MULTICAST, hook="output")),
    "reverse path filter": Case(("rp-filter",), foreign_address, alone=True),
    "small MTU there": Case(("mtu",), narrow),
    "small MTU, at the host itself, alone": Case(("mtu",), narrow, who=1, alone=True),
    "no route": Case(("no-route",), no_route, alone=True),
    "prohibited route": Case(("no-route",), prohibit, alone=True),
    "wrong interface (VPN)": Case(("wrong-interface",), vpn, alone=True),
    "receive buffer too small": Case(("receive-buffer",), small_buffer),
    "a router between": Case(("ttl",), options=("--with", "10.77.0.2")),
    "unplugged": Case(("link-down",), lambda lan: lan.hosts[0].unplug(), alone=True),
    "the port is taken": Case(("port-taken",), hold, alone=True),
    "another room": Case(("other-room",), chat=("chat", "--name", "bob", "--room", "kitchen")),
    "sender's firewall and small MTU": Case(
        ("sender-firewall", "mtu"), on(0, MULTICAST, hook="output"), after=narrow
    ),
    "switch drops multicast and small MTU": Case(
        ("switch-drops-multicast", "mtu"),
        lambda lan: lan.switch.port(lan.hosts[1], mcast_flood=False),
        after=narrow,
    ),
}


def run(name: str) -> tuple[list[str], str, float]:
    """The causes that were named, the whole output, and the seconds that it took."""
    case = CASES[name]
    with lab.Lan(case.hosts, querier=case.querier, offload=False) as lan:
        if case.make is not None:
            case.make(lan)
        chatting = lan.hosts[1 - case.who]
        for host in (chatting, *lan.hosts[2:]):
            host.mcast(*case.chat).wait_for("chatting in", stream="stderr", timeout=120)
        if case.after is not None:
            case.after(lan)
        address = THERE if case.who == 0 else HERE
        with_peer = () if case.alone else case.options or ("--with", address)
        started = time.monotonic()
        process = lan.hosts[case.who].mcast("doctor", "--json", *with_peer)
        process.wait(240)
        took = time.monotonic() - started
        found = [one["cause"] for one in process.objects() if one["type"] == "diagnosis"]
        return found, process.stdout + process.stderr, took


def is_right(name: str, found: list[str]) -> bool:
    """Whether the first diagnosis is one that the fault expects."""
    return bool(found) and found[0] in CASES[name].expected


def table(results: dict[str, list[str]]) -> Iterator[str]:
    """Markdown: a row for each fault, its diagnoses, and whether the first one is right."""
    yield "| fault | diagnoses, the first one first | named |"
    yield "|---|---|---|"
    for name, found in results.items():
        named = ", ".join(f"`{one}`" for one in found) or "none at all"
        yield f"| {name} | {named} | {'yes' if is_right(name, found) else 'NO'} |"


def main(names: list[str]) -> int:
    """Run the cases, print the table; 1 if less than 95 % are right or a fault is called fine."""
    wanted = names or list(CASES)
    results: dict[str, list[str]] = {}
    with ThreadPoolExecutor(2) as pool:
        for name, (found, output, took) in zip(wanted, pool.map(run, wanted), strict=True):
            results[name] = found
            verdict = "ok" if is_right(name, found) else f"WRONG, {output}"
            print(f"{name}: {found} ({took:.1f} s) {verdict}", file=sys.stderr, flush=True)
    print("\n".join(table(results)))
    right = sum(is_right(name, found) for name, found in results.items())
    fine = [name for name, found in results.items() if found == ["none"] and not is_right(name, found)]
    print(f"\n{right} of {len(results)} named rightly; called fine although they are not: {fine or 'none'}")
    return 0 if right >= 0.95 * len(results) and not fine else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
