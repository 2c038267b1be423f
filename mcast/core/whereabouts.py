"""Whether we are still on the network where the records we hold were heard (docs/security.md, open rooms)."""

from __future__ import annotations

from collections.abc import Iterable

from .peer_id import PeerId

PATIENCE = 60.0  # seconds after the network was lost in which a peer of before must be heard again


class Whereabouts:
    """After the network was lost nothing from before is handed out until a peer of before is heard again.

    A pulled cable that is put back leads to the same peers; another network with the same addresses does not.
    `unsure`: what was heard before must be kept back.
    """

    def __init__(self) -> None:
        self.unsure = False
        self._lost_at = 0.0
        self._before: frozenset[PeerId] = frozenset()
        self.sent = 0

    def lost(self, now: float, sent: int, peers: Iterable[PeerId]) -> None:
        """No network is left of those we were on, where `peers` were; we had published `sent` records."""
        if not self.unsure:
            self.unsure, self._lost_at, self._before = True, now, frozenset(peers)
        self.sent = sent

    def heard(self, run: PeerId) -> None:
        """A fresh word of `run`: one of before, though it may have expired since, tells where we are."""
        if run in self._before:
            self.unsure = False

    def when(self) -> float | None:
        """When to call gone()."""
        return self._lost_at + PATIENCE if self.unsure else None

    def gone(self, now: float) -> bool:
        """Whether nobody of before was heard in time: what was heard there is to be forgotten. Once."""
        if not self.unsure or now < self._lost_at + PATIENCE:
            return False
        self.unsure = False
        return True
