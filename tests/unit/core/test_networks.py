"""What a member heard on one network it does not carry to another: LAN 0, LAN 1, and each static peer."""

from __future__ import annotations

import itertools
from math import inf

import pytest
from msgspec.structs import replace

from mcast import simulation
from mcast.core import networks
from mcast.core.context import Datagram
from mcast.core.events import Address, PeerId, PeerJoined
from mcast.core.membership.roster_sync import Collector
from mcast.core.networks import ALL, Networks
from mcast.wire.frames import HEARS_IPV4, HEARS_IPV6, Digest, Goodbye, KeyRequest
from mcast.wire.header import Header, decode_header
from mcast.wire.reasons import DropReason
from mcast.wire.records import Record, decode_record

ROUTED = 9  # a LAN between routers: no multicast


class Watched(simulation.Lan):
    """Remembers which members each network heard of, by the origins and keys in datagrams on it."""

    def __init__(self, seed: int, loss: float = 0.0) -> None:
        super().__init__(seed, loss=loss)
        self.named: dict[int, set[str]] = {}
        self.cut: list[tuple[int, Address, simulation.Member]] = []  # what does not get through

    def _carry_by(
        self, lan: int, data: bytes, source: Address, member: simulation.Member, direct: bool
    ) -> None:
        header = decode_header(data)
        assert isinstance(header, Header)
        plain = self.checks._opener.open(header, data)
        assert isinstance(plain, bytes)
        for other in self.members:
            if other.identity.origin in plain or other.identity.public_key in plain:
                self.named.setdefault(lan, set()).add(other.name)
        if (lan, source, member) not in self.cut and (direct or lan != ROUTED):
            super()._carry_by(lan, data, source, member, direct)


def texts(member: simulation.Member) -> list[str]:
    """What a member was told, history included, sorted."""
    return sorted(str(message.text) for message in member.messages())


def met(member: simulation.Member) -> set[str]:
    """Everybody a member was ever told of."""
    return {event.peer.name for event in member.events() if isinstance(event, PeerJoined)}


def sides(lan: simulation.Lan) -> list[simulation.Member]:
    """A laptop on both LANs, and two members of each."""
    laptop = lan.join("laptop", lans=(0, 1))
    near = [lan.join(name) for name in ("ann", "amy")]
    return [laptop, *near, *(lan.join(name, lans=(1,)) for name in ("bob", "ben"))]


@pytest.mark.parametrize("seed", [3, 4])
def test_nothing_crosses_a_member_on_two_networks(seed: int) -> None:
    lan = Watched(seed, loss=0.2)
    laptop, ann, amy, bob, ben = sides(lan)
    lan.run(3.0)
    for turn in range(20):
        for member in (laptop, ann, bob):
            member.send(f"{member.name} {turn}" * 20)
        lan.run(0.1)
    lan.run(60.0)
    said = {name: sorted(f"{name} {turn}" * 20 for turn in range(20)) for name in ("laptop", "ann", "bob")}
    for member, other in ((ann, amy), (bob, ben)):
        assert (met(member), met(other)) == ({"laptop", other.name}, {"laptop", member.name})
        assert texts(member) == said["laptop"]
        assert texts(other) == sorted(said["laptop"] + said[member.name])
    assert met(laptop) == {"ann", "amy", "bob", "ben"}
    assert texts(laptop) == sorted(said["ann"] + said["bob"])
    assert lan.named == {0: {"laptop", "ann", "amy"}, 1: {"laptop", "bob", "ben"}}


def test_a_flood_over_both_networks_names_nobody_on_the_wrong_one() -> None:
    """Then the laptop elects a receiver, and reports on several authors at once."""
    lan = Watched(5, loss=0.1)
    laptop, ann, _, bob, _ = sides(lan)
    lan.run(3.0)
    for _ in range(3):
        for member in (laptop, ann, bob):
            for _ in range(100):
                member.send("x" * 1200)
        lan.run(0.2)
    lan.run(60.0)
    ann.crash()
    bob.leave()
    lan.run(120.0)
    assert laptop.engine.stats()["sent-acker"] > 0
    assert lan.named == {0: {"laptop", "ann", "amy"}, 1: {"laptop", "bob", "ben"}}
    assert [len(member.messages()) for member in lan.members] == [600, 300, 600, 300, 600]


def test_history_stays_on_the_network_where_it_was_heard() -> None:
    lan = Watched(6)
    laptop, ann, amy, *_ = sides(lan)
    lan.run(3.0)
    ann.send("of before")
    lan.run(3.0)
    ann.leave()
    amy.leave()
    lan.run(3.0)
    near, far = lan.join("new", history=True), lan.join("old", lans=(1,), history=True)
    lan.run(30.0)
    assert texts(near) == ["of before"]
    assert texts(far) == []
    assert met(near) == {"laptop"}
    assert met(far) == {"laptop", "bob", "ben"}
    laptop.send("of both")
    lan.run(3.0)
    assert texts(near) == ["of before", "of both"]
    assert "ann" not in lan.named[1]


def test_members_of_both_networks_serve_both() -> None:
    """What comes by the second network is a repeat for the first. It counts all the same."""
    lan = Watched(7)
    here, there = lan.join("here", lans=(0, 1)), lan.join("there", lans=(0, 1))
    lan.run(3.0)
    here.send("to all")
    lan.run(3.0)
    here.leave()
    lan.run(3.0)
    near, far = lan.join("near", history=True), lan.join("far", lans=(1,), history=True)
    lan.run(20.0)
    assert texts(near) == texts(far) == texts(there) == ["to all"]


def test_a_copy_from_the_other_network_proves_that_it_is_there() -> None:
    """The laptop heard ann on LAN 0 only, but others hold what she said on LAN 1."""
    lan = Watched(8)
    laptop, ann = lan.join("laptop", lans=(0, 1)), lan.join("ann", lans=(0, 1))
    ben = lan.join("ben", lans=(1,))
    lan.cut.append((1, ann.address, laptop))
    lan.run(3.0)
    ann.send("to all")
    lan.run(1.0)
    ann.leave()
    assert laptop.engine._context.networks.of(ann.engine.peer_id) == 1
    lan.run(60.0)
    assert laptop.engine._context.networks.of(ann.engine.peer_id) == 3
    ben.leave()
    lan.run(3.0)
    far = lan.join("far", lans=(1,), history=True)
    lan.run(20.0)
    assert texts(far) == ["to all"]


def test_each_static_peer_is_a_network_of_its_own() -> None:
    lan = Watched(9)
    hub, ann = lan.join("hub", lans=(0, ROUTED)), lan.join("ann")
    one, two = lan.join("one", lans=(ROUTED,)), lan.join("two", lans=(ROUTED,))
    for member in (one, two):
        member.engine.meet([("19.0.0.1", simulation.PORT)], lan.now)
        member.step()
    lan.run(3.0)
    for member in (hub, ann, one, two):
        for turn in range(5):
            member.send(f"{member.name} {turn}")
    lan.run(60.0)
    said = {name: [f"{name} {turn}" for turn in range(5)] for name in ("hub", "ann", "one", "two")}
    assert (met(hub), met(ann), met(one), met(two)) == ({"ann", "one", "two"}, {"hub"}, {"hub"}, {"hub"})
    assert texts(hub) == sorted(said["ann"] + said["one"] + said["two"])
    assert texts(ann) == texts(one) == texts(two) == said["hub"]
    assert lan.named[0] == {"hub", "ann"}
    assert "ann" not in lan.named[ROUTED]
    known = hub.engine._context.networks
    heard = [known.of(member.engine.peer_id) for member in (ann, one, two)]
    assert heard == [known.bits[0], known.bits[one.address], known.bits[two.address]]


def test_what_a_static_peer_lost_is_repaired() -> None:
    lan = Watched(10, loss=0.3)
    hub, one = lan.join("hub", lans=(0, ROUTED)), lan.join("one", lans=(ROUTED,))
    one.engine.meet([("19.0.0.1", simulation.PORT)], lan.now)
    one.step()
    lan.run(5.0)
    for turn in range(30):
        hub.send(f"hub {turn}")
        one.send(f"one {turn}")
        lan.run(0.05)
    lan.run(20.0)
    assert len(texts(hub)) == len(texts(one)) == 30


def test_one_that_hears_both_ip_versions_brings_them_together() -> None:
    """No IPv4-only member hears an IPv6-only one. Both hear a third, whose digest tells them."""
    lan = simulation.Lan(11)
    old, new, both = lan.join("old"), lan.join("new"), lan.join("both")
    for pair in itertools.permutations((old, new)):
        lan.between(*pair, loss=1.0)
    for member, flags in ((old, HEARS_IPV4), (new, HEARS_IPV6), (both, HEARS_IPV4 | HEARS_IPV6)):
        member.engine.update(lan.now, flags=flags)
    lan.run(3.0)
    for turn in range(10):
        old.send(f"old {turn}")
        new.send(f"new {turn}")
        lan.run(20.0)
        assert len(texts(old)) == len(texts(new)) == turn + 1


def test_who_hears_one_ip_version_does_not_speak_for_those_who_hear_another() -> None:
    lan = simulation.Lan(12)
    ada, four, six = lan.join("ada"), lan.join("four"), lan.join("six")

    def reaches_all(*members: simulation.Member) -> list[bool]:
        heard = ada.engine._anti_entropy._reaches_all
        return [heard(Datagram(member.address, b"", networks=1)) for member in members]

    lan.run(3.0)
    assert reaches_all(four, six) == [True, True]
    four.engine.update(lan.now, flags=HEARS_IPV4)
    six.engine.update(lan.now, flags=HEARS_IPV6)
    lan.run(10.0)
    assert reaches_all(four, six) == [True, True], "nobody hears both, so one claim silences no digest"
    both = lan.join("both")
    both.engine.update(lan.now, flags=HEARS_IPV4 | HEARS_IPV6)
    lan.run(10.0)
    assert reaches_all(four, six, both) == [False, False, True]
    ada.send("hi")
    lan.run(20.0)
    anti_entropy, trickle = ada.engine._anti_entropy, ada.engine._anti_entropy._trickle
    same = Digest(ada.engine._store.summary(1).digest, 1, 1)
    trickle.consistent = 0
    for member, consistent in ((four, 0), (both, 1)):
        anti_entropy._on_digest(Datagram(member.address, b"", networks=1), same, lan.now)
        assert trickle.consistent == consistent
    both.leave()
    lan.run(2.0)
    assert reaches_all(four, six) == [True, True]


def test_a_datagram_for_no_interface_is_not_sent() -> None:
    lan = simulation.Lan(12)
    engine = lan.join("ada").engine
    lan.run(3.0)
    engine._context.send(engine._verifier.own_key, networks=2)
    engine._context.send(engine._verifier.own_key, networks=1)
    assert [one.interfaces for one in engine.datagrams(lan.now)] == [(0,)]


def peer(number: int) -> PeerId:
    """A made-up peer."""
    return PeerId(number.to_bytes(16, "big"), 1)


def test_networks_have_a_bit_each() -> None:
    made = Networks(10)
    assert (made.add(7), made.add("static"), made.add(3), made.add(7)) == (1, 2, 4, 1)
    assert made.known == 7
    assert made.interfaces(3) == (7,)
    assert made.interfaces(2) == ()
    assert made.interfaces(ALL) is None
    assert made.add(-1) == ALL, "this computer alone"


def test_a_peer_is_on_the_networks_where_it_was_heard() -> None:
    made = Networks(10)
    made.heard(peer(1), 1)
    made.announced(peer(2), b"session", 1)
    assert made.repeated(b"session", 2) == peer(2)
    assert made.repeated(b"other", 4) is None
    assert (made.of(peer(1)), made.of(peer(2)), made.of(peer(3))) == (1, 3, 0)
    assert made.has(peer(2), 2)
    assert not made.has(peer(1), 2)
    assert not made.has(peer(1), ALL), "it was not heard while this computer was alone"
    made.key_heard(peer(1).origin, 4)
    assert made.of_origin(peer(1).origin) == 5
    assert made.grouped([peer(1), peer(2), peer(4)]) == {1: [peer(1)], 3: [peer(2)], 0: [peer(4)]}
    before = made.changes
    made.heard(peer(1), 1)
    assert made.changes == before
    made.heard(peer(1), ALL)
    assert made.has(peer(1), 2)
    assert made.has(peer(1), ALL)


def test_made_up_peers_push_out_each_other_but_none_that_counts() -> None:
    made = Networks(10)
    made.keep = {peer(1), peer(2)}.__contains__
    for number in range(100):
        made.announced(peer(number), bytes([number]), 1)
    assert len(made.masks) == len(made._origins) == len(made._sessions) == 10
    assert made.of(peer(1)) == made.of(peer(2)) == made.of(peer(99)) == 1
    made.keep = lambda _: True
    made.heard(peer(100), 1)
    assert len(made.masks) == 10


def test_the_static_peer_heard_of_least_lately_loses_its_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "STATIC", 2)
    made = Networks(10)
    for network in (1, "a", "b"):
        made.heard(peer(1), made.add(network))
    made.heard(peer(2), ALL)
    made.add("a")
    assert made.of(peer(1)) == 7
    made.add("c")
    assert made.bits == {1: 1, "a": 2, "c": 4}
    assert made.of(peer(1)) == made.of_origin(peer(1).origin) == 3, "the bit has another meaning now"
    assert made.of(peer(2)) == ALL


def lose(lan: simulation.Lan, laptop: simulation.Member, name: str) -> None:
    """ann says something on LAN 1 and leaves; then the laptop's cable there is pulled, and put back."""
    lan.run(3.0)
    ann = lan.join("ann", lans=(1,))
    lan.run(3.0)
    ann.send("of before")
    laptop.send("of mine")
    lan.run(3.0)
    ann.leave()
    if name != "bob":
        lan.members[1].leave()
    lan.run(3.0)
    laptop.engine.lost_network(lan.now, 1)
    laptop.step()


@pytest.mark.parametrize("name", ["bob", "new"])
def test_a_lost_network_is_known_again_by_who_is_there(name: str) -> None:
    """Else nothing that was heard there before is handed out; what we said ourselves is."""
    lan = Watched(13)
    laptop, _, home = lan.join("laptop", lans=(0, 1)), lan.join("bob", lans=(1,)), lan.join("home")
    lose(lan, laptop, name)
    assert laptop.engine.stats()["held-records"] == 1
    lan.run(30.0)
    new = lan.join("new", lans=(1,), history=True)
    lan.run(50.0)
    known = name == "bob"
    assert texts(new) == (["of before", "of mine"] if known else ["of mine"])
    assert laptop.engine.stats()["held-records"] == known
    assert texts(home) == ["of mine"]


def test_what_was_heard_on_a_lost_network_comes_again_where_others_have_it() -> None:
    lan = Watched(14)
    laptop, _ = lan.join("laptop", lans=(0, 1)), lan.join("bob", lans=(1,))
    lose(lan, laptop, "new")
    lan.run(70.0)
    assert laptop.engine.stats()["held-records"] == 0
    lan.members[-1].start()
    lan.run(3.0)
    lan.members[-1].send("of now")
    lan.run(10.0)
    assert texts(laptop) == ["of before", "of now"]
    assert laptop.engine.stats()["held-records"] == 1


def test_a_key_is_handed_out_where_it_was_heard() -> None:
    lan = Watched(15)
    laptop, ann, *_ = sides(lan)
    lan.run(3.0)
    keys, asked = laptop.engine._keys, KeyRequest((ann.identity.origin,))
    ann.leave()
    lan.run(3.0)
    lan.named.clear()
    answers = [
        keys.handlers[KeyRequest](Datagram(ann.address, b"", 2000, networks=bit), asked, lan.now)
        for bit in (2, 1)
    ]
    assert answers == [DropReason.OVER_BUDGET, None]
    laptop.wake()
    lan.run(2.0)
    assert lan.named[0] >= {"ann"}
    assert "ann" not in lan.named.get(1, ())


def test_a_key_is_asked_for_where_it_is_lacked() -> None:
    lan = Watched(17)
    laptop, *_ = sides(lan)
    lan.run(3.0)
    keys, unknown = laptop.engine._keys, Goodbye(b"x" * 16, 1, 1, 0)
    for bit in (2, 2, 4):
        datagram = Datagram(("10.9.9.9", 1), b"", networks=bit)
        assert keys.check(datagram, unknown, lan.now) is DropReason.UNKNOWN_KEY
    keys.on_timeout(lan.now + 1.0)
    assert [queued.networks for queued in laptop.engine._context.queue] == [6]


def test_a_repair_leaves_where_its_author_was_heard() -> None:
    """amy hears that she lacks records. ann does not hear her ask, so the laptop repairs."""
    lan = Watched(18)
    laptop, ann, amy, *_ = sides(lan)
    lan.run(3.0)
    lan.cut.append((0, ann.address, amy))
    ann.send("near")
    lan.run(0.01)
    lan.cut[:] = [(0, amy.address, ann)]
    lan.run(1.0)
    assert texts(amy) == ["near"]
    assert laptop.engine.stats()["sent-repair"] == 1
    assert lan.named[1] == {"laptop", "bob", "ben"}


def test_a_record_that_is_not_the_one_we_hold_proves_nothing() -> None:
    lan = simulation.Lan(16)
    laptop, ann = lan.join("laptop", lans=(0, 1)), lan.join("ann")
    lan.run(3.0)
    ann.send("near")
    lan.run(3.0)
    name, known = ann.engine.peer_id, laptop.engine._context.networks
    payload = laptop.engine._store.get(name, 1)
    assert payload is not None
    record = decode_record(payload)
    assert isinstance(record, Record)
    for copy, networks_after in ((replace(record, payload=b"other"), 1), (record, 3)):
        reason = laptop.engine._anti_entropy._take(copy, Datagram(ann.address, b"", networks=2), lan.now, 0.0)
        assert (reason, known.of(name)) == (DropReason.DUPLICATE, networks_after)


def test_a_newcomer_collects_the_roster_of_each_network() -> None:
    collector = Collector(1000)
    collector.asked(0.0)
    for giver, bit in (("a", 1), ("x", 2), ("b", 1), ("y", 2)):
        assert collector.challenged(giver, giver.encode(), bit, 0.0)
    asked = []
    for tenth in range(20):
        for request in collector.tick(tenth / 10):
            asked.append((request.giver, request.start))
            if request.giver == "b" and len(asked) > 2:
                collector.entry("b", tenth / 10)
    assert asked[:5] == [("a", 0), ("b", 0), ("a", 0), ("a", 0), ("b", 0)]
    assert asked[5:] == [("x", 0), ("y", 0), ("x", 0), ("x", 0)] + [("y", 0)] * 3
    assert collector.finished == 3
    assert not collector.challenged("c", b"c", 1, 0.5)


def test_a_lost_network_stays_lost_until_somebody_of_before_is_on_that_interface() -> None:
    made = Networks(10)
    for number, interface in ((1, 7), (2, 8), (5, 7)):
        made.heard(peer(number), made.add(interface))
    made.lost(7, 0.0)
    made.lost(9, 1.0)
    assert made.next == networks.AWAY
    assert made.add(7) == 4, "the bit of before is still in use"
    made.announced(peer(1), b"1", made.add(8))
    made.announced(peer(3), b"3", made.add(7))
    assert made.of(peer(1)) == 3
    made.announced(peer(1), b"1", made.add(7))
    assert made.of(peer(1)) == 7, "who is on other networks too may have moved along with us"
    made.announced(peer(5), b"5", made.add(7), local=True)
    assert made.of(peer(5)) == 5, "and so has who is on this computer"
    made.masks[peer(5)] = 1
    made.announced(peer(5), b"5", made.add(7))
    assert (made.of(peer(1)), made.of(peer(5)), made.next) == (6, 4, inf)
    made.lost(7, 1.0)
    made.expire(1.0 + networks.AWAY)
    assert (made.of(peer(1)), made.of(peer(3))) == (2, 0)


def test_shared_networks_are_bounded() -> None:
    made = Networks(9)
    bit = made.add(1)
    for number in range(networks.STATIC + 1):
        made.share(("10.0.0.1", number), bit)
    assert len(made.shared) == networks.STATIC
    assert (made.at(("10.0.0.1", 0)), made.at(("10.0.0.1", 1))) == (0, bit)
    own = made.add(("10.0.0.1", 1))
    assert made.at(("10.0.0.1", 1)) == own != bit
