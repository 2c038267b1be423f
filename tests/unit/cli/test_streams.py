"""Standard streams of every kind: non-blocking, read slowly, not read, closed."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import socket
import threading
import time
from collections.abc import Iterator
from typing import TextIO

import pytest

from mcast.cli import streams
from mcast.cli.streams import ROOM, Patient, Writer


@pytest.fixture(autouse=True)
def _threads_end_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "IDLE", 0.01)


Ends = tuple[int, TextIO]


def ends_of(kind: str) -> tuple[int, int]:
    """A descriptor to read from and one to write to."""
    if kind == "pipe":
        return os.pipe()
    if kind == "terminal":
        return pty.openpty()
    ours, theirs = socket.socketpair()
    return ours.detach(), theirs.detach()


@pytest.fixture(params=["pipe", "terminal", "socket"])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    """A stream that somebody made non-blocking, and its other end."""
    reading, writing = ends_of(request.param)
    os.set_blocking(writing, False)
    with open(reading, "rb", buffering=0), open(writing, "w", encoding="utf-8") as stream:
        yield reading, stream


def wait_for_threads() -> None:
    """Until the threads that write have nothing to do any more."""
    while any(thread.name == "writer" for thread in threading.enumerate()):
        time.sleep(0.01)


def taken(reading: int, size: int) -> bytes:
    """What a reader gets that takes a little at a time; a terminal adds a CR to each line."""
    data = b""
    while len(data) < size:
        data += os.read(reading, min(1500, size - len(data))).replace(b"\r", b"")
    return data


TEXT = "".join(f"{number:05} äöü\n" for number in range(10_000))


def test_whoever_reads_slowly_gets_everything(ends: Ends) -> None:
    reading, stream = ends
    writer = Writer(stream)
    writer.put(TEXT)
    assert writer.waiting > 0
    assert taken(reading, len(TEXT.encode())) == TEXT.encode()
    writer.finish()
    assert (writer.waiting, writer.error) == (0, None)
    wait_for_threads()


def test_a_plain_write_waits_for_a_reader_too(ends: Ends) -> None:
    reading, stream = ends
    patient = io.TextIOWrapper(io.BufferedWriter(Patient(stream.fileno())), "utf-8")
    thread = threading.Thread(target=print, args=(TEXT,), kwargs={"file": patient, "end": "", "flush": True})
    thread.start()
    assert taken(reading, len(TEXT.encode())) == TEXT.encode()
    thread.join()


@pytest.mark.parametrize("kind", ["pipe", "terminal", "socket"])
def test_input_that_is_not_there_yet_is_waited_for(kind: str) -> None:
    first, second = ends_of(kind)
    reading, writing = (first, second) if kind == "pipe" else (second, first)
    os.set_blocking(reading, False)
    with open(reading, "rb", buffering=0), open(writing, "wb", buffering=0) as other:
        threading.Timer(0.05, other.write, [b"x\n"]).start()
        assert streams.read(reading, 10) == b"x\n"


def test_nobody_waits_for_a_stream_that_is_not_read(ends: Ends) -> None:
    reading, stream = ends
    writer = Writer(stream)

    async def main() -> None:
        for _ in range(8):
            writer.put(TEXT)
        await asyncio.wait_for(writer.room(10**9), 10)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(writer.room(), 0.05)
        writer.finish(0.05)
        assert writer.waiting > ROOM
        waiting = asyncio.create_task(writer.room(7 * len(TEXT.encode())))
        await asyncio.to_thread(taken, reading, 2 * len(TEXT.encode()))
        await asyncio.wait_for(waiting, 10)

    asyncio.run(main())
    taken(reading, 6 * len(TEXT.encode()))
    writer.finish(10)
    wait_for_threads()


def test_who_stops_reading_is_noticed_at_once() -> None:
    reading, writing = os.pipe()
    with open(writing, "w", encoding="utf-8") as stream:
        writer = Writer(stream)
        failed = threading.Event()
        writer.on_failure = failed.set

        async def main() -> None:
            writer.put(TEXT)
            waiting = asyncio.create_task(writer.room(0))
            await asyncio.sleep(0.05)
            os.close(reading)
            await asyncio.wait_for(waiting, 10)

        asyncio.run(main())
        assert failed.wait(10)
        assert isinstance(writer.error, BrokenPipeError)
        writer.put("more")
        assert writer.waiting == 0
        wait_for_threads()


def test_streams_to_one_file_keep_their_order() -> None:
    reading, writing = os.pipe()
    with open(writing, "w") as first, open(os.dup(writing), "w") as second, open(reading, "rb") as pipe:
        writers = Writer(first), Writer(second)
        for number in range(200):
            writers[number % 2].put(f"{number}\n")
        for writer in writers:
            writer.finish()
        wait_for_threads()
        first.close()
        second.close()
        assert pipe.read().split() == [b"%d" % number for number in range(200)]


def test_a_stream_without_a_descriptor_is_written_to_at_once() -> None:
    stream = io.StringIO()
    Writer(stream).put("x")
    assert stream.getvalue() == "x"


def test_characters_that_the_encoding_lacks_are_numbers() -> None:
    reading, writing = os.pipe()
    with open(writing, "w", encoding="ascii") as stream, open(reading, "rb", buffering=0) as pipe:
        writer = Writer(stream)
        writer.put("é 漢\n")
        assert pipe.read(100) == b"\\xe9 \\u6f22\n"
        wait_for_threads()
