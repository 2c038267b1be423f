"""Datagrams in one piece on real hosts: the same arrives with offload and without, in pieces and alone."""

from __future__ import annotations

import pytest

from tests import lab
from tests.lan.remote import GROUP, GROUP6, Remote

LENGTHS = "[1400] * 50 + [900, 1400, 0, 5, 5, 5, 700]"


@pytest.mark.parametrize("offload", [True, False], ids=["offload", "plain"])
def test_what_is_sent_together_arrives_one_by_one_and_in_order(lan: lab.MakeLan, offload: bool) -> None:
    h1, h2, h3 = map(Remote, lan(3, offload=offload).hosts)
    h2(f"r, r6 = receiver({GROUP!r}, 'eth0', pieces=True), receiver({GROUP6!r}, 'eth0', pieces=True)")
    h3(f"r, r6 = receiver({GROUP!r}, 'eth0'), receiver({GROUP6!r}, 'eth0')")
    h1(f"sent = [bytes([at + 1]) * size for at, size in enumerate({LENGTHS})]")
    for name, group, version in [("r", GROUP, 4), ("r6", GROUP6, 6)]:
        h1(f"s = sender(version={version})")
        assert h1("s._segments") is True
        assert h1(f"s.send_all(sent, (group({group!r}).host, 3000))") == []
        for receiver in (h2, h3):
            receiver("heard = []")
            receiver.until(f"heard.extend({name}.drain(index())) or len(heard)", 57)
            assert receiver("texts(heard)") == h1("[datagram.decode('latin-1') for datagram in sent]")


def test_where_pieces_do_not_fit_datagrams_go_alone(lan: lab.MakeLan) -> None:
    h1, h2 = map(Remote, lan(2).hosts)
    h2(f"r = receiver({GROUP!r}, 'eth0', pieces=True)")
    h1.host.run(["ip", "link", "set", "eth0", "mtu", "1280"])
    h1("s = sender()")
    h1("sent = [bytes([65 + at]) * size for at, size in enumerate([1400, 1400, 50, 50])]")
    h1(f"failed = s.send_all(sent, (group({GROUP!r}).host, 3000))")
    assert h1("s._segments") is False
    h2("heard = []")
    h2.until("heard.extend(r.drain(index())) or len(heard)", 4)
    assert h2("[data[0] for data in texts(heard)]") == ["A", "B", "C", "D"], "cut by IP, not lost"
    assert h1("failed") == []


def test_what_cannot_leave_is_told_and_the_rest_leaves(lan: lab.MakeLan) -> None:
    h1, h2 = map(Remote, lan(2).hosts)
    h2(f"r = receiver({GROUP!r}, 'eth0')")
    h1("s = sender()")
    h1(f"failed = s.send_all([b'x' * 65508, b'a', b'b'], (group({GROUP!r}).host, 3000))")
    assert h1("[error.errno == errno.EMSGSIZE for error in failed]") == [True]
    h2("heard = []")
    h2.until("heard.extend(r.drain(index())) or len(heard)", 2)
    h1("s.close()")
    assert h1(f"len(s.send_all([b'a', b'b'], (group({GROUP!r}).host, 3000)))") >= 1


@pytest.mark.parametrize("offload", [True, False], ids=["offload", "plain"])
@pytest.mark.parametrize("version", [4, 6])
def test_bursts_are_read_into_slots(lan: lab.MakeLan, offload: bool, version: int) -> None:
    h1, h2 = map(Remote, lan(2, offload=offload).hosts)
    group = GROUP if version == 4 else GROUP6
    h2("from mcast.net.slots import Slots; slots = Slots(4, 1000)")
    h2(f"r = receiver({group!r}, 'eth0', pieces=True)")
    h1(f"from mcast.multicast import Burst; s = sender(version={version})")
    h1("parts = [part for at in range(40) for part in (b'head', bytes([at]) * (1000 if at < 39 else 7))]")
    h1(f"to = (group({group!r}).host, 3000)")
    assert h1("s.send_bursts([Burst(1004, parts), Burst(5, [b'odd', b'ly'])], to)") == 41
    h2("bodies, odd = b'', []")
    h2(
        "def look():\n"
        "  global bodies\n"
        "  for one in r.read(index(), 100, slots):\n"
        "    bodies += bytes(slots.bodies[1000 * one.start:][:max(0, 1000 * (one.count - 1)) + one.last])\n"
        "    heads = bytes(slots.heads[4 * one.start:4 * (one.start + one.count)])\n"
        "    assert heads in (b'head' * one.count, b'oddl')\n"
        "  return len(bodies)"
    )
    h2.until("look()", 39_008)
    assert h2("bodies == b''.join(bytes([at]) * 1000 for at in range(39)) + bytes([39]) * 7 + b'y'")


def test_what_nobody_reads_is_left_to_the_kernel(lan: lab.MakeLan) -> None:
    h1, h2 = map(Remote, lan(2).hosts)
    h2(f"r = receiver({GROUP!r}, 'eth0', pieces=True)")
    h2("r.ignore(b'no!')")
    h1("s = sender()")
    for word in ("no!no!", "yes!", "no!"):
        h1(f"s.send_all([b'{word}'] * 40, (group({GROUP!r}).host, 3000))")
    h2("heard = []")
    h2.until("heard.extend(r.drain(index())) or len(heard)", 40)
    h2("r.leave(index()); r.join(index())")
    for word in ("no!no!", "yes!"):
        h1(f"s.send_all([b'{word}'] * 40, (group({GROUP!r}).host, 3000))")
    h2.until("heard.extend(r.drain(index())) or len(heard)", 80)
    assert h2("set(texts(heard))") == "{'yes!'}"
