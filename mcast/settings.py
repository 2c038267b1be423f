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

    start_rate: int = 2 * MIB
    """Bytes a second of records and repairs, datagrams as sent, until the first reports: 17 Mbit/s, which any
    wired LAN carries. It doubles within tens of milliseconds while nobody is congested."""

    floor_rate: int = 64 * KIB
    """No member slows the sender below this: 0.5 Mbit/s, a twentieth of the slowest Ethernet."""

    alone_rate: int = 1 * MIB
    """The rate while nobody is known who could report: 8 Mbit/s fits the slowest Ethernet."""

    queue_delay: float = 0.020
    """Seconds that records may queue on the way before the sender slows down: a line of somebody else waits
    in the same queues, and shall still arrive within 50 ms."""

    unread_bytes: int = 1 * MIB
    """What a member's application may leave untaken before the sender slows down; its mailbox has room for 64
    MiB, or for 100,000 messages, which count 64 bytes beyond their own here."""

    report_interval: float = 0.020
    """Between two reports of the elected member: at 50 a second they cost 1 % of a core, and the rate can
    double 25 times a second."""

    stall_after: float = 0.3
    """Silence of the elected member after which the sender stops for it: fifteen of its reports missing."""

    suspect_after: float = 3.0
    """Silence after which the sender goes on without it, at `floor_rate`: a computer swaps for so long."""

    settle: float = 10.0
    """A run's reports count once it was here this long, or half as long as the oldest peer: who comes to
    slow the group down must stay first."""

    slow_share: float = 0.25
    slow_after: float = 10.0
    """Who holds the rate below this share of what the median of the others kept up with, for so long, no
    longer counts (SlowMember)."""

    exile: float = 60.0
    """For this long, doubled each time, at most an hour; then it counts again if it keeps up."""

    breaker: float = 5.0
    """Seconds of records that nobody confirmed, while peers are here, after which the sender stops
    (RFC 8085, 3.1.10); a datagram a second then tries whether they hear."""

    burst: int = 64 * KIB
    """The most that may leave at once; a receive buffer of the smallest default holds it."""

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

    history_pace: int = MIB
    """Rate at which records are handed to those who lack them, all of them together."""

    digest_shortest: float = 0.4
    digest_longest: float = 32.0
    """Trickle intervals: soon after something new all hold the same; later a word now and then will do."""

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
        if not 0 < self.floor_rate <= min(self.start_rate, self.alone_rate) or self.burst < self.payload:
            raise UsageError("rates must be positive, floor_rate the least, and burst at least one payload")
        buffers = self.unread_bytes, self.held_bytes // 4, self.sent_bytes, self.retained_bytes
        if min(buffers) < self.payload:
            raise UsageError("unread, held, sent and retained bytes: at least a payload, held four of them")
        counts = self.window, self.sent_records, self.retained_records, self.peers, self.runs_per_origin
        if min(counts) < 1:
            raise UsageError("window, records, peers and runs an origin: at least one")
        if self.gap_timeout is not None and self.gap_timeout < 0:
            raise UsageError(f"gap_timeout {self.gap_timeout} is negative", "None waits for ever")
        if not 0 < self.grtt_min <= self.grtt_initial <= self.grtt_max:
            raise UsageError("the group round-trip times must rise: grtt_min, grtt_initial, grtt_max")


def lan() -> Settings:
    """The defaults: wired Ethernet and ordinary Wi-Fi."""
    return Settings()


def wifi() -> Settings:
    """Multicast over Wi-Fi goes at the lowest rate, unacknowledged, and waits for sleeping stations: start
    low, and take longer waits for no queue."""
    return Settings(
        start_rate=256 * KIB, alone_rate=128 * KIB, burst=16 * KIB, queue_delay=0.050, reorder_grace=0.03
    )
