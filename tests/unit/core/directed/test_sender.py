"""Sending to one peer: fragments, retransmission, where they go, when it ends."""

from __future__ import annotations

import msgspec
import pytest

from mcast import simulation
from mcast.core.directed import sender
from mcast.core.directed.sender import PADDED, Outbound
from mcast.core.events import Address, PeerId
from mcast.crypto import directed as crypto
from mcast.crypto.seal import Opener
from mcast.errors import McastError, UsageError
from mcast.wire.codec import decode_frames
from mcast.wire.contents import Content, ContentKind
from mcast.wire.frames import BY_MULTICAST, Directed, DirectedAck, Frame
from mcast.wire.header import decode_header
from mcast.wire.limits import MESSAGE_MAX
from tests.unit.core.directed.support import answering, datas, got, lan, settle
from tests.unit.core.support import Outsider, drops


class Tap:
    """Looks at what leaves: frames, where from and where to, size of the datagram."""

    def __init__(self, lan: simulation.Lan) -> None:
        self.sent: list[tuple[list[Frame], Address, Address, int]] = []
        opener = Opener(lan.room)

        def look(data: bytes, source: Address, destination: Address) -> None:
            header = decode_header(data)
            assert not isinstance(header, str)
            plain = opener.open(header, data)
            assert isinstance(plain, bytes)
            frames = decode_frames(plain)
            assert isinstance(frames, list)
            if any(isinstance(frame, Directed | DirectedAck) for frame in frames):
                self.sent.append((frames, source, destination, len(data)))

        lan.on_transmit = look

    def directed(self) -> list[Directed]:
        """The fragments."""
        return [frame for frames, *_ in self.sent for frame in frames if isinstance(frame, Directed)]


@pytest.mark.parametrize("size", [0, 1, 150, 300, 1500, MESSAGE_MAX])
@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_any_size_arrives_once(size: int, loss: float) -> None:
    net, (ada, bob) = lan(loss=loss)
    number = ada.send_to(bob.engine.peer_id, bytes(size))
    assert settle(ada, number)
    net.run(3.0)
    assert datas(bob) == [bytes(size)]
    (event,) = got(bob)
    assert (event.name, event.peer_id, event.number) == ("ada", ada.engine.peer_id, number)


def test_it_passes_where_large_datagrams_are_dropped() -> None:
    _, (ada, bob) = lan(path_size=1400)
    assert settle(ada, ada.send_to(bob.engine.peer_id, bytes(MESSAGE_MAX)))
    assert datas(bob) == [bytes(MESSAGE_MAX)]


def test_it_arrives_through_delay_duplicates_and_reordering() -> None:
    net, (ada, bob) = lan(duplicate=0.3, reorder=0.3, reorder_delay=0.3, jitter=0.02, corrupt=0.05)
    numbers = [ada.send_to(bob.engine.peer_id, bytes([index]) * 5000) for index in range(10)]
    assert all(settle(ada, number) for number in numbers)
    net.run(5.0)
    assert sorted(datas(bob)) == [bytes([index]) * 5000 for index in range(10)]


def test_the_first_fragment_introduces_and_validates() -> None:
    net, (ada, bob) = lan()
    tap = Tap(net)
    ada.send_to(bob.engine.peer_id, bytes(3000))
    ada.wake()
    ((first, source, destination, size),) = tap.sent
    assert [type(frame).__name__ for frame in first] == ["Key", "Directed"]
    assert (source, destination, size) == (ada.address, bob.address, PADDED + 40)
    net.run(1.0)
    fragments = tap.directed()
    assert [fragment.index for fragment in fragments] == list(range(len(fragments)))
    assert all(len(frames) == 1 for frames, *_ in tap.sent[1:])
    tap.sent.clear()
    ada.send_to(bob.engine.peer_id, bytes(3000))  # the way is known by now
    net.run(1.0)
    assert len(tap.directed()) < len(fragments)
    assert tap.directed()[0].count == len(tap.directed())


def test_who_does_not_answer_gets_two_first_fragments_and_no_more() -> None:
    net, (ada, bob) = lan()
    bob.crash()
    tap = Tap(net)
    number = ada.send_to(bob.engine.peer_id, bytes(5000), patience=2.0)
    assert settle(ada, number) is False
    unicast = [size for _, _, destination, size in tap.sent if destination is not None]
    assert sum(unicast) <= 3 * 330
    assert {fragment.index for fragment in tap.directed()} == {0}
    flags = [fragment.flags for fragment in tap.directed()]
    assert flags == [0, 0] + [BY_MULTICAST] * (len(flags) - 2)
    assert len(flags) > 3


def test_where_unicast_is_dropped_it_goes_through_the_group() -> None:
    net, (ada, bob) = lan()
    net.between(ada, bob, loss=0.0)
    real = net.transmit

    def drop_unicast(data: bytes, source: Address, destination: Address = None, **more: object) -> None:
        if destination is None:
            real(data, source, destination)

    net.transmit = drop_unicast  # type: ignore[method-assign,assignment]  # a firewall
    assert settle(ada, ada.send_to(bob.engine.peer_id, bytes(20_000)))
    before = net.sent
    assert settle(ada, ada.send_to(bob.engine.peer_id, b"again"))
    assert net.sent - before <= 3  # at once through the group
    assert datas(bob) == [bytes(20_000), b"again"]


def test_a_stolen_address_validates_nothing() -> None:
    net, (ada, bob) = lan()
    tap = Tap(net)
    real = net.transmit

    def spoof(data: bytes, source: Address, destination: Address = None, **more: object) -> None:
        real(data, ("10.0.0.77", 1) if source == bob.address else source, destination)

    net.transmit = spoof  # type: ignore[method-assign,assignment]  # bob lies about where it is
    ada.send_to(bob.engine.peer_id, bytes(50_000))
    net.run(8.0)
    assert not [sent for sent in tap.sent if sent[2] == ("10.0.0.77", 1)]


def test_the_key_of_a_peer_is_asked_for() -> None:
    _, (ada, bob) = lan()
    del ada.engine._verifier._keys[bob.identity.origin]
    assert settle(ada, ada.send_to(bob.engine.peer_id, b"hi"))
    assert datas(bob) == [b"hi"]


def test_a_key_that_is_no_point_is_not_sent_to(monkeypatch: pytest.MonkeyPatch) -> None:
    _, (ada, bob) = lan()
    monkeypatch.setattr(sender, "sender_keys", lambda *_: None)
    assert settle(ada, ada.send_to(bob.engine.peer_id, b"hi", patience=0.3)) is False
    assert not datas(bob)


def test_who_was_never_heard_of_is_sought_in_vain() -> None:
    _, (ada, _) = lan()
    assert settle(ada, ada.send_to(PeerId(bytes(16), 1), b"hi", patience=0.5)) is False


def test_one_that_came_back_from_elsewhere_is_found() -> None:
    _, (ada, bob) = lan()
    assert settle(ada, ada.send_to(bob.engine.peer_id, b"one"))
    peer = ada.engine._roster.get(bob.engine.peer_id)
    assert peer is not None
    ada.engine._directed_sender._routes.to(bob.engine.peer_id).address = ("10.0.0.99", 28003)
    assert settle(ada, ada.send_to(bob.engine.peer_id, b"two"))
    assert datas(bob) == [b"one", b"two"]


def test_a_message_can_be_given_up() -> None:
    net, (ada, bob) = lan()
    bob.crash()
    number = ada.send_to(bob.engine.peer_id, b"hi")
    net.run(0.05)
    assert ada.engine.directed_waiting == 1
    ada.engine.give_up(number)
    ada.engine.give_up(number)
    assert ada.engine.directed_waiting == 0
    assert ada.engine.delivered(number) is False
    assert not ada.engine._directed_sender._out
    sent = ada.engine.stats()["sent-directed"]
    net.run(0.5)
    assert ada.engine.stats()["sent-directed"] == sent


def test_the_number_of_messages_under_way_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "WAITING", 2)
    monkeypatch.setattr(sender, "OUTCOMES", 2)
    net, (ada, bob) = lan()
    numbers = [ada.send_to(bob.engine.peer_id, b"hi") for _ in range(2)]
    with pytest.raises(McastError, match="under way"):
        ada.send_to(bob.engine.peer_id, b"too many")
    net.run(1.0)
    numbers.append(ada.send_to(bob.engine.peer_id, b"hi"))
    net.run(1.0)
    assert [ada.engine.delivered(number) for number in numbers] == [None, True, True]


def test_a_passive_member_and_one_that_left_send_nothing() -> None:
    net, (ada, bob) = lan()
    quiet = net.join("cyd", passive=True)
    with pytest.raises(UsageError, match="passive"):
        quiet.send_to(bob.engine.peer_id, b"hi")
    ada.leave()
    with pytest.raises(UsageError, match="left"):
        ada.send_to(bob.engine.peer_id, b"hi")


def test_what_is_under_way_goes_on_while_leaving() -> None:
    net, (ada, bob) = lan()
    ada.send("a line")
    number = ada.send_to(bob.engine.peer_id, b"hi")
    ada.leave()
    net.run(2.0)
    assert ada.engine.delivered(number)
    assert ada.engine.closed


def test_first_fragments_through_the_group_have_a_pace_of_their_own() -> None:
    net, (ada, bob) = lan()
    bob.crash()
    for _ in range(200):
        ada.send_to(bob.engine.peer_id, bytes(100), ContentKind.QUESTION, patience=3.0)
    sent: list[int] = []
    net.on_transmit = lambda data, source, to: sent.append(len(data)) if to is None else None
    net.run(4.0)
    assert sum(sent) < 4.1 * sender.GROUP_PACE + sender.GROUP_DEPTH


def test_what_the_pace_of_the_group_holds_back_is_tried_more_and_more_rarely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net, (ada,) = lan("ada")
    eve = Outsider(net, 99)
    eve.say(eve.own_key)
    directed, tries = ada.engine._directed_sender, []
    real = directed._send_one

    def counted(out: Outbound, now: float) -> bool:
        tries.append(now)
        return real(out, now)

    monkeypatch.setattr(directed, "_send_one", counted)
    directed._group_pace.spend(1 << 20, net.now)
    tap = Tap(net)
    ada.send_to(eve.peer_id, b"hi")
    net.run(5.0)
    assert not tap.directed()
    assert 5 <= len(tries) <= 12


def test_who_reads_the_group_acknowledges_for_no_address() -> None:
    """Bob says that it is at the address of a victim, who gets the unicast datagrams and answers none."""
    net, (ada, bob) = lan()
    real, moved = net.transmit, []

    def spoof(data: bytes, source: Address, destination: Address = None, **more: object) -> None:
        if destination == bob.address:
            moved.append(len(data))
        else:
            real(data, source, ada.address if source == bob.address else destination)

    net.transmit = spoof  # type: ignore[method-assign,assignment]  # bob's answers come by unicast
    assert settle(ada, ada.send_to(bob.engine.peer_id, bytes(20_000)))
    assert sum(moved) <= 3 * 330


def test_what_has_stood_in_line_for_too_long_does_not_leave() -> None:
    net, (ada, bob) = lan()
    bob.crash()
    tap = Tap(net)
    numbers = [ada.send_to(bob.engine.peer_id, b"hi", patience=1.0) for _ in range(3)]
    assert [settle(ada, number) for number in numbers] == [False] * 3
    assert {fragment.number for fragment in tap.directed()} == {numbers[0]}


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_private_messages_to_one_peer_keep_their_order(loss: float) -> None:
    _, (ada, bob, cyd) = lan("ada", "bob", "cyd", loss=loss, reorder=0.3, reorder_delay=0.1)
    cyd.crash()
    to_cyd = ada.send_to(cyd.engine.peer_id, b"lost", patience=1.0)
    to = bob.engine.peer_id
    numbers = [ada.send_to(to, bytes(400 * index), patience=60.0) for index in range(20)]
    ada.engine.give_up(numbers.pop(7))
    assert all(settle(ada, number) for number in numbers)
    assert [len(data) // 400 for data in datas(bob)] == [index for index in range(20) if index != 7]
    assert settle(ada, to_cyd) is False
    assert not ada.engine._directed_sender._lines


def test_many_small_messages_leave_at_a_pace() -> None:
    net, (ada, bob) = lan()
    answering(bob)
    for _ in range(200):
        ada.send_to(bob.engine.peer_id, b"hi", ContentKind.QUESTION)
    before = net.sent
    net.run(0.02)
    assert net.sent - before < 120  # with acknowledgements
    net.run(3.0)  # the budget of signatures, too, lets pass some at a time
    assert len(datas(bob)) == 200


def test_acknowledgements_of_others_count_for_nothing() -> None:
    net, (ada, bob) = lan()
    bob.crash()
    number = ada.send_to(bob.engine.peer_id, b"hi")
    net.run(0.01)
    eve = Outsider(net)
    ack = DirectedAck(*bob.engine.peer_id, *ada.engine.peer_id, number, 64, bytes(16), b"\x01")
    eve.say(ack, to=ada.address)
    assert drops(ada, "bad-signature") == 1
    wrong: list[dict[str, object]] = [
        {"to_incarnation": 1},
        {"number": number + 1},
        {"incarnation": 1},
    ]
    for change in wrong:
        eve.say(msgspec.structs.replace(ack, **change), to=ada.address)
    assert drops(ada, "not-asked") == 3
    assert ada.engine.delivered(number) is None
    del ada.engine._verifier._keys[bob.identity.origin]
    sealed_later = ada.send_to(bob.engine.peer_id, b"hi")
    net.run(0.01)
    eve.say(msgspec.structs.replace(ack, number=sealed_later), to=ada.address)
    assert drops(ada, "not-asked") == 4


def test_a_question_is_answered_once_and_by_who_was_asked() -> None:
    net, (ada, bob) = lan()
    answering(bob)
    question = ada.send_to(bob.engine.peer_id, "up?", ContentKind.QUESTION)
    net.run(0.1)
    (event,) = got(bob)
    for text in ("yes", "no"):
        bob.send_to(ada.engine.peer_id, text, ContentKind.ANSWER, about=question)
        net.run(0.1)
    assert datas(ada) == [b"yes"]
    assert event.text == "up?"


def test_fragments_that_later_ones_overtook_are_sent_again() -> None:
    out = Outbound(PeerId(b"b" * 16, 1), 1, Content(ContentKind.PRIVATE, 0, b""), 10.0)
    out.fragments = [Directed(b"", 1, b"", 1, 1, 0, b"", index, 8, b"") for index in range(8)]
    assert [fragment.index for fragment in out.waiting()][:1] == [0]
    out.leaves(out.fragments[0])
    assert not list(out.waiting())
    assert not out.acknowledged(0b1, 64)
    for fragment in out.fragments[1:6]:
        out.leaves(fragment)
    assert not list(out.waiting())
    assert not out.acknowledged(0b110001, 64)
    # 4 and 5 arrived: 1 and 2 were sent three fragments before 5, 3 may still be on its way.
    assert set(out.flying) == {3}
    assert [fragment.index for fragment in out.waiting()] == [1, 2, 6, 7]
    assert not out.acknowledged(0b1, 0)  # an old one says nothing new
    assert out.allowed == 1
    out.lost()
    assert (out.tries, out.window) == (1, 3)
    out.lost()
    assert out.tries == 1  # nothing was under way
    assert out.acknowledged(0xFF, 64)


def test_the_keys_of_a_message_are_its_own() -> None:
    net, (ada, bob) = lan()
    tap = Tap(net)
    for _ in range(2):
        ada.send_to(bob.engine.peer_id, b"same")
        net.run(0.1)
    first, second = tap.directed()
    assert first.ephemeral != second.ephemeral
    assert first.sealed != second.sealed
    key = crypto.recipient_keys(bob.identity, ada.identity.public_key, first.ephemeral, net.room.id)
    assert key is not None
    assert b"same" in (crypto.open_fragment(key, first) or b"")
