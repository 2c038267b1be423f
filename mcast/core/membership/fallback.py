"""Copies by unicast to peers known from before, while multicast gets through no more.

Three signs: nobody confirms what we say; a peer is silent in the group for longer than it should be; a peer
sends us copies. Then we ask it for copies as we would ask a static peer (WHO), and it gets ours.
"""

from __future__ import annotations

from math import inf

from mcast.core.context import Context, Handlers
from mcast.core.events import Address, PeerId
from mcast.core.events import Fallback as FallbackChanged
from mcast.core.flow.feedback import Feedback
from mcast.core.incarnation import began
from mcast.core.reliability.sender import Sender

from .failure_detector import FailureDetector
from .roster import Peer, Roster
from .unicast import HEALED, Unicast

SMALL = 64  # members of a group in which silence is looked for: in larger ones announcements are rare
UNCONFIRMED = 1.5  # seconds after which what we said should be confirmed by somebody
TRIES = 5  # looks at whether it is, each after twice the time of the one before
ASKED = 4  # the look from which on who reports nothing is not heard: it was asked at each but the first
SILENT = 2.7  # of the interval between announcements, which come after 1.25 at most: two are missing
ALL_SILENT = 1.7  # the same when nobody at all is heard, of several: one is missing of each
COPY_ALONE = 1.0  # seconds without a word in the group after which a copy of it is a sign
LEAST = 12.0  # seconds for which copies are exchanged at least
AGAIN = 60.0  # seconds after which a peer that did not answer is tried again
LOOK = 2.0  # seconds between looks while copies are exchanged


class Healing:
    """A peer that is asked for copies at `address`, since when."""

    __slots__ = ("address", "since")

    def __init__(self, address: Address, since: float) -> None:
        self.address, self.since = address, since


class Fallback:
    """See the module. The engine tells what was heard in the group, copied to us, and sent.

    `active`: how many peers get copies at present.
    """

    def __init__(
        self,
        context: Context,
        roster: Roster,
        detector: FailureDetector,
        feedback: Feedback,
        sender: Sender,
        unicast: Unicast,
    ) -> None:
        self._context, self._roster, self._detector = context, roster, detector
        self._feedback, self._sender, self._unicast = feedback, sender, unicast
        self.handlers: Handlers = {}
        # By peers that announced themselves; first in, first out, as there are no more in the roster.
        self._by_group: dict[PeerId, float] = {}
        self._healing: dict[PeerId, Healing] = {}
        self._vain: dict[PeerId, float] = {}
        self._unconfirmed_at = self._look_at = inf
        self._awaited = self._tries = 0
        self._awaited_since = 0.0  # unix seconds
        self.active = 0
        self.next_timeout = inf
        unicast.in_group = self._in_group

    def _in_group(self, peer_id: PeerId, on: int) -> bool:
        return peer_id in self._by_group and self._context.networks.has(peer_id, on)

    def _arm(self) -> None:
        self.next_timeout = min(self._unconfirmed_at, self._look_at)

    def heard(self, session: bytes, source: Address, on: int, now: float) -> None:
        """A datagram of this session came through the group, from `source`, on the network `on`."""
        networks = self._context.networks
        peer_id = networks.peer_of(session)
        if peer_id is not None:
            if source in networks.bits and networks.has(peer_id, on):
                # It asked for copies before it was known; what the one network lacks, the other one has.
                networks.share(source, on)
            self._by_group.pop(peer_id, None)
            self._by_group[peer_id] = now
            if len(self._by_group) > self._context.settings.peers:
                del self._by_group[next(iter(self._by_group))]
            if self._look_at == inf and self._context.members <= SMALL:
                self._look_at = self._next_silence(now)
                self._arm()

    def copied(self, peer_id: PeerId, source: Address, now: float) -> None:
        """A copy of what a peer said to the group, signed by it, came to us by unicast from `source`."""
        peer = self._roster.get(peer_id)
        if (
            peer is not None
            and peer.address == source
            and now - self._by_group.get(peer.peer_id, -inf) > COPY_ALONE
        ):
            self._heal([peer], now)

    def sent(self, now: float) -> None:
        """A record has left."""
        waits = self._unconfirmed_at < inf and not self._tries  # what follows soon has its look after that
        if not waits and not self._context.mode.visitor:
            self._await(now)
            self._arm()

    def _await(self, now: float) -> None:
        """Look before long whether somebody has confirmed what we said last."""
        self._awaited, self._tries = self._sender.window.high, 0
        self._awaited_since = now + self._context.wall_offset
        self._unconfirmed_at = now + UNCONFIRMED

    def on_timeout(self, now: float) -> None:
        """Look for signs, and whether multicast gets through again."""
        if now >= self._unconfirmed_at:
            self._look_for_confirmation(now)
        if now >= self._look_at:
            self._heal(self._silent(now), now)
            self._end(now)
            self._look_at = now + LOOK if self._healing or self.active else self._next_silence(now)
        self._tell(now)
        self._arm()

    def _look_for_confirmation(self, now: float) -> None:
        """Exchange copies with all if nobody has confirmed what we said last, and later with those who have
        never reported on what we say.

        Somebody who was there may be heard by us only later, and hear us never: so there are further looks.
        Who began after we had spoken has nothing to confirm.
        """
        confirmed = self._feedback.confirmed_by(self._awaited, self._awaited)
        self._tries += 1
        there = [peer for peer in self._roster if began(peer.peer_id.incarnation) <= self._awaited_since]
        deaf = [peer for peer in there if not self._feedback.has_reported(peer.peer_id)]
        if self._context.members > SMALL:
            deaf = []  # few report in a large group
        if not confirmed:
            self._heal(list(self._roster) if self._tries == 1 else there, now)
        elif deaf and self._tries >= ASKED:
            self._heal(deaf, now)
        elif deaf and self._tries > 1:
            self._feedback.request(self._sender.heartbeat(now), now)
        self._unconfirmed_at = inf
        if self._sender.window.high > self._awaited:
            self._await(now)
        elif self._tries < TRIES:
            self._unconfirmed_at = now + UNCONFIRMED * (1 << self._tries)

    def _silent(self, now: float) -> list[Peer]:
        """The peers of which too many announcements are missing."""
        if self._context.members > SMALL:
            return []
        peers = [peer for peer in self._roster if peer.confirmed]
        late = [(now - self._last(peer)) / self._detector.interval(peer) for peer in peers]
        if len(peers) > 1 and min(late) > ALL_SILENT:
            return peers
        return [peer for peer, share in zip(peers, late, strict=True) if share > SILENT]

    def _last(self, peer: Peer) -> float:
        return max(self._by_group.get(peer.peer_id, -inf), peer.joined)

    def _next_silence(self, now: float) -> float:
        """When silence could be noticed next."""
        soonest = [
            self._last(peer) + ALL_SILENT * self._detector.interval(peer)
            for peer in self._roster
            if peer.confirmed and peer.peer_id not in self._vain
        ]
        return max(now + LOOK, min(soonest)) if soonest else inf

    def _heal(self, peers: list[Peer], now: float) -> None:
        """Ask these peers for copies, as many as may be."""
        if self._context.mode.visitor or not self._context.may_send:
            return
        self._vain = {peer_id: until for peer_id, until in self._vain.items() if until > now}
        places = HEALED
        if len(self._roster) > HEALED:
            places = HEALED // 2  # the others are for those who ask us
            first = int(self._context.rng.random() * len(peers))  # or all would ask the same ones
            peers = peers[first:] + peers[:first]
        for peer in peers:
            address, peer_id = peer.address, peer.peer_id
            if len(self._healing) >= places:
                return
            if address is None or peer_id in self._healing or peer_id in self._vain:
                continue
            if self._unicast.heal(address, now):
                self._healing[peer_id] = Healing(address, now)
                self._look_at = min(self._look_at, now + LOOK)
        self._arm()

    def _end(self, now: float) -> None:
        """Stop with those who are heard in the group again, have left, or do not answer."""
        for peer_id, healing in list(self._healing.items()):
            peer, reached = self._roster.get(peer_id), healing.address in self._unicast.reach(now)
            again = self._by_group.get(peer_id, -inf) > max(healing.since, now - 2 * LOOK)
            if peer is None or (now - healing.since >= LEAST and (again or not reached)):
                del self._healing[peer_id]
                self._unicast.healed(healing.address)
                if not again:
                    self._vain[peer_id] = now + AGAIN

    def _tell(self, now: float) -> None:
        """Say how many peers get copies because of this, when there are the first ones or none any more."""
        reach = self._unicast.reach(now)
        networks = self._context.networks
        addresses = [healing.address for healing in self._healing.values() if healing.address in reach]
        active = len(addresses)
        if bool(active) != bool(self.active):
            masks = [networks.at(address) for address in addresses]
            numbers = {number for mask in masks for number in networks.interfaces(mask) or ()}
            self._context.emit(FallbackChanged(active, tuple(sorted(numbers))))
        self.active = active
