"""Questions and answers as a program sees them, with a made-up engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from mcast.core.events import Answer, PeerId, PeerView, PrivateMessage, Question
from mcast.errors import McastError, UsageError
from mcast.runtime import asking
from mcast.runtime.asking import Answers, Asking, PrivateReceipt, Replying, recipient, recipients
from mcast.wire.contents import ContentKind

ME, BOB = PeerId(b"m" * 16, 1), PeerId(b"b" * 16, 1)


def peer(number: int, *, answers: bool = True) -> PeerView:
    """A peer that was here before us."""
    return PeerView(
        PeerId(bytes([number]) * 16, 1), f"p{number}", b"", None, True, False, 0, 0, b"", 0, answers
    )


class Engine:
    """What is asked of the engine, and what the test lets it say."""

    def __init__(self, *peers: PeerView) -> None:
        self.peer_id, self.closing = ME, False
        self.here = list(peers)
        self.sent: list[tuple[PeerId, ContentKind, bytes, int]] = []
        self.given_up: list[int] = []
        self.rosters = 0
        self.outcome: bool | None = None
        self.full = self.collecting = False

    def peers(self) -> list[PeerView]:
        return self.here

    def send_to(self, to: PeerId, kind: ContentKind, data: bytes, now: float, **more: Any) -> int:
        if self.full:
            raise McastError("too many", "wait")
        self.sent.append((to, kind, data, more.get("about", 0)))
        return len(self.sent)

    def give_up(self, number: int) -> None:
        self.given_up.append(number)

    def delivered(self, number: int) -> bool | None:
        return self.outcome

    def ask_roster(self, now: float) -> None:
        self.rosters += 1


class Driver:
    """A clock that runs when somebody waits; `then` is called each time."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.now, self.then = 100.0, then

    def step(self) -> None:
        """Nothing leaves."""

    async def progress(self, timeout: float) -> None:
        self.now += min(timeout, 0.05)
        self.then()
        await asyncio.sleep(0)


def make(engine: Engine, driver: Driver, *, visitor: bool = False, began: float = 0.0) -> Asking:
    return Asking(cast(Any, engine), cast(Any, driver), b"up?", began=began, visitor=visitor, on_answer=None)


def answer(number: int, kind: str = "answer") -> Answer:
    return Answer(bytes([number]) * 16, 1, 1, b"yes", 0, about=number, kind=kind)


def ask(asked: Asking, timeout: float = 2.0, count: int | None = None, wait_all: bool = False) -> Answers:
    return asyncio.run(asked.run(timeout, count, wait_all))


def test_it_ends_when_all_who_answer_have_answered() -> None:
    engine, driver = Engine(peer(1), peer(2), peer(3, answers=False)), Driver()
    asked = make(engine, driver)

    def reply() -> None:
        if driver.now >= 100.2 and not asked._answers:
            asked.take(answer(2))
            asked.take(answer(1, "no_answer"))

    driver.then = reply
    answers = ask(asked)
    assert driver.now < 100.4
    assert [one.about for one in answers] == [2]
    assert [one.about for one in answers.failed] == [1]
    assert (len(answers), answers.asked, answers.silent, engine.given_up) == (1, 2, (), [])
    assert [to.origin[0] for to, *_ in engine.sent] == [1, 2]


def test_who_is_silent_is_named_when_time_is_out() -> None:
    engine, driver = Engine(peer(1)), Driver()
    answers = ask(make(engine, driver))
    assert driver.now == pytest.approx(102.0)
    assert [one.name for one in answers.silent] == ["p1"]
    assert engine.given_up == [1]


def test_nobody_waits_for_who_has_left() -> None:
    engine, driver = Engine(peer(1)), Driver()
    driver.then = engine.here.clear
    answers = ask(make(engine, driver))
    assert driver.now < 101.5
    assert len(answers.silent) == 1


def test_enough_answers_are_enough() -> None:
    engine, driver = Engine(peer(1), peer(2)), Driver()
    asked = make(engine, driver)
    driver.then = lambda: asked.take(answer(1))
    assert len(ask(asked, count=1)) == 1
    assert engine.given_up == [2]


def test_who_comes_later_is_asked_too_if_all_are_wanted() -> None:
    engine, driver = Engine(), Driver()

    def come() -> None:
        if driver.now >= 101.5 and not engine.here:
            engine.here.append(peer(1))

    driver.then = come
    asked = make(engine, driver)
    assert ask(asked, wait_all=True).asked == 1
    assert driver.now == pytest.approx(102.0)


def test_a_visitor_asks_who_is_here() -> None:
    engine, driver = Engine(), Driver()
    answers = ask(make(engine, driver, visitor=True, began=100.0))
    assert (engine.rosters, answers.asked) == (4, 0)
    assert 101.5 <= driver.now < 101.7
    engine = Engine(peer(1, answers=False))
    ask(make(engine, driver := Driver(), visitor=True, began=100.0))
    assert engine.rosters == 3
    assert 100.4 <= driver.now < 100.6


def test_it_waits_for_the_rest_of_the_roster() -> None:
    engine, driver = Engine(peer(1, answers=False)), Driver()
    engine.collecting = True

    def arrive() -> None:
        engine.collecting = driver.now < 101.5

    driver.then = arrive
    ask(make(engine, driver))
    assert 101.5 <= driver.now < 101.7


def test_it_ends_with_the_group() -> None:
    engine, driver = Engine(peer(1)), Driver()
    engine.closing = True
    assert ask(make(engine, driver)).asked == 0


def test_answers_are_handed_on_at_once() -> None:
    told: list[tuple[Answer, bool]] = []
    driver = Driver()
    asked = Asking(
        cast(Any, Engine(peer(1), peer(2))),
        cast(Any, driver),
        b"",
        began=0.0,
        visitor=False,
        on_answer=lambda one: told.append((one, driver.now < 100.1)),
    )

    def reply() -> None:
        if not asked._answers:
            asked.take(answer(1, "declined"))

    driver.then = reply
    ask(asked)
    assert told == [(answer(1, "declined"), True)]


def reply(handler: asking.Handler, *, limit: float = 5.0, full: bool = False, questions: int = 1) -> Engine:
    """What an answering member sends."""
    engine = Engine()
    engine.full = full

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        replying = Replying(cast(Any, engine), cast(Any, Driver()), handler, limit)
        for number in range(1, questions + 1):
            replying.take(Question(*BOB, number, b"up?", 0))
        if replying._tasks:
            await asyncio.wait(replying._tasks)

    asyncio.run(run())
    return engine


def test_one_asker_leaves_places_to_others() -> None:
    engine = reply(lambda question: "yes", questions=asking.OF_ONE + 3)
    refused = [data for _, kind, data, _ in engine.sent if kind is ContentKind.NO_ANSWER]
    assert refused == [b"too many questions at once"] * 3
    assert len(engine.sent) == asking.OF_ONE + 3


async def _later(question: Question) -> str:
    await asyncio.sleep(0.01)
    return f"{question.text} yes"


def _fails(question: Question) -> str:
    raise ValueError("no")


def _knows(question: Question) -> str:
    raise McastError("the disk is full", "free some")


async def _hangs(question: Question) -> str:
    await asyncio.sleep(60)
    return ""


@pytest.mark.parametrize(
    ("handler", "kind", "data"),
    [
        (lambda question: "yes", ContentKind.ANSWER, b"yes"),
        (_later, ContentKind.ANSWER, b"up? yes"),
        (lambda question: None, ContentKind.DECLINED, b""),
        (_fails, ContentKind.NO_ANSWER, b"ValueError at the replier"),
        (_knows, ContentKind.NO_ANSWER, b"the disk is full"),
        (
            lambda question: b"x" * 65537,
            ContentKind.NO_ANSWER,
            b"a message of 65537 bytes is larger than 65536",
        ),
        (lambda question: 5, ContentKind.NO_ANSWER, b"a message is text or bytes, not int"),
    ],
)
def test_each_question_gets_one_answer(handler: asking.Handler, kind: ContentKind, data: bytes) -> None:
    assert reply(handler).sent == [(BOB, kind, data, 1)]


def test_a_handler_that_hangs_is_left() -> None:
    assert reply(_hangs, limit=0.05).sent == [(BOB, ContentKind.NO_ANSWER, b"no answer within 0.05 s", 1)]


def test_too_many_questions_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "WAITING", 2)
    sent = reply(_later, questions=asking.AT_ONCE + 5).sent
    refused = [data for _, kind, data, _ in sent if kind is ContentKind.NO_ANSWER]
    assert refused == [b"too many questions at once"] * 3
    assert len(sent) == asking.AT_ONCE + 5


def test_an_answer_that_cannot_leave_is_dropped() -> None:
    assert reply(_later, full=True).sent == []


def test_who_leaves_answers_no_more() -> None:
    engine = Engine()

    async def run() -> None:
        replying = Replying(cast(Any, engine), cast(Any, Driver()), _hangs, 5.0)
        replying.take(Question(*BOB, 1, b"up?", 0))
        await asyncio.sleep(0.01)
        replying.stop()
        await asyncio.sleep(0.01)
        assert not replying._tasks
        engine.closing = True
        replying._answer(Question(*BOB, 1, b"up?", 0), ContentKind.ANSWER, b"")

    asyncio.run(run())
    assert engine.sent == []


def test_a_receipt_tells_how_it_ended() -> None:
    engine, driver = Engine(), Driver()
    receipt = PrivateReceipt(cast(Any, engine), cast(Any, driver), BOB, 7)
    assert (receipt.id, receipt.peer_id, receipt.delivered) == (f"{ME.origin.hex()[:16]}-1-p7", BOB, None)
    assert asyncio.run(receipt.confirmed(timeout=0.2)) is False
    engine.outcome = True
    assert asyncio.run(receipt.confirmed()) is True
    engine.outcome = False
    assert asyncio.run(receipt.confirmed()) is False


def test_whom_it_is_for() -> None:
    assert recipient(BOB, ME) == BOB
    assert recipient(peer(1), ME) == peer(1).peer_id
    assert recipient(PrivateMessage(*BOB, 1, b"", 0), ME) == BOB
    with pytest.raises(UsageError, match="oneself"):
        recipient(ME, ME)
    for wrong in ("bob", None, 5):
        with pytest.raises(UsageError, match="not a peer"):
            recipient(cast(Any, wrong), ME)


def test_whom_several_are_for() -> None:
    assert recipients([BOB, peer(1)]) == [BOB, peer(1).peer_id]
    with pytest.raises(UsageError, match=r"'bob' is not a peer \(several") as error:
        recipients(cast(Any, ["bob"]))
    assert error.value.remedy == "use one of group.peers(), or a message of that peer"
    for wrong in ("bob", BOB, peer(1), 5):
        with pytest.raises(UsageError, match=r"is not a list of peers: use a list of some of group\.peers"):
            recipients(cast(Any, wrong))
