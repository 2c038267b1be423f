"""Whether we are still on the network where the records we hold were heard (docs/security.md, open rooms)."""

from __future__ import annotations

PATIENCE = 60.0  # seconds after the network was lost in which a peer of before must be heard again


class Whereabouts:
    """After the network was lost nothing from before is handed out until a peer of before is heard again.

    A pulled cable that is put back leads to the same peers; another network with the same addresses does not.
    """

    def __init__(self) -> None:
        self._lost_at: float | None = None
        self._unsure_since = 0.0
        self.sent = 0

    @property
    def unsure(self) -> bool:
        """Whether what was heard before must be kept back."""
        return self._lost_at is not None

    def lost(self, now: float, sent: int) -> None:
        """No network is left of those we were on; we had published `sent` records."""
        if self._lost_at is None:
            self._lost_at = self._unsure_since = now
        self.sent = sent

    def recognised(self, joined: float) -> None:
        """A peer that joined then was heard."""
        if joined < self._unsure_since:
            self._lost_at = None

    def when(self) -> float | None:
        """When to call gone()."""
        return None if self._lost_at is None else self._lost_at + PATIENCE

    def gone(self, now: float) -> bool:
        """Whether nobody of before was heard in time: what was heard there is to be forgotten. Once."""
        if self._lost_at is None or now < self._lost_at + PATIENCE:
            return False
        self._lost_at = None
        return True
