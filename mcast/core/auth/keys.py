"""KEY and KEY_REQUEST: asking for keys we lack, answering for those we have, records that wait for one."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import msgspec

from mcast.core.context import Context, Datagram, Handlers
from mcast.core.events import PeerId
from mcast.core.membership.roster import Roster
from mcast.core.timers import ROUNDS, Timers, backoff
from mcast.crypto.keys import origin_of
from mcast.wire.frames import Key, KeyRequest
from mcast.wire.limits import HEADER_SIZE, TAG_SIZE
from mcast.wire.reasons import DropReason
from mcast.wire.records import Record

from .verifier import Counted, Verifier

WAITING = 64 * 1024  # bytes of records that wait in all
PATIENCE = 1.0  # seconds a record waits
MOST = 64  # answers and requests under way; the attack is a flood of either, the newest are refused
ONCE = 0.2  # seconds in which a key is not sent twice
AGAIN = 0.25  # seconds after which an unknown key is asked for again
DEFERRALS = 2  # others' requests that put ours off; a forger must not keep us from asking
ASKED = 256  # origins remembered as asked for, oldest first out
ASK_WITHIN = 0.1  # seconds: records wait for their key a second in all
ANSWER_WITHIN = 0.5  # seconds, for the same reason
KEY_PRICE = 71  # bytes of a request for each key: a third of the longest KEY datagram
OTHERS = 3  # who answer for a key's owner at the same time, at most, as a rule
REQUEST_SIZE = OTHERS * KEY_PRICE - HEADER_SIZE - TAG_SIZE  # bytes of frames, so that anybody answers

Wanted = TypeVar("Wanted", bound=Hashable)


class Waiter(msgspec.Struct, frozen=True):
    """A record that waits until `until`; `age` (s) is how old it was said to be when it came."""

    record: Record
    datagram: Datagram
    until: float
    age: float


class WaitingRecords(Generic[Wanted]):
    """Records that cannot be judged yet, by what they wait for; `next_timeout` is when the first is dropped.

    The attack: made-up keys or peers; WAITING bytes and PATIENCE bound them.
    """

    def __init__(self, context: Context, reason: DropReason) -> None:
        self._context, self._reason = context, reason
        self._waiters: dict[Wanted, list[Waiter]] = {}
        self._bytes = 0
        self.next_timeout = float("inf")

    def __len__(self) -> int:
        return sum(map(len, self._waiters.values()))

    def add(self, wanted: Wanted, record: Record, datagram: Datagram, now: float, age: float) -> bool:
        """Let `record` wait for `wanted`; False when there is no room."""
        if self._bytes + len(record.payload) > WAITING:
            return False
        self._waiters.setdefault(wanted, []).append(Waiter(record, datagram, now + PATIENCE, age))
        self._bytes += len(record.payload)
        self.next_timeout = min(self.next_timeout, now + PATIENCE)
        return True

    def take(self, wanted: Wanted) -> list[Waiter]:
        """What waited for `wanted`, which has come."""
        waiters = self._waiters.pop(wanted, [])
        if waiters:
            self._bytes -= sum(len(waiter.record.payload) for waiter in waiters)
            self._find_next()
        return waiters

    def _find_next(self) -> None:
        self.next_timeout = min(
            (waiters[0].until for waiters in self._waiters.values()), default=float("inf")
        )

    def expire(self, now: float) -> None:
        """Drop what has waited too long."""
        for wanted in [wanted for wanted, waiters in self._waiters.items() if waiters[0].until <= now]:
            waiters = self._waiters.pop(wanted)
            self._bytes -= sum(len(waiter.record.payload) for waiter in waiters)
            self._context.drop(self._reason, len(waiters))
        self._find_next()


class KeyExchange:
    """When to send whose key, and when to ask for one.

    `on_new_key(origin)` is called when an origin has another KEY than before, `on_key(origin, now)` when
    records that waited for it can be judged.
    """

    def __init__(
        self, context: Context, verifier: Verifier, roster: Roster, keep: Callable[[bytes], bool]
    ) -> None:
        self._context, self._verifier, self._roster, self._keep = context, verifier, roster, keep
        self.handlers: Handlers = {Key: self.on_key_frame, KeyRequest: self._on_key_request}
        self.waiting: WaitingRecords[bytes] = WaitingRecords(context, DropReason.UNKNOWN_KEY)
        self.on_new_key: Callable[[bytes], None]
        self.on_key: Callable[[bytes, float], None]
        self._answers: Timers[bytes] = Timers()
        self._asks: Timers[bytes] = Timers()
        self._sent: dict[bytes, float] = {}
        self._asked: dict[bytes, float] = {}
        self._deferrals: dict[bytes, float] = {}
        self._lacked_on: dict[bytes, int] = {}  # the networks on which to ask, of MOST origins
        self.next_timeout = float("inf")

    def _arm(self) -> None:
        self.next_timeout = min(self._answers.next, self._asks.next, self.waiting.next_timeout)

    def on_timeout(self, now: float) -> None:
        """Ask and answer; drop records that have waited too long for a key."""
        context = self._context
        self.waiting.expire(now)
        for origin in self._asks.due(now):
            _remember(self._asked, origin, now)
            self._deferrals.pop(origin, None)
            context.send(KeyRequest((origin,)), size=REQUEST_SIZE, networks=self._lacked_on.pop(origin))
        for origin in self._answers.due(now):
            _remember(self._sent, origin, now)
            known = self._verifier.key(origin)
            if origin == context.me.origin:
                context.send(self._verifier.own_key)
            elif known is not None:
                context.send(known.frame, networks=context.networks.of_origin(origin))
        self._arm()

    def hold(self, record: Record, datagram: Datagram, now: float, age: float) -> DropReason | None:
        """The key of a record is unknown: let it wait, and ask for the key."""
        if not self.waiting.add(record.origin, record, datagram, now, age):
            return DropReason.WAITING_FULL
        self.want(record.origin, datagram.networks, now)
        return None

    def want(self, origin: bytes, networks: int, now: float) -> None:
        """Ask for a key on `networks`, unless somebody else did or it was asked for lately."""
        context = self._context
        delay = backoff(context.rng, ROUNDS * context.rtt.value, context.members)
        lately = now - self._asked.get(origin, float("-inf")) < AGAIN
        if not lately and origin not in self._asks and len(self._asks) < MOST:
            self._asks.set(origin, now + min(delay, ASK_WITHIN))
            self._lacked_on[origin] = 0
        if origin in self._asks:
            self._lacked_on[origin] |= networks
        self._arm()

    def check(self, datagram: Datagram, frame: Counted, now: float) -> DropReason | None:
        """Whether a signed frame is fresh and genuine, as Verifier.check(); an unknown key is asked for."""
        known = self._roster.get(PeerId(frame.origin, frame.incarnation)) is not None
        reason = self._verifier.check(frame, known, now)
        if reason is DropReason.UNKNOWN_KEY:
            self.want(frame.origin, datagram.networks, now)
        return reason

    def on_key_frame(self, datagram: Datagram, key: Key, now: float) -> DropReason | None:
        """A self-signed key and name."""
        origin = origin_of(key.public_key)
        before = self._verifier.key(origin)
        reason = self._verifier.learn(key, bool(self._roster.of(origin)), now, self._keep)
        if reason is not None:
            return reason
        self._context.networks.key_heard(origin, datagram.networks)
        self._answers.cancel(origin)
        self._asks.cancel(origin)
        self._lacked_on.pop(origin, None)
        self._deferrals.pop(origin, None)
        _remember(self._sent, origin, now)
        if before is None or before.frame != key:
            self.on_new_key(origin)
        self.on_key(origin, now)
        self._arm()
        return None

    def _on_key_request(self, datagram: Datagram, frame: KeyRequest, now: float) -> DropReason | None:
        """Somebody lacks keys: their owner answers at once, others later if nobody did.

        The attack: short requests that move long answers. So a request counts for as many keys as it is long.
        """
        context = self._context
        answered = False
        grtt = context.rtt.value
        for place, origin in enumerate(frame.origins[: datagram.size // KEY_PRICE], 1):
            self._overheard(origin, now)
            if origin == context.me.origin:
                answered |= self._answer(origin, now, 0.0)
            elif self._knows(origin, datagram) and datagram.size >= place * OTHERS * KEY_PRICE:
                delay = grtt + backoff(context.rng, min(2 * ROUNDS * grtt, ANSWER_WITHIN), context.members)
                answered |= self._answer(origin, now, delay)
        self._arm()
        return None if answered else DropReason.OVER_BUDGET

    def _knows(self, origin: bytes, datagram: Datagram) -> bool:
        """Whether we have a key that is known on the network by which `datagram` came."""
        heard = self._context.networks.of_origin(origin) & datagram.networks == datagram.networks
        return heard and self._verifier.key(origin) is not None

    def _answer(self, origin: bytes, now: float, delay: float) -> bool:
        """Somebody asks for a key that we have; False when it is not sent."""
        if len(self._answers) >= MOST or now - self._sent.get(origin, float("-inf")) < ONCE:
            return False
        if origin not in self._answers:
            self._answers.set(origin, now + delay)
        return True

    def _overheard(self, origin: bytes, now: float) -> None:
        """Somebody else asks for a key: we wait for the answer, but not for ever."""
        deferrals = self._deferrals.get(origin, 0)
        if deferrals >= DEFERRALS:
            return
        _remember(self._deferrals, origin, deferrals + 1)
        _remember(self._asked, origin, now)
        if origin in self._asks:
            self._asks.set(origin, now + AGAIN)


def _remember(table: dict[bytes, float], origin: bytes, value: float) -> None:
    table.pop(origin, None)
    table[origin] = value
    if len(table) > ASKED:
        del table[next(iter(table))]
