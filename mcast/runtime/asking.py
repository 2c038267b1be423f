"""Questions and answers, and messages to one peer, as a program sees them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Protocol

import msgspec

from mcast.core.engine import Engine
from mcast.core.events import Answer, PeerId, PeerView, Question
from mcast.errors import McastError, UsageError
from mcast.runtime.driver import Driver
from mcast.runtime.joining import Data, make_payload, private_id
from mcast.wire.contents import ContentKind
from mcast.wire.limits import MESSAGE_MAX

ACQUAINTED = 0.4
"""Seconds without a new peer after which everybody who is here is known."""
ALONE = 1.5
"""The same while nobody is known: the first question who is here may have been lost."""
ASK_ROSTER, ASK_AGAIN = (0.0, 0.15, 0.3), 0.8
"""Seconds at which a visitor asks who is here: an answer may be lost, or its sender have missed who came
just now. The last is for who knows nobody yet."""
AT_ONCE, WAITING = 8, 64
"""Questions that are answered at the same time, and that wait for it. Who asks more is told so."""
OF_ONE = 24
"""Questions of one identity among them. The attack is one asker who leaves no place to others."""
TIME_LIMIT = 30.0
"""Seconds in which a question must be answered."""

Handler = Callable[[Question], Awaitable[Data | None] | Data | None]


class HasPeerId(Protocol):
    """A peer (PeerView), or something that a peer sent."""

    @property
    def peer_id(self) -> PeerId:
        """Which peer."""
        ...


Recipient = PeerId | HasPeerId


class PrivateReceipt:
    """Tells whether a message to one peer has arrived."""

    __slots__ = ("_driver", "_engine", "_letter", "_me", "_number", "peer_id")

    def __init__(self, engine: Engine, driver: Driver, to: PeerId, number: int, letter: int = 0) -> None:
        self._engine, self._driver, self._number, self._letter = engine, driver, number, letter
        self._me = engine.peer_id
        self.peer_id = to

    @property
    def id(self) -> str:
        """The message's id, as in logs and in the JSON of the command line."""
        return private_id(self._me, self._number, self._letter)

    @property
    def delivered(self) -> bool | None:
        """True when the peer's program has the message, False when it was given up; None before that."""
        return self._engine.delivered(self._number)

    async def confirmed(self, *, timeout: float = 2.0) -> bool:
        """Wait until the message was delivered. Returns False if it was given up, or after `timeout` s."""
        limit = self._driver.now + timeout
        while self.delivered is None and not self._engine.closing and self._driver.now < limit:
            await self._driver.progress(limit - self._driver.now)
        return bool(self.delivered)


class Answers(msgspec.Struct, frozen=True):
    """What came of a question.

    `answers` are the answers in the order of their arrival; iterating gives them, too. `failed`: peers that
    tried to answer and could not, `text` says why. `declined`: peers for which the question is not. `silent`:
    peers that announce that they answer, and did not in time.
    """

    answers: tuple[Answer, ...] = ()
    failed: tuple[Answer, ...] = ()
    declined: tuple[Answer, ...] = ()
    silent: tuple[PeerView, ...] = ()

    def __iter__(self) -> Iterator[Answer]:
        return iter(self.answers)

    def __len__(self) -> int:
        return len(self.answers)

    @property
    def asked(self) -> int:
        """How many peers should have answered."""
        return len(self.answers) + len(self.failed) + len(self.silent)


class Asking:
    """One question to all who answer questions: to those who are here, and those who come while it waits."""

    def __init__(
        self,
        engine: Engine,
        driver: Driver,
        data: bytes,
        *,
        began: float,
        visitor: bool,
        on_answer: Callable[[Answer], None] | None,
    ) -> None:
        self._engine, self._driver, self._data = engine, driver, data
        self._began, self._visitor, self._on_answer = began, visitor, on_answer
        self.asked: dict[int, PeerView] = {}
        self._by_peer: dict[PeerId, int] = {}
        self._answers: dict[int, Answer] = {}
        self._untold: list[Answer] = []

    def take(self, answer: Answer) -> None:
        """A peer has answered."""
        self._answers[answer.about] = answer
        self._untold.append(answer)

    async def run(self, timeout: float, count: int | None, wait_all: bool) -> Answers:
        """Ask, and wait for answers: see Group.ask()."""
        driver = self._driver
        limit = driver.now + timeout
        call = RollCall(self._engine, driver.now if self._visitor else self._began, visitor=self._visitor)
        while not self._engine.closing and driver.now < limit:
            now = driver.now
            complete = call.complete(now)
            peers = self._engine.peers()
            self._ask(peers, limit - now)
            if self._done(peers, count, wait_all or not complete):
                break
            driver.step()
            await driver.progress(min(limit - now, 0.05))
            self._tell()
        for number in self.asked:
            if number not in self._answers:
                self._engine.give_up(number)
        return self._result()

    def _tell(self) -> None:
        """Hand on what came, in the task that waits for it: what that raises is for its caller."""
        untold, self._untold = self._untold, []
        if self._on_answer is not None:
            for answer in untold:
                self._on_answer(answer)

    def _ask(self, peers: Sequence[PeerView], patience: float) -> None:
        """Ask those who are not asked yet."""
        for peer in peers:
            if peer.answers and peer.peer_id not in self._by_peer:
                number = self._engine.send_to(
                    peer.peer_id, ContentKind.QUESTION, self._data, self._driver.now, patience=patience
                )
                self.asked[number] = peer
                self._by_peer[peer.peer_id] = number

    def _done(self, peers: Sequence[PeerView], count: int | None, wait_all: bool) -> bool:
        """Whether enough have answered, or everybody has who can."""
        if count is not None and sum(answer.kind == "answer" for answer in self._answers.values()) >= count:
            return True
        here = {peer.peer_id for peer in peers}
        waiting = any(
            number not in self._answers and peer.peer_id in here for number, peer in self.asked.items()
        )
        return not (wait_all or waiting)

    def _result(self) -> Answers:
        kinds: dict[str, list[Answer]] = {"answer": [], "no_answer": [], "declined": []}
        for answer in self._answers.values():
            kinds[answer.kind].append(answer)
        silent = tuple(peer for number, peer in self.asked.items() if number not in self._answers)
        return Answers(tuple(kinds["answer"]), tuple(kinds["no_answer"]), tuple(kinds["declined"]), silent)


class RollCall:
    """Finds out who is here. A visitor has to ask for that; a member is told since it joined, at `since`."""

    def __init__(self, engine: Engine, since: float, *, visitor: bool) -> None:
        self._engine, self._since = engine, since
        self._asks = [*ASK_ROSTER, ASK_AGAIN] if visitor else []

    def complete(self, now: float) -> bool:
        """Ask if it is time. Whether all who are here are known, as far as can be told."""
        due = bool(self._asks) and now >= self._since + self._asks[0]
        peers = self._engine.peers()
        if due and (self._asks.pop(0) < ASK_AGAIN or not peers):
            self._engine.ask_roster(now)
        newest = max((peer.joined for peer in peers), default=self._since)
        quiet = now - max(newest, self._since)
        return not self._engine.collecting and quiet >= (ACQUAINTED if peers else ALONE)


class Replying:
    """Answers the questions of others with `handler`, a few at a time, each within `time_limit` seconds."""

    def __init__(self, engine: Engine, driver: Driver, handler: Handler, time_limit: float) -> None:
        self._engine, self._driver, self._handler, self._time_limit = engine, driver, handler, time_limit
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._of: Counter[bytes] = Counter()

    def take(self, question: Question) -> None:
        """A question came."""
        if len(self._tasks) >= AT_ONCE + WAITING or self._of[question.origin] >= OF_ONE:
            self._answer(question, ContentKind.NO_ANSWER, b"too many questions at once")
            return
        self._of[question.origin] += 1
        task = asyncio.get_running_loop().create_task(self._reply(question))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._forget(done, question.origin))

    def stop(self) -> None:
        """Answer no more."""
        for task in self._tasks:
            task.cancel()

    def _forget(self, task: asyncio.Task[None], origin: bytes) -> None:
        self._tasks.discard(task)
        self._of[origin] -= 1
        if not self._of[origin]:
            del self._of[origin]

    async def _reply(self, question: Question) -> None:
        async with self._turn:
            kind, data = await self._run(question)
        self._answer(question, kind, data)

    async def _run(self, question: Question) -> tuple[ContentKind, bytes]:
        try:
            async with asyncio.timeout(self._time_limit):
                made = self._handler(question)
                data = await made if isinstance(made, Awaitable) else made
            if data is None:
                return ContentKind.DECLINED, b""
            return ContentKind.ANSWER, make_payload(data)
        except TimeoutError:
            return ContentKind.NO_ANSWER, f"no answer within {self._time_limit:g} s".encode()
        except McastError as error:
            return ContentKind.NO_ANSWER, error.message.encode()
        except Exception as error:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a question could not be answered", "exception": error}
            )
            return ContentKind.NO_ANSWER, f"{type(error).__name__} at the replier".encode()

    def _answer(self, question: Question, kind: ContentKind, data: bytes) -> None:
        if self._engine.closing:
            return
        try:
            self._engine.send_to(
                question.peer_id, kind, data[:MESSAGE_MAX], self._driver.now, about=question.number
            )
        except McastError:
            return  # too many are under way: the asker will say that we were silent
        self._driver.step()


def recipient(to: Recipient, me: PeerId) -> PeerId:
    """The peer that is meant. Raises UsageError for what is no other peer."""
    peer_id = _peer_id(to)
    if peer_id == me:
        raise UsageError("a private message to oneself goes nowhere", "name another peer")
    return peer_id


def recipients(to: Iterable[Recipient]) -> list[PeerId]:
    """The peers that are meant. Raises UsageError for what is no peer, or not several."""
    if isinstance(to, str | PeerId) or not isinstance(to, Iterable):
        raise UsageError(f"{to!r} is not a list of peers", "use a list of some of group.peers()")
    return [_peer_id(one) for one in to]


def _peer_id(to: Recipient) -> PeerId:
    peer_id = to if isinstance(to, PeerId) else getattr(to, "peer_id", None)
    if not isinstance(peer_id, PeerId):
        name = " (several peers can have one name)" if isinstance(to, str) else ""
        raise UsageError(f"{to!r} is not a peer{name}", "use one of group.peers(), or a message of that peer")
    return peer_id
