"""`mcast doctor --with` names faults of a LAN. All of them: `python -m tests.lan.programs.doctor_matrix`."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests import lab
from tests.cli.test_schema import VALIDATOR
from tests.lan.programs.doctor_matrix import is_right, run

LONGEST, LONGEST_WITH = 10.0, 30.0
"""Seconds that doctor takes at most, by itself and with a peer; a busy machine may take twice as long."""
MOST = 200_000
"""Bytes that it sends at most."""

FAULTS = ("healthy", "switch drops multicast")


def test_it_names_the_fault_and_shows_every_way() -> None:
    if lacking := lab.missing():
        pytest.skip("a LAN in namespaces needs " + ", ".join(lacking))
    with ThreadPoolExecutor(len(FAULTS)) as pool:
        results = dict(zip(FAULTS, pool.map(run, FAULTS), strict=True))
    for name, (found, output, _) in results.items():
        assert is_right(name, found), (name, found, output)
        objects = [json.loads(line) for line in output.splitlines()]
        for one in objects:
            VALIDATOR.validate(one)
        ways = [one for one in objects if one["type"] == "way" and one["version"] == 4]
        assert len(ways) == 2 * 3 * 5, "each direction, in three sizes, by five ways"
        lost = {one["path"] for one in ways if not one["passed"] and one["direction"] == "to"}
        assert lost == (set() if name == "healthy" else {"group", "scoped", "local"})
        assert all(one["passed"] for one in ways if one["direction"] == "from")


def examined(host: lab.Host, *words: str, longest: float = LONGEST) -> list[Any]:
    """The JSON of a doctor, whose time and bytes are within the promise."""
    before, started = host.counters(), time.monotonic()
    process = host.mcast("doctor", "--json", *words)
    process.wait(60)
    assert time.monotonic() - started < 2 * longest
    assert host.counters().sent_bytes - before.sent_bytes < MOST
    for one in process.objects():
        VALIDATOR.validate(one)
    return process.objects()


def unheard(objects: list[Any]) -> set[tuple[str, str]]:
    """The pairs of a speaker and a hearer that does not hear it."""
    return {(one["speaker"], one["hearer"]) for one in objects if one["type"] == "hears" and not one["heard"]}


def test_of_several_peers_it_tells_who_hears_whom(lan: lab.MakeLan) -> None:
    made = lan(4, ipv6=False)
    here, *others = made.hosts
    names = ("ada", "bob", "eve")
    chats = [host.mcast("chat", "--name", name) for host, name in zip(others, names, strict=True)]
    for chat in chats:
        chat.wait_for("chatting in", stream="stderr")
    healthy = examined(here)
    assert next(one for one in healthy if one["type"] == "diagnosis")["cause"] == "none"
    assert len([one for one in healthy if one["type"] == "hears"]) == 4 * 3
    assert unheard(healthy) == set()
    made.switch.port(others[1], mcast_flood=False)
    firewall = others[2].firewall("ip daddr 224.0.0.0/4 drop", hook="output")
    broken = examined(here)
    firewall.remove()
    lost = {(speaker, "bob") for speaker in ("ada", "eve", "")} | {("eve", "ada"), ("eve", "")}
    assert unheard(broken) == lost
    texts = [one["text"] for one in broken if one["type"] == "check" and one["cause"] == "partly-heard"]
    assert texts == ["nobody hears eve in the group", "bob hears nobody in the group"]


def test_with_a_peer_it_measures_each_interface_that_leads_to_it(lan: lab.MakeLan) -> None:
    made = lan(2, ipv6=False)
    here, there = made.hosts
    other = made.add_switch()
    for host in (here, there):
        host.add_interface(other, "eth1")
    there.mcast("chat", "--name", "bob").wait_for("chatting in", stream="stderr")
    other.port(there, "eth1", mcast_flood=False)
    found = examined(here, "--with", "bob", longest=LONGEST_WITH)
    ways = [one for one in found if one["type"] == "way" and one["direction"] == "to"]
    passed = {name: [one["passed"] for one in ways if one["interface"] == name] for name in ("eth0", "eth1")}
    assert all(passed["eth0"])
    assert len(passed["eth0"]) == 3 * 5
    assert passed["eth1"] == []
    other.port(there, "eth1", mcast_flood=True)
    here.firewall('oifname "eth1" meta length > 1300 drop', hook="output")
    found = examined(here, "--with", "bob", longest=LONGEST_WITH)
    lost = {(one["interface"], one["size"]) for one in found if one["type"] == "way" and not one["passed"]}
    assert lost == {("eth1", 1450)}
