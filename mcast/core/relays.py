"""Words of others that wait to be passed on to those who do not hear them."""

from __future__ import annotations

import msgspec

from mcast.wire.frames import Announcement, Goodbye, Heartbeat, Nack, Probe, ProbeReply, Report, Roster

from .peer_id import PeerId
from .reach import Station
from .timers import Timers

Word = Announcement | Goodbye | Heartbeat | Nack | Report | Roster | Probe | ProbeReply
Slot = tuple[type, PeerId]

WAITING = (
    4096  # words at a time, one of each kind a run; the attack is a flood of them, the newest are refused
)
KEYED = 1.0  # seconds after which an author's key goes along with its words again
KEYS = 1024  # authors whose key was passed on lately, first in, first out
ABSENT = 1024  # records asked for that we lack too, first in, first out
NONCES = 256  # probes passed on whose answer is awaited, first in, first out


class Relay(msgspec.Struct, frozen=True):
    """A word, and who said it where."""

    word: Word
    station: Station


class Relays:
    """What to pass on when. Somebody else's copy of a word calls ours off."""

    def __init__(self) -> None:
        self._waiting: dict[Slot, Relay] = {}
        self._timers: Timers[Slot] = Timers()
        self._nonces: dict[bytes, None] = {}
        self._keyed: dict[bytes, float] = {}
        self.absent: dict[tuple[PeerId, int], None] = {}

    def add(self, run: PeerId, relay: Relay, when: float) -> None:
        """Pass on a word about `run` at `when`; it replaces an older one that still waits."""
        slot = (type(relay.word), run)
        if slot not in self._waiting:
            if len(self._waiting) >= WAITING:
                return
            self._timers.set(slot, when)
        self._waiting[slot] = relay

    def copied(self, run: PeerId, word: Word) -> None:
        """Somebody passed on `word`."""
        slot = (type(word), run)
        waiting = self._waiting.get(slot)
        if waiting is not None and waiting.word == word:
            del self._waiting[slot]
            self._timers.cancel(slot)

    def when(self) -> float | None:
        """When something is to be passed on."""
        return self._timers.next()

    def due(self, now: float) -> list[Relay]:
        """What to pass on now."""
        return [self._waiting.pop(slot) for slot in self._timers.due(now)]

    def lack(self, run: PeerId, sequences: list[int]) -> None:
        """Somebody asks for these records; when they come, they are to be passed on."""
        for sequence in sequences:
            self.absent[run, sequence] = None
        while len(self.absent) > ABSENT:
            del self.absent[next(iter(self.absent))]

    def wants_key(self, author: bytes, now: float) -> bool:
        """Whether the key of `author` is to go along with its words now: who asks may not be heard by it."""
        if now - self._keyed.get(author, float("-inf")) < KEYED:
            return False
        self._keyed.pop(author, None)
        self._keyed[author] = now
        if len(self._keyed) > KEYS:
            del self._keyed[next(iter(self._keyed))]
        return True

    def probing(self, nonce: bytes) -> None:
        """A probe is passed on: its answer shall be too."""
        self._nonces[nonce] = None
        if len(self._nonces) > NONCES:
            del self._nonces[next(iter(self._nonces))]

    def expects(self, nonce: bytes) -> bool:
        """Whether the answer with this nonce is to be passed on."""
        return nonce in self._nonces

    def answered(self, nonce: bytes) -> None:
        """It has come, genuinely."""
        del self._nonces[nonce]
