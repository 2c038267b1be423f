"""What comes of a transfer, on its way to the disk: manifest, verified blocks, and what is there already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any, TypeVar

from mcast.core.bulk.layout import Layout
from mcast.core.bulk.receiver import BulkReceiver
from mcast.runtime.bulk.streams import Divisible, Sink
from mcast.runtime.bulk.worker import Worker
from mcast.wire.bulk import FAN, HASH_SIZE

T = TypeVar("T")
WRITE_BYTES, WRITE_DELAY = 1 << 20, 0.05
"""Verified bytes that are written at once, and seconds after which they are anyway."""
BACKLOG = 16 << 20
"""Verified bytes that wait for the disk. Beyond that nothing is read from the network."""
CHECKS, CHECKS_AT_ONCE = 8, 2
"""Groups of blocks of a run before that the worker reads and checks at a time, and how often that is queued:
what came from the network is written in between."""


class SinkWriter:
    """Hands what `receiver` has verified to the sink, in the worker.

    `root` is what the sink is told, `now` the clock. Set these before the first block comes: `on_full` is
    called with whether nothing is to be read from the network, `on_look` when the receiver may ask for
    something else or more is here, `on_whole` when all is there, `on_lost` with what is lacking once the rest
    is kept without it, `on_failed` with what the sink raised. `backlog` counts bytes in the worker.
    """

    def __init__(
        self,
        layout: Layout,
        receiver: BulkReceiver,
        worker: Worker,
        sink: Sink,
        root: bytes,
        now: Callable[[], float],
    ) -> None:
        self._layout, self._receiver, self._worker, self._sink = layout, receiver, worker, sink
        self._root, self._now = root, now
        self._loop = asyncio.get_running_loop()
        self.on_full: Callable[[bool], None] = lambda _: None
        self.on_look: Callable[[], None] = lambda: None
        self.on_whole: Callable[[], None] = lambda: None
        self.on_lost: Callable[[str], None] = lambda _: None
        self.on_failed: Callable[[BaseException], None] = lambda _: None
        self.backlog = 0
        self.begun = False
        self._manifest = bytearray(layout.manifest_size)
        self._manifest_left = -(-layout.manifest_size // layout.block_size)
        self._waiting: list[tuple[int, bytes]] = []
        self._waiting_bytes = 0
        self._checking = self._jobs = 0
        self._timer: asyncio.TimerHandle | None = None
        self._finishing = self._stopped = False

    @property
    def manifest(self) -> bytes:
        """The manifest, as far as it has come."""
        return bytes(self._manifest)

    def start(self) -> None:
        """Begin, if there is no manifest to wait for."""
        self._receiver.horizon = -(-self._manifest_left // FAN)
        if not self._manifest_left:
            self._begin()

    def stop(self) -> None:
        """Nothing more is written or told."""
        self._stopped = True
        self._cancel_timer()

    def take(self, runs: list[tuple[int, bytes]]) -> None:
        """Verified blocks have come: each run has the number of its first block, and its bytes."""
        size, manifest_size = self._layout.block_size, self._layout.manifest_size
        for first, data in runs:
            offset = first * size - manifest_size
            if offset < 0:
                part = data[:-offset]
                self._manifest[offset + manifest_size : offset + manifest_size + len(part)] = part
                self._manifest_left -= -(-len(part) // size)
                offset, data = offset + len(part), data[len(part) :]
            if not data:
                continue
            if self._manifest_left and self._waiting_bytes > BACKLOG and first * size >= manifest_size:
                # Nobody knows where it goes: it can wait, memory is not endless.
                for index in range(first, first + -(-len(data) // size)):
                    self._receiver.lose(index)
                continue
            self._waiting.append((offset, data))
            self._waiting_bytes += len(data)
        if not self.begun and not self._manifest_left and runs:
            self._begin()
        self._look_at_room()
        if self._waiting_bytes >= WRITE_BYTES or not self._receiver.left:
            self.flush()
        elif self._waiting and self._timer is None:
            self._timer = self._loop.call_later(WRITE_DELAY, self.flush)

    def _begin(self) -> None:
        if not self._jobs:
            content = self._layout.size - self._layout.manifest_size
            begun = self._run(self._sink.begin, bytes(self._manifest), content, self._root)
            begun.add_done_callback(self._has_begun)

    def _has_begun(self, done: asyncio.Future[Iterable[tuple[int, int]]]) -> None:
        if done.cancelled() or done.exception() is not None:
            return
        self.begun = True
        size, before = self._layout.block_size, self._layout.manifest_size
        # A block at the edge of a range is fetched, and so is one that has a part of the manifest in it.
        first = -(-before // size)
        self._receiver.suppose(
            (max(first, -(-(start + before) // size)), self._block_stop(stop + before))
            for start, stop in done.result()
        )
        self._receiver.ask_all(self._now())
        self.check()
        self.flush()
        self.on_look()

    def _block_stop(self, stop: int) -> int:
        return self._layout.blocks if stop >= self._layout.size else stop // self._layout.block_size

    # What may be here from a run before

    def check(self) -> None:
        """Let the worker check blocks whose hashes are known now."""
        receiver = self._receiver
        while self.begun and receiver.checks and self._checking < CHECKS_AT_ONCE:
            groups = [group for _ in range(CHECKS) if (group := receiver.next_check()) is not None]
            asked = [(group, mask) for group in groups if (mask := receiver.doubted.get(group))]
            if asked:
                self._checking += 1
                self._run(self._check_blocks, asked).add_done_callback(self._has_checked)

    def _check_blocks(self, asked: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
        """In the worker: of each group the mask that was asked for, and that of the blocks that are right."""
        size, before = self._layout.block_size, self._layout.manifest_size
        checked = []
        for group, mask in asked:
            node, right = self._receiver.tree.read(1, group), 0
            bits = [bit for bit in range(FAN) if mask >> bit & 1]
            start = (FAN * group + bits[0]) * size
            stop = min(self._layout.size, (FAN * group + bits[-1] + 1) * size)
            data = memoryview(self._sink.read(start - before, stop - start))
            for bit in bits:
                at = (FAN * group + bit) * size - start
                hashed = sha256(data[at : at + size]).digest()
                right |= (hashed == node[HASH_SIZE * bit : HASH_SIZE * (bit + 1)]) << bit
            checked.append((group, mask, right))
        return checked

    def _has_checked(self, done: asyncio.Future[list[tuple[int, int, int]]]) -> None:
        self._checking -= 1
        if done.cancelled() or done.exception() is not None or self._stopped:
            return
        for group, asked, right in done.result():
            self._receiver.checked(group, asked, right)
        self.check()
        if not self._receiver.left:
            self._receiver.next_timeout = self._now()
            self.flush()
        self.on_look()

    # To the disk

    def flush(self) -> None:
        """Let the worker write what came."""
        self._cancel_timer()
        if not self.begun or self._stopped:
            return
        runs, size = _runs(self._waiting), self._waiting_bytes
        self._waiting, self._waiting_bytes = [], 0
        if runs:
            self.backlog += size
            self._run(self._write, runs).add_done_callback(lambda _: self._written(size))
        self._finish()

    def _write(self, runs: list[tuple[int, bytes]]) -> None:
        """In the worker."""
        for offset, data in runs:
            self._sink.write(offset, data)

    def _written(self, size: int) -> None:
        self.backlog -= size
        self._look_at_room()
        self._finish()

    def _look_at_room(self) -> None:
        """Read nothing while too much waits for the disk."""
        waiting = self.backlog + self._waiting_bytes
        if waiting > BACKLOG and not self._manifest_left:
            self.on_full(True)
        elif waiting < BACKLOG // 2:
            self.on_full(False)

    def _finish(self) -> None:
        """All is here and written: finish the sink."""
        if self._receiver.left or self._finishing or self._waiting or self.backlog or not self.begun:
            return
        self._finishing = True
        self._run(self._sink.finish).add_done_callback(self._has_finished)

    def _has_finished(self, done: asyncio.Future[None]) -> None:
        if not done.cancelled() and done.exception() is None and not self._stopped:
            self.on_whole()

    def do_without(self) -> None:
        """What is still missing does not come any more: keep what is complete without it."""
        if self._stopped or self._finishing or not self.begun:
            return
        self.flush()
        self._finishing = True
        before, size = self._layout.manifest_size, self._layout.block_size
        missing = [
            (max(0, start * size - before), min(stop * size, self._layout.size) - before)
            for start, stop in self._receiver.lacking()
        ]
        self._run(self._keep_rest, missing).add_done_callback(self._has_kept_rest)

    def _keep_rest(self, missing: list[tuple[int, int]]) -> str:
        """In the worker: what is lacking, in words."""
        if isinstance(self._sink, Divisible):
            return self._sink.finish_without(missing)
        return "a part of it changed while it was sent"

    def _has_kept_rest(self, done: asyncio.Future[str]) -> None:
        if not done.cancelled() and done.exception() is None and not self._stopped:
            self.on_lost(done.result())

    def _run(self, function: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
        """Run a method of the sink in the worker; what it raises is told."""
        self._jobs += 1
        future = self._worker.run(function, *arguments)
        future.add_done_callback(self._job_done)
        return future

    def _job_done(self, done: asyncio.Future[Any]) -> None:
        self._jobs -= 1
        if not done.cancelled() and (error := done.exception()) is not None:
            self.on_failed(error)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _runs(parts: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Neighbours joined, so that few calls write them."""
    runs: list[tuple[int, list[bytes], int]] = []
    for offset, data in sorted(parts):
        if runs and runs[-1][2] == offset:
            start, pieces, stop = runs[-1]
            pieces.append(data)
            runs[-1] = start, pieces, stop + len(data)
        else:
            runs.append((offset, [data], offset + len(data)))
    return [(start, b"".join(pieces)) for start, pieces, _ in runs]
