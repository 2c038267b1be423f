"""Our own records: from the application's messages to signed payloads that are kept for repair."""

from __future__ import annotations

import msgspec

from mcast.crypto.keys import Identity
from mcast.crypto.rooms import Room
from mcast.crypto.signed import sign_flush
from mcast.wire import limits
from mcast.wire.records import encode_record

from .heartbeat import Heartbeats
from .outbox import Outbox
from .peer_id import PeerId
from .retention import Sent


class Flush(msgspec.Struct, frozen=True):
    """Records that leave together: the signed payloads of those from sequence `first` on."""

    first: int
    payloads: list[bytes]


class Publisher:
    """The sending side of this run. `flushed_at` is the time of the last flush."""

    def __init__(
        self, identity: Identity, room: Room, me: PeerId, payload: int, interval: float, sent: Sent
    ) -> None:
        self._identity, self._room, self._me = identity, room, me
        self.outbox = Outbox(limits.max_body(payload), interval)
        self.sent = sent
        self.heartbeats = Heartbeats()
        self.flushed_at = float("-inf")

    def flush(self, now: float, wall_ms: int, most: int = limits.TREE_MAX) -> Flush | None:
        """A flush of at most `most` records, if it is time for one; once it is sent, left() is to be told."""
        drafts = self.outbox.flush(now, most)
        if not drafts:
            return None
        records = [
            encode_record(
                origin=self._me.origin,
                incarnation=self._me.incarnation,
                sequence=draft.sequence,
                timestamp=wall_ms,
                kind=draft.kind,
                body=draft.body,
            )
            for draft in drafts
        ]
        return Flush(
            drafts[0].sequence, sign_flush(self._identity, self._room.id, self._me.incarnation, records)
        )

    def left(self, flush: Flush, now: float) -> None:
        """`flush` has been sent: its records are kept for repair, and heartbeats tell of them."""
        for sequence, payload in enumerate(flush.payloads, flush.first):
            self.sent.add(sequence, payload, now)
        self.flushed_at = now
        self.heartbeats.sent(now)
