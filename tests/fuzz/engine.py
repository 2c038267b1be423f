"""The whole engine as a function of bytes: datagrams sealed with the room's key, made of whatever frames.

The signature check believes everything here, so that what lies behind it is reached too; the parsers and the
real check have targets and tests of their own.
"""

from __future__ import annotations

from random import Random

from mcast import settings, simulation
from mcast.core.auth.ingress import Checks
from mcast.core.engine import Engine
from mcast.crypto.keys import Identity
from mcast.crypto.rooms import open_room
from mcast.crypto.seal import Opener, Sealer
from mcast.wire.header import Header, decode_header
from mcast.wire.limits import DATAGRAM_MAX, HEADER_SIZE, TAG_SIZE

ROOM = open_room("230.0.0.1:28003", "lobby")
SOURCE = ("10.9.0.9", 28003)
PLAIN_MAX = DATAGRAM_MAX - HEADER_SIZE - TAG_SIZE
_VICTIM = Identity(bytes(range(32)))


class _Credulous(Checks):
    def verify(self, public_key: bytes, claim: bytes, signature: bytes) -> bool:
        return True


def engine(data: bytes) -> None:
    """Frames cut from `data` by two-byte lengths, each a datagram; the clock runs on between them."""
    victim = Engine(
        settings.lan(),
        ROOM,
        _VICTIM,
        incarnation=7 << 16,
        session=bytes(8),
        name="victim",
        rng=Random(1),
        now=0.0,
        wall=simulation.EPOCH_START,
        checks=_Credulous(ROOM),
    )
    sealer = Sealer(ROOM, b"attacker")
    victim.send(b"mine", 0.0)
    now = 0.0
    while data:
        size, step = int.from_bytes(data[:2], "big") % (PLAIN_MAX + 1), data[2:3]
        plain, data = data[3 : 3 + size], data[3 + size :]
        victim.receive(sealer.seal(plain), SOURCE, now, link=step[0] & 3 if step else 0)
        victim.receive(plain, SOURCE, now)
        now += step[0] / 64 if step else 0.0
        _drive(victim, now)
    for _ in range(8):
        deadline = victim.deadline()
        if deadline is None:
            break
        now = max(now, deadline)
        _drive(victim, now)
    victim.close(now)
    victim.datagrams(now)


def _drive(victim: Engine, now: float) -> None:
    victim.tick(now)
    for outgoing in victim.datagrams(now):
        assert len(outgoing.data) <= DATAGRAM_MAX
    victim.events()
    victim.stats()
    victim.peers()


def seeds() -> list[bytes]:
    """What members of a small lossy group really say to each other."""
    lan = simulation.Lan(seed=3, loss=0.3)
    plains: list[bytes] = []
    opener = Opener(lan.room)

    def overhear(data: bytes, *_: object) -> None:
        header = decode_header(data)
        if isinstance(header, Header):
            plain = opener.open(header, data)
            if isinstance(plain, bytes):
                plains.append(plain)

    lan.on_transmit = overhear
    members = [
        lan.join(name, lans=lans)
        for name, lans in (("ada", (0, 1)), ("bob", (0,)), ("eve", (0, 1)), ("zoe", (1,)))
    ]
    for turn in range(6):
        members[turn % 4].send(b"x" * (turn * 700))
        lan.run(0.2)
    members[0].leave()
    lan.run(2.0)
    pieces = [len(plain).to_bytes(2, "big") + b"\x08" + plain for plain in plains]
    return [b"".join(pieces[at : at + 6]) for at in range(0, len(pieces), 6)]
