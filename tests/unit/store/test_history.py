"""The history of rooms: storing, finding, forgetting."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcast.core.events import PeerId
from mcast.core.history.store import SavedRecord
from mcast.errors import McastError
from mcast.store import history as module
from mcast.store.database import Database
from mcast.store.history import Entry, History, Recorder, Room

LOBBY = Room(b"L" * 16, "230.0.0.1:28003", "", False)
KITCHEN = Room(b"K" * 16, "230.0.0.1:28003", "kitchen", False)


def _entry(number: int, text: str | bytes = "", *, received: float | None = None, own: bool = False) -> Entry:
    data = text.encode() if isinstance(text, str) else text
    when = 1_800_000_000.0 + number if received is None else received
    return Entry(f"7d20a1c90be4f635-69f86ea7d5e0-{number}-0", b"7" * 16, "eve", when - 0.1, when, data, own)


def _texts(entries: list[Entry]) -> list[str | None]:
    return [entry.text for entry in entries]


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history.db")


def test_what_is_stored_comes_back_whole(history: History) -> None:
    entry = Entry("id-1", b"\x01" * 16, "bob", 1.5, 2.5, b"\xff\x00binary", True, True, "ada")
    history.add(KITCHEN, [entry])
    (found,) = history.find()
    assert (found.id, found.origin, found.name, found.sent, found.received) == (
        "id-1",
        b"\x01" * 16,
        "bob",
        1.5,
        2.5,
    )
    assert (found.data, found.own, found.private, found.to) == (b"\xff\x00binary", True, True, "ada")
    assert found.room == KITCHEN
    assert found.text is None


def test_a_message_that_is_there_is_not_stored_again(history: History) -> None:
    history.add(LOBBY, [_entry(1, "first"), _entry(1, "first")])
    history.add(LOBBY, [_entry(1, "first"), _entry(2, "second")])
    assert _texts(history.find()) == ["first", "second"]
    assert _texts(history.find("first")) == ["first"]


def test_the_last_messages_are_found_oldest_first(history: History) -> None:
    history.add(LOBBY, [_entry(n, f"line {n}") for n in range(10)])
    assert _texts(history.find(last=3)) == ["line 7", "line 8", "line 9"]
    assert _texts(history.find("line", last=2)) == ["line 8", "line 9"]
    assert _texts(history.find(since=1_800_000_008.0)) == ["line 8", "line 9"]


def test_rooms_stay_apart(history: History) -> None:
    assert history.rooms() == []
    history.add(LOBBY, [_entry(1, "in the lobby")])
    history.add(KITCHEN, [_entry(2, "in the kitchen")])
    assert history.rooms() == [LOBBY, KITCHEN]
    assert _texts(history.find(room=KITCHEN)) == ["in the kitchen"]
    assert _texts(history.find("in the", room=LOBBY)) == ["in the lobby"]
    assert history.forget(LOBBY) == 1
    assert history.rooms() == [KITCHEN]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("noon", True),
        ("NOON", True),
        ("unch at n", True),
        ("l", True),
        ("n", True),
        ("on?", True),
        ("吃什", True),
        ("么", True),
        ("? 今", True),
        ("ÉTÉ", True),
        ("ﬁn", True),  # a ligature
        ("c'est l'été \"vrai", True),
        ("noon lunch", False),
        ("今么", False),
        ("x", False),
        ('"', True),
        ("*", False),
    ],
)
def test_the_search_finds_any_part_of_a_text_in_any_script(history: History, query: str, found: bool) -> None:
    text = "Lunch at noon? 今天吃什么 c'est l'été \"vrai\" fin"
    history.add(LOBBY, [_entry(1, text), _entry(2, "other")])
    assert bool(history.find(query)) is found
    assert bool(History(history._database.path).find(query)) is found


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text("ab中国 'é\n\0\"😀", max_size=8), max_size=6),
    st.text("ab中国 'é\"😀", min_size=1, max_size=4),
)
def test_the_search_finds_what_contains_the_text_and_nothing_else(texts: list[str], query: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        history = History(Path(directory) / "history.db")
        history.add(LOBBY, [_entry(number, text) for number, text in enumerate(texts)])
        assert _texts(history.find(query)) == [text for text in texts if _folded(query) in _folded(text)]
        history.forget()
        assert history.find(query) == []
        history.close()


def test_what_is_forgotten_is_nowhere_on_the_disk(history: History, tmp_path: Path) -> None:
    history.add(LOBBY, [_entry(n, f"line {n} sesame") for n in range(1200)])
    history.add(KITCHEN, [_entry(5000, "stays")])
    assert history.forget(LOBBY, before=1_800_000_001.0) == 1
    assert history.forget(LOBBY) == 1199
    assert _texts(history.find()) == ["stays"]
    for file in tmp_path.iterdir():
        assert b"ses" not in file.read_bytes(), file


def test_old_messages_go_by_age(tmp_path: Path) -> None:
    history = History(tmp_path / "history.db", age=100.0)
    history.add(LOBBY, [_entry(1, "old", received=800.0), _entry(2, "new", received=950.0)])
    history.prune(1000.0)
    assert _texts(history.find()) == ["new"]
    assert history.find("old") == []


def test_the_oldest_go_when_there_is_too_much(tmp_path: Path) -> None:
    history = History(tmp_path / "history.db", size=300_000)
    for start in range(0, 3000, 100):
        history.add(LOBBY, [_entry(n, f"line {n} " + "x" * 200) for n in range(start, start + 100)])
        history.prune(0.0)
    kept = _texts(history.find(last=5000))
    assert kept[-1] == "line 2999 " + "x" * 200
    assert 100 < len(kept) < 2500
    assert len(history.find("line", last=5000)) == len(kept)
    assert (tmp_path / "history.db").stat().st_size < 600_000


def test_a_room_remembers_what_was_seen(history: History) -> None:
    assert history.seen(LOBBY) == 0
    history.add(LOBBY, [_entry(1, "one"), _entry(2, "two")])
    history.see(LOBBY)
    history.add(LOBBY, [_entry(3, "three")])
    seen = history.seen(LOBBY)
    assert [entry.text for entry in history.find() if entry.number > seen] == ["three"]


def test_two_processes_share_a_history(tmp_path: Path) -> None:
    one, two = History(tmp_path / "history.db"), History(tmp_path / "history.db")
    one.add(LOBBY, [_entry(1, "one"), _entry(2, "both")])
    two.add(LOBBY, [_entry(2, "both"), _entry(3, "two")])
    assert _texts(one.find()) == _texts(two.find()) == ["one", "both", "two"]


def test_the_recorder_stores_in_the_background(tmp_path: Path) -> None:
    recorder = Recorder(History(tmp_path / "history.db"), LOBBY)
    for number in range(1500):
        recorder.add(_entry(number, f"line {number}"))
    recorder.close()
    assert len(History(tmp_path / "history.db").find(last=5000)) == 1500
    assert recorder.problem is None
    assert recorder.dropped == 0


def test_the_recorder_counts_what_it_cannot_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING", 10)
    other = History(tmp_path / "history.db")
    recorder = Recorder(History(tmp_path / "history.db"), LOBBY)
    with other._database.writing():  # holds up the recorder
        for number in range(600):
            recorder.add(_entry(number, "x"))
    recorder.close()
    assert recorder.dropped >= 600 - 10 - module.BATCH - 1
    assert len(other.find(last=5000)) == 600 - recorder.dropped


def test_the_recorder_stops_at_an_error_and_says_why(tmp_path: Path) -> None:
    history = History(tmp_path / "history.db")
    recorder = Recorder(history, LOBBY)
    with history._database.reading() as db:
        db.execute("DROP TABLE messages")
    recorder.add(_entry(1, "lost"))
    recorder.close()
    assert isinstance(recorder.problem, McastError)
    assert "no such table" in str(recorder.problem)
    recorder.add(_entry(2, "ignored"))


WRITER = """
import sys
from pathlib import Path
from mcast.store.history import Entry, History, Room
history = History(Path(sys.argv[1]))
start = int(sys.argv[2])
for number in range(start, start + 100_000):
    entry = Entry(f"id-{number}", b"1" * 16, "eve", 1.0, 1.0, b"line")
    history.add(Room(b"L" * 16, "230.0.0.1:28003", "", False), [entry])
    print(number, flush=True)
"""


def test_what_was_stored_survives_a_kill(tmp_path: Path) -> None:
    path, start = tmp_path / "history.db", 0
    for wait in (0.0, 0.002, 0.01, 0.05):
        command = [sys.executable, "-c", WRITER, str(path), str(start)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            first = writer.stdout.readline()
            time.sleep(wait)
            writer.send_signal(signal.SIGKILL)
            stored = int(([first, *writer.stdout.read().split()])[-1])
        history = History(path)
        assert history.notice == ""
        ids = {entry.id for entry in history.find(last=1_000_000)}
        assert {f"id-{number}" for number in range(stored + 1)} <= ids
        history.close()
        start = stored + 1


def test_a_history_of_before_gets_the_new_index(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    old = Database(path, [module._create])
    with old.writing() as db:
        db.execute(
            "INSERT INTO rooms (id, address, name, keyed) VALUES (?, 'x', 'kitchen', 0)", (KITCHEN.id,)
        )
        for number, text in enumerate(("lunch at noon", "\u4eca\u5929\u5403\u4ec0\u4e48"), 1):
            row = (str(number), b"7" * 16, "eve", 1.0, 1.0, text.encode())
            db.execute("INSERT INTO messages VALUES (NULL, 1, ?, ?, ?, ?, ?, ?, 0, 0, '')", row)
            db.execute("INSERT INTO grams (rowid, tokens) VALUES (?, ?)", (number, module._grams(text)))
    old.close()
    history = History(path)
    for part, found in (("n", 1), ("oo", 1), ("\u4eca", 1), ("\u5403\u4ec0", 1), ("x", 0), ("lunch", 1)):
        assert len(history.find(part)) == found, part
    history.add(KITCHEN, [_entry(3, "noodles")])
    assert len(history.find("no")) == 2
    assert history.forget() == 3
    assert history.find("n") == []


KEYED = Room(b"S" * 16, "230.0.0.1:28003", "laboratory", True)


def _record(sequence: int, published: float, room: bytes = b"") -> SavedRecord:
    return SavedRecord(PeerId(b"7" * 16, 2**62), sequence, published, b"frames" + room)


def test_records_come_back_oldest_first_and_once(history: History) -> None:
    history.add_records(KEYED, [_record(2, 20.0), _record(1, 10.0)])
    history.add_records(KEYED, [_record(2, 21.0), _record(3, 30.0)])
    history.add_records(KITCHEN, [_record(1, 10.0, b"other")])
    assert history.records(KEYED) == [_record(1, 10.0), _record(2, 20.0), _record(3, 30.0)]
    assert history.records(KEYED, since=20.0) == [_record(2, 20.0), _record(3, 30.0)]
    assert history.records(LOBBY) == []


def test_records_are_bounded_by_age_number_and_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECORDS", 5)
    monkeypatch.setattr(module, "RECORDS_BYTES", 40)
    history = History(tmp_path / "history.db", age=100.0)
    history.add_records(KEYED, [_record(n, 100.0 + n) for n in range(10)])
    history.add_records(KITCHEN, [_record(n, 100.0 + n, b"+" * 10) for n in range(10)])
    history.prune(150.0)
    assert [one.sequence for one in history.records(KEYED)] == [5, 6, 7, 8, 9]
    assert [one.sequence for one in history.records(KITCHEN)] == [8, 9]
    history.prune(209.0)
    assert [one.sequence for one in history.records(KEYED)] == [9]


def test_records_go_before_messages_when_there_is_too_much(tmp_path: Path) -> None:
    history = History(tmp_path / "history.db", size=1_000_000)
    history.add(LOBBY, [_entry(n, f"line {n}") for n in range(500)])
    history.add_records(KEYED, [_record(n, 100.0 + n, b"+" * 400) for n in range(3000)])
    history.prune(0.0)
    assert len(history.find(last=1000)) == 500
    kept = [one.sequence for one in history.records(KEYED)]
    assert 500 < len(kept) < 2500
    assert kept == list(range(3000 - len(kept), 3000))
    history.close()


def test_records_are_forgotten_with_the_messages(history: History) -> None:
    for room in (KEYED, KITCHEN):
        history.add_records(room, [_record(1, 10.0), _record(2, 20.0)])
    history.forget(KEYED, before=15.0)
    assert [len(history.records(room)) for room in (KEYED, KITCHEN)] == [1, 2]
    history.forget(KEYED)
    assert [len(history.records(room)) for room in (KEYED, KITCHEN)] == [0, 2]
    history.forget()
    assert history.records(KITCHEN) == []


def test_the_thread_stores_records_among_messages(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    recorder = Recorder(History(path), KEYED)
    for number in range(3):
        recorder.add(_entry(number, "text"))
        recorder.add(_record(number, 10.0 + number))
    recorder.close()
    history = History(path)
    assert len(history.find()) == len(history.records(KEYED)) == 3
