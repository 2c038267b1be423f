"""Private messages that wait."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcast.errors import McastError
from mcast.store import letters as module
from mcast.store.database import Database
from mcast.store.letters import CLAIM, LIFE, MOST, Letters

ROOM, OTHER = b"r" * 16, b"o" * 16
BOB, CYD = b"b" * 16, b"c" * 16


@pytest.fixture
def letters(tmp_path: Path) -> Letters:
    return Letters(tmp_path / "letters.db")


def test_a_letter_waits_in_its_room_until_it_is_delivered(letters: Letters, tmp_path: Path) -> None:
    letters.add(ROOM, BOB, "bob", b"one", 100.0, letter=1)
    letters.add(OTHER, BOB, "bob", b"elsewhere", 101.0, letter=1)
    letters.add(ROOM, CYD, "cyd", b"for cyd", 102.0, letter=1)
    letters.add(ROOM, BOB, "bob", b"two", 103.0, letter=1)
    letters.close()
    assert (tmp_path / "letters.db").stat().st_mode & 0o777 == 0o600
    again = Letters(tmp_path / "letters.db")
    assert [letter.data for letter in again.waiting(ROOM)] == [b"one", b"for cyd", b"two"]
    taken = again.take(ROOM, [BOB], 200.0)
    assert [(letter.data, letter.at) for letter in taken] == [(b"one", 100.0), (b"two", 103.0)]
    again.remove(letter.number for letter in taken)
    assert [letter.data for letter in again.waiting(ROOM)] == [b"for cyd"]
    again.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"for cyd" in kept
    assert b"one" not in kept.replace(b"done", b"")


def test_two_programs_of_one_user_send_a_letter_once(letters: Letters, tmp_path: Path) -> None:
    other = Letters(tmp_path / "letters.db")
    number = letters.add(ROOM, BOB, "bob", b"one", 100.0, letter=1)
    assert letters.add(ROOM, BOB, "bob", b"being sent", 100.0, letter=2, claim=True) > number
    assert [letter.number for letter in letters.take(ROOM, [BOB], 101.0)] == [number]
    assert other.take(ROOM, [BOB], 102.0) == []
    letters.release([number])
    assert [letter.number for letter in other.take(ROOM, [BOB], 103.0)] == [number]
    assert len(letters.take(ROOM, [BOB, CYD], 104.0 + CLAIM)) == 2  # the other program died


def test_letters_are_few_and_do_not_wait_for_ever(letters: Letters) -> None:
    for number in range(MOST):
        letters.add(ROOM, BOB, "bob", b"%d" % number, 100.0 + number, letter=1)
    with pytest.raises(McastError, match=r"100 private messages wait for 'bob' already"):
        letters.add(ROOM, BOB, "bob", b"more", 300.0, letter=1)
    letters.add(ROOM, CYD, "cyd", b"for cyd", 300.0, letter=1)
    assert [letter.data for letter in letters.expire(ROOM, 101.5 + LIFE)] == [b"0", b"1"]
    letters.add(ROOM, BOB, "bob", b"more", 300.0, letter=1)


def test_letters_of_before_get_numbers_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    old = Database(path, [module._create])
    with old.writing() as db:
        for number in range(50):
            row = (ROOM, BOB, "bob", b"%d" % number, 1.0, 0.0)
            db.execute("INSERT INTO letters VALUES (NULL, ?, ?, ?, ?, ?, ?)", row)
    old.close()
    numbers = {one.letter for one in Letters(path).waiting(ROOM)}
    assert len(numbers) == 50
    assert all(0 < number < 2**62 for number in numbers)
