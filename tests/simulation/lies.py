"""Members that lie about what exists, ask for everything, or publish what does not get through.

Each scenario is a group of honest members that goes on talking. The attack ceases; afterwards the group must
be as quiet as before, and what honest members say must arrive as if nothing had happened. `test_lies` plays
these seeds, and `scripts/simulate --lies` many more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random

from mcast import simulation
from mcast.core.events import Address, GapAbandoned, GapOpened, GapStalled, Message, PeerId
from mcast.core.membership.presence import LINK_HEADERS
from mcast.core.reliability.nack import CLAIMS_AGAIN, CLAIMS_TOLD
from mcast.crypto.rooms import keyed_room
from mcast.settings import Settings
from mcast.wire import frames as f
from mcast.wire.header import Header, decode_header

from .hostile import ADDRESS, Attacker, Phantom
from .safety import Published, check_life, check_nothing_missed

IDLE = 2500.0  # bytes a second that an idle group may send in all, with link headers
QUIET = 60.0  # seconds after the attack over which that is measured, five times: until the liars have expired
SOON = 2.0  # seconds in which a line arrives while an attack goes on, at up to 10 % loss


class Talk:
    """Honest members that talk, and what they send."""

    def __init__(self, seed: int, **settings: object) -> None:
        self.random = random = Random(seed)
        self.loss = random.choice([0.0, 0.05, 0.1])
        self.lan = simulation.Lan(
            seed,
            loss=self.loss,
            jitter=random.choice([0.001, 0.02]),
            room=random.choice([None, keyed_room(bytes(32), bytes(16))]),
            settings=Settings(**settings),  # type: ignore[arg-type] # checked by msgspec
        )
        self.members = [self.lan.join(f"m{number}") for number in range(random.choice([2, 3, 4, 6]))]
        self.published = Published()
        self.bytes = 0
        self.lan.on_transmit = self._count
        self.lan.run(15.0)

    def _count(self, data: bytes, source: Address, destination: Address) -> None:
        if source != ADDRESS:
            self.bytes += len(data) + LINK_HEADERS

    def say(self, seconds: float, every: float = 0.5) -> None:
        """Talk for a while."""
        end = self.lan.now + seconds
        while self.lan.now < end:
            self.published.send(self.random.choice(self.members), self.lan.now, b"a line of a talk")
            self.lan.run(every)

    def rate(self, seconds: float) -> float:
        """Say nothing for a while: bytes a second that the honest members send."""
        before = self.bytes
        self.lan.run(seconds)
        return (self.bytes - before) / seconds

    def judge(self) -> simulation.Lan:
        """Every line has arrived, once and in order, or a gap was told; what liars said does not count."""
        self.lan.conditions = simulation.Conditions()
        self.lan.run(10.0)
        authors = self.published.authors
        for member in self.members:
            for life in member.lives:
                life.events[:] = [
                    event for event in life.events if getattr(event, "peer_id", None) in authors
                ]
                check_life(life, self.published)
        check_nothing_missed(self.lan, self.published)
        return self.lan

    def lateness(self, events: Iterable[object], since: float, reader: simulation.Member) -> int:
        """How many lines said since then `reader` has not been told of."""
        told = {
            (event.peer_id, event.sequence, event.index) for event in events if isinstance(event, Message)
        }
        lines = {name for name, at in self.published.sent_at.items() if at >= since}
        return len([name for name in lines - told if name[0] != reader.engine.peer_id])


def phantoms(seed: int) -> simulation.Lan:
    """Made-up peers say once that they have published 2**62 records, some prove it by one record."""
    talk = Talk(seed)
    random, lan = talk.random, talk.lan
    talk.say(5.0)
    crowd = [Phantom(lan, number) for number in range(random.choice([50, 100, 200]))]
    kinds = random.choice([("announce",), ("heartbeat",), ("record",), ("announce", "heartbeat", "record")])
    start = lan.now
    for number, phantom in enumerate(crowd):
        phantom.lie(random.choice(kinds))
        if number % 10 == 0:
            talk.say(0.1, 0.1)
    talk.say(10.0)
    lan.run(SOON)
    for member in talk.members:
        late = talk.lateness(member.events(), start, member)
        assert late == 0, f"{member.name} lacks {late} lines {SOON} s after the attack"
    rates = [talk.rate(QUIET) for _ in range(5)]
    assert max(rates) <= IDLE, f"{[round(rate) for rate in rates]} bytes a second after the attack"
    liars = {phantom.peer_id for phantom in crowd}
    silent = {phantom.peer_id for phantom in crowd if not phantom.published}
    for member in talk.members:
        gaps = [
            event for event in member.events() if isinstance(event, GapOpened | GapStalled | GapAbandoned)
        ]
        told = [event for event in gaps if event.peer_id in silent]
        assert len(told) <= CLAIMS_TOLD + CLAIMS_AGAIN * (lan.now - start) + 1
        assert len([event for event in gaps if event.peer_id in liars - silent]) <= 4 * len(crowd)
    return talk.judge()


def nack_flood(seed: int) -> simulation.Lan:
    """A known peer and strangers ask for all that was ever said, hundreds of times a second."""
    talk = Talk(seed)
    random, lan = talk.random, talk.lan
    attacker = Attacker(lan)
    lan.on_transmit = talk._count
    talk.say(10.0, 0.02)
    lan.run(2.0)
    if random.random() < 0.5:
        attacker.announce()
    victims = [member.engine.peer_id for member in talk.members]
    published = sum(len(data) + 300 for data in talk.published.messages.values())
    start, before = lan.now, talk.bytes
    for number in range(900):
        attacker.cover(random.choice(victims), 1, random.choice([1, 64, 8000]))
        lan.run(1 / 300)
        if number % 60 == 0:
            talk.say(0.01, 0.01)
    took = lan.now - start
    lan.run(SOON)
    for member in talk.members:
        late = talk.lateness(member.events(), start, member)
        assert late == 0, f"{member.name} lacks {late} lines {SOON} s after the attack"
    # Of their own records and of those of others: a rate each, and a copy of what is new.
    quota = 2 * len(talk.members) * Settings().repair_rate * (took + SOON + 2.0)
    sent = talk.bytes - before
    assert sent <= 2 * len(talk.members) * published + quota, (
        f"{sent} bytes in answer to NACKs of {published} by {len(talk.members)}"
    )
    lan.run(10.0)
    assert talk.rate(QUIET) <= IDLE
    return talk.judge()


class Narrow(simulation.Lan):
    """A LAN where nobody gets from `big` what is longer than `most` bytes, nor slices of it."""

    big: Address = None
    most = 1000

    def _carry_by(
        self, lan: int, data: bytes, source: Address, member: simulation.Member, direct: bool
    ) -> None:
        if source != self.big or member.address == source or not self._stuck(data):
            super()._carry_by(lan, data, source, member, direct)

    def _stuck(self, data: bytes) -> bool:
        header = decode_header(data)
        frames = self.checks.open(header, data) if isinstance(header, Header) else []
        sliced = isinstance(frames, list) and any(isinstance(frame, f.Slice) for frame in frames)
        return len(data) > self.most or sliced


def unrepairable(seed: int) -> simulation.Lan:
    """One record in ten of an author gets through to nobody; what it says besides is told, and the gap."""
    random = Random(seed)
    patience = random.choice([5.0, 30.0, 30.0])
    lan = Narrow(seed, loss=random.choice([0.0, 0.1]), settings=Settings(gap_timeout=patience))
    members = [lan.join(f"m{number}") for number in range(random.choice([2, 3, 5]))]
    sent = 0

    def count(data: bytes, source: Address, destination: Address) -> None:
        nonlocal sent
        if destination is None:  # what is fetched from a holder, by unicast, has pauses of its own
            sent += len(data) + LINK_HEADERS

    lan.run(3.0)
    author = members[0]
    lan.big = author.address
    lan.on_transmit = count
    receipts = []
    for number in range(40):
        receipts.append(author.send(bytes(1200) if number % 10 == 4 else b"line %d" % number))
        lan.run(random.choice([0.2, 1.0]))
    lan.run(patience + 15.0)
    big = {receipt.sequence for number, receipt in enumerate(receipts) if number % 10 == 4}
    for member in members[1:]:
        _check_told(member, author.engine.peer_id, big, len(receipts))
    sent = 0
    lan.run(QUIET)
    assert sent / QUIET <= IDLE, f"{sent / QUIET:.0f} bytes a second for what nobody can have"
    return lan


def _check_told(member: simulation.Member, author: PeerId, big: set[int], lines: int) -> None:
    told = [event for event in member.events() if isinstance(event, Message)]
    assert len(told) == lines - len(big), f"{member.name} was told of {len(told)} of {lines}"
    gaps = [event for event in member.events() if isinstance(event, GapAbandoned)]
    lost = {sequence for gap in gaps for sequence in range(gap.first, gap.last + 1)}
    assert lost >= big, f"{member.name} was not told of {big - lost}"
    assert any(isinstance(event, GapStalled) and event.peer_id == author for event in member.events())


Scenario = Callable[[int], simulation.Lan]
KINDS: tuple[Scenario, ...] = (phantoms, nack_flood, unrepairable)


def lies(seed: int) -> simulation.Lan:
    """One of the scenarios."""
    return simulation.replayable(seed, KINDS[seed % len(KINDS)])
