"""Who signed what: known keys, the freshness of signed frames, flushes already verified, within a budget."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import msgspec

from mcast.core.context import Context
from mcast.core.events import PeerId
from mcast.core.incarnation import INCARNATION_SHIFT
from mcast.core.token_bucket import TokenBucket, TokenBuckets
from mcast.crypto.keys import origin_of
from mcast.crypto.signed import flush_claim, holds, tree_of, whole_claim
from mcast.wire.frames import (
    Acker,
    Announcement,
    Goodbye,
    Heartbeat,
    Key,
    Nack,
    ProbeReply,
    Report,
)
from mcast.wire.limits import TIMESTAMP_MAX
from mcast.wire.reasons import DropReason
from mcast.wire.records import Record

from .ingress import Checks

KNOWN_SHARE = 0.7
GENUINE = 0.25  # the price of a record's signature that holds, in the name of a known origin; of others 1
ORIGINS = 1024  # origins with a bucket of their own: forged origins push each other out, first in, first out


class VerificationBudget:
    """Budget for signature checks, charged to the origin a datagram claims, never to an address.

    The attack: valid-looking records under made-up or real origins, each costing 100 us to refuse. Strangers
    share 30 % of the budget; one known origin may use half of the known ones' share, so that forging in one
    victim's name does not starve the others.

    What can wait gets what is left beyond half of what may be saved: live records, heartbeats and presence go
    before the NACKs, which are cheap to send.
    """

    def __init__(self, rate: int, now: float) -> None:
        self._known = TokenBucket(rate * KNOWN_SHARE, rate * KNOWN_SHARE, now)
        self._strangers = TokenBucket(rate * (1 - KNOWN_SHARE), rate * (1 - KNOWN_SHARE), now)
        self._half = rate * (1 - KNOWN_SHARE) / 2
        self._half_known = half = rate * KNOWN_SHARE / 2
        self._each = TokenBuckets(half, half, ORIGINS)

    def allow(
        self, origin: bytes, known: bool, now: float, price: float = 1.0, *, can_wait: bool = False
    ) -> bool:
        """Whether one more signature in the name of `origin` may be checked now. Strangers pay at least 1."""
        if can_wait and not (self._known.level(now) > self._half_known if known else self.spare(now)):
            return False
        if not known:
            return self._strangers.take(max(1.0, price), now)
        return self._each.of(origin, now).take(price, now, 1.0) and self._known.take(price, now, 1.0)

    def spare(self, now: float) -> bool:
        """Whether half of what strangers may cost at once is left."""
        return self._strangers.level(now) >= self._half

    def forged(self, origin: bytes, known: bool, now: float) -> None:
        """A signature that was taken to be GENUINE did not hold: the rest of its price is due."""
        if known:
            self._each.of(origin, now).spend(1 - GENUINE, now)
            self._known.spend(1 - GENUINE, now)


FLUSHES = 4096  # verified flushes remembered, 6 MB at most; one saves up to 31 checks, and any of copies
SEARCH = 10_001  # keys looked at for one to evict: more than records are kept
Counted = Announcement | Goodbye | Heartbeat | Nack | Report | Acker


def issued(incarnation: int) -> int:
    """When a peer issues its KEY, in unix ms: at its incarnation, so that the KEY names the peer."""
    return min(TIMESTAMP_MAX, incarnation * 1000 >> INCARNATION_SHIFT)


class Known(msgspec.Struct, frozen=True):
    """An identity whose self-signed key was verified; `frame` is handed on verbatim."""

    public_key: bytes
    name: str
    frame: Key


class Verifier:
    """Checks signatures, within a budget. Bounds: all tables are first-in-first-out.

    The attacks: floods of made-up identities (they push out each other's keys, but no key of records that we
    hold, as nobody could check those; a live peer's key comes again with its next announcement), replayed
    frames (their counter is not above the last of the same type and peer).
    """

    def __init__(self, context: Context, checks: Checks) -> None:
        self._checks = checks
        self._budget = VerificationBudget(context.settings.verifications, context.started)
        self._limit = 2 * context.settings.peers
        self._keys: dict[bytes, Known] = {}
        self._issued: dict[tuple[bytes, int], Key | None] = {}
        self._last: dict[tuple[type, PeerId], int] = {}
        self._published: dict[PeerId, int] = {}
        self._flushes: dict[tuple[bytes, bytes], None] = {}
        self.own_key = context.sign(
            Key(context.identity.public_key, issued(context.me.incarnation), context.name)
        )

    def key(self, origin: bytes) -> Known | None:
        """What is known of `origin`."""
        return self._keys.get(origin)

    def name(self, origin: bytes) -> str:
        """The name that goes with `origin`, empty if unknown: that of its latest incarnation."""
        known = self._keys.get(origin)
        return "" if known is None else known.name

    def name_of(self, peer_id: PeerId) -> str:
        """What `peer_id` called itself in its own KEY; empty if unknown, or if it stands for two names."""
        key = self._issued.get((peer_id.origin, issued(peer_id.incarnation)))
        return "" if key is None else key.name

    def learn(self, key: Key, trusted: bool, now: float, keep: Callable[[bytes], bool]) -> DropReason | None:
        """Take in a self-signed key, if it is newer than the one we have; of an older one only its name.

        The keys of origins that `keep` names are not pushed out by others.
        """
        origin = origin_of(key.public_key)
        known = self._keys.get(origin)
        if known is not None and known.frame == key:
            return None
        slot = (origin, key.issued)
        if known is not None and self._issued.get(slot) == key:
            return DropReason.STALE
        if not self._budget.allow(origin, trusted, now):
            return DropReason.OVER_BUDGET
        if not self._checks.verify_frame(key.public_key, key):
            return DropReason.BAD_SIGNATURE
        self._issued[slot] = key if self._issued.get(slot, key) == key else None
        if len(self._issued) > self._limit:
            del self._issued[next(iter(self._issued))]
        if known is not None and known.frame.issued >= key.issued:
            return None
        self._keys.pop(origin, None)
        if len(self._keys) >= self._limit:
            self._evict(keep)
        self._keys[origin] = Known(key.public_key, key.name, key)
        return None

    def _evict(self, keep: Callable[[bytes], bool]) -> None:
        """Let go of the oldest key that is not to be kept; of the oldest if there are too many of those."""
        for origin in list(islice(self._keys, SEARCH)):
            if not keep(origin):
                del self._keys[origin]
                return
            self._keys[origin] = self._keys.pop(origin)  # to the end: others are looked at next time
        del self._keys[next(iter(self._keys))]

    def check(self, frame: Counted, trusted: bool, now: float) -> DropReason | None:
        """Whether a signed frame is fresh and genuine; it then counts as seen."""
        slot = (type(frame), PeerId(frame.origin, frame.incarnation))
        last = self._last.get(slot)
        if last is not None and frame.counter <= last:
            return DropReason.STALE
        reason = self._verify(frame, trusted, now)
        if reason is None:
            self._last[slot] = frame.counter
            if len(self._last) > 4 * self._limit:
                del self._last[next(iter(self._last))]
            if isinstance(frame, Announcement | Goodbye | Heartbeat):
                self._note_published(slot[1], frame.high)
        return reason

    def _note_published(self, peer_id: PeerId, high: int) -> None:
        self._published[peer_id] = max(high, self.published(peer_id))
        if len(self._published) > self._limit:
            del self._published[next(iter(self._published))]

    def published(self, peer_id: PeerId) -> int:
        """The highest record that `peer_id` said to have published, in what it signed; 0 if unknown."""
        return self._published.get(peer_id, 0)

    def spare(self, now: float) -> bool:
        """Whether signatures of strangers may be checked that can wait."""
        return self._budget.spare(now)

    def check_reply(self, frame: ProbeReply, trusted: bool, now: float) -> DropReason | None:
        """Whether a probe's answer is genuine; its nonce makes it fresh."""
        return self._verify(frame, trusted, now)

    def _verify(self, frame: Counted | ProbeReply, trusted: bool, now: float) -> DropReason | None:
        known = self._keys.get(frame.origin)
        if known is None:
            return DropReason.UNKNOWN_KEY
        if not self._budget.allow(frame.origin, trusted, now, can_wait=isinstance(frame, Nack)):
            return DropReason.OVER_BUDGET
        if not self._checks.verify_frame(known.public_key, frame):
            return DropReason.BAD_SIGNATURE
        return None

    def afford(self, origin: bytes, trusted: bool, now: float, price: float) -> bool:
        """Whether something that costs as much as `price` signatures may be done in the name of `origin`."""
        return self._budget.allow(origin, trusted, now, price)

    def check_claim(
        self, origin: bytes, claim: bytes, signature: bytes, trusted: bool, now: float
    ) -> DropReason | None:
        """Whether `origin` signed `claim`; what makes it fresh is up to the caller."""
        known = self._keys.get(origin)
        if known is None:
            return DropReason.UNKNOWN_KEY
        if not self._budget.allow(origin, trusted, now):
            return DropReason.OVER_BUDGET
        genuine = self._checks.verify(known.public_key, claim, signature)
        return None if genuine else DropReason.BAD_SIGNATURE

    def check_record(self, record: Record, trusted: bool, now: float) -> DropReason | None:
        """Whether a record is genuine."""
        return self.check_records([record], trusted, now)[1]

    def check_records(self, row: list[Record], trusted: bool, now: float) -> tuple[int, DropReason | None]:
        """How many records of one peer, from the first on, are genuine, and why the next is not.

        One signature is checked for each flush.
        """
        known = self._keys.get(row[0].origin)
        if known is None:
            return 0, DropReason.UNKNOWN_KEY
        done = 0
        tree, signature = None, b""
        while done < len(row):
            record = row[done]
            size = record.size
            if tree is not None and record.signature == signature and holds(tree, record):
                done += 1
                continue
            whole = whole_claim(self._checks.room.id, row[done : done + size]) if size > 1 else None
            claim = whole or flush_claim(self._checks.room.id, record)
            reason = self._check_claim(known, claim, record, trusted, now)
            if reason is not None:
                return done, reason
            if size > 1 and not whole and done + 1 < len(row):
                tree, signature = tree_of(record), record.signature
            done += size if whole else 1
        return done, None

    def _check_claim(
        self, known: Known, claim: bytes, record: Record, trusted: bool, now: float
    ) -> DropReason | None:
        """Whether the signature of `record`, by `known`, covers `claim`, that of its flush."""
        if (claim, record.signature) in self._flushes:
            return None
        if not self._budget.allow(record.origin, trusted, now, GENUINE):
            return DropReason.OVER_BUDGET
        if not self._checks.verify(known.public_key, claim, record.signature):
            self._budget.forged(record.origin, trusted, now)
            return DropReason.BAD_SIGNATURE
        self._flushes[claim, record.signature] = None
        if len(self._flushes) > FLUSHES:
            del self._flushes[next(iter(self._flushes))]
        return None
