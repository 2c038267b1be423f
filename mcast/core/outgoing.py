"""What leaves: control frames, then repairs and new records at the rate that the slowest member allows."""

from __future__ import annotations

import msgspec

from mcast.crypto.seal import Sealer
from mcast.wire.codec import encode_frame, encode_frames, encode_kept

from .ages import handed
from .events import Address
from .history import pages
from .state import Gone, State
from .steering import press
from .timers import earliest

KEYED_RECORDS = 8  # our first records carry our key
PADDED = 4  # records of a flush from which on all are padded to one length, as UDP_SEGMENT needs it


class Outgoing(msgspec.Struct, frozen=True):
    """A datagram to send; `destination` None is the group. `record`: it goes the way of records, not of
    presence."""

    data: bytes
    destination: Address
    record: bool = False


class Sender:
    """Seals what leaves."""

    def __init__(self, sealer: Sealer, key: bytes) -> None:
        self._sealer = sealer
        self._key = key
        self._keyed = 0

    def control(self, state: State, now: float) -> list[Outgoing]:
        """Everything queued, never held back: each kind has its own bound."""
        out = []
        while state.control:
            sending = state.control.popleft()
            plain = encode_frames(sending.frames, sending.size)
            out.append(Outgoing(self._sealer.seal(plain), sending.destination, sending.record))
        return out

    def repairs(self, state: State, now: float) -> list[Outgoing]:
        """The repairs that are due, as far as the rate allows and they leave some of it to new records."""
        out: list[Outgoing] = []
        flow = state.flow
        while _may_repair(state) and flow.level(now) > 0:
            run, sequence = state.repairs.take(now)
            plain = handed(state, run, sequence, now)
            if plain is not None:
                data = self._sealer.seal(plain)
                state.sent_frames["repair"] += 1
                flow.repaired(len(data), now)
                out.append(Outgoing(data, None, True))
        return out

    def history(self, state: State, now: float) -> list[Outgoing]:
        """Pages of records for those who asked, as far as their pace allows."""
        return [Outgoing(self._sealer.seal(plain), to) for plain, to in pages(state, now)]

    def records(self, state: State, now: float) -> list[Outgoing]:
        """The flushes that are due, as far as the rate allows; of the last, what is left to do waits in
        `state.gone`, so that a lone message does not wait for it."""
        publisher, flow = state.publisher, state.flow
        out: list[Outgoing] = []
        while publisher.outbox.size and flow.new_level(now) > 0:
            flush = publisher.flush(now, state.clock.unix_ms(now), flow.records)
            if flush is None:
                break
            datagrams = self._seal(state, flush.payloads)
            out += [Outgoing(data, None, True) for data in datagrams]
            state.gone = Gone(flush, sum(map(len, datagrams)), now)
            if publisher.outbox.size:
                write_down(state)
        repairs_wait = state.repairs.ready and (publisher.sent.high or out)
        if repairs_wait or (publisher.outbox.size and _flush_due(state, now)):
            write_down(state)
            press(state, now)
        return out

    def _seal(self, state: State, payloads: list[bytes]) -> list[bytes]:
        plains = list(map(encode_kept, payloads))
        if self._keyed < KEYED_RECORDS:
            plains = [both for plain in plains for both in self._with_key(state, plain)]
        if len(payloads) >= PADDED:
            longest = max(map(len, plains))
            plains = [plain.ljust(longest, b"\0") for plain in plains]
        return list(map(self._sealer.seal, plains))

    def _with_key(self, state: State, frame: bytes) -> list[bytes]:
        """The first records bring the key along, in the same datagram if it fits."""
        if self._keyed >= KEYED_RECORDS:
            return [frame]
        self._keyed += 1
        both = self._key + frame
        room = state.room_left()
        return [both] if len(both) <= room else [self._key, frame]


def write_down(state: State) -> None:
    """What is left to do for the last flush: it is kept for repair, its bytes count, heartbeats tell of it.

    Every call of the engine that does more than to take in a message begins with it.
    """
    gone = state.gone
    if gone is None:
        return
    count = len(gone.flush.payloads)
    state.publisher.left(gone.flush, gone.at)
    if state.gone is gone:  # not before, and no other: who interrupts us must not lose what has a number
        state.gone = None
    state.sent_frames["record"] += count
    state.flow.sent(state.publisher.sent.high, count, gone.size, gone.at)
    state.past.news.came(gone.at)
    state.own_quotas.credit(gone.size, state.settings.sent_bytes, gone.at)


def _flush_due(state: State, now: float) -> bool:
    when = state.publisher.outbox.when()
    return when is not None and when <= now


def _may_repair(state: State) -> bool:
    """Whether repairs wait, and need not let new records go first."""
    return bool(state.repairs.ready) and not (state.flow.turn and state.publisher.outbox.size)


def key_bytes(state: State) -> bytes:
    """Our KEY frame, encoded."""
    return encode_frame(state.key_frame)


def when(state: State, now: float) -> float | None:
    """When something can leave next."""
    if state.control:
        return now
    history = state.past.pace.when(1, now) if state.past.serving.queues else None
    flush = state.publisher.outbox.when()
    if not state.repairs.ready and flush is None:
        return history
    repairs = state.flow.when(now) if _may_repair(state) else None
    return earliest(history, repairs, None if flush is None else max(flush, state.flow.new_when(now)))
