"""Flush trees and signatures: what they hold to, and what no change gets past."""

from __future__ import annotations

from hashlib import sha256
from random import Random

import msgspec
import pytest

from mcast.crypto.keys import Identity
from mcast.crypto.merkle import Tree, build, leaf_hash, root_of
from mcast.crypto.signed import (
    flush_claim,
    frame_claim,
    holds,
    sign_flush,
    sign_frame,
    tree_of,
    whole_claim,
)
from mcast.wire import frames as f
from mcast.wire.codec import decode_frames, encode_frame
from mcast.wire.reasons import Malformed
from mcast.wire.records import Kind, decode_record, encode_record
from tests.tiny_decoder import vectors
from tests.unit.crypto.support import verify_frame, verify_record

IDENTITY, ROOM_ID = Identity(bytes(range(32))), bytes(range(16))


def flush(size: int, incarnation: int = 9) -> list[bytes]:
    records = [
        encode_record(
            origin=IDENTITY.origin,
            incarnation=incarnation,
            sequence=n,
            timestamp=n,
            kind=Kind.MESSAGE,
            body=b"%d" % n,
        )
        for n in range(1, size + 1)
    ]
    return sign_flush(IDENTITY, ROOM_ID, incarnation, records)


def merkle(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1, as it is written there."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + merkle(leaves[:split]) + merkle(leaves[split:])).digest()[:16]


@pytest.mark.parametrize("size", range(1, 33))
def test_trees_are_those_of_rfc_6962(size: int) -> None:
    leaves = [leaf_hash(b"%d" % number) for number in range(size)]
    root, paths = build(leaves)
    assert root == merkle(leaves)
    for index, path in enumerate(paths):
        assert root_of(leaves[index], index, size, path) == root


@pytest.mark.parametrize("size", range(1, 33))
def test_what_is_known_of_a_tree_judges_as_a_climb_to_its_root_does(size: int) -> None:
    random = Random(size)
    leaves = [leaf_hash(b"%d" % number) for number in range(size)]
    _, paths = build(leaves)
    order = random.sample(range(size), size)
    tree = Tree(leaves[order[0]], order[0], size, paths[order[0]])
    for index in order * 2:
        leaf, path = leaves[index], paths[index]
        for at in range(len(path)):
            spoilt = path[:at] + bytes((path[at] ^ 1,)) + path[at + 1 :]
            assert not tree.holds(leaf, index, spoilt)
        assert not tree.holds(leaf_hash(b"forged"), index, path)
        assert tree.holds(leaf, index, path)


def test_a_verified_record_proves_the_others_of_its_flush() -> None:
    first, *others = (decode_record(payload) for payload in flush(5))
    tree = tree_of(first)
    assert all(holds(tree, record) for record in others)
    assert not any(holds(tree, decode_record(payload)) for payload in flush(4))
    assert not holds(tree, decode_record(flush(5, incarnation=10)[1]))


@pytest.mark.parametrize("size", [0, 33])
def test_a_flush_has_1_to_32_records(size: int) -> None:
    with pytest.raises(ValueError, match="1 to 32"):
        build([bytes(16)] * size)


def test_a_leaf_is_no_node() -> None:
    left, right = bytes(16), b"\1" * 16
    root, _ = build([left, right])
    assert leaf_hash(left + right) != root


@pytest.mark.parametrize("size", [1, 2, 3, 32])
def test_one_claim_a_flush(size: int) -> None:
    records = [decode_record(payload) for payload in flush(size)]
    assert len({flush_claim(ROOM_ID, record) for record in records}) == 1
    assert len({record.signature for record in records}) == 1
    assert all(verify_record(IDENTITY.public_key, ROOM_ID, record) for record in records)


@pytest.mark.parametrize("size", range(2, 33))
def test_a_whole_flush_has_the_claim_of_each_record(size: int) -> None:
    records = [decode_record(payload) for payload in flush(size)]
    claim = flush_claim(ROOM_ID, records[0])
    assert whole_claim(ROOM_ID, records) == claim
    assert whole_claim(ROOM_ID, records[:-1]) is None
    assert whole_claim(ROOM_ID, records[1:]) is None
    assert whole_claim(ROOM_ID, records[::-1]) is None
    assert whole_claim(ROOM_ID, [*records, records[0]]) is None
    assert whole_claim(bytes(16), records) != claim


def test_a_lone_record_is_asked_for_its_own_claim() -> None:
    assert whole_claim(ROOM_ID, [decode_record(flush(1)[0])]) is None


@pytest.mark.parametrize("place", range(3))
def test_every_bit_flip_in_a_record_of_a_whole_flush_is_refused(place: int) -> None:
    payloads = flush(3)
    records = [decode_record(payload) for payload in payloads]
    claim = whole_claim(ROOM_ID, records)
    for bit in range(8 * len(payloads[place])):
        changed = bytearray(payloads[place])
        changed[bit // 8] ^= 1 << bit % 8
        try:
            records[place] = decode_record(bytes(changed))
        except Malformed:
            continue
        assert whole_claim(ROOM_ID, records) != claim


def test_nobody_signs_for_another_in_a_flush_of_his() -> None:
    mine, other = (
        encode_record(origin=origin, incarnation=9, sequence=2, timestamp=2, kind=Kind.MESSAGE, body=b"x")
        for origin in (IDENTITY.origin, bytes(16))
    )
    records = [decode_record(payload) for payload in sign_flush(IDENTITY, ROOM_ID, 9, [mine, other])]
    assert whole_claim(ROOM_ID, records) is None


@pytest.mark.parametrize("size", [1, 3])
def test_every_bit_flip_in_a_record_is_refused(size: int) -> None:
    payload = flush(size)[-1]
    for bit in range(8 * len(payload)):
        changed = bytearray(payload)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            record = decode_record(bytes(changed))
        except Malformed:
            continue
        assert not verify_record(IDENTITY.public_key, ROOM_ID, record)


def test_a_record_stays_in_its_room_and_with_its_author() -> None:
    record = decode_record(flush(1)[0])
    assert not verify_record(IDENTITY.public_key, bytes(16), record)
    assert not verify_record(Identity(bytes(32)).public_key, ROOM_ID, record)


def signed_vectors() -> list[f.Signed]:
    found = []
    for vector in vectors("frame"):
        decoded = decode_frames(bytes.fromhex(vector["hex"]))
        assert isinstance(decoded, list)
        if isinstance(decoded[0], f.Signed):
            found.append(sign_frame(IDENTITY, ROOM_ID, decoded[0]))
    return found


@pytest.mark.parametrize("frame", signed_vectors(), ids=lambda frame: type(frame).__name__)
def test_every_bit_flip_in_a_frame_is_refused(frame: f.Signed) -> None:
    assert verify_frame(IDENTITY.public_key, ROOM_ID, frame)
    assert not verify_frame(IDENTITY.public_key, bytes(16), frame)
    encoded = encode_frame(frame)
    for bit in range(8 * 4, 8 * len(encoded)):
        changed = bytearray(encoded)
        changed[bit // 8] ^= 1 << bit % 8
        decoded = decode_frames(bytes(changed))
        if isinstance(decoded, list):
            (forged,) = decoded
            assert isinstance(forged, f.Signed)
            assert not verify_frame(IDENTITY.public_key, ROOM_ID, forged)


def test_an_unsigned_frame_is_not_verified() -> None:
    frame = f.Goodbye(IDENTITY.origin, 1, 2, 3)
    assert not verify_frame(IDENTITY.public_key, ROOM_ID, frame)
    assert msgspec.structs.replace(sign_frame(IDENTITY, ROOM_ID, frame), signature=b"") == frame


def test_no_two_types_sign_the_same_bytes() -> None:
    prefixes = {frame_claim(ROOM_ID, frame)[:16] for frame in signed_vectors()}
    prefixes.add(flush_claim(ROOM_ID, decode_record(flush(1)[0]))[:16])
    assert len(prefixes) == 9
    assert {len(prefix.rstrip(b"\0")) for prefix in prefixes} == {16}
