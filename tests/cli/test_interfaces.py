"""`mcast interfaces`: what there is, and what mcast makes of it."""

from __future__ import annotations

import re

import pytest

from tests import lab


def test_a_table(here: lab.Host) -> None:
    process = here.mcast("interfaces")
    assert (process.wait(), process.stderr) == (0, "")
    head, *rows = process.lines()
    assert head.split() == ["name", "index", "use", "why", "MTU", "flags", "addresses"]
    start = head.index("addresses")
    assert {row.split()[0]: row[start:] for row in rows} == {
        "lo": "127.0.0.1 ::1",
        "eth0": f"{here.address()} {here.link_local()}",
    }


def test_on_a_narrow_terminal_every_address_is_whole(here: lab.Host) -> None:
    wide, narrow = (
        here.mcast_terminal("interfaces", columns=120),
        here.mcast_terminal("interfaces", columns=80),
    )
    assert [wide.wait(), narrow.wait()] == [0, 0]
    assert f"{here.address()} {here.link_local()}" in "\n".join(wide.screen())
    lines = narrow.screen()
    row = next(number for number, line in enumerate(lines) if line.startswith("eth0"))
    column = lines[0].index("addresses")
    assert [line[column:] for line in lines[row : row + 2]] == [here.address(), here.link_local()]


def test_as_json_and_of_one_family(here: lab.Host) -> None:
    process = here.mcast("interfaces", "--json", "-4")
    assert process.wait() == 0
    found = {event["interface"]: event for event in process.objects()}
    assert found["eth0"]["used"] is True
    assert found["eth0"]["versions"] == [4]
    assert found["eth0"]["reason"] == "default route"
    assert found["eth0"]["ipv6"] == [here.link_local()]
    assert (found["lo"]["used"], found["lo"]["reason"]) == (False, "loopback")


@pytest.mark.parametrize(("which", "code"), [("eth0", 3), ("lo", 0)])
def test_the_exit_code_says_whether_there_is_one(here: lab.Host, which: str, code: int) -> None:
    here.down()
    try:
        process = here.mcast("interfaces", "-i", which)
        assert process.wait() == code
        assert "down" in process.stdout
    finally:
        here.up()


def test_a_watch_shows_what_changes(here: lab.Host) -> None:
    process = here.mcast("interfaces", "--watch", "--json")
    process.wait_for('"interface":"eth0"', timeout=60)
    here.unplug()
    try:
        process.wait_for(re.compile('"interface":"eth0".*"reason":"down"'), timeout=60)
    finally:
        here.plug()
    assert process.interrupt() == 0
    names = [one["interface"] for one in process.objects()]
    assert names.count("eth0") > 1
