"""What peers are called, and one of two that goes."""

from __future__ import annotations

from mcast import simulation
from mcast.core.events import PeerId, PeerUpdated
from mcast.wire import frames as f
from mcast.wire.attributes import Attributes, encode_attributes
from tests.unit.core.support import Outsider


def test_one_of_two_peers_of_an_origin_leaves() -> None:
    lan = simulation.Lan(17)
    ada = lan.join("ada")
    eve = Outsider(lan)
    first = eve.peer_id
    eve.say(eve.key, eve.announcement())
    eve.peer_id = PeerId(first.origin, first.incarnation + 1)
    eve.say(eve.announcement())
    eve.say(eve.sign(f.Goodbye(*eve.peer_id, eve.count(), 0)))
    assert [peer.peer_id for peer in ada.peers()] == [first]


def test_a_peer_may_go_by_a_name_of_its_own() -> None:
    lan = simulation.Lan(18)
    ada = lan.join("ada")
    eve = Outsider(lan)
    eve.say(eve.key, eve.announcement())
    eve.say(eve.record(1, b"x"))
    own = encode_attributes(Attributes(name="eve at work"))
    eve.say(eve.announcement(attributes=own))
    eve.say(eve.record(2, b"x"))
    eve.say(eve.announcement(attributes=b"\xff"))
    eve.say(eve.announcement(attributes=own))
    eve.say(eve.sign(f.Key(eve.identity.public_key, 5, "evelyn")))
    assert [message.name for message in ada.messages()] == ["eve", "eve at work"]
    names = [event.peer.name for event in ada.events() if isinstance(event, PeerUpdated)]
    assert names == ["eve at work", "eve", "eve at work"]


def test_nothing_is_announced_anew_before_the_first_announcement() -> None:
    lan = simulation.Lan(19)
    quiet = lan.join("quiet", quiet=True)
    quiet.engine.update(lan.now, attributes=Attributes(tags={"a": "b"}))
    quiet.engine.update(lan.now, flags=f.HEARS_IPV4)
    lan.run(5.0)
    assert lan.sent == 0
    quiet.set_clock(3600.0)
    assert quiet.wall == simulation.EPOCH_START + lan.now + 3600.0
