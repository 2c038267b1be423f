"""Our own records: from the application's messages to signed payloads that are kept for repair."""

from __future__ import annotations

from mcast.crypto.keys import Identity
from mcast.crypto.rooms import Room
from mcast.crypto.signed import sign_flush
from mcast.wire import limits
from mcast.wire.records import encode_record

from .heartbeat import Heartbeats
from .outbox import Outbox
from .retention import Sent
from .runs import Run


class Publisher:
    """The sending side of this run.

    `flushed` is the bytes of messages in the last flush, `flushed_at` its time.
    """

    def __init__(
        self, identity: Identity, room: Room, me: Run, payload: int, interval: float, sent: Sent
    ) -> None:
        self._identity, self._room, self._me = identity, room, me
        self.outbox = Outbox(limits.max_body(payload), interval)
        self.sent = sent
        self.heartbeats = Heartbeats()
        self.flushed = 0
        self.flushed_at = float("-inf")

    def flush(self, now: float, wall_ms: int, most: int = limits.TREE_MAX) -> list[bytes]:
        """The signed payloads of one flush of at most `most` records, if it is time for one."""
        drafts = self.outbox.flush(now, most)
        if not drafts:
            return []
        records = [
            encode_record(
                origin=self._me.origin,
                epoch=self._me.epoch,
                sequence=draft.sequence,
                timestamp=wall_ms,
                kind=draft.kind,
                body=draft.body,
            )
            for draft in drafts
        ]
        payloads = sign_flush(self._identity, self._room.id, self._me.epoch, records)
        for draft, payload in zip(drafts, payloads, strict=True):
            self.sent.add(draft.sequence, payload, now)
        self.flushed = sum(len(draft.body) for draft in drafts)
        self.flushed_at = now
        self.heartbeats.sent(now)
        return payloads
