"""What is missing, and when to ask for it."""

from __future__ import annotations

from itertools import pairwise

from mcast.core.reliability.gaps import WHOLE, Gaps


def _ripe(gaps: Gaps, now: float, hold: float) -> list[tuple[int, int]]:
    return [(span.start, span.stop) for span in gaps.ripe(now, 0.01, hold, hold)]


def test_a_gap_is_asked_for_after_the_grace_and_again_after_the_hold() -> None:
    gaps = Gaps()
    gaps.notice(5, 8, now=1.0)
    assert len(gaps) == 1
    assert _ripe(gaps, 1.005, 0.1) == []
    assert gaps.when(0.01, 0.1, 1.0) == 1.01
    assert _ripe(gaps, 1.01, 0.1) == [(5, 8)]
    (gap,) = gaps.asked(gaps, 1.01, tell=True)
    assert (gap.first, gap.last) == (5, 7)
    assert _ripe(gaps, 1.05, 0.1) == []
    assert _ripe(gaps, 1.11, 0.1) == [(5, 8)]
    assert gaps.asked(gaps, 1.11, tell=True) == []
    assert gaps.found(6) is None
    assert 6 not in gaps
    assert 7 in gaps
    assert gaps.found(5) is None
    assert gaps.found(7) is gap
    assert not gaps


def test_every_other_request_is_for_slices_once_some_were_in_vain() -> None:
    gaps = Gaps()
    gaps.notice(5, 8, now=1.0)
    (span,) = gaps
    asked: list[tuple[bool, bool]] = []
    for number in range(6):
        asked.append((span.sliced(WHOLE), span.sliced(1)))
        assert gaps.in_vain(6) == (number > WHOLE)
        gaps.asked(gaps, 2.0 + number, tell=True)
    assert [after for after, _ in asked] == [False, False, False, True, False, True]
    assert [at_once for _, at_once in asked] == [False, True, False, True, False, True]
    gaps.found(6)
    assert not gaps.in_vain(6)
    assert gaps.in_vain(7)


def test_gaps_that_touch_are_told_as_one() -> None:
    gaps = Gaps()
    gaps.notice(1, 3, now=0.0)
    gaps.notice(3, 5, now=1.0)
    gaps.notice(7, 8, now=1.0)
    gaps.notice(5, 6, now=2.0)
    assert [(gap.first, gap.last, gap.remaining) for gap in gaps.asked(gaps, 3.0, tell=True)] == [
        (1, 5, 5),
        (7, 7, 1),
    ]
    gaps.notice(8, 9, now=3.0)
    assert [(gap.first, gap.last) for gap in gaps.asked(gaps, 3.0, tell=True)] == [(8, 8)]


def test_another_nack_defers_ours_twice_and_no_more() -> None:
    gaps = Gaps()
    gaps.notice(1, 2, now=0.0)
    gaps.notice(4, 6, now=0.0)
    for now in (1.0, 2.0, 3.0):
        gaps.overheard([(1, 2), (5, 1000)], now)
    assert _ripe(gaps, 3.0, 0.5) == [(1, 2), (4, 6)]
    assert _ripe(gaps, 2.1, 0.5) == [(4, 6)]
    gaps.asked(gaps, 3.0, tell=True)
    gaps.overheard([(1, 2)], 4.0)
    assert _ripe(gaps, 4.1, 0.5) == [(4, 6)]


def test_who_asks_in_vain_asks_less_and_less() -> None:
    gaps = Gaps()
    gaps.delivered()
    gaps.notice(1, 2, now=0.0)
    times = [gaps.when(0.01, 0.1, 60.0)]
    for _ in range(40):
        gaps.asked(gaps, times[-1], tell=True)
        times.append(gaps.when(0.01, 0.1, 60.0))
    pauses = [round(b - a, 3) for a, b in pairwise(times)]
    assert pauses[:10] == [0.1] * 8 + [0.2, 0.4]
    assert pauses[-1] == 60.0
    gaps.again()
    assert gaps.when(0.01, 0.1, 60.0) == 0.01


def test_what_concerns_nobody_any_more_closes_the_gaps_that_were_told() -> None:
    gaps = Gaps()
    gaps.notice(1, 4, 0.0)
    gaps.asked(gaps.ripe(1.0, 0.0, 0.0, 1.0), 1.0, tell=True)
    gaps.found(2)
    gaps.notice(6, 9, 1.0)
    gaps.asked(gaps.ripe(2.0, 0.0, 0.0, 1.0), 2.0, tell=True)
    gaps.notice(20, 22, 2.0)
    assert [(gap.first, gap.last) for gap in gaps.void(7)] == [(1, 3)]
    assert [(span.start, span.stop) for span in gaps] == [(7, 9), (20, 22)]
    assert [(gap.first, gap.last) for gap in gaps.void(30)] == [(6, 8)]
    assert not gaps


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


def test_what_is_only_claimed_is_asked_for_twice_before_the_pauses_grow() -> None:
    """Also what is claimed anew, until a record comes."""
    gaps = Gaps()
    gaps.notice(1, 2, now=0.0)
    now, times = 0.01, []
    for _ in range(5):
        times.append(now)
        assert gaps.asked(gaps, now, tell=False) == []
        now = gaps.when(0.01, 0.1, 60.0)
    assert [round(b - a, 3) for a, b in pairwise(times)] == [0.1, 0.1, 0.2, 0.4]
    gaps.notice(2, 3, now)
    (_, more) = gaps
    gaps.asked([more], now + 0.01, tell=False)
    assert more.when(0.01, 0.1, 60.0) - more.asked > 0.7


def test_a_record_after_a_silence_ends_the_long_pauses_and_no_other_does() -> None:
    gaps = Gaps()
    gaps.delivered()
    gaps.notice(1, 2, now=0.0)
    for now in range(12):
        gaps.asked(gaps, float(now), tell=True)
        gaps.fresh = False
        if now < 6:
            gaps.delivered()
            assert not gaps.fresh
    assert gaps.when(0.01, 0.1, 60.0) == 11.0 + 1.6
    gaps.asked(gaps, 12.0, tell=True)
    gaps.asked(gaps, 13.0, tell=True)
    gaps.asked(gaps, 14.0, tell=True)
    gaps.delivered()
    assert gaps.fresh
    assert gaps.when(0.01, 0.1, 60.0) == 14.1
