"""What the tests of the engine share: contexts, records and datagrams made by hand, looks at a member."""

from __future__ import annotations

from random import Random

from mcast import simulation
from mcast.core.auth.verifier import issued
from mcast.core.context import Context, Mode
from mcast.core.events import GapAbandoned, GapFilled, GapOpened, PeerId
from mcast.crypto.keys import Identity
from mcast.crypto.rooms import open_room
from mcast.crypto.seal import Sealer
from mcast.crypto.signed import sign_flush, sign_frame
from mcast.settings import Settings
from mcast.wire import frames as f
from mcast.wire.codec import encode_frames
from mcast.wire.records import Kind, Record, decode_record, encode_record

ADDRESS = ("10.9.9.9", 28003)


def record(sequence: int, body: bytes = b"x", kind: Kind = Kind.MESSAGE, timestamp: int = 0) -> Record:
    """A record that was decoded but is not signed."""
    payload = b"proof" + body
    return Record(b"o" * 16, 1, sequence, timestamp, kind, 0, body, 1, 0, bytes(64), b"", payload)


def make_context(settings: Settings | None = None, mode: Mode | None = None) -> Context:
    """What a component gets, of an engine that began at time 0."""
    identity = Identity(bytes(32))
    return Context(
        settings or Settings(),
        open_room("230.0.0.1:28003", "simulation"),
        identity,
        PeerId(identity.origin, 1),
        "me",
        Random(1),
        mode or Mode(),
        0.0,
        simulation.EPOCH_START,
    )


def now_ms(lan: simulation.Lan) -> int:
    """What a right clock says."""
    return round((simulation.EPOCH_START + lan.now) * 1000)


class Outsider:
    """Says what a test wants said, under an identity of its own; not a member of the simulation."""

    def __init__(self, lan: simulation.Lan, seed: int = 99, age: float = 0.0) -> None:
        self.lan = lan
        self.identity = Identity(bytes([seed]) * 32)
        self.peer_id = PeerId(self.identity.origin, int(simulation.EPOCH_START + lan.now - age) << 16 | seed)
        self.sealer = Sealer(lan.room, bytes([seed]) * 8)
        self.counter = 0
        self.key = self.sign(f.Key(self.identity.public_key, 1, "eve"))
        self.own_key = self.named("eve")

    def sign(self, frame: f.Signed) -> f.Signed:
        """The frame with this identity's signature."""
        return sign_frame(self.identity, self.lan.room.id, frame)

    def named(self, name: str) -> f.Key:
        """The KEY of this very incarnation, with another name."""
        key = self.sign(f.Key(self.identity.public_key, issued(self.peer_id.incarnation), name))
        assert isinstance(key, f.Key)
        return key

    def count(self) -> int:
        """The next counter."""
        self.counter += 1
        return self.counter

    def say(self, *frames: f.Frame, to: object = None, source: object = ADDRESS, size: int = 0) -> None:
        """Send the frames in one datagram, padded to `size` bytes of them, and let it arrive."""
        self.lan.transmit(self.sealer.seal(encode_frames(frames, size)), source, to)
        self.lan.run(0.002)

    def announcement(self, **fields: object) -> f.Announcement:
        """An announcement of this peer, signed."""
        values: dict[str, object] = {
            "counter": self.count(),
            "timestamp": now_ms(self.lan),
            "low": 1,
            "high": 0,
            "interval": 5000,
            "grtt": 2000,
            "limit": 1452,
            "port": 0,
            "flags": 0,
            "machine": b"machine1",
        }
        frame = f.Announcement(*self.peer_id, **(values | fields))  # type: ignore[arg-type] # checked by msgspec
        signed = self.sign(frame)
        assert isinstance(signed, f.Announcement)
        return signed

    def heartbeat(self, high: int, low: int = 1) -> f.Signed:
        """A heartbeat of this peer, signed."""
        return self.sign(f.Heartbeat(*self.peer_id, self.count(), now_ms(self.lan), low, high, 2000))

    def record(
        self, sequence: int, body: bytes = b"x", kind: Kind = Kind.MESSAGE, age: float = 0.0
    ) -> Record:
        """A genuine record of this peer, alone in its flush."""
        return self._signed([self._encoded(sequence, body, kind, age)])[0]

    def flush(self, *sequences: int) -> list[Record]:
        """Genuine records of this peer under one signature."""
        return self._signed([self._encoded(sequence, b"x", Kind.MESSAGE, 0.0) for sequence in sequences])

    def _encoded(self, sequence: int, body: bytes, kind: Kind, age: float) -> bytes:
        return encode_record(
            origin=self.peer_id.origin,
            incarnation=self.peer_id.incarnation,
            sequence=sequence,
            timestamp=now_ms(self.lan) - round(age * 1000),
            kind=kind,
            body=body,
        )

    def _signed(self, encoded: list[bytes]) -> list[Record]:
        payloads = sign_flush(self.identity, self.lan.room.id, self.peer_id.incarnation, encoded)
        return list(map(decode_record, payloads))


def asked(member: simulation.Member) -> int:
    """The number of the fetch that is under way, which a VECTOR must bear; 0 if there is none."""
    session = member.engine._anti_entropy._fetches._session
    return 0 if session is None else session.request


def drops(member: simulation.Member, reason: str) -> int:
    """How often a member dropped something for this reason."""
    return member.engine.stats().get(f"dropped-{reason}", 0)


def texts(member: simulation.Member) -> list[str | None]:
    """The texts of the messages that a member was told of."""
    return [message.text for message in member.messages()]


def gap_events(member: simulation.Member) -> list[tuple[str, int, int]]:
    """The gaps that a member was told of: the event's name, the first and the last record."""
    return [
        (type(event).__name__, event.first, event.last)
        for event in member.events()
        if isinstance(event, GapOpened | GapFilled | GapAbandoned)
    ]
