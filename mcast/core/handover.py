"""The roster for newcomers: from the three peers nearest to them by hash, and on request."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from hashlib import sha256
from heapq import nsmallest
from typing import NamedTuple

import msgspec

from .events import Address
from .generator import Generator
from .peer_id import PeerId
from .quota import Bucket
from .timers import Timers

GIVERS = 3
EACH = 4  # peers that each of them names at once, if they fit
PAGE = 128  # roster entries an answer
NEWCOMERS = 6  # a second that are greeted, by whomever: all hear the same ones, so 18 greetings in all
STORM = 20  # newcomers at once that a settled member still greets; the others learn from announcements
SETTLED = 1.0  # seconds after joining from which on a newcomer is greeted at once
PAUSE = 0.1  # seconds in which a member that is new itself sees whether this is a storm
GREETINGS = 64  # newcomers to be greeted after the pause, the newest are refused
ANSWERS = 20  # pages of the roster given a second; the attack is made-up newcomers
TOKENS = 1024  # tokens outstanding, oldest first out
WAIT = 0.1  # seconds without an entry after which the next page is asked for
TRIES = 3
ASKED = 1.0  # seconds after our own request in which a challenge answers it
LAST_START = 65535  # what the field holds


def rank(asker: bytes, run: PeerId) -> bytes:
    """Where `run` stands among those who may answer `asker`; lowest first."""
    return sha256(asker + run.origin + run.incarnation.to_bytes(8, "big")).digest()


def is_giver(asker: bytes, me: PeerId, others: Iterable[PeerId]) -> bool:
    """Whether we are among the three who answer."""
    mine = rank(asker, me)
    return sum(rank(asker, run) < mine for run in others) < GIVERS


def first_entries(asker: bytes, me: PeerId, others: Iterable[PeerId]) -> list[PeerId] | None:
    """Whom we name to `asker` before all others, if we are among the three who answer; None: we are not.

    Each of the three names others, so that a small group is known at once.
    """
    near = nsmallest(GIVERS + GIVERS * EACH, [me, *others], key=lambda run: rank(asker, run))
    if me not in near[:GIVERS]:
        return None
    return near[GIVERS + near.index(me) :: GIVERS]


class Tokens:
    """Tokens that prove that a requester gets what is sent to its address.

    The attack: a request under a forged address, whose long answer hits a victim. Without the token the
    answer is at most three times the question.
    """

    def __init__(self, generator: Generator, now: float) -> None:
        self._generator = generator
        self._tokens: dict[Address, bytes] = {}
        self.answers = Bucket(ANSWERS, ANSWERS, now)

    def issue(self, address: Address) -> bytes:
        """The token (8 bytes) for `address`."""
        token = self._tokens.get(address)
        if token is None:
            token = self._tokens[address] = self._generator.getrandbits(64).to_bytes(8, "big")
            if len(self._tokens) > TOKENS:
                del self._tokens[next(iter(self._tokens))]
        return token

    def valid(self, address: Address, token: bytes | None) -> bool:
        """Whether `token` is the one issued to `address`."""
        return token is not None and self._tokens.get(address) == token


class Greeting(NamedTuple):
    """A newcomer, where it is, and how long its announcement was."""

    peer_id: PeerId
    source: Address
    size: int


class Greetings:
    """Which newcomers to greet when, so that ten thousand who join at once do not greet each other.

    A settled member greets at once. One that is new itself waits a moment; if by then more newcomers were
    heard than may be greeted at once, it greets none: all announce themselves anyhow, and as each knows few
    others yet, hundreds would take themselves for one of the nearest three.
    """

    def __init__(self, generator: Generator, now: float) -> None:
        self._generator = generator
        self._joined = now
        self._bucket = Bucket(NEWCOMERS, STORM, now)
        self._heard: deque[float] = deque(maxlen=1024)
        self._waiting: Timers[Greeting] = Timers()

    def heard(self, greeting: Greeting, now: float) -> bool:
        """A newcomer announced itself; whether to greet it at once."""
        self._heard.append(now)
        if now - self._joined >= SETTLED:
            return self._bucket.take(1, now)
        if len(self._waiting) < GREETINGS:
            self._waiting.set(greeting, now + PAUSE * self._generator.random())
        return False

    def when(self) -> float | None:
        """When a newcomer is to be greeted."""
        return self._waiting.next()

    def due(self, now: float) -> list[Greeting]:
        """The newcomers to greet now."""
        due = self._waiting.due(now)
        return due if sum(now - at <= 1.0 for at in self._heard) <= STORM else []


class Request(msgspec.Struct, frozen=True):
    """A page to ask for."""

    giver: Address
    token: bytes
    start: int


class Collector:
    """The newcomer's side: which giver to ask for which page of its roster, of `limit` entries at most.

    The attack: a giver that never runs out of entries, or whom nobody asked.
    """

    def __init__(self, limit: int) -> None:
        self._last_start = min(limit, LAST_START)
        self._asked = float("-inf")
        self._givers: list[tuple[Address, bytes]] = []
        self._start = 0
        self._entries = 0
        self._tries = 0
        self._next: float | None = None
        self.finished = False

    def asked(self, now: float) -> None:
        """We asked everybody for the roster."""
        self._asked = now

    def challenged(self, giver: Address, token: bytes, now: float) -> bool:
        """`giver` has more for us than it may send unasked; False when we did not ask."""
        if self.finished or now - self._asked > ASKED:
            return False
        if len(self._givers) < GIVERS and all(known != giver for known, _ in self._givers):
            self._givers.append((giver, token))
            if len(self._givers) == 1:
                self._next = now
        return True

    def entry(self, now: float) -> None:
        """An entry came that is genuine, as far as we can tell."""
        self._entries += 1
        if self._next is not None and self._tries:
            self._next = now + WAIT

    def when(self) -> float | None:
        """When to ask again."""
        return self._next

    def tick(self, now: float) -> Request | None:
        """The request to send now."""
        if self._next is None or now < self._next:
            return None
        if self._tries and self._entries:
            self._start += PAGE
            if self._entries < PAGE // 2 or self._start > self._last_start:
                self._finish()
                return None
            self._tries = 0
        if self._tries == TRIES:
            self._givers.pop(0)
            self._tries = 0
            if not self._givers:
                self._finish()
                return None
        self._entries = 0
        self._tries += 1
        self._next = now + WAIT
        giver, token = self._givers[0]
        return Request(giver, token, self._start)

    def _finish(self) -> None:
        self._next = None
        self.finished = True
