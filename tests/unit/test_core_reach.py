"""Who shares a link with whom, and who is next to pass on what."""

from __future__ import annotations

from mcast.core import reach as module
from mcast.core.peer_id import PeerId
from mcast.core.reach import Reach
from mcast.wire.frames import HEARS_IPV4, HEARS_IPV6

CABLE, CABLE6, RADIO = 2, 3, 6
ME = PeerId(b"m", 1)


def run(name: str) -> PeerId:
    return PeerId(name.encode(), 1)


def announce(reach: Reach, name: str, *links: int, hears: int = 0, session: str = "") -> None:
    """`name` announces itself; the copies come by these links."""
    key = (session or name).encode()
    for number, link in enumerate(links):
        reach.heard(key, link)
        if not number:
            reach.announced(run(name), key, hears)


def rank(reach: Reach, name: str) -> int | None:
    station = reach.of(run(name))
    return None if station is None else reach.rank(station)


def test_those_on_different_interfaces_or_versions_are_strangers() -> None:
    reach = Reach(ME)
    announce(reach, "a", CABLE)
    announce(reach, "b", CABLE, RADIO)
    announce(reach, "c", RADIO)
    announce(reach, "d", CABLE6)
    assert reach.strangers(run("a"), run("c"))
    assert reach.strangers(run("a"), run("d"))
    assert not reach.strangers(run("a"), run("b"))
    assert not reach.strangers(run("a"), run("unknown"))
    assert not reach.strangers(run("unknown"), run("a"))
    station = reach.of(run("a"))
    assert station is not None
    assert {other.peer_id for other in reach.apart(station)} == {run("c"), run("d")}


def test_who_says_that_it_hears_both_versions_is_believed_when_a_copy_is_lost() -> None:
    reach = Reach(ME)
    announce(reach, "a", CABLE, hears=HEARS_IPV4 | HEARS_IPV6)
    announce(reach, "b", CABLE6, hears=HEARS_IPV6)
    announce(reach, "c", CABLE, hears=HEARS_IPV4)
    assert not reach.strangers(run("a"), run("b"))
    assert reach.strangers(run("b"), run("c"))


def test_an_interface_counts_until_the_announcement_after_the_next() -> None:
    reach = Reach(ME)
    announce(reach, "a", CABLE, RADIO)
    announce(reach, "c", RADIO)
    announce(reach, "a", CABLE)
    assert not reach.strangers(run("a"), run("c")), "a copy may be late"
    announce(reach, "a", CABLE)
    assert reach.strangers(run("a"), run("c"))
    reach.heard(b"a", RADIO)
    assert not reach.strangers(run("a"), run("c"))


def test_all_decide_alike_who_passes_on() -> None:
    names = [f"b{number}" for number in range(4)]
    ranks: dict[str, list[int | None]] = {}
    for me in names:
        reach = Reach(run(me))
        announce(reach, "a", CABLE)
        announce(reach, "c", RADIO)
        announce(reach, "x", RADIO, CABLE + 1)
        for other in names:
            if other != me:
                announce(reach, other, CABLE, RADIO)
        for author in ("a", "c"):
            ranks.setdefault(author, []).append(rank(reach, author))
        assert rank(reach, names[0] if me != names[0] else names[1]) is None
    assert sorted(ranks["a"], key=str) == sorted(ranks["c"], key=str) == [0, 1, 2, 3]


def test_who_comes_first_goes_round_with_the_author() -> None:
    first = set()
    for author in ("a", "bb", "cc"):
        for me in ("b", "c", "d"):
            reach = Reach(run(me))
            announce(reach, author, CABLE)
            announce(reach, "z", RADIO)
            for other in {"b", "c", "d"} - {me}:
                announce(reach, other, CABLE, RADIO)
            if rank(reach, author) == 0:
                first.add((author, me))
    assert first == {("a", "b"), ("bb", "c"), ("cc", "d")}


def test_who_does_not_hear_both_sides_passes_nothing_on() -> None:
    """The attack: somebody says to all that it hears only IPv6, where nobody else speaks it."""
    reach = Reach(ME)
    announce(reach, "a", CABLE, hears=HEARS_IPV4)
    announce(reach, "liar", CABLE, hears=HEARS_IPV6)
    assert reach.strangers(run("a"), run("liar"))
    assert rank(reach, "a") is None
    announce(reach, "b", CABLE6)
    assert rank(reach, "a") == 0


def test_who_left_counts_no_more() -> None:
    reach = Reach(ME)
    announce(reach, "a", CABLE)
    announce(reach, "c", RADIO)
    assert rank(reach, "a") == 0
    reach.left(run("c"))
    reach.left(run("c"))
    assert rank(reach, "a") is None
    reach.heard(b"c", RADIO)
    assert reach.of(run("c")) is not None, "its last words come in its session"
    announce(reach, "c", CABLE)
    assert rank(reach, "a") is None


def test_a_session_has_one_owner_and_a_run_one_session() -> None:
    reach = Reach(ME)
    announce(reach, "a", CABLE)
    announce(reach, "c", RADIO)
    announce(reach, "c", CABLE, session="new")
    assert not reach.strangers(run("a"), run("c"))
    for _ in range(2):
        announce(reach, "d", RADIO, session="new")
    assert reach.of(run("c")) is None
    assert reach.strangers(run("a"), run("d"))


def test_what_somebody_else_sends_is_not_said_by_its_author() -> None:
    reach = Reach(ME)
    announce(reach, "a", CABLE)
    assert reach.speaks(run("a"))
    assert not reach.speaks(run("c"))
    reach.heard(b"visitor", RADIO)
    assert reach.speaks(run("v")), "the first author in a session is taken to be its owner"
    assert not reach.speaks(run("w"))


def test_it_is_quickly_told_that_all_share_a_link() -> None:
    reach = Reach(ME)
    reach.heard(b"v", RADIO)
    assert reach.whole
    announce(reach, "a", CABLE)
    announce(reach, "b", RADIO, CABLE)
    assert reach.whole
    reach.heard(b"v", RADIO)
    assert not reach.whole
    reach.heard(b"v", CABLE)
    assert reach.whole
    announce(reach, "c", RADIO)
    assert not reach.whole
    reach.left(run("c"))
    reach.heard(b"v", CABLE)
    assert reach.whole


def test_sessions_of_nobody_are_forgotten_first_in_first_out() -> None:
    reach = Reach(ME)
    announce(reach, "a", CABLE)
    reach.heard(b"v", RADIO)
    reach.speaks(run("v"))
    for number in range(module.PASSING):
        reach.heard(b"%d" % number, CABLE)
    reach.heard(b"v", RADIO)
    assert reach.of(run("v")) is None
    assert reach.of(run("a")) is not None


def test_interfaces_beyond_the_last_one_are_one() -> None:
    reach = Reach(ME)
    for number in range(40):
        reach.heard(b"%d" % number, 2 * number)
        reach.announced(run(str(number)), b"%d" % number, 0)
    assert reach.strangers(run("29"), run("30"))
    assert not reach.strangers(run("30"), run("39"))
