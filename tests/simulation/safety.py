"""What must hold whatever the network and hostile members do, checked over a finished simulation."""

from __future__ import annotations

from collections.abc import Collection

from mcast import simulation
from mcast.core.engine import Receipt
from mcast.core.events import GapAbandoned, GapFilled, GapOpened, Message, PeerId, PeerJoined

MOMENT = 1.0  # seconds: what was said so shortly before or after one joined may count as either


class Published:
    """Every message that was really sent, by its name."""

    def __init__(self) -> None:
        self.messages: dict[tuple[PeerId, int, int], bytes] = {}
        self.sent_at: dict[tuple[PeerId, int, int], float] = {}

    @property
    def authors(self) -> set[PeerId]:
        """Whoever sent something."""
        return {author for author, _, _ in self.messages}

    def send(self, member: simulation.Member, now: float, data: bytes) -> Receipt:
        """Have `member` send `data` and remember it."""
        receipt = member.send(data)
        key = (receipt.peer_id, receipt.sequence, receipt.index)
        self.messages[key] = data
        self.sent_at[key] = now
        return receipt


def name_of(message: Message) -> tuple[PeerId, int, int]:
    """What names a message."""
    return (message.peer_id, message.sequence, message.index)


def check_life(
    life: simulation.Life, published: Published, *, asks: bool = False, forgetful: Collection[PeerId] = ()
) -> None:
    """No duplicate, no forgery, no disorder, no silent gap within what one peer was told.

    If it `asks` for history that holds of what was said before it came as well, but for the `forgetful`.
    History and what is live are each in order.
    """
    seen: set[tuple[PeerId, int, int]] = set()
    last: dict[tuple[PeerId, bool], tuple[int, int]] = {}
    abandoned: dict[PeerId, set[int]] = {}
    told: dict[PeerId, set[int]] = {}
    for event in life.events:
        if isinstance(event, GapAbandoned):
            gap = set(range(event.first, event.last + 1))
            assert gap.isdisjoint(told.get(event.peer_id, ())), f"told, and told to be lost: {event}"
            abandoned.setdefault(event.peer_id, set()).update(gap)
        if not isinstance(event, Message):
            continue
        name = name_of(event)
        assert name not in seen, f"delivered twice: {name}"
        seen.add(name)
        told.setdefault(event.peer_id, set()).add(event.sequence)
        assert published.messages.get(name) == event.data, f"never sent: {name}"
        assert asks or not event.history, f"history that was not asked for: {name}"
        if event.late:
            expected = event.history or _touches(event.sequence, abandoned.get(event.peer_id, set()))
            assert expected, f"late without a gap: {name}"
            continue
        place, stream = (event.sequence, event.index), (event.peer_id, event.history)
        assert last.get(stream, (0, 0)) <= place, f"out of order: {name}"
        last[stream] = place
    _check_gaps(life, seen, abandoned, published, asks, forgetful)


def _check_gaps(
    life: simulation.Life,
    seen: set[tuple[PeerId, int, int]],
    abandoned: dict[PeerId, set[int]],
    published: Published,
    asks: bool,
    forgetful: Collection[PeerId],
) -> None:
    """Between the first and last message of an author that came, all others did, or a gap was told."""
    told: dict[PeerId, list[tuple[int, int]]] = {}
    for author, sequence, index in seen:
        told.setdefault(author, []).append((sequence, index))
    spans = {author: (min(places), max(places)) for author, places in told.items()}
    for name, at in published.sent_at.items():
        author, sequence, index = name
        concerned = at >= life.joined or (asks and author not in forgetful)
        if author not in spans or name in seen or not concerned:
            continue
        first, last = spans[author]
        if first <= (sequence, index) <= last:
            assert _touches(sequence, abandoned.get(author, set())), f"silently lost: {name}"


def _touches(sequence: int, abandoned: set[int]) -> bool:
    """Whether the message that ends with `sequence` may have lost a fragment (at most 70 of them)."""
    return any(sequence - 70 <= lost <= sequence for lost in abandoned)


def check_nothing_missed(
    lan: simulation.Lan, published: Published, forgetful: Collection[PeerId] = ()
) -> None:
    """Who is here at the end was told all that was said while it was here, or of a gap in its place.

    As far as anybody holds it who can hand it out there, whoever said it and however long ago it left: what
    was heard on one network is not carried to another. But for what the `forgetful` said, who do not hand
    it out.
    """
    here = [member for member in lan.members if member.alive]

    def plugs(member: simulation.Member) -> Collection[int]:
        return lan.plugs[member.address]

    holders = [(one, _held(member, lan=one)) for member in here if hands_out(member) for one in plugs(member)]
    authors = {life.peer_id: member for member in lan.members for life in member.lives}
    for member in here:
        life = member.lives[-1]
        got = {name_of(event) for event in life.events if isinstance(event, Message)}
        lost, waits = _gaps(life), _open_gaps(life)
        near = [held for one, held in holders if one in plugs(member)]
        for name, at in published.sent_at.items():
            author, sequence, _ = name
            if (
                at <= life.joined + MOMENT
                or author == life.peer_id
                or author in forgetful
                or not reads(member)
            ):
                continue
            if not meet(lan, authors[author], member):
                continue
            if any((author, sequence) in held for held in near):
                told = name in got or _touches(sequence, lost.get(author, set()))
                # It may wait behind a gap that was told and is not given up yet, as its author died.
                told = told or sequence > waits.get(author, sequence)
                assert told, f"{member.name} lacks {name} of {at}"


def _open_gaps(life: simulation.Life) -> dict[PeerId, int]:
    """The first record for which a peer still waits, of those whose gap it was told of."""
    waits: dict[PeerId, set[int]] = {}
    for event in life.events:
        if isinstance(event, GapOpened | GapFilled | GapAbandoned):
            records = set(range(event.first, event.last + 1))
            before = waits.get(event.peer_id, set())
            waits[event.peer_id] = before | records if isinstance(event, GapOpened) else before - records
    return {peer_id: min(records) for peer_id, records in waits.items() if records}


def _gaps(life: simulation.Life) -> dict[PeerId, set[int]]:
    """The records of which a peer knows that it lacks or lacked them."""
    lost: dict[PeerId, set[int]] = {}
    for event in life.events:
        if isinstance(event, GapOpened | GapFilled | GapAbandoned):
            gap, known = range(event.first, event.last + 1), lost.setdefault(event.peer_id, set())
            if isinstance(event, GapFilled):
                known.difference_update(gap)
            else:
                known.update(gap)
    return lost


def reads(member: simulation.Member) -> bool:
    """Whether it is there to read, and may ask for what it lacks."""
    mode = member.engine._context.mode
    return not (mode.visitor or mode.passive)


def hands_out(member: simulation.Member) -> bool:
    """Whether others get from it what it holds."""
    return member.engine._context.keeps_history


def check_news(life: simulation.Life, published: Published) -> None:
    """Nothing that was said before a member joined is news to it, whatever its author's clock said."""
    for event in life.events:
        if isinstance(event, Message) and not event.history:
            at = published.sent_at[name_of(event)]
            assert at > life.joined - 3 * MOMENT, f"news of before: {name_of(event)} of {at}"


class Claims:
    """What senders were told of who has their last message."""

    def __init__(self) -> None:
        self._claims: list[tuple[Receipt, list[PeerId]]] = []

    def note(self, sender: simulation.Member, receipt: Receipt) -> None:
        """What `sender` believes now."""
        self._claims.append((receipt, sender.engine.heard_by(receipt.sequence)))

    def check(self, lan: simulation.Lan) -> None:
        """Each that was said to have the message was told of it."""
        lives = {life.peer_id: life for member in lan.members for life in member.lives}
        for receipt, peer_ids in self._claims:
            for peer_id in peer_ids:
                got = {name_of(event) for event in lives[peer_id].events if isinstance(event, Message)}
                wanted = (receipt.peer_id, receipt.sequence, receipt.index)
                assert wanted in got, f"{peer_id} confirmed {wanted} and was not told of it"


def check_confirmations(lan: simulation.Lan, published: Published) -> None:
    """Nobody counts as having confirmed who was not told of a message; a visitor never does."""
    told = {
        life.peer_id: {name_of(event) for event in life.events if isinstance(event, Message)}
        for member in lan.members
        for life in member.lives
    }
    visitors = {member.engine.peer_id for member in lan.members if member.engine._context.mode.visitor}
    engines = {member.engine.peer_id: member.engine for member in lan.members}
    for name in published.messages:
        if name[0] in engines:
            for peer_id in engines[name[0]].heard_by(name[1]):
                assert name in told[peer_id], f"{peer_id} confirmed {name}, of which it was not told"
                assert peer_id not in visitors, f"the visitor {peer_id} confirmed {name}"


def meet(lan: simulation.Lan, one: simulation.Member, other: simulation.Member) -> bool:
    """Whether two members are on one LAN."""
    return not set(lan.plugs[one.address]).isdisjoint(lan.plugs[other.address])


def check_apart(lan: simulation.Lan) -> None:
    """Nobody was told of who is on none of its LANs, nor holds anything of it."""
    for member in lan.members:
        strange = {other.identity.origin for other in lan.members if not meet(lan, member, other)}
        events = member.events()
        told = {event.origin for event in events if isinstance(event, Message)}
        told |= {event.peer.peer_id.origin for event in events if isinstance(event, PeerJoined)}
        assert strange.isdisjoint(told), f"{member.name} was told of another network"
        held = {peer_id.origin for peer_id, _ in held_sizes(member)}
        assert strange.isdisjoint(held), f"{member.name} holds what was said on another network"


def holdings(members: list[simulation.Member]) -> dict[str, int]:
    """How many records each member that is here holds."""
    return {member.name: len(_held(member)) for member in members if member.alive}


def holds_the_same(
    members: list[simulation.Member], forgetful: Collection[PeerId] = (), lan: int | None = None
) -> bool:
    """Whether all members that are here hold the same records on a `lan`, but for the `forgetful`."""
    return len({_held(member, forgetful, lan) for member in members if member.alive}) <= 1


def _held(
    member: simulation.Member, forgetful: Collection[PeerId] = (), lan: int | None = None
) -> frozenset[tuple[PeerId, int]]:
    networks = member.engine._context.networks
    bit = 0 if lan is None else networks.bits.get(lan, 0)
    return frozenset(
        name
        for name in held_sizes(member)
        if name[0] not in forgetful and (name[0] == member.engine.peer_id or networks.has(name[0], bit))
    )


def held_sizes(member: simulation.Member) -> dict[tuple[PeerId, int], int]:
    """The size of each record that a member could hand out."""
    engine = member.engine
    engine.stats()  # what was sent or taken last is held by then
    window, store = engine._sender.window, engine._store
    own = {
        (engine.peer_id, at): len(record.payload)
        for at in range(window.low, window.high + 1)
        if (record := window.get(at)) is not None
    }
    return own | {name: len(record.payload) for name, record in store._records.items()}
