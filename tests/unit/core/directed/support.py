"""What the tests of directed messages share."""

from __future__ import annotations

from typing import Any

from mcast import simulation
from mcast.core.events import Answer, FromPeer, PrivateMessage, Question
from mcast.crypto import directed as crypto
from mcast.crypto.directed import MessageKeys
from mcast.wire import frames as f
from mcast.wire.contents import Content, ContentKind, encode_unsigned
from tests.unit.core.support import ADDRESS, Outsider, now_ms


def lan(*names: str, **conditions: Any) -> tuple[simulation.Lan, list[simulation.Member]]:
    """A LAN whose members know each other."""
    made = simulation.Lan(seed=5, **conditions)
    members = [made.join(name) for name in names or ("ada", "bob")]
    made.run(3.0)
    return made, members


def got(member: simulation.Member) -> list[FromPeer]:
    """What others sent to this member alone."""
    return [event for event in member.events() if isinstance(event, PrivateMessage | Question | Answer)]


def datas(member: simulation.Member) -> list[bytes]:
    """The same without the rest."""
    return [event.data for event in got(member)]


def answering(member: simulation.Member, flags: int = f.ANSWERS) -> None:
    """The member takes questions from now on."""
    member.engine.update(member._lan.now, flags=flags)


def settle(member: simulation.Member, number: int, seconds: float = 15.0) -> bool | None:
    """Let time pass until a message has been delivered or given up; whether it was delivered."""
    end = member._lan.now + seconds
    while member.engine.delivered(number) is None and member._lan.now < end:
        member._lan.run(0.01)
    return member.engine.delivered(number)


class Stranger(Outsider):
    """Somebody who makes directed messages by hand, to one member."""

    def __init__(self, lan: simulation.Lan, to: simulation.Member, seed: int = 99) -> None:
        super().__init__(lan, seed)
        self.to = to
        made = crypto.sender_keys(self.identity, to.identity.public_key, bytes([seed]) * 32, lan.room.id)
        assert made is not None
        self.ephemeral, self.keys = made

    def fragments(
        self,
        data: bytes,
        *,
        number: int = 1,
        kind: ContentKind = ContentKind.PRIVATE,
        about: int = 0,
        count: int = 1,
        age: float = 0.0,
        whole: bytes | None = None,
        keys: MessageKeys | None = None,
    ) -> list[f.Directed]:
        """A message, genuine unless `whole` (what is sealed) or `keys` say otherwise."""
        timestamp = now_ms(self.lan) - round(age * 1000)
        frame = f.Directed(
            *self.peer_id, *self.to.engine.peer_id, number, timestamp, self.ephemeral, 0, count, b""
        )
        if whole is None:
            unsigned = encode_unsigned(Content(kind, about, data))
            whole = self.identity.sign(crypto.content_claim(self.lan.room.id, frame, unsigned)) + unsigned
        size = -(-len(whole) // count)
        parts = [whole[start : start + size] for start in range(0, size * count, size or 1)] or [b""]
        return [
            crypto.seal_fragment(
                keys or self.keys,
                f.Directed(*self.peer_id, *self.to.engine.peer_id, number, timestamp, self.ephemeral, index,
                           count, b""),
                part,
            )
            for index, part in enumerate(parts)
        ]  # fmt: skip

    def tell(self, *frames: f.Frame, introduce: bool = True, source: object = ADDRESS) -> None:
        """Send each frame by unicast in a datagram of its own."""
        for frame in frames:
            introduction = [self.own_key] if introduce else []
            self.say(*introduction, frame, to=self.to.address, source=source)
