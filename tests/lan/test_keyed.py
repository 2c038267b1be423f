"""A room with a key on a real network: what others see of it, and what happens when its key is changed."""

from __future__ import annotations

import contextlib
import re
import signal
import sqlite3

import pytest

from tests import lab

pytestmark = pytest.mark.lan

CAPTURE = """
import socket, sys
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
raw.settimeout(0.2)
print("capturing", flush=True)
seen = b""
while True:
    try:
        seen += raw.recv(65535)
    except TimeoutError:
        if sys.stdin.readable() and __import__("select").select([sys.stdin], [], [], 0)[0]:
            break
wanted = [word.encode() for word in sys.argv[1:]]
print(len(seen), [word for word in wanted if word in seen], flush=True)
"""

ROOMS = """
import mcast
with mcast.join(name="eve") as group:
    print([room.name for room in group.rooms(1.0)])
"""


def key(host: lab.Host, *arguments: str, typed: str = "") -> str:
    process = host.mcast("key", *arguments, input=typed or None)
    assert process.wait() == 0, process.stderr
    return process.stdout


def test_a_room_with_a_key_tells_nothing_and_changes_its_key_while_people_talk() -> None:
    with lab.Lan(3) as lan:
        first, second, third = lan.hosts
        words = ("hush-hush", "adalbert", "bartholomew", "laboratory", "plain-words")
        capture = third.python(CAPTURE, *words)
        capture.wait_for("capturing", stream="stdout")
        secret = key(first, "new", "laboratory")
        key(second, "add", "laboratory", typed=secret)
        ada = first.mcast("chat", "--room", "laboratory", "--name", "adalbert")
        bob = second.mcast("chat", "--room", "laboratory", "--name", "bartholomew")
        for chat, other in ((ada, "bartholomew"), (bob, "adalbert")):
            chat.wait_for(f"here: {other}·")
        ada.write("hush-hush\n")
        bob.wait_for("hush-hush", stream="stdout")

        asked = third.python(ROOMS)
        assert (asked.wait(), asked.stdout) == (0, "[]\n")
        forgetful = third.mcast("chat", "--room", "laboratory", "--name", "cyd")
        ada.wait_for(re.compile(r"somebody at \S+ is in the open room laboratory, without the key"))
        assert forgetful.interrupt() == 0

        changed = key(first, "rotate", "laboratory")
        ada.wait_for("the key of laboratory was changed: the old one is taken for ten minutes more")
        bob.wait_for(re.compile(r"somebody at \S+ was here and has another key now"))
        bob.write("hush-hush with the old key\n")
        ada.wait_for("hush-hush with the old key", stream="stdout")
        ada.write("hush-hush with the new key\n")
        key(second, "add", "laboratory", typed=changed)
        bob.wait_for("hush-hush with the new key", stream="stdout")
        bob.write("hush-hush again\n")
        ada.wait_for("hush-hush again", stream="stdout")
        assert third.mcast("send", "--plain", "-p", "28003", "plain-words").wait() == 0
        ada.wait_for(re.compile(r"somebody at \S+ writes plain text, which a room with a key does not show"))
        assert ada.interrupt() == 0
        assert bob.interrupt() == 0
        capture.write("\n")
        told = capture.wait_for(re.compile(r"^(\d+) (\[.*\])$", re.MULTILINE), stream="stdout")
        assert int(told[1]) > 10_000
        assert told[2] == "[b'plain-words']"


def test_who_was_here_yesterday_hands_out_what_was_said_yesterday_to_those_with_the_key() -> None:
    with lab.Lan(3) as lan:
        author, holder, newcomer = lan.hosts
        secret = key(author, "new", "laboratory")
        key(holder, "add", "laboratory", typed=secret)
        for room in ("laboratory", "kitchen"):
            ada = author.mcast("chat", "--room", room, "--name", "ada", "--no-history")
            bob = holder.mcast("chat", "--room", room, "--name", "bob")
            for chat, other in ((ada, "bob"), (bob, "ada")):
                chat.wait_for(f"here: {other}·")
            ada.write(f"ada in the {room}\n")
            bob.wait_for(f"ada in the {room}", stream="stdout")
            bob.write(f"bob in the {room}\n")
            ada.wait_for(f"bob in the {room}", stream="stdout")
            ada.signal(signal.SIGKILL)
            ada.wait()
            assert bob.interrupt() == 0

        database = holder.home / ".data" / "mcast" / "history-default.db"
        with contextlib.closing(sqlite3.connect(database)) as db, db:
            assert db.execute("SELECT count(*) FROM records").fetchone() == (2,)
            db.execute("UPDATE records SET published = published - 30 * 3600")

        chats = [holder.mcast("chat", "--room", room, "--name", "bob") for room in ("laboratory", "kitchen")]
        for chat in chats:
            chat.wait_for("chatting in")
        without = [
            newcomer.mcast("listen", "--room", room, "--last", "9", "-W", "5s")
            for room in ("laboratory", "kitchen")
        ]
        for listener in without:
            listener.wait()
            assert listener.stdout == ""
        key(newcomer, "add", "laboratory", typed=secret)
        listener = newcomer.mcast("listen", "--room", "laboratory", "--last", "9", "-C", "2", "-W", "20s")
        assert listener.wait() == 0
        assert re.sub(r"(?m)^.*?(ada|bob) in", r"\1 in", listener.stdout) == (
            "ada in the laboratory\nbob in the laboratory\n"
        )
        for chat in chats:
            assert chat.interrupt() == 0
