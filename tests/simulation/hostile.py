"""Members that cheat: they hold the room's key and an identity of their own, and say what they like."""

from __future__ import annotations

from hashlib import sha256

from mcast import simulation
from mcast.core.events import Address, PeerId
from mcast.crypto.keys import Identity
from mcast.crypto.rooms import open_room
from mcast.crypto.seal import Opener, Sealer
from mcast.crypto.signed import sign_flush, sign_frame
from mcast.wire import frames as f
from mcast.wire.codec import decode_frames, encode_frames, encode_sliced
from mcast.wire.header import Header, decode_header
from mcast.wire.limits import COUNTER_MAX, SLICE_SIZE
from mcast.wire.records import Kind, Record, decode_record, encode_record

ADDRESS: Address = ("10.66.66.66", simulation.PORT)
CLAIMED = 2**62  # records that a phantom says it has published
OTHER_ROOM = open_room("230.0.0.1:28003", "another")


class Attacker:
    """Listens to everything and injects what each method says."""

    def __init__(self, lan: simulation.Lan) -> None:
        self.lan = lan
        self.identity = Identity(sha256(b"attacker %d" % lan.seed).digest())
        self.peer_id = PeerId(self.identity.origin, int(simulation.EPOCH_START) << 16)
        self.heard: list[f.Frame] = []
        self.sessions: list[bytes] = []
        self.datagrams: list[bytes] = []
        self._opener = Opener(lan.room)
        self._sealer = Sealer(lan.room, b"attacker")
        self._counter = 0
        lan.on_transmit = self._listen

    def _listen(self, data: bytes, source: Address, destination: Address) -> None:
        header = decode_header(data)
        if source == ADDRESS or not isinstance(header, Header):
            return
        plain = self._opener.open(header, data)
        frames = decode_frames(plain) if isinstance(plain, bytes) else []
        if isinstance(frames, list):
            self.heard.extend(frames)
        self.sessions.append(header.session)
        self.datagrams.append(data)

    def counter(self) -> int:
        """The next of its own counters."""
        self._counter += 1
        return self._counter

    def say(self, *frames: f.Frame, sealer: Sealer | None = None) -> None:
        """Send frames to everybody."""
        self.lan.transmit((sealer or self._sealer).seal(encode_frames(frames)), ADDRESS)

    def key(self) -> f.Key:
        """Its own key."""
        return sign_frame(self.identity, self.lan.room.id, f.Key(self.identity.public_key, 1, "mallory"))

    def records(self) -> list[Record]:
        """The records it overheard."""
        return [frame for frame in self.heard if isinstance(frame, Record)]

    def announce(self) -> None:
        """Become a peer that everybody knows."""
        now_ms = round((simulation.EPOCH_START + self.lan.now) * 1000)
        frame = f.Announcement(
            *self.peer_id, self.counter(), now_ms, 1, 0, 5000, 1_000_000, 1452, 0, 0, b"attacker"
        )
        self.say(self.key(), sign_frame(self.identity, self.lan.room.id, frame))

    def cover(self, victim: PeerId, first: int, last: int) -> None:
        """A NACK that covers everything anybody may miss of the victim."""
        missing = (f.Missing(*victim, ((first, last),)),)
        nack = f.Nack(*self.peer_id, self.counter(), missing)
        self.say(self.key(), sign_frame(self.identity, self.lan.room.id, nack))

    def forge_nack(self, victim: PeerId, first: int, last: int) -> None:
        """The same in the name of the victim itself, with a signature that is not its own."""
        nack = f.Nack(*victim, 2**62, (f.Missing(*victim, ((first, last),)),))
        self.say(sign_frame(self.identity, self.lan.room.id, nack))

    def exhaust_session(self, session: bytes) -> None:
        """The highest counter under the victim's session."""
        self.say(self.key(), sealer=Sealer(self.lan.room, session, COUNTER_MAX))

    def forge_record(self, victim: PeerId, sequence: int) -> None:
        """A record of the victim, signed by the attacker."""
        record = self._record(victim, sequence, b"forged")
        payload = sign_flush(self.identity, self.lan.room.id, victim.incarnation, [record])[0]
        self.say(decode_record(payload))

    def other_room(self, victim: Identity, incarnation: int, sequence: int) -> None:
        """A record that the victim really published, in another room."""
        record = self._record(PeerId(victim.origin, incarnation), sequence, b"from another room")
        payload = sign_flush(victim, OTHER_ROOM.id, incarnation, [record])[0]
        self.say(decode_record(payload))

    def _record(self, author: PeerId, sequence: int, body: bytes) -> bytes:
        now_ms = round((simulation.EPOCH_START + self.lan.now) * 1000)
        return encode_record(
            origin=author.origin,
            incarnation=author.incarnation,
            sequence=sequence,
            timestamp=now_ms,
            kind=Kind.MESSAGE,
            body=body,
        )

    def forge_goodbye(self, victim: PeerId) -> None:
        """The victim leaves, says the attacker."""
        self.say(sign_frame(self.identity, self.lan.room.id, f.Goodbye(*victim, 2**62, 0)))

    def forge_heartbeat(self, victim: PeerId) -> None:
        """The victim has published a lot and holds none of it, says the attacker."""
        heartbeat = f.Heartbeat(*victim, 2**62, 0, 8000, 8000, 1_000_000)
        self.say(sign_frame(self.identity, self.lan.room.id, heartbeat))

    def replay_frames(self, kind: type, limit: int = 5) -> None:
        """The oldest frames of a kind, sealed anew."""
        old = [frame for frame in self.heard if isinstance(frame, kind)][:limit]
        for frame in old:
            self.say(frame)

    def replay_datagrams(self, limit: int = 10) -> None:
        """The oldest datagrams, as they were."""
        for datagram in self.datagrams[:limit]:
            self.lan.transmit(datagram, ADDRESS)

    def cut_up(self, limit: int = 5) -> None:
        """The latest records in slices, of which the last is changed; and beginnings without an end."""
        for number, record in enumerate(self.records()[-limit:]):
            *rest, last = encode_sliced(record.payload)
            spoiled = bytes((*last[:-1], last[-1] ^ 1))
            for frame in (*rest, spoiled):
                self.lan.transmit(self._sealer.seal(frame), ADDRESS)
            self.say(f.Slice(number.to_bytes(8, "big"), 1400, 0, bytes(SLICE_SIZE)))

    def flood(self, victim: PeerId, first: int, last: int) -> None:
        """Many requests for the same repairs."""
        for _ in range(5):
            self.cover(victim, first, last)


class Phantom:
    """A made-up peer: it says once that it has published a lot, and then nothing more."""

    def __init__(self, lan: simulation.Lan, number: int) -> None:
        self._lan, self._number = lan, number
        self.identity = Identity(sha256(b"phantom %d %d" % (lan.seed, number)).digest())
        began = simulation.EPOCH_START + lan.now - number % 2 * 1000.0
        self.peer_id = PeerId(self.identity.origin, int(began) << 16)
        self.published = False

    def lie(self, kind: str) -> None:
        """Claim to have published CLAIMED records: by an `announce`, a `heartbeat`, or with a `record`."""
        now_ms = round((simulation.EPOCH_START + self._lan.now) * 1000)
        frame: f.Signed
        if kind == "announce":
            frame = f.Announcement(*self.peer_id, 1, now_ms, 1, CLAIMED, 5000, 2000, 1452, 0, 0, b"phantoms")
        else:
            frame = f.Heartbeat(*self.peer_id, 1, now_ms, 1, CLAIMED, 2000)
        said: list[f.Frame] = [self._sign(f.Key(self.identity.public_key, 1, "phantom")), self._sign(frame)]
        if kind == "record":
            self.published = True
            said.append(self._record(now_ms))
        session = self._number.to_bytes(8, "big")
        self._lan.transmit(Sealer(self._lan.room, session).seal(encode_frames(tuple(said))), ADDRESS)

    def _sign(self, frame: f.Signed) -> f.Signed:
        return sign_frame(self.identity, self._lan.room.id, frame)

    def _record(self, now_ms: int) -> Record:
        origin, incarnation = self.peer_id
        record = encode_record(
            origin=origin, incarnation=incarnation, sequence=1, timestamp=now_ms, kind=Kind.MESSAGE, body=b"x"
        )
        return decode_record(sign_flush(self.identity, self._lan.room.id, incarnation, [record])[0])
