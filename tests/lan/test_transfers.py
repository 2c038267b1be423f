"""Bulk transfers between real hosts: whole at each, and few bytes more than one copy on the wire."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tests import lab

PROGRAM = [sys.executable, "-m", "tests.lan.programs.transfers"]
SIZE = 3_000_000
KEY = bytes(range(32)).hex()


def _get(host: lab.Host, name: str, key: str = "", *more: str) -> lab.Process:
    getting = host.spawn([*PROGRAM, "get", key, name, *more])
    getting.wait_lines(1, 30)
    return getting


def _told(process: lab.Process, line: int) -> Any:
    return json.loads(process.wait_lines(line, 90)[line - 1])


@pytest.mark.parametrize(("loss", "most"), [(0, 1.2), (20, 2.6)])
@pytest.mark.parametrize("key", ["", KEY], ids=["open", "keyed"])
def test_one_send_serves_all(lan: lab.MakeLan, loss: int, most: float, key: str) -> None:
    hosts = lan(hosts=4, offload=not loss).hosts
    for host in hosts[1:]:
        if loss:
            host.loss(loss)
    getting = [_get(host, f"bob{number}", key) for number, host in enumerate(hosts[1:])]
    drop = hosts[0].spawn([*PROGRAM, "drop", key, str(SIZE), "3"])
    verdict = _told(drop, 1)
    assert verdict["complete"]
    assert verdict["whole"] == ["bob0", "bob1", "bob2"]
    assert verdict["sent"] / SIZE < most
    for process in getting:
        got = _told(process, 2)
        del got["received"]
        assert got == {"failure": None, "sha": verdict["sha"], "manifest": True, "title": "bytes"}


def test_a_holder_serves_who_comes_when_the_source_has_left(lan: lab.MakeLan) -> None:
    hosts = lan(hosts=3).hosts
    h1, h2, h3 = hosts
    bob = _get(h2, "bob")
    drop = h1.spawn([*PROGRAM, "drop", "", str(SIZE), "1"])
    verdict = _told(drop, 1)
    assert verdict["complete"]
    drop.wait()
    assert _told(bob, 2)["failure"] is None
    late = _get(h3, "cleo")
    got = _told(late, 2)
    assert (got["failure"], got["sha"]) == (None, verdict["sha"])


def test_what_is_here_from_a_run_before_is_not_sent_again(lan: lab.MakeLan) -> None:
    h1, h2 = lan(hosts=2).hosts
    bob = _get(h2, "bob", "", "resume")
    verdict = _told(h1.spawn([*PROGRAM, "drop", "", str(SIZE), "1"]), 1)
    assert verdict["complete"]
    got = _told(bob, 2)
    assert (got["failure"], got["sha"]) == (None, verdict["sha"])
    assert got["received"] < 0.2 * SIZE  # a tenth, and the hash tree


def test_one_that_cannot_hear_the_source_is_served_by_one_that_still_fetches(lan: lab.MakeLan) -> None:
    made = lan(hosts=3, offload=False)
    h1, h2, h3 = made.hosts
    made.switch.port(h1, isolated=True)
    made.switch.port(h3, isolated=True)
    h2.loss(30)
    bob, cleo = _get(h2, "bob"), _get(h3, "cleo")
    drop = h1.spawn([*PROGRAM, "drop", "", str(4 * SIZE), "1"])
    verdict = _told(drop, 1)
    for process in (bob, cleo):
        got = _told(process, 2)
        assert (got["failure"], got["sha"]) == (None, verdict["sha"])
