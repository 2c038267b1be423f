"""Messages into records, records held for repair, keys and heartbeats that go along."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcast import simulation
from mcast.core.engine import Outgoing
from mcast.core.reliability.sender import HeldRecord, Outbox, TransmitWindow
from mcast.errors import MessageTooLarge
from mcast.wire import bodies
from mcast.wire import frames as f
from mcast.wire.header import Header, decode_header
from mcast.wire.records import Kind


def test_the_outbox_bundles_whole_messages() -> None:
    outbox = Outbox(100, 0.005)
    assert not outbox.size
    assert [outbox.add(b"a" * 30) for _ in range(4)] == [(1, 0), (1, 1), (1, 2), (2, 0)]
    assert outbox.size
    drafts = outbox.flush(1.0)
    assert [(d.sequence, d.kind) for d in drafts] == [(1, Kind.BUNDLE), (2, Kind.MESSAGE)]
    assert bodies.decode_bundle(drafts[0].body) == [b"a" * 30] * 3
    assert outbox.flush(2.0) == []
    assert outbox.size == 0


def test_a_signals_handler_that_sends_while_a_record_is_closed_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outbox = Outbox(100, 0.0)
    real = bodies.encode_bundle

    def interrupted(messages: list[bytes]) -> bytes:
        outbox.add(b"meanwhile")
        return real(messages)

    monkeypatch.setattr(bodies, "encode_bundle", interrupted)
    outbox.add(b"one")
    outbox.add(b"two")
    first = outbox.flush(1.0)
    assert bodies.decode_bundle(first[0].body) == [b"one", b"two"]
    assert outbox.size == len(b"meanwhile") + 2
    (second,) = outbox.flush(2.0)
    assert (second.body, outbox.size) == (b"meanwhile", 0)


def test_a_flush_waits_for_the_interval_unless_full() -> None:
    outbox = Outbox(100, 0.005)
    outbox.add(b"one")
    assert outbox.flush(1.0)
    outbox.add(b"two")
    assert outbox.flush(1.004) == []
    assert outbox.when() == 1.005
    for _ in range(40):
        outbox.add(b"x" * 90)
    assert len(outbox.flush(1.001)) == 32
    assert len(outbox.flush(1.01)) == 8


def test_large_messages_are_cut_and_too_large_ones_change_nothing() -> None:
    outbox = Outbox(100, 0.005)
    outbox.add(b"before")
    with pytest.raises(MessageTooLarge):
        outbox.add(bytes(65_537))
    assert outbox.add(b"x" * 99) == (2, 0)
    assert outbox.add(bytes(range(250))) == (5, 0)
    assert outbox.add(b"y" * 98) == (6, 0)
    drafts = outbox.flush(0.0)
    assert [d.kind.name for d in drafts] == ["MESSAGE", "MESSAGE", "FIRST", "MIDDLE", "LAST", "MESSAGE"]
    assert b"".join([drafts[2].body[4:], drafts[3].body, drafts[4].body]) == bytes(range(250))


@given(
    sizes=st.lists(st.lists(st.integers(0, 300), min_size=1, max_size=40), max_size=5),
    flushed=st.integers(0, 3),
)
def test_messages_queued_together_make_the_records_of_messages_queued_one_by_one(
    sizes: list[list[int]], flushed: int
) -> None:
    together, single = Outbox(100, 0.0), Outbox(100, 0.0)
    for turn, some in enumerate(sizes):
        messages = [bytes(size) for size in some]
        places = [single.add(message) for message in messages]
        assert together.add_all(messages) == places[-1]
        assert together.size == single.size
        if turn == flushed:
            assert together.flush(1.0) == single.flush(1.0)
            assert together.size == single.size
    drafts = single.flush(2.0, 1000)
    assert together.flush(2.0, 1000) == drafts
    assert together.size == 0 == single.size


def test_sent_records_are_overwritten_and_low_says_so() -> None:
    sent = TransmitWindow(3, 1000)
    assert (sent.low, sent.high) == (1, 0)
    for sequence in range(1, 6):
        sent.add(sequence, [b"x" * 10], 0.0)
    assert (sent.low, sent.high) == (3, 5)
    assert sent.get(2) is None
    assert sent.get(3) == HeldRecord(b"x" * 10, 0.0)
    sent.add(6, [b"y" * 995], 0.0)
    assert sent.low == 6


def test_the_first_records_bring_the_key_even_when_full() -> None:
    lan = simulation.Lan(33)
    bob = lan.join("bob")
    visitor = lan.join("visitor", visitor=True)
    for _ in range(3):
        visitor.send(bytes(1210))
    lan.run(0.5)
    assert len(bob.messages()) == 3
    assert bob.engine.stats().get("sent-keyrequest", 0) == 0
    lan.run(60.0)
    window = bob.engine._nacks.windows.get(visitor.engine.peer_id)
    assert window is not None
    assert window.departed


def test_heartbeats_go_the_way_of_records_but_for_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    lan = simulation.Lan(14)
    ada, _ = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    ways: list[bool] = []
    datagrams = ada.engine.datagrams

    def watched(now: float) -> list[Outgoing]:
        out = datagrams(now)
        frames = [lan.checks.open(decoded(each.data), each.data) for each in out]
        for each, some in zip(out, frames, strict=True):
            assert isinstance(some, list)
            ways.extend(each.record for frame in some if isinstance(frame, f.Heartbeat))
        return out

    monkeypatch.setattr(ada.engine, "datagrams", watched)
    ada.send("hi")
    lan.run(20.0)
    assert ways == [True] * 5 + [False] * 4


def decoded(datagram: bytes) -> Header:
    """The header."""
    header = decode_header(datagram)
    assert isinstance(header, Header)
    return header


def test_a_heartbeat_waits_for_its_time() -> None:
    lan = simulation.Lan(15)
    sender = lan.join("ada").engine._sender
    sender.outbox.add(b"x")
    sender.take(lan.now)
    sender.settle()
    assert sender.next_timeout > lan.now
    sender.on_timeout(lan.now)
    assert not sender._context.queue
    sender.on_timeout(sender.next_timeout)
    (queued,) = sender._context.queue
    assert isinstance(queued.frames[-1], f.Heartbeat)
