"""The keys of rooms on the disk."""

from __future__ import annotations

import stat
import time
from pathlib import Path

import pytest

from mcast.cli import keyring
from mcast.crypto.rooms import passphrase_room
from mcast.errors import McastError, UsageError

WORDS = "five words that nobody guesses"


def test_a_key_is_kept_and_found(home: Path) -> None:
    assert keyring.find("lab") is None
    made = keyring.save("lab", WORDS, None)
    room = passphrase_room(WORDS, "230.0.0.1:28003", "lab")
    assert (made.material.key, made.material.room_id) == (room.key, room.id)
    found = keyring.find("lab")
    assert found is not None
    assert (found.secret, found.material) == (WORDS, made.material)
    assert keyring.rooms() == ["lab"]
    assert WORDS not in repr(found)
    (file,) = (home / "config" / "mcast" / "keys").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.usefixtures("home")
def test_a_key_depends_on_the_group_and_the_room() -> None:
    keys = {
        keyring.save(room, WORDS, group, replace=True).material.key
        for room in ("lab", "Lab", "labs")
        for group in (None, "230.0.0.2")
    }
    assert len(keys) == 6


@pytest.mark.usefixtures("home")
def test_the_default_group_is_one_group_whichever_half_is_named() -> None:
    keys = {keyring.save("lab", WORDS, group).material.key for group in (None, "230.0.0.1", "ff12::6d63")}
    assert len(keys) == 1


@pytest.mark.usefixtures("home")
def test_another_key_is_not_replaced_by_mistake() -> None:
    first = keyring.save("lab", WORDS, None)
    keyring.save("lab", WORDS, None)
    with pytest.raises(UsageError, match=r"another key for the room lab.*--replace"):
        keyring.save("lab", "another secret", None)
    assert keyring.find("lab") == first
    second = keyring.save("lab", "another secret", None, replace=True)
    assert keyring.find("lab") == second


def test_a_room_of_any_name_stays_in_its_place(home: Path) -> None:
    names = ["..", ".", "a/b", "../up", "café", "\u6771\u4eac", "con", "%2E", "x" * 64]
    for name in names:
        keyring.save(name, WORDS, None)
    assert keyring.rooms() == sorted(names)
    assert len(list((home / "config" / "mcast" / "keys").iterdir())) == len(names)
    for name in names:
        assert keyring.remove(name)
    assert keyring.rooms() == []
    assert not keyring.remove("lab")


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb", " lab", "\x1b[31m"])
def test_some_names_cannot_have_a_key(name: str) -> None:
    with pytest.raises(UsageError, match="cannot have a key"):
        keyring.check_name(name)


@pytest.mark.parametrize(
    ("passphrase", "why"),
    [
        ("short", "has 5 characters"),
        ("aaaaaaaaaaaaaaaaaaaa", "only 1 different"),
        ("abcabcabcABCABCABC", "only 3 different"),
    ],
)
def test_a_passphrase_that_can_be_guessed_is_refused(passphrase: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        keyring.check_passphrase(passphrase)


def test_a_good_passphrase_is_taken() -> None:
    assert keyring.check_passphrase(WORDS) == WORDS


def test_a_place_that_cannot_be_written_is_one_line_with_a_remedy(home: Path) -> None:
    (home / "config").mkdir(exist_ok=True)
    (home / "config" / "mcast").write_text("a file")
    with pytest.raises(McastError, match=r"cannot use .*make it writable"):
        keyring.save("lab", WORDS, None)


@pytest.mark.usefixtures("home")
def test_a_replaced_key_stays_in_its_room_and_is_accepted_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(UsageError, match="there is no key for the room lab to replace"):
        keyring.rotate("lab", "another secret", None)
    first = keyring.save("lab", WORDS, None)
    assert first.overlapping(time.time()) == {}
    second = keyring.rotate("lab", "another secret", None)
    assert second.material.room_id == first.material.room_id
    assert second.material.key != first.material.key
    found = keyring.find("lab")
    assert found is not None
    assert (found.material, found.rotated) == (second.material, True)
    overlapping = found.overlapping(time.time())
    assert overlapping["former_key"] == first.material.key
    assert 500 < overlapping["overlap"] < 601
    assert keyring.rotate("lab", "another secret", None) == found  # the same words, typed twice
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 601)
    later = keyring.find("lab")
    assert later is not None
    assert later.overlapping(time.time()) == {}
    assert (later.material, later.rotated) == (second.material, True)


@pytest.mark.usefixtures("home")
def test_who_comes_after_a_change_enters_the_same_room() -> None:
    keyring.save("lab", WORDS, None)
    rotated = keyring.rotate("lab", "another secret", None)
    room_id = rotated.material.room_id
    assert room_id is not None
    keyring.remove("lab")
    assert keyring.enter("lab", "another secret", room_id, None).material == rotated.material
    with pytest.raises(UsageError, match="another key for the room lab"):
        keyring.enter("lab", "a third secret", room_id, None)
    assert keyring.stamp("lab") > 0
    assert keyring.stamp("nowhere") == 0
