"""Sending messages to single peers: fragments, retransmission, where they go.

Text that is given to send() leaves in DIRECTED frames, sealed for its recipient, and in nothing else: nothing
here knows of the records of the room.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from math import inf
from typing import TypeVar

import msgspec

from mcast.core.auth.keys import KeyExchange
from mcast.core.auth.verifier import Verifier
from mcast.core.context import Context, Datagram, Handlers
from mcast.core.events import Address, PeerId
from mcast.core.networks import ALL
from mcast.core.timers import Timers
from mcast.core.token_bucket import TokenBucket
from mcast.crypto.directed import MessageKeys, content_claim, holds, seal_fragment, sender_keys
from mcast.errors import McastError
from mcast.wire.codec import encode_frame
from mcast.wire.contents import Content, ContentKind, encode_unsigned
from mcast.wire.frames import BY_MULTICAST, Directed, DirectedAck, Frame
from mcast.wire.limits import CONTENT_HEAD_SIZE, DATAGRAM_SAFE, FRAGMENT_OVERHEAD, HEADER_SIZE, TAG_SIZE
from mcast.wire.reasons import DropReason

from .routes import ANNOUNCED, Route, Routes

Value = TypeVar("Value")

PATIENCE = 10.0  # seconds after which an unacknowledged message is given up, unless told otherwise
WAITING = 4096  # messages under way; send() refuses more
OUTCOMES = 8192  # messages whose end is remembered, and questions that may be answered; oldest first out
RETRY, RETRY_MOST, RETRY_GROWTH = 0.1, 1.0, 1.5  # seconds until a fragment is sent, or tried, again
OVERTAKEN = 3  # fragments that were sent later and arrived: this one is lost
FIRST_WINDOW, MOST_WINDOW = 4, 32  # fragments under way
PACE, PACE_DEPTH = 1 << 20, 32 << 10  # bytes a second of fragments, and at once
GROUP_PACE, GROUP_DEPTH = 64 << 10, 64 << 10
"""The same of first fragments through the group. The attack: questions under addresses that do not answer."""
LEAST_COST = 1024  # bytes that a datagram counts at least: it takes its receiver about a millisecond
PADDED = 3 * ANNOUNCED // 2 - HEADER_SIZE - TAG_SIZE
"""Bytes of frames of a first fragment to who may not know us. Two may leave to a new address. Each lets an
answer come that is three times as long."""


class Outbound:
    """A message that is not acknowledged yet.

    `got` has a bit for each fragment that arrived, `flying` tells of those under way as how many-eth each was
    sent, `sent_to` where any went.
    """

    def __init__(self, to: PeerId, number: int, content: Content, expires: float) -> None:
        self.to, self.number, self.content, self.expires = to, number, content, expires
        self.keys: MessageKeys | None = None
        self.fragments: list[Directed] = []
        self.got = self.tries = self.sent = 0
        self.flying: dict[int, int] = {}
        self.sent_to: set[Address] = set()
        self.answered = False
        self.window, self.allowed = FIRST_WINDOW, 1
        self.retry = RETRY

    def waiting(self) -> Iterator[Directed]:
        """The fragments that may leave now: before the first answer one."""
        most = min(self.window, self.allowed) if self.answered else 1
        if len(self.flying) < most:
            for fragment in self.fragments:
                if not (self.got >> fragment.index & 1 or fragment.index in self.flying):
                    yield fragment

    def leaves(self, fragment: Directed) -> None:
        """A fragment is sent."""
        self.sent += 1
        self.flying[fragment.index] = self.sent

    def lost(self) -> None:
        """No acknowledgement came: what is under way counts as lost."""
        if self.flying:
            self.flying.clear()
            self.tries += 1
            self.window = max(1, self.window // 2)
            self.wait_longer()

    def wait_longer(self) -> None:
        """The next retry comes later."""
        self.retry = min(RETRY_MOST, self.retry * RETRY_GROWTH)

    def acknowledged(self, got: int, allowed: int) -> bool:
        """The recipient has these fragments; whether that is all."""
        new = got & ~self.got
        latest = max((sent for index, sent in self.flying.items() if new >> index & 1), default=0)
        self.got |= got
        self.flying = {
            index: sent
            for index, sent in self.flying.items()
            if not self.got >> index & 1 and sent > latest - OVERTAKEN
        }
        self.answered, self.allowed = True, max(1, allowed)
        if new:
            self.tries, self.retry = 0, RETRY
            self.window = min(MOST_WINDOW, self.window + new.bit_count())
        return self.got == (1 << len(self.fragments)) - 1


class DirectedSender:
    """Sends messages to single peers, and repeats them until they are acknowledged.

    `delivered` tells how each ended, by number: True when the recipient's program has it, False when it was
    given up.
    """

    def __init__(self, context: Context, verifier: Verifier, keys: KeyExchange, routes: Routes) -> None:
        self._context, self._verifier, self._keys, self._routes = context, verifier, keys, routes
        self.handlers: Handlers = {DirectedAck: self._on_ack}
        self.delivered: dict[int, bool] = {}
        self._number = 0
        self._out: dict[int, Outbound] = {}
        self._queue: dict[int, None] = {}  # those that have something to send, in turn
        self._lines: dict[
            PeerId, deque[int]
        ] = {}  # private messages go one after the other, to keep their order
        self._asked: dict[int, PeerId] = {}
        self._timers: Timers[int] = Timers()
        self._pace = TokenBucket(PACE, PACE_DEPTH, context.started)
        self._group_pace = TokenBucket(GROUP_PACE, GROUP_DEPTH, context.started)
        self._introduction = len(encode_frame(verifier.own_key))
        self.next_timeout = inf

    def _arm(self) -> None:
        send = self._pace.when(1, self._context.now) if self._queue else inf
        self.next_timeout = min(send, self._timers.next)

    def on_timeout(self, now: float) -> None:
        """Send, send again, give up."""
        for number in self._timers.due(now):
            out = self._out[number]
            if now >= out.expires:
                self._end(out, delivered=False)
            else:
                out.lost()
                self._queue[number] = None
        while self._queue and self._pace.level(now) > 0:
            number = next(iter(self._queue))
            del self._queue[number]
            if self._send_one(self._out[number], now):
                self._queue[number] = None
        self._arm()

    def send(
        self, to: PeerId, kind: ContentKind, data: bytes, now: float, about: int, patience: float
    ) -> int:
        """Queue a message of at most 64 KiB for one peer; its number. `about`: the question it answers.

        Raises McastError when too many are under way.
        """
        if len(self._out) >= WAITING:
            raise McastError(f"{WAITING} messages to single peers are under way", "send fewer at a time")
        self._number += 1
        out = self._out[self._number] = Outbound(to, self._number, Content(kind, about, data), now + patience)
        if kind is ContentKind.QUESTION:
            _remember(self._asked, out.number, to)
        if kind is ContentKind.PRIVATE:
            line = self._lines.setdefault(to, deque())
            line.append(out.number)
        if kind is not ContentKind.PRIVATE or line[0] == out.number:
            self._queue[out.number] = None
        self._arm()
        return out.number

    @property
    def waiting(self) -> int:
        """How many messages are under way."""
        return len(self._out)

    def give_up(self, number: int) -> None:
        """The message need not be delivered any more; nothing happens if it was."""
        out = self._out.get(number)
        if out is not None:
            self._end(out, delivered=False)
            self._arm()

    def answered_by(self, question: int, peer_id: PeerId) -> bool:
        """Whether `peer_id` was asked that question and has not answered before."""
        if self._asked.get(question) != peer_id:
            return False
        del self._asked[question]
        return True

    def _end(self, out: Outbound, *, delivered: bool) -> None:
        del self._out[out.number]
        self._queue.pop(out.number, None)
        self._timers.cancel(out.number)
        _remember(self.delivered, out.number, delivered)
        line = self._lines.get(out.to, deque())
        if out.number in line:
            line.remove(out.number)
            if line:
                self._queue[line[0]] = None
            else:
                del self._lines[out.to]

    def _send_one(self, out: Outbound, now: float) -> bool:
        """Send a fragment, if one may leave; whether another may follow."""
        if now >= out.expires:  # it stood in line for as long
            self._end(out, delivered=False)
            return False
        self._timers.set(out.number, min(now + out.retry, out.expires))
        route = self._routes.to(out.to, out.tries)
        if not out.fragments and not self._seal(out, route, now):
            return False
        fragment = next(out.waiting(), None)
        if fragment is None:
            return False
        frames: list[Frame] = [fragment]
        size = len(encode_frame(fragment))
        if not route.known and size + self._introduction <= self._context.room_left():
            frames.insert(0, self._verifier.own_key)
            size = max(PADDED, size + self._introduction)
        to = route.way(size + HEADER_SIZE + TAG_SIZE, out.tries, now)
        if to is None and not out.answered and not self._group_pace.take(size, now):
            out.wait_longer()
            return False
        out.leaves(fragment)
        if to is None:
            frames[-1] = msgspec.structs.replace(fragment, flags=BY_MULTICAST)
        out.sent_to.add(to)
        self._pace.spend(max(size, LEAST_COST), now)
        self._context.send(*frames, to=to, size=size, networks=self._networks(out.to))
        return next(out.waiting(), None) is not None

    def _networks(self, peer_id: PeerId) -> int:
        """Where to look for a peer in the group."""
        return self._context.networks.of(peer_id) or ALL

    def _seal(self, out: Outbound, route: Route, now: float) -> bool:
        """Cut the message into sealed fragments, when the recipient's key is known; else ask for it."""
        context = self._context
        known = self._verifier.key(out.to.origin)
        if known is None:
            self._keys.want(out.to.origin, self._networks(out.to), now)
            return False
        scalar = context.rng.getrandbits(256).to_bytes(32, "big")
        made = sender_keys(context.identity, known.public_key, scalar, context.room.id)
        if made is None:
            return False
        ephemeral, out.keys = made
        unsigned = encode_unsigned(out.content)
        size = CONTENT_HEAD_SIZE + len(out.content.data)
        room = DATAGRAM_SAFE - FRAGMENT_OVERHEAD  # larger ones may never arrive
        cuts = [0, *range(self._first(route, room), size, room), size]
        frame = Directed(
            *context.me, *out.to, out.number, context.unix_ms(now), ephemeral, 0, len(cuts) - 1, b""
        )
        whole = context.identity.sign(content_claim(context.room.id, frame, unsigned)) + unsigned
        for index, (start, end) in enumerate(pairwise(cuts)):
            one = msgspec.structs.replace(frame, index=index)
            out.fragments.append(seal_fragment(out.keys, one, whole[start:end]))
        return True

    def _first(self, route: Route, room: int) -> int:
        """Bytes in the first of several fragments: to a new address it may leave twice."""
        if route.validated:
            return room
        allowed = max(PADDED + HEADER_SIZE + TAG_SIZE, route.credit // 2)
        return min(room, allowed - FRAGMENT_OVERHEAD - self._introduction)

    def _on_ack(self, datagram: Datagram, frame: DirectedAck, now: float) -> DropReason | None:
        """A peer has fragments of a message of ours."""
        peer_id = PeerId(frame.origin, frame.incarnation)
        out = self._out.get(frame.number)
        for_us = (frame.to_origin, frame.to_incarnation) == self._context.me
        if not for_us or out is None or out.to != peer_id or out.keys is None:
            return DropReason.NOT_ASKED
        if not holds(out.keys, frame):
            return DropReason.BAD_SIGNATURE
        route = self._routes.to(peer_id, out.tries)
        # What also went elsewhere could be acknowledged without being there.
        route.answered(datagram.source, out.sent_to == {datagram.source}, datagram.direct, now)
        got = int.from_bytes(frame.got, "little") & (1 << len(out.fragments)) - 1
        if out.acknowledged(got, frame.allowed):
            self._end(out, delivered=True)
        else:
            self._queue[out.number] = None
        self._arm()
        return None


def _remember(table: dict[int, Value], number: int, value: Value) -> None:
    table[number] = value
    if len(table) > OUTCOMES:
        del table[next(iter(table))]
