"""Sealing a message from one peer to another: only these two can read it, and only they could have made it.

The keys come from two X25519 agreements: of a key pair made for this message with the recipient's identity,
and of both identities. So nobody else can make a fragment or an acknowledgement. The content is signed too,
so that who steals the recipient's key cannot make messages to it.
"""

from __future__ import annotations

from hmac import compare_digest, digest

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from mcast.wire.codec import head
from mcast.wire.frames import Directed, DirectedAck, FrameType
from mcast.wire.limits import KEY_SIZE, TAG_SIZE

from .keys import Identity, curve_point, x25519, x25519_public
from .rooms import derive

_INFO = b"mcast2 directed"
_CLAIM = b"mcast2 signed\0\0" + bytes((FrameType.DIRECTED,))
_NO_MAC = bytes(TAG_SIZE)


class MessageKeys(msgspec.Struct, frozen=True):
    """The two secrets of one message: `seal` is for its fragments, `ack` for its acknowledgements."""

    seal: bytes
    ack: bytes


def sender_keys(
    identity: Identity, recipient: bytes, scalar: bytes, room_id: bytes
) -> tuple[bytes, MessageKeys] | None:
    """The ephemeral point and the keys of a message to `recipient` (a public key).

    `scalar` is 32 fresh random bytes. None if the public key is bad.
    """
    point = curve_point(recipient)
    if point is None:
        return None
    ephemeral = x25519_public(scalar)
    secrets = x25519(scalar, point), identity.agree(point)
    keys = _derive(*secrets, room_id, ephemeral + identity.public_key + recipient)
    return None if keys is None else (ephemeral, keys)


def recipient_keys(identity: Identity, sender: bytes, ephemeral: bytes, room_id: bytes) -> MessageKeys | None:
    """The keys of a message that came from `sender` (a public key); None if a key is bad."""
    point = curve_point(sender)
    if point is None:
        return None
    secrets = identity.agree(ephemeral), identity.agree(point)
    return _derive(*secrets, room_id, ephemeral + sender + identity.public_key)


def _derive(first: bytes | None, second: bytes | None, room_id: bytes, names: bytes) -> MessageKeys | None:
    if first is None or second is None:
        return None
    both = derive(first + second, salt=room_id, info=_INFO + names, size=2 * KEY_SIZE)
    return MessageKeys(both[:KEY_SIZE], both[KEY_SIZE:])


def seal_fragment(keys: MessageKeys, frame: Directed, data: bytes) -> Directed:
    """`frame` with `data` sealed in it. A message has one key, so each of its fragments has another nonce."""
    sealed = ChaCha20Poly1305(keys.seal).encrypt(_nonce(frame), data, head(frame))
    return msgspec.structs.replace(frame, sealed=sealed)


def open_fragment(keys: MessageKeys, frame: Directed) -> bytes | None:
    """What is sealed in a fragment; None if it was not made with these keys."""
    try:
        return ChaCha20Poly1305(keys.seal).decrypt(_nonce(frame), frame.sealed, head(frame))
    except InvalidTag:
        return None


def _nonce(frame: Directed) -> bytes:
    return frame.index.to_bytes(12, "big")


def sign_ack(keys: MessageKeys, frame: DirectedAck) -> DirectedAck:
    """`frame` with its MAC."""
    return msgspec.structs.replace(frame, mac=_mac(keys, frame))


def holds(keys: MessageKeys, frame: DirectedAck) -> bool:
    """Whether the MAC of an acknowledgement was made with these keys."""
    return compare_digest(_mac(keys, frame), frame.mac)


def _mac(keys: MessageKeys, frame: DirectedAck) -> bytes:
    covered = head(msgspec.structs.replace(frame, mac=_NO_MAC)) + frame.got
    return digest(keys.ack, covered, "sha256")[:TAG_SIZE]


def content_claim(room_id: bytes, frame: Directed, content: bytes) -> bytes:
    """What the signature in a message covers: its room, sender, recipient, number, time, and content.

    The index and count in `frame` do not matter.
    """
    whole = msgspec.structs.replace(frame, index=0, count=1)
    return _CLAIM + room_id + head(whole) + content
