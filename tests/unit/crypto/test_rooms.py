"""Room keys, and HKDF against RFC 5869, appendix A."""

from __future__ import annotations

import pytest

from mcast.crypto.rooms import derive, keyed_room, open_room, passphrase_room, with_open_twin

# (secret, salt, info, output) of A.1, A.2, A.3
RFC_5869 = [
    (
        "0b" * 22,
        "000102030405060708090a0b0c",
        "f0f1f2f3f4f5f6f7f8f9",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    (
        bytes(range(0x50)).hex(),
        bytes(range(0x60, 0xB0)).hex(),
        bytes(range(0xB0, 0x100)).hex(),
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
        "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
        "cc30c58179ec3e87c14c01d5c1f3434f1d87",
    ),
    (
        "0b" * 22,
        "",
        "",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
]


@pytest.mark.parametrize("vector", RFC_5869)
def test_rfc_5869(vector: tuple[str, ...]) -> None:
    secret, salt, info, output = map(bytes.fromhex, vector)
    assert derive(secret, salt=salt, info=info, size=len(output)) == output


def test_no_two_places_share_a_room() -> None:
    places = [
        ("230.0.0.1:28003", "lobby"),
        ("230.0.0.1:28003", "Lobby"),
        ("230.0.0.1:2800", "3lobby"),
        ("", ""),
    ]
    rooms = [open_room(*place) for place in places]
    for field in ("id", "key", "key_id"):
        assert len({getattr(room, field) for room in rooms}) == len(rooms)


def test_open_and_passphrase_rooms_share_nothing() -> None:
    opened = open_room("230.0.0.1:28003", "lobby")
    passed = passphrase_room("lobby", "230.0.0.1:28003", "lobby")
    assert opened.public
    assert not passed.public
    assert len({opened.id, opened.key, passed.id, passed.key, opened.key[:16], passed.key[:16]}) == 6


def test_the_room_id_survives_a_new_key() -> None:
    before, after = keyed_room(bytes(32), bytes(16)), keyed_room(b"\1" * 32, bytes(16))
    assert before.id == after.id
    assert before.key_id != after.key_id


@pytest.mark.parametrize(("key", "room_id"), [(31, 16), (33, 16), (32, 15), (32, 17)])
def test_keys_of_another_size(key: int, room_id: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        keyed_room(bytes(key), bytes(room_id))


def test_repr_shows_no_key() -> None:
    room = keyed_room(bytes(range(32)), bytes(16))
    assert repr(room.key) not in repr(room)
    assert "key=" not in repr(room)
    assert [name for name, _ in room.__rich_repr__()] == ["id", "key_id", "public"]


def test_a_keyed_room_knows_the_open_room_of_its_name() -> None:
    keyed = keyed_room(bytes(32), bytes(16))
    twin = with_open_twin(keyed, "230.0.0.1:28003", "lab")
    assert twin.lookalikes == {open_room("230.0.0.1:28003", "lab").key_id: "lab"}
    assert with_open_twin(keyed, "230.0.0.1:28003", "") is keyed
