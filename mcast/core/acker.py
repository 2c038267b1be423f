"""Which member the sender listens to: the slowest of those that count (pgmcc, Rizzo 2000)."""

from __future__ import annotations

from mcast.settings import Settings

from .path import Path, Sample
from .peer_id import PeerId
from .reporting import gap
from .roster import Peer, Roster

UNANSWERED = 0.5  # seconds after which another one is named while the named one never reported
LOOK_LONGEST = 1.0  # seconds between two looks that count as held up; a longer gap was no sending
FORGIVEN = 1 / 4  # of the time in which a run holds up nobody


class Held:
    """Seconds for which a run has held up the others; a quarter of the time in which it does not goes off.

    The attack: members that take turns or let the rate up for a moment, so that none does it for long on end.
    """

    __slots__ = ("_at", "seconds")

    def __init__(self, now: float) -> None:
        self.seconds, self._at = 0.0, now

    def look(self, now: float, *, holding: bool) -> float:
        """A look at it, the first since a while or not; the seconds."""
        gone, self._at = now - self._at, now
        counted = min(gone, LOOK_LONGEST) if holding else 0.0
        self.seconds = max(0.0, self.seconds - FORGIVEN * (gone - counted)) + counted
        return self.seconds


class Election:
    """The paths of those who reported on us, at most `settings.peers`, oldest out; and the elected one, the
    `acker`, with its `path` once it reported (kept here as each flush asks for it).

    The attacks: a member that claims to be slow, or to have lost all, or falls silent. It counts only after
    some time, and no longer once it has held up the others for some time. Made-up members by the thousand
    are as many voices: an open room is free for them.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._paths: dict[PeerId, Path] = {}
        self._exiles: dict[PeerId, float] = {}  # until when each does not count
        self._held: dict[PeerId, Held] = {}
        self.acker: PeerId | None = None
        self.path: Path | None = None
        self.named = 0.0

    def take(self, run: PeerId, sample: Sample, size: float, near: float, now: float) -> Path:
        """`run`, which is `near` (s), reported; the records we send are of `size` bytes."""
        path = self._paths.get(run)
        if path is None:
            path = self._paths[run] = Path(sample.heard.contiguous, near, now)
            if len(self._paths) > self._settings.peers:
                del self._paths[next(iter(self._paths))]
            self._name(self.acker)
        path.take(sample, size, now)
        return path

    def counts(self, run: PeerId, roster: Roster, now: float) -> bool:
        """Whether the reports of `run` may slow us down."""
        if now < self._exiles.get(run, 0.0):
            return False
        if not len(roster):
            return True
        peer = roster.get(run)
        if peer is None or not _live(peer):
            return False
        oldest = next(iter(roster))
        return now - peer.joined >= min(self._settings.settle, (now - oldest.joined) / 2)

    def elect(self, run: PeerId, now: float) -> None:
        """From now on we listen to `run`."""
        self._name(run)
        self.named = now

    def _name(self, run: PeerId | None) -> None:
        self.acker = run
        self.path = None if run is None else self._paths.get(run)

    def lacks(self, roster: Roster, now: float) -> bool:
        """Whether nobody is elected who could report."""
        if self.acker is None or not self.counts(self.acker, roster, now):
            return True
        return self.path is None and now - self.named >= UNANSWERED

    def candidate(self, roster: Roster, now: float) -> PeerId | None:
        """Somebody to begin with: who reported last, else the next of the roster."""
        recent = [run for run in self._paths if run != self.acker and self.counts(run, roster, now)]
        if recent:
            return max(recent, key=lambda run: self._paths[run].last)
        runs = [peer.peer_id for peer in roster if self.counts(peer.peer_id, roster, now)]
        if not runs:
            return None
        return runs[(runs.index(self.acker) + 1) % len(runs)] if self.acker in runs else runs[0]

    def holds_up(self, rate: float, roster: Roster, now: float) -> bool:
        """Whether the elected one has held `rate` down for too long; then it is exiled."""
        others = [
            path.kept
            for run, path in self._paths.items()
            if run != self.acker and self.counts(run, roster, now)
        ]
        if self.acker is None:
            return False
        slow = bool(others) and rate < self._settings.slow_share * _median(others)
        held = self._held.get(self.acker)
        if held is None:
            if not slow:
                return False
            held = self._held[self.acker] = Held(now)
            if len(self._held) > self._settings.peers:
                del self._held[next(iter(self._held))]
        if held.look(now, holding=slow) < self._settings.slow_after:
            return False
        self._banish(self.acker, now)
        return True

    def silent(self, confirmed: int, roster: Roster, now: float) -> PeerId | None:
        """Somebody else whose report is overdue, having confirmed less than `confirmed`."""
        overdue = now - 2 * gap(len(roster) + 1, self._settings.report_rate)
        for run, path in self._paths.items():
            late = path.contiguous < confirmed and path.last < overdue
            if late and run != self.acker and self.counts(run, roster, now):
                return run
        return None

    def _banish(self, run: PeerId, now: float) -> None:
        self._held.pop(run, None)
        self._exiles.pop(run, None)
        self._exiles[run] = now + self._settings.exile
        if len(self._exiles) > self._settings.peers:
            del self._exiles[next(iter(self._exiles))]
        self._name(None)

    def left(self, run: PeerId) -> None:
        """`run` is gone."""
        self._paths.pop(run, None)
        self._held.pop(run, None)
        if self.acker == run:
            self._name(None)


def here(roster: Roster) -> bool:
    """Whether anybody is here who could report."""
    return any(_live(peer) for peer in roster)


def _live(peer: Peer) -> bool:
    return peer.confirmed and not peer.suspect


def _median(values: list[float]) -> float:
    """As statistics.median, whose module takes longer to import than any two of ours."""
    ordered, half = sorted(values), len(values) // 2
    return (ordered[half] + ordered[-1 - half]) / 2
