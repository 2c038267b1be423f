"""Every number of the protocol that may be changed, with its unit and the reason for its default.

`lan()` is the base; `wifi()` says only what differs. Change one value with
`msgspec.structs.replace(settings.lan(), gap_timeout=5.0)`.
"""

from __future__ import annotations

import msgspec

from .errors import UsageError
from .wire.limits import DATAGRAM_MAX, DATAGRAM_SAFE

KIB = 1024
MIB = 1024 * KIB


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits and timers of one room. Times in seconds, sizes in bytes, rates in bytes per second."""

    payload: int = 1452
    """Largest datagram: an Ethernet frame of 1500 without the IPv6 and UDP headers."""

    pace: int = 2 * MIB
    """Fixed rate of messages, headers and repairs not counted, until it follows the slowest member."""

    repair_pace: int = 4 * MIB
    """Rate of repairs: four receivers that lose 30 % each need 1.3 times the data again."""

    burst: int = 64 * KIB
    """What may leave at once after a pause; a receive buffer of the smallest default holds it."""

    backlog: int = 256 * KIB
    """Unsent bytes above which `Engine.writable` says no."""

    flush_interval: float = 0.005
    """Signing costs 26-55 us: at most 200 signatures a second. A lone message never waits."""

    reorder_grace: float = 0.010
    """A missing record is asked for only after this long, as it may only be late."""

    gap_timeout: float | None = None
    """How long order waits for a missing record; None: until it is filled or declared lost (who is
    passive, and cannot ask, waits 5 s)."""

    grtt_initial: float = 0.1
    """Group round-trip time until it is measured: safe for a LAN with Wi-Fi in power saving."""

    grtt_min: float = 0.002
    """Below this, scheduling noise of the hosts is larger than the network's delay."""

    grtt_max: float = 1.0
    """One slow or lying member cannot slow repair by more than this."""

    window: int = 8192
    """Records of one run that may be outstanding: a 256-record window leaves a 6.8 s tail at 30 % loss."""

    held_bytes: int = 16 * MIB
    """Records kept while one before them is missing; a run gets a quarter of it."""

    sent_records: int = 16_384
    sent_bytes: int = 16 * MIB
    """Own records kept for repair; what is overwritten is declared by `low`."""

    retained_records: int = 10_000
    retained_bytes: int = 16 * MIB
    retained_seconds: float = 24 * 3600
    retained_share: float = 0.25
    """Others' records kept so that any holder can repair; the share is the most one origin gets."""

    repair_rate: int = 64 * KIB
    """Repairs a second that one requesting identity may cost, beyond one copy of what is newly sent."""

    verifications: int = 1000
    """Signatures checked a second; 70 % are kept for origins already known."""

    announce_interval: float = 5.0
    """Shortest mean time between two announcements of one run."""

    announce_rate: int = 2000
    """All announcements of the group together, link headers included; digests have the rest of 2.5 kB/s."""

    announce_spacing: float = 1.25
    """Between two announcements of the group: each wakes every computer in it, battery or not."""

    announce_patience: float = 60.0
    """The spacing alone makes no interval longer than this, as who crashed is here for 3.5 intervals."""

    probe_interval: float = 1.0
    """Between the three probes of a suspect."""

    live_window: float = 30.0
    """A new run whose signed time is within this of ours is live without a probe."""

    report_rate: float = 20.0
    """Reports a second of the whole group."""

    visitor_seconds: float = 10.0
    """A sending visitor is forgotten after this long without a record."""

    peers: int = 20_000
    """Roster entries: twice the largest group that was simulated."""

    runs_per_origin: int = 16
    """Live runs of one origin: terminals, cron jobs."""

    def __post_init__(self) -> None:
        if not DATAGRAM_SAFE <= self.payload <= DATAGRAM_MAX:
            raise UsageError(f"payload {self.payload}: from {DATAGRAM_SAFE} to {DATAGRAM_MAX} bytes")
        if min(self.pace, self.repair_pace) <= 0 or self.burst < self.payload:
            raise UsageError("both paces must be positive and burst at least one payload")
        if self.gap_timeout is not None and self.gap_timeout < 0:
            raise UsageError(f"gap_timeout {self.gap_timeout} is negative", "None waits for ever")
        if not 0 < self.grtt_min <= self.grtt_initial <= self.grtt_max:
            raise UsageError("the group round-trip times must rise: grtt_min, grtt_initial, grtt_max")


def lan() -> Settings:
    """The defaults: wired Ethernet and ordinary Wi-Fi."""
    return Settings()


def wifi() -> Settings:
    """Multicast over Wi-Fi goes at the lowest rate, unacknowledged: start slower, wait longer."""
    return Settings(pace=500_000, repair_pace=1_000_000, burst=16 * KIB, reorder_grace=0.03)
