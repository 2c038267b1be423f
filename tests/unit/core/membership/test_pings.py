"""PING: who is answered, by which way, with how many bytes."""

from __future__ import annotations

import pytest

from mcast import simulation
from mcast.core.context import Datagram, Mode
from mcast.core.events import Detour, PeerId
from mcast.core.membership.pings import (
    ALL_DEPTH,
    ANSWER_SIZE,
    ANYBODY,
    DEPTH,
    HELD_MAX,
    NONCES,
    RATE,
    SEEN,
    Pings,
)
from mcast.core.membership.roster_sync import AddressTokens
from mcast.wire import frames as f
from mcast.wire.codec import encode_frame, encode_frames
from mcast.wire.header import decode_header
from mcast.wire.limits import HEADER_SIZE, TAG_SIZE
from mcast.wire.reasons import DropReason
from tests.unit.core.support import ADDRESS, Outsider, make_context

EVE = ("10.9.0.9", 28003)
NONCE = b"nonce..."


class Made:
    """The component, with what it sends."""

    def __init__(self, mode: Mode | None = None) -> None:
        self.context = make_context(mode=mode)
        self.tokens = AddressTokens(self.context.rng)
        self.pings = Pings(self.context, self.tokens)

    def ask(
        self,
        path: f.Path = f.Path.UNICAST,
        *,
        peer: PeerId | None = None,
        source: object = EVE,
        size: int = 200,
        direct: bool = True,
        token: bytes | None = None,
        sequence: int = 0,
        nonce: bytes = NONCE,
        now: float = 0.0,
    ) -> DropReason | None:
        """A PING arrives."""
        frame = f.Ping(*(peer or self.context.me), nonce, sequence, path)
        datagram = Datagram(source, bytes(8), size, direct, 4, token)
        dropped = self.pings.handlers[f.Ping](datagram, frame, now)
        self.pings.answer(0.0, 0, 0)
        return dropped

    def seen(self) -> int:
        """What the last PONG tells to have arrived."""
        pong = self.context.queue[-1].frames[0]
        assert isinstance(pong, f.Pong)
        return pong.seen


def test_the_answer_goes_back_with_as_many_bytes() -> None:
    made = Made()
    made.pings.health = f.SEND_REFUSED
    assert made.ask() is None
    (queued,) = made.context.queue
    assert (queued.to, queued.size) == (EVE, 200 - HEADER_SIZE - TAG_SIZE)
    (pong,) = queued.frames
    assert isinstance(pong, f.Pong)
    assert (pong.nonce, pong.path, pong.health, pong.seen) == (NONCE, 0, f.SEND_REFUSED | f.NOTES_PONGS, 1)
    assert len(encode_frame(pong)) + HEADER_SIZE + TAG_SIZE == ANSWER_SIZE


@pytest.mark.parametrize(("source", "version"), [(EVE, 4), (("fe80::9", 28003, 0, 2), 6)])
@pytest.mark.parametrize("path", [f.Path.GROUP, f.Path.SCOPED, f.Path.LOCAL, f.Path.BROADCAST])
def test_another_way_needs_a_token_and_stays_on_the_network(
    path: f.Path, source: object, version: int
) -> None:
    made = Made()
    assert made.ask(path, source=source) is DropReason.NO_TOKEN
    (queued,) = made.context.queue
    (challenge,) = queued.frames
    assert isinstance(challenge, f.Challenge)
    assert queued.to == source
    assert len(encode_frames(queued.frames)) + HEADER_SIZE + TAG_SIZE < ANSWER_SIZE
    assert made.ask(path, source=source, token=bytes(8)) is DropReason.NO_TOKEN
    assert made.ask(path, source=source, token=challenge.token) is None
    answer = made.context.queue[-1]
    assert (answer.to, answer.networks, answer.size) == (Detour(path, version), 4, 160)


@pytest.mark.parametrize("direct", [True, False])
def test_in_the_group_only_who_is_named_answers(direct: bool) -> None:
    made = Made()
    assert made.ask(direct=direct) is None
    assert made.ask(direct=direct, peer=PeerId(b"o" * 16, 1)) is DropReason.NOT_ASKED
    assert made.ask(direct=direct, peer=ANYBODY) is (None if direct else DropReason.NOT_ASKED)


def test_nobody_without_an_address_and_no_visitor() -> None:
    assert Made().ask(source=None) is DropReason.NOT_ASKED
    assert Made(Mode(visitor=True)).ask() is DropReason.NOT_ASKED


def test_a_question_must_be_as_long_as_its_answer() -> None:
    made = Made()
    assert made.ask(size=ANSWER_SIZE - 1) is DropReason.NO_TOKEN
    assert made.ask(size=ANSWER_SIZE) is None


def test_a_host_has_a_budget_and_all_hosts_together() -> None:
    made = Made()
    answers = [made.ask(source=("10.9.0.9", port)) for port in range(int(DEPTH) + 1)]
    assert answers[-2:] == [None, DropReason.OVER_BUDGET]
    others = [made.ask(source=(f"10.9.1.{number}", 1)) for number in range(int(ALL_DEPTH - DEPTH) + 1)]
    assert others[-2:] == [None, DropReason.OVER_BUDGET]
    assert made.ask(now=1.0) is None
    assert RATE < DEPTH


def test_it_tells_what_arrived_of_a_series() -> None:
    made = Made()
    for sequence in (0, 3, 63, SEEN, 3):
        made.ask(sequence=sequence)
    assert made.seen() == 1 | 1 << 3 | 1 << 63
    made.ask(nonce=b"another.", sequence=1)
    assert made.seen() == 2


@pytest.mark.parametrize(
    ("held", "told"),
    [(0.0123454, 12_345), (-1.0, 0), (5e3, HELD_MAX)],
    ids=["held", "a clock set back", "hours"],
)
def test_it_tells_how_long_it_held_the_question_and_the_ttls(held: float, told: int) -> None:
    made = Made()
    frame = f.Ping(*made.context.me, NONCE, 0, f.Path.UNICAST)
    made.pings.handlers[f.Ping](Datagram(EVE, bytes(8), 200, True), frame, 0.0)
    assert not made.context.queue
    made.pings.answer(held, 63, 64)
    (pong,) = made.context.queue[-1].frames
    assert isinstance(pong, f.Pong)
    assert (pong.held, pong.came, pong.ttl) == (told, 63, 64)
    assert encode_frame(pong)
    made.pings.answer(held, 63, 64)
    assert len(made.context.queue) == 1, "each is answered once"


def test_a_ttl_that_no_pong_can_tell_is_not_known() -> None:
    made = Made()
    frame = f.Ping(*made.context.me, NONCE, 0, f.Path.UNICAST)
    made.pings.handlers[f.Ping](Datagram(EVE, bytes(8), 200, True), frame, 0.0)
    made.pings.answer(0.0, 300, -1)
    (pong,) = made.context.queue[-1].frames
    assert isinstance(pong, f.Pong)
    assert (pong.came, pong.ttl) == (0, 0)
    assert encode_frame(pong)


def test_the_oldest_series_is_forgotten() -> None:
    made = Made()
    made.ask(sequence=5)
    for number in range(NONCES):
        made.ask(nonce=number.to_bytes(8, "big"), source=(f"10.9.1.{number}", 1))
    made.ask(sequence=1)
    assert made.seen() == 2


def test_a_member_answers_and_tells_of_its_computer() -> None:
    lan = simulation.Lan(seed=3)
    ada = lan.join("ada")
    ada.engine.update_health(f.OVERFLOWED)
    answers: list[f.Pong] = []

    def heard(data: bytes, source: object, destination: object) -> None:
        header = decode_header(data)
        assert not isinstance(header, DropReason)
        frames = lan.checks.open(header, data)
        if destination == ADDRESS and isinstance(frames, list):
            answers.extend(frame for frame in frames if isinstance(frame, f.Pong))

    lan.on_transmit = heard
    Outsider(lan).say(f.Ping(*ada.engine.peer_id, NONCE, 1, f.Path.UNICAST), to=ada.address, size=200)
    lan.run(0.1)
    (answer,) = answers
    assert (answer.health, answer.seen) == (f.OVERFLOWED | f.NOTES_PONGS, 2)


def test_what_others_answer_to_the_group_is_noted_for_who_began_the_series() -> None:
    made = Made()
    ada = PeerId(b"a" * 16, 1)

    def answers(sequence: int, nonce: bytes = NONCE, *, direct: bool = False) -> DropReason | None:
        pong = f.Pong(*ada, nonce, sequence, f.Path.GROUP, 0, 0, 0)
        return made.pings.handlers[f.Pong](Datagram(EVE, bytes(8), 200, direct), pong, 0.0)

    assert answers(5) is DropReason.NOT_ASKED
    made.ask(sequence=0)
    assert answers(5) is None
    assert answers(SEEN) is None
    assert answers(6, direct=True) is DropReason.NOT_ASKED
    assert answers(7, b"another.") is DropReason.NOT_ASKED
    made.ask(sequence=63)
    assert made.seen() == 1 | 1 << 5 | 1 << 63
