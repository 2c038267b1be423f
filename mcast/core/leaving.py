"""The end of a run: its last reports, its goodbye, and a moment in which what it sent last is repaired."""

from __future__ import annotations

from mcast.wire.frames import Goodbye

from .peer_id import PeerId
from .state import State
from .ticking import REPORT_BATCH, report_on

GOODBYES = (0.0, 0.03, 0.06)  # seconds after closing at which the goodbye is said
LINGER = 0.3  # seconds after the last record in which we still answer NACKs: perhaps we alone have it


class Farewell:
    """What is left to say."""

    def __init__(self) -> None:
        self._goodbyes: list[float] = []
        self._heard: list[PeerId] = []  # whom our last report is about, as many as one datagram holds

    def begin(self, state: State, now: float) -> None:
        """Confirm what was heard, as this is the last chance, and plan the goodbyes."""
        due = state.reporter.all(now)
        if due and not state.announced:  # nobody knows our key, and there is no time to ask for it
            state.queue(state.key_frame)
        report_on(state, due, now)
        self._heard = due[:REPORT_BATCH]
        state.closing = True
        if state.announced and not state.manner.visitor and state.may_send:
            self._goodbyes = [now + delay for delay in GOODBYES]
        if not (state.publisher.outbox.size and state.may_send):
            self._end(state, now)

    def proceed(self, state: State, now: float) -> None:
        """Say the goodbyes that are due; all that was queued has left.

        With each but the first the last report goes again: whoever waits for it has nobody left to ask.
        """
        while self._goodbyes and self._goodbyes[0] <= now:
            del self._goodbyes[0]
            if state.departed:
                report_on(state, self._heard, now)
            _say_goodbye(state, now)
        self._end(state, now)

    def _end(self, state: State, now: float) -> None:
        state.closed = not self._goodbyes and now >= state.publisher.flushed_at + LINGER

    def when(self, state: State) -> float | None:
        """When to proceed."""
        if not state.closing or state.publisher.outbox.size:
            return None
        return self._goodbyes[0] if self._goodbyes else state.publisher.flushed_at + LINGER


def _say_goodbye(state: State, now: float) -> None:
    """The last word, with the key when who hears it may have heard nothing else."""
    state.departed = True
    frame = state.sign(Goodbye(*state.me, state.counter(), state.publisher.sent.high))
    lately = now - state.publisher.flushed_at < LINGER
    state.queue(*((state.key_frame, frame) if lately else (frame,)))
