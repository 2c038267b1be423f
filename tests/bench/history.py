"""A long history on the disk: its size, how long a search takes, and whether a chat starts later for it."""

from __future__ import annotations

import functools
import random
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mcast.crypto.rooms import open_room
from mcast.store.history import Entry, History, Room
from tests import lab
from tests.bench.options import Options, say
from tests.bench.rows import Row

MESSAGES, QUICK, SHORT = 1_000_000, 50_000, 100
TOGETHER = 5_000
"""Messages in one transaction."""
WANTED = 50.0
"""Milliseconds that a search may take."""
WORDS = 3_000
"""Different words, and different Chinese characters."""
NEEDLES = {
    "a Latin word in one message": "needlework",
    "two Chinese characters in one message": "针线",
    "a frequent Latin word": "",
    "two frequent Chinese characters": "",
    "one letter": "e",
    "one Chinese character": "",
    "nothing": "xyzzyx",
}
LOBBY = open_room("230.0.0.1:28003", "")
ROOM = Room(LOBBY.id, "230.0.0.1:28003", "", False)
PROMPT = re.compile("^>", re.MULTILINE)


def measure(options: Options) -> Iterator[Row]:
    """Make a history in a temporary directory, search it, and start chats with it and without."""
    count = QUICK if options.quick else MESSAGES
    say(f"history, {count:,} messages")
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "history.db"
        needles, seconds = _fill(path, count)
        case = f"{count:,} messages"
        size = sum(file.stat().st_size for file in Path(place).iterdir()) / 1e6
        yield Row("history", f"{case} on the disk", "mcast", (size,), "MB")
        yield Row("history", "messages kept a second", "mcast", (count / seconds,), "1/s")
        history = History(path)
        for what, text in needles.items():
            search = functools.partial(history.find, text, last=100)
            took, note = tuple(1000 * _timed(search) for _ in range(11)), f"{len(search())} found"
            yield Row(
                "history",
                f"search: {what}",
                "mcast",
                took,
                "ms",
                target=WANTED,
                at_most=True,
                note=note,
            )
        history.close()
        yield from _started(path, options)


def _fill(path: Path, count: int) -> tuple[dict[str, str], float]:
    """A history of so many messages; what to search for, and how long it took to make."""
    rng = random.Random(1)
    words = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(2, 9))) for _ in range(WORDS)]
    characters = [chr(0x4E00 + 5 * number) for number in range(WORDS)]
    # Words of a language are not equally frequent.
    weights = [1 / (place + 5) for place in range(WORDS)]
    start, history = time.monotonic(), History(path)
    for first in range(0, count, TOGETHER):
        entries = []
        for number in range(first, min(count, first + TOGETHER)):
            if number % 2:
                text = " ".join(rng.choices(words, weights, k=rng.randint(2, 10)))
            else:
                text = "".join(rng.choices(characters, weights, k=rng.randint(4, 30)))
            if number == count // 3:
                text = "a piece of needlework 针线 in the middle"
            when = 1_800_000_000.0 + number
            entries.append(Entry(f"{'7d20' * 4}-1-{number}-0", b"7" * 16, "eve", when, when, text.encode()))
        history.add(ROOM, entries)
    history.close()
    frequent = {
        "a frequent Latin word": next(word for word in words if len(word) > 4),
        "two frequent Chinese characters": "".join(characters[:2]),
        "one Chinese character": characters[0],
    }
    return NEEDLES | frequent, time.monotonic() - start


def _timed(what: Callable[[], object]) -> float:
    start = time.perf_counter()
    what()
    return time.perf_counter() - start


def _started(path: Path, options: Options) -> Iterator[Row]:
    """How long it takes until the prompt of a chat is there, by turns with that history and a short one.

    Both show the last hundred messages, which takes as long.
    """
    short = path.with_name("short.db")
    _fill(short, SHORT)
    files = {"a long history": path, f"{SHORT} messages": short}
    took: dict[str, list[float]] = {what: [] for what in files}
    with lab.Lan(len(files)) as lan:
        for host, file in zip(lan.hosts, files.values(), strict=True):
            place = host.home / ".data" / "mcast"
            place.mkdir(parents=True)
            shutil.copyfile(file, place / "history-default.db")
        for round_ in range(3 if options.quick else 12):
            for host, what in zip(lan.hosts, files, strict=True):
                start = time.monotonic()
                with host.mcast_terminal("chat") as chat:
                    chat.wait_for_screen(PROMPT)
                    if round_:  # the first one compiles
                        took[what].append(1000 * (time.monotonic() - start))
    reference, long = f"{SHORT} messages", tuple(took["a long history"])
    ratio = statistics.median(long) / statistics.median(took[reference])
    yield Row("history", "prompt", reference, tuple(took[reference]), "ms")
    yield Row("history", "prompt", "a long history", long, "ms", reference, ratio, 1.1, at_most=True)
