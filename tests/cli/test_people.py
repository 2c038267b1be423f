"""Verifying somebody, and being warned of somebody else with such a name."""

from __future__ import annotations

import re

from tests import lab

Pair = tuple[lab.Host, lab.Host]


def run(host: lab.Host, *arguments: str) -> lab.Process:
    process = host.mcast(*arguments)
    process.wait()
    return process


def test_a_private_message_waits_for_who_is_away(pair: Pair, group: str) -> None:
    bob = pair[1].mcast("chat", "-g", group, "--name", "bob")
    ada = pair[0].mcast_terminal("chat", "-g", group, "--name", "ada")
    ada.wait_for_screen("here: bob·")
    lab.until(lambda: "bob·" in run(pair[0], "identity", "list").stdout)
    assert bob.interrupt() == 0
    ada.wait_for_screen(re.compile(r"bob·\w{4} (left|is gone)"))
    ada.type("/msg bob the key is under the mat\r")
    ada.wait_for_screen(re.compile(r"you to bob·\w{4} \(private, waiting\): the key is under the mat"))
    kept = run(pair[0], "send", "-g", group, "--to", "bob", "--keep", "and the cat is out")
    assert kept.returncode == 0
    assert "it is kept for 24 hours" in kept.stderr

    again = pair[1].mcast("chat", "-g", group, "--name", "bob")
    again.wait_for(re.compile(r"ada·\w{4} \(private\): the key is under the mat"), stream="stdout")
    again.wait_for(re.compile(r"ada·\w{4} \(private\): and the cat is out"), stream="stdout")
    ada.wait_for_screen(re.compile(r"bob·\w{4} has your private message of \d\d:"))
    ada.type("/quit\r")
    assert ada.wait() == 0


TWICE = """
import sys, time, mcast
for letter, texts in ((7, ("once", "once")), (8, ("end",))):
    for text in texts:
        with mcast.join(sys.argv[1], name="eve", identity=bytes(range(32))) as group:
            while not group.peers():
                time.sleep(0.05)
            assert group.send(text, to=group.peers()[0], letter=letter).confirmed(timeout=10)
"""


def test_a_private_message_that_is_sent_again_is_shown_once(pair: Pair, group: str) -> None:
    for options, shown in ((("--no-history",), 1), ((), 1), ((), 0)):  # the last chat knows it from the disk
        bob = pair[1].mcast("chat", "-g", group, "--name", "bob", *options)
        bob.wait_for("chatting in")
        sender = pair[0].python(TWICE, group)
        assert sender.wait() == 0, sender.stderr
        if shown:
            bob.wait_for("end", stream="stdout")
        assert bob.interrupt() == 0
        assert bob.stdout.count("once") == shown


def test_both_read_the_same_words_and_a_look_alike_raises_an_alarm(pair: Pair, group: str) -> None:
    chats = [
        host.mcast("chat", "-g", group, "--name", name)
        for host, name in zip(pair, ("ada", "bob"), strict=True)
    ]
    chats[0].wait_for("bob·")
    chats[1].wait_for("ada·")
    lab.until(lambda: all("not verified" in run(host, "identity", "list").stdout for host in pair))
    words = [
        run(host, "identity", "verify", name, "--yes").stdout
        for host, name in zip(pair, ("bob", "ada"), strict=True)
    ]
    assert words[0] == words[1]
    assert len(words[0].split()) == 8

    eve = pair[1].mcast("chat", "-g", group, "--name", "b\u043eb", "--profile", "eve")
    eve.write("it is me\n")
    chats[0].wait_for(re.compile(r"ALARM: b\u043eb·\w{4} is not bob·\w{4}, whom you verified.*"))
    chats[0].wait_for("it is me", stream="stdout")
    assert chats[0].stderr.count("ALARM") == 1
    chats[1].write("and it is me\n")
    chats[0].wait_for(re.compile(r"bob·\w{4}✓: and it is me"), stream="stdout")
    for host, name in zip(pair, ("bob", "ada"), strict=True):
        undone = run(host, "identity", "verify", name, "--undo")
        assert undone.returncode == 0, undone.stderr
