"""The reorder buffer, large messages put together, and the receive window of one peer."""

from __future__ import annotations

import pytest

from mcast.core.events import GapAbandoned, GapStalled, Message, PeerId
from mcast.core.reliability.window import (
    AFTER_GOODBYE,
    CLAIM,
    CLAIM_SECONDS,
    FRAGMENTS,
    LAST_TRIES,
    PAUSE_GONE,
    PAUSE_HERE,
    STALLED,
    Reassembly,
    ReceiveWindow,
    ReorderBuffer,
)
from mcast.wire import bodies
from mcast.wire.reasons import DropReason
from mcast.wire.records import Kind, Record
from tests.unit.core.support import record

AUTHOR = PeerId(b"o" * 16, 1)
WINDOW = 8192


def _window(size: int = WINDOW) -> ReceiveWindow:
    window = ReceiveWindow(AUTHOR, "ada", 1, size)
    window.trust()
    return window


def test_a_buffer_delivers_in_order_once() -> None:
    buffer = ReorderBuffer(1, window=10)
    assert buffer.accept(record(2)) == ([], False)
    assert buffer.held(2) is not None
    assert buffer.refuse(2) is DropReason.DUPLICATE
    ready, late = buffer.accept(record(1))
    assert [r.sequence for r in ready] == [1, 2]
    assert not late
    assert buffer.refuse(1) is DropReason.DUPLICATE
    assert buffer.contiguous == 2
    assert buffer.held_bytes == 0
    assert buffer.refuse(13) is DropReason.OUT_OF_WINDOW
    assert buffer.refuse(12) is None


def test_a_given_up_record_is_late_and_only_once() -> None:
    buffer = ReorderBuffer(1, window=10)
    buffer.accept(record(3))
    lost, ready = buffer.give_up(3)
    assert lost == [(1, 3)]
    assert [r.sequence for r in ready] == [3]
    assert buffer.refuse(2) is None
    assert buffer.accept(record(2)) == ([record(2)], True)
    assert buffer.refuse(2) is DropReason.DUPLICATE


def test_giving_up_beyond_what_is_held_delivers_it_on_the_way() -> None:
    buffer = ReorderBuffer(1, window=10)
    buffer.accept(record(2))
    lost, ready = buffer.give_up(5)
    assert lost == [(1, 2), (3, 5)]
    assert [r.sequence for r in ready] == [2]
    assert buffer.next == 5
    assert buffer.high == 4


def test_giving_up_steps_over_what_follows_itself() -> None:
    buffer = ReorderBuffer(1, window=10)
    for sequence in (2, 3, 5):
        buffer.accept(record(sequence))
    lost, ready = buffer.give_up(2**62)
    assert lost == [(1, 2), (4, 5), (6, 2**62)]
    assert [r.sequence for r in ready] == [2, 3, 5]
    assert buffer.high == buffer.claimed == 2**62 - 1
    assert buffer.given_up(10**9)


def test_learning_never_passes_the_window() -> None:
    buffer = ReorderBuffer(1, window=10)
    assert buffer.learn(2**62) == (1, 11)
    assert buffer.learn(5) == (11, 11)
    assert buffer.claimed == 2**62


def test_what_is_held_can_be_forgotten() -> None:
    buffer = ReorderBuffer(1, window=10)
    buffer.accept(record(5))
    buffer.accept(record(3))
    assert buffer.forget_held() == [(3, 4), (5, 6)]
    assert buffer.refuse(3) is None
    assert buffer.held_bytes == 0


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
    fragments = Reassembly()
    results = [fragments.add(record(s, body, kind)) for s, kind, body in (parts[at] for at in order)]
    assert results == [None, None, None, (13, b"abcdefgh")]
    assert len(fragments) == 0


def test_fragments_of_two_messages_do_not_mix() -> None:
    one, two = _fragments(b"abcdef", 3, 1), _fragments(b"ghijkl", 3, 4)
    fragments = Reassembly()
    assert fragments.add(record(one[0][0], one[0][2], one[0][1])) is None
    assert fragments.add(record(two[1][0], two[1][2], two[1][1])) is None
    assert fragments.add(record(two[0][0], two[0][2], two[0][1])) is None
    assert fragments.add(record(3, b"ef", Kind.FIRST)) is None
    assert fragments.add(record(2, b"cd", Kind.MIDDLE)) is None
    assert fragments.add(record(6, b"kl", Kind.LAST)) == (6, b"ghijkl")


def test_fragments_that_do_not_add_up_are_bad() -> None:
    fragments = Reassembly()
    fragments.add(record(1, bodies.encode_first(9, b"abc"), Kind.FIRST))
    assert fragments.add(record(2, b"d", Kind.LAST)) is DropReason.BAD_BODY
    fragments.add(record(3, b"", Kind.FIRST))
    assert fragments.add(record(4, b"d", Kind.LAST)) is DropReason.BAD_BODY


def test_fragments_without_an_end_push_each_other_out() -> None:
    fragments = Reassembly()
    for sequence in range(1, FRAGMENTS + 50):
        fragments.add(record(sequence, b"", Kind.MIDDLE))
    assert len(fragments) == FRAGMENTS


def test_a_piece_whose_beginning_cannot_come_is_not_kept() -> None:
    window = _window()
    window.accept(record(1, b"x", Kind.MIDDLE), None, 0.0)
    assert len(window.fragments) == 0
    window.accept(record(3, b"x", Kind.MIDDLE), None, 0.0)
    window.give_up(10.0, 5.0)
    assert len(window.fragments) == 1


def test_what_was_published_before_we_joined_is_not_waited_for() -> None:
    window = ReceiveWindow(AUTHOR, "ada", 1, 100, 9)
    window.accept(record(3), None, 0.0)
    window.accept(record(7), None, 0.0)
    window.asked(list(window.gaps), 0.1)
    events = window.begin_after(6, 0.2)
    assert [type(event).__name__ for event in events] == ["GapFilled", "GapFilled", "Message"]
    assert (window.first, window.buffer.next, window.waiting) == (7, 8, 0)
    assert window.begin_after(7, 0.3) == []
    assert window.begin_after(20, 0.3) == []
    assert (window.buffer.next, window.buffer.high, window.buffer.claimed) == (21, 20, 20)


def test_a_record_before_the_first_that_does_concern_us_is_told_as_lost_and_comes_late() -> None:
    window = ReceiveWindow(AUTHOR, "ada", 5, 100)
    window.accept(record(5), None, 0.0)
    assert window.buffer.refuse(3) is DropReason.DUPLICATE
    assert window.expect_late(3) == [GapAbandoned(AUTHOR, 3, 3, "ada")]
    (event,) = window.accept(record(3), None, 0.0)
    assert isinstance(event, Message)
    assert event.late


def test_thousands_of_gaps_are_given_up_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    window = _window()
    for sequence in range(2, WINDOW, 2):
        window.accept(record(sequence), None, 0.0)
    stops = []
    give_up = ReorderBuffer.give_up

    def counted(buffer: ReorderBuffer, stop: int) -> tuple[list[tuple[int, int]], list[Record]]:
        stops.append(stop)
        return give_up(buffer, stop)

    monkeypatch.setattr(ReorderBuffer, "give_up", counted)
    events = window.give_up(10.0, 5.0)
    assert len(stops) == 1
    told = []
    for event in events:
        assert isinstance(event, Message | GapAbandoned)
        told.append(event.sequence if isinstance(event, Message) else event.first)
    assert told == list(range(1, WINDOW - 1))


def test_gaps_whose_time_has_not_come_are_kept() -> None:
    window = _window()
    window.accept(record(2), None, 0.0)
    window.accept(record(4), None, 3.0)
    events = window.give_up(5.0, 5.0)
    assert [type(event) for event in events] == [GapAbandoned, Message]
    assert 3 in window.gaps


def test_what_the_author_still_holds_is_not_given_up_with_what_it_overwrote() -> None:
    window = _window()
    window.learn(10, 0.0)
    window.overwritten(5, 0.0)
    assert window.gives_up_at(None) == 2.0
    assert window.give_up(2.0, None) == [GapAbandoned(AUTHOR, 1, 4, "ada")]
    assert 5 in window.gaps


def test_records_beyond_the_window_are_asked_for_or_told() -> None:
    """Of a peer that left, and that nobody answers for, the latest window is tried last."""
    window = _window(size=10)
    window.learn(35, 0.0)
    window.accept(record(1), None, 0.0)
    assert window.buffer.high == 11
    window.depart(0.0, said=True)
    window.depart(1.0, said=False)
    told = []
    for now in range(60):
        window.asked(list(window.gaps), float(now))
        told += [event for event in window.give_up(now + 1.0, None) if isinstance(event, GapAbandoned)]
    assert [(event.first, event.last) for event in told] == [(2, 25), (26, 35)]
    assert window.buffer.next == 36


@pytest.mark.parametrize("said", [True, False])
def test_who_left_is_asked_for_long_enough(said: bool) -> None:
    window = _window()
    assert window.gives_up_at(5.0) is None
    window.learn(1, 0.0)
    window.depart(0.0, said)
    for _ in range(LAST_TRIES):
        assert window.gives_up_at(None) is None
        window.asked(list(window.gaps), 0.1)
    assert window.gives_up_at(None) == (AFTER_GOODBYE if said else 300.0)
    window.returned()
    assert window.gives_up_at(None) is None


def test_a_message_that_has_come_in_part_is_told_when_its_window_goes() -> None:
    window = _window()
    window.accept(record(1), None, 0.0)
    window.accept(record(2, bodies.encode_first(9, b"abc"), Kind.FIRST), None, 0.0)
    window.accept(record(3, b"def", Kind.MIDDLE), None, 0.0)
    assert window.close(1.0) == [GapAbandoned(AUTHOR, 2, 3, "ada")]


def test_the_end_of_a_message_whose_beginning_was_given_up_is_not_told_twice() -> None:
    window = _window()
    window.accept(record(2, b"def", Kind.LAST), None, 0.0)
    assert window.give_up(10.0, 5.0) == [GapAbandoned(AUTHOR, 1, 1, "ada")]
    assert window.close(11.0) == []


def _report(window: ReceiveWindow) -> tuple[int, int]:
    """From where to where a report confirms."""
    return window.intact, window.buffer.contiguous


def test_what_was_given_up_is_not_confirmed() -> None:
    window = _window()
    for sequence in (1, 2, 5):
        window.accept(record(sequence), None, 0.0)
    assert _report(window) == (1, 2)
    window.give_up(1.0, gap_timeout=0.5)
    assert _report(window) == (5, 5)
    window.accept(record(3), None, 2.0)
    assert _report(window) == (5, 5), "what comes late may be told, but 4 is lost"


def test_what_was_published_before_we_joined_is_not_confirmed() -> None:
    window = _window()
    window.begin_after(1, 0.0)
    assert window.accept(record(2), None, 0.0)
    assert _report(window) == (2, 2)
    window.begin_after(1, 0.0)
    assert _report(window) == (2, 2)


def test_a_large_message_that_is_not_whole_is_not_confirmed() -> None:
    pieces = _fragments(b"x" * 300, 3, 1)
    window = _window()
    window.accept(record(1, pieces[0][2], Kind.FIRST), None, 0.0)
    window.accept(record(3, pieces[2][2], Kind.LAST), None, 0.0)
    window.give_up(1.0, gap_timeout=0.5)
    assert _report(window) == (4, 3)
    joined_later = ReceiveWindow(AUTHOR, "ada", 2, WINDOW)
    for sequence, kind, body in pieces[1:]:
        joined_later.accept(record(sequence, body, kind), None, 0.0)
    assert _report(joined_later) == (4, 3)


def test_pieces_that_make_room_are_not_confirmed() -> None:
    window = _window()
    window.accept(record(1), None, 0.0)
    sequence, kind, body = _fragments(b"x" * 300, 3, 2)[0]
    window.accept(record(sequence, body, kind), None, 0.0)
    assert window.drop_held(0.0)
    assert _report(window) == (3, 2)
    assert not window.drop_held(0.0)
    assert _report(window) == (3, 2)


def test_a_claim_earns_a_small_window_and_no_word_and_lapses_as_a_whole() -> None:
    window = ReceiveWindow(AUTHOR, "ada", 1, WINDOW, 0)
    window.learn(2**62, 0.0)
    assert [(span.start, span.stop) for span in window.gaps] == [(1, 1 + CLAIM)]
    assert window.asked(list(window.gaps), 0.01) == []
    assert window.stalls_at is None
    assert window.pause == PAUSE_GONE
    assert window.gives_up_at(5.0) == 5.0
    assert window.gives_up_at(None) == window.gives_up_at(100.0) == CLAIM_SECONDS
    assert window.give_up(CLAIM_SECONDS, None) == [GapAbandoned(AUTHOR, 1, 2**62, "ada")]
    assert not window.gaps
    assert window.gives_up_at(None) is None


def test_a_record_of_a_peer_makes_what_it_claims_count() -> None:
    window = ReceiveWindow(AUTHOR, "ada", 1, WINDOW, 0)
    window.learn(2**62, 0.0)
    window.accept(record(400), None, 1.0)
    assert window.proven
    assert window.buffer.high == WINDOW
    assert window.asked(list(window.gaps), 1.01) != []
    assert window.pause == PAUSE_HERE
    assert window.paid > 0


def test_that_a_reader_waits_is_told_once_until_nothing_is_missing() -> None:
    window = _window()
    assert window.stalled(9.0) == []
    window.accept(record(1), None, 0.0)
    window.accept(record(4), None, 0.0)
    assert window.stalls_at == STALLED
    assert window.stalled(STALLED - 0.1) == []
    assert window.stalled(STALLED) == [GapStalled(AUTHOR, 2, 3, "ada")]
    assert window.stalls_at is None
    assert window.stalled(9.0) == []
