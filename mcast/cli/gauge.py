"""What `mcast bench` counts, and how it is shown: no clock and no socket here."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

HEAD = struct.Struct("!cQd")
"""Kind, number from 0, and the sender's unix time: so begins every message of a bench."""
DATA, DONE = b"d", b"e"
"""The kinds: one of many; the last, whose number is how many there were."""
SMOOTHING = 16
"""Interarrival jitter is smoothed as in RFC 3550, section 6.4.1."""


@dataclass
class Counts:
    """What happened in a stretch of time, of `seconds`."""

    seconds: float = 0.0
    messages: int = 0
    bytes: int = 0
    repaired: int = 0
    """Records that were missing for a while (receiving), or sent again (sending)."""
    lost: int = 0
    """Records that never came."""
    cpu: float = 0.0
    """Seconds of processor time of this program."""

    def __sub__(self, before: Counts) -> Counts:
        return Counts(
            self.seconds - before.seconds,
            self.messages - before.messages,
            self.bytes - before.bytes,
            self.repaired - before.repaired,
            self.lost - before.lost,
            self.cpu - before.cpu,
        )

    def per_second(self, amount: float) -> float:
        """An amount by the time it took."""
        return amount / self.seconds if self.seconds > 0 else 0.0


HEADING = "  seconds  messages/s     Mbit/s  jitter ms  repaired  lost  CPU %"


def line(since: float, counts: Counts, jitter: float) -> str:
    """Under HEADING; `since` and `jitter` in seconds."""
    span = f"{since:.1f}-{since + counts.seconds:.1f}"
    rate, bits = counts.per_second(counts.messages), counts.per_second(8e-6 * counts.bytes)
    share = counts.per_second(100 * counts.cpu)
    return (
        f"{span:>9}  {rate:>10,.0f}  {bits:>9.2f}  {1000 * jitter:>9.3f}"
        f"  {counts.repaired:>8}  {counts.lost:>4}  {share:>5.1f}"
    )


def fields(since: float, counts: Counts, jitter: float) -> dict[str, Any]:
    """The same for JSON."""
    return {
        "start": round(since, 3),
        "seconds": round(counts.seconds, 3),
        "messages": counts.messages,
        "bytes": counts.bytes,
        "messages_per_second": round(counts.per_second(counts.messages), 1),
        "bits_per_second": round(counts.per_second(8 * counts.bytes), 1),
        "jitter_ms": round(1000 * jitter, 3),
        "repaired": counts.repaired,
        "lost": counts.lost,
        "cpu_percent": round(counts.per_second(100 * counts.cpu), 1),
    }


class Jitter:
    """How unevenly messages arrive, compared with how they were sent (RFC 3550, section 6.4.1)."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._transit: float | None = None

    def heard(self, sent: float, arrived: float) -> None:
        """Times on the sender's and on our clock, which need not agree."""
        transit = arrived - sent
        if self._transit is not None:
            self.seconds += (abs(transit - self._transit) - self.seconds) / SMOOTHING
        self._transit = transit


def parse(data: bytes) -> tuple[bytes, int, float] | None:
    """Kind, number, when it was sent; None for what is no message of a bench."""
    if len(data) < HEAD.size or data[:1] not in (DATA, DONE):
        return None
    kind, number, sent = HEAD.unpack_from(data)
    return kind, number, sent
