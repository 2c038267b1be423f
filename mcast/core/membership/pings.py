"""Answering PING: who measures the network asks for answers by one way or another, and gets nothing more."""

from __future__ import annotations

import msgspec

from mcast.core.context import Context, Datagram, Handlers
from mcast.core.events import Address, Detour, PeerId
from mcast.core.networks import ALL
from mcast.core.token_bucket import TokenBucket, TokenBuckets
from mcast.wire.frames import NOTES_PONGS, Challenge, Path, Ping, Pong
from mcast.wire.limits import FRAME_HEADER_SIZE, HEADER_SIZE, ORIGIN_SIZE, TAG_SIZE
from mcast.wire.reasons import DropReason

from .roster_sync import AddressTokens

ANYBODY = PeerId(bytes(ORIGIN_SIZE), 0)
PONG_SIZE = FRAME_HEADER_SIZE + 58
ANSWER_SIZE = HEADER_SIZE + TAG_SIZE + PONG_SIZE  # bytes of the smallest PONG's datagram
SEEN = 64  # sequences of a nonce that are remembered: the bits of `seen`
NONCES = 64  # series that are remembered; the attack is a new nonce in each PING: the oldest goes
RATE, DEPTH = 50.0, 150.0  # answers a second, and at once, to one host: a trial of all ways asks 110 times
ALL_RATE, ALL_DEPTH = 100.0, 300.0  # the same of all hosts together; the attack is forged sources
HOSTS = 64  # hosts with a budget of their own
HELD_MAX, TTL_MAX = (1 << 32) - 1, 255  # microseconds and TTLs that a PONG can tell


class Question(msgspec.Struct, frozen=True):
    """A PING to answer: what is known of the PONG, and how it is sent."""

    ping: Ping
    seen: int
    to: Address
    size: int
    networks: int


class Pings:
    """Answers PING, never with more bytes than were asked with, so that nobody can be flooded through us.

    `health` are the HEALTH flags that go along. `questions` wait for answer(); the budgets are their bound.
    """

    def __init__(self, context: Context, tokens: AddressTokens) -> None:
        self._context, self._tokens = context, tokens
        self.handlers: Handlers = {Ping: self._on_ping, Pong: self._on_pong}
        self.health = 0
        self._hosts = TokenBuckets(RATE, DEPTH, HOSTS)
        self._all = TokenBucket(ALL_RATE, ALL_DEPTH, context.started)
        self._seen: dict[bytes, int] = {}
        self.questions: list[Question] = []

    def _on_ping(self, datagram: Datagram, frame: Ping, now: float) -> DropReason | None:
        """Somebody measures a way to us or from us.

        The attacks: a question to all, which all would answer; a victim's address as the source, which gets
        what it could have been sent directly; an answer to a group, which only a neighbour that has shown its
        address may ask for.
        """
        context, source = self._context, datagram.source
        asked = PeerId(frame.origin, frame.incarnation)
        called = asked == context.me or (asked == ANYBODY and datagram.direct)
        if not isinstance(source, tuple) or not called or context.mode.visitor:
            return DropReason.NOT_ASKED
        if datagram.size < ANSWER_SIZE:
            return DropReason.NO_TOKEN
        if not (self._hosts.of(source[0], now).take(1, now) and self._all.take(1, now)):
            return DropReason.OVER_BUDGET
        seen = self._note(frame.nonce, frame.sequence)
        size = datagram.size - HEADER_SIZE - TAG_SIZE
        if frame.path == Path.UNICAST:
            self.questions.append(Question(frame, seen, source, size, ALL))
            return None
        if not self._tokens.valid(source, datagram.token):
            context.send(Challenge(self._tokens.issue(source)), to=source)
            return DropReason.NO_TOKEN
        detour = Detour(frame.path, 6 if ":" in str(source[0]) else 4)
        self.questions.append(Question(frame, seen, detour, size, datagram.networks))
        return None

    def answer(self, held: float, came: int, ttl: int) -> None:
        """Answer the questions that wait, which arrived `held` seconds ago with the TTL `came`; 0 if that is
        not known. `ttl`: with which we send."""
        context = self._context
        micros = min(HELD_MAX, max(0, round(held * 1e6)))
        came, ttl = (one if 0 <= one <= TTL_MAX else 0 for one in (came, ttl))
        for one in self.questions:
            ping = one.ping
            pong = Pong(
                *context.me,
                ping.nonce,
                ping.sequence,
                ping.path,
                self.health | NOTES_PONGS,
                context.unix_ms(context.now),
                one.seen,
                micros,
                came,
                ttl,
            )
            context.send(pong, to=one.to, size=one.size, networks=one.networks)
        self.questions.clear()

    def _on_pong(self, datagram: Datagram, frame: Pong, now: float) -> DropReason | None:
        """Another one answers to the group: whoever asked us in the same series learns that we heard it.

        The attack: answers to series that nobody began with us, which would push out those that count.
        """
        if datagram.direct or frame.nonce not in self._seen:
            return DropReason.NOT_ASKED
        self._note(frame.nonce, frame.sequence)
        return None

    def _note(self, nonce: bytes, sequence: int) -> int:
        """What has arrived of the series, this included."""
        bit = 1 << sequence if sequence < SEEN else 0
        seen = self._seen.pop(nonce, 0) | bit
        self._seen[nonce] = seen
        if len(self._seen) > NONCES:
            del self._seen[next(iter(self._seen))]
        return seen
