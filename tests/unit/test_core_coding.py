"""Coded repair: what goes together, what comes out, and what hostile frames do."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest

from mcast import simulation
from mcast.core import askers as table
from mcast.core.askers import Askers
from mcast.core.gaps import Gaps
from mcast.core.peer_id import PeerId
from mcast.core.ranges import RangeSet
from mcast.core.reception import CHORUS
from mcast.core.repair import Repairs
from mcast.core.undecoded import KEPT
from mcast.settings import Settings
from mcast.wire import frames as f
from mcast.wire.coded import lay, restore, shorten
from mcast.wire.header import Header, decode_header
from mcast.wire.limits import CODED_MAX
from mcast.wire.reasons import DropReason, Malformed
from mcast.wire.records import Record

from .core_support import Outsider, drops, record

RUNS = [PeerId(b"%d" % number * 16, 1) for number in range(40)]


def code(records: list[Record]) -> f.Coded:
    """A coded repair of genuine records."""
    steps = tuple(after.sequence - before.sequence for before, after in pairwise(records))
    block = lay(shorten(one.payload) for one in records)
    return f.Coded(records[0].origin, records[0].incarnation, records[0].sequence, steps, block)


def nack(eve: Outsider, run: PeerId, *sequences: int) -> f.Signed:
    return eve.sign(
        f.Nack(*eve.peer_id, eve.count(), (f.Missing(*run, tuple((one, one) for one in sequences)),))
    )


def listen(lan: simulation.Lan) -> list[list[f.Frame]]:
    """What is sent from now on, a list of frames a datagram."""
    said: list[list[f.Frame]] = []

    def transmitted(data: bytes, *_: object) -> None:
        header = decode_header(data)
        assert isinstance(header, Header)
        frames = lan.checks.open(header, data)
        assert isinstance(frames, list)
        said.append(frames)

    lan.on_transmit = transmitted
    return said


def texts(member: simulation.Member) -> list[bytes]:
    return [message.data for message in member.messages()]


# What goes together.


def test_records_that_different_receivers_lack_go_together() -> None:
    askers = Askers()
    for run, sequences in zip(RUNS, [[1, 2], [3], [2, 4], []], strict=False):
        askers.note(run, sequences)
    assert askers.partners(1, [2, 3, 4]) == [3, 4]
    assert askers.partners(2, [1, 3, 4]) == [3]
    assert askers.partners(5, [1, 2]) == [], "nobody asked for it"
    askers.coded([1, 3, 4])
    assert askers.partners(2, [1, 3, 4]) == []


def test_what_most_lack_is_matched_first() -> None:
    askers = Askers()
    for run, sequence in zip(RUNS[:4], [1, 2, 3, 3], strict=True):
        askers.note(run, [sequence])
    askers.note(RUNS[2], [2])
    assert askers.partners(1, [2, 3]) == [2]
    askers.note(RUNS[4], [3])
    assert askers.partners(1, [2, 3]) == [3]


def test_a_record_that_was_coded_often_or_that_many_lack_goes_plain() -> None:
    askers = Askers()
    for attempt in range(table.CODED_TRIES + 2):
        askers.note(RUNS[0], [1])
        askers.note(RUNS[1], [2])
        assert askers.partners(2, [1]) == ([1] if attempt < table.CODED_TRIES else [])
        askers.coded([1])
        askers.plain(2)
    for run in RUNS[2:]:
        askers.note(run, [3])
    askers.note(RUNS[0], [4])
    assert askers.partners(4, [3]) == askers.partners(3, [4]) == []
    askers.note(RUNS[1], [5])
    assert askers.partners(5, [4]) == [4]
    askers.plain(4)
    assert askers.partners(5, [4]) == []


def test_far_records_and_more_than_eight_do_not_go_together() -> None:
    askers = Askers()
    for sequence, run in enumerate(RUNS):
        askers.note(run, [sequence + 1])
    askers.note(PeerId(b"far" * 6, 1), [table.REACH + 2])
    assert len(askers.partners(1, range(2, 40))) == CODED_MAX - 1
    assert askers.partners(1, [table.REACH + 2]) == []
    assert askers.partners(2, [table.REACH + 2]) == [table.REACH + 2]


def test_what_waits_for_its_turn_is_known_and_taken_out_of_turn() -> None:
    repairs = Repairs()
    repairs.gather(RUNS[0], [1, 2, 3], 0.0)
    assert repairs.pending(RUNS[0], [1, 2, 4]) == [1, 2]
    repairs.tick(0.0)
    repairs.at_once(RUNS[1], 9)
    assert repairs.pending(RUNS[0], [1, 2, 4]) == [1, 2]
    assert repairs.waiting(RUNS[0], 2) == [1, 2]
    assert repairs.waiting(RUNS[0], 9) == [1, 2, 3]
    repairs.left(RUNS[0], 2, 1.0)
    assert repairs.waiting(RUNS[0], 9) == [1, 3]
    assert repairs.fresh(RUNS[0], [2], 1.5, 1.0) == [], "it was repaired just now"


def test_a_flood_of_nacks_fills_a_bounded_table() -> None:
    askers = Askers()
    for start in range(0, 10 * table.RECORDS, table.RECORDS // 2):
        askers.note(RUNS[0], range(start, start + table.RECORDS // 2))
        askers.note(RUNS[1], range(start, start + table.RECORDS // 2))
        assert len(askers) <= 2 * table.RECORDS
        askers.coded(range(start + 100, start + 100 + table.RECORDS // 4))
    assert len(askers) <= 2 * table.RECORDS
    askers.note(RUNS[2], [1])
    assert askers.partners(1, [1]) == []
    for run in RUNS:
        askers.note(run, [2])
    assert len(askers._of[2]) == table.ASKERS


# The author.


@pytest.mark.parametrize("turns", [(2, 3), (3, 2)])
@pytest.mark.parametrize(("limit", "coded"), [(1279, 1), (1278, 0)])
def test_an_author_codes_what_fits(limit: int, coded: int, turns: tuple[int, int]) -> None:
    """The longer of two records has a payload of 1230 bytes, a CODED frame with it one of 1235."""
    lan = simulation.Lan(1)
    ada = lan.join("ada")
    lan.run(1.0)
    for number in range(3):
        ada.send(bytes([number]) * (1100 + 10 * number))
        lan.run(0.1)
    ada.engine._state.fit(limit)
    one, two = Outsider(lan, 98), Outsider(lan, 99)
    one.say(one.key, nack(one, ada.engine.peer_id, turns[0]))
    two.say(two.key, nack(two, ada.engine.peer_id, turns[1]))
    lan.run(0.5)
    stats = ada.engine.stats()
    assert stats.get("sent-coded", 0) == coded
    assert stats["sent-repair"] == 2 - coded
    assert len(ada.engine._state.askers) == 2 * coded, "of what went plain nothing is kept"
    assert not ada.engine._state.askers._of


def test_only_what_is_ours_is_coded() -> None:
    lan = simulation.Lan(15)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    for number in range(3):
        for member in (ada, bob):
            member.send(b"%d" % number)
        lan.run(0.1)
    one, two = Outsider(lan, 98), Outsider(lan, 99)
    state = ada.engine._state
    bob.crash()
    state.repairs.gather(bob.engine.peer_id, [1], lan.now + 9.0)
    one.say(one.key, nack(one, bob.engine.peer_id, 1), nack(one, ada.engine.peer_id, 99))
    assert len(state.askers) == 0
    state.repairs.at_once(bob.engine.peer_id, 1)
    for asker, sequence in ((one, 1), (two, 2)):
        state.repairs.at_once(ada.engine.peer_id, sequence)
        state.askers.note(asker.peer_id, [sequence])
    said = listen(lan)
    ada.pump()
    plain, coded = (frames[-1] for frames in said)
    assert isinstance(plain, Record)
    assert (plain.origin, plain.sequence) == (bob.engine.peer_id.origin, 1)
    assert isinstance(coded, f.Coded)
    assert coded.sequences == (1, 2)


def test_what_is_not_new_goes_plain_with_its_age() -> None:
    lan = simulation.Lan(13)
    ada = lan.join("ada")
    lan.run(1.0)
    for pause in (0.0, 0.0, 0.9, 0.2):
        lan.run(pause)
        ada.send(bytes(100))
        lan.run(0.01)
    state = ada.engine._state
    for run, sequence in zip(RUNS, [1, 3, 2, 4], strict=False):
        state.repairs.gather(ada.engine.peer_id, [sequence], lan.now)
        state.askers.note(run, [sequence])
    state.repairs.tick(lan.now)
    said = listen(lan)
    ada.pump()
    assert [[type(frame).__name__ for frame in frames] for frames in said] == [
        ["History", "Record"],
        ["Coded"],
        ["History", "Record"],
    ]


def test_what_was_overwritten_meanwhile_goes_into_no_block() -> None:
    lan = simulation.Lan(2, settings=Settings(sent_records=4))
    ada = lan.join("ada")
    lan.run(1.0)
    for number in range(6):
        ada.send(b"%d" % number)
        lan.run(0.01)
    state = ada.engine._state
    for run, sequence in zip(RUNS, [4, 1, 3], strict=False):
        state.repairs.gather(ada.engine.peer_id, [sequence], lan.now)
        state.askers.note(run, [sequence])
    state.repairs.tick(lan.now)
    assert state.askers.partners(4, [1, 3]) == [1, 3]
    ada.pump()
    stats = ada.engine.stats()
    assert (stats["sent-coded"], stats["sent-repair"]) == (1, 1)


# The receiver.


def meet(seed: int, settings: Settings | None = None) -> tuple[simulation.Lan, simulation.Member, Outsider]:
    """A member that knows an author; the records the author says arrive, and nobody answers NACKs."""
    lan = simulation.Lan(seed, settings=settings)
    bob = lan.join("bob")
    lan.run(1.0)
    eve = Outsider(lan)
    eve.say(eve.key)
    return lan, bob, eve


def test_the_record_that_is_lacking_comes_out_and_is_delivered_once() -> None:
    _, bob, eve = meet(3)
    one, two, three = (eve.record(n, b"%d" % n * n * 50) for n in (1, 2, 3))
    eve.say(one)
    eve.say(three)
    for _ in range(2):
        eve.say(code([one, two, three]))
    assert texts(bob) == [one.body, two.body, three.body]
    assert drops(bob, "duplicate") == 1


def test_a_record_that_came_in_the_same_datagram_helps_to_decode() -> None:
    _, bob, eve = meet(10)
    one, two, three, four = (eve.record(n, b"%d" % n) for n in (1, 2, 3, 4))
    eve.say(one, two, code([two, three]), code([three, four]))
    assert texts(bob) == [b"1", b"2", b"3", b"4"]


def test_what_waits_for_its_turn_helps_to_decode_though_it_is_not_retained() -> None:
    _, bob, eve = meet(12, Settings(retained_records=8))
    records = [eve.record(n, b"%d" % n) for n in range(1, 10)]
    eve.say(records[0])
    for one in records[2:]:
        eve.say(one)
    assert bob.engine._state.retention.get(eve.peer_id, 3) is None
    eve.say(code(records[1:3]))
    assert texts(bob) == [b"%d" % n for n in range(1, 10)]


def test_a_record_of_the_past_that_was_asked_for_counts_as_come() -> None:
    lan, bob, eve = meet(11)
    one, two = (eve.record(n, b"%d" % n) for n in (1, 2))
    eve.say(one)
    syncing = bob.engine._state.past.syncing
    teller = ("10.9.9.8", 28003)
    syncing.told(teller, bytes(16), lan.now)
    assert syncing.expects(teller, bytes(16), 0, lan.now)
    lacking = RangeSet()
    lacking.add(2, 4)
    syncing.page(
        f.Vector(bytes(16), 0, 1, (f.Holding(*eve.peer_id, 1, 3, ()),)), {eve.peer_id: lacking}, lan.now
    )
    assert syncing.wants(eve.peer_id, 2)
    eve.say(code([one, two]))
    assert not syncing.wants(eve.peer_id, 2)
    assert texts(bob) == [b"1", b"2"]


def test_what_two_records_lack_is_kept_until_one_came() -> None:
    lan, bob, eve = meet(4)
    one, two, three, four = (eve.record(n, b"%d" % n) for n in (1, 2, 3, 4))
    eve.say(one)
    eve.say(code([two, three]))
    eve.say(code([three, four]))
    assert texts(bob) == [b"1"]
    eve.say(four)
    lan.run(1.0)
    assert texts(bob) == [b"1", b"2", b"3", b"4"], "one by the other"
    assert len(bob.engine._state.undecoded) == 0
    eve.say(code([eve.record(6), eve.record(7)]))
    eve.say(eve.record(5))
    eve.say(eve.record(6))
    eve.say(eve.record(7))
    eve.say(eve.record(9))
    lan.run(1.0)
    assert len(bob.engine._state.undecoded) == 0, "of no use any more"


@pytest.mark.parametrize(("kept", "age"), [(0.5, 0.0), (2.0, 2.0)])
def test_what_comes_out_late_is_as_old_as_the_frame_has_been_kept(kept: float, age: float) -> None:
    lan, bob, eve = meet(14)
    one, two, three = (eve.record(n, b"%d" % n) for n in (1, 2, 3))
    eve.say(one)
    eve.say(code([two, three]))
    lan.run(kept)
    eve.say(three)
    before = lan.now
    lan.run(0.5)
    held = bob.engine._state.retention.kept(eve.peer_id, 2)
    assert held is not None
    assert held.at == pytest.approx(before - age, abs=0.4)


def test_who_codes_forges_nothing() -> None:
    lan, bob, eve = meet(5)
    one, two, three = (eve.record(n, b"%d" % n * 40) for n in (1, 2, 3))
    eve.say(one)
    good = code([one, two])
    liar = Outsider(lan, 5)
    long = good.block[:76] + b"\xff\xff" + good.block[78:]
    cuts = [bytes(len(good.block)), long, b"", b"\1", good.block[:-1] + b"?", good.block + b"?"]
    for block in cuts:
        liar.say(msgspec.structs.replace(good, block=block))
    reasons = {
        reason: drops(bob, reason) for reason in ("bad-proof", "truncated", "padding", "bad-signature")
    }
    assert sum(reasons.values()) == len(cuts)
    assert all(reasons.values())
    eve.say(code([two, three]))
    liar.say(msgspec.structs.replace(code([three, eve.record(4)]), block=b"\xff" * 200))
    eve.say(two)
    eve.say(eve.record(6))
    lan.run(1.0)
    assert texts(bob) == [one.body, two.body, three.body]
    assert drops(bob, "bad-proof") > reasons["bad-proof"], "what was kept is judged too"


def test_coded_repairs_of_strangers_of_oneself_and_of_what_is_gone_are_dropped() -> None:
    _, bob, eve = meet(6, Settings(retained_records=8))
    records = [eve.record(n) for n in range(1, 8)]
    eve.say(code(records[:2]))
    assert drops(bob, "unknown-origin") == 1
    for one in records[:6]:
        eve.say(one)
    eve.say(code([records[0], records[6]]))
    assert drops(bob, "not-held") == 1
    own = drops(bob, "own")
    eve.say(f.Coded(*bob.engine.peer_id, 1, (1,), bytes(100)))
    assert drops(bob, "own") == own + 1


def test_a_flood_of_coded_repairs_that_yield_nothing_is_bounded_and_forgotten_with_its_run() -> None:
    lan, bob, eve = meet(7)
    eve.say(eve.record(1))
    for sequence in range(3, 3 + 2 * KEPT):
        eve.say(f.Coded(*eve.peer_id, sequence, (1,), bytes(100)))
    state = bob.engine._state
    assert len(state.undecoded) == KEPT
    assert {frame.sequence for frame, _, _ in state.undecoded.all()} == set(range(3 + KEPT, 3 + 2 * KEPT))
    eve.say(f.Coded(*eve.peer_id, 2, (60_000,), bytes(100)))
    assert state.undecoded.all()[-1][0].sequence == 2, "what is too far ahead is lacking too"
    state.undecoded.add(f.Coded(b"nobody" * 2 + b"else", 1, 1, (1,), bytes(100)), None, lan.now)
    eve.say(eve.record(3))
    lan.run(1.0)
    assert len(state.undecoded) == KEPT - 1
    assert texts(bob) == [b"x"]


def test_a_block_gives_back_what_lies_in_it_alone() -> None:
    one, two = (Outsider(simulation.Lan(8)).record(n, b"%d" % n) for n in (1, 2))
    frame = code([one, two])
    assert restore(frame, 2, lay([frame.block, shorten(one.payload)])) == two
    with pytest.raises(Malformed) as caught:
        restore(frame, 2, frame.block)
    assert caught.value.reason in set(DropReason)
    assert lay([]) == b""


# Asking together.


@pytest.mark.parametrize("size", [CHORUS, CHORUS + 1])
def test_few_ask_together_and_name_what_others_asked_for(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lan, bob, eve = meet(9)
    eve.say(eve.record(1))
    reception = bob.engine._state.reception
    inbox = reception.get(eve.peer_id)
    assert inbox is not None
    inbox.grtt = 1.0
    for sequence in (3, 5):
        inbox.accept(record(sequence), None, lan.now)
    reception.lacks(inbox, lan.now, size)
    monkeypatch.setattr(reception._generator, "random", lambda: 0.9)
    reception._asks.set(eve.peer_id, lan.now + 0.5)
    reception.overheard(eve.peer_id, [(2, 3)], lan.now, size)
    assert reception.when() == lan.now + 0.5, "within the grace nobody asks"
    reception.overheard(eve.peer_id, [(2, 3)], lan.now + 0.02, size)
    reception.overheard(eve.peer_id, [(2, 3)], lan.now + 0.2, size)
    when = lan.now + (0.47 if size == CHORUS else 0.5)
    assert reception.when() == pytest.approx(when), "sooner, never later"
    inbox.accept(record(7), None, when - 0.005)
    monkeypatch.setattr(reception._generator, "random", lambda: 0.0)
    pages, _ = reception.nack(when + 1e-6, size, 1000)
    assert [entry.ranges for entry in pages[0]] == [((2, 2), (4, 4)) if size == CHORUS else ((4, 4),)]
    assert reception.when() == pytest.approx(when + (0.01 if size == CHORUS else 0.005), abs=1e-4)


def test_what_others_asked_for_long_ago_is_not_named() -> None:
    gaps = Gaps()
    gaps.notice(2, 3, 0.0)
    gaps.overheard([(2, 3)], 1.0)
    assert gaps.ripe(1.5, 0.0, 1.0, 1.0, 10, 1.2) == []
    asked = gaps.ripe(1.5, 0.0, 1.0, 1.0, 10, 0.9)
    assert len(asked) == 1
    gaps.asked(asked, 1.5)
    assert gaps.ripe(1.6, 0.0, 1.0, 1.0, 10, 0.9) == [], "what we asked for ourselves is not named again"
