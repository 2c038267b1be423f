"""Who is alive: silence, suspicion and probes (after SWIM), and whether a peer is live or a recording.

A recording of a peer that somebody plays again has an old time and cannot answer a probe with our nonce.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from math import ceil, inf

import msgspec

from mcast.core.auth.keys import WaitingRecords
from mcast.core.auth.verifier import Verifier
from mcast.core.context import Context, Datagram, Handlers
from mcast.core.events import Address, PeerId
from mcast.core.history.store import Store
from mcast.core.networks import ALL
from mcast.core.reliability.nack import NackScheduler
from mcast.core.reliability.sender import TransmitWindow
from mcast.core.timers import Timers
from mcast.core.token_bucket import TokenBucket
from mcast.wire.frames import BY_MULTICAST, Announcement, Probe, ProbeReply
from mcast.wire.reasons import DropReason

from .roster import Peer, Roster

SILENCE = 3.5  # intervals without a signed word after which a peer is suspect
PROBES = 3  # sent to a suspect before it is expired, the last to the group
PROBED, PROBED_AT_ONCE = 5.0, 100  # suspects probed a second by the whole group, and at once by each member
ASKERS = 50  # members that challenge one doubted peer in a second; it answers twice as many
NONCES = 1024  # probes and challenges outstanding; the attack is peers that never answer, oldest first out
ANSWER_TIME = 3.0  # seconds a nonce is good for
RETRIES = (0.1, 0.3, 0.5)  # seconds after which a doubted peer is asked again, the last time by multicast
SULK = 5.0  # seconds in which a peer that never answered is not asked anew
CHALLENGES, CHALLENGES_AT_ONCE = 5, 20  # a second, of peers that may be recordings
ANSWERS = 100  # probes answered a second; the attack is a flood of them
DEPARTED = 4096  # peers that said goodbye; the attack is a flood of goodbyes: oldest first out
CANDIDATES = (
    1024  # announcements of unproven peers; the attack is recordings by the thousand; oldest first out
)
MEASURED = 3  # peers probed after joining, to learn the group round-trip time
MEASURE_AGAIN = 10.0  # seconds
MEASURE_RETRY = 0.15  # seconds without an answer after which another peer is probed
MEASURED_MOST = 12  # probes until we know, in all
CHOICE = 16  # peers to choose from
LOOK_AROUND = 0.1  # seconds, at most, in which a member that is new sees how large the group is
CROWD = 100  # members above which nobody measures, or is probed, just because somebody joined


class Probing(msgspec.Struct, frozen=True):
    """A probe that was sent."""

    peer_id: PeerId
    at: float


class Candidate(msgspec.Struct, frozen=True):
    """The announcement of an unproven peer: it enters the roster when the peer answers."""

    frame: Announcement
    source: Address


class Doubt:
    """A peer that may be a recording: where it was heard itself (None: nowhere), challenges sent so far.

    All who doubt it ask within `spread` seconds, on `networks`.
    """

    __slots__ = ("networks", "source", "spread", "tries")

    def __init__(self, source: Address, spread: float, networks: int) -> None:
        self.source, self.spread, self.networks = source, spread, networks
        self.tries = 0 if source is not None else len(RETRIES)


class Freshness:
    """Peers proven live, and the challenges of those that are not. First in, first out, `limit` peers.

    A peer is proven by a signed time near ours, or by its answer to our nonce. Once live it stays so until it
    leaves.
    """

    def __init__(self, context: Context, window: float, limit: int) -> None:
        self._context = context
        self._window_ms, self._limit = window * 1000, limit
        self._live: dict[PeerId, None] = {}
        self._doubts: dict[PeerId, Doubt] = {}
        self.timers: Timers[PeerId] = Timers()

    def __contains__(self, peer_id: PeerId) -> bool:
        return peer_id in self._live

    def judge(self, peer_id: PeerId, timestamp: int, now: float) -> bool:
        """Whether the peer that signed `timestamp` is live."""
        if peer_id in self._live:
            return True
        if abs(timestamp - self._context.unix_ms(now)) > self._window_ms:
            return False
        self.prove(peer_id)
        return True

    def prove(self, peer_id: PeerId) -> None:
        """`peer_id` is live."""
        self._settle(peer_id)
        self._live[peer_id] = None
        if len(self._live) > self._limit:
            del self._live[next(iter(self._live))]

    def left(self, peer_id: PeerId) -> None:
        """The peer is gone; it has to prove itself again."""
        self._live.pop(peer_id, None)

    def _settle(self, peer_id: PeerId) -> None:
        self._doubts.pop(peer_id, None)
        self.timers.cancel(peer_id)

    def doubt(self, peer_id: PeerId, source: Address, networks: int, now: float) -> None:
        """A peer, heard from `source` (None: not itself), may be a recording: challenge it, unless we do.

        The attack: one recording in a large group, which all would challenge at once. So the larger the group
        the longer the time over which the challenges are spread, evenly: each needs an answer.
        """
        known = self._doubts.get(peer_id)
        if known is not None and (known.source is not None or source is None):
            return
        spread = self._context.members / ASKERS
        self._doubts[peer_id] = Doubt(source, spread, networks)
        self.timers.set(peer_id, now + spread * self._context.rng.random())
        if len(self._doubts) > NONCES:
            self._settle(next(iter(self._doubts)))

    def overheard(self, peer_id: PeerId, now: float) -> None:
        """Somebody else challenges the peer by multicast: we do not, for a while."""
        doubt = self._doubts.get(peer_id)
        if doubt is not None and doubt.tries == len(RETRIES):
            doubt.tries += 1
            self.timers.set(peer_id, now + SULK)

    def due(self, now: float) -> list[tuple[PeerId, Address, int]]:
        """The peers to challenge now, and where; None is the group: a last resort, or nobody heard it."""
        challenges: list[tuple[PeerId, Address, int]] = []
        for peer_id in self.timers.due(now):
            doubt = self._doubts[peer_id]
            if doubt.tries > len(RETRIES):
                del self._doubts[peer_id]
                continue
            last = doubt.tries == len(RETRIES)
            wait = SULK if last else RETRIES[doubt.tries] + doubt.spread * self._context.rng.random()
            doubt.tries += 1
            challenges.append((peer_id, None if last else doubt.source, doubt.networks))
            self.timers.set(peer_id, now + wait)
        return challenges


class FailureDetector:
    """Watches over peers and visitors, probes the silent, and measures round-trip times by the same probes.

    `on_proven(reply, candidate, source, now)` is called when a peer answered a probe of ours, `on_expired`
    when a suspect answered none. `interval(peer)` is how often (s) a peer announces itself.
    """

    def __init__(
        self,
        context: Context,
        verifier: Verifier,
        roster: Roster,
        nacks: NackScheduler,
        store: Store,
        window: TransmitWindow,
    ) -> None:
        settings = context.settings
        self._context, self._verifier, self._roster = context, verifier, roster
        self._nacks, self._store, self._window = nacks, store, window
        self.handlers: Handlers = {Probe: self._on_probe, ProbeReply: self._on_probe_reply}
        self.on_proven: Callable[[ProbeReply, Candidate | None, Address, float], DropReason | None]
        self.on_expired: Callable[[PeerId, float], None]
        self.interval: Callable[[Peer], float]
        self.freshness = Freshness(context, settings.live_window, 2 * settings.peers)
        self.unproven: WaitingRecords[PeerId] = WaitingRecords(context, DropReason.NOT_LIVE)
        self._nonces: dict[bytes, Probing] = {}
        self._candidates: dict[PeerId, Candidate] = {}
        self._departed: dict[PeerId, None] = {}
        self._silence: Timers[PeerId] = Timers()
        self._challenges = TokenBucket(CHALLENGES, CHALLENGES_AT_ONCE, context.started)
        self._answers = TokenBucket(ANSWERS, ANSWERS, context.started)
        self._suspects = TokenBucket(PROBED, PROBED_AT_ONCE, context.started)
        self._measured_at, self._measurements, self._measure_at = -inf, 0, inf
        self.next_timeout = inf

    def _arm(self) -> None:
        self.next_timeout = min(
            self._silence.next, self.freshness.timers.next, self.unproven.next_timeout, self._measure_at
        )

    def on_timeout(self, now: float) -> None:
        """Probe who is silent or in doubt, let go who did not answer, measure."""
        self._check_silence(now)
        # Recordings by the thousand get no more than others.
        for peer_id, to, networks in self.freshness.due(now):
            if self._challenges.take(1, now):
                self._probe(peer_id, to, networks, now)
            else:
                self._context.drop(DropReason.OVER_BUDGET)
        self.unproven.expire(now)
        self._measure_until_known(now)
        self._arm()

    def _probe(self, peer_id: PeerId, to: Address, networks: int, now: float) -> None:
        """Probe a peer at its address, or in the group on `networks` if there is none."""
        nonce = self._context.rng.getrandbits(128).to_bytes(16, "big")
        self._nonces[nonce] = Probing(peer_id, now)
        if len(self._nonces) > NONCES:
            del self._nonces[next(iter(self._nonces))]
        flags = 0 if to is not None else BY_MULTICAST
        self._context.send(Probe(*peer_id, nonce, flags), to=to, networks=networks)

    # Who is live

    def judge(self, peer_id: PeerId, timestamp: int, datagram: Datagram, now: float) -> bool:
        """Whether the peer that signed `timestamp` is live; if it is not known to be, it is challenged."""
        if self.freshness.judge(peer_id, timestamp, now):
            return True
        self.doubt(peer_id, datagram.source, datagram.networks, now)
        return False

    def doubt(self, peer_id: PeerId, source: Address, networks: int, now: float) -> None:
        """A peer, heard itself from `source` (None: it was not), may be a recording."""
        self.freshness.doubt(peer_id, source, networks, now)
        self._arm()

    def admit_later(
        self, frame: Announcement, source: Address, challenged: Address, networks: int, now: float
    ) -> None:
        """Its clock is off or it is a recording: it enters the roster when it has answered a challenge.

        `source` is its address in the roster, `challenged` where it was heard itself, if anywhere; else it is
        challenged on `networks`.
        """
        peer_id = PeerId(frame.origin, frame.incarnation)
        self._candidates.pop(peer_id, None)
        self._candidates[peer_id] = Candidate(frame, source)
        if len(self._candidates) > CANDIDATES:
            del self._candidates[next(iter(self._candidates))]
        self.doubt(peer_id, challenged, networks, now)

    def _on_probe(self, datagram: Datagram, frame: Probe, now: float) -> DropReason | None:
        """Somebody wants to know whether we are alive."""
        context = self._context
        peer_id = PeerId(frame.origin, frame.incarnation)
        if peer_id != context.me:
            if frame.flags & BY_MULTICAST:
                self.freshness.overheard(peer_id, now)
                self._arm()
            return DropReason.NOT_ASKED
        if not self._answers.take(1, now):
            return DropReason.OVER_BUDGET
        window = self._window
        reply = ProbeReply(*context.me, frame.nonce, context.unix_ms(now), window.low, window.high)
        context.send(context.sign(reply), to=None if frame.flags & BY_MULTICAST else datagram.source)
        return None

    def _on_probe_reply(self, datagram: Datagram, frame: ProbeReply, now: float) -> DropReason | None:
        """A peer answers our probe: it is live now."""
        peer_id = PeerId(frame.origin, frame.incarnation)
        probing = self._nonces.get(frame.nonce)
        if probing is None or probing.peer_id != peer_id or now - probing.at > ANSWER_TIME:
            return DropReason.NOT_ASKED
        reason = self._verifier.check_reply(frame, peer_id in self._roster, now)
        if reason is not None:
            return reason
        del self._nonces[frame.nonce]
        self._context.rtt.sample(peer_id, now - probing.at, now)
        if peer_id in self._departed:
            return DropReason.DEPARTED
        self.freshness.prove(peer_id)
        candidate = self._candidates.pop(peer_id, None)
        self._context.networks.heard(peer_id, datagram.networks)
        reason = self.on_proven(frame, candidate, datagram.source, now)
        self._arm()
        return reason

    # Who is here

    def has_left(self, peer_id: PeerId) -> bool:
        """Whether the peer said goodbye: its announcements, played again, do not bring it back."""
        return peer_id in self._departed

    def departed(self, peer_id: PeerId) -> None:
        """The peer said goodbye."""
        self._departed[peer_id] = None
        if len(self._departed) > DEPARTED:
            del self._departed[next(iter(self._departed))]

    def watch(self, peer: Peer, now: float) -> None:
        """A peer has entered the roster: it is watched, and its round-trip time is measured."""
        self._silence.set(peer.peer_id, now + SILENCE * self.interval(peer))
        self._arm()

    def succeeded(self, peer: Peer, now: float) -> None:
        """Its identity began anew on the same computer: it may have crashed, so probe it without waiting.

        All who know it do so now, so in a crowd nobody does.
        """
        if self._context.members <= CROWD and not peer.suspect:
            peer.suspect = True
            spread = self._context.members / ASKERS
            self._silence.set(peer.peer_id, now + spread * self._context.rng.random())
            self._arm()

    def watch_visitor(self, peer_id: PeerId, now: float) -> None:
        """A peer outside the roster publishes: it is watched until it falls silent."""
        if peer_id not in self._silence:
            self._silence.set(peer_id, now + self._context.settings.visitor_seconds)
            self._arm()

    def forget(self, peer_id: PeerId) -> None:
        """The peer is gone."""
        self.freshness.left(peer_id)
        self._silence.cancel(peer_id)
        self._arm()

    def heard(self, peer_id: PeerId, now: float) -> None:
        """A fresh signed word of a peer: it is here, or, after its goodbye, watched until it is silent."""
        if peer_id not in self._departed:
            self._nacks.returned(peer_id, now)
        self.alive(peer_id, now)

    def heard_undated(self, peer_id: PeerId, networks: int, now: float) -> None:
        """A signed word that names no time: unless the peer is live, it may be a recording."""
        if peer_id in self.freshness:
            self._context.networks.heard(peer_id, networks)
            self.heard(peer_id, now)

    def alive(self, peer_id: PeerId, now: float) -> None:
        """A peer was heard just now."""
        if self._store.withheld:
            self._store.peer_heard(peer_id)
        peer = self._roster.get(peer_id)
        if peer is None:
            self.watch_visitor(peer_id, now)
            return
        peer.heard = now
        if peer.suspect:
            peer.suspect, peer.probes = False, 0
            self._silence.set(peer_id, now)
            self._arm()

    def _check_silence(self, now: float) -> None:
        """Probe who has been silent for long, and let go who did not answer."""
        for peer_id in self._silence.due(now):
            peer = self._roster.get(peer_id)
            if peer is None:
                self._check_visitor(peer_id, now)
                continue
            limit = peer.heard + SILENCE * self.interval(peer)
            if now < limit and not peer.suspect:
                peer.probes = 0
                # On whole seconds, so that many peers are one wake-up.
                self._silence.set(peer_id, ceil(limit))
            elif peer.probes == PROBES:
                self.on_expired(peer_id, now)
            else:
                peer.suspect = True
                peer.probes += 1
                self._ask_suspect(peer, now)
                self._silence.set(peer_id, now + self._context.settings.probe_interval)

    def _ask_suspect(self, peer: Peer, now: float) -> None:
        """Probe a suspect.

        The attack: hundreds of made-up peers that fall silent together, each of which all members would
        probe. Those beyond the budget are expired without.
        """
        networks = self._context.networks.of(peer.peer_id)
        if not peer.confirmed:
            self.doubt(peer.peer_id, None, networks, now)
            return
        self._suspects.retune(PROBED / self._context.members, PROBED_AT_ONCE, now)
        if self._suspects.take(1, now):
            self._probe(peer.peer_id, peer.address if peer.probes < PROBES else None, networks, now)

    def _check_visitor(self, peer_id: PeerId, now: float) -> None:
        window = self._nacks.windows.get(peer_id)
        if window is None:
            return
        limit = window.heard_at + self._context.settings.visitor_seconds
        if now < limit:
            self._silence.set(peer_id, limit)
        else:
            self._nacks.depart(peer_id, now, False)
            self.freshness.left(peer_id)

    # Round-trip times

    def measure(self, to: Address, now: float) -> None:
        """A peer was heard at `to`: learn the round-trip time to some, soon after joining.

        Not at once: were it ten thousand who join, all would probe the same first three. In a crowd it is
        measured when it is needed, by who sends or lacks records.
        """
        if to is not None and self._measurements < MEASURED and self._measure_at == inf:
            self._measure_at = now + LOOK_AROUND * (0.5 + self._context.rng.random() / 2)
            self._arm()

    def _measure_until_known(self, now: float) -> None:
        """Probe some peers, and another one while none has answered."""
        if now < self._measure_at:
            return
        self._measure_at = inf
        context = self._context
        if context.members > CROWD:
            return
        peers = [peer for peer in islice(self._roster, CHOICE) if peer.address is not None]
        wanted = max(MEASURED - self._measurements, 1 - context.rtt.known)
        while wanted > 0 and peers:
            wanted -= 1
            peer = peers.pop(int(context.rng.random() * len(peers)))
            self._measurements += 1
            self._measured_at = now
            self._probe(peer.peer_id, peer.address, ALL, now)
        if not context.rtt.known and self._measurements < MEASURED_MOST:
            self._measure_at = now + MEASURE_RETRY

    def measure_again(self, peer_id: PeerId, now: float) -> None:
        """We are about to ask for repairs of a peer: see whether the round-trip time still holds."""
        peer = self._roster.get(peer_id)
        if peer is not None and peer.address is not None and now - self._measured_at >= MEASURE_AGAIN:
            self._measured_at = now
            self._probe(peer_id, peer.address, ALL, now)
