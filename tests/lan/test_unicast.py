"""Meeting where multicast is dead, and who has the group's port on a host."""

from __future__ import annotations

import time
from typing import Any

from tests import lab


def deafen(made: lab.Lan, *hosts: lab.Host) -> None:
    """The switch drops multicast to these hosts."""
    for host in hosts:
        made.switch.port(host, mcast_flood=False)


def chat(host: lab.Host, name: str, *options: str) -> lab.Process:
    process = host.mcast("chat", "--json", "-n", name, "-4", *options)
    process.wait_for("230.0.0.1", stream="stderr")
    return process


def heard(process: lab.Process) -> list[Any]:
    """The texts that arrived, each with its author."""
    return [(one["from"]["name"], one["text"]) for one in process.objects() if one["type"] == "message"]


def test_two_chats_meet_although_one_side_alone_names_the_other(lan: lab.MakeLan) -> None:
    made = lan(3, ipv6=False)
    h1, h2, h3 = made.hosts
    deafen(made, h1, h2, h3)
    ada, eve = chat(h1, "ada"), chat(h3, "eve")
    bob = chat(h2, "bob", "--peer", "10.9.0.1")
    bob.write("hello ada\n")
    lab.until(lambda: heard(ada) == [("bob", "hello ada")])
    ada.write("hello bob\n")
    lab.until(lambda: heard(bob) == [("ada", "hello bob")])
    bob.interrupt()
    lab.until(lambda: any(one["type"] == "leave" for one in ada.objects()))
    assert heard(eve) == []
    assert not [one for one in eve.objects() if one["type"] == "join"]


def test_everyone_on_a_host_is_found_by_its_address(lan: lab.MakeLan) -> None:
    made = lan(2, ipv6=False)
    h1, h2 = made.hosts
    deafen(made, h2)
    first, second = chat(h1, "first"), chat(h1, "second")
    lab.until(lambda: "second" in first.stdout)
    bob = chat(h2, "bob", "--peer", "10.9.0.1")
    bob.write("to both\n")
    lab.until(lambda: heard(first) == heard(second) == [("bob", "to both")])
    second.write("from second\n")
    lab.until(lambda: heard(bob) == [("second", "from second")])
    first.close()
    time.sleep(0.1)
    third = chat(h1, "third")
    lab.until(lambda: "third" in bob.stdout, timeout=20.0)
    third.write("from third\n")
    lab.until(lambda: heard(bob)[-1:] == [("third", "from third")])
