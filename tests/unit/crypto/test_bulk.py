from __future__ import annotations

from mcast.crypto.bulk import ControlSealer, TransferKeys
from mcast.crypto.keys import Identity
from mcast.crypto.rooms import keyed_room, open_room
from mcast.wire.bulk import BulkKind, ControlHead, decode_control_head

OPEN = open_room("230.0.0.1:28003", "")
KEYED = keyed_room(bytes(32), bytes(16))
ROOT, OTHER = bytes(32), bytes([1]) * 32
ADA, BOB = Identity(b"a" * 32), Identity(b"b" * 32)


def test_items_of_an_open_room_are_not_sealed() -> None:
    keys = TransferKeys(OPEN, ROOT)
    assert not keys.sealed
    assert keys.seal(0, 5, b"block") == b"block" == keys.open(0, 5, b"block")


def test_items_of_a_keyed_room_are_sealed_the_same_by_everybody() -> None:
    keys, again = TransferKeys(KEYED, ROOT), TransferKeys(KEYED, ROOT)
    sealed = keys.seal(0, 5, b"block")
    assert keys.sealed
    assert b"block" not in sealed
    assert sealed == again.seal(0, 5, b"block")
    assert again.open(0, 5, sealed) == b"block"
    assert keys.open(0, 6, sealed) is None
    assert keys.open(1, 5, sealed) is None
    assert TransferKeys(KEYED, OTHER).open(0, 5, sealed) is None


def test_the_tag_tells_only_members_which_content_it_is() -> None:
    tags = {TransferKeys(room, root).tag for room in (OPEN, KEYED) for root in (ROOT, OTHER)}
    assert len(tags) == 4
    assert all(len(tag) == 4 for tag in tags)
    assert len(TransferKeys(OPEN, ROOT).place) == 2


def test_control_messages_are_for_two() -> None:
    keys = TransferKeys(OPEN, ROOT)
    pair = keys.pair(ADA, BOB.public_key)
    assert pair is not None
    assert pair == keys.pair(BOB, ADA.public_key)
    assert keys.pair(ADA, bytes(32)) is None
    ada, bob = keys.name(ADA.origin, 1), keys.name(BOB.origin, 1)
    assert ada != keys.name(ADA.origin, 2)
    head = ControlHead(BulkKind.REPORT, keys.tag, ada, 1)
    datagram = ControlSealer(pair, ada, bob).seal(head, b"hello")
    assert decode_control_head(datagram) == head
    assert ControlSealer(pair, ada, bob).open(head, datagram) == b"hello"
    assert ControlSealer(pair, bob, ada).open(head, datagram) is None
