"""`mcast drop` and `mcast get` between real processes: what is reported as whole is whole."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from tests import lab
from tests.lan.files import MIB, contents, get, inbox, last, tree


def test_a_directory_comes_whole_to_all(lan: lab.MakeLan, tmp_path: Path) -> None:
    h1, *others = lan(4).hosts
    source = tmp_path / "photos"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "empty").mkdir()
    (source / "big.bin").write_bytes(contents(3 * MIB))
    (source / "zero").write_bytes(b"")
    (source / "deep" / "er" / ("é" * 127)).write_bytes(contents(5000, 2))
    for number in range(300):
        (source / "deep" / f"{number:03}").write_bytes(b"%d" % number)
    (source / "link").symlink_to("zero")
    getting = [get(host) for host in others]
    dropping = h1.mcast("drop", str(source), "--wait-acks", "3", "-W", "60s")
    assert dropping.wait(90) == 0, dropping.shown()
    for host, process in zip(others, getting, strict=True):
        assert process.wait() == 0, process.shown()
        expected = {"photos": "", **{f"photos/{path}": digest for path, digest in tree(source).items()}}
        del expected["photos/link"]
        assert inbox(host) == expected
        assert re.search(r"h\d·[0-9a-f]{4} has it whole", dropping.stderr)
    assert "not sent:" in dropping.stderr
    assert "link: it is a link" in dropping.stderr
    assert dropping.stdout == ""


def test_a_get_that_comes_later_gets_it_too(lan: lab.MakeLan, tmp_path: Path) -> None:
    h1, h2 = lan(2).hosts
    (tmp_path / "a.txt").write_text("hello")
    dropping = h1.mcast("drop", str(tmp_path / "a.txt"), "-W", "60s")
    dropping.wait_for("offering a.txt (5 B)", stream="stderr")
    getting = get(h2, "--json")
    assert getting.wait() == 0, getting.shown()
    assert dropping.wait() == 0, dropping.shown()
    assert (h2.home / "inbox" / "a.txt").read_text() == "hello"
    assert last(getting, "transfer")["paths"] == [str(h2.home / "inbox" / "a.txt")]


def test_offers_are_chosen_by_name_and_by_author(lan: lab.MakeLan, tmp_path: Path) -> None:
    h1, h2, h3 = lan(3).hosts
    for name in ("a.iso", "b.txt", "c.txt"):
        (tmp_path / name).write_text(name)
    drops = [
        h1.mcast("drop", str(tmp_path / name), "--name", author, "--profile", name[0], "--wait-acks", "9")
        for name, author in (("a.iso", "ada"), ("b.txt", "ada"), ("c.txt", "eve"))
    ]
    for process in drops:
        process.wait_for("offering", stream="stderr")
    getting = get(h2, "--from", "ada", "--match", "*.txt")
    assert getting.wait() == 0, getting.shown()
    assert list(inbox(h2)) == ["b.txt"]
    both = get(h3, "--match", "*.txt", "-C", "2")
    assert both.wait() == 0, both.shown()
    assert list(inbox(h3)) == ["b.txt", "c.txt"]


def test_files_for_one_peer_are_for_no_other(lan: lab.MakeLan, tmp_path: Path) -> None:
    h1, h2, h3 = lan(3).hosts
    (tmp_path / "a.txt").write_text("hello")
    other, wanted = get(h3, "-W", "8s"), get(h2, "--json")
    dropping = h1.mcast("drop", str(tmp_path / "a.txt"), "--to", "h2", "-W", "60s")
    assert dropping.wait() == 0, dropping.shown()
    assert wanted.wait() == 0, wanted.shown()
    assert last(wanted, "transfer")["private"]
    assert '"type":"receiver"' not in wanted.stdout  # its author takes nothing
    assert inbox(h2) == tree(tmp_path)
    assert other.wait() == 4, other.shown()
    assert "a.txt" not in other.stderr
    assert "offering a.txt (5 B, private): h2 takes it with mcast get --into DIR" in dropping.stderr
    nobody = h1.mcast("drop", str(tmp_path / "a.txt"), "--to", "nobody")
    assert nobody.wait() == 4
    assert "nobody here is called 'nobody'" in nobody.stderr
    (tmp_path / "b.txt").write_text("hello")
    early = h1.mcast("drop", str(tmp_path / "b.txt"), "--to", "bob", "-W", "60s")
    early.wait_for("nobody here is called 'bob' yet: waiting", stream="stderr")
    later = get(h3, "--name", "bob", "--match", "b.txt")
    assert early.wait() == 0, early.shown()
    assert later.wait() == 0, later.shown()
    assert "takes it" not in later.stderr
    for option in (["--wait-for", "h3"], ["--wait-acks", "all"]):
        wrong = h1.mcast("drop", str(tmp_path / "a.txt"), "--to", "h2", *option)
        assert wrong.wait() == 2
        assert f"--to cannot be used with {option[0]}" in wrong.stderr


def only_the_group(host: lab.Host) -> None:
    """A firewall lets in what goes to the group of the room, and no other UDP."""
    host.firewall(
        "ip daddr 230.0.0.1 accept",
        "ip6 daddr ff12::6d63 accept",
        "ip protocol udp drop",
        "ip6 nexthdr udp drop",
    )


def test_a_firewall_that_keeps_files_out_is_named(lan: lab.MakeLan, tmp_path: Path) -> None:
    h1, h2 = lan(2).hosts
    (tmp_path / "a.txt").write_text("hello")
    only_the_group(h2)
    dropping = h1.mcast("drop", str(tmp_path / "a.txt"), "-W", "60s")
    getting = get(h2, "-W", "16s")
    dropping.wait_for(
        re.compile(
            r"h2·\w+ stays at 0 %: nothing of it has arrived there for 10 s: a firewall there may keep it out"
        ),
        stream="stderr",
    )
    assert getting.wait(30) == 27, getting.shown()
    assert (
        "nothing of a.txt (5 B) has come for 10 s: a firewall may keep it out, mcast doctor" in getting.stderr
    )
    assert getting.stderr.count("nothing of") == 1
    assert "a.txt (5 B) is not whole: 0 % is here" in getting.stderr
    dropping.interrupt()


def test_a_firewall_that_keeps_reports_out_is_named(lan: lab.MakeLan, tmp_path: Path) -> None:
    h1, h2 = lan(2).hosts
    (tmp_path / "a.txt").write_text("hello")
    only_the_group(h1)
    dropping = h1.mcast("drop", str(tmp_path / "a.txt"), "-W", "60s")
    get(h2)
    dropping.wait_for(
        re.compile(
            r"h2·\w+ is silent at 0 %: no report from it has arrived: a firewall here may keep it out"
        ),
        stream="stderr",
    )


def test_nothing_that_fits_is_told(lan: lab.MakeLan, tmp_path: Path) -> None:
    h1, h2 = lan(2).hosts
    nothing = get(h2, "-W", "2s")
    assert nothing.wait() == 4
    assert "mcast: nothing was offered\n" in nothing.stderr
    (tmp_path / "a.txt").write_text("hello")
    dropping = h1.mcast("drop", str(tmp_path / "a.txt"), "-W", "60s")
    dropping.wait_for("offering a.txt", stream="stderr")
    other = get(h2, "--match", "*.iso", "-W", "3s")
    assert other.wait() == 4
    assert "nothing that fits was offered, only a.txt (5 B)" in other.stderr
    dropping.interrupt()


def test_a_directory_that_cannot_be_used_is_named_before_anything_is_offered(
    lan: lab.MakeLan, tmp_path: Path
) -> None:
    (h1,) = lan(1).hosts
    (tmp_path / "file").touch()
    getting = h1.mcast("get", "--into", str(tmp_path / "file" / "in"))
    assert getting.wait() == 2
    assert getting.stderr == (
        f"mcast: cannot keep files in {tmp_path}/file/in: {tmp_path}/file is not a directory:"
        " choose another directory\n"
    )
    empty = h1.mcast("get", "--into", "")
    assert empty.wait() == 2
    assert empty.stderr == "mcast: --into is empty: give a directory, such as .\n"


@pytest.mark.parametrize("end", ["interrupted", "timed out"])
def test_an_offer_ends_with_its_drop(lan: lab.MakeLan, tmp_path: Path, end: str) -> None:
    h1, h2 = lan(2).hosts
    (tmp_path / "a.txt").write_text("hello")
    watching = h2.mcast("listen", "--json", "--events")
    watching.wait_for("listening", stream="stderr")

    def told(kind: str) -> bool:
        return any(one["type"] == kind for one in watching.objects())

    dropping = h1.mcast("drop", str(tmp_path / "a.txt"), "-W", "60s" if end == "interrupted" else "3s")
    lab.until(lambda: told("offer"))
    assert (dropping.interrupt() if end == "interrupted" else dropping.wait()) in (130, 27)
    lab.until(lambda: told("withdrawn"))


def test_time_limits_tell_who_has_what(lan: lab.MakeLan, tmp_path: Path) -> None:
    h1, h2 = lan(2).hosts
    (tmp_path / "a.txt").write_text("hello")
    nothing = get(h2, "-W", "1s")
    assert nothing.wait() == 4
    assert not (h2.home / "inbox").exists()
    dropping = h1.mcast("drop", str(tmp_path / "a.txt"), "--wait-for", "bob", "-W", "2s")
    assert dropping.wait() == 27
    assert "mcast: not whole: bob has not accepted it\n" in dropping.stderr
    alone = h1.mcast("drop", str(tmp_path / "a.txt"), "--wait-acks", "all")
    assert alone.wait() == 4
    assert "nobody is here to get it" in alone.stderr


def test_who_reads_one_line_only_is_told_no_success(lan: lab.MakeLan, tmp_path: Path) -> None:
    h1, h2 = lan(2).hosts
    (tmp_path / "a.bin").write_bytes(contents(8 * MIB))
    h1.rate("10mbit")

    def first_line(host: lab.Host, *arguments: str) -> lab.Process:
        command = shlex.join([sys.executable, "-m", "mcast", *arguments, "--json"])
        return host.spawn(["bash", "-c", f"{command} | head -1; exit ${{PIPESTATUS[0]}}"])

    alone = first_line(h1, "drop", str(tmp_path / "a.bin"), "--wait-for", "bob")
    assert alone.wait() == 27, alone.shown()
    assert "not whole: bob has not accepted it" in alone.stderr
    dropping = h1.mcast("drop", str(tmp_path / "a.bin"), "-W", "60s")
    dropping.wait_for("offering", stream="stderr")
    getting = first_line(h2, "get", "--into", str(h2.home / "inbox"))
    assert getting.wait() == 27, getting.shown()
    assert re.search(r"is not whole: \d+ % is here", getting.stderr)
    dropping.interrupt()


def test_what_was_not_offered_is_told_with_the_reason(lan: lab.MakeLan, tmp_path: Path) -> None:
    h1, _ = lan(2).hosts
    (tmp_path / "a.txt").write_text("hello")
    command = ["drop", str(tmp_path / "a.txt"), "--to", "bob", "--to", "cyd"]
    late = h1.mcast(*command, "-W", "2s")
    assert late.wait() == 4
    assert late.stderr.splitlines()[-1] == "mcast: bob, cyd did not come; nothing was offered"
    stopped = h1.mcast(*command, "-W", "60s")
    stopped.wait_for("nobody here is called 'bob' yet: waiting", stream="stderr")
    assert stopped.interrupt() == 130
    assert stopped.stderr.splitlines()[-1] == "mcast: stopped; nothing was offered"


def test_hostile_lists_of_files_write_nothing(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    hostile = h1.spawn([sys.executable, "-m", "tests.lan.programs.hostile_offers"])
    hostile.wait_for("offered", stream="stdout")
    getting = get(h2, "-C", "5", "-W", "30s")
    assert getting.wait() == 1, getting.shown()
    assert getting.stderr.count("list of files is not valid") == 5
    assert os.listdir(h2.home / "inbox") == [] if (h2.home / "inbox").exists() else True
    assert not (h2.home / "escaped").exists()
