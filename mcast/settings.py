"""Timers and limits of the protocol, each with its unit and the reason for its default.

`lan()` has the defaults, `wifi()` what differs from them. Change one value with
`msgspec.structs.replace(settings.lan(), gap_timeout=5.0)`.
"""

from __future__ import annotations

import msgspec

from .errors import UsageError
from .wire.limits import DATAGRAM_MAX, DATAGRAM_SAFE

KIB = 1024
MIB = 1024 * KIB


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Timers and limits of one room. Times are in seconds, sizes in bytes, rates in bytes per second."""

    payload: int = 1452
    """Largest datagram: an Ethernet frame of 1500 bytes without the IPv6 and UDP headers."""

    start_rate: int = 2 * MIB
    """Rate of records and repairs, with all headers, until the first receiver reports: 17 Mbit/s, which every
    wired LAN carries. It doubles within tens of milliseconds while there is no congestion."""

    floor_rate: int = 64 * KIB
    """No member slows the sender below this: 0.5 Mbit/s, a twentieth of the slowest Ethernet."""

    alone_rate: int = 1 * MIB
    """Rate while no peer is known that could send receiver reports: 8 Mbit/s fits the slowest Ethernet."""

    queue_delay: float = 0.020
    """Time that records may queue on the path before the sender slows down. Messages of others wait in the
    same queues, and must still arrive within 50 ms."""

    unread_bytes: int = 1 * MIB
    """Bytes that a member's application may leave in its event queue before senders slow down. The queue
    holds 64 MiB or 100,000 events; here an event counts 64 bytes besides its own."""

    report_interval: float = 0.020
    """Time between two reports of the acker. At 50 a second they cost 1 % of a core, and the rate can double
    25 times a second."""

    stall_after: float = 0.3
    """Silence of the acker after which the sender stops for it: fifteen of its reports are missing."""

    suspect_after: float = 3.0
    """Silence of the acker after which the sender goes on at `floor_rate`: swapping may take that long."""

    settle: float = 10.0
    """Reports of a peer count once it was here for this long, or half as long as the oldest peer. Whoever
    joins to slow the group down must stay first."""

    slow_share: float = 0.25
    slow_after: float = 10.0
    """A member that holds the rate below this share of the others' median for so long no longer counts
    (SlowMember)."""

    slow_pause: float = 60.0
    """For this long, doubled each time up to an hour. Then it counts again if it keeps up."""

    breaker: float = 5.0
    """Time of sending without any confirmation, while peers are here, after which the sender stops
    (RFC 8085, 3.1.10). Then one datagram a second tests whether they hear it."""

    burst: int = 64 * KIB
    """Most bytes that leave at once: the smallest default receive buffer holds them."""

    backlog: int = 256 * KIB
    """Unsent bytes above which `Engine.writable` says no."""

    flush_interval: float = 0.005
    """Shortest time between two flushes: a signature takes 26-55 us. A lone message never waits."""

    reorder_grace: float = 0.010
    """A missing record is requested only after this time, because it may only be late."""

    gap_timeout: float | None = 30.0
    """Time that later records wait for a missing one; then a gap is told, and what still comes is late. None:
    until it arrives or is declared lost. A passive member cannot send NACKs and waits 5 s at most."""

    grtt_initial: float = 0.1
    """Group round-trip time until it is measured: safe for Wi-Fi in power saving."""

    grtt_min: float = 0.002
    """Below this, the scheduling of the hosts takes longer than the network."""

    grtt_max: float = 1.0
    """One slow or lying member cannot make repair slower than this."""

    window: int = 8192
    """Records of one peer that may be outstanding: with 256, loss of 30 % leaves a tail of 6.8 s."""

    held_bytes: int = 16 * MIB
    """Bytes that wait for a missing record; one peer gets at most a quarter of them."""

    sent_records: int = 16_384
    sent_bytes: int = 16 * MIB
    """Own records that are kept for repair."""

    history_records: int = 10_000
    history_bytes: int = 16 * MIB
    history_seconds: float = 24 * 3600
    history_share: float = 0.25
    """Records of others, kept so that every member can repair. One origin gets at most the share."""

    keyed_history_seconds: float = 30 * 24 * 3600
    """`history_seconds` of a room with a key: only those who have the key get what is kept."""

    repair_rate: int = 64 * KIB
    """Rate of repairs that one identity may request, besides one copy of each new record."""

    verifications: int = 1000
    """Signatures verified a second. 70 % are reserved for known origins."""

    history_pace: int = MIB
    """Rate of history sent to all who lack it together."""

    digest_shortest: float = 0.4
    digest_longest: float = 32.0
    """Trickle intervals of digests: short after something new, until all members have the same."""

    announce_interval: float = 5.0
    """Shortest mean time between two announcements of one peer."""

    announce_rate: int = 2000
    """Bytes a second of all announcements of the group, with link headers. Digests have the rest of the
    2.5 kB/s."""

    announce_spacing: float = 1.25
    """Shortest time between two announcements of the group: each wakes every computer, battery or not."""

    announce_patience: float = 60.0
    """`announce_spacing` makes no interval longer than this: a peer that crashed stays in the roster for 3.5
    intervals."""

    probe_interval: float = 1.0
    """Time between the three probes of a suspect."""

    live_window: float = 30.0
    """A new peer whose signed time is this close to ours is live without a probe."""

    report_rate: float = 20.0
    """Receiver reports a second of the whole group."""

    visitor_seconds: float = 10.0
    """A visitor that sends is forgotten after this long without a record."""

    peers: int = 20_000
    """Peers in the roster: twice the largest group that was simulated."""

    peers_per_identity: int = 256
    """Live peers of one identity: terminals, and the cron jobs of one user that start together."""

    def __post_init__(self) -> None:
        if not DATAGRAM_SAFE <= self.payload <= DATAGRAM_MAX:
            raise UsageError(f"payload {self.payload} must be {DATAGRAM_SAFE} to {DATAGRAM_MAX} bytes")
        if not 0 < self.floor_rate <= min(self.start_rate, self.alone_rate) or self.burst < self.payload:
            raise UsageError("rates must be positive, floor_rate the lowest, burst at least one payload")
        buffers = self.unread_bytes, self.held_bytes // 4, self.sent_bytes, self.history_bytes
        if min(buffers) < self.payload:
            raise UsageError("unread, sent and retained bytes must be at least a payload, held_bytes four")
        counts = self.window, self.sent_records, self.history_records, self.peers, self.peers_per_identity
        if min(counts) < 1:
            raise UsageError("window, records, peers and peers_per_identity must be at least 1")
        if self.gap_timeout is not None and self.gap_timeout < 0:
            raise UsageError(f"gap_timeout {self.gap_timeout} is negative", "use None to wait without limit")
        if not 0 < self.grtt_min <= self.grtt_initial <= self.grtt_max:
            raise UsageError("grtt_min, grtt_initial and grtt_max must be positive and in this order")


def lan() -> Settings:
    """The defaults: wired Ethernet and ordinary Wi-Fi."""
    return Settings()


def wifi() -> Settings:
    """For Wi-Fi, which sends multicast at its lowest rate, without acknowledgements, and waits for sleeping
    hosts: start slowly, and accept longer delays."""
    return Settings(
        start_rate=256 * KIB, alone_rate=128 * KIB, burst=16 * KIB, queue_delay=0.050, reorder_grace=0.03
    )
