"""A computer whose network drops large datagrams without telling."""

from __future__ import annotations

import time

from tests import lab
from tests.lan.test_unicast import chat, heard

LINES = [f"{number} ".ljust(size, "x") for number in range(8) for size in (20, 1234, 8000)]


def texts(process: lab.Process) -> list[str]:
    return [text for _, text in heard(process)]


def test_large_messages_reach_it_and_the_others_send_smaller_ones(lan: lab.MakeLan) -> None:
    made = lan(3, offload=False)
    h1, h2, h3 = made.hosts
    h2.narrow(1400)
    ada, bob, eve = chat(h1, "ada"), chat(h2, "bob"), chat(h3, "eve")
    for line in LINES[:12]:
        ada.write(line + "\n")
    lab.until(lambda: texts(bob) == LINES[:12])
    time.sleep(2.0)  # its announcement leaves within a second
    before = h2.counters()
    for line in LINES[12:]:
        ada.write(line + "\n")
    lab.until(lambda: texts(bob) == texts(eve) == LINES)
    assert ada.stderr.count("missing") == bob.stderr.count("missing") == 0
    size = sum(map(len, LINES[12:]))
    assert h2.counters().received_bytes - before.received_bytes < 2 * size, "nothing is sent twice"
    quiet = made.traffic()
    time.sleep(5.0)
    assert made.traffic().sent_bytes - quiet.sent_bytes < 5 * 10_000, "and no repair goes on for ever"


def test_who_comes_later_gets_earlier_messages(lan: lab.MakeLan) -> None:
    made = lan(2, ipv6=False, offload=False)
    h1, h2 = made.hosts
    h2.narrow(1400)
    ada = chat(h1, "ada")
    for line in LINES:
        ada.write(line + "\n")
    late = h2.mcast("listen", "-4", "--last", "100", "--json", "-C", str(len(LINES)), "-W", "30")
    assert late.wait() == 0
    assert {one["text"] for one in late.objects() if one["type"] == "message"} == set(LINES)


def test_who_cannot_ask_for_what_is_too_large_is_told_of_the_gap_and_goes_on(lan: lab.MakeLan) -> None:
    """Nothing of the reader reaches the author, who sees nobody that lacks anything and repeats nothing."""
    made = lan(2, ipv6=False, offload=False)
    h1, h2 = made.hosts
    h2.narrow(1400)
    ada = chat(h1, "ada")
    reader = h2.mcast("listen", "-4", "--json", "--events", "--gap-timeout", "3s")
    reader.wait_for("listening to", stream="stderr")
    ada.write("hello\n")
    reader.wait_for('"text":"hello"')
    h1.firewall(f"ip saddr {h2.address()} meta l4proto udp drop")
    # Each waits until the one before has left, so that it is in a record of its own.
    large = ["x" * 1234, "y" * 1234]
    for line in ("before", *large, "after", "and later"):
        ada.write(line + "\n")
        time.sleep(0.3)
    reader.wait_for('"text":"and later"', timeout=60)
    objects = [one for one in reader.objects() if one["type"] in ("message", "gap")]
    assert [one["text"] for one in objects if one["type"] == "message"] == [
        "hello",
        "before",
        "after",
        "and later",
    ]
    kinds = [one.get("state") or one["text"] for one in objects]
    assert kinds.index("abandoned") < kinds.index("after"), "first the gap is told"
    assert [one["first"] for one in objects if one.get("state") == "abandoned"], "and what it lacks"
    quiet = made.traffic()
    time.sleep(5.0)
    assert made.traffic().sent_bytes - quiet.sent_bytes < 5 * 10_000, "nobody sends for ever"
