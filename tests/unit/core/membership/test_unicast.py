"""Meeting by unicast: WHO, HERE, tokens, and the copies that follow."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

import pytest

from mcast import simulation
from mcast.core.events import Message, PeerId, PeerLeft
from mcast.core.membership import unicast
from mcast.core.membership.unicast import Meetings
from mcast.wire import frames as f
from mcast.wire.codec import encode_frames
from mcast.wire.header import decode_header
from tests.unit.core.support import ADDRESS, Outsider, drops


def dead(count: int = 2) -> tuple[simulation.Lan, list[simulation.Member]]:
    """A LAN whose switch drops all multicast."""
    lan = simulation.Lan(seed=11)
    lan.deaf = {(f"10.0.0.{number}", simulation.PORT) for number in range(1, count + 1)}
    return lan, [lan.join(f"m{number}") for number in range(1, count + 1)]


def meet(member: simulation.Member, *others: simulation.Member) -> int:
    """`member` names the others."""
    beyond = member.engine.meet([other.address for other in others], member._lan.now)
    member.step()
    return beyond


def texts(member: simulation.Member) -> list[str | None]:
    return [event.text for event in member.messages()]


def test_without_a_named_peer_nothing_gets_through() -> None:
    lan, (ada, bob) = dead()
    ada.send("hi")
    lan.run(10.0)
    assert not texts(bob)
    assert not bob.peers()


def test_one_side_names_the_other_and_both_talk() -> None:
    lan, (ada, bob) = dead()
    assert not ada.engine.acquainted(lan.now)
    meet(ada, bob)
    assert not ada.engine.has_met(bob.address)
    lan.run(0.1)
    assert ada.engine.acquainted(lan.now)
    assert ada.engine.has_met(bob.address)
    assert len(ada.engine._unicast._meetings.reach(lan.now)) == 1
    assert len(bob.engine._unicast._meetings.reach(lan.now)) == 1
    assert [peer.peer_id for peer in ada.peers()] == [bob.engine.peer_id]
    assert [peer.peer_id for peer in bob.peers()] == [ada.engine.peer_id]
    ada.send("to bob")
    bob.send("to ada")
    lan.run(0.5)
    assert (texts(ada), texts(bob)) == (["to ada"], ["to bob"])
    lan.run(200.0)
    assert ada.peers()
    assert bob.peers()
    bob.send("still there")
    lan.run(0.5)
    assert texts(ada) == ["to ada", "still there"]
    ada.leave()
    lan.run(0.5)
    assert any(isinstance(event, PeerLeft) and event.reason == "goodbye" for event in bob.events())


def test_what_is_lost_by_unicast_is_repaired_by_unicast() -> None:
    lan, (ada, bob) = dead()
    lan.conditions = simulation.Conditions(loss=0.3)
    meet(ada, bob)
    lan.run(5.0)
    for number in range(100):
        ada.send(str(number))
        bob.send(str(number))
        lan.run(0.01)
    lan.run(10.0)
    wanted = [str(number) for number in range(100)]
    assert texts(ada) == texts(bob) == wanted


def test_where_multicast_works_the_copies_are_exact_repeats() -> None:
    lan = simulation.Lan(seed=4)
    ada, bob = lan.join("ada"), lan.join("bob")
    meet(ada, bob)
    lan.run(1.0)
    ada.send("once")
    lan.run(1.0)
    assert texts(bob) == ["once"]
    assert drops(bob, "repeated") > 0
    assert drops(bob, "duplicate") == 0


def test_a_visitor_meets_without_being_a_peer() -> None:
    lan, (visitor, bob) = dead()
    guest = lan.join("guest", visitor=True)
    lan.deaf.add(guest.address)
    meet(guest, bob)
    receipt = guest.send("from a visitor")
    lan.run(1.0)
    assert texts(bob) == ["from a visitor"]
    assert guest.engine.heard_by(receipt.sequence) == [bob.engine.peer_id]
    assert not bob.peers()
    assert not visitor.messages()


def test_who_listens_quietly_speaks_when_it_names_somebody() -> None:
    lan, (bob, quiet) = dead()
    listener = lan.join("listener", quiet=True)
    lan.deaf.add(listener.address)
    meet(listener, bob)
    lan.run(0.2)
    assert [peer.peer_id for peer in listener.peers()] == [bob.engine.peer_id]
    assert not quiet.peers()


def test_others_on_the_host_are_found_through_the_one_that_was_asked() -> None:
    lan, (ada, holder) = dead()
    other = lan.join("other")
    other.address = (holder.address[0], 40000)  # type: ignore[index] # a pair
    lan.plugs[other.address] = (0,)
    lan._by_address = {member.address: (member, 0) for member in lan.members}
    lan.deaf = {ada.address}
    other.engine.update(lan.now, port=40000)
    for member in (holder, other):
        member.engine.update(lan.now, hosts=[holder.address[0]])  # type: ignore[index] # a pair
    lan.run(8.0)
    meet(ada, holder)
    lan.run(1.0)
    assert {peer.peer_id for peer in ada.peers()} == {holder.engine.peer_id, other.engine.peer_id}
    assert ada.engine._unicast._meetings.reach(lan.now) == (holder.address, other.address)
    other.crash()
    lan.run(120.0)
    assert ada.engine._unicast._meetings.reach(lan.now) == (holder.address,)
    assert len(ada.engine._unicast._meetings._contacts) == 1, "the holder no longer knows it"


def test_who_asks_for_copies_when_there_are_too_many_gets_an_answer_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The attack: addresses by the dozen, each of which costs a copy of all we say."""
    monkeypatch.setattr(unicast, "LEASES", 1)
    lan = simulation.Lan(12)
    ada = lan.join("ada")
    lan.run(1.0)
    eve = Outsider(lan)
    answered: list[object] = []
    lan.on_transmit = lambda _data, _source, to: answered.append(to)
    late = ("10.9.9.9", 28004)
    for source in (ADDRESS, late):
        token = ada.engine._unicast._tokens.issue(source)
        eve.say(f.Echo(token), f.Who(bytes(8)), to=ada.address, source=source)
    assert drops(ada, "table-full") == 1
    assert answered.count(late) == 1
    assert ada.engine._unicast.reach(lan.now) == (ADDRESS,)
    assert late not in ada.engine._context.networks.bits


def test_a_peer_that_comes_back_is_met_again() -> None:
    lan, (ada, bob) = dead()
    meet(ada, bob)
    lan.run(1.0)
    bob.crash()
    lan.run(60.0)
    assert not ada.peers()
    assert ada.engine._unicast._meetings.reach(lan.now) == ()
    bob.start()
    lan.run(unicast.AGAIN + 0.2)
    assert [peer.peer_id for peer in ada.peers()] == [bob.engine.peer_id]
    assert [peer.peer_id for peer in bob.peers()] == [ada.engine.peer_id]


def test_a_restart_is_noticed_although_nothing_was_missed() -> None:
    lan, (ada, bob) = dead()
    meet(ada, bob)
    lan.run(1.0)
    bob.leave()
    lan.run(1.0)
    bob.start()
    lan.run(unicast.RENEW + 1.5)
    assert [peer.peer_id for peer in bob.peers()] == [ada.engine.peer_id]


def test_a_name_that_is_dropped_is_no_longer_asked() -> None:
    lan, (ada, bob) = dead()
    meet(ada, bob)
    lan.run(1.0)
    meet(ada)
    assert ada.engine._unicast._meetings.next == inf
    assert ada.engine._unicast._meetings.reach(lan.now) == ()


def test_at_most_64_are_met_and_the_rest_is_told() -> None:
    lan, (ada, _) = dead()
    addresses = [(f"10.1.0.{number}", 1) for number in range(70)]
    assert ada.engine.meet([*addresses, *addresses], lan.now) == 6
    assert len(ada.engine._unicast._meetings._contacts) == unicast.CONTACTS


class Asker(Outsider):
    """Asks WHO as others do."""

    def __init__(self, lan: simulation.Lan) -> None:
        super().__init__(lan)
        self.answers: list[list[f.Frame]] = []
        self.sizes: list[int] = []
        lan.on_transmit = self._note

    def _note(self, data: bytes, source: object, destination: object) -> None:
        if isinstance(destination, tuple) and destination[0] == ADDRESS[0]:
            self.answers.append(self._open(data))
            self.sizes.append(len(data))

    def _open(self, data: bytes) -> list[f.Frame]:
        header = decode_header(data)
        frames = self.lan.checks.open(header, data)  # type: ignore[arg-type] # a header it is
        assert isinstance(frames, list)
        return frames

    def challenge(self) -> bytes:
        """The last token given."""
        return next(x.token for x in self._all() if isinstance(x, f.Challenge))

    def _all(self) -> Iterable[f.Frame]:
        return (frame for frames in reversed(self.answers) for frame in frames)


def test_who_to_the_group_is_not_answered() -> None:
    lan = simulation.Lan(seed=5)
    ada = lan.join("ada")
    lan.run(1.0)
    asker = Asker(lan)
    asker.say(f.Who(bytes(8)))
    assert not asker.answers
    assert drops(ada, "not-asked") == 1


def test_copies_need_the_token_back_and_end_when_nobody_renews() -> None:
    lan = simulation.Lan(seed=5)
    ada = lan.join("ada")
    lan.run(1.0)
    asker = Asker(lan)
    asker.say(f.Who(bytes(8)), to=ada.address)
    assert [type(frame) for frame in asker.answers[0]] == [f.Here, f.Challenge]
    asker.say(f.Echo(b"x" * 8), f.Who(bytes(8)), to=ada.address)
    assert len(asker.answers) == 2
    asker.say(f.Echo(asker.challenge()), f.Who(bytes(8)), to=ada.address)
    assert [[type(frame) for frame in frames] for frames in asker.answers[2:]] == [
        [f.Here],
        [f.Key, f.Announcement],
    ]
    before = len(asker.answers)
    ada.send("copied")
    lan.run(1.0)
    assert len(asker.answers) > before
    lan.run(unicast.LEASE)
    before = len(asker.answers)
    ada.send("not copied")
    lan.run(1.0)
    assert len(asker.answers) == before


def test_an_answer_to_a_stranger_is_at_most_three_times_the_question() -> None:
    lan = simulation.Lan(seed=5)
    ada = lan.join("ada")
    ada.engine.update(0.0, hosts=["10.0.0.1"])
    for seed in range(20):
        other = Outsider(lan, 100 + seed)
        other.say(other.key, other.announcement(port=5000 + seed), source=("10.0.0.1", 5000 + seed))
    lan.run(1.0)
    asker = Asker(lan)
    asker.say(f.Who(bytes(8)), to=ada.address)
    question = 24 + 16 + 4 + 8
    assert question < asker.sizes[0] <= 3 * question
    asker.say(f.Echo(asker.challenge()), f.Who(bytes(8)), to=ada.address)
    here = asker.answers[1][0]
    assert isinstance(here, f.Here)
    assert len(here.present) == 21


def test_a_flood_of_questions_is_answered_at_a_bounded_rate() -> None:
    lan = simulation.Lan(seed=5)
    ada = lan.join("ada")
    lan.run(1.0)
    asker = Asker(lan)
    for number in range(300):
        question = encode_frames([f.Who(number.to_bytes(8, "big"))])
        lan.transmit(asker.sealer.seal(question), ADDRESS, ada.address)
    lan.run(0.01)
    assert len(asker.answers) <= 110
    assert drops(ada, "over-budget") >= 190


def test_leases_are_bounded() -> None:
    meetings = Meetings(simulation.Lan(seed=1).random)
    assert [meetings.lease(("10.0.0.1", port), 0.0) for port in range(65)] == [True] * 64 + [None]
    assert meetings.lease(("10.0.0.1", 3), 1.0) is False
    assert meetings.lease(("10.0.0.1", 999), unicast.LEASE + 0.5) is True
    assert meetings.reach(unicast.LEASE + 0.5) == (("10.0.0.1", 3), ("10.0.0.1", 999))


def test_an_answer_that_nobody_asked_for_meets_nobody() -> None:
    lan, (ada, bob) = dead()
    meet(ada, bob)
    lan.run(1.0)
    outsider = Outsider(lan)
    outsider.say(f.Here(bytes(8), (f.Present(*outsider.peer_id, 5),)), to=ada.address)
    assert drops(ada, "not-asked") == 1
    assert ada.engine._unicast._meetings.reach(lan.now) == (bob.address,)


def present(*ports: int) -> tuple[f.Present, ...]:
    return tuple(f.Present(bytes([port % 250 + 1]) * 16, 1, port) for port in ports)


ME = PeerId(b"me" * 8, 1)
THERE = ("10.0.0.2", 28003)


def met(meetings: Meetings, address: object, now: float, *ports: int) -> bool:
    """The contact at `address` answers."""
    nonce = next(ask.nonce for ask in meetings.due(now) if ask.address == address)
    return meetings.answered(nonce, address, present(*ports), ME, now)


def test_who_was_led_to_others_knows_them_when_they_have_answered() -> None:
    meetings = Meetings(simulation.Lan(seed=1).random)
    meetings.name([THERE], 0.0)
    assert not meetings.acquainted(0.0)
    assert met(meetings, THERE, 0.0, 0, 40001)
    assert not meetings.acquainted(0.0)
    assert met(meetings, (THERE[0], 40001), 0.0, 40001)
    assert meetings.acquainted(0.0)


def test_one_peer_at_two_addresses_gets_one_copy() -> None:
    meetings = Meetings(simulation.Lan(seed=1).random)
    meetings.name([THERE, ("fe80::1", 28003, 0, 2)], 0.0)
    first, second = meetings.due(0.0)
    meetings.answered(first.nonce, first.address, present(0), ME, 0.0)
    meetings.answered(second.nonce, second.address, present(0), ME, 0.0)
    assert meetings.challenged(first.address, b"a" * 8, 0.0)
    assert meetings.challenged(second.address, b"b" * 8, 0.0)
    assert [ask.token for ask in meetings.due(0.0)] == [b"a" * 8]
    assert meetings.reach(0.0) == (first.address,)


def test_a_new_token_in_every_answer_makes_nobody_ask_without_pause() -> None:
    meetings = Meetings(simulation.Lan(seed=1).random)
    meetings.name([THERE], 0.0)
    assert met(meetings, THERE, 0.0, 0)
    asked = 0
    for step in range(1000):
        now = step / 100
        for ask in meetings.due(now):
            asked += 1
            meetings.answered(ask.nonce, THERE, present(0), ME, now)
        meetings.challenged(THERE, step.to_bytes(8, "big"), now)
    assert asked <= 11


def test_made_up_peers_on_a_host_are_asked_in_vain_for_a_minute() -> None:
    meetings = Meetings(simulation.Lan(seed=1).random)
    meetings.name([THERE], 0.0)
    assert met(meetings, THERE, 0.0, 0, *range(1, 200))
    assert len(meetings._contacts) == unicast.CONTACTS
    asked = [ask for second in range(60) for ask in meetings.due(float(second))]
    assert len(asked) < 18 * unicast.CONTACTS
    assert {ask.address[0] for ask in asked if isinstance(ask.address, tuple)} == {THERE[0]}
    meetings.due(unicast.IN_VAIN + 1)
    assert len(meetings._contacts) == 1


@pytest.mark.parametrize("source", ["here", THERE])
def test_an_answer_leads_only_to_other_peers_at_ports_of_a_host(source: object) -> None:
    meetings = Meetings(simulation.Lan(seed=1).random)
    meetings.name([source], 0.0)
    nonce = meetings.due(0.0)[0].nonce
    mine = f.Present(*ME, 77)
    meetings.answered(nonce, source, (*present(0, 28003, 0), mine), ME, 0.0)
    assert len(meetings._contacts) == 1


def test_messages_are_told_once() -> None:
    lan, (ada, bob) = dead()
    meet(ada, bob)
    meet(bob, ada)
    lan.run(1.0)
    ada.send("one")
    lan.run(2.0)
    assert [event.text for event in bob.events() if isinstance(event, Message)] == ["one"]
