"""A flood of everything a member that holds the room's key can make up, for as long as wanted.

    python -m tests.simulation.flood [--hours 24] [--rate 5] [--peers 2000] [--seed 0]

One attacker invents identities, peers, sessions, fragments, announcements, goodbyes, hearsay and requests,
each properly signed and sealed where that is needed to get further. An honest peer goes on talking. What
the victim holds is weighed by following every reference from its engine.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from random import Random
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

from msgspec import Struct

from mcast import simulation
from mcast.core.auth.ingress import Checks
from mcast.core.events import Message, PeerId, PeerLeft
from mcast.crypto.keys import Identity
from mcast.crypto.seal import Sealer
from mcast.crypto.signed import sign_flush, sign_frame
from mcast.settings import Settings
from mcast.wire import frames as f
from mcast.wire.codec import encode_frames
from mcast.wire.header import Header
from mcast.wire.reasons import DropReason
from mcast.wire.records import Kind, decode_record, encode_record

SHARED = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType, simulation.Lan, Settings)
TALK = 20.0  # seconds between two lines of the honest peer


def weight(root: object) -> int:
    """Bytes of all that is reachable from `root`."""
    seen: set[int] = set()
    stack, total = [root], 0
    while stack:
        found = stack.pop()
        if id(found) in seen or isinstance(found, SHARED):
            continue
        seen.add(id(found))
        total += sys.getsizeof(found)
        stack.extend(gc.get_referents(found))
    return total


def tables(root: object) -> dict[str, int]:
    """How many entries each table below `root` has: a dict, list or deque that is an object's field.

    Components know each other: a table goes by the shortest path to it.
    """
    found: dict[str, int] = {}
    seen = {id(root)}
    parts: deque[tuple[str, object]] = deque([("", root)])
    while parts:
        path, part = parts.popleft()
        slots = getattr(type(part), "__slots__", ())
        fields = vars(part) if hasattr(part, "__dict__") else {name: getattr(part, name) for name in slots}
        for name, value in fields.items():
            if id(value) in seen:
                continue
            seen.add(id(value))
            if isinstance(value, dict | list | deque | set):
                found[f"{path}{name}"] = len(value)
            elif type(value).__module__.startswith("mcast.core") and not isinstance(value, tuple | Struct):
                parts.append((f"{path}{name}.", value))
    return found


class Unshared(simulation.SharedChecks):
    """Checks that remember no more than a member on a real network does."""

    def open(self, header: Header, datagram: bytes) -> list[f.Frame] | DropReason:
        """As Checks.open."""
        return Checks.open(self, header, datagram)

    def verify(self, public_key: bytes, claim: bytes, signature: bytes) -> bool:
        """As Checks.verify."""
        return Checks.verify(self, public_key, claim, signature)


class Flood:
    """The attacker, the victim `ada` and the honest `bob`."""

    def __init__(self, seed: int, settings: Settings) -> None:
        self.lan = simulation.Lan(seed, settings=settings)
        self.random = Random(seed)
        self.lan.checks = Unshared(self.lan.room)
        self.ada, self.bob = self.lan.join("ada"), self.lan.join("bob")
        self.said = 0
        self.sent: Counter[str] = Counter()
        self._talked = 0.0
        self._old: list[tuple[Identity, PeerId]] = []
        self.lan.run(5.0)

    def run(self, seconds: float, rate: float) -> None:
        """`rate` made-up datagrams a second, each of a kind chosen by chance."""
        tricks = [
            self._announce,
            self._incarnations,
            self._stale,
            self._record,
            self._fragment,
            self._unkeyed,
        ]
        tricks += [self._goodbye, self._hearsay, self._nack, self._report, self._heartbeat, self._ask]
        tricks += [self._junk, self._forge]
        end = self.lan.now + seconds
        while self.lan.now < end:
            if self.lan.now - self._talked >= TALK:
                self._talked = self.lan.now
                self.bob.send(b"%d" % self.said)
                self.said += 1
            trick = self.random.choice(tricks)
            self.sent[trick.__name__.strip("_")] += 1
            trick()
            self.lan.run(1.0 / rate)

    def check(self) -> None:
        """The honest peer was never taken for gone, and each of its lines came, once and in order."""
        self.lan.run(10.0)
        bob = self.bob.engine.peer_id
        heard = [
            event.text for event in self.ada.events() if isinstance(event, Message) and event.peer_id == bob
        ]
        assert heard == [str(number) for number in range(self.said)]
        left = [event for event in self.ada.events() if isinstance(event, PeerLeft)]
        assert not any(event.peer.peer_id == bob for event in left)
        (peer,) = [peer for peer in self.ada.peers() if peer.peer_id == bob]
        assert peer.confirmed
        assert not peer.suspect

    def forget(self) -> None:
        """Drop the events that the victim's program has taken, as a program would."""
        for life in (*self.ada.lives, *self.bob.lives):
            life.events[:] = [
                event
                for event in life.events
                if (isinstance(event, Message) and event.peer_id == self.bob.engine.peer_id)
                or (isinstance(event, PeerLeft) and event.peer.peer_id == self.bob.engine.peer_id)
            ]

    # What the attacker makes up

    def _bytes(self, count: int) -> bytes:
        return self.random.randbytes(count)

    def _somebody(self) -> tuple[Identity, PeerId, f.Key]:
        """An identity: mostly a new one, now and then one of before."""
        if self._old and self.random.random() < 0.3:
            identity, peer_id = self.random.choice(self._old)
        else:
            identity = Identity(self._bytes(32))
            peer_id = PeerId(identity.origin, int(simulation.EPOCH_START + self.lan.now) << 16)
            self._old = [*self._old[-50:], (identity, peer_id)]
        key = sign_frame(identity, self.lan.room.id, f.Key(identity.public_key, 1, "x" * 32))
        return identity, peer_id, key

    def _say(self, *frames: f.Frame) -> None:
        address = (f"10.6.{self.random.randrange(256)}.{self.random.randrange(256)}", simulation.PORT)
        data = Sealer(self.lan.room, self._bytes(8)).seal(encode_frames(frames))
        self.ada.receive(data, address)

    def _counter(self) -> int:
        return round(self.lan.now * 1000) + 1

    def _announcement(self, identity: Identity, peer_id: PeerId, age: float = 0.0) -> f.Announcement:
        stamp = round((simulation.EPOCH_START + self.lan.now - age) * 1000)
        frame = f.Announcement(
            *peer_id,
            self._counter(),
            stamp,
            1,
            self.random.randrange(9),
            5000,
            2000,
            1452,
            0,
            0,
            self._bytes(8),
        )
        return sign_frame(identity, self.lan.room.id, frame)

    def _announce(self) -> None:
        identity, peer_id, key = self._somebody()
        self._say(key, self._announcement(identity, peer_id))

    def _incarnations(self) -> None:
        identity, peer_id, key = self._somebody()
        other = PeerId(peer_id.origin, peer_id.incarnation + self.random.randrange(1 << 16))
        self._say(key, self._announcement(identity, other))

    def _stale(self) -> None:
        identity, peer_id, key = self._somebody()
        self._say(
            key, self._announcement(identity, PeerId(peer_id.origin, peer_id.incarnation - 1), age=3600.0)
        )

    def _hearsay(self) -> None:
        identity, peer_id, key = self._somebody()
        self._say(key, f.Roster(self._bytes(16), 7, self._announcement(identity, peer_id)))

    def _publish(self, kind: Kind, body: bytes, *, keyed: bool = True) -> None:
        identity, peer_id, key = self._somebody()
        if not keyed:
            identity = Identity(self._bytes(32))
            peer_id = PeerId(identity.origin, peer_id.incarnation)
        record = encode_record(
            origin=peer_id.origin,
            incarnation=peer_id.incarnation,
            sequence=self.random.choice([1, 2, 3, 100, 5000]),
            timestamp=round((simulation.EPOCH_START + self.lan.now) * 1000),
            kind=kind,
            body=body,
        )
        frame = decode_record(sign_flush(identity, self.lan.room.id, peer_id.incarnation, [record])[0])
        self._say(*((key, frame) if keyed else (frame,)))

    def _record(self) -> None:
        self._publish(Kind.MESSAGE, self._bytes(300))

    def _fragment(self) -> None:
        total = self.random.randrange(2000, 65000)
        self._publish(Kind.FIRST, total.to_bytes(4, "big") + self._bytes(1000))

    def _unkeyed(self) -> None:
        self._publish(Kind.MESSAGE, self._bytes(900), keyed=False)

    def _goodbye(self) -> None:
        identity, peer_id, key = self._somebody()
        goodbye = f.Goodbye(*peer_id, self._counter(), self.random.randrange(9000))
        self._say(key, sign_frame(identity, self.lan.room.id, goodbye))

    def _nack(self) -> None:
        identity, peer_id, key = self._somebody()
        about = self.random.choice([self.ada.engine.peer_id, self.bob.engine.peer_id, peer_id])
        nack = f.Nack(*peer_id, self._counter(), (f.Missing(*about, ((1, 500),)),))
        self._say(key, sign_frame(identity, self.lan.room.id, nack))

    def _report(self) -> None:
        identity, peer_id, key = self._somebody()
        heard = (f.Heard(*self.ada.engine.peer_id, 5, 9, 0, 0, 0, 0), f.Heard(*peer_id, 5, 9, 0, 0, 0, 0))
        self._say(key, sign_frame(identity, self.lan.room.id, f.Report(*peer_id, self._counter(), heard)))

    def _heartbeat(self) -> None:
        identity, peer_id, key = self._somebody()
        stamp = round((simulation.EPOCH_START + self.lan.now) * 1000)
        beat = f.Heartbeat(*peer_id, self._counter(), stamp, 1, self.random.randrange(1 << 40), 1_000_000)
        self._say(key, sign_frame(identity, self.lan.room.id, beat))

    def _ask(self) -> None:
        peer_id = PeerId(self._bytes(16), 1)
        asked: list[f.Frame] = [
            f.KeyRequest((peer_id.origin,)),
            f.RosterRequest(self.random.randrange(1000)),
            f.Probe(*self.ada.engine.peer_id, self._bytes(16), 0),
            f.Probe(*peer_id, self._bytes(16), f.BY_MULTICAST),
            f.ReportRequest(*self.bob.engine.peer_id, 1, 60_000),
            f.Challenge(self._bytes(8)),
            f.Echo(self._bytes(8)),
        ]
        self._say(self.random.choice(asked))

    def _junk(self) -> None:
        self.ada.receive(b"\xff\x4d\x02\x01" + self._bytes(self.random.randrange(1500)), ("10.6.6.6", 1))

    def _forge(self) -> None:
        """In the honest peer's name, with another's signature."""
        identity, _, _ = self._somebody()
        bob = self.bob.engine.peer_id
        frames: list[Callable[[], f.Signed]] = [
            lambda: f.Goodbye(*bob, 2**40, 0),
            lambda: f.Heartbeat(*bob, 2**40, 0, 8000, 8000, 0),
            lambda: f.Nack(*bob, 2**40, (f.Missing(*bob, ((1, 500),)),)),
        ]
        self._say(sign_frame(identity, self.lan.room.id, self.random.choice(frames)()))


def main() -> None:
    """Flood for as long as told; print what the victim holds every hour of virtual time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--rate", type=float, default=5.0, help="made-up datagrams a second of virtual time")
    parser.add_argument("--peers", type=int, default=2000, help="the roster's limit; others follow from it")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    flood = Flood(chosen.seed, Settings(peers=chosen.peers))
    start = time.perf_counter()
    while flood.lan.now < 3600 * chosen.hours:
        flood.run(3600.0, chosen.rate)
        flood.check()
        flood.forget()
        total = weight(flood.ada.engine)
        print(
            f"{flood.lan.now / 3600:.1f} h: {sum(flood.sent.values()):,} datagrams, "
            f"{total / 1e6:.1f} MB held, {len(flood.ada.peers())} peers, "
            f"{flood.said} lines of the honest peer heard, "
            f"{time.perf_counter() - start:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
