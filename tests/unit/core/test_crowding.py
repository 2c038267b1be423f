"""A full buffer of records that wait for earlier ones: what is due early gets in, what is due late goes."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import pytest

from mcast import simulation
from mcast.core.events import PeerId
from mcast.core.membership.roster import Peer
from mcast.core.reliability.gaps import Gaps
from mcast.core.reliability.nack import NackScheduler
from mcast.core.reliability.window import FORGOTTEN, SHARE, ReceiveWindow, ReorderBuffer
from mcast.settings import Settings
from mcast.wire.bodies import encode_first
from mcast.wire.codec import encode_frame, encode_kept
from mcast.wire.frames import Nack
from mcast.wire.records import Kind
from tests.unit.core.support import ADDRESS, Outsider, record

PEER = PeerId(b"o" * 16, 1)
SIZE = len(record(1, bytes(95)).payload)
ROOM = 100  # records that one peer may hold


def crowd() -> tuple[simulation.Member, NackScheduler, ReceiveWindow]:
    """A member with a window that lacks record 1, holds 2, 4, 6 … and has no room left."""
    settings = Settings(window=8192, reorder_grace=0.01, held_bytes=ROOM * SIZE * SHARE, peers=10)
    ada = simulation.Lan(1, settings=settings).join("ada")
    peer = Peer(PEER, "", None, None, 0.0, True)  # type: ignore[arg-type] # an announcement it does not need
    ada.engine._roster.add(peer)
    nacks = ada.engine._nacks
    window = nacks.windows.open(PEER, "", 1, 0, 0.0)
    assert isinstance(window, ReceiveWindow)
    for place in range(1, ROOM + 1):
        assert not nacks.windows.crowded(window, 2 * place, SIZE, 0.0)
        window.accept(record(2 * place, bytes(95)), None, 0.0)
    nacks.update(window, 0.0)
    return ada, nacks, window


def test_what_would_be_due_last_finds_no_room() -> None:
    _, nacks, window = crowd()
    assert nacks.windows.crowded(window, 2 * ROOM + 2, SIZE, 0.0)
    assert window.buffer.top == 2 * ROOM


def test_what_is_due_early_pushes_out_what_is_due_last() -> None:
    _, nacks, window = crowd()
    assert not nacks.windows.crowded(window, 3, SIZE, 0.0)
    assert window.buffer.held_bytes == (ROOM - FORGOTTEN) * SIZE
    assert window.buffer.top == 2 * (ROOM - FORGOTTEN)
    assert 2 * ROOM in window.gaps, "it is asked for again later"


def test_no_more_is_asked_for_than_there_is_room_for() -> None:
    ada, nacks, window = crowd()
    window.learn(3 * ROOM, 0.0)
    assert nacks.next_timeout < inf
    nacks.on_timeout(nacks.next_timeout + 1.0)
    asked = [
        frame for queued in ada.engine._context.queue for frame in queued.frames if isinstance(frame, Nack)
    ]
    assert [missing.ranges for nack in asked for missing in nack.missing] == [((1, 1),)]


def test_the_reach_of_so_many_missing_records() -> None:
    gaps = Gaps()
    gaps.notice(1, 4, 0.0)
    gaps.notice(10, 20, 0.0)
    assert gaps.reach(3) == 10
    assert gaps.reach(5) == 12
    assert [(span.start, span.stop) for span in gaps] == [(1, 4), (10, 12), (12, 20)]
    assert gaps.reach(13) == inf


def test_an_empty_buffer_has_no_top() -> None:
    assert ReorderBuffer(1, 100).top == 0


def test_a_receiver_with_little_room_still_gets_everything() -> None:
    """What came early fills the room while the first record is missing: the others must get in."""
    settings = Settings(held_bytes=SHARE * 32_768)
    lan = simulation.Lan(seed=5, settings=settings, loss=0.3)
    sender, receiver = lan.join("ada"), lan.join("bob")
    lan.run(3.0)
    for number in range(400):
        sender.send(f"{number}".ljust(1000))
        lan.run(0.001)
    lan.run(60.0)
    assert [message.data.split()[0] for message in receiver.messages()] == [b"%d" % n for n in range(400)]


FEW = 16  # peers of one identity
MODES: dict[str, Callable[[Callable[..., bytes], bytes, bytes], list[bytes]]] = {
    "one after the other": lambda seal, fragment, first: [seal(fragment), seal(first)],
    "in one datagram": lambda seal, fragment, first: [seal(fragment, first)],
}


@pytest.mark.parametrize("lacking", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_a_peer_that_goes_before_its_record_was_put_away_leaves_nothing_behind(
    mode: str, lacking: bool
) -> None:
    """The attack: a fragment for the oldest peer of an identity, then a record of one peer too many."""
    lan = simulation.Lan(seed=5, settings=Settings(held_bytes=65_536, peers_per_identity=FEW))
    engine = lan.join("ben").engine
    lan.run(1.0)
    eve = Outsider(lan)
    origin, incarnation = eve.peer_id

    def of(number: int, sequence: int, body: bytes = b"x", kind: Kind = Kind.MESSAGE) -> bytes:
        eve.peer_id = PeerId(origin, incarnation + number)
        return encode_kept(eve.record(sequence, body, kind).payload)

    def seal(*frames: bytes) -> bytes:
        return eve.sealer.seal(b"".join(frames))

    def say(*datagrams: bytes) -> None:
        engine.receive_all(datagrams, ADDRESS, lan.now)
        engine.deadline()

    say(seal(encode_frame(eve.key)))
    for number in range(FEW):
        say(seal(of(number, 1)))
    fragment = encode_first(60_000, bytes(1000))
    for number in range(80):
        lan.run(0.05)
        if lacking:
            say(seal(of(number, 5)))
        begun = of(number, 2, fragment, Kind.FIRST)
        say(*MODES[mode](seal, begun, of(number + FEW, 1)))
    windows = engine._nacks.windows
    assert windows._bytes.keys() <= windows._windows.keys()
    assert sum(windows._bytes.values()) == windows._total
