"""Under any schedule each peer's messages arrive once and in order; ranges behave like sets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mcast.core.events import GapAbandoned, Message, PeerId
from mcast.core.rangeset import RangeSet, collapse
from mcast.core.reliability.gaps import Gaps
from mcast.core.reliability.sender import Outbox
from mcast.core.reliability.window import ReceiveWindow
from mcast.wire.records import Record

AUTHOR = PeerId(b"o" * 16, 1)

numbers = st.integers(0, 60)


@given(st.lists(st.tuples(numbers, numbers)), st.lists(numbers), st.lists(st.tuples(numbers, numbers)))
def test_a_range_set_is_a_set(
    added: list[tuple[int, int]], removed: list[int], cut: list[tuple[int, int]]
) -> None:
    ranges, model = RangeSet(), set[int]()
    for start, stop in added:
        ranges.add(start, stop)
        model.update(range(start, stop))
    for value in removed:
        assert ranges.remove(value) == (value in model)
        model.discard(value)
    for start, stop in cut:
        ranges.cut(start, stop)
        model -= set(range(start, stop))
    assert list(ranges) == collapse(sorted(model))
    assert all((value in ranges) == (value in model) for value in range(61))


steps = st.lists(
    st.one_of(
        st.tuples(st.just("notice"), st.integers(1, 9)),
        st.tuples(st.just("found"), numbers),
        st.tuples(st.just("lost"), numbers),
        st.tuples(st.just("ask"), numbers),
        st.tuples(st.just("overheard"), numbers),
    ),
    max_size=60,
)


@given(steps)
def test_gaps_are_a_set_in_order(steps: list[tuple[str, int]]) -> None:
    gaps, model, high = Gaps(), set[int](), 0
    for now, (step, value) in enumerate(steps):
        if step == "notice":
            gaps.notice(high + 2, high + 2 + value, float(now))
            model.update(range(high + 2, high + 2 + value))
            high += 1 + value
        elif step == "found" and value in gaps:
            gaps.found(value)
            model.remove(value)
        elif step == "lost":
            gaps.lost(value)
            model = {number for number in model if number >= value}
        elif step == "ask":
            gaps.asked([span for span in gaps if span.start <= value], float(now), tell=value % 2 == 0)
        elif step == "overheard":
            gaps.overheard([(value, value + 20)], float(now))
        spans = [(span.start, span.stop) for span in gaps]
        assert [number for span in spans for number in range(*span)] == sorted(model)
        assert all((number in gaps) == (number in model) for number in range(80))


def _records(messages: list[bytes], flush_every: int, most: int = 32) -> tuple[list[Record], list[bytes]]:
    outbox = Outbox(100, 0.0)
    drafts = []
    for number, message in enumerate(messages):
        outbox.add(message)
        if number % flush_every == 0:
            drafts += outbox.flush(float(number), most)
    while outbox.size:
        assert outbox.when() is not None
        drafts += outbox.flush(1e9, most)
    assert outbox.when() is None, "nothing waits unseen"
    records = [
        Record(AUTHOR.origin, 1, d.sequence, 0, d.kind, 0, d.body, 1, 0, bytes(64), b"", b"proof" + d.body)
        for d in drafts
    ]
    return records, messages


messages = st.lists(st.binary(max_size=350), min_size=1, max_size=40)


@given(
    messages, st.integers(1, 10), st.integers(1, 32), st.randoms(use_true_random=False), st.integers(1, 30)
)
def test_any_order_and_duplication_delivers_once_in_order(
    data: list[bytes], flush_every: int, most: int, random: object, copies: int
) -> None:
    records, sent = _records(data, flush_every, most)
    schedule = records + records[:copies]
    random.shuffle(schedule)  # type: ignore[attr-defined] # hypothesis hands in a random.Random
    window = ReceiveWindow(AUTHOR, "", 1, 8192)
    got: list[bytes] = []
    for now, record in enumerate(schedule):
        if window.buffer.refuse(record.sequence) is None:
            events = window.accept(record, None, float(now))
            got += [event.data for event in events if isinstance(event, Message)]
    assert got == sent
    assert not window.gaps


@given(messages, st.data(), st.randoms(use_true_random=False))
def test_whatever_is_lost_is_told_and_what_comes_late_is_late(
    data: list[bytes], draw: st.DataObject, random: object
) -> None:
    records, sent = _records(data, 3)
    lost = set(draw.draw(st.lists(st.sampled_from(range(len(records))))))
    window = ReceiveWindow(AUTHOR, "", 1, 8192)
    events = []
    for at, record in enumerate(records):
        if at not in lost:
            events += window.accept(record, None, 0.0)
    window.learn(records[-1].sequence, 0.0)
    events += window.give_up(10.0, 5.0)
    told = {
        sequence
        for event in events
        if isinstance(event, GapAbandoned)
        for sequence in range(event.first, event.last + 1)
    }
    assert told == {records[at].sequence for at in lost}
    late = [records[at] for at in sorted(lost)]
    random.shuffle(late)  # type: ignore[attr-defined] # hypothesis hands in a random.Random
    for record in late:
        assert window.buffer.refuse(record.sequence) is None
        events += window.accept(record, None, 20.0)
        assert window.buffer.refuse(record.sequence) is not None
    got = [event for event in events if isinstance(event, Message)]
    assert sorted(message.data for message in got) == sorted(sent)
    in_order = [(message.sequence, message.index) for message in got if not message.late]
    assert in_order == sorted(in_order)
