"""The messages of the rooms that one was in, and the search for text in them.

The search finds any part of a text, in any script: an FTS5 index holds, for each character of a message, the
three characters that begin there, or the two if the first is CJK, whose words are often two characters long.
Of these, the index also has the first one and the first two, for a search of one or two characters.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from mcast.core.events import PeerId
from mcast.core.history.store import SavedRecord
from mcast.errors import McastError

from .database import Database

BATCH = 500
"""Messages in one transaction at most."""
GATHER = 0.05
"""Seconds in which messages are gathered for one transaction."""
WAITING = 20_000
"""Messages that may wait for the disk; the attack is a flood. What comes then is not kept, and is counted."""
ENTRY_COLUMNS = 9
"""Fields of an entry that are columns of `messages`, in that order."""
CHECKED = 2_000
"""Messages between two checks of age and size."""
MERGED = 500
"""Pages of the index that one step of merging writes."""
RECORDS, RECORDS_BYTES = 10_000, 16_000_000
"""Signed records of one room: as many as one peer hands out. The oldest go first."""
CJK = "\u2e80"
"""The first character of the scripts that are written without spaces, by which such a character is known."""
# The tokenizer `ascii` splits at these; a character of the private use area stands for each of them.
_SEPARATORS = {code: 0xE000 + code for code in range(128) if not chr(code).isalnum()}


class Room(msgspec.Struct, frozen=True):
    """A room: its 16-byte `id`, the group as text, its name (empty for the default room), if it has a key."""

    id: bytes
    group: str
    name: str
    keyed: bool


class Entry(msgspec.Struct, frozen=True):
    """A message. `id` names it everywhere, `origin` is its author's 16-byte identity.

    `sent` is the author's clock and `received` ours, both in unix seconds. `own`: this user wrote it. `to` is
    the name of whom a private message was for. `number` orders entries as they came; 0 until it is stored.
    """

    id: str
    origin: bytes
    name: str
    sent: float
    received: float
    data: bytes
    own: bool = False
    private: bool = False
    to: str = ""
    room: Room | None = None
    number: int = 0

    @property
    def text(self) -> str | None:
        """The message as UTF-8, or None if it is something else."""
        return _decoded(self.data)


def _create(db: sqlite3.Connection) -> None:
    db.execute(
        "CREATE TABLE rooms (number INTEGER PRIMARY KEY, id BLOB UNIQUE, address TEXT, name TEXT,"
        " keyed INTEGER, seen INTEGER DEFAULT 0)"
    )
    db.execute(
        "CREATE TABLE messages (number INTEGER PRIMARY KEY AUTOINCREMENT, room INTEGER, id TEXT UNIQUE,"
        " origin BLOB, name TEXT, sent REAL, received REAL, data BLOB, own INTEGER, private INTEGER,"
        " recipient TEXT)"
    )
    db.execute("CREATE INDEX by_room ON messages (room, number)")
    db.execute("CREATE INDEX by_time ON messages (received)")
    db.execute("CREATE VIRTUAL TABLE grams USING fts5 (tokens, content = '', tokenize = 'ascii')")


def _index_beginnings(db: sqlite3.Connection) -> None:
    """Make the index anew, with the beginnings of its tokens: a search of one letter took half a second."""
    db.execute("DROP TABLE grams")
    db.execute(
        "CREATE VIRTUAL TABLE grams USING fts5 (tokens, content = '', tokenize = 'ascii', prefix = '1 2')"
    )
    rows = db.execute("SELECT number, data FROM messages")
    texts = ((number, _grams(text)) for number, data in rows if (text := _decoded(data)))
    db.executemany("INSERT INTO grams (rowid, tokens) VALUES (?, ?)", texts)


def _add_records(db: sqlite3.Connection) -> None:
    db.execute(
        "CREATE TABLE records (room INTEGER, origin BLOB, incarnation INTEGER, sequence INTEGER,"
        " published REAL, frames BLOB, PRIMARY KEY (room, origin, incarnation, sequence)) WITHOUT ROWID"
    )
    db.execute("CREATE INDEX records_by_time ON records (room, published)")


_SELECT = (
    "SELECT messages.id, origin, messages.name, sent, received, data, own, private, recipient,"
    " messages.number, rooms.id, address, rooms.name, keyed FROM "
)
_LATEST = _SELECT + "messages JOIN rooms ON rooms.number = room WHERE +received < :before"
_FOUND = (
    _SELECT
    + "grams JOIN messages ON messages.number = grams.rowid JOIN rooms ON rooms.number = room"
    + " WHERE grams MATCH :phrase AND +received < :before AND +received >= :since"
)
# The plus keeps SQLite from sorting all messages by time: it walks from the last one back until there are
# enough. Only where a time is wanted from which on, that time tells where to begin.
_ROOM = " AND room = (SELECT number FROM rooms WHERE id = :room)"
_SINCE = " AND received >= :since"

_TOO_MANY_RECORDS = """
DELETE FROM records WHERE room = ?1 AND published <= (
  SELECT coalesce(max(published), -1) FROM (
    SELECT published, row_number() OVER newest AS place, sum(length(frames)) OVER newest AS bytes
    FROM records WHERE room = ?1 WINDOW newest AS (ORDER BY published DESC ROWS UNBOUNDED PRECEDING))
  WHERE place > ?2 OR bytes > ?3)"""

_OLDEST_RECORDS = """
DELETE FROM records WHERE published <= (
  SELECT max(published) FROM (
    SELECT published, sum(length(frames)) OVER (ORDER BY published ROWS UNBOUNDED PRECEDING) AS bytes,
      length(frames) AS own
    FROM records)
  WHERE bytes - own < ?)"""


class History:
    """The history in the file at `path`. One thread at a time may use it.

    `age` (seconds) and `size` (bytes) limit what is kept. Errors are McastErrors with a remedy.
    """

    def __init__(self, path: Path, *, age: float = float("inf"), size: float = float("inf")) -> None:
        self._database = Database(path, [_create, _index_beginnings, _add_records])
        self._age, self._size = age, size
        self._rooms: dict[bytes, int] = {}

    @property
    def notice(self) -> str:
        """What to tell the user about the file; empty if it is as it was left."""
        return self._database.notice

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def add(self, room: Room, entries: Iterable[Entry]) -> None:
        """Store messages of a room. One that is there already, by its id, is left as it is."""
        with self._database.writing() as db:
            number = self._room_number(db, room)
            for entry in entries:
                values = msgspec.structs.astuple(entry)[:ENTRY_COLUMNS]
                cursor = db.execute(
                    "INSERT OR IGNORE INTO messages VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (number, *values),
                )
                if cursor.rowcount == 1 and (text := entry.text):
                    row = (cursor.lastrowid, _grams(text))
                    db.execute("INSERT INTO grams (rowid, tokens) VALUES (?, ?)", row)

    def find(
        self,
        text: str = "",
        *,
        room: Room | None = None,
        since: float = 0.0,
        before: float = float("inf"),
        last: int = 100,
    ) -> list[Entry]:
        """The last messages that contain `text`, oldest first.

        Only those of `room` if it is given, and only those received in a time (unix seconds).
        """
        values: dict[str, object] = {"room": room and room.id, "since": since, "before": before, "last": last}
        with self._database.reading() as db:
            of_room = _ROOM if room else ""
            if phrase := _phrase(text):
                statement = f"{_FOUND}{of_room} ORDER BY grams.rowid DESC LIMIT :last"
                rows = db.execute(statement, values | {"phrase": phrase})
            else:
                times = _SINCE if since else ""
                statement = f"{_LATEST}{times}{of_room} ORDER BY messages.number DESC LIMIT :last"
                rows = db.execute(statement, values)
            return [_entry(row) for row in reversed(rows.fetchall())]

    def add_records(self, room: Room, records: Iterable[SavedRecord]) -> None:
        """Store signed records of a room with a key, so that they can be handed to others later."""
        with self._database.writing() as db:
            number = self._room_number(db, room)
            db.executemany(
                "INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?, ?, ?)",
                [(number, *one.peer_id, one.sequence, one.published, one.frames) for one in records],
            )

    def records(self, room: Room, *, since: float = 0.0) -> list[SavedRecord]:
        """The signed records of a room that were published since a time, oldest first."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT origin, incarnation, sequence, published, frames FROM records"
                " JOIN rooms ON rooms.number = room WHERE rooms.id = ? AND published >= ? ORDER BY published",
                (room.id, since),
            )
            return [SavedRecord(PeerId(origin, incarnation), *rest) for origin, incarnation, *rest in rows]

    def number(self, message_id: str) -> int:
        """The number of a message; 0 if it is not here."""
        with self._database.reading() as db:
            row = db.execute("SELECT number FROM messages WHERE id = ?", (message_id,)).fetchone()
        return int(row[0]) if row else 0

    def newest(self) -> int:
        """The number of the message that was stored last; 0 if there is none."""
        with self._database.reading() as db:
            return int(db.execute("SELECT coalesce(max(number), 0) FROM messages").fetchone()[0])

    def rooms(self) -> list[Room]:
        """The rooms of which there are messages."""
        statement = (
            "SELECT id, address, name, keyed FROM rooms"
            " WHERE EXISTS (SELECT 1 FROM messages WHERE room = rooms.number) ORDER BY number"
        )
        with self._database.reading() as db:
            return [_room(row) for row in db.execute(statement)]

    def seen(self, room: Room) -> int:
        """The number of the last message of `room` that was seen; 0 if none was."""
        with self._database.reading() as db:
            row = db.execute("SELECT seen FROM rooms WHERE id = ?", (room.id,)).fetchone()
        return int(row[0]) if row else 0

    def see(self, room: Room) -> None:
        """All messages of `room` that are here have been seen."""
        with self._database.writing() as db:
            number = self._room_number(db, room)
            db.execute(
                "UPDATE rooms SET seen = (SELECT coalesce(max(number), 0) FROM messages WHERE room = ?)"
                " WHERE number = ?",
                (number, number),
            )

    def forget(self, room: Room | None = None, *, before: float = float("inf")) -> int:
        """Remove the messages of `room`, or of all, received before a time; returns how many there were.

        Their text is overwritten on the disk.
        """
        with self._database.writing() as db:
            count = _remove(
                db,
                "SELECT messages.number, data FROM messages JOIN rooms ON rooms.number = room"
                " WHERE received < ?1 AND (?2 IS NULL OR rooms.id = ?2) LIMIT ?3",
                (before, room and room.id),
            )
            db.execute(
                "DELETE FROM records WHERE published < ?1 AND"
                " (?2 IS NULL OR room IN (SELECT number FROM rooms WHERE id = ?2))",
                (before, room and room.id),
            )
        with self._database.reading() as db:
            # The index keeps removed text until its parts are merged, the log until it is truncated.
            db.execute("INSERT INTO grams (grams) VALUES ('optimize')")
            db.execute("VACUUM")
            db.execute("PRAGMA wal_checkpoint (TRUNCATE)")
        return count

    def prune(self, now: float) -> None:
        """Remove what is older than `age` allows, then the oldest until a tenth below `size`.

        Signed records, which are only there for others, go before the messages.
        """
        with self._database.writing() as db:
            db.execute("DELETE FROM records WHERE published < ?", (now - self._age,))
            for (room,) in db.execute("SELECT DISTINCT room FROM records").fetchall():
                db.execute(_TOO_MANY_RECORDS, (room, RECORDS, RECORDS_BYTES))
            oldest = "SELECT number, data FROM messages WHERE received < ?1 LIMIT ?2"
            count = _remove(db, oldest, (now - self._age,))
            excess = self._excess(db)
            if excess > 1:
                removed = 1
                while removed and excess > 0.9:
                    removed = db.execute(_OLDEST_RECORDS, ((excess - 0.9) * self._size,)).rowcount
                    excess = self._excess(db)
            if excess > 1:
                first, last = db.execute("SELECT min(number), max(number) FROM messages").fetchone()
                end = first + (last - first) * (1 - 0.9 / excess)
                count += _remove(db, "SELECT number, data FROM messages WHERE number < ?1 LIMIT ?2", (end,))
        if count:
            self._merge()

    def _excess(self, db: sqlite3.Connection) -> float:
        """How much is kept, as a share of what may be."""
        used, page, free = (
            db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "page_size", "freelist_count")
        )
        return float((used - free) * page / self._size)

    def _merge(self) -> None:
        """Let the index give back the room of removed messages, in steps, so that others can write meanwhile.

        https://www.sqlite.org/fts5.html#the_merge_command
        """
        pages = -MERGED
        while True:
            with self._database.writing() as db:
                before = db.total_changes
                db.execute("INSERT INTO grams (grams, rank) VALUES ('merge', ?)", (pages,))
                if db.total_changes - before < 2:
                    return
            pages = MERGED

    def _room_number(self, db: sqlite3.Connection, room: Room) -> int:
        number = self._rooms.get(room.id)
        if number is None:
            row = (room.id, room.group, room.name, room.keyed)
            db.execute("INSERT OR IGNORE INTO rooms (id, address, name, keyed) VALUES (?, ?, ?, ?)", row)
            number = db.execute("SELECT number FROM rooms WHERE id = ?", (room.id,)).fetchone()[0]
            self._rooms[room.id] = int(number)
        return int(number)


class Recorder:
    """A thread that stores messages in `history`, so that a slow disk holds up nobody.

    After an error nothing more is kept, and `problem` is the error. `dropped` counts what came too fast.
    """

    def __init__(self, history: History, room: Room) -> None:
        self._history, self._room = history, room
        self._queue: queue.Queue[Entry | SavedRecord | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._run, name="mcast history", daemon=True)
        self._thread.start()
        self.dropped = 0
        self.problem: McastError | None = None

    def add(self, entry: Entry | SavedRecord) -> None:
        """Store `entry` soon. Never waits."""
        if self.problem is not None:
            return
        try:
            self._queue.put_nowait(entry)
        except queue.Full:
            self.dropped += 1

    def close(self, timeout: float = 5.0) -> None:
        """Store what is waiting, and close the history."""
        try:
            self._queue.put(None, timeout=timeout)
            self._thread.join(timeout)
        except queue.Full:
            pass

    def _run(self) -> None:
        try:
            written = CHECKED
            for entries in self._batches():
                messages = [entry for entry in entries if isinstance(entry, Entry)]
                self._history.add(self._room, messages)
                records = [entry for entry in entries if isinstance(entry, SavedRecord)]
                if records:
                    self._history.add_records(self._room, records)
                written += len(entries)
                if written >= CHECKED:
                    self._history.prune(time.time())
                    written = 0
        except McastError as error:
            self.problem = error
        finally:
            self._history.close()

    def _batches(self) -> Iterator[list[Entry | SavedRecord]]:
        while True:
            entry = self._queue.get()
            if entry is None:
                return
            time.sleep(GATHER)
            entries = [entry]
            while len(entries) < BATCH and not self._queue.empty():
                entry = self._queue.get()
                if entry is None:
                    yield entries
                    return
                entries.append(entry)
            yield entries


def _remove(db: sqlite3.Connection, chosen: str, values: Sequence[object]) -> int:
    """Remove the messages that the query `chosen` gives, and their tokens, which the index cannot tell.

    The last value of the query is how many to give at once. Returns how many there were.
    """
    count = 0
    while rows := db.execute(chosen, (*values, BATCH)).fetchall():
        count += len(rows)
        texts = [(number, _grams(text)) for number, data in rows if (text := _decoded(data))]
        db.executemany("INSERT INTO grams (grams, rowid, tokens) VALUES ('delete', ?, ?)", texts)
        db.executemany("DELETE FROM messages WHERE number = ?", [row[:1] for row in rows])
    return count


def _room(row: Sequence[Any]) -> Room:
    room_id, address, name, keyed = row
    return Room(room_id, address, name, bool(keyed))


def _entry(row: Sequence[Any]) -> Entry:
    message_id, origin, name, sent, received, data, own, private, to, number, *room = row
    flags = bool(own), bool(private)
    return Entry(message_id, origin, name, sent, received, data, *flags, to, _room(room), number)


def _decoded(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _folded(text: str) -> str:
    """`text` without differences of case and of form, and without what separates tokens."""
    return unicodedata.normalize("NFKC", text).casefold().translate(_SEPARATORS)


def _width(char: str) -> int:
    return 2 if char >= CJK and not "\ue000" <= char <= "\ue07f" else 3


def _grams(text: str) -> str:
    """The tokens of a message, one for each of its characters."""
    folded = _folded(text)
    return " ".join(folded[at : at + _width(char)] for at, char in enumerate(folded))


def _phrase(text: str) -> str:
    """The FTS5 phrase that occurs in the tokens of just those messages that contain `text`; or nothing.

    The token that reaches the end of `text` is the last; if `text` ends within it, only its beginning counts.
    """
    folded = _folded(text)
    tokens = []
    for at, char in enumerate(folded):
        end = at + _width(char)
        tokens.append(folded[at:end])
        if end >= len(folded):
            return f'"{" ".join(tokens)}"' + (" *" if end > len(folded) else "")
    return ""
