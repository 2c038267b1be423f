"""The event queue: order, bounds, Overflow, waiting and the end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable

import pytest

from mcast.core.events import PeerId
from mcast.errors import UsageError
from mcast.events import (
    Answer,
    Event,
    GapOpened,
    InterfacesChanged,
    Message,
    Overflow,
    PeerJoined,
    PeerView,
    PlainText,
    PrivateMessage,
    Question,
)
from mcast.net.address import GroupAddress
from mcast.runtime.event_queue import PATIENCE, EventQueue, ThreadEventQueue

PEER = PeerId(bytes(16), 1)
GROUP = GroupAddress("239.0.0.1", 1)


def test_only_a_closed_loop_is_forgiven() -> None:
    """Whoever waits would wait for ever if a wake-up from a wrong thread were swallowed."""
    queue = EventQueue()
    refused: list[BaseException] = []

    def put() -> None:
        try:
            queue.put([gap(1)])
        except RuntimeError as error:
            refused.append(error)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        future = loop.create_future()
        future.add_done_callback(str)
        queue._waiting.add(future)
        thread = threading.Thread(target=put)
        thread.start()
        thread.join()

    asyncio.run(main())
    assert len(refused) == 1


def message(number: int, size: int = 1) -> Message:
    return Message(bytes(16), 1, number, 0, bytes(size), 0)


def gap(number: int) -> GapOpened:
    return GapOpened(PEER, number, number)


def plain(size: int) -> PlainText:
    return PlainText(bytes(size), None, ("10.0.0.1", 1), GROUP, "eth0", 0.0)


def joined(size: int) -> PeerJoined:
    return PeerJoined(PeerView(PEER, "ada", bytes(size), None, True, False, 0.0, 0.0, bytes(8)))


def to_us(kind: Callable[..., Event], size: int) -> Event:
    return kind(bytes(16), 1, 1, bytes(size), 0, "ada", None)


def drained(queue: EventQueue) -> list[Event]:
    return list(iter(queue.pop, None))


@pytest.mark.parametrize("get", [drained, EventQueue.take])
def test_events_come_once_and_in_order(get: Callable[[EventQueue], list[Event]]) -> None:
    queue = EventQueue()
    queue.put([message(1), gap(2)])
    queue.put([message(3)])
    assert get(queue) == [message(1), gap(2), message(3)]
    assert get(queue) == []


@pytest.mark.parametrize("get", [drained, EventQueue.take])
def test_the_oldest_go_and_it_is_said_in_their_place(get: Callable[[EventQueue], list[Event]]) -> None:
    queue = EventQueue(events_max=3)
    queue.put([message(1), gap(2), message(3)])
    queue.put([message(4), message(5), message(6)])
    queue.put([message(7)])
    assert get(queue) == [Overflow(4, 3), message(5), message(6), message(7)]
    assert get(queue) == []
    queue.put([message(8)])
    assert get(queue) == [message(8)]


def test_overflow_counts_on_until_it_is_taken() -> None:
    queue = EventQueue(events_max=1)
    for number in range(5):
        queue.put([message(number)])
    assert queue.pop() == Overflow(4, 4)
    queue.put([gap(5)])
    assert queue.take() == [Overflow(1, 1), gap(5)]


@pytest.mark.parametrize(
    ("event", "messages"),
    [
        (message(1, 60), 1),
        (to_us(PrivateMessage, 60), 1),
        (to_us(Question, 60), 1),
        (to_us(Answer, 60), 1),
        (plain(60), 0),
        (joined(60), 0),
    ],
)
def test_what_others_send_is_bounded_in_bytes(event: Event, messages: int) -> None:
    queue = EventQueue(bytes_max=100)
    queue.put([event])
    assert queue.take() == [event]
    queue.put([event])
    queue.put([event])
    assert queue.take() == [Overflow(1, messages), event]
    # What was taken counts no more, one by one or together.
    for _ in range(5):
        queue.put([event])
        assert queue.pop() == event


def test_an_event_larger_than_all_is_dropped_and_said() -> None:
    queue = EventQueue(bytes_max=10)
    queue.put([message(1, 11)])
    assert drained(queue) == [Overflow(1, 1)]


def test_events_of_our_own_weigh_nothing() -> None:
    queue = EventQueue(bytes_max=0)
    queue.put([gap(1), InterfacesChanged(), Overflow(1, 1)])
    assert queue.take() == [gap(1), InterfacesChanged(), Overflow(1, 1)]


def test_after_the_end_what_is_there_can_be_taken() -> None:
    queue = EventQueue()
    queue.put([message(1)])
    queue.close()
    queue.close()
    queue.put([message(2)])
    assert drained(queue) == [message(1)]


def test_tasks_wait() -> None:
    async def scenario() -> None:
        queue = EventQueue()
        waiting = [asyncio.create_task(queue.wait()) for _ in range(2)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        waiting[0].cancel()
        queue.put([message(1)])
        assert await waiting[1]
        assert waiting[0].cancelled()
        assert queue.take() == [message(1)]
        last = asyncio.create_task(queue.wait())
        await asyncio.sleep(0)
        queue.put([message(2)])
        queue.close()
        assert await last
        assert queue.pop() == message(2)
        assert not await queue.wait()

    asyncio.run(scenario())


def test_a_task_that_finds_it_emptied_waits_on() -> None:
    async def scenario() -> None:
        queue = EventQueue()
        waiting = asyncio.create_task(queue.wait())
        await asyncio.sleep(0)
        queue.put([message(1)])
        queue.take()
        await asyncio.sleep(0.01)
        assert not waiting.done()
        queue.close()
        assert not await waiting

    asyncio.run(scenario())


def test_it_is_waited_at_in_one_loop() -> None:
    queue = EventQueue()

    async def wait(seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(queue.wait(), seconds)

    asyncio.run(wait(0.01))
    with pytest.raises(UsageError, match="one event loop"):
        asyncio.run(wait(1.0))


def test_the_loop_of_who_waits_may_be_gone() -> None:
    queue = EventQueue()
    loop = asyncio.new_event_loop()
    queue._waiting.add(loop.create_future())
    loop.close()
    queue.close()
    assert queue.closed


def test_threads_wait() -> None:
    queue = ThreadEventQueue()
    assert queue.get(timeout=0) is None
    assert queue.get_all(timeout=0.01) == []
    threading.Timer(0.02, queue.put, [[message(1), message(2)]]).start()
    assert queue.get(timeout=10) == message(1)
    assert queue.get_all() == [message(2)]
    threading.Timer(0.02, queue.close).start()
    assert queue.get() is None
    assert queue.get_all() == []


@pytest.mark.parametrize("take", [EventQueue.pop, EventQueue.take])
def test_what_waits_counts_once_somebody_has_taken_something(take: Callable[[EventQueue], object]) -> None:
    """A program that only sends must not slow its peers down."""
    queue = EventQueue()
    queue.put([message(1, 1000)])
    assert queue.backlog == 0
    take(queue)
    queue.put([message(2, 1000), message(3, 1000)])
    assert queue.backlog == 2 * (1000 + 64)
    assert len(drained(queue)) == 2
    assert queue.backlog == 0


class Clock:
    """The time that the queue sees."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.mark.parametrize("take", [EventQueue.pop, EventQueue.take])
def test_senders_slow_down_for_what_waits_only_for_a_while(
    clock: Clock, take: Callable[[EventQueue], object]
) -> None:
    """A program that takes nothing, or too little, must not stop the others."""
    queue = EventQueue()
    take(queue)
    queue.put([message(1, 1000)])
    clock.now += PATIENCE
    queue.put([message(2, 1000)])
    assert queue.backlog == 2 * (1000 + 64)
    clock.now += 0.01
    assert queue.backlog == 0
    take(queue)
    assert queue.backlog == 1000 + 64, "the next came later"
    take(queue)
    assert queue.backlog == 0
    clock.now += 100.0
    queue.put([message(3, 1000)])
    assert queue.backlog == 1000 + 64


def test_who_is_behind_learns_by_how_much(clock: Clock) -> None:
    queue = EventQueue()
    assert queue.behind == 0.0
    for number in range(4):  # the first two come together
        queue.put([message(2 * number), message(2 * number + 1)])
        clock.now += 0.0 if number == 0 else 10.0
    assert queue.take() == [message(0), message(1), message(2), message(3)]
    assert queue.behind == 30.0
    assert queue.pop() == message(4)
    assert queue.behind == 20.0
    assert queue.take() == [message(5)]
    assert queue.behind == 20.0
    assert queue.take() == [message(6), message(7)]
    assert queue.behind == 10.0
    assert queue.take() == []


def test_the_times_of_what_was_dropped_are_dropped(clock: Clock) -> None:
    queue = EventQueue(events_max=2)
    for number in range(4):
        queue.put([message(number)])
        clock.now += 10.0
    assert queue.take() == [Overflow(2, 2), message(2)]
    assert queue.behind == 20.0
    assert len(queue._arrivals) == 1
    queue.put([message(4), message(5), message(6)])
    assert queue.take() == [Overflow(2, 2), message(5), message(6)]
