"""The people that one has met: each is a public key, pinned when it was first seen, and perhaps verified."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from mcast.crypto.keys import origin_of
from mcast.net.lookalikes import looks

from .database import Database

MOST = 10_000
"""People that are remembered. The attack is invented ones: those seen longest ago go first. Who was verified
stays."""
UNSAVED = 4096
"""People that were met since the last save(). The attack is the same: the oldest are not remembered."""


class Person(msgspec.Struct, frozen=True):
    """Somebody with the public key `key` (32 bytes), who was called `name` at last.

    `first` and `last` are when the person was seen, `verified` when this user compared the key, all in unix
    seconds; None: never. `alias` is the name at that time.
    """

    key: bytes
    name: str
    first: float
    last: float
    verified: float | None = None
    alias: str = ""

    @property
    def origin(self) -> bytes:
        """The 16 bytes that stand for the key on the wire."""
        return origin_of(self.key)


def _create(db: sqlite3.Connection) -> None:
    db.execute(
        "CREATE TABLE people"
        " (key BLOB PRIMARY KEY, name TEXT, first REAL, last REAL, verified REAL, alias TEXT)"
    )


class People:
    """The people in the file at `path`. Any thread may use it. Errors are McastErrors with a remedy."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._met: dict[bytes, tuple[str, float]] = {}
        self._database = Database(path, [_create])
        self._verified: dict[bytes, Person] = {}
        self._looks: dict[str, Person] | None = None
        self._version = 0
        self._refresh()

    @property
    def notice(self) -> str:
        """What to tell the user about the file; empty if it is as it was left."""
        return self._database.notice

    def close(self) -> None:
        """Close the file, when no thread uses it."""
        with self._lock:
            self._database.close()

    def meet(self, key: bytes, name: str, now: float) -> None:
        """Somebody was seen. It is on the disk after save()."""
        with self._lock:
            self._met.pop(key, None)
            self._met[key] = name, now
            if len(self._met) > UNSAVED:
                del self._met[next(iter(self._met))]

    def save(self) -> None:
        """Write who was met."""
        with self._lock:
            met, self._met = self._met, {}
            with self._database.writing() as db:
                db.executemany(
                    "INSERT INTO people VALUES (?1, ?2, ?3, ?3, NULL, '')"
                    " ON CONFLICT (key) DO UPDATE SET name = ?2, last = ?3",
                    [(key, name, now) for key, (name, now) in met.items()],
                )
                count = db.execute("SELECT count(*) FROM people").fetchone()[0]
                db.execute(
                    "DELETE FROM people WHERE key IN"
                    " (SELECT key FROM people WHERE verified IS NULL ORDER BY last LIMIT ?)",
                    (max(0, count - MOST),),
                )
            self._load()  # a verified person may have another name

    def all(self) -> list[Person]:
        """Everybody who is known, who was seen last first."""
        with self._lock, self._database.reading() as db:
            return [_person(row) for row in db.execute("SELECT * FROM people ORDER BY last DESC")]

    def verify(self, key: bytes, name: str, now: float) -> None:
        """The user has compared the key of the person that is called `name`."""
        with self._lock:
            with self._database.writing() as db:
                db.execute(
                    "INSERT INTO people VALUES (?1, ?2, ?3, ?3, ?3, ?2)"
                    " ON CONFLICT (key) DO UPDATE SET verified = ?3, alias = ?2",
                    (key, name, now),
                )
            self._load()

    def doubt(self, key: bytes) -> None:
        """The person does not count as verified any more."""
        with self._lock:
            with self._database.writing() as db:
                db.execute("UPDATE people SET verified = NULL, alias = '' WHERE key = ?", (key,))
            self._load()

    def is_verified(self, origin: bytes) -> bool:
        """Whether the user has compared the key with this origin, as far as this program knows."""
        return origin in self._verified

    def like(self, key: bytes, name: str) -> Person | None:
        """Whom somebody with this key and name can be taken for: a person who was verified with another key.

        Nobody, if this key was verified itself.
        """
        with self._lock:
            self._refresh()
        if not self._verified or origin_of(key) in self._verified:
            return None
        if self._looks is None:  # only now: the table takes a tenth of a second to load
            self._looks = {
                look: person
                for person in self._verified.values()
                for called in (person.name, person.alias)
                for look in looks(called)
            }
        known = self._looks
        return next((known[look] for look in looks(name) if look in known), None)

    def _refresh(self) -> None:
        """See what other programs of this user have written: https://sqlite.org/pragma.html#pragma_data_version"""
        with self._database.reading() as db:
            version = db.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            self._version = version
            self._load()

    def _load(self) -> None:
        """Read who was verified."""
        with self._database.reading() as db:
            rows = db.execute("SELECT * FROM people WHERE verified IS NOT NULL").fetchall()
        self._verified = {person.origin: person for person in map(_person, rows)}
        self._looks = None


def _person(row: Sequence[Any]) -> Person:
    return Person(*row)
