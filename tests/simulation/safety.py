"""What must hold whatever the network and hostile members do, checked over a finished simulation."""

from __future__ import annotations

from collections.abc import Collection

from mcast import simulation
from mcast.core.engine import Receipt
from mcast.core.events import GapAbandoned, Message, PeerId, PeerJoined


class Published:
    """Every message that was really sent, by its name."""

    def __init__(self) -> None:
        self.messages: dict[tuple[PeerId, int, int], bytes] = {}
        self.sent_at: dict[tuple[PeerId, int, int], float] = {}
        self._jumps: dict[PeerId, float] = {}

    @property
    def authors(self) -> set[PeerId]:
        """Whoever sent something."""
        return {author for author, _, _ in self.messages}

    def jump(self, member: simulation.Member, skew: float, now: float) -> None:
        """Set the clock of `member`. Who first hears of it after that cannot tell when what it had
        said before was said, and takes it for older than it is."""
        member.set_clock(skew)
        self._jumps[member.engine.peer_id] = now

    def blurred(self, name: tuple[PeerId, int, int]) -> bool:
        """Whether the author's clock was set after this message."""
        return self.sent_at[name] <= self._jumps.get(name[0], -1.0)

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
    for event in life.events:
        if isinstance(event, GapAbandoned):
            abandoned.setdefault(event.peer_id, set()).update(range(event.first, event.last + 1))
        if not isinstance(event, Message):
            continue
        name = name_of(event)
        assert name not in seen, f"delivered twice: {name}"
        seen.add(name)
        assert published.messages.get(name) == event.data, f"never sent: {name}"
        assert asks or not event.history, f"history that was not asked for: {name}"
        if event.late:
            told = event.history or _touches(event.sequence, abandoned.get(event.peer_id, set()))
            assert told, f"late without a gap: {name}"
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
        if author not in spans or name in seen or not concerned or published.blurred(name):
            continue
        first, last = spans[author]
        if first <= (sequence, index) <= last:
            assert _touches(sequence, abandoned.get(author, set())), f"silently lost: {name}"


def _touches(sequence: int, abandoned: set[int]) -> bool:
    """Whether the message that ends with `sequence` may have lost a fragment (at most 70 of them)."""
    return any(sequence - 70 <= lost <= sequence for lost in abandoned)


def check_complete(lan: simulation.Lan, published: Published, authors: list[simulation.Member]) -> None:
    """Who is alive at the end has all that living authors said after it joined."""
    for member in lan.members:
        living = {author.engine.peer_id for author in authors if author.alive and meet(lan, author, member)}
        if not member.alive:
            continue
        life = member.lives[-1]
        got = {name_of(event) for event in life.events if isinstance(event, Message)}
        lost: dict[PeerId, set[int]] = {}
        for event in life.events:
            if isinstance(event, GapAbandoned):
                lost.setdefault(event.peer_id, set()).update(range(event.first, event.last + 1))
        for name, at in published.sent_at.items():
            if published.blurred(name):
                continue
            if name[0] in living and name[0] != member.engine.peer_id and at > life.joined + 10.0:
                told = name in got or _touches(name[1], lost.get(name[0], set()))
                assert told, f"{member.name} lacks {name} of {at}"


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
