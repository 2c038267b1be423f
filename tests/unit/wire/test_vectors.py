"""The vectors of docs/protocol.md against wire/, crypto/ and a decoder made from that page alone."""

from __future__ import annotations

from hashlib import sha512
from typing import Any, get_args

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from mcast.crypto import directed
from mcast.crypto.keys import Identity, verify
from mcast.crypto.merkle import build, leaf_hash
from mcast.crypto.rooms import Room, derive, keyed_room, open_room, passphrase_room
from mcast.crypto.seal import Opener, Sealer, session_key
from mcast.crypto.signed import frame_claim, sign_flush, sign_frame
from mcast.wire import frames as f
from mcast.wire.bodies import decode_bundle, decode_first, encode_bundle, encode_first
from mcast.wire.codec import SHAPES, TYPES, decode_frames, encode_frame, encode_frames
from mcast.wire.contents import Content, ContentKind, decode_content, encode_unsigned
from mcast.wire.header import Header, decode_header
from mcast.wire.ranges import decode_ranges, encode_ranges
from mcast.wire.reasons import DropReason
from mcast.wire.records import Kind, Record, decode_record, encode_record
from tests import tiny_decoder as tiny
from tests.unit.crypto.support import verify_record

Vector = dict[str, Any]


def cases(*kinds: str) -> pytest.MarkDecorator:
    found = tiny.vectors(*kinds)
    assert found, f"the page has no vectors of {kinds}"
    return pytest.mark.parametrize("vector", found, ids=[vector["title"] for vector in found])


def as_json(value: Any) -> Any:
    """A decoded value as the page writes it."""
    if isinstance(value, msgspec.Struct):
        return {name: as_json(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple):
        return [as_json(one) for one in value]
    return value.hex() if isinstance(value, bytes) else value


def bytes_of(vector: Vector, *names: str) -> list[bytes]:
    return [bytes.fromhex(vector[name]) for name in names]


@cases("identity")
def test_identity(vector: Vector) -> None:
    identity = Identity(bytes.fromhex(vector["seed"]))
    assert [identity.public_key, identity.origin] == bytes_of(vector, "public_key", "origin")


@cases("hkdf")
def test_hkdf(vector: Vector) -> None:
    secret, salt, info, output = bytes_of(vector, "secret", "salt", "info", "output")
    assert derive(secret, salt=salt, info=info, size=vector["size"]) == output
    assert tiny.hkdf(secret, salt, info, vector["size"]) == output


def make_room(vector: Vector) -> Room:
    if vector["type"] == "open":
        return open_room(vector["group"], vector["name"])
    if vector["type"] == "keyed":
        return keyed_room(*bytes_of(vector, "key", "id"))
    return passphrase_room(vector["passphrase"], vector["group"], vector["name"])


@cases("room")
def test_room(vector: Vector) -> None:
    room = make_room(vector)
    assert [room.id, room.key, room.key_id] == bytes_of(vector, "room_id", "room_key", "key_id")
    assert room.public == (vector["type"] == "open")
    assert tiny.hkdf(room.key, b"", b"mcast2 key id", 4) == room.key_id


@cases("datagram")
def test_datagram(vector: Vector) -> None:
    key, key_id, session, plain, datagram = bytes_of(vector, "room_key", "key_id", "session", "plain", "hex")
    room = Room(bytes(16), key, key_id, public=False)
    assert session_key(room, session).hex() == vector["session_key"]
    assert Sealer(room, session, vector["counter"]).seal(plain) == datagram
    header = decode_header(datagram)
    assert header == Header(key_id, session, vector["counter"])
    assert Opener(room).open(header, datagram) == plain
    assert tiny.open_datagram(key, datagram) == plain
    decoded = decode_frames(plain)
    assert isinstance(decoded, list)
    assert encode_frames(decoded, len(plain)) == plain
    assert len(tiny.frames(plain)) == len(decoded)


@cases("frame")
def test_frame(vector: Vector) -> None:
    encoded = bytes.fromhex(vector["hex"])
    decoded = decode_frames(encoded)
    assert isinstance(decoded, list)
    (frame,) = decoded
    assert as_json(frame) == vector["value"]
    assert encode_frame(frame) == encoded
    assert tiny.frames(encoded) == [(vector["type"], vector["value"])]


@cases("frame")
def test_frame_signature(vector: Vector) -> None:
    (frame,) = decode_frames(bytes.fromhex(vector["hex"]))
    assert isinstance(frame, f.Signed | f.Roster) == ("seed" in vector)
    if not isinstance(frame, f.Signed):
        return
    seed, room_id = bytes_of(vector, "seed", "room_id")
    identity = Identity(seed)
    assert sign_frame(identity, room_id, frame) == frame
    assert verify(identity.public_key, frame_claim(room_id, frame), frame.signature)


@cases("directed")
def test_directed(vector: Vector) -> None:
    names = ("sender_seed", "recipient_seed", "room_id", "scalar", "ephemeral", "data", "signature")
    ada_seed, bob_seed, room_id, scalar, ephemeral, data, signature = bytes_of(vector, *names)
    ada, bob = Identity(ada_seed), Identity(bob_seed)
    made = directed.sender_keys(ada, bob.public_key, scalar, room_id)
    assert made == (ephemeral, directed.MessageKeys(*bytes_of(vector, "seal_key", "ack_key")))
    assert directed.recipient_keys(bob, ada.public_key, ephemeral, room_id) == made[1]
    content = Content(ContentKind(vector["content_kind"]), vector["about"], data, signature)
    whole = b""
    for encoded in vector["frames"]:
        (frame,) = decode_frames(bytes.fromhex(encoded))
        assert isinstance(frame, f.Directed)
        whole += directed.open_fragment(made[1], frame) or b""
        claim = directed.content_claim(room_id, frame, encode_unsigned(content))
        assert verify(ada.public_key, claim, signature)
    assert decode_content(whole) == content
    (ack,) = decode_frames(bytes.fromhex(vector["ack"]))
    assert isinstance(ack, f.DirectedAck)
    assert directed.holds(made[1], ack)
    # The same with another library, by the page alone.
    seal_key, ack_key = tiny.directed_keys(
        room_id,
        _x25519(scalar, bob.public_key) + _x25519(_scalar(ada_seed), bob.public_key),
        ephemeral + ada.public_key + bob.public_key,
    )
    assert tiny.open_directed(seal_key, ack_key, vector["frames"], vector["ack"]) == whole


def _scalar(seed: bytes) -> bytes:
    return sha512(seed).digest()[:32]


def _x25519(scalar: bytes, public_key: bytes) -> bytes:
    """X25519 with the point of an Ed25519 key: u = (1 + y) / (1 - y), RFC 7748, 4.1."""
    p = 2**255 - 19
    y = int.from_bytes(public_key, "little") & (1 << 255) - 1
    u = (1 + y) * pow(1 - y, -1, p) % p
    point = X25519PublicKey.from_public_bytes(u.to_bytes(32, "little"))
    return X25519PrivateKey.from_private_bytes(scalar).exchange(point)


def signed_payloads(vector: Vector) -> list[tuple[int, bytes]]:
    if vector["kind"] == "tree":
        return [(1, bytes.fromhex(payload)) for payload in vector["payloads"].values()]
    return tiny.signed_payloads(bytes.fromhex(vector["plain" if vector["kind"] == "datagram" else "hex"]))


@cases("frame", "tree", "datagram")
def test_the_second_decoder_verifies_every_signature(vector: Vector) -> None:
    for number, payload in signed_payloads(vector):
        seed, room_id = bytes_of(vector, "seed", "room_id")
        public_key = Identity(seed).public_key
        assert tiny.genuine(public_key, room_id, number, payload)
        assert not tiny.genuine(public_key, bytes(16), number, payload)
        assert not tiny.genuine(Identity(bytes(32)).public_key, room_id, number, payload)


def test_every_signed_type_is_among_the_verified_vectors() -> None:
    found = {
        number for one in tiny.vectors("frame", "tree", "datagram") for number, _ in signed_payloads(one)
    }
    assert found == {f.FrameType.RECORD, *(TYPES[cls] for cls in get_args(f.Signed))}


def test_every_frame_type_has_a_vector_and_a_row() -> None:
    written = {vector["type"] for vector in tiny.vectors("frame")}
    assert written == set(TYPES.values()) == set(SHAPES) == set(f.FrameType) - {f.FrameType.RECORD}
    assert {number: name for number, (name, _, _) in tiny.FRAMES.items()} == {
        frame_type.value: frame_type.name for frame_type in f.FrameType
    }


@cases("ranges")
def test_ranges(vector: Vector) -> None:
    pairs = bytes.fromhex(vector["pairs"])
    assert [list(one) for one in decode_ranges(vector["base"], pairs)] == vector["ranges"]
    assert encode_ranges([(first, last) for first, last in vector["ranges"]]) == pairs
    cursor = tiny.Cursor(vector["base"].to_bytes(8, "big") + (len(pairs) // 2).to_bytes(2, "big") + pairs)
    assert tiny.ranges(cursor) == vector["ranges"]


def write(value: Vector) -> bytes:
    return encode_record(
        origin=bytes.fromhex(value["origin"]),
        incarnation=value["incarnation"],
        sequence=value["sequence"],
        timestamp=value["timestamp"],
        kind=Kind(value["kind"]),
        body=bytes.fromhex(value["body"]),
        flags=value["flags"],
    )


@cases("record")
def test_record(vector: Vector) -> None:
    value, encoded = vector["value"], bytes.fromhex(vector["hex"])
    assert write(value) == encoded
    assert tiny.record(encoded) == value
    body = bytes.fromhex(value["body"])
    wanted = [bytes.fromhex(message) for message in vector["messages"]]
    assert tiny.messages(value["kind"], body) == wanted
    if value["kind"] == Kind.BUNDLE:
        assert decode_bundle(body) == wanted
        assert encode_bundle(wanted) == body


@cases("fragments")
def test_fragments(vector: Vector) -> None:
    message = bytes.fromhex(vector["message"])
    assert [write(value).hex() for value in vector["values"]] == vector["hex"]
    head, *rest = (bytes.fromhex(value["body"]) for value in vector["values"])
    first = decode_first(head)
    assert isinstance(first, tuple)
    total, data = first
    assert encode_first(total, data) == head
    assert data + b"".join(rest) == message
    assert total == len(message)


def root_over(records: list[bytes]) -> bytes:
    return records[0] if len(records) == 1 else build([leaf_hash(record) for record in records])[0]


@cases("tree")
def test_tree(vector: Vector) -> None:
    seed, room_id, root, signature = bytes_of(vector, "seed", "room_id", "root", "signature")
    records = [bytes.fromhex(record) for record in vector["records"]]
    identity = Identity(seed)
    assert root_over(records) == root
    payloads = sign_flush(identity, room_id, vector["incarnation"], records)
    for index, written in vector["payloads"].items():
        payload = bytes.fromhex(written)
        assert payloads[int(index)] == payload
        record = decode_record(payload)
        assert record.signed == records[int(index)]
        assert verify_record(identity.public_key, room_id, record)
        value, found, proof = tiny.proven(payload)
        assert (value, found, proof) == (tiny.record(record.signed), root, signature)


@pytest.mark.parametrize("size", range(1, 33))
def test_both_decoders_find_one_root_in_every_tree(size: int) -> None:
    identity = Identity(bytes(32))
    records = [
        encode_record(
            origin=identity.origin,
            incarnation=1,
            sequence=number,
            timestamp=0,
            kind=Kind.MESSAGE,
            body=b"%d" % number,
        )
        for number in range(1, size + 1)
    ]
    root = root_over(records)
    payloads = sign_flush(identity, bytes(16), 1, records)
    assert {tiny.proven(payload)[1] for payload in payloads} == {root}
    assert all(verify_record(identity.public_key, bytes(16), decode_record(one)) for one in payloads)


@cases("refused")
def test_refused(vector: Vector) -> None:
    plain = bytes.fromhex(vector["hex"])
    assert decode_frames(plain) == DropReason(vector["reason"])
    with pytest.raises(tiny.Refused, match=f"^{vector['reason']}$"):
        tiny.frames(plain)


def test_the_page_lists_every_drop_reason() -> None:
    _, _, tables = tiny.PAGE.partition("## 7. ")
    tables = tables.partition("## 8. ")[0]
    assert sorted(reason for reason in DropReason if f"\n| {reason} |" not in tables) == []


@cases("tree")
def test_a_record_is_the_same_in_a_frame(vector: Vector) -> None:
    payload = bytes.fromhex(vector["payloads"]["0"])
    encoded = bytes((1, 0)) + len(payload).to_bytes(2, "big") + payload
    decoded = decode_frames(encoded)
    assert isinstance(decoded, list)
    assert isinstance(decoded[0], Record)
    assert encode_frame(decoded[0]) == encoded
    assert tiny.frames(encoded) == [(1, tiny.proven(payload))]
