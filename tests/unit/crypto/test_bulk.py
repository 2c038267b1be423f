from __future__ import annotations

import msgspec
import pytest

from mcast.crypto.bulk import ControlSealer, TransferKeys, open_offer, seal_offer
from mcast.crypto.keys import Identity
from mcast.crypto.rooms import Room, keyed_room, open_room
from mcast.wire.bulk import (
    BulkKind,
    BulkNotice,
    ControlHead,
    NoticeKind,
    Share,
    decode_control_head,
    encode_notice,
)

OPEN = open_room("230.0.0.1:28003", "")
KEYED = keyed_room(bytes(32), bytes(16))
ROOT, OTHER = bytes(32), bytes([1]) * 32
ADA, BOB, EVE = Identity(b"a" * 32), Identity(b"b" * 32), Identity(b"e" * 32)
OFFER = BulkNotice(NoticeKind.OFFER, ROOT, 4000, 5, 1, 1420, 1, "diary.txt")
LONGER = msgspec.structs.replace(OFFER, text="a much longer title")
FOR_BOB = {BOB.origin: BOB.public_key}


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


@pytest.mark.parametrize("room", [OPEN, KEYED])
def test_a_private_offer_is_for_those_it_names(room: Room) -> None:
    private, notice = seal_offer(ADA, room, OFFER, FOR_BOB)
    assert (notice.kind, notice.root, notice.port) == (NoticeKind.PRIVATE, private.root, 4000)
    assert b"diary" not in encode_notice(notice)
    assert private.root != ROOT
    assert open_offer(BOB, room, notice, ADA.public_key) == private
    assert private.offer == OFFER
    assert private.readers == {ADA.origin, BOB.origin}
    assert len(notice.sealed) == len(seal_offer(ADA, room, LONGER, FOR_BOB)[1].sealed)
    shown = repr(private) + repr(private.__rich_repr__())
    assert private.secret.hex() not in shown
    assert repr(private.secret) not in shown
    assert open_offer(EVE, room, notice, ADA.public_key) is None
    assert open_offer(BOB, room, notice, EVE.public_key) is None
    assert open_offer(BOB, room, notice, bytes(32)) is None


def test_the_same_offer_to_the_same_peers_goes_on() -> None:
    again = msgspec.structs.replace(OFFER, port=5000)
    first, second = (seal_offer(ADA, OPEN, offer, FOR_BOB)[0] for offer in (OFFER, again))
    assert (first.root, first.secret) == (second.root, second.secret)
    others = [
        seal_offer(ADA, OPEN, OFFER, {**FOR_BOB, EVE.origin: EVE.public_key}),
        seal_offer(EVE, OPEN, OFFER, FOR_BOB),
        seal_offer(ADA, KEYED, OFFER, FOR_BOB),
        seal_offer(ADA, OPEN, msgspec.structs.replace(OFFER, text="other"), FOR_BOB),
    ]
    assert len({first.secret, *(private.secret for private, _ in others)}) == 5


def test_the_secret_is_for_one_offer() -> None:
    _, notice = seal_offer(ADA, OPEN, OFFER, FOR_BOB)
    other, notice2 = seal_offer(ADA, OPEN, msgspec.structs.replace(OFFER, text="other"), FOR_BOB)
    for mixed in (
        msgspec.structs.replace(notice, root=other.root),
        msgspec.structs.replace(notice, sealed=notice2.sealed),
        msgspec.structs.replace(notice, shares=notice2.shares),
        msgspec.structs.replace(notice, shares=(Share(BOB.origin, bytes(48)),)),
    ):
        assert open_offer(BOB, OPEN, mixed, ADA.public_key) is None


def test_what_is_sealed_must_be_an_offer() -> None:
    for other in (BulkNotice(NoticeKind.ACCEPT, ROOT), msgspec.structs.replace(OFFER, block_size=9)):
        _, notice = seal_offer(ADA, OPEN, other, FOR_BOB)
        assert open_offer(BOB, OPEN, notice, ADA.public_key) is None
    with pytest.raises(ValueError, match="curve"):
        seal_offer(ADA, OPEN, OFFER, {EVE.origin: bytes(32)})


def test_a_private_transfer_is_sealed_in_an_open_room() -> None:
    private, _ = seal_offer(ADA, OPEN, OFFER, FOR_BOB)
    keys = TransferKeys(OPEN, private.root, private.secret)
    assert keys.sealed
    sealed = keys.seal(0, 5, b"block")
    assert b"block" not in sealed
    assert keys.open(0, 5, sealed) == b"block"
    known = TransferKeys(OPEN, private.root)
    assert (known.tag, known.place) != (keys.tag, keys.place)
    assert known.name(BOB.origin, 1) != keys.name(BOB.origin, 1)
    assert known.pair(EVE, ADA.public_key) != keys.pair(EVE, ADA.public_key)
