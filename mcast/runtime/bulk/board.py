"""What others say of transfers: who offers, takes and has which. It is bounded, whatever they say.

The attack: a program makes up as many identities as it likes, and each of them offers transfers, or speaks
about those of others. All of them are at the few addresses of its computer. So where a table is full, the
computer with most entries loses its oldest one, and of computers with as many that which came last: whoever
has one or two entries keeps them. Who was never here has no address: those go first. What we serve or fetch
stays. Somebody who can send from hundreds of addresses can still keep out who comes later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from hashlib import sha256
from typing import TypeVar

import msgspec

from mcast.core.events import Notice, PeerId
from mcast.crypto.bulk import PrivateOffer
from mcast.events import TransferOffered, TransferWithdrawn
from mcast.wire.bulk import BulkNotice, NoticeKind

TRANSFERS, TRANSFERS_EACH = 256, 16
"""Transfers that are known, and those that one identity offers; the oldest of that identity goes."""
PARTIES = 512
"""Peers that said something about one transfer."""
ABSENT = ""

K = TypeVar("K")


class Party(msgspec.Struct):
    """What a peer said of a transfer, when, and how many bytes it had when it last reported to us, if it ever
    did. `host` is the computer it is at."""

    name: str
    kind: NoticeKind
    port: int
    reason: str = ""
    heard: float = 0.0
    have: int | None = None
    host: str = ABSENT


class Known(msgspec.Struct):
    """A transfer of which we heard: its offers by peer, and all who said something about it.

    `withdrawn` is the latest offer that was withdrawn: others may still give what it offered. `private` is
    what a private offer says.
    """

    offers: dict[PeerId, TransferOffered]
    parties: dict[PeerId, Party]
    withdrawn: TransferOffered | None = None
    private: PrivateOffer | None = None

    @property
    def held(self) -> bool:
        """Whether somebody says that it has all of it and gives it."""
        return any(one.kind is NoticeKind.WHOLE and one.port for one in self.parties.values())

    @property
    def shown(self) -> list[TransferOffered]:
        """The offers; else the one that was withdrawn, if others give it."""
        return list(self.offers.values()) or ([self.withdrawn] if self.withdrawn and self.held else [])

    @property
    def owner(self) -> PeerId:
        """By whose word it is known: that of the first who offers it."""
        return next(iter(self.offers or self.parties))


class Board:
    """All transfers of which we heard. `host` finds the computer of a peer, `used` tells whether we serve or
    fetch a transfer, `on_forgotten` is told whose words about one are forgotten."""

    def __init__(
        self,
        host: Callable[[PeerId], str],
        used: Callable[[bytes], bool],
        on_forgotten: Callable[[bytes, PeerId], None],
    ) -> None:
        self._host, self._used, self._on_forgotten = host, used, on_forgotten
        self._known: dict[bytes, Known] = {}

    def offers(self) -> list[TransferOffered]:
        """All that is offered, the oldest first; also what was withdrawn, as long as others give it."""
        offers: list[TransferOffered] = []
        for known in self._known.values():
            offers += known.shown
        return offers

    def offers_of(self, root: bytes) -> dict[PeerId, TransferOffered]:
        """Who offers a transfer."""
        return self._known[root].offers if root in self._known else {}

    def private(self, root: bytes) -> PrivateOffer | None:
        """What a private offer says; None of one for everybody."""
        return self._known[root].private if root in self._known else None

    def parties(self, root: bytes) -> dict[PeerId, Party]:
        """Who said what about a transfer."""
        return self._known[root].parties if root in self._known else {}

    def note(
        self, said: BulkNotice, notice: Notice, now: float, private: PrivateOffer | None = None
    ) -> TransferOffered | TransferWithdrawn | None:
        """A peer said something; what is new by that. `private`: it is a private offer, opened."""
        peer_id = notice.peer_id
        known = self._entry(said, peer_id, private)
        if known is None:
            return None
        offers = said.kind in (NoticeKind.OFFER, NoticeKind.PRIVATE)
        before = known.parties.get(peer_id)
        kind = NoticeKind.OFFER if offers else said.kind
        have = None if before is None else before.have
        party = Party(notice.name, kind, said.port, said.text, now, have, self._host(peer_id))
        if said.kind is NoticeKind.WITHDRAW and before is not None and before.kind is NoticeKind.WHOLE:
            party.kind, party.port = NoticeKind.WHOLE, 0  # it gives it no more, but it still has it
        shown, withdrawn = known.shown, None
        known.parties[peer_id] = party
        if offers:
            known.offers[peer_id] = _offer(said, notice, private)
        elif peer_id in known.offers and said.kind is NoticeKind.WITHDRAW:
            known.withdrawn = withdrawn = known.offers.pop(peer_id)
        told = known.shown[-1:] if not shown else []
        if not known.shown and shown:
            withdrawn = shown[-1]
        elif not known.offers:
            withdrawn = None  # it can still be had
        self._bound_parties(said.root, known)
        self._bound_identity(peer_id.origin)
        self._bound_transfers()
        if withdrawn is not None:
            return TransferWithdrawn(withdrawn.id, withdrawn.peer_id, withdrawn.name)
        if offers:
            return self.offers_of(said.root).get(peer_id)
        return told[0] if told else None

    def _entry(self, said: BulkNotice, peer_id: PeerId, private: PrivateOffer | None) -> Known | None:
        """What is known of a transfer; None if it is private and this does not count."""
        if private is not None and self.private(said.root) is None:
            self.restrict(said.root, private.readers)
        known = self._known.setdefault(said.root, Known({}, {}))
        known.private = private or known.private
        if known.private is None:
            return known
        counts = peer_id.origin in known.private.readers and said.kind is not NoticeKind.OFFER
        return known if counts else None

    def restrict(self, root: bytes, readers: Collection[bytes]) -> None:
        """A transfer is for the identities `readers` alone: what others said of it counts no more, nor does
        an offer to everybody. The attack: to say that one has it, or has withdrawn it."""
        known = self._known.get(root)
        if known is None:
            return
        known.withdrawn = None
        for peer_id in [one for one in known.parties if one in known.offers or one.origin not in readers]:
            del known.parties[peer_id]
            known.offers.pop(peer_id, None)
            self._on_forgotten(root, peer_id)
        if not known.parties:
            del self._known[root]

    # What goes

    def _bound_parties(self, root: bytes, known: Known) -> None:
        if len(known.parties) > PARTIES:
            peer_id = self._crowding([(one, one, party) for one, party in known.parties.items()])
            del known.parties[peer_id]
            known.offers.pop(peer_id, None)
            self._on_forgotten(root, peer_id)

    def _bound_identity(self, origin: bytes) -> None:
        owned = [root for root, known in self._known.items() if known.owner.origin == origin]
        spare = [root for root in owned if not self._used(root)]
        if len(owned) > TRANSFERS_EACH and spare:
            self._leave(spare[0], [one for one in self._known[spare[0]].offers if one.origin == origin])

    def _bound_transfers(self) -> None:
        while len(self._known) > TRANSFERS:
            spare = {root: known for root, known in self._known.items() if not self._used(root)}
            root = next(
                (one for one, known in spare.items() if not known.offers and not known.withdrawn), None
            )
            if root is not None:
                self._leave(root, [])
                continue
            owners = [(root, known.owner, known.parties[known.owner]) for root, known in spare.items()]
            root = self._crowding(owners)
            parties = spare[root].parties
            host = parties[spare[root].owner].host
            self._leave(root, [one for one in spare[root].offers if parties[one].host == host])

    def _leave(self, root: bytes, offerers: list[PeerId]) -> None:
        """Forget these offers of a transfer, and all of it once nobody else offers it: nobody can push out
        what another offers by offering it first."""
        known = self._known[root]
        for peer_id in offerers:
            del known.offers[peer_id], known.parties[peer_id]
        if not known.offers:
            del self._known[root]

    def _crowding(self, entries: list[tuple[K, PeerId, Party]]) -> K:
        """Which of the entries goes: each is of a peer that said something."""
        while True:
            oldest: dict[str, tuple[K, PeerId, Party]] = {}
            for entry in entries:
                oldest.setdefault(entry[2].host, entry)
            counts = Counter(party.host for _, _, party in entries)
            if ABSENT not in oldest:
                most = max(counts.values())
                return oldest[[host for host in counts if counts[host] == most][-1]][0]
            key, peer_id, party = oldest[ABSENT]
            party.host = self._host(peer_id)  # it may have come since
            if party.host == ABSENT:
                return key


def _offer(said: BulkNotice, notice: Notice, private: PrivateOffer | None) -> TransferOffered:
    offer = said if private is None else private.offer
    to = tuple(share.origin for share in said.shares)
    return TransferOffered(
        transfer_id(said.root, offer.size, offer.manifest_size, offer.block_size, to=to),
        said.root,
        notice.peer_id,
        notice.name,
        offer.text,
        offer.count,
        offer.size,
        offer.manifest_size,
        offer.block_size,
        notice.sent,
        notice.history,
        to,
    )


def transfer_id(root: bytes, *sizes: int, to: Sequence[bytes] = ()) -> str:
    """What a transfer is called. The attack: to offer the root of another's transfer with false sizes, or
    what is private to all."""
    return sha256(root + b"".join(size.to_bytes(8, "big") for size in sizes) + b"".join(to)).hexdigest()[:16]
