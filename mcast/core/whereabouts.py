"""Whether we are still on the network where the records we hold were heard (docs/security.md, open rooms)."""

from __future__ import annotations

PATIENCE = 60.0  # seconds after the network was lost in which a peer of before must be heard again


class Whereabouts:
    """After the network was lost nothing from before is handed out until a peer of before is heard again.

    A pulled cable that is put back leads to the same peers; another network with the same addresses does not.
    `unsure`: what was heard before must be kept back.
    """

    def __init__(self) -> None:
        self.unsure = False
        self._lost_at = 0.0
        self.sent = 0

    def lost(self, now: float, sent: int) -> None:
        """No network is left of those we were on; we had published `sent` records."""
        if not self.unsure:
            self.unsure, self._lost_at = True, now
        self.sent = sent

    def recognised(self, joined: float) -> None:
        """A peer that joined then was heard."""
        if joined < self._lost_at:
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
