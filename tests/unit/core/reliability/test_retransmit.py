"""Which records are sent again for whom, and within which bounds."""

from __future__ import annotations

from math import inf

from mcast import simulation
from mcast.core.auth.ingress import Checks
from mcast.core.events import PeerId
from mcast.core.reliability.retransmit import (
    ALL_COPIES,
    ALL_RATES,
    LOOKED_UP,
    LOOKED_UP_BY_ONE,
    LOOKED_UP_BY_STRANGERS,
    NACK_LEAST,
    READY,
    RECENT,
    STRANGERS,
    Attention,
    Repairs,
)
from mcast.settings import Settings
from mcast.wire import frames as f
from mcast.wire.codec import encode_frames
from mcast.wire.header import Header, decode_header
from mcast.wire.limits import WINDOW
from mcast.wire.records import Record
from tests.unit.core.support import ADDRESS, Outsider, drops

AUTHOR = PeerId(b"o" * 16, 1)


def whole(*sequences: int) -> dict[int, bool]:
    """They are to be sent again, not in slices."""
    return dict.fromkeys(sequences, False)


def test_repairs_are_gathered_sent_once_and_called_off() -> None:
    repairs = Repairs()
    assert repairs.fresh(AUTHOR, [1, 2, 3], 0.0, 0.1) == [1, 2, 3]
    repairs.gather(AUTHOR, whole(1, 2, 3), 0.1)
    repairs.gather(AUTHOR, whole(4), 0.5)
    assert repairs.next == 0.1
    assert repairs.fresh(AUTHOR, [3, 4, 5], 0.0, 0.1) == [5]
    repairs.heard(AUTHOR, 2, 0.05)
    repairs.heard(AUTHOR, 99, 0.05)
    repairs.tick(0.1)
    assert repairs.ready
    assert repairs.fresh(AUTHOR, [1], 0.1, 0.1) == []
    repairs.heard(AUTHOR, 4, 0.1)
    assert [repairs.take(0.1), repairs.take(0.1)] == [(AUTHOR, 1, False), (AUTHOR, 3, False)]
    assert not repairs.ready
    assert repairs.fresh(AUTHOR, [1, 2], 0.12, 0.1) == []
    assert repairs.fresh(AUTHOR, [1, 2], 0.21, 0.1) == [1, 2]


def test_what_is_under_way_is_sliced_if_it_was_repaired_in_vain() -> None:
    repairs = Repairs()
    repairs.gather(AUTHOR, {1: False, 2: True, 3: False, 4: False}, 0.1)
    repairs.tick(0.1)
    taken = [repairs.take(0.1) for _ in range(4)]
    assert taken == [(AUTHOR, 1, False), (AUTHOR, 2, True), (AUTHOR, 3, False), (AUTHOR, 4, False)]
    repairs.gather(AUTHOR, whole(1, 5), 0.2)
    repairs.tick(0.2)
    repairs.gather(AUTHOR, whole(3, 4, 6), 0.3)
    repairs.slice(AUTHOR, [1, 2, 3, 5, 6])
    repairs.tick(0.3)
    taken = [repairs.take(0.3) for _ in range(5)]
    assert [sequence for _, sequence, sliced in taken if sliced] == [1, 3]
    assert [sequence for _, sequence, sliced in taken if not sliced] == [5, 4, 6]


def test_a_repair_that_everybody_has_is_forgotten() -> None:
    repairs = Repairs()
    repairs.gather(AUTHOR, whole(1), 0.1)
    repairs.heard(AUTHOR, 1, 0.0)
    assert repairs.next == inf


def test_other_holders_wait_until_somebody_asks_again() -> None:
    repairs = Repairs()
    assert repairs.insisted(AUTHOR, [1, 2], 0.0, 0.1, b"a") == []
    assert repairs.insisted(AUTHOR, [1, 2, 3], 0.05, 0.1, b"b") == []
    assert repairs.insisted(AUTHOR, [1, 2, 3], 0.1, 0.1, b"b") == [1, 2]
    assert repairs.insisted(AUTHOR, [1], 100.0, 0.1, b"b") == []


def test_repairs_are_bounded() -> None:
    repairs = Repairs()
    repairs.gather(AUTHOR, whole(*range(READY + 10)), 0.0)
    repairs.tick(0.0)
    while repairs.ready:
        repairs.take(0.0)
    repairs.gather(AUTHOR, whole(*range(READY, READY + 10)), 0.0)
    repairs.tick(0.0)
    assert repairs.take(0.0) == (AUTHOR, READY, False)
    assert len(repairs._recent) == RECENT


def test_a_flood_of_nacks_gets_no_more_than_its_quota() -> None:
    lan = simulation.Lan(27)
    ada = lan.join("ada")
    lan.join("bob")
    lan.run(1.0)
    for _ in range(200):
        ada.send(bytes(1200))
    lan.run(1.0)
    eve = Outsider(lan)
    eve.say(eve.key)
    before = ada.engine.stats().get("sent-repair", 0)
    for _ in range(200):
        missing = (f.Missing(*ada.engine.peer_id, ((1, 200),)),)
        eve.say(eve.sign(f.Nack(*eve.peer_id, eve.count(), missing)))
        lan.run(0.02)
    repairs = ada.engine.stats()["sent-repair"] - before
    assert repairs * 1300 < 64 * 1024 * (200 * 0.022 + 2) + 200 * 1400
    assert drops(ada, "over-quota") > 0


def test_a_nack_for_more_than_a_window_is_looked_at_in_part() -> None:
    lan = simulation.Lan(28)
    ada = lan.join("ada")
    ada.send("x")
    eve = Outsider(lan)
    missing = tuple(f.Missing(bytes([number]) * 16, 1, ((1, 8192),)) for number in range(5))
    eve.say(
        eve.key,
        eve.sign(f.Nack(*eve.peer_id, eve.count(), (*missing, f.Missing(*ada.engine.peer_id, ((1, 1),))))),
    )
    lan.run(1.0)
    assert ada.engine.stats().get("sent-repair", 0) == 0


def test_a_repair_of_ours_by_somebody_else_calls_off_our_own() -> None:
    lan = simulation.Lan(7)
    ada = lan.join("ada")
    lan.run(1.0)
    ada.send("x")
    lan.run(0.1)
    held = ada.engine._sender.window.get(1)
    assert held is not None
    payload = held.payload
    eve = Outsider(lan)
    eve.say(
        eve.key, eve.sign(f.Nack(*eve.peer_id, eve.count(), (f.Missing(*ada.engine.peer_id, ((1, 1),)),)))
    )
    assert ada.engine._retransmitter.next_timeout < inf
    frame = bytes((f.FrameType.RECORD, 0)) + len(payload).to_bytes(2, "big") + payload
    lan.transmit(eve.sealer.seal(frame), ("10.0.0.9", 1))
    lan.run(1.0)
    assert ada.engine.stats().get("sent-repair", 0) == 0


def test_a_repair_that_was_overwritten_meanwhile_is_passed_over() -> None:
    lan = simulation.Lan(13)
    ada = lan.join("ada")
    lan.run(1.0)
    ada.send("x")
    lan.run(0.1)
    eve = Outsider(lan)
    eve.say(
        eve.key, eve.sign(f.Nack(*eve.peer_id, eve.count(), (f.Missing(*ada.engine.peer_id, ((1, 1),)),)))
    )
    ada.engine._sender.window.forget(1)
    lan.run(1.0)
    assert ada.engine.stats().get("sent-repair", 0) == 0


def _read(attention: Attention, requester: bytes, records: int, seconds: int) -> int:
    """How many NACKs for `records` of one requester are read, of a thousand a second."""
    read = 0
    for at in range(1000 * seconds):
        if attention.paid(requester, at / 1000):
            attention.spend(requester, records, at / 1000)
            read += 1
    return read


def test_nacks_are_read_within_a_part_for_each_one_for_strangers_and_one_for_all() -> None:
    each = _read(Attention(0.0), b"one", 1, 10)
    assert 1000 < each <= 1 + (2 * WINDOW + 10 * LOOKED_UP_BY_ONE) // NACK_LEAST
    strangers = _read(Attention(0.0), STRANGERS, 1, 10)
    assert strangers <= 1 + (WINDOW + 10 * LOOKED_UP_BY_STRANGERS) // NACK_LEAST
    attention = Attention(0.0)
    together = sum(_read(attention, b"%d" % number, 1000, 1) for number in range(20))
    assert together <= 20 + (4 * WINDOW + LOOKED_UP) // 1000


class Counting(Checks):
    """Counts the signatures of NACKs that are checked."""

    nacks = 0

    def verify_frame(self, public_key: bytes, frame: f.Signed) -> bool:
        """As Checks.verify_frame."""
        self.nacks += isinstance(frame, f.Nack)
        return super().verify_frame(public_key, frame)


def test_of_a_flood_of_nacks_most_signatures_are_not_checked() -> None:
    """What many identities send is bounded together, and a line gets through at once."""
    lan = simulation.Lan(29)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    for number in range(300):
        ada.send(f"{number}")
        lan.run(0.006)
    counting = Counting(lan.room)
    ada.engine._verifier._checks = counting
    eves = [Outsider(lan, seed) for seed in range(100, 104)]
    for eve in eves:
        eve.say(eve.key, eve.announcement())
    start = lan.now
    for _ in range(150):
        for eve in eves:
            missing = (f.Missing(*ada.engine.peer_id, ((1, 300),)),)
            eve.say(eve.sign(f.Nack(*eve.peer_id, eve.count(), missing)))
    took = lan.now - start
    assert counting.nacks <= (4 * WINDOW + took * LOOKED_UP) / 300 + 1
    assert counting.nacks < 0.6 * 600
    ada.send("seen")
    lan.run(0.005)
    assert bob.messages()[-1].text == "seen"


def test_many_identities_together_get_a_few_copies_and_a_small_rate() -> None:
    settings = Settings(repair_rate=4096)
    lan = simulation.Lan(30, settings=settings)
    ada = lan.join("ada")
    lan.run(1.0)
    for _ in range(40):
        ada.send(bytes(1200))
    lan.run(1.0)
    start = lan.now
    for seed in range(100, 130):
        eve = Outsider(lan, seed)
        eve.say(eve.key, eve.announcement())
        missing = (f.Missing(*ada.engine.peer_id, ((1, 40),)),)
        eve.say(eve.sign(f.Nack(*eve.peer_id, eve.count(), missing)))
        lan.run(0.3)
    repaired = ada.engine.stats()["sent-repair"] * 1300
    most = 40 * 1500 * ALL_COPIES + (1 + lan.now - start) * ALL_RATES * settings.repair_rate
    assert 40 * 1300 * 2 < repaired < most < 30 * 40 * 1300


def test_the_newest_of_what_is_asked_for_go_first_and_in_their_order() -> None:
    lan = simulation.Lan(31, settings=Settings(repair_rate=8 * 1300))
    ada = lan.join("ada")
    lan.run(1.0)
    for _ in range(60):
        ada.send(bytes(1200))
    lan.run(1.0)
    eve = Outsider(lan)
    eve.say(eve.key)
    ada.engine._retransmitter._own_quotas.of(STRANGERS, lan.now)._level = 8 * 1400
    repaired: list[int] = []

    def listen(data: bytes, source: object, destination: object) -> None:
        header = decode_header(data)
        assert isinstance(header, Header)
        frames = lan.checks.open(header, data)
        assert isinstance(frames, list)
        repaired.extend(frame.sequence for frame in frames if isinstance(frame, Record))

    lan.on_transmit = listen
    missing = (f.Missing(*ada.engine.peer_id, ((1, 20), (31, 50))),)
    eve.say(eve.sign(f.Nack(*eve.peer_id, eve.count(), missing)))
    lan.run(0.3)
    assert repaired == [43, 44, 45, 46, 47, 48, 49, 50]


def test_what_is_withheld_or_was_heard_elsewhere_is_not_repaired() -> None:
    lan = simulation.Lan(32)
    laptop, ann = lan.join("laptop", lans=(0, 1)), lan.join("ann")
    lan.run(1.0)
    ann.send("x")
    laptop.send("y")
    lan.run(1.0)
    eve = Outsider(lan)
    for author, link in ((ann, 2), (laptop, 2)):
        if author is laptop:
            laptop.engine.lost_network(lan.now)
        missing = (f.Missing(*author.engine.peer_id, ((1, 1),)),)
        nack = eve.sign(f.Nack(*eve.peer_id, eve.count(), missing))
        laptop.receive(eve.sealer.seal(encode_frames((eve.key, nack))), ADDRESS, link=link)
        lan.run(1.0)
    assert laptop.engine.stats().get("sent-repair", 0) == 0
