"""Receiving messages that are for us alone: fragments, duplicates, acknowledgements."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from math import inf

import msgspec

from mcast.core.auth.keys import KeyExchange
from mcast.core.auth.verifier import Verifier
from mcast.core.context import Context, Datagram, Handlers
from mcast.core.events import Address, Answer, PeerId, PrivateMessage, Question
from mcast.core.membership.failure_detector import FailureDetector
from mcast.core.membership.roster import Roster
from mcast.crypto.directed import MessageKeys, content_claim, open_fragment, recipient_keys, sign_ack
from mcast.wire.contents import ANSWERS, ContentKind, decode_content, encode_unsigned
from mcast.wire.frames import BY_MULTICAST, Directed, DirectedAck
from mcast.wire.limits import CONTENT_HEAD_SIZE, MESSAGE_MAX, TAG_SIZE
from mcast.wire.reasons import DropReason

from .routes import Routes
from .sender import DirectedSender

# The attack on all tables here is a member with many identities, or one that sends without end.
PARTIAL, PARTIAL_EACH = 64, 8  # messages, and those of one identity, that lack fragments; the newest are
# refused. Who is in no roster may not take the last half of the places.
PARTIAL_LIFE = 10.0  # seconds without a new fragment after which a message is dropped
ACKS = 1024  # acknowledgements to send; the newest are left out and follow when the fragment comes again
DONE = 4096  # messages whose acknowledgement can be repeated; oldest first out
SENDERS, SEARCH = 32_768, 64
"""Peers whose numbers are remembered, so that a recording delivers nothing twice. Of the SEARCH oldest one
that is not live makes room. At 1,000 signatures a second, it takes longer to push out a peer than a timestamp
is fresh."""
SEEN = 1024  # numbers of one peer that may overtake each other
AGREEMENT = 3.0  # signatures that the keys of a message cost of the budget: 190 µs beside 64 µs of one
ALLOWED = 64  # fragments that may be under way to us, shared by the messages that lack some
LATER = (DropReason.OVER_BUDGET, DropReason.UNKNOWN_KEY)  # why a message is judged when it comes again

Slot = tuple[PeerId, int]


class Partial(msgspec.Struct):
    """A message that lacks fragments; `head` is what all of them have in common."""

    head: tuple[int, bytes, int]
    keys: MessageKeys
    at: float
    parts: dict[int, bytes]

    @property
    def got(self) -> int:
        """A bit for each fragment that is here."""
        return sum(1 << index for index in self.parts)


class Ack(msgspec.Struct, frozen=True):
    """An acknowledgement to be sent."""

    frame: DirectedAck
    keys: MessageKeys
    to: Address
    networks: int


class Seen:
    """The numbers of the messages that were delivered, of each peer the last SEEN; who is to `keep` stays."""

    def __init__(self, keep: Callable[[PeerId], bool]) -> None:
        self._keep = keep
        self._of: dict[PeerId, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._of)

    def has(self, peer_id: PeerId, number: int) -> bool:
        """Whether the message was delivered, or is too old to tell."""
        high, bits = self._of.get(peer_id, (0, 0))
        behind = high - number
        return behind >= 0 and (behind >= SEEN or bool(bits >> behind & 1))

    def add(self, peer_id: PeerId, number: int) -> None:
        """The message is delivered."""
        high, bits = self._of.pop(peer_id, (0, 0))
        if number > high:
            high, bits = number, (bits << min(SEEN, number - high) | 1) & (1 << SEEN) - 1
        else:
            bits |= 1 << high - number
        self._of[peer_id] = high, bits
        if len(self._of) > SENDERS:
            oldest = list(islice(self._of, SEARCH))
            del self._of[next((one for one in oldest if not self._keep(one)), oldest[0])]


class DirectedReceiver:
    """Receives messages that are for us alone, and acknowledges them.

    `answers`: we answer questions. `lately`: when a message was last delivered.
    """

    def __init__(
        self,
        context: Context,
        verifier: Verifier,
        keys: KeyExchange,
        roster: Roster,
        detector: FailureDetector,
        routes: Routes,
        sender: DirectedSender,
    ) -> None:
        self._context, self._verifier, self._keys = context, verifier, keys
        self._roster, self._detector, self._routes, self._sender = roster, detector, routes, sender
        self.handlers: Handlers = {Directed: self._on_directed}
        self.answers = False
        self.lately = -inf
        self._partial: dict[Slot, Partial] = {}
        self._acks: dict[tuple[Slot, Address], Ack] = {}
        self._done: dict[Slot, tuple[MessageKeys, int]] = {}
        self._seen = Seen(detector.freshness.__contains__)
        self._sweep_at = inf
        self.next_timeout = inf

    def _arm(self) -> None:
        self.next_timeout = self._context.now if self._acks else self._sweep_at

    def on_timeout(self, now: float) -> None:
        """Acknowledge; drop messages whose fragments do not come."""
        self.acknowledge()
        if self._sweep_at <= now:
            self._partial = {slot: one for slot, one in self._partial.items() if now - one.at < PARTIAL_LIFE}
            self._sweep_at = min((one.at + PARTIAL_LIFE for one in self._partial.values()), default=inf)
        self._arm()

    def _on_directed(self, datagram: Datagram, frame: Directed, now: float) -> DropReason | None:
        """A fragment of a message. The cheap checks come first."""
        if (frame.to_origin, frame.to_incarnation) != self._context.me or not self._context.may_send:
            return DropReason.NOT_ASKED
        slot = PeerId(frame.origin, frame.incarnation), frame.number
        if slot in self._done:
            return self._acknowledge_again(slot, datagram, frame)
        if self._seen.has(*slot):
            return DropReason.DUPLICATE
        if self._context.closing:
            return DropReason.NOT_ASKED
        return self._take(slot, datagram, frame, now)

    def _acknowledge_again(self, slot: Slot, datagram: Datagram, frame: Directed) -> DropReason:
        """A fragment of a message that was delivered: our acknowledgement was lost."""
        keys, got = self._done[slot]
        if open_fragment(keys, frame) is None:
            return DropReason.BAD_SIGNATURE
        self._routes.heard(slot[0], datagram.source, datagram.size)
        self._acknowledge(slot, datagram, frame, keys, got)
        return DropReason.DUPLICATE

    def _take(self, slot: Slot, datagram: Datagram, frame: Directed, now: float) -> DropReason | None:
        """A fragment of a message that is not whole. Nobody but its sender can make one that opens."""
        partial = self._partial.get(slot)
        keys = self._agree(slot[0], frame, datagram, now) if partial is None else partial.keys
        if isinstance(keys, DropReason):
            return keys
        data = open_fragment(keys, frame)
        if data is None:
            return DropReason.BAD_SIGNATURE
        if not self._fresh(slot[0], frame.timestamp, datagram, now):
            return DropReason.NOT_LIVE
        self._routes.heard(slot[0], datagram.source, datagram.size)
        head = frame.timestamp, frame.ephemeral, frame.count
        if partial is None:
            if frame.count > 1 and not self._admit(slot[0]):
                return DropReason.TABLE_FULL
            partial = Partial(head, keys, now, {})
        size = sum(map(len, ({**partial.parts, frame.index: data}).values()))
        if partial.head != head or not data or size > CONTENT_HEAD_SIZE + MESSAGE_MAX:
            return DropReason.BAD_VALUE
        partial.at, partial.parts[frame.index] = now, data
        if len(partial.parts) == frame.count:
            return self._complete(slot, datagram, frame, partial, now)
        self._partial[slot] = partial
        self._sweep_at = min(self._sweep_at, now + PARTIAL_LIFE)
        self._acknowledge(slot, datagram, frame, keys, partial.got)
        return None

    def _agree(
        self, sender: PeerId, frame: Directed, datagram: Datagram, now: float
    ) -> MessageKeys | DropReason:
        """The keys of a message of which nothing came yet, if the budget allows to compute them."""
        known = self._verifier.key(sender.origin)
        if known is None:
            self._keys.want(sender.origin, datagram.networks, now)
            return DropReason.UNKNOWN_KEY
        if not self._verifier.afford(sender.origin, sender in self._roster, now, AGREEMENT):
            return DropReason.OVER_BUDGET
        identity, room_id = self._context.identity, self._context.room.id
        keys = recipient_keys(identity, known.public_key, frame.ephemeral, room_id)
        return DropReason.BAD_VALUE if keys is None else keys

    def _fresh(self, sender: PeerId, timestamp: int, datagram: Datagram, now: float) -> bool:
        """Whether it is no recording: its sender is live, or it has a time near ours. Else challenge it."""
        away = abs(timestamp - self._context.unix_ms(now)) / 1000
        if sender in self._detector.freshness or away <= self._context.settings.live_window:
            return True
        self._detector.doubt(sender, datagram.source, datagram.networks, now)
        return False

    def _admit(self, sender: PeerId) -> bool:
        """Whether there is room for one more message that lacks fragments."""
        of_sender = sum(peer_id.origin == sender.origin for peer_id, _ in self._partial)
        most = PARTIAL if sender in self._roster else PARTIAL // 2
        return len(self._partial) < most and of_sender < PARTIAL_EACH

    def _complete(
        self, slot: Slot, datagram: Datagram, frame: Directed, partial: Partial, now: float
    ) -> DropReason | None:
        """The message is whole: deliver it once, and acknowledge only what was delivered."""
        reason = self._deliver(slot[0], datagram, frame, partial, now)
        if reason in LATER:
            del partial.parts[frame.index]
            return reason
        self._partial.pop(slot, None)
        self._seen.add(*slot)
        if reason is None:
            got = partial.got
            self._done[slot] = partial.keys, got
            if len(self._done) > DONE:
                del self._done[next(iter(self._done))]
            self._acknowledge(slot, datagram, frame, partial.keys, got)
        return reason

    def _deliver(
        self, sender: PeerId, datagram: Datagram, frame: Directed, partial: Partial, now: float
    ) -> DropReason | None:
        """Check a whole message, and tell the application."""
        context, verifier = self._context, self._verifier
        content = decode_content(b"".join(partial.parts[index] for index in range(frame.count)))
        if isinstance(content, DropReason):
            return content
        claim = content_claim(context.room.id, frame, encode_unsigned(content))
        known = sender in self._roster
        reason = verifier.check_claim(sender.origin, claim, content.signature, known, now)
        if reason is not None:
            return reason
        peer = self._roster.get(sender)
        name = peer.name if peer is not None else verifier.name_of(sender) or verifier.name(sender.origin)
        told = (*sender, frame.number, content.data, frame.timestamp, name, datagram.source)
        if content.kind in ANSWERS:
            if not self._sender.answered_by(content.about, sender):
                return DropReason.NOT_ASKED
            context.emit(Answer(*told, about=content.about, kind=content.kind.name.lower()))
            return None
        question = content.kind is ContentKind.QUESTION
        # A visitor shows no messages: to confirm one would be a lie.
        if context.mode.visitor or (question and not self.answers):
            return DropReason.NOT_ASKED
        self.lately = now
        context.emit(Question(*told) if question else PrivateMessage(*told, letter=content.about))
        return None

    def _acknowledge(
        self, slot: Slot, datagram: Datagram, frame: Directed, keys: MessageKeys, got: int
    ) -> None:
        """Acknowledge soon: fragments that came by one wake-up together.

        The attack: a member that hears a fragment through the group seals it anew, as if it had come by
        unicast from there. It gets an acknowledgement of its own, and keeps nobody from the genuine one.
        """
        to = None if frame.flags & BY_MULTICAST else datagram.source
        if len(self._acks) < ACKS or (slot, to) in self._acks:
            allowed = max(1, ALLOWED // max(1, len(self._partial)))
            bits = got.to_bytes((frame.count + 7) // 8, "little")
            ack = DirectedAck(*self._context.me, *slot[0], slot[1], allowed, bytes(TAG_SIZE), bits)
            self._acks[slot, to] = Ack(ack, keys, to, datagram.networks)
        self._arm()

    def acknowledge(self) -> None:
        """Send the acknowledgements that are due."""
        for ack in self._acks.values():
            self._context.send(sign_ack(ack.keys, ack.frame), to=ack.to, networks=ack.networks)
        self._acks.clear()
