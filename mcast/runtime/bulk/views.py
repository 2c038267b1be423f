"""How a bulk transfer stands, as a program sees it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from mcast.core.bulk.sender import UNREACHED as SECONDS
from mcast.core.events import PeerId

CANCELLED = "cancelled"
"""Why it failed if the receiver stopped it: its program ended, or it was left for another one."""

UNREACHED = f"nothing of it has arrived there for {SECONDS:.0f} s"
"""Why it does not get on: its reports say so."""
KEPT_OUT = ": a firewall there may keep it out"
"""What is added if nothing has ever arrived."""
UNHEARD = "no report from it has arrived: a firewall here may keep it out"
"""Why nothing is known of its progress."""


class State(StrEnum):
    """Where one receiver is."""

    ACCEPTED = "accepted"  # it said so; nothing is known of its progress
    RECEIVING = "receiving"
    WHOLE = "whole"  # it says, signed, that it has everything, verified and finished
    FAILED = "failed"  # it says, signed, that it cannot
    SILENT = "silent"  # no word of it for a while; it may come back


class ReceiverProgress(msgspec.Struct, frozen=True):
    """One receiver of a transfer. `have` counts bytes of manifest and content that it has verified.

    `way` is "multicast" or "unicast". `loss` is the share of what was sent to it lately that it did not get.
    `reason` says why it failed, or what keeps it from getting on.
    """

    peer_id: PeerId
    name: str
    state: State
    have: int = 0
    way: str = "multicast"
    loss: float = 0.0
    reason: str = ""


class Progress(msgspec.Struct, frozen=True):
    """A transfer now. `total` is manifest and content; `have` what we hold of it (all, for a drop).

    `sent` and `received` count bytes of datagrams, `rate` bytes a second now: sent by a drop, verified by a
    fetch. `receivers` are all that accepted, as far as known.
    """

    total: int
    have: int
    sent: int
    received: int
    rate: float
    receivers: tuple[ReceiverProgress, ...]


class Failure(msgspec.Struct, frozen=True):
    """Why a transfer ended without success. `kind`: "source" or "sink" (it raised; `text` is what), "changed"
    (the source is not what was offered any more), CANCELLED, "closed" (the group was left)."""

    kind: str
    text: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """Who has a transfer whole. It is true if all that were to get it say so."""

    complete: bool
    whole: tuple[ReceiverProgress, ...]
    missing: tuple[ReceiverProgress, ...]
    failure: Failure | None = None

    def __bool__(self) -> bool:
        return self.complete
