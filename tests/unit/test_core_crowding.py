"""A full buffer of records that wait for earlier ones: what is due early gets in, what is due late goes."""

from __future__ import annotations

from random import Random

from mcast import simulation
from mcast.core.inbox import Inbox
from mcast.core.reception import FORGOTTEN, SHARE, Reception
from mcast.core.runs import Run
from mcast.core.stream import Stream
from mcast.settings import Settings

from .core_support import record

RUN = Run(b"o" * 16, 1)
SIZE = len(record(1, bytes(95)).payload)
ROOM = 100  # records that one run may hold


def crowd() -> tuple[Reception, Inbox]:
    """A reception with one inbox that lacks record 1, holds 2, 4, 6 … and has no room left."""
    reception = Reception(
        generator=Random(1),
        window=8192,
        grace=0.01,
        held_bytes=ROOM * SIZE * SHARE,
        limit=10,
        history=False,
        floor=0.002,
    )
    inbox = reception.open(RUN, "", 1, 0, 0, lambda run: True)
    assert isinstance(inbox, Inbox)
    for place in range(1, ROOM + 1):
        assert not reception.crowded(inbox, 2 * place, SIZE)
        inbox.accept(record(2 * place, bytes(95)), None, 0.0)
    reception.lacks(inbox, 0.0, 2)
    return reception, inbox


def test_what_would_be_due_last_finds_no_room() -> None:
    reception, inbox = crowd()
    assert reception.crowded(inbox, 2 * ROOM + 2, SIZE)
    assert inbox.stream.top == 2 * ROOM


def test_what_is_due_early_pushes_out_what_is_due_last() -> None:
    reception, inbox = crowd()
    assert not reception.crowded(inbox, 3, SIZE)
    assert inbox.stream.held_bytes == (ROOM - FORGOTTEN) * SIZE
    assert inbox.stream.top == 2 * (ROOM - FORGOTTEN)
    assert 2 * ROOM in inbox.gaps, "it is asked for again later"


def test_nothing_is_asked_for_that_could_not_be_kept() -> None:
    reception, inbox = crowd()
    inbox.learn(3 * ROOM, 0.0)
    when = reception.when()
    assert when is not None
    pages, _ = reception.nack(when + 1.0, 2, 10_000)
    asked = [last for page in pages for missing in page for _, last in missing.ranges]
    assert max(asked) < 2 * ROOM
    assert min(asked) == 1


def test_an_empty_stream_has_no_top() -> None:
    assert Stream(1, 100).top == 0


def test_a_receiver_with_little_room_still_gets_everything() -> None:
    """What came early fills the room while the first record is missing: the others must get in."""
    settings = Settings(held_bytes=SHARE * 32_768)
    lan = simulation.Lan(seed=5, settings=settings, loss=0.3)
    sender, receiver = lan.join("ada"), lan.join("bob")
    lan.run(3.0)
    for number in range(400):
        sender.send(f"{number}".ljust(1000))
        lan.run(0.001)
    lan.run(20.0)
    assert [message.data.split()[0] for message in receiver.messages()] == [b"%d" % n for n in range(400)]
