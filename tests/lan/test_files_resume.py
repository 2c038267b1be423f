"""What was interrupted goes on: receivers and senders that are killed, full disks, files that change."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest

from tests import lab
from tests.lan.files import MIB, contents, get, inbox, last, slow_drop, tree, wait_share


def test_a_receiver_that_was_killed_goes_on(lan: lab.MakeLan, tmp_path: Path) -> None:
    h1, h2 = lan(2).hosts
    dropping, data = slow_drop(h1, tmp_path / "big.bin", "-W", "90s", "--wait-for", "h2")
    getting = get(h2, "--json")
    wait_share(getting, 0.4)
    had = last(getting, "progress")["have"]
    getting.signal(signal.SIGKILL)
    getting.wait()
    assert [name for name in os.listdir(h2.home / "inbox") if not name.endswith(".part")] == []
    again = get(h2, "--json")
    assert again.wait(60) == 0, again.shown()
    assert dropping.wait(60) == 0, dropping.shown()
    assert (h2.home / "inbox" / "big.bin").read_bytes() == data
    end = last(again, "transfer")
    assert end["bytes_received"] < 1.3 * (end["total"] - 0.95 * had)


@pytest.mark.parametrize("to", [[], ["--to", "h2"]], ids=["to all", "to one"])
def test_a_sender_that_was_killed_goes_on(lan: lab.MakeLan, tmp_path: Path, to: list[str]) -> None:
    h1, h2 = lan(2).hosts
    getting = get(h2, "--json")
    dropping, data = slow_drop(h1, tmp_path / "big.bin", *to)
    wait_share(getting, 0.3)
    dropping.signal(signal.SIGKILL)
    dropping.wait()
    again = h1.mcast("drop", str(tmp_path / "big.bin"), "-W", "60s", *to)
    assert getting.wait(60) == 0, getting.shown()
    assert again.wait(60) == 0, again.shown()
    assert (h2.home / "inbox" / "big.bin").read_bytes() == data
    end = last(getting, "transfer")
    assert end["bytes_received"] < 1.3 * end["total"]


def test_a_sender_that_leaves_is_told_of_at_once(lan: lab.MakeLan, tmp_path: Path) -> None:
    h1, h2 = lan(2).hosts
    getting = get(h2, "--json")
    dropping, _ = slow_drop(h1, tmp_path / "big.bin")
    wait_share(getting, 0.3)
    assert dropping.interrupt() == 130
    began = time.monotonic()
    getting.wait_for("left; waiting for somebody who has the rest", stream="stderr")
    assert time.monotonic() - began < 3
    assert getting.interrupt() == 130


def test_holders_complete_others_after_the_sender_has_left(lan: lab.MakeLan, tmp_path: Path) -> None:
    h1, h2, h3 = lan(3).hosts
    (tmp_path / "a.bin").write_bytes(contents(2 * MIB))
    dropping = h1.mcast("drop", str(tmp_path / "a.bin"), "-W", "60s")
    holder = get(h2, "--linger", "60s")
    assert dropping.wait() == 0, dropping.shown()
    late = get(h3)
    assert late.wait() == 0, late.shown()
    assert inbox(h3) == inbox(h2) == tree(tmp_path)
    assert holder.interrupt() == 0


def test_a_full_disk_is_told_and_harms_nobody_else(lan: lab.MakeLan, tmp_path: Path) -> None:
    h1, h2, h3 = lan(3).hosts
    (tmp_path / "a.bin").write_bytes(contents(4 * MIB))
    small = h2.home / "inbox"
    small.mkdir()
    mount = f"mount -t tmpfs -o size=2m none {small} && exec {sys.executable} -m mcast get --name h2"
    full, other = h2.spawn(["sh", "-c", f"{mount} --into {small}"]), get(h3)
    full.wait_for("waiting for files in", stream="stderr")
    dropping = h1.mcast("drop", str(tmp_path / "a.bin"), "--wait-acks", "all", "-W", "60s")
    assert dropping.wait() == 27, dropping.shown()
    assert full.wait() == 1
    assert other.wait() == 0, other.shown()
    assert inbox(h3) == tree(tmp_path)
    assert re.search(
        rf"is not whole in {small}: .*MB free, but .*MB are needed: free some disk space", full.stderr
    )
    assert re.search(r"not whole: h2·\w+ \(\d+ %, failed: .* MB are needed\)", dropping.stderr)
    assert "free some disk space" not in dropping.stderr


def test_an_interrupted_get_says_how_to_go_on(lan: lab.MakeLan, tmp_path: Path) -> None:
    h1, h2 = lan(2).hosts
    dropping, data = slow_drop(h1, tmp_path / "big.bin", "-W", "60s")
    getting = get(h2, "--json")
    wait_share(getting, 0.3)
    assert getting.interrupt() == 130
    assert re.search(
        r"is not whole: \d+ % is here; the same command goes on with what is in .*\.part", getting.stderr
    )
    assert last(getting, "transfer")["state"] == "incomplete"
    words = re.compile(r"h2·\w+ stopped at (\d+) %; what it has is kept there\n")
    stopped = dropping.wait_for(words, stream="stderr")
    assert int(stopped[1]) >= 30
    assert last(dropping, "receiver")["reason"] == "cancelled"
    assert last(dropping, "offer")["from"] == last(getting, "offer")["from"]
    again = get(h2)
    assert again.wait(60) == 0, again.shown()
    assert (h2.home / "inbox" / "big.bin").read_bytes() == data
    assert dropping.wait() == 0


def test_a_file_that_changes_takes_no_other_with_it(lan: lab.MakeLan, tmp_path: Path) -> None:
    h1, h2, h3 = lan(3).hosts
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(5):
        (photos / f"{number}.bin").write_bytes(contents(2 * MIB, number))
    expected = tree(tmp_path)
    h1.rate("10mbit")
    dropping = h1.mcast("drop", str(photos), "--json", "--wait-acks", "2", "-W", "90s")
    getting = [get(host, "--json") for host in (h2, h3)]
    wait_share(getting[0], 0.1)
    (photos / "4.bin").write_bytes(contents(2 * MIB, 9))
    assert dropping.wait(90) == 27, dropping.shown()
    assert "photos/4.bin changed while it was sent: the others are sent without it" in dropping.stderr
    assert re.search(r"not whole: h\d·\w+ \(\d+ %, failed: photos/4.bin changed while", dropping.stderr)
    del expected["photos/4.bin"]
    for host, process in zip((h2, h3), getting, strict=True):
        assert process.wait() == 27, process.shown()
        assert "is not whole: photos/4.bin changed while it was sent; the rest is in " in process.stderr
        assert last(process, "transfer")["paths"] == [str(host.home / "inbox" / "photos")]
        assert inbox(host) == expected


def test_nobody_waits_for_a_large_file_that_changed(lan: lab.MakeLan, tmp_path: Path) -> None:
    h1, h2 = lan(2).hosts
    log, film = tmp_path / "a.log", tmp_path / "film.bin"
    log.write_bytes(contents(8 * MIB, 1))
    film.write_bytes(contents(8 * MIB, 2))
    h1.rate("40mbit")
    dropping = h1.mcast("drop", str(log), str(film), "--json")
    getting = get(h2, "--json")
    wait_share(getting, 0.1)
    with log.open("r+b") as file:
        file.seek(7 * MIB)
        file.write(b"changed")
    began = time.monotonic()
    assert getting.wait(60) == 27, getting.shown()
    assert time.monotonic() - began < 15  # the film alone takes 2 s
    assert (h2.home / "inbox" / "film.bin").read_bytes() == film.read_bytes()
    assert dropping.wait() == 27, dropping.shown()


@pytest.mark.parametrize("shown", [True, False], ids=["its time shows it", "its time does not"])
def test_a_file_that_changes_while_it_is_sent_is_told(lan: lab.MakeLan, tmp_path: Path, shown: bool) -> None:
    h1, h2 = lan(2).hosts
    dropping, _ = slow_drop(h1, tmp_path / "big.bin")
    getting = get(h2, "--json")
    wait_share(getting, 0.2)
    times = os.stat(tmp_path / "big.bin")
    (tmp_path / "big.bin").write_bytes(contents(8 * MIB, 4))
    if not shown:
        os.utime(tmp_path / "big.bin", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert dropping.wait() == 1
    assert "big.bin changed while it was sent: send it again" in dropping.stderr
    assert getting.wait() == 27
    assert "is not whole: big.bin changed while it was sent" in getting.stderr
    assert [name for name in inbox(h2) if ".part" not in name] == []
