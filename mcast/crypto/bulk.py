"""The keys of a bulk transfer: its tag and multicast group, the seal of its items, and of control messages.

Everything follows from the room's key and the root of the transfer's hash tree. Under one root an item has
one content, so its level and index can be the nonce: whoever sends it again seals the same bytes. Control
messages are sealed with a key that two peers agree on, so nobody else can make or read them.

A private transfer has a secret besides, and what names it in the room does not tell its root: the members who
are not told the secret cannot read what is sent, nor does the name tell them whether they have the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from mcast.wire.bulk import (
    BULK_TAG_SIZE,
    CONTROL_HEAD_SIZE,
    NAME_SIZE,
    BulkNotice,
    ControlHead,
    NoticeKind,
    Share,
    decode_body,
    encode_body,
    encode_control_head,
)
from mcast.wire.limits import KEY_SIZE

from .keys import Identity, curve_point, origin_of
from .rooms import Room, derive


class TransferKeys:
    """The keys of one transfer in one room. `tag` is in each of its datagrams, `place` (2 bytes) chooses its
    multicast group. `root` names it, `secret` is that of a private one."""

    __slots__ = ("_cipher", "_key", "_root", "place", "tag")

    def __init__(self, room: Room, root: bytes, secret: bytes = b"") -> None:
        self._key, self._root = room.key + secret, root
        known = derive(self._key, salt=root, info=b"mcast2 bulk", size=KEY_SIZE + BULK_TAG_SIZE + 2)
        self.tag, self.place = known[KEY_SIZE : KEY_SIZE + BULK_TAG_SIZE], known[KEY_SIZE + BULK_TAG_SIZE :]
        open_to_all = room.public and not secret
        self._cipher = None if open_to_all else ChaCha20Poly1305(known[:KEY_SIZE])

    @property
    def sealed(self) -> bool:
        """Whether items are sealed: in a room with a key, and of a private transfer."""
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
        return derive(self._key, salt=self._root, info=info, size=NAME_SIZE)

    def pair(self, identity: Identity, public_key: bytes) -> bytes | None:
        """The secret that we share with the owner of `public_key` for this transfer; None for a bad key."""
        shared = _agree(identity, public_key)
        return shared and derive(shared + self._key, salt=self._root, info=b"mcast2 bulk pair")


def _agree(identity: Identity, public_key: bytes) -> bytes | None:
    """The secret that two identities share; None for a bad key."""
    point = curve_point(public_key)
    return None if point is None else identity.agree(point)


class PrivateOffer(msgspec.Struct, frozen=True):
    """An offer for some identities, opened: `offer` has the true root, `root` names it in the room. `readers`
    are the origins of its author and of those it is for. Its repr shows no secret."""

    root: bytes
    secret: bytes
    offer: BulkNotice
    readers: frozenset[bytes]

    def __repr__(self) -> str:
        return f"PrivateOffer({self.root.hex()})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("root", self.root.hex())]


_ONCE = bytes(12)
"""The nonce of what a key seals once: whoever seals it again seals the same."""


def seal_offer(
    identity: Identity, room: Room, offer: BulkNotice, keys: Mapping[bytes, bytes]
) -> tuple[PrivateOffer, BulkNotice]:
    """An offer for the identities in `keys`, origin to public key, and the notice to say in the room.

    The same offer by the same identity to the same ones has the same secret, so that it can be resumed.
    ValueError for a bad key.
    """
    body = encode_body(offer)
    info = b"mcast2 bulk secret" + room.id + bytes((len(keys),)) + b"".join(sorted(keys)) + body
    secret = derive(identity.seed, info=info)
    private = PrivateOffer(_private_root(secret, body), secret, offer, frozenset({identity.origin, *keys}))
    shares = []
    for origin, public_key in keys.items():
        pair = _agree(identity, public_key)
        if pair is None:
            raise ValueError("a key is no point of the curve")
        shares.append(Share(origin, _share_cipher(pair, room, private.root).encrypt(_ONCE, secret, None)))
    sealed = _body_cipher(secret, private.root).encrypt(_ONCE, body, None)
    notice = BulkNotice(NoticeKind.PRIVATE, private.root, offer.port, shares=tuple(shares), sealed=sealed)
    return private, notice


def open_offer(identity: Identity, room: Room, notice: BulkNotice, public_key: bytes) -> PrivateOffer | None:
    """A private offer of the owner of `public_key`; None if it is not for us, or not what it should be."""
    share = next((share.sealed for share in notice.shares if share.origin == identity.origin), None)
    pair = None if share is None else _agree(identity, public_key)
    if share is None or pair is None:
        return None
    try:
        secret = _share_cipher(pair, room, notice.root).decrypt(_ONCE, share, None)
        body = _body_cipher(secret, notice.root).decrypt(_ONCE, notice.sealed, None)
    except InvalidTag:
        return None
    offer = decode_body(body)
    if _private_root(secret, body) != notice.root or not isinstance(offer, BulkNotice):
        return None
    readers = frozenset({origin_of(public_key), *(share.origin for share in notice.shares)})
    return PrivateOffer(notice.root, secret, msgspec.structs.replace(offer, port=notice.port), readers)


def _private_root(secret: bytes, body: bytes) -> bytes:
    return sha256(b"mcast2 bulk private" + secret + body).digest()


def _share_cipher(pair: bytes, room: Room, root: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(derive(pair + room.key, salt=root, info=b"mcast2 bulk share"))


def _body_cipher(secret: bytes, root: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(derive(secret, salt=root, info=b"mcast2 bulk offer"))


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
