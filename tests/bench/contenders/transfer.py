"""One file for several receivers, with mcast, over a TCP connection each, or with another program:

    python -m tests.bench.contenders.transfer give|take HOW SIZE RECEIVERS HOST

`HOST` is the giver's address. uftp and udpcast run at 1 Gbit/s, as nothing faster was faster here, and else
as they come.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from tests.bench.contenders.job import resident

GROUP, PORT = "239.255.77.2", 7702
CHUNK = 1 << 20
PIECE = hashlib.shake_256(b"transfer").digest(CHUNK)
NAME = "file"
PATIENCE = 300.0
QUIET = ["--nokbd", "--no-progress", "--interface", "eth0"]
SENDS = {
    "uftp": ["uftp", "-R", "1000000", "-I", "eth0"],
    "udpcast": [
        *("udp-sender", *QUIET, "--full-duplex", "--max-bitrate", "900m"),
        *("--min-receivers", "{}", "--file"),
    ],
}
RECEIVES = {
    "uftp": ["uftpd", "-d", "-t", "-I", "eth0", "-D"],
    "udpcast": ["udp-receiver", *QUIET, "--file"],
}


def make(size: int) -> BinaryIO:
    """A file of that size."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed when the process ends
    for at in range(0, size, CHUNK):
        file.write(PIECE[: min(CHUNK, size - at)])
    file.flush()
    return file


def digest(file: BinaryIO) -> str:
    """The SHA-256 of a file."""
    file.seek(0)
    made = hashlib.sha256()
    while data := file.read(CHUNK):
        made.update(data)
    return made.hexdigest()


class Source:
    """A file to offer."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.manifest, self.size, self._file = b"", size, file

    def read(self, offset: int, size: int) -> bytes:
        """A part of it."""
        return os.pread(self._file.fileno(), size, offset)

    def close(self) -> None:
        """It stays open for its digest."""


class Sink:
    """A file to write."""

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile()  # noqa: SIM115 - as above

    def begin(self, manifest: bytes, size: int, root: bytes) -> Iterable[tuple[int, int]]:
        """Make room."""
        self.file.truncate(size)
        return ()

    def write(self, offset: int, data: bytes) -> None:
        """A part of it."""
        os.pwrite(self.file.fileno(), data, offset)

    def read(self, offset: int, size: int) -> bytes:
        """A part of it."""
        return os.pread(self.file.fileno(), size, offset)

    def finish(self) -> None:
        """It is complete."""

    def abort(self) -> None:
        """It is not."""

    def close(self) -> None:
        """It stays open for its digest."""


def tell(begin: float, **more: Any) -> None:
    """What was done, as JSON, on a line."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = time.process_time() + used.ru_utime + used.ru_stime
    told = {"seconds": time.monotonic() - begin, "cpu": cpu, **resident(), **more}
    print(json.dumps(told), flush=True)


async def give_mcast(size: int, receivers: int) -> None:
    """Offer a file until all have it whole."""
    from mcast import aio

    file = make(size)
    async with aio.join(GROUP, name="giver") as group:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        begin = time.monotonic()
        drop = await group.drop(Source(file, size))
        verdict = await drop.wait(receivers=receivers, timeout=300)
        tell(begin, complete=verdict.complete, sent=drop.progress().sent, digest=digest(file))


async def take_mcast() -> None:
    """Fetch what is offered."""
    from mcast import aio
    from mcast.events import TransferOffered

    async with aio.join(GROUP, name="taker") as group:
        print("ready", flush=True)
        async for event in group.events():
            if isinstance(event, TransferOffered):
                begin, sink = time.monotonic(), Sink()
                fetch = await group.accept(event, sink)
                failure = await fetch.wait(timeout=300)
                tell(begin, failure=str(failure), digest=digest(sink.file))
                await asyncio.to_thread(sys.stdin.readline)
                return


def give_tcp(size: int, receivers: int) -> None:
    """Send a file over a connection to each, all at the same time."""
    file = make(size)
    with socket.create_server(("", PORT)) as server:
        print("ready", flush=True)
        sys.stdin.readline()
        begin = time.monotonic()
        children = []
        for _ in range(receivers):
            connection, _ = server.accept()
            child = os.fork()
            if not child:
                connection.sendfile(file)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1)  # it has all
                os._exit(0)
            children.append(child)
            connection.close()
        for child in children:
            os.waitpid(child, 0)
        tell(begin, complete=True, sent=receivers * size, digest=digest(file))


def take_tcp(host: str) -> None:
    """Receive a file."""
    print("ready", flush=True)
    sys.stdin.readline()
    begin = time.monotonic()
    with socket.create_connection((host, PORT)) as connection, tempfile.TemporaryFile() as file:
        while data := connection.recv(CHUNK):
            file.write(data)
        file.flush()
        connection.sendall(b".")
        tell(begin, failure="None", digest=digest(file))


def give_by(how: str, size: int, receivers: int) -> None:
    """Send a file with another program; `complete` is what its exit code says."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, NAME)
        with make(size) as file, path.open("wb") as copy:
            file.seek(0)
            shutil.copyfileobj(file, copy, CHUNK)
        print("ready", flush=True)
        sys.stdin.readline()
        begin = time.monotonic()
        command = [word.format(receivers) for word in SENDS[how]]
        complete = False
        with contextlib.suppress(subprocess.TimeoutExpired):
            ended = subprocess.run([*command, str(path)], stdout=2, timeout=PATIENCE, check=False)
            complete = ended.returncode == 0
        with path.open("rb") as file:
            tell(begin, complete=complete, sent=size, digest=digest(file))


def take_by(how: str, size: int) -> None:
    """Receive a file with another program."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, NAME)
        where = [directory] if how == "uftp" else [str(path)]
        program = subprocess.Popen([*RECEIVES[how], *where], stdout=2)
        print("ready", flush=True)
        sys.stdin.readline()
        begin = time.monotonic()
        while time.monotonic() < begin + PATIENCE and program.poll() is None:
            if how == "uftp" and path.exists():  # the daemon stays; with -t the name is there at the end
                break
            time.sleep(0.01)
        program.terminate()
        program.wait()
        whole = path.exists() and path.stat().st_size == size
        with path.open("rb") if whole else tempfile.TemporaryFile() as file:
            tell(begin, failure="None" if whole else "not whole", digest=digest(file))


def main() -> None:
    """Do the job that the command line tells."""
    role, how, size, receivers, host = sys.argv[1:6]
    if how == "mcast":
        asyncio.run(give_mcast(int(size), int(receivers)) if role == "give" else take_mcast())
    elif how in SENDS:
        give_by(how, int(size), int(receivers)) if role == "give" else take_by(how, int(size))
    elif role == "give":
        give_tcp(int(size), int(receivers))
    else:
        take_tcp(host)


if __name__ == "__main__":
    main()
