"""Which peer goes by which name: several of one identity may be there, each with its own."""

from __future__ import annotations

import pytest

from mcast import simulation
from mcast.core.auth.verifier import issued
from mcast.core.events import PeerId, PeerUpdated
from mcast.settings import Settings
from mcast.wire.attributes import Attributes, encode_attributes
from mcast.wire.limits import TIMESTAMP_MAX
from mcast.wire.reasons import DropReason
from tests.unit.core.support import Outsider


def two_peers(lan: simulation.Lan) -> tuple[Outsider, Outsider]:
    """Two peers of one identity: the first began four seconds earlier, both have records to send."""
    lan.run(10.0)
    first, second = Outsider(lan, age=4.0), Outsider(lan)
    second.sealer = Outsider(lan, 98).sealer
    return first, second


def names(member: simulation.Member) -> list[str]:
    return [message.name for message in member.messages()]


def test_a_message_of_a_peer_whose_key_was_not_heard_has_no_name() -> None:
    """The latest name of its identity is that of another peer."""
    lan = simulation.Lan()
    bob = lan.join("bob")
    first, second = two_peers(lan)
    second.say(second.named("second"), second.record(1))
    first.say(first.record(1))
    assert names(bob) == ["second", ""]


def test_each_peer_has_the_name_in_its_own_key() -> None:
    lan = simulation.Lan()
    bob = lan.join("bob")
    first, second = two_peers(lan)
    second.say(second.named("second"), second.record(1))
    first.say(first.named("first"), first.record(1))
    second.say(second.named("second"), second.record(2))
    assert names(bob) == ["second", "first", "second"]


def test_a_name_that_comes_later_counts_from_then_on() -> None:
    lan = simulation.Lan()
    bob = lan.join("bob")
    first, second = two_peers(lan)
    second.say(second.named("second"))
    first.say(first.record(1))
    first.say(first.named("first"), first.record(2))
    assert names(bob) == ["", "first"]


def test_what_a_peer_announces_comes_first() -> None:
    lan = simulation.Lan()
    bob = lan.join("bob")
    first, second = two_peers(lan)
    first.say(first.named("first"), first.announcement(attributes=encode_attributes(Attributes(name="own"))))
    second.say(second.named("second"), second.announcement())
    first.say(first.record(1))
    second.say(second.record(1))
    assert names(bob) == ["own", "second"]
    assert sorted(peer.name for peer in bob.peers()) == ["own", "second"]


def test_a_peer_without_a_name_of_its_own_gets_it_when_its_key_comes() -> None:
    lan = simulation.Lan()
    bob = lan.join("bob")
    first, second = two_peers(lan)
    second.say(second.named("second"), first.announcement())
    first.say(first.named("first"))
    [updated] = [event for event in bob.events() if isinstance(event, PeerUpdated)]
    assert updated.peer.name == "first"


def test_two_names_issued_at_one_time_are_none() -> None:
    lan = simulation.Lan()
    bob = lan.join("bob")
    lan.run(10.0)
    eve = Outsider(lan)
    eve.say(eve.named("eve"))
    eve.say(eve.named("mallory"))
    eve.say(eve.record(1))
    assert names(bob) == [""]


def test_names_are_first_in_first_out() -> None:
    lan = simulation.Lan(settings=Settings(peers=1))
    verifier = lan.join("ada").engine._verifier
    eve = Outsider(lan)
    incarnations = [eve.peer_id.incarnation + (seconds << 16) for seconds in (3, 2, 1)]
    for incarnation in incarnations:
        eve.peer_id = PeerId(eve.peer_id.origin, incarnation)
        assert verifier.learn(eve.named("eve"), False, 0.0, lambda origin: False) is None
    assert verifier.learn(eve.named("eve"), False, 0.0, lambda origin: False) is DropReason.STALE
    assert [verifier.name_of(PeerId(eve.peer_id.origin, incarnation)) for incarnation in incarnations] == [
        "",
        "eve",
        "eve",
    ]


@pytest.mark.parametrize(
    ("incarnation", "milliseconds"),
    [(0, 0), (1 << 16, 1000), ((7 << 16) + 32768, 7500), (2**63 - 1, TIMESTAMP_MAX)],
)
def test_a_key_is_issued_at_the_incarnation(incarnation: int, milliseconds: int) -> None:
    assert issued(incarnation) == milliseconds
