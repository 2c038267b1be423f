"""The keys of a bulk transfer: its tag and multicast group, the seal of its items, and of control messages.

Everything follows from the room's key and the root of the transfer's hash tree. Under one root an item has
one content, so its level and index can be the nonce: whoever sends it again seals the same bytes. Control
messages are sealed with a key that two peers agree on, so nobody else can make or read them.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from mcast.wire.bulk import (
    BULK_TAG_SIZE,
    CONTROL_HEAD_SIZE,
    NAME_SIZE,
    ControlHead,
    encode_control_head,
)
from mcast.wire.limits import KEY_SIZE

from .keys import Identity, curve_point
from .rooms import Room, derive


class TransferKeys:
    """The keys of one transfer in one room. `tag` is in each of its datagrams, `place` (2 bytes) chooses its
    multicast group."""

    __slots__ = ("_cipher", "_room", "_root", "place", "tag")

    def __init__(self, room: Room, root: bytes) -> None:
        self._room, self._root = room, root
        known = derive(room.key, salt=root, info=b"mcast2 bulk", size=KEY_SIZE + BULK_TAG_SIZE + 2)
        self.tag, self.place = known[KEY_SIZE : KEY_SIZE + BULK_TAG_SIZE], known[KEY_SIZE + BULK_TAG_SIZE :]
        self._cipher = None if room.public else ChaCha20Poly1305(known[:KEY_SIZE])

    @property
    def sealed(self) -> bool:
        """Whether items are sealed: in a room with a key."""
        return self._cipher is not None

    def seal(self, level: int, index: int, item: bytes) -> bytes:
        """An item as it travels."""
        if self._cipher is None:
            return item
        return self._cipher.encrypt(_nonce(level, index), item, None)

    def open(self, level: int, index: int, sealed: bytes) -> bytes | None:
        """The item in a datagram; None if it was not sealed with our key."""
        if self._cipher is None:
            return sealed
        try:
            return self._cipher.decrypt(_nonce(level, index), sealed, None)
        except InvalidTag:
            return None

    def name(self, origin: bytes, incarnation: int) -> bytes:
        """What names a peer in the control messages of this transfer: only members can tell whom."""
        info = b"mcast2 bulk name" + origin + incarnation.to_bytes(8, "big")
        return derive(self._room.key, salt=self._root, info=info, size=NAME_SIZE)

    def pair(self, identity: Identity, public_key: bytes) -> bytes | None:
        """The secret that we share with the owner of `public_key` for this transfer; None for a bad key."""
        point = curve_point(public_key)
        shared = None if point is None else identity.agree(point)
        if shared is None:
            return None
        return derive(shared + self._room.key, salt=self._root, info=b"mcast2 bulk pair")


def _nonce(level: int, index: int) -> bytes:
    return bytes((level,)) + index.to_bytes(11, "big")


class ControlSealer:
    """Seals control messages from one peer to another: `pair` is their secret, the names are those of
    TransferKeys.name()."""

    __slots__ = ("_cipher",)

    def __init__(self, pair: bytes, sender: bytes, receiver: bytes) -> None:
        self._cipher = ChaCha20Poly1305(derive(pair, info=b"mcast2 bulk control" + sender + receiver))

    def seal(self, head: ControlHead, content: bytes) -> bytes:
        """The whole datagram. Each counter may be used once."""
        encoded = encode_control_head(head)
        return encoded + self._cipher.encrypt(_control_nonce(head), content, encoded)

    def open(self, head: ControlHead, datagram: bytes) -> bytes | None:
        """The content of a datagram whose head is `head`; None if it is not from that sender to us."""
        try:
            return self._cipher.decrypt(
                _control_nonce(head), datagram[CONTROL_HEAD_SIZE:], datagram[:CONTROL_HEAD_SIZE]
            )
        except InvalidTag:
            return None


def _control_nonce(head: ControlHead) -> bytes:
    return bytes((head.kind, 0, 0, 0)) + head.counter.to_bytes(8, "big")
