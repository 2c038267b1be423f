"""Who is here: on ten hosts, and several programs of one user on one host."""

from __future__ import annotations

import time
from typing import Any

from tests import lab
from tests.lan.programs.remote import Member, members


def test_ten_hosts_all_know_all(lan: lab.MakeLan) -> None:
    made = members(lan(10).hosts)
    newcomer_host = made[0].host.lan.add_host()
    newcomer = Member(newcomer_host)
    newcomer.sees(*(member.host.name for member in made), timeout=30.0)
    for member in made:
        member.sees(*(other.host.name for other in (*made, newcomer) if other is not member), timeout=30.0)


def names(process: lab.Process, kind: str) -> list[tuple[str, str]]:
    """(name, id) of each event of one type."""
    return [_who(event["from"]) for event in process.objects() if event["type"] == kind]


def _who(whom: dict[str, Any]) -> tuple[str, str]:
    return whom["name"], whom["id"]


def test_programs_of_one_user_on_one_host_are_peers_of_their_own(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    chats = [h1.mcast("chat", "--json", "-n", name) for name in ("ada", "ada-too")]
    announce = h1.mcast("announce", "--json", "-n", "printer", "--service", "_ipp._tcp:631")
    other = h2.mcast("chat", "--json", "-n", "bob")
    listen = h1.mcast("listen", "--json", "--events")
    for process in (*chats, announce, other, listen):
        process.wait_for("230.0.0.1", stream="stderr")
    lab.until(lambda: {name for name, _ in names(chats[0], "join")} >= {"ada-too", "printer", "bob"})
    lab.until(lambda: {name for name, _ in names(chats[1], "join")} >= {"ada", "printer", "bob"})
    lab.until(lambda: {name for name, _ in names(other, "join")} >= {"ada", "ada-too", "printer"})
    lab.until(lambda: {name for name, _ in names(listen, "join")} >= {"ada", "ada-too", "printer", "bob"})
    chats[0].write("from ada\n")
    chats[1].write("from ada-too\n")
    wanted = {("from ada", "ada"), ("from ada-too", "ada-too")}

    def heard(process: lab.Process) -> list[tuple[str, str]]:
        return [
            (event["text"], event["from"]["name"])
            for event in process.objects()
            if event["type"] == "message"
        ]

    lab.until(lambda: set(heard(other)) == set(heard(listen)) == wanted)
    lab.until(lambda: heard(chats[0]) == [("from ada-too", "ada-too")])
    lab.until(lambda: heard(chats[1]) == [("from ada", "ada")])
    time.sleep(0.5)
    for process in (*chats, announce, other, listen):
        assert process.poll() is None
        assert "alarm" not in (process.stdout + process.stderr).lower()
        assert len(heard(process)) == len(set(heard(process)))
    ids = {event["from"]["id"] for event in other.objects() if event["type"] == "join"}
    assert len(ids) == 1, "one user"
    for process in (*chats, announce):
        process.interrupt()
    lab.until(lambda: {name for name, _ in names(other, "leave")} >= {"ada", "ada-too", "printer"})
