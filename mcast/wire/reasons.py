"""Why something from the network was dropped: one list for the whole engine, counted by name."""

from __future__ import annotations

from enum import StrEnum


class DropReason(StrEnum):
    """Each value is the counter's name in `stats()`; docs/protocol.md says when each applies."""

    # The datagram's clear header and seal.
    NOT_MCAST = "not-mcast"
    TOO_SHORT = "too-short"
    TOO_LONG = "too-long"
    VERSION = "version"
    UNKNOWN_ROOM = "unknown-room"
    REPEATED = "repeated"
    OWN = "own"
    UNSEALED = "unsealed"

    # The frames of an opened datagram.
    EMPTY = "empty"
    TRUNCATED = "truncated"
    TRAILING = "trailing"
    PADDING = "padding"
    UNKNOWN_FRAME = "unknown-frame"
    BAD_FLAGS = "bad-flags"
    BAD_VALUE = "bad-value"
    BAD_TEXT = "bad-text"
    BAD_RANGES = "bad-ranges"
    BAD_PROOF = "bad-proof"
    BAD_BODY = "bad-body"
    BAD_ATTRIBUTES = "bad-attributes"

    # What the engine decides about a well-formed frame.
    BAD_SIGNATURE = "bad-signature"
    UNKNOWN_ORIGIN = "unknown-origin"
    UNKNOWN_KEY = "unknown-key"
    WAITING_FULL = "waiting-full"
    DUPLICATE = "duplicate"
    STALE = "stale"
    OUT_OF_WINDOW = "out-of-window"
    EQUIVOCATION = "equivocation"
    OVER_BUDGET = "over-budget"
    OVER_QUOTA = "over-quota"
    TOO_MANY_PEERS = "too-many-peers"
    TABLE_FULL = "table-full"
    DEPARTED = "departed"
    NOT_LIVE = "not-live"
    NOT_ASKED = "not-asked"
    TOO_OLD = "too-old"
    NO_TOKEN = "no-token"  # noqa: S105 - the name of a counter


class Malformed(Exception):
    """Raised by nested decoders; decode_frames() returns the reason instead."""

    def __init__(self, reason: DropReason) -> None:
        super().__init__(reason)
        self.reason = reason
