"""Unicast peers: static ones, whom the user named, those that they led to, and those that asked for copies.

A *contact* is asked WHO until it answers HERE; then it is *met* and gets a copy of all that goes to the
group. Whoever asks us WHO with the token that we gave to its address has a *lease*: the same, for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf

import msgspec

from mcast.core.context import Context, Datagram, Handlers
from mcast.core.events import Address, PeerId
from mcast.core.timers import Rng
from mcast.core.token_bucket import TokenBucket
from mcast.wire.frames import Challenge, Echo, Frame, Here, Present, Who
from mcast.wire.limits import HEADER_SIZE, TAG_SIZE
from mcast.wire.reasons import DropReason

from .presence import Presence
from .roster import Roster
from .roster_sync import AMPLIFICATION, AddressTokens

CONTACTS = 64  # asked and met; those beyond are refused, and the user is told
HEALED = 16  # peers known from the group that get copies: each costs a copy of all we say; newest refused
LEASES = 64  # the attack: addresses by the dozen, each of which costs a copy of all we say; newest refused
FIRST = (0.1, 0.2, 0.7, 2.0)  # seconds between the first questions
AGAIN = 5.0  # seconds between the questions to who does not answer
RENEW = 10.0  # seconds between the questions to who does
LEASE = 35.0  # seconds after an answer or a renewal in which copies are sent: three may be lost
PAUSE = 1.0  # seconds between two tokens taken from one contact; the attack is a new one in each answer
IN_VAIN = 60.0  # seconds after which a contact is forgotten that others led to
PADDED = 160 - HEADER_SIZE - TAG_SIZE  # bytes of frames: allows an answer that names 16 peers
HERE_SIZE, PRESENT_SIZE, CHALLENGE_SIZE = 13, 26, 12  # bytes of a HERE without peers, of each, of a CHALLENGE
ANSWERS = 100  # WHO frames answered a second; the attack is a flood of them


class Ask(msgspec.Struct, frozen=True):
    """A question to send; `introduce`: to somebody who does not know us yet. `token` None: we have none."""

    address: Address
    nonce: bytes
    token: bytes | None
    introduce: bool


class Contact:
    """Somebody to be asked at `address`; `named` by the user, or one that a named one told of, or `known`
    from the roster, and multicast does not get through at present.

    `source` is where it answered from, which may be another address of its host.
    """

    __slots__ = (
        "address",
        "echoed_at",
        "introduce",
        "known",
        "met_at",
        "named",
        "next",
        "nonce",
        "peer_id",
        "since",
        "source",
        "token",
        "tries",
    )

    def __init__(self, address: Address, named: bool, nonce: bytes, now: float, known: bool = False) -> None:
        self.known = known
        self.address, self.source, self.named, self.nonce = address, address, named, nonce
        self.next = self.since = now
        self.met_at = self.echoed_at = -inf
        self.tries = 0
        self.peer_id: PeerId | None = None
        self.token: bytes | None = None
        self.introduce = True

    def met(self, now: float) -> bool:
        """Whether it has answered lately."""
        return now - self.met_at < LEASE


class Meetings:
    """Contacts and leases."""

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._contacts: list[Contact] = []
        self._leases: dict[Address, float] = {}
        self._reach: tuple[Address, ...] = ()
        self._until = inf

    def name(self, addresses: Iterable[Address], now: float) -> int:
        """The user wants to meet whoever is at `addresses`, and nobody else; how many were too many."""
        wanted = list(dict.fromkeys(addresses))
        known = {contact.address: contact for contact in self._contacts if contact.named}
        kept = [
            known.get(address) or Contact(address, True, self._nonce(), now) for address in wanted[:CONTACTS]
        ]
        derived = [one for one in self._contacts if not one.named and (kept or one.known)]
        self._contacts = (kept + derived)[:CONTACTS]
        self._changed()
        return len(wanted[CONTACTS:])

    def has_met(self, address: Address) -> bool:
        """Whether anybody has ever answered at this address."""
        return any(one.address == address and one.met_at > -inf for one in self._contacts)

    def heal(self, address: Address, now: float) -> bool:
        """Meet a known peer at its address; False if there is no room for another."""
        taken = any(address in (one.address, one.source) for one in self._contacts)
        if not taken and len(self._contacts) < CONTACTS:
            self._contacts.append(Contact(address, False, self._nonce(), now, known=True))
            taken = True
        return taken

    @property
    def healing(self) -> list[Address]:
        """The addresses of known peers that are met because multicast does not get through."""
        return [contact.address for contact in self._contacts if contact.known]

    def healed(self, address: Address) -> None:
        """A known peer need not be met any more: multicast gets through."""
        self._contacts = [one for one in self._contacts if not (one.known and one.address == address)]
        self._changed()

    @property
    def next(self) -> float:
        """When to ask next."""
        return min((contact.next for contact in self._contacts), default=inf)

    def due(self, now: float) -> list[Ask]:
        """The questions to send now."""
        self._contacts = [c for c in self._contacts if c.named or c.met(now) or now - c.since < IN_VAIN]
        return [self._ask(contact, now) for contact in self._contacts if contact.next <= now]

    def _ask(self, contact: Contact, now: float) -> Ask:
        # The next question follows soon when this one is not answered.
        contact.next = now + (FIRST[contact.tries] if contact.tries < len(FIRST) else AGAIN)
        contact.tries += 1
        introduce, token = contact.introduce, contact.token
        if token is not None:
            contact.introduce, contact.echoed_at = False, now
        return Ask(contact.address, contact.nonce, token, introduce and token is not None)

    def answered(
        self, nonce: bytes, source: Address, present: tuple[Present, ...], me: PeerId, now: float
    ) -> bool:
        """Somebody at `source` says that `present`, itself first, are on its host; False if not asked."""
        contact = next((contact for contact in self._contacts if contact.nonce == nonce), None)
        if contact is None:
            return False
        peer_id = PeerId(present[0].origin, present[0].incarnation)
        if contact.peer_id != peer_id:
            contact.peer_id, contact.token, contact.introduce = peer_id, None, True
        contact.source, contact.met_at, contact.nonce = source, now, self._nonce()
        contact.tries, contact.next = 0, now + RENEW
        if not contact.known:
            self._led_to(present[1:], source, me, now)
        self._changed()
        return True

    def _led_to(self, present: tuple[Present, ...], source: Address, me: PeerId, now: float) -> None:
        """Others on the host of who answers. A hint that nobody signed: it makes us ask there, no more."""
        if not isinstance(source, tuple):
            return
        known = {source, *(c.address for c in self._contacts), *(c.source for c in self._contacts)}
        peer_ids = {contact.peer_id for contact in self._contacts if contact.met(now)} | {me}
        for one in present:
            address = (source[0], one.port, *source[2:])
            full = len(self._contacts) >= CONTACTS
            if (
                one.port
                and not full
                and address not in known
                and PeerId(one.origin, one.incarnation) not in peer_ids
            ):
                known.add(address)
                self._contacts.append(Contact(address, False, self._nonce(), now))

    def challenged(self, source: Address, token: bytes, now: float) -> bool:
        """A contact that was met at `source` wants `token` back before it sends us copies."""
        contact = next((c for c in self._contacts if c.source == source and c.met(now)), None)
        if contact is None:
            return False
        if contact.token != token and self._first_of_its_run(contact, now):
            contact.token, contact.introduce = token, True
            contact.next = max(now, contact.echoed_at + PAUSE)
        return True

    def _first_of_its_run(self, contact: Contact, now: float) -> bool:
        """One address of a peer is enough: the first that answered."""
        return next(c for c in self._contacts if c.peer_id == contact.peer_id and c.met(now)) is contact

    def lease(self, source: Address, now: float) -> bool | None:
        """`source` gets copies from now on; whether that is new. None when there are too many."""
        fresh = self._leases.get(source, 0.0) <= now
        if fresh:
            self._leases = {address: until for address, until in self._leases.items() if until > now}
            if len(self._leases) >= LEASES:
                return None
        self._leases[source] = now + LEASE
        self._changed()
        return fresh

    def acquainted(self, now: float) -> bool:
        """Whether a contact has answered, and all have that it led to."""
        led_to = all(one.met(now) for one in self._contacts if not (one.named or one.known))
        return bool(self.reach(now)) and led_to

    def reach(self, now: float) -> tuple[Address, ...]:
        """The addresses that get a copy of what goes to the group; each peer_id of a contact once."""
        if now >= self._until:
            self._reach, self._until = self._reckon(now)
        return self._reach

    def _reckon(self, now: float) -> tuple[tuple[Address, ...], float]:
        met: dict[PeerId | None, Contact] = {}
        for contact in self._contacts:
            if contact.met(now):
                met.setdefault(contact.peer_id, contact)
        leases = {address: until for address, until in self._leases.items() if until > now}
        ends = (*leases.values(), *(contact.met_at + LEASE for contact in met.values()))
        reach = dict.fromkeys((*(contact.source for contact in met.values()), *leases))
        return tuple(reach), min(ends, default=inf)

    def _changed(self) -> None:
        self._until = -inf

    def _nonce(self) -> bytes:
        return self._rng.getrandbits(64).to_bytes(8, "big")


class Unicast:
    """WHO and HERE: who is on a host, asked and answered by unicast, and the copies that follow from it."""

    def __init__(self, context: Context, roster: Roster, presence: Presence, tokens: AddressTokens) -> None:
        self._context, self._roster, self._presence, self._tokens = context, roster, presence, tokens
        self.handlers: Handlers = {Who: self._on_who, Here: self._on_here}
        self._meetings = Meetings(context.rng)
        self._answers = TokenBucket(ANSWERS, ANSWERS, context.started)
        self.next_timeout = inf
        self.reach, self.acquainted = self._meetings.reach, self._meetings.acquainted
        self.has_met = self._meetings.has_met
        # Whether a peer was heard in the group, by these networks.
        self.in_group: Callable[[PeerId, int], bool] = context.networks.has

    def on_timeout(self, now: float) -> None:
        """Ask those whom the user wants to meet."""
        context = self._context
        for ask in self._meetings.due(now):
            frames: list[Frame] = [Who(ask.nonce)]
            if ask.token is not None:
                frames.insert(0, Echo(ask.token))
            if ask.introduce and not context.mode.visitor:
                frames += self._presence.introduction(now)
            context.send(*frames, to=ask.address, size=PADDED)
        self.next_timeout = self._meetings.next

    def name(self, addresses: Iterable[Address], now: float) -> int:
        """Meet whoever is at `addresses`, and nobody else; how many were too many."""
        excess = self._meetings.name(addresses, now)
        self.next_timeout = self._meetings.next
        return excess

    def heal(self, address: Address, now: float) -> bool:
        """Exchange copies with a peer known from before, if it answers at its address."""
        taken = self._has_place(address, now) and self._meetings.heal(address, now)
        self.next_timeout = self._meetings.next
        return taken

    def _has_place(self, address: Address, now: float) -> bool:
        """Whether a peer that is known from the group may get copies."""
        shared = self._context.networks.shared
        healed = {one for one in self.reach(now) if one in shared}.union(self._meetings.healing)
        return address in healed or len(healed) < HEALED

    def healed(self, address: Address) -> None:
        """Ask it for copies no more."""
        self._meetings.healed(address)
        self.next_timeout = self._meetings.next

    def _is_in_group(self, datagram: Datagram) -> bool:
        """Whether who sent this is known from the group, and so is on no network of its own."""
        source, networks = datagram.source, datagram.networks
        return source not in self._context.networks.bits and any(
            peer.address == source and self.in_group(peer.peer_id, networks) for peer in self._roster
        )

    def _enter(self, datagram: Datagram) -> None:
        """Who is there gets copies: on the network where it was heard in the group, or on one of its own."""
        networks, source = self._context.networks, datagram.source
        if self._is_in_group(datagram):
            networks.share(source, datagram.networks)
        else:
            datagram.networks = networks.add(source)

    def challenged(self, source: Address, token: bytes, now: float) -> bool:
        """A CHALLENGE came from `source`; whether it is a contact."""
        taken = self._meetings.challenged(source, token, now)
        self.next_timeout = self._meetings.next
        return taken

    def _on_who(self, datagram: Datagram, frame: Who, now: float) -> DropReason | None:
        """Somebody asks who is on this host; with our token in hand, it wants copies of what the group gets.

        The attacks: a question to the whole group, which would all answer; a victim's address as its source.
        """
        context, source = self._context, datagram.source
        if not datagram.direct or source is None:
            return DropReason.NOT_ASKED
        if self._is_in_group(datagram) and not self._has_place(source, now):
            return DropReason.TABLE_FULL  # without an answer it tries others
        if not self._answers.take(1, now):
            return DropReason.OVER_BUDGET
        room = context.room_left(HERE_SIZE)
        if not self._tokens.valid(source, datagram.token):
            least = AMPLIFICATION * datagram.size - HEADER_SIZE - TAG_SIZE - HERE_SIZE
            here = Here(frame.nonce, self._present((min(room, least) - CHALLENGE_SIZE) // PRESENT_SIZE))
            context.send(here, Challenge(self._tokens.issue(source)), to=source)
            return None
        context.send(Here(frame.nonce, self._present(room // PRESENT_SIZE)), to=source)
        fresh = self._meetings.lease(source, now)
        if fresh is not None:
            self._enter(datagram)
        if fresh and not context.mode.visitor:
            context.send(*self._presence.introduction(now), to=source)
        return DropReason.TABLE_FULL if fresh is None else None

    def _present(self, most: int) -> tuple[Present, ...]:
        """We and the other peers on this host, as far as we heard them here."""
        hosts = self._presence.hosts
        others = (
            Present(*peer.peer_id, peer.announcement.port)
            for peer in self._roster
            if peer.announcement.port and isinstance(peer.address, tuple) and peer.address[0] in hosts
        )
        return (Present(*self._context.me, 0), *others)[: max(1, min(most, 255))]

    def _on_here(self, datagram: Datagram, frame: Here, now: float) -> DropReason | None:
        """An answer."""
        me = self._context.me
        asked = self._meetings.answered(frame.nonce, datagram.source, frame.present, me, now)
        self.next_timeout = self._meetings.next
        if asked:
            self._enter(datagram)
        return None if asked else DropReason.NOT_ASKED
