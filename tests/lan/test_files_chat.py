"""Files in a chat on a terminal: offered, listed, accepted, and one line for each that changes in place."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

from tests import lab


def chat(host: lab.Host, name: str, columns: int = 100, rows: int = 30) -> lab.Terminal:
    terminal = host.mcast_terminal("chat", "--name", name, columns=columns, rows=rows)
    terminal.wait_for_screen("chatting in")
    return terminal


def test_files_are_offered_and_accepted_in_a_chat(lan: lab.MakeLan, tmp_path: Path) -> None:
    h1, h2 = lan(2).hosts
    data = random.Random(1).randbytes(2 << 20)
    (tmp_path / "photo.jpg").write_bytes(data)
    ada, bob = chat(h1, "ada"), chat(h2, "bob")
    ada.wait_for_screen("bob·")
    ada.type(f"/drop {tmp_path / 'photo.jpg'}\r")
    bob.wait_for_screen("offers photo.jpg (2.1 MB); take it with /accept 1")
    bob.type("a line in between\r")
    bob.type(f"/accept 1 {h2.home / 'in'}\r")
    bob.wait_for_screen(re.compile(r"\[1\] you get photo\.jpg \(2\.1 MB\): whole, in .*/in/photo\.jpg"))
    ada.wait_for_screen("[1] you offer photo.jpg (2.1 MB): 1 of 1 whole")
    assert (h2.home / "in" / "photo.jpg").read_bytes() == data
    for terminal, verb in ((ada, "you offer"), (bob, "you get")):
        lines = [line for line in terminal.screen() if verb in line]
        assert len(lines) == 1, "the line changes in place"
    bob.type("/files\r")
    bob.wait_for_screen(re.compile(r"\[1\] photo\.jpg \(2\.1 MB\) from ada·\w+: whole, in "))
    bob.type("/accept 1\r")
    bob.wait_for_screen("you have taken photo.jpg (2.1 MB) already")
    for wrong, told in (
        ("/accept 7", "there is no offer 7: see /files"),
        ("/accept", "/accept needs the number of an offer"),
        ("/drop /nowhere", "there is no file /nowhere"),
        ("/drop", "/drop needs a file or a directory"),
        ("/drop a b", "there is no file a b: /drop takes one path"),
    ):
        bob.type(f"{wrong}\r")
        bob.wait_for_screen(told)
    ada.type(f"/drop {tmp_path / 'photo.jpg'}\r")
    ada.wait_for_screen("you offer it already, as [1]")
    bob.type(f"/drop {h2.home / 'in' / 'photo.jpg'}\r")  # the same content, and what he has is the same
    bob.wait_for_screen("[1] you offer photo.jpg (2.1 MB): ")
    for terminal in (ada, bob):
        terminal.type("/quit\r")
        assert terminal.wait() == 0


def test_who_leaves_reads_what_becomes_of_a_transfer(lan: lab.MakeLan, tmp_path: Path) -> None:
    h1, h2 = lan(2).hosts
    (tmp_path / "big.bin").write_bytes(random.Random(1).randbytes(8 << 20))
    h1.rate("10mbit")
    ada, bob = chat(h1, "ada"), chat(h2, "bob")
    ada.wait_for_screen("bob·")
    ada.type(f"/drop {tmp_path / 'big.bin'}\r")

    def accept(bob: lab.Terminal, percent: str) -> None:
        bob.type(f"/accept 1 {h2.home / 'in'}\r")
        bob.wait_for_screen(re.compile(rf"you get big\.bin \(8\.4 MB\): {percent}\d %"))

    bob.wait_for_screen("take it with /accept 1")
    accept(bob, "[1-3]")
    bob.type("/quit\r")
    assert bob.wait() == 0
    bob.wait_for_screen(re.compile(r"big\.bin \(8\.4 MB\) is not whole: \d+ % is kept; to go on, see /files"))
    ada.wait_for_screen(re.compile(r"0 of 1 whole, bob·\w+ \d+ % stopped"))
    again = chat(h2, "bob")
    again.wait_for_screen("ada·")
    again.type("/files\r")
    again.wait_for_screen(re.compile(r"\[1\] big\.bin \(8\.4 MB\) from ada"))
    accept(again, "[3-6]")
    ada.type("/quit\r")
    assert ada.wait() == 0
    ada.wait_for_screen(
        re.compile(r"bob·\w+ does not get the rest of big\.bin \(8\.4 MB\) from you: /drop it")
    )
    again.wait_for_screen("nobody who is here has it")


def test_who_comes_later_is_told_of_offers_once(lan: lab.MakeLan, tmp_path: Path) -> None:
    h1, h2 = lan(2).hosts
    (tmp_path / "film.mkv").write_bytes(bytes(2000))
    (tmp_path / "gone.mkv").write_bytes(bytes(3000))
    ada = chat(h1, "ada")
    ada.type(f"/drop {tmp_path / 'film.mkv'}\r")
    ada.wait_for_screen("film.mkv (2.0 kB): nobody has accepted it yet")
    gone = h1.mcast("drop", str(tmp_path / "gone.mkv"), "--name", "eve")
    gone.wait_for("offering", stream="stderr")
    ada.wait_for_screen("offers gone.mkv")
    assert gone.interrupt() == 130
    bob = chat(h2, "bob")
    words = re.compile(r"ada·\w+ offers film\.mkv \(2\.0 kB\); take it with /accept \d")
    bob.wait_for_screen(words)
    bob.type("/nick bert\r")
    bob.wait_for_screen("you are bert")
    bob.type("/join other\r")
    bob.wait_for_screen("nobody else is here yet")
    bob.type("/join lobby\r")
    ada.type("hello\r")
    bob.wait_for_screen("hello")
    time.sleep(1.5)  # longer than it takes to look
    shown = "\n".join(bob.screen())
    assert len(words.findall(shown)) == 1
    assert "gone.mkv" not in shown
    for terminal in (ada, bob):
        terminal.type("/quit\r")
        assert terminal.wait() == 0


def test_the_line_of_a_transfer_fits_a_narrow_window(lan: lab.MakeLan, tmp_path: Path) -> None:
    h1, h2 = lan(2).hosts
    name = "a name that is much longer than the window is wide.txt"
    (tmp_path / name).write_text("x")
    ada, bob = chat(h1, "ada", columns=40, rows=12), chat(h2, "bob")
    ada.type(f"/drop {tmp_path / name}\r")
    bob.wait_for_screen("/accept 1")
    bob.type(f"/accept 1 {h2.home / 'in'}\r")
    bob.wait_for_screen("whole, in")
    ada.wait_for_screen("…: 1 of 1")
    lines = [line.rstrip() for line in ada.screen() if "you offer" in line]
    assert len(lines) == 1
    assert re.fullmatch(r"mcast: \[1\] you offer a name th…: 1 of 1.*", lines[0])
    ada.type("/quit\r")
    assert ada.wait() == 0


def test_bars_are_shown_on_a_terminal_and_go_away(lan: lab.MakeLan, tmp_path: Path) -> None:
    h1, h2 = lan(2).hosts
    (tmp_path / "big.bin").write_bytes(random.Random(2).randbytes(6 << 20))
    h1.rate("40mbit")
    getting = h2.mcast_terminal("get", "--into", str(h2.home / "in"), "--name", "bob")
    getting.wait_for_screen("waiting for files in")
    dropping = h1.mcast_terminal("drop", str(tmp_path / "big.bin"), "--name", "ada")
    dropping.wait_for_screen(re.compile(r"^ +bob·\w+ +\S+ +\d+ %, receiving", re.MULTILINE))
    dropping.wait_for_screen(re.compile(r"big\.bin \(6\.3 MB\) +\S+ +\d+ %, .*/s"))
    assert (dropping.wait(), getting.wait()) == (0, 0)
    shown = [line.rstrip() for line in dropping.screen() if line.strip()]
    assert re.fullmatch(r"mcast: bob·\w+ has it whole", shown[-1])
    assert not any("%" in line for line in shown)


def test_the_bar_goes_away_when_all_is_there(lan: lab.MakeLan, tmp_path: Path) -> None:
    h1, h2 = lan(2).hosts
    (tmp_path / "big.bin").write_bytes(random.Random(2).randbytes(2 << 20))
    h1.rate("20mbit")
    dropping = h1.mcast_terminal("drop", str(tmp_path / "big.bin"), "--name", "ada")
    dropping.wait_for_screen("nobody has accepted it yet")
    getting = h2.mcast_terminal("get", "--into", str(h2.home / "in"), "--name", "bob", "--linger", "60s")
    getting.wait_for_screen(re.compile(r"in/big\.bin \(2\.1 MB in "))
    lab.until(lambda: not any("%" in line for line in getting.screen()))
    assert dropping.wait() == 0
    getting.interrupt()
