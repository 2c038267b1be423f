"""Ranges, streams, gaps, fragments, bundling and what is kept: the parts that hold records."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcast.core.fragments import LIMIT, Fragments
from mcast.core.gaps import Gaps
from mcast.core.outbox import Outbox
from mcast.core.peer_id import PeerId
from mcast.core.ranges import RangeSet, collapse
from mcast.core.repair import READY, RECENT, Repairs
from mcast.core.repeats import Repeats
from mcast.core.retention import Retention, Sent
from mcast.core.stream import Stream
from mcast.core.waiting import MOST, Waiting
from mcast.errors import MessageTooLarge
from mcast.wire import bodies
from mcast.wire.reasons import DropReason
from mcast.wire.records import Kind

from .core_support import record

RUN = PeerId(b"o" * 16, 1)


def test_ranges_merge_split_and_forget_the_lowest() -> None:
    ranges = RangeSet(limit=2)
    assert not ranges
    ranges.add(5, 5)
    ranges.add(10, 12)
    ranges.add(12, 15)
    ranges.add(1, 2)
    assert list(ranges) == [(1, 2), (10, 15)]
    assert 14 in ranges
    assert 15 not in ranges
    ranges.add(20, 21)
    assert list(ranges) == [(10, 15), (20, 21)]
    assert len(ranges) == 2
    assert ranges.remove(20)
    assert not ranges.remove(20)
    assert not ranges.remove(3)
    assert ranges.remove(12)
    assert list(ranges) == [(10, 12), (13, 15)]


def test_collapse_makes_ranges() -> None:
    assert collapse([1, 2, 3, 7, 9]) == [(1, 4), (7, 8), (9, 10)]
    assert collapse([]) == []


def test_a_stream_delivers_in_order_once() -> None:
    stream = Stream(1, window=10)
    assert stream.accept(record(2)) == ([], False)
    assert stream.held(2) is not None
    assert stream.refuse(2) is DropReason.DUPLICATE
    ready, late = stream.accept(record(1))
    assert [r.sequence for r in ready] == [1, 2]
    assert not late
    assert stream.refuse(1) is DropReason.DUPLICATE
    assert stream.contiguous == 2
    assert stream.held_bytes == 0
    assert stream.refuse(13) is DropReason.OUT_OF_WINDOW
    assert stream.refuse(12) is None


def test_a_given_up_record_is_late_and_only_once() -> None:
    stream = Stream(1, window=10)
    stream.accept(record(3))
    lost, ready = stream.give_up(3)
    assert lost == [(1, 3)]
    assert [r.sequence for r in ready] == [3]
    assert stream.refuse(2) is None
    assert stream.accept(record(2)) == ([record(2)], True)
    assert stream.refuse(2) is DropReason.DUPLICATE


def test_giving_up_beyond_what_is_held_delivers_it_on_the_way() -> None:
    stream = Stream(1, window=10)
    stream.accept(record(2))
    lost, ready = stream.give_up(5)
    assert lost == [(1, 2), (3, 5)]
    assert [r.sequence for r in ready] == [2]
    assert stream.next == 5
    assert stream.high == 4


def test_giving_up_steps_over_what_follows_itself() -> None:
    stream = Stream(1, window=10)
    for sequence in (2, 3, 5):
        stream.accept(record(sequence))
    lost, ready = stream.give_up(2**62)
    assert lost == [(1, 2), (4, 5), (6, 2**62)]
    assert [r.sequence for r in ready] == [2, 3, 5]
    assert stream.high == stream.claimed == 2**62 - 1
    assert stream.given_up(10**9)


def test_learning_never_passes_the_window() -> None:
    stream = Stream(1, window=10)
    assert stream.learn(2**62) == (1, 11)
    assert stream.learn(5) == (11, 11)
    assert stream.claimed == 2**62


def test_what_is_held_can_be_forgotten() -> None:
    stream = Stream(1, window=10)
    stream.accept(record(5))
    stream.accept(record(3))
    assert stream.forget_held() == [(3, 4), (5, 6)]
    assert stream.refuse(3) is None
    assert stream.held_bytes == 0


def _ripe(gaps: Gaps, now: float, hold: float) -> list[tuple[int, int]]:
    return [(span.start, span.stop) for span in gaps.ripe(now, 0.01, hold, hold)]


def test_a_gap_is_asked_for_after_the_grace_and_again_after_the_hold() -> None:
    gaps = Gaps()
    gaps.notice(5, 8, now=1.0)
    assert len(gaps) == 1
    assert _ripe(gaps, 1.005, 0.1) == []
    assert gaps.when(0.01, 0.1, 1.0) == 1.01
    assert _ripe(gaps, 1.01, 0.1) == [(5, 8)]
    (gap,) = gaps.asked(gaps, 1.01)
    assert (gap.first, gap.last) == (5, 7)
    assert _ripe(gaps, 1.05, 0.1) == []
    assert _ripe(gaps, 1.11, 0.1) == [(5, 8)]
    assert gaps.asked(gaps, 1.11) == []
    assert gaps.found(6) is None
    assert 6 not in gaps
    assert 7 in gaps
    assert gaps.found(5) is None
    assert gaps.found(7) is gap
    assert not gaps


def test_gaps_that_touch_are_told_as_one() -> None:
    gaps = Gaps()
    gaps.notice(1, 3, now=0.0)
    gaps.notice(3, 5, now=1.0)
    gaps.notice(7, 8, now=1.0)
    gaps.notice(5, 6, now=2.0)
    assert [(gap.first, gap.last, gap.remaining) for gap in gaps.asked(gaps, 3.0)] == [(1, 5, 5), (7, 7, 1)]
    gaps.notice(8, 9, now=3.0)
    assert [(gap.first, gap.last) for gap in gaps.asked(gaps, 3.0)] == [(8, 8)]


def test_another_nack_defers_ours_twice_and_no_more() -> None:
    gaps = Gaps()
    gaps.notice(1, 2, now=0.0)
    gaps.notice(4, 6, now=0.0)
    for now in (1.0, 2.0, 3.0):
        gaps.overheard([(1, 2), (5, 1000)], now)
    assert _ripe(gaps, 3.0, 0.5) == [(1, 2), (4, 6)]
    assert _ripe(gaps, 2.1, 0.5) == [(4, 6)]
    gaps.asked(gaps, 3.0)
    gaps.overheard([(1, 2)], 4.0)
    assert _ripe(gaps, 4.1, 0.5) == [(4, 6)]


def test_who_asks_in_vain_asks_less_and_less() -> None:
    gaps = Gaps()
    gaps.notice(1, 2, now=0.0)
    times = [gaps.when(0.01, 0.1, 60.0)]
    for _ in range(40):
        gaps.asked(gaps, times[-1])
        times.append(gaps.when(0.01, 0.1, 60.0))
    pauses = [round(b - a, 3) for a, b in pairwise(times)]
    assert pauses[:10] == [0.1] * 8 + [0.2, 0.4]
    assert pauses[-1] == 60.0
    gaps.again()
    assert gaps.when(0.01, 0.1, 60.0) == 0.01


def test_lost_records_are_no_longer_wanted() -> None:
    gaps = Gaps()
    gaps.lost(4)
    gaps.notice(1, 5, now=0.0)
    gaps.lost(1)
    assert 1 in gaps
    gaps.lost(4)
    assert 3 not in gaps
    assert 4 in gaps
    assert gaps.first() is not None
    gaps.lost(5)
    assert gaps.first() is None


def _fragments(total: bytes, pieces: int, start: int) -> list[tuple[int, Kind, bytes]]:
    size = len(total) // pieces
    cut = [total[at : at + size] for at in range(0, size * (pieces - 1), size)] + [
        total[size * (pieces - 1) :]
    ]
    kinds = [Kind.FIRST] + [Kind.MIDDLE] * (pieces - 2) + [Kind.LAST]
    cut[0] = bodies.encode_first(len(total), cut[0])
    return [(start + n, kind, body) for n, (kind, body) in enumerate(zip(kinds, cut, strict=True))]


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]])
def test_fragments_join_in_any_order(order: list[int]) -> None:
    parts = _fragments(b"abcdefgh", 4, 10)
    fragments = Fragments()
    results = [fragments.add(record(s, body, kind)) for s, kind, body in (parts[at] for at in order)]
    assert results == [None, None, None, (13, b"abcdefgh")]
    assert len(fragments) == 0


def test_fragments_of_two_messages_do_not_mix() -> None:
    one, two = _fragments(b"abcdef", 3, 1), _fragments(b"ghijkl", 3, 4)
    fragments = Fragments()
    assert fragments.add(record(one[0][0], one[0][2], one[0][1])) is None
    assert fragments.add(record(two[1][0], two[1][2], two[1][1])) is None
    assert fragments.add(record(two[0][0], two[0][2], two[0][1])) is None
    assert fragments.add(record(3, b"ef", Kind.FIRST)) is None
    assert fragments.add(record(2, b"cd", Kind.MIDDLE)) is None
    assert fragments.add(record(6, b"kl", Kind.LAST)) == (6, b"ghijkl")


def test_fragments_that_do_not_add_up_are_bad() -> None:
    fragments = Fragments()
    fragments.add(record(1, bodies.encode_first(9, b"abc"), Kind.FIRST))
    assert fragments.add(record(2, b"d", Kind.LAST)) is DropReason.BAD_BODY
    fragments.add(record(3, b"", Kind.FIRST))
    assert fragments.add(record(4, b"d", Kind.LAST)) is DropReason.BAD_BODY


def test_fragments_without_an_end_push_each_other_out() -> None:
    fragments = Fragments()
    for sequence in range(1, LIMIT + 50):
        fragments.add(record(sequence, b"", Kind.MIDDLE))
    assert len(fragments) == LIMIT


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


def test_sent_records_are_overwritten_and_low_says_so() -> None:
    sent = Sent(3, 1000)
    assert (sent.low, sent.high) == (1, 0)
    for sequence in range(1, 6):
        sent.add(sequence, b"x" * 10, 0.0)
    assert (sent.low, sent.high) == (3, 5)
    assert sent.get(2) is None
    assert sent.get(3) == b"x" * 10
    sent.add(6, b"y" * 995, 0.0)
    assert sent.low == 6


def test_retention_gives_an_origin_its_share_and_forgets_the_oldest() -> None:
    kept = Retention(8, 10_000, 60.0, 0.25)
    other = PeerId(b"p" * 16, 1)
    for sequence in range(1, 5):
        kept.add(RUN, sequence, b"x", 0.0)
    kept.add(RUN, 4, b"again", 0.0)
    assert [kept.get(RUN, sequence) for sequence in range(1, 5)] == [None, None, b"x", b"x"]
    for origin in range(10):
        kept.add(PeerId(bytes([origin]) * 16, 1), 1, b"z", 10.0)
    assert len(kept) == 8
    assert kept.get(RUN, 3) is None
    kept.add(other, 1, b"x" * 3000, 20.0)
    assert kept.get(other, 1) is None
    kept.expire(65.0)
    assert len(kept) == 8
    kept.expire(75.0)
    assert len(kept) == 0
    assert kept.bytes == 0
    kept.add(other, 1, b"x", 80.0)
    kept.clear()
    assert len(kept) == kept.bytes == 0


def test_repairs_are_gathered_sent_once_and_called_off() -> None:
    repairs = Repairs()
    assert repairs.fresh(RUN, [1, 2, 3], 0.0, 0.1) == [1, 2, 3]
    repairs.gather(RUN, [1, 2, 3], 0.1)
    repairs.gather(RUN, [4], 0.5)
    assert repairs.when() == 0.1
    assert repairs.fresh(RUN, [3, 4, 5], 0.0, 0.1) == [5]
    repairs.heard(RUN, 2, 0.05)
    repairs.heard(RUN, 99, 0.05)
    repairs.tick(0.1)
    assert repairs.ready
    assert repairs.fresh(RUN, [1], 0.1, 0.1) == []
    repairs.heard(RUN, 4, 0.1)
    assert [repairs.take(0.1), repairs.take(0.1)] == [(RUN, 1), (RUN, 3)]
    assert not repairs.ready
    assert repairs.fresh(RUN, [1, 2], 0.12, 0.1) == []
    assert repairs.fresh(RUN, [1, 2], 0.21, 0.1) == [1, 2]


def test_a_repair_that_everybody_has_is_forgotten() -> None:
    repairs = Repairs()
    repairs.gather(RUN, [1], 0.1)
    repairs.heard(RUN, 1, 0.0)
    assert repairs.when() is None


def test_other_holders_wait_until_somebody_asks_again() -> None:
    repairs = Repairs()
    assert repairs.insisted(RUN, [1, 2], 0.0, 0.1, b"a") == []
    assert repairs.insisted(RUN, [1, 2, 3], 0.05, 0.1, b"b") == []
    assert repairs.insisted(RUN, [1, 2, 3], 0.1, 0.1, b"b") == [1, 2]
    assert repairs.insisted(RUN, [1], 100.0, 0.1, b"b") == []


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


def test_repairs_are_bounded() -> None:
    repairs = Repairs()
    repairs.gather(RUN, range(READY + 10), 0.0)
    repairs.tick(0.0)
    while repairs.ready:
        repairs.take(0.0)
    repairs.gather(RUN, range(READY, READY + 10), 0.0)
    repairs.tick(0.0)
    assert repairs.take(0.0) == (RUN, READY)
    assert len(repairs._recent) == RECENT


def test_repeats_forget_the_oldest() -> None:
    repeats = Repeats(2)
    for number in range(9):
        repeats.add(number)
        latest = range(max(0, number - 1), number + 1)
        assert all(repeats.seen(one) for one in latest), "the last two are known"
        assert 0 < len(repeats) < 4
    assert not repeats.seen(0)


def test_records_wait_for_a_while_and_within_bounds() -> None:
    waiting: Waiting[str] = Waiting()
    assert waiting.when() is None
    assert waiting.add("key", record(1), None, 1.0)
    assert waiting.add("key", record(2), None, 1.5)
    assert waiting.when() == 2.0
    assert not waiting.add("other", record(3, bytes(MOST)), None, 1.5)
    assert [waiter.record.sequence for waiter in waiting.take("key")] == [1, 2]
    assert waiting.take("key") == []
    waiting.add("late", record(1), None, 3.0)
    assert waiting.tick(3.5) == 0
    assert len(waiting) == 1
    assert waiting.tick(4.0) == 1
