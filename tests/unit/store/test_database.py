"""A SQLite file that several processes share: rights, versions, damage."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from mcast.errors import McastError
from mcast.store.database import Database


def _first(db: sqlite3.Connection) -> None:
    db.execute("CREATE TABLE words (word TEXT)")


def _second(db: sqlite3.Connection) -> None:
    db.execute("ALTER TABLE words ADD COLUMN count INTEGER DEFAULT 1")


def _words(database: Database) -> list[tuple[str, int]]:
    with database.reading() as db:
        return db.execute("SELECT word, count FROM words").fetchall()


def test_only_this_user_can_read_it(tmp_path: Path) -> None:
    database = Database(tmp_path / "sub" / "a.db", [_first])
    with database.writing() as db:
        db.execute("INSERT INTO words VALUES ('secret')")
    for file in (tmp_path / "sub").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert stat.S_IMODE((tmp_path / "sub").stat().st_mode) == 0o700
    database.close()


def test_an_older_file_is_brought_up_to_date_and_keeps_its_content(tmp_path: Path) -> None:
    old = Database(tmp_path / "a.db", [_first])
    with old.writing() as db:
        db.execute("INSERT INTO words VALUES ('one')")
    old.close()
    assert _words(Database(tmp_path / "a.db", [_first, _second])) == [("one", 1)]


def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    Database(tmp_path / "a.db", [_first, _second]).close()
    before = (tmp_path / "a.db").read_bytes()
    with pytest.raises(McastError, match="made by a newer mcast"):
        Database(tmp_path / "a.db", [_first])
    assert (tmp_path / "a.db").read_bytes() == before


@pytest.mark.parametrize("content", [b"no database at all, only text" * 100, None])
def test_a_damaged_file_is_set_aside(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.db"
    if content is None:  # a database of which the first page was overwritten
        Database(path, [_first]).close()
        content = path.read_bytes()[:100] + b"\xff" * 4000
    path.write_bytes(content)
    database = Database(path, [_first, _second])
    assert _words(database) == []
    assert "is damaged; it is now a.db.damaged-" in database.notice
    (aside,) = tmp_path.glob("a.db.damaged-*")
    assert aside.read_bytes() == content


def test_a_block_that_fails_leaves_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", [_first, _second])

    def fail() -> None:
        with database.writing() as db:
            db.execute("INSERT INTO words (word) VALUES ('half')")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert _words(database) == []


def test_a_place_that_cannot_be_used_is_one_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(McastError, match=r"cannot use .*make it writable") as raised:
        Database(tmp_path / "file" / "a.db", [_first])
    assert "\n" not in str(raised.value)


def test_a_full_disk_is_one_error_with_a_remedy(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", [_first])
    with database.reading() as db:
        db.execute("PRAGMA max_page_count = 8")

    def fill() -> None:
        for _ in range(100):
            with database.writing() as db:
                db.execute("INSERT INTO words VALUES (?)", ("x" * 4000,))

    with pytest.raises(McastError, match=r"full.*free some disk space"):
        fill()
    with database.reading() as db:  # what was there can still be read
        assert db.execute("SELECT count(*) FROM words").fetchone()[0] > 0
