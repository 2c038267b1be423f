"""One transfer at work: its sockets, its thread, and the two sides of the protocol."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import count
from math import inf
from random import SystemRandom
from struct import Struct
from typing import Any, Protocol, TypeVar

import msgspec

from mcast.core.bulk.channel import Batch
from mcast.core.bulk.layout import Layout
from mcast.core.bulk.receiver import BulkReceiver, Item
from mcast.core.bulk.sender import BulkSender, Client, Way
from mcast.core.bulk.tree import HashTree
from mcast.core.events import Address, PeerId, PeerView
from mcast.crypto.bulk import ControlSealer, TransferKeys
from mcast.crypto.keys import Identity
from mcast.crypto.rooms import Room
from mcast.net.links import Plan
from mcast.runtime.bulk.endpoint import BUFFER, Endpoint, bulk_group
from mcast.runtime.bulk.serving import BlockCache
from mcast.runtime.bulk.streams import Sink
from mcast.runtime.bulk.views import Failure
from mcast.runtime.bulk.worker import SpooledNodes, Worker
from mcast.settings import Settings
from mcast.wire.bulk import (
    BULK_MAGIC,
    BY_UNICAST,
    DATA_HEAD_SIZE,
    FAN,
    UNICAST,
    BulkKind,
    BulkNotice,
    BulkReport,
    BulkStatus,
    ControlHead,
    NoticeKind,
    decode_control_head,
    decode_report,
    decode_status,
    encode_data_head,
    encode_report,
    encode_status,
)

T = TypeVar("T")
WRITE_BYTES, WRITE_DELAY = 1 << 20, 0.01
"""Verified bytes that are written at once, and seconds after which they are anyway."""
BACKLOG = 16 << 20
"""Verified bytes that wait for the disk. Beyond that nothing is read from the network."""
AT_ONCE = 256 << 10
"""Bytes that leave before the event loop has its turn."""
FULL_PAUSE = 0.001
"""Seconds after which a full socket is tried again."""
CHECKS = 8
"""Groups of blocks of a run before that are read and checked at a time: hashing holds up the event loop."""
HOUSEKEEPING = 0.5
"""Seconds between two looks at who is gone."""
NAMES = 1024
"""Peers whose control messages we can open, for each transfer."""

_DATA = BULK_MAGIC + bytes((BulkKind.DATA,))
_PLACE = Struct(">II")
_counter = count(1)


class Member(Protocol):
    """What a transfer needs of the group that it belongs to."""

    identity: Identity
    peer_id: PeerId
    room: Room
    settings: Settings
    plan: Plan

    def now(self) -> float:
        """The clock."""
        ...

    def peer(self, peer_id: PeerId) -> PeerView:
        """What is known of a peer."""
        ...

    def public_key(self, peer_id: PeerId) -> bytes | None:
        """The key of a peer's identity, if it is known."""
        ...

    def interface_of(self, source: tuple[object, ...]) -> int | None:
        """The interface by which an address is reached."""
        ...

    def say(self, notice: BulkNotice) -> None:
        """Tell the room."""
        ...


class Pair(msgspec.Struct, frozen=True):
    """The seals of control messages to and from one peer."""

    to: ControlSealer
    of: ControlSealer


class Transfer:
    """Fetches with `receiver` (if it has one) and serves with `sender`, whatever of it is here.

    `parties` are all that said anything about it, with the port at which each can be asked. `on_changed` is
    called when something is worth a look.
    """

    def __init__(
        self,
        member: Member,
        layout: Layout,
        tree_root: bytes,
        nodes: SpooledNodes,
        worker: Worker,
        read: Callable[[int, int], bytes],
        way: Way,
        *,
        tree: HashTree | None = None,
        sink: Sink | None = None,
    ) -> None:
        self._member, self.layout, self.root = member, layout, tree_root
        self._nodes, self._worker, self._sink = nodes, worker, sink
        self._loop = asyncio.get_running_loop()
        self.keys = TransferKeys(member.room, tree_root)
        self._me = self.keys.name(*member.peer_id)
        now = member.now()
        self.receiver: BulkReceiver | None = None
        held: Callable[[int], int] = _everything
        if tree is None:
            self.receiver = BulkReceiver(layout, tree_root, nodes, now, unicast=way is Way.UNICAST)
            tree, held = self.receiver.tree, self._holds
        self._tree = tree
        self.sender = BulkSender(
            layout,
            member.settings,
            SystemRandom(),
            held,
            now,
            complete=lambda: self.whole,
            way=way,
        )
        self.blocks = BlockCache(
            layout, tree, self.keys, worker, read, self._flush, self._pump, self._source_failed
        )
        group = bulk_group(member.plan.groups, self.keys.place)
        self.endpoint = Endpoint(member.plan, group, self._received)
        self.whole = self.receiver is None
        self.failure: Failure | None = None
        self.ended = False
        self.ports: dict[PeerId, int] = {}
        self.received_bytes = 0
        self.on_changed: Callable[[], None] = lambda: None
        self.on_whole: Callable[[], None] = lambda: None
        self._names: dict[bytes, PeerId] = {}
        self._pairs: dict[PeerId, Pair] = {}
        self._ways: dict[PeerId, tuple[str, int, int]] = {}
        self._counters: dict[tuple[PeerId, BulkKind], int] = {}
        self._waiting: deque[Batch] = deque()
        self._begun = False
        self._manifest = bytearray(layout.manifest_size)
        self._manifest_left = -(-layout.manifest_size // layout.block_size)
        self._early: list[tuple[int, bytes]] = []
        self._writing: list[tuple[int, bytes]] = []
        self._writing_bytes = self._backlog = 0
        self._unchecked: deque[int] = deque()
        self._checking = 0
        self._jobs = 0
        self._flush_timer: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._full = self._finishing = self._stopped = False
        self._look_at = now

    @property
    def manifest(self) -> bytes:
        """The manifest, as far as it has come."""
        return bytes(self._manifest)

    def close_nodes(self) -> None:
        """Forget the hash tree."""
        self._nodes.close()

    def start(self) -> None:
        """Open the sockets and begin."""
        self.endpoint.start()
        if self.receiver is not None:
            self.receiver.horizon = -(-self._manifest_left // FAN)
            if not self._manifest_left:
                self._begin()
        self._arm()

    # Whom we know

    def party(self, notice: BulkNotice, peer_id: PeerId) -> None:
        """A peer said something about this transfer."""
        gives_none = notice.kind is NoticeKind.WHOLE and not notice.port
        if gives_none or notice.kind in (NoticeKind.WITHDRAW, NoticeKind.FAILED):
            self.ports.pop(peer_id, None)
            self._forget(peer_id)
            self.sender.left(peer_id)
            if self.receiver is not None:
                self.receiver.serves_no_more(peer_id, self._member.now())
        else:
            if len(self.ports) >= NAMES and peer_id not in self.ports:
                return
            self.ports[peer_id] = notice.port
            name = self.keys.name(*peer_id)
            self._names[name] = peer_id
            if notice.kind is NoticeKind.WHOLE:
                self.sender.left(peer_id)
            if self.receiver is not None:
                complete = notice.kind is not NoticeKind.ACCEPT
                self.receiver.may_serve(peer_id, complete=complete)
        self._arm()
        self.on_changed()

    def _forget(self, peer_id: PeerId) -> None:
        """A peer takes no part any more."""
        self._names.pop(self.keys.name(*peer_id), None)
        self._pairs.pop(peer_id, None)
        self._ways.pop(peer_id, None)
        for kind in (BulkKind.REPORT, BulkKind.STATUS):
            self._counters.pop((peer_id, kind), None)

    def _address(self, peer_id: PeerId) -> Address:
        """Where a peer can be asked; None if only through the group."""
        if peer_id in self._ways and self._ways[peer_id][1] == self.ports.get(peer_id):
            return self._ways[peer_id]
        source, port = self._member.peer(peer_id).source, self.ports.get(peer_id, 0)
        if not isinstance(source, tuple) or not port:
            return None
        host = str(source[0]).partition("%")[0]
        interface = self._member.interface_of(source)
        self._ways[peer_id] = host, port, interface or 0
        return self._ways[peer_id]

    def _holds(self, group: int) -> int:
        """The mask of the blocks of a group that we can serve while we fetch."""
        return self.receiver.holds(group) if self.receiver is not None and self._begun else 0

    def _able(self, peer_id: PeerId) -> bool:
        return peer_id in self.ports and self._pair(peer_id) is not None

    def _here(self, peer_id: PeerId) -> bool:
        return self._member.peer(peer_id).source is not None

    def _pair(self, peer_id: PeerId) -> Pair | None:
        pair = self._pairs.get(peer_id)
        if pair is None:
            key = self._member.public_key(peer_id)
            secret = None if key is None else self.keys.pair(self._member.identity, key)
            if secret is None:
                return None
            theirs = self.keys.name(*peer_id)
            pair = Pair(ControlSealer(secret, self._me, theirs), ControlSealer(secret, theirs, self._me))
            self._pairs[peer_id] = pair
        return pair

    # In

    def _received(self, source: Address, datagrams: Sequence[bytes], age: float) -> None:
        now = self._member.now()
        items: list[Item] = []
        tag, opened, sealed = self.keys.tag, self.keys.open, self.keys.sealed
        for datagram in datagrams:
            if datagram[:3] != _DATA:
                self._control(source, datagram, now, age)
            elif datagram[4:8] == tag and len(datagram) > DATA_HEAD_SIZE and self.receiver is not None:
                level = datagram[3] & ~UNICAST
                index, serial = _PLACE.unpack_from(datagram, 8)
                self.received_bytes += len(datagram)
                data: bytes | None = datagram[DATA_HEAD_SIZE:]
                if sealed:
                    data = opened(level, index, datagram[DATA_HEAD_SIZE:])
                if data is not None:
                    items.append(Item(level, index, serial, datagram[3] != level, data))
        if items and self.receiver is not None and not self.ended:
            self._got(self.receiver.take(_port(source), items, now, age))
            if self.receiver.to_check:
                self._check()
        self._arm()

    def _control(self, source: Address, datagram: bytes, now: float, age: float) -> None:
        head = decode_control_head(datagram)
        if not isinstance(head, ControlHead) or head.tag != self.keys.tag:
            return
        peer_id = self._names.get(head.who)
        pair = None if peer_id is None else self._pair(peer_id)
        if peer_id is None or pair is None or head.counter <= self._counters.get((peer_id, head.kind), 0):
            return
        content = pair.of.open(head, datagram)
        if content is None:
            return
        self._counters[peer_id, head.kind] = head.counter
        if head.kind is BulkKind.REPORT:
            report = decode_report(content)
            if isinstance(report, BulkReport):
                self.sender.on_report(peer_id, source, report, now, age)
                self.on_changed()
                self._turn(now)
        else:
            status = decode_status(content)
            if isinstance(status, BulkStatus) and self.receiver is not None:
                self.receiver.on_status(peer_id, _port(source), status, now)
                if peer_id == self.receiver.server:
                    if status.flags & BY_UNICAST:
                        self.endpoint.leave_group()
                    else:
                        self.endpoint.join_group()

    # What came, on its way to the disk

    def _got(self, blocks: list[tuple[int, bytes]]) -> None:
        size, manifest_size = self.layout.block_size, self.layout.manifest_size
        for index, data in blocks:
            offset = index * size - manifest_size
            if offset < 0:
                part = data[:-offset] if offset + len(data) > 0 else data
                self._manifest[offset + manifest_size : offset + manifest_size + len(part)] = part
                self._manifest_left -= 1
                offset, data = offset + len(part), data[len(part) :]
            if not data:
                continue
            no_room = self._manifest_left and self._writing_bytes > BACKLOG and index * size >= manifest_size
            if no_room and self.receiver is not None:
                self.receiver.lose(index)  # nobody knows where it goes: it can wait, memory is not endless
                continue
            self._writing.append((offset, data))
            self._writing_bytes += len(data)
        if not self._begun and not self._manifest_left and blocks:
            self._begin()
        self._count_backlog()
        if self._writing_bytes >= WRITE_BYTES or (self.receiver is not None and not self.receiver.left):
            self._flush()
        elif self._writing and self._flush_timer is None:
            self._flush_timer = self._loop.call_later(WRITE_DELAY, self._flush)
        if blocks:
            self.on_changed()

    def _begin(self) -> None:
        if self._sink is not None and not self._jobs:
            content = self.layout.size - self.layout.manifest_size
            begun = self._run(self._sink.begin, bytes(self._manifest), content, self.root)
            begun.add_done_callback(self._has_begun)

    def _has_begun(self, done: asyncio.Future[Iterable[tuple[int, int]]]) -> None:
        if done.cancelled() or done.exception() is not None or self.receiver is None:
            return
        self._begun = True
        size, before = self.layout.block_size, self.layout.manifest_size
        ranges = list(done.result())
        # A block at the edge of a range is fetched, and so is one that has a part of the manifest in it.
        first = -(-before // size)
        self.receiver.suppose(
            (max(first, -(-(start + before) // size)), self._block_stop(stop + before))
            for start, stop in ranges
        )
        self.receiver.ask_all(self._member.now())
        self._check()
        self._flush()
        self._arm()

    def _block_stop(self, stop: int) -> int:
        return self.layout.blocks if stop >= self.layout.size else stop // self.layout.block_size

    def _check(self) -> None:
        """Check blocks that may be here from a run before, whose hashes are known now."""
        receiver = self.receiver
        if receiver is None or not self._begun:
            return
        self._unchecked += receiver.to_check
        receiver.to_check.clear()
        while self._unchecked and self._checking < CHECKS:
            group = self._unchecked.popleft()
            mask = receiver.doubted.get(group, 0)
            indexes = [FAN * group + bit for bit in range(FAN) if mask >> bit & 1]
            if indexes:
                self._checking += 1
                self._run(self._read_blocks, indexes).add_done_callback(partial(self._has_checked, group))

    def _read_blocks(self, indexes: list[int]) -> dict[int, bytes]:
        """In the worker."""
        assert self._sink is not None  # noqa: S101 - only a fetch checks
        size, before = self.layout.block_size, self.layout.manifest_size
        start = indexes[0] * size
        stop = min(self.layout.size, (indexes[-1] + 1) * size)
        data = self._sink.read(start - before, stop - start)
        return {index: data[index * size - start : (index + 1) * size - start] for index in indexes}

    def _has_checked(self, group: int, done: asyncio.Future[dict[int, bytes]]) -> None:
        self._checking -= 1
        if done.cancelled() or self.receiver is None or self.ended:
            return
        self.receiver.checked(group, {} if done.exception() else done.result())
        self._check()
        if not self.receiver.left:
            self.receiver.next_timeout = self._member.now()
            self._flush()
        self._arm()
        self.on_changed()

    def _flush(self) -> None:
        """Let the worker write what came."""
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        if not self._begun or self.ended or self._sink is None:
            return
        runs, size = _runs(self._writing), self._writing_bytes
        self._writing, self._writing_bytes = [], 0
        if runs:
            self._backlog += size
            self._run(self._write, runs).add_done_callback(lambda _: self._written(size))
        self._finish()

    def _write(self, runs: list[tuple[int, bytes]]) -> None:
        """In the worker."""
        assert self._sink is not None  # noqa: S101 - only a fetch writes
        for offset, data in runs:
            self._sink.write(offset, data)

    def _written(self, size: int) -> None:
        self._backlog -= size
        self._count_backlog()
        self._finish()

    def _count_backlog(self) -> None:
        waiting = self._backlog + self._writing_bytes
        if self.receiver is not None:
            self.receiver.backlog = (waiting + round(self.endpoint.filling * BUFFER)) >> 10
        if waiting > BACKLOG and not self._manifest_left:
            self.endpoint.pause()
        elif waiting < BACKLOG // 2:
            self.endpoint.resume()

    def _finish(self) -> None:
        """All is here and written: finish the sink."""
        receiver = self.receiver
        if (
            receiver is None
            or receiver.left
            or self._finishing
            or self._writing
            or self._backlog
            or not self._begun
            or self._sink is None
        ):
            return
        self._finishing = True
        self._run(self._sink.finish).add_done_callback(self._has_finished)

    def _has_finished(self, done: asyncio.Future[None]) -> None:
        if done.cancelled() or done.exception() is not None or self.ended:
            return
        self.whole = True
        self._say(NoticeKind.WHOLE)
        self.on_whole()
        self.on_changed()
        self._arm()

    def _run(self, function: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
        """Run a method of the sink in the worker; what it raises ends the transfer."""
        self._jobs += 1
        future = self._worker.run(function, *arguments)
        future.add_done_callback(self._job_done)
        return future

    def _job_done(self, done: asyncio.Future[Any]) -> None:
        self._jobs -= 1
        if not done.cancelled() and (error := done.exception()) is not None:
            self.fail(Failure("sink", str(error) or type(error).__name__))

    def _source_failed(self, error: BaseException) -> None:
        """Blocks to serve could not be read."""
        if self.receiver is None:
            self.fail(Failure("source", str(error) or type(error).__name__))
        else:
            self.sender.changed = True  # who asks us finds somebody else
        self._waiting.clear()

    def _changed(self) -> None:
        self.sender.changed = True
        if self.receiver is None:
            self.fail(Failure("changed", "the content is not what was offered any more"))

    def fail(self, failure: Failure) -> None:
        """The transfer ends; others are told."""
        if self.ended or self.failure is not None or (self.whole and self.receiver is not None):
            return
        self.failure = failure
        self._say(
            NoticeKind.FAILED if self.receiver is not None else NoticeKind.WITHDRAW,
            failure.text or failure.kind,
        )
        if self.receiver is not None:
            self.ended = True
        self.on_changed()

    def _say(self, kind: NoticeKind, text: str = "") -> None:
        encoded = text.encode(errors="replace")[:200].decode(errors="ignore")
        self._member.say(BulkNotice(kind, self.root, self.endpoint.port, text=encoded))

    # Out

    def _turn(self, now: float) -> None:
        """Do what is due."""
        receiver = self.receiver
        if receiver is not None and not self.ended and now >= receiver.next_timeout:
            self._count_backlog()
            receiver.drained = self.endpoint.filling == 0.0
            outreach = receiver.on_timeout(now, self._able, self._here)
            if outreach is not None:
                if outreach.by_group:
                    self._ways.pop(outreach.to, None)  # it may be elsewhere now
                address = None if outreach.by_group else self._address(outreach.to)
                content = encode_report(outreach.report)
                self._send_control(BulkKind.REPORT, outreach.to, address, content)
        for client, status in self.sender.statuses(now):
            self._send_status(client, status)
        if now >= self._look_at:
            self._look_at = now + HOUSEKEEPING
            self.sender.forget(now)
            self.on_changed()
        self._pump()

    def _send_status(self, client: Client, status: BulkStatus) -> None:
        self._send_control(BulkKind.STATUS, client.peer_id, client.reporter.address, encode_status(status))

    def _send_control(self, kind: BulkKind, to: PeerId, address: Address, content: bytes) -> None:
        pair = self._pair(to)
        if pair is not None:
            head = ControlHead(kind, self.keys.tag, self._me, next(_counter))
            self.endpoint.send(address, [(pair.to.seal(head, content), b"")])

    def _pump(self) -> None:
        """Send what may leave now."""
        if self.failure is not None:
            return
        budget = AT_ONCE
        while budget > 0:
            if not self._waiting:
                batch = self.sender.take(self._member.now())
                if batch is None:
                    break
                self._waiting.append(batch)
            batch = self._waiting[0]
            datagrams = self._datagrams(batch)
            if datagrams is None:  # they are being read
                return
            done = self.endpoint.send(batch.to, datagrams)
            budget -= sum(len(body) for _, body in datagrams)
            self._waiting.popleft()
            if done < len(datagrams):
                rest = Batch(batch.items[done:], batch.to, batch.serial + done)
                self._waiting.appendleft(rest)
                self._full = True
                break
        self._arm()

    def _datagrams(self, batch: Batch) -> list[tuple[bytes, bytes]] | None:
        """The datagrams of a batch, each in two parts; None while blocks are being read."""
        tag, serial, unicast = self.keys.tag, batch.serial, batch.to is not None
        datagrams: list[tuple[bytes, bytes]] = []
        group, blocks = -1, None
        for level, index in batch.items:
            if level == 0:
                if index // FAN != group:
                    group = index // FAN
                    blocks = self.blocks.get(group)
                if blocks is None:
                    return None
                item = blocks[index % FAN]
            else:
                node = self._tree.node(level, index)
                item = None if node is None else self.keys.seal(level, index, node)
            if item is None:
                if level == 0 and self.receiver is not None and self.blocks.again(group):
                    return None  # it was read before the block was written
                if level == 0:
                    self._changed()
                    return []
            else:
                datagrams.append((encode_data_head(tag, level, index, serial, unicast=unicast), item))
            serial += 1
        if group >= 0:
            self.blocks.right(group)
        return datagrams

    def _arm(self) -> None:
        """Set the timer."""
        if self._stopped:
            return
        now = self._member.now()
        when = self._look_at
        if self.receiver is not None and not self.ended:
            when = min(when, self.receiver.next_timeout)
        if self._full:
            when = min(when, now + FULL_PAUSE)
        elif not self._waiting and self.failure is None:
            when = min(when, self.sender.when(now))
        if when == self._timer_at and self._timer is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._loop.call_at(when, self._timed_out)

    def _timed_out(self) -> None:
        self._timer = None
        self._full = False
        self._turn(self._member.now())
        self._arm()

    def stop(self) -> None:
        """No more timers; the sockets and the thread are closed by who made them."""
        self._stopped = True
        self.ended = True
        for handle in (self._timer, self._flush_timer):
            if handle is not None:
                handle.cancel()
        self._timer = self._flush_timer = None


def _port(source: Address) -> Address:
    """What a server is known by: it may send by IPv4 and IPv6, from one port."""
    assert isinstance(source, tuple)  # noqa: S101 - what Endpoint gives
    return hash(source[1])


def _everything(group: int) -> int:
    return (1 << FAN) - 1


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
