"""A simulated LAN: many members in one process, in virtual time, the same every time for one seed.

    lan = simulation.Lan(seed=7, loss=0.3)
    ada, bob = lan.join("ada"), lan.join("bob")
    ada.send("hi")
    lan.run(5.0)
    assert [message.text for message in bob.messages()] == ["hi"]

The members run the real engine with real signatures and seals; only network, clocks and randomness are
made up. Use
it to test your own program without a network: what is delivered, lost and late depends on the seed alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256
from heapq import heappop, heappush
from random import Random
from typing import Any, NamedTuple

import msgspec

from . import settings as presets
from .core.auth.ingress import Checks
from .core.context import Mode
from .core.engine import Engine, Receipt
from .core.events import Address, Event, Message, PeerId, PeerView
from .core.incarnation import following
from .crypto.keys import Identity
from .crypto.rooms import Room, open_room
from .settings import Settings
from .wire.attributes import Attributes
from .wire.contents import ContentKind
from .wire.frames import Frame
from .wire.header import Header
from .wire.reasons import DropReason

PORT = 28003
EPOCH_START = 1_800_000_000.0  # unix seconds at the start of every simulation
MEMORY = 1 << 16  # checks remembered


class Burst(msgspec.Struct, frozen=True, kw_only=True):
    """Loss in bursts (Gilbert-Elliott): each datagram moves a receiver between a good and a bad state."""

    to_bad: float = 0.02
    to_good: float = 0.2
    loss_good: float = 0.0
    loss_bad: float = 0.8


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to a datagram on its way to one receiver. Shares are 0 to 1, times are seconds.

    `delay` is the least, `jitter` the most that is added at random; `reorder` is the share delayed by up to
    `reorder_delay` more; `corrupt` the share in which one bit flips; `burst` adds loss in bursts. Datagrams
    of more than `path_size` bytes are lost, and nobody is told.
    """

    loss: float = 0.0
    delay: float = 0.0002
    jitter: float = 0.0003
    duplicate: float = 0.0
    reorder: float = 0.0
    reorder_delay: float = 1.0
    corrupt: float = 0.0
    burst: Burst | None = None
    path_size: int | None = None


class Bottleneck:
    """A link of `rate` bytes a second that holds `queue` bytes and loses what comes when it is full.

    A datagram takes `OVERHEAD` bytes more on it. `lost` counts.
    """

    OVERHEAD = 46  # of UDP, IPv4, and Ethernet without the gap between frames

    def __init__(self, rate: float, queue: float) -> None:
        self.rate, self.queue = rate, queue
        self.lost = 0
        self._free_at = 0.0

    def carry(self, size: int, now: float) -> float | None:
        """Seconds until a datagram of `size` bytes has crossed; None: it is lost."""
        waiting = max(0.0, self._free_at - now)
        if waiting * self.rate + size > self.queue:
            self.lost += 1
            return None
        self._free_at = now + waiting + (size + self.OVERHEAD) / self.rate
        return self._free_at - now


class SharedChecks(Checks):
    """The same checks, each made once for all members: they depend on nothing but the bytes."""

    def __init__(self, room: Room) -> None:
        super().__init__(room)
        self._opened: dict[bytes, list[Frame] | DropReason] = {}
        self._verified: dict[tuple[bytes, bytes, bytes], bool] = {}

    def open(self, header: Header, datagram: bytes) -> list[Frame] | DropReason:
        """As Checks.open."""
        known = self._opened.get(datagram)
        if known is None:
            known = _remember(self._opened, datagram, super().open(header, datagram))
        return known

    def verify(self, public_key: bytes, claim: bytes, signature: bytes) -> bool:
        """As Checks.verify."""
        key = (public_key, claim, signature)
        known = self._verified.get(key)
        if known is None:
            known = _remember(self._verified, key, super().verify(*key))
        return known


def _remember(table: dict[Any, Any], key: Any, value: Any) -> Any:
    table[key] = value
    if len(table) > MEMORY:
        del table[next(iter(table))]
    return value


class Life(NamedTuple):
    """One run of a member: what it was told since it joined at the virtual time `joined`."""

    peer_id: PeerId
    joined: float
    events: list[Event]


class Member:
    """One member of the simulated LAN; made by Lan.join()."""

    def __init__(
        self,
        lan: Lan,
        number: int,
        name: str,
        identity: Identity,
        lans: tuple[int, ...],
        options: dict[str, Any],
        skew: float = 0.0,
    ) -> None:
        self._lan, self._options = lan, options
        self.number, self.name, self.identity = number, name, identity
        self.address: Address = (f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", PORT)
        lan.plugs[self.address] = lans
        self.skew = skew
        self.armed: float | None = None
        self.bad_state = False
        self.lives: list[Life] = []
        self._runs = 0
        self._last_incarnation = 0
        self.start()

    @property
    def alive(self) -> bool:
        """Whether it neither crashed nor left."""
        return not (self._crashed or self.engine.closing)

    @property
    def wall(self) -> float:
        """Unix seconds by this member's own clock."""
        return EPOCH_START + self._lan.now + self.skew

    def start(self, *, disk: bool = True) -> None:
        """Begin a new run. Without `disk` the last incarnation is forgotten: the clock gives the next."""
        lan = self._lan
        self._runs += 1
        last = self._last_incarnation if disk else 0
        incarnation = following(last, self.wall, lan.random.getrandbits(16))
        self._last_incarnation = incarnation
        options = dict(self._options)
        attributes, machine = options.pop("attributes", Attributes()), options.pop("machine", bytes(8))
        self.engine = Engine(
            lan.settings,
            lan.room,
            self.identity,
            incarnation=incarnation,
            session=sha256(b"%d %d %d" % (lan.seed, self.number, self._runs)).digest()[:8],
            name=self.name,
            rng=Random(lan.random.getrandbits(64)),  # noqa: S311 - made up on purpose
            now=lan.now,
            wall=self.wall,
            mode=Mode(**options),
            attributes=attributes,
            machine=machine,
            checks=lan.checks,
        )
        self.lives.append(Life(self.engine.peer_id, lan.now, []))
        self._crashed = False
        self.armed = None
        self.step()

    def send(self, data: str | bytes, *, guest: str | None = None) -> Receipt:
        """Publish one message, also for a guest."""
        encoded, now = data.encode() if isinstance(data, str) else data, self._lan.now
        engine = self.engine
        receipt = engine.send(encoded, now) if guest is None else engine.send_for(guest, encoded, now)
        self.step()
        return receipt

    def send_to(
        self,
        peer_id: PeerId,
        data: str | bytes,
        kind: ContentKind = ContentKind.PRIVATE,
        *,
        about: int = 0,
        patience: float = 10.0,
    ) -> int:
        """Send one message to one peer, sealed for it alone; its number, for engine.delivered()."""
        encoded = data.encode() if isinstance(data, str) else data
        number = self.engine.send_to(peer_id, kind, encoded, self._lan.now, about=about, patience=patience)
        self.step()
        return number

    def events(self) -> list[Event]:
        """Everything that happened so far, in all runs of this member."""
        return [event for life in self.lives for event in life.events]

    def messages(self) -> list[Message]:
        """Every message received so far."""
        return [event for event in self.events() if isinstance(event, Message)]

    def peers(self) -> list[PeerView]:
        """Who this member knows to be here."""
        return self.engine.peers()

    def leave(self) -> None:
        """Say goodbye."""
        self.engine.close(self._lan.now)
        self.step()

    def crash(self) -> None:
        """Stop at once; start() begins another run."""
        self.step()
        self._crashed = True

    def set_clock(self, skew: float) -> None:
        """From now on this member's clock is `skew` seconds off."""
        self.skew = skew
        self.engine.set_wall(self._lan.now, self.wall)

    def receive(self, datagram: bytes, source: Address, direct: bool = False, link: int = 0) -> None:
        """A datagram arrives; `direct`: it was sent to this member alone."""
        if not self._crashed and self.engine.receive(datagram, source, self._lan.now, direct, link):
            self.step()

    def wake(self) -> None:
        """The timer ran out."""
        if not self._crashed:
            self.engine.tick(self._lan.now)
            self.step()

    def step(self) -> None:
        """Send what there is, arm the timer, take the events: what a driver of the engine does."""
        lan = self._lan
        for outgoing in self.engine.datagrams(lan.now):
            if outgoing.interfaces is None:
                lan.transmit(outgoing.data, self.address, outgoing.destination)
            else:
                lan.transmit(outgoing.data, self.address, lans=outgoing.interfaces)
        self.lives[-1].events.extend(self.engine.events())
        deadline = self.engine.deadline()
        if deadline is not None and (self.armed is None or deadline < self.armed or self.armed < lan.now):
            self.armed = max(deadline, lan.now)
            lan.at(self.armed, self._alarm(self.engine, self.armed))

    def _alarm(self, engine: Engine, when: float) -> Callable[[], None]:
        def ring() -> None:
            if engine is self.engine and self.armed == when:
                self.armed = None
                self.wake()

        return ring


class Lan:
    """The network. Its conditions hold for all; `between` sets others for one direction of one pair."""

    def __init__(
        self,
        seed: int = 0,
        *,
        settings: Settings | None = None,
        room: Room | None = None,
        **conditions: Any,
    ) -> None:
        self.seed = seed
        self.random = Random(seed)  # noqa: S311 - the same every time, on purpose
        self.settings = settings or presets.lan()
        self.room = room or open_room("230.0.0.1:28003", "simulation")
        self.conditions = Conditions(**conditions)
        self.now = 0.0
        self.members: list[Member] = []
        self.checks = SharedChecks(self.room)
        self.sent = 0
        self.sent_bytes = 0
        self.deaf: set[Address] = set()
        """Addresses of members to which no multicast gets through: their switch drops it."""
        self.on_transmit: Callable[[bytes, Address, Address], None] | None = None
        self.plugs: dict[Address, tuple[int, ...]] = {}
        self._by_address: dict[Address, tuple[Member, int]] = {}
        self._between: dict[tuple[Address, Address], Conditions] = {}
        self._links: dict[Address, Bottleneck] = {}
        self._crossed: dict[Bottleneck, float | None] = {}
        self._islands: dict[Address, int] = {}
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        self._trace = sha256()

    @property
    def trace(self) -> str:
        """A digest of everything that was sent and delivered, and when: equal for equal seeds."""
        return self._trace.hexdigest()

    def join(
        self,
        name: str,
        *,
        identity: Identity | None = None,
        lans: Iterable[int] = (0,),
        skew: float = 0.0,
        **options: Any,
    ) -> Member:
        """A new member; `options` are those of Engine and of its mode (visitor, passive, quiet, …).

        `lans` are the numbers of the LANs it is on, each with an interface and an address of its own. Its
        clock is `skew` seconds off.
        """
        number = len(self.members) + 1
        identity = identity or Identity(sha256(b"%d identity %d" % (self.seed, number)).digest())
        member_lans = tuple(lans)
        member = Member(self, number, name, identity, member_lans, options, skew)
        self.members.append(member)
        self._by_address.update({self._address_on(lan, member.address): (member, lan) for lan in member_lans})
        return member

    def between(self, sender: Member, receiver: Member, **conditions: Any) -> None:
        """Other conditions from `sender` to `receiver`."""
        self._between[sender.address, receiver.address] = Conditions(**conditions)

    def narrow(self, rate: float, queue: float, *receivers: Member) -> Bottleneck:
        """From now on all that these receivers hear of others crosses one link; see Bottleneck."""
        link = Bottleneck(rate, queue)
        self._links.update({member.address: link for member in receivers})
        return link

    def widen(self, *receivers: Member) -> None:
        """These receivers are behind no such link any more."""
        for member in receivers:
            del self._links[member.address]

    def partition(self, *islands: Iterable[Member]) -> None:
        """Only members of one island hear each other; who is in none is in the last."""
        self._islands = {member.address: at for at, island in enumerate(islands) for member in island}

    def heal(self) -> None:
        """End the partition."""
        self._islands = {}

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Call `what` at the virtual time `when`."""
        self._serial += 1
        heappush(self._queue, (when, self._serial, what))

    def run(self, seconds: float) -> None:
        """Let virtual time pass."""
        end = self.now + seconds
        while self._queue and self._queue[0][0] <= end:
            self.now, _, what = heappop(self._queue)
            what()
        self.now = end

    def transmit(
        self, data: bytes, source: Address, destination: Address = None, lans: Iterable[int] | None = None
    ) -> None:
        """A datagram leaves `source`, for all on its `lans` (None: all it is on) or for one address.

        Hostile ones may be injected here.
        """
        self.sent += 1
        self.sent_bytes += len(data)
        self._trace.update(repr((self.now, source, destination)).encode() + data)
        if self.on_transmit is not None:
            self.on_transmit(data, source, destination)
        self._crossed = {}
        if destination is None:
            for member in self.members:
                if member.address == source or member.address not in self.deaf:
                    self._carry(data, source, member, self.plugs[member.address] if lans is None else lans)
        elif destination in self._by_address:
            member, lan = self._by_address[destination]
            self._carry(data, source, member, (lan,), direct=True)

    def _carry(
        self, data: bytes, source: Address, member: Member, lans: Iterable[int], direct: bool = False
    ) -> None:
        if self._islands.get(source) != self._islands.get(member.address):
            return
        theirs = self.plugs[member.address]
        for lan in lans:
            if lan in theirs and lan in self.plugs.get(source, theirs):
                self._carry_by(lan, data, source, member, direct)

    def _address_on(self, lan: int, address: Address) -> Address:
        """The address on a LAN of who is on several: another on each."""
        lans = self.plugs.get(address, (lan,))
        if lan == lans[0] or not isinstance(address, tuple):
            return address
        return (f"{10 + lan}{address[0][2:]}", *address[1:])

    def _carry_by(self, lan: int, data: bytes, source: Address, member: Member, direct: bool) -> None:
        conditions = self._between.get((source, member.address), self.conditions)
        copies = 1 + (conditions.duplicate > 0 and self.random.random() < conditions.duplicate)
        for _ in range(copies):
            if member.address != source and self._lost(conditions, member, len(data)):
                continue
            self._deliver(data, source, member, conditions, lan, direct)

    def _cross(self, member: Member, size: int) -> float | None:
        """Seconds until the datagram is over the link to `member`, if there is one; it crosses it once."""
        link = self._links.get(member.address)
        if link is None:
            return 0.0
        if link not in self._crossed:
            self._crossed[link] = link.carry(size, self.now)
        return self._crossed[link]

    def _lost(self, conditions: Conditions, member: Member, size: int) -> bool:
        if conditions.path_size is not None and size > conditions.path_size:
            return True
        burst = conditions.burst
        loss = conditions.loss
        if burst is not None:
            change = burst.to_good if member.bad_state else burst.to_bad
            member.bad_state ^= self.random.random() < change
            loss = max(loss, burst.loss_bad if member.bad_state else burst.loss_good)
        return loss > 0 and self.random.random() < loss

    def _deliver(
        self, data: bytes, source: Address, member: Member, conditions: Conditions, lan: int, direct: bool
    ) -> None:
        random = self.random
        wait = 0.0 if member.address == source else self._cross(member, len(data))
        if wait is None:
            return
        delay = wait + conditions.delay + conditions.jitter * random.random()
        if conditions.reorder and random.random() < conditions.reorder:
            delay += conditions.reorder_delay * random.random()
        if conditions.corrupt and random.random() < conditions.corrupt:
            data = _flip(data, random.randrange(8 * len(data)))

        def arrive() -> None:
            self._trace.update(b"%.9f %d" % (self.now, member.number))
            member.receive(data, self._address_on(lan, source), direct, 2 * lan)

        self.at(self.now + delay, arrive)


def _flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def replayable(seed: int, scenario: Callable[[int], Lan]) -> Lan:
    """Run `scenario(seed)`; when it fails, the error names the seed that brings it about again."""
    try:
        return scenario(seed)
    except Exception as error:
        error.add_note(f"simulation seed {seed}: the same seed replays it, byte for byte")
        raise
