"""One transfer at work: its sockets, its thread, and the two sides of the protocol."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from itertools import count
from math import inf
from random import SystemRandom
from typing import Any, Protocol, TypeVar

import msgspec

from mcast.core.bulk.channel import Batch, Part
from mcast.core.bulk.layout import Layout
from mcast.core.bulk.receiver import BulkReceiver, Row
from mcast.core.bulk.sender import BulkSender, Client, Way
from mcast.core.bulk.tree import HashTree
from mcast.core.events import Address, PeerId, PeerView
from mcast.crypto.bulk import ControlSealer, PrivateOffer, TransferKeys
from mcast.crypto.keys import Identity
from mcast.crypto.rooms import Room
from mcast.errors import McastError
from mcast.multicast import Burst
from mcast.net.links import Plan
from mcast.net.slots import Piece, Slots
from mcast.net.socket_options import SEGMENTS_BYTES_MAX, SEGMENTS_MAX
from mcast.runtime.bulk.endpoint import BUFFER, Endpoint, bulk_group
from mcast.runtime.bulk.serving import BlockCache
from mcast.runtime.bulk.streams import Divisible, Partial, Sink
from mcast.runtime.bulk.views import Failure
from mcast.runtime.bulk.worker import SpooledNodes, Worker
from mcast.settings import Settings
from mcast.wire.bulk import (
    BY_UNICAST,
    DATA_HEAD_SIZE,
    FAN,
    HASH_SIZE,
    UNICAST,
    BulkKind,
    BulkNotice,
    BulkReport,
    BulkStatus,
    ControlHead,
    NoticeKind,
    decode_control_head,
    decode_data_heads,
    decode_report,
    decode_status,
    encode_data_heads,
    encode_report,
    encode_status,
)
from mcast.wire.limits import TAG_SIZE

T = TypeVar("T")
WRITE_BYTES, WRITE_DELAY = 1 << 20, 0.05
"""Verified bytes that are written at once, and seconds after which they are anyway."""
BACKLOG = 16 << 20
"""Verified bytes that wait for the disk. Beyond that nothing is read from the network."""
AT_ONCE = 256 << 10
"""Bytes that leave before the event loop has its turn."""
FULL_PAUSE = 0.001
"""Seconds after which a full socket is tried again."""
CHECKS, CHECKS_AT_ONCE = 8, 2
"""Groups of blocks of a run before that the worker reads and checks at a time, and how often that is queued:
what came from the network is written in between."""
HOUSEKEEPING = 0.5
"""Seconds between two looks at who is gone."""

_PUBLIC = {
    "sink": "cannot keep the files",
    "source": "the files cannot be read any more",
    "changed": "the content is not what was offered any more",
}
"""What all may know of why a private transfer ended, by the kind of failure."""

_counter = count(1)


class Member(Protocol):
    """What a transfer needs of the group that it belongs to."""

    identity: Identity
    peer_id: PeerId
    name: str
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

    `ports` are where those can be asked who take part in it. `on_changed` is called when something is worth a
    look, `on_progress` when more has come or is known to have.

    `root` names it, `private` is what else is known of a private one. `partial` is the source if it
    can change in part. A receiver believes only the `author` that it did.
    """

    def __init__(
        self,
        member: Member,
        layout: Layout,
        root: bytes,
        nodes: SpooledNodes,
        worker: Worker,
        read: Callable[[int, int], bytes],
        way: Way,
        *,
        tree: HashTree | None = None,
        sink: Sink | None = None,
        author: bytes = b"",
        private: PrivateOffer | None = None,
        partial: Partial | None = None,
    ) -> None:
        self._member, self.layout, self.root = member, layout, root
        self._private = private is not None
        self._tree_root = root if private is None else private.offer.root
        self._nodes, self._worker, self._sink, self._author = nodes, worker, sink, author
        self._partial, self._lost_noted = partial, 0
        self._loop = asyncio.get_running_loop()
        self.keys = TransferKeys(member.room, root, b"" if private is None else private.secret)
        self._tag = int.from_bytes(self.keys.tag)
        self._me = self.keys.name(*member.peer_id)
        now = member.now()
        self.receiver: BulkReceiver | None = None
        held: Callable[[int], int] = self._offers
        if tree is None:
            self.receiver = BulkReceiver(layout, self._tree_root, nodes, now, unicast=way is Way.UNICAST)
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
            layout, tree, self.keys, worker, read, self._flush, self._has_read, self._source_failed
        )
        group = bulk_group(member.plan.groups, self.keys.place)
        sealed = TAG_SIZE if self.keys.sealed else 0
        slots = Slots(DATA_HEAD_SIZE, layout.block_size + sealed)
        self.endpoint = Endpoint(member.plan, group, self._received, slots)
        self.whole = self.receiver is None
        self.failure: Failure | None = None
        self.ended = False
        self.ports: dict[PeerId, int] = {}
        self.received_bytes = 0
        self.on_changed: Callable[[], None] = lambda: None
        self.on_progress: Callable[[], None] = lambda: None
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
        else:
            self.endpoint.need_no_data()
        self._arm()

    # Whom we know

    def party(self, notice: BulkNotice, peer_id: PeerId) -> None:
        """A peer said something about this transfer."""
        gives_none = notice.kind is NoticeKind.WHOLE and not notice.port
        if gives_none or notice.kind in (NoticeKind.WITHDRAW, NoticeKind.FAILED):
            self.leaves(peer_id)
            self._source_ended(notice, peer_id)
        else:
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

    def _source_ended(self, notice: BulkNotice, peer_id: PeerId) -> None:
        """Who offers it may say why it gives it no more: then it does not come back."""
        receiver = self.receiver
        author = peer_id.origin == self._author and notice.kind is NoticeKind.WITHDRAW
        if author and notice.text and receiver is not None and receiver.left and not receiver.servers:
            self.fail(Failure("changed", notice.text))

    def leaves(self, peer_id: PeerId) -> None:
        """A peer takes no part any more."""
        self.ports.pop(peer_id, None)
        self.sender.left(peer_id)
        if self.receiver is not None:
            self.receiver.serves_no_more(peer_id, self._member.now())
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

    def _offers(self, group: int) -> int:
        """The mask of the blocks of a group that we offered."""
        return (1 << FAN) - 1

    def _holds(self, group: int) -> int:
        """The mask of the blocks of a group that we can serve while we fetch."""
        return self.receiver.holds(group) if self.receiver is not None and self._begun else 0

    def _able(self, peer_id: PeerId) -> bool:
        return peer_id in self.ports and self._pair(peer_id) is not None

    def _host(self, peer_id: PeerId) -> str:
        source = self._member.peer(peer_id).source
        return str(source[0]) if isinstance(source, tuple) else ""

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

    def _received(self, pieces: Sequence[Piece], age: float) -> None:
        now = self._member.now()
        runs: list[tuple[int, bytes]] = []
        for piece in pieces:
            source = (*piece.source, piece.interface)
            rows: list[Row] = []
            for datagram in piece.odd:
                self._sort(source, memoryview(datagram), now, age, rows)
            if piece.count:
                self._sort_piece(source, piece, now, age, rows)
            if rows and self.receiver is not None and not self.ended:
                runs += self.receiver.take(_port(source), rows, now, age)
        if self.receiver is not None and not self.ended:
            self._got(runs)
            if self.receiver.checks:
                self._check()
        self._arm()

    def _sort_piece(self, source: Address, piece: Piece, now: float, age: float, rows: list[Row]) -> None:
        """Take the datagrams in a piece apart: rows of items, and control messages."""
        slots, at, count = self.endpoint.slots, 0, piece.count
        if piece.last <= 0:  # no item is that short
            count -= 1
            start = slots.head * (piece.start + count)
            self._sort(source, slots.heads[start : start + slots.head + piece.last], now, age, rows)
        size, bodies = slots.body, slots.bodies[slots.body * piece.start :]
        heads = decode_data_heads(slots.heads, slots.head * piece.start, count)
        end = size * (piece.count - 1) + max(0, piece.last)
        while at < count:
            level = heads.level(at, self._tag)
            stop, mask = heads.row(at) if level is not None else (at + 1, 0)
            data = bodies[size * at : min(end, size * stop)]
            if level is None:
                head = slots.heads[slots.head * (piece.start + at) : slots.head * (piece.start + stop)]
                self._control(source, bytes(head) + bytes(data), now, age)
            elif self.receiver is not None:
                self.received_bytes += slots.head * (stop - at) + len(data)
                self._add_row(level, heads.indexes[at:stop], mask, heads.serials[at:stop], data, rows)
            at = stop

    def _sort(self, source: Address, datagram: memoryview, now: float, age: float, rows: list[Row]) -> None:
        """The same with one datagram of another size."""
        level = None
        if len(datagram) > DATA_HEAD_SIZE:
            heads = decode_data_heads(datagram, 0, 1)
            level = heads.level(0, self._tag)
        if level is None:
            self._control(source, bytes(datagram), now, age)
        elif self.receiver is not None:
            self.received_bytes += len(datagram)
            mask = 1 << heads.indexes[0] % FAN
            self._add_row(level, heads.indexes, mask, heads.serials, datagram[DATA_HEAD_SIZE:], rows)

    def _add_row(
        self,
        level: int,
        indexes: tuple[int, ...],
        mask: int,
        serials: tuple[int, ...],
        data: memoryview | bytes,
        rows: list[Row],
    ) -> None:
        """Open items of one row."""
        unicast, level = bool(level & UNICAST), level & ~UNICAST
        if self.keys.sealed:
            size = self.endpoint.slots.body
            opened = [
                self.keys.open(level, index, bytes(data[at : at + size]))
                for index, at in zip(indexes, range(0, len(data), size), strict=True)
            ]
            for at, item in enumerate(opened):
                if item is None:  # the rest of the row is not worth less for it
                    mask &= ~(1 << indexes[at] % FAN)
            serials = tuple(serial for serial, item in zip(serials, opened, strict=True) if item is not None)
            data = b"".join(item for item in opened if item is not None)
            if not mask:
                return
        rows.append(Row(level, indexes[0] // FAN, mask, serials, unicast, data))

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
                self.on_progress()
                self._turn(now)
        else:
            status = decode_status(content)
            if isinstance(status, BulkStatus) and self.receiver is not None:
                self.receiver.on_status(peer_id, _port(source), status, now)
                self._do_without(now)
                if peer_id == self.receiver.server:
                    if status.flags & BY_UNICAST:
                        self.endpoint.leave_group()
                    else:
                        self.endpoint.join_group()

    # What came, on its way to the disk

    def _got(self, runs: list[tuple[int, bytes]]) -> None:
        size, manifest_size = self.layout.block_size, self.layout.manifest_size
        for first, data in runs:
            offset = first * size - manifest_size
            if offset < 0:
                part = data[:-offset]
                self._manifest[offset + manifest_size : offset + manifest_size + len(part)] = part
                self._manifest_left -= -(-len(part) // size)
                offset, data = offset + len(part), data[len(part) :]
            if not data:
                continue
            no_room = self._manifest_left and self._writing_bytes > BACKLOG and first * size >= manifest_size
            if no_room and self.receiver is not None:
                # Nobody knows where it goes: it can wait, memory is not endless.
                for index in range(first, first + -(-len(data) // size)):
                    self.receiver.lose(index)
                continue
            self._writing.append((offset, data))
            self._writing_bytes += len(data)
        if not self._begun and not self._manifest_left and runs:
            self._begin()
        self._pause_or_resume()
        if self._writing_bytes >= WRITE_BYTES or (self.receiver is not None and not self.receiver.left):
            self._flush()
        elif self._writing and self._flush_timer is None:
            self._flush_timer = self._loop.call_later(WRITE_DELAY, self._flush)
        if runs:
            self.on_progress()

    def _begin(self) -> None:
        if self._sink is not None and not self._jobs:
            content = self.layout.size - self.layout.manifest_size
            begun = self._run(self._sink.begin, bytes(self._manifest), content, self._tree_root)
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
        """Let the worker check blocks that may be here from a run before, whose hashes are known now."""
        receiver = self.receiver
        while receiver is not None and self._begun and receiver.checks and self._checking < CHECKS_AT_ONCE:
            groups = [group for _ in range(CHECKS) if (group := receiver.next_check()) is not None]
            asked = [(group, mask) for group in groups if (mask := receiver.doubted.get(group))]
            if asked:
                self._checking += 1
                self._run(self._check_blocks, asked).add_done_callback(self._has_checked)

    def _check_blocks(self, asked: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
        """In the worker: of each group the mask that was asked for, and that of the blocks that are right."""
        assert self._sink is not None  # noqa: S101 - only a fetch checks
        size, before = self.layout.block_size, self.layout.manifest_size
        checked = []
        for group, mask in asked:
            node, right = self._tree.read(1, group), 0
            bits = [bit for bit in range(FAN) if mask >> bit & 1]
            start = (FAN * group + bits[0]) * size
            stop = min(self.layout.size, (FAN * group + bits[-1] + 1) * size)
            data = memoryview(self._sink.read(start - before, stop - start))
            for bit in bits:
                at = (FAN * group + bit) * size - start
                hashed = sha256(data[at : at + size]).digest()
                right |= (hashed == node[HASH_SIZE * bit : HASH_SIZE * (bit + 1)]) << bit
            checked.append((group, mask, right))
        return checked

    def _has_checked(self, done: asyncio.Future[list[tuple[int, int, int]]]) -> None:
        self._checking -= 1
        if done.cancelled() or done.exception() is not None or self.receiver is None or self.ended:
            return
        for group, asked, right in done.result():
            self.receiver.checked(group, asked, right)
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
        self._pause_or_resume()
        self._finish()

    def _pause_or_resume(self) -> None:
        """Read nothing while too much waits for the disk."""
        waiting = self._backlog + self._writing_bytes
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

    def _do_without(self, now: float) -> None:
        """What is still missing does not come any more: keep what is complete without it."""
        receiver, before, size = self.receiver, self.layout.manifest_size, self.layout.block_size
        if receiver is None or self.ended or self._finishing or not self._begun:
            return
        if receiver.is_lost(self._author, now):
            self._flush()
            self._finishing = True
            missing = [
                (max(0, start * size - before), min(stop * size, self.layout.size) - before)
                for start, stop in receiver.lacking()
            ]
            self._run(self._keep_rest, missing).add_done_callback(self._has_kept_rest)

    def _keep_rest(self, missing: list[tuple[int, int]]) -> str:
        """In the worker: what is lacking, in words."""
        if isinstance(self._sink, Divisible):
            return self._sink.finish_without(missing)
        return "a part of it changed while it was sent"

    def _has_kept_rest(self, done: asyncio.Future[str]) -> None:
        if not done.cancelled() and done.exception() is None and not self.ended:
            self.fail(Failure("changed", done.result()))

    def _has_finished(self, done: asyncio.Future[None]) -> None:
        if done.cancelled() or done.exception() is not None or self.ended:
            return
        self.whole = True
        self.endpoint.need_no_data()
        self._say(NoticeKind.WHOLE)
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
            self._fail("sink", error)

    def _source_failed(self, error: BaseException) -> None:
        """Blocks to serve could not be read."""
        if self.receiver is None:
            self._fail("source", error)
        else:
            self.sender.changed = True  # who asks us finds somebody else
        self._waiting.clear()

    def _has_read(self) -> None:
        """Blocks to serve were read. If a file has changed, all of it is lost: a part of it is of no use, and
        to look for the others block by block takes long."""
        self._note_lost()
        self._pump()

    def _note_lost(self) -> None:
        size, before = self.layout.block_size, self.layout.manifest_size
        for start, stop in () if self._partial is None else self._partial.lost[self._lost_noted :]:
            self._lost_noted += 1
            self.sender.lose((before + start) // size, -(-(before + stop) // size))

    def _changed(self) -> None:
        self.sender.changed = True
        if self.receiver is None:
            self.fail(Failure("changed", "the content is not what was offered any more"))

    def _fail(self, kind: str, error: BaseException) -> None:
        """The transfer ends by an error. What to do about it is told here, not to others."""
        told = error.message if isinstance(error, McastError) else ""
        self.fail(Failure(kind, str(error) or type(error).__name__), told)

    def fail(self, failure: Failure, told: str = "") -> None:
        """The transfer ends; others are told why, if need be in other words."""
        if self.ended or self.failure is not None or (self.whole and self.receiver is not None):
            return
        self.failure = failure
        self._say(
            NoticeKind.FAILED if self.receiver is not None else NoticeKind.WITHDRAW,
            told or failure.text or failure.kind,
        )
        if self.receiver is not None:
            self.ended = True
        self.on_changed()

    def _say(self, kind: NoticeKind, text: str = "") -> None:
        """Tell the room. Why a private transfer ended can name files: others read of what kind it is."""
        if self._private and self.failure is not None:
            text = _PUBLIC.get(self.failure.kind, self.failure.kind)
        encoded = text.encode(errors="replace")[:200].decode(errors="ignore")
        self._member.say(BulkNotice(kind, self.root, self.endpoint.port, text=encoded))

    # Out

    def _turn(self, now: float) -> None:
        """Do what is due."""
        receiver = self.receiver
        if receiver is not None and not self.ended and now >= receiver.next_timeout:
            filling = self.endpoint.filling
            receiver.backlog = (self._backlog + round(filling * BUFFER)) >> 10
            receiver.drained = filling == 0.0
            outreach = receiver.on_timeout(now, self._able, self._host)
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
            self._do_without(now)
            self.on_changed()
        self._pump()

    def _send_status(self, client: Client, status: BulkStatus) -> None:
        self._send_control(BulkKind.STATUS, client.peer_id, client.reporter.address, encode_status(status))

    def _send_control(self, kind: BulkKind, to: PeerId, address: Address, content: bytes) -> None:
        pair = self._pair(to)
        if pair is not None:
            head = ControlHead(kind, self.keys.tag, self._me, next(_counter))
            datagram = pair.to.seal(head, content)
            self.endpoint.send(address, [Burst(len(datagram), [datagram, b""])])

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
            made = self._bursts(batch)
            if made is None:  # they are being read
                return
            batch, bursts = made
            before = self.endpoint.sent_bytes
            done = self.endpoint.send(batch.to, bursts)
            budget -= self.endpoint.sent_bytes - before
            self._waiting.popleft()
            if done < sum(len(burst.parts) // 2 for burst in bursts):
                self._waiting.appendleft(batch.without(done))
                self._full = True
                break
        self._arm()

    def _bursts(self, batch: Batch) -> tuple[Batch, list[Burst]] | None:
        """What is here of a batch, and its datagrams; None while blocks are being read."""
        serial, bursts, parts = batch.serial, list[Burst](), list[Part]()
        for level, group, mask in batch.parts:
            bits = [bit for bit in range(FAN) if mask >> bit & 1]
            items: Sequence[bytes | memoryview | None] | None
            if level == 0:
                items = self.blocks.get(group)
                if items is None:
                    return None
                items = [items[bit] for bit in bits]
            else:
                items = [self._node(level, FAN * group + bit) for bit in bits]
            here = [item for item in items if item is not None]
            if len(here) < len(items):
                if level == 0 and self.receiver is not None and self.blocks.again(group):
                    return None  # it was read before the block was written
                if level == 0 and self._partial is not None:
                    self._lose(
                        self._partial,
                        group,
                        [bit for bit, item in zip(bits, items, strict=True) if item is None],
                    )
                elif level == 0:
                    self._changed()
                    return batch, []
                bits = [bit for bit, item in zip(bits, items, strict=True) if item is not None]
            if here:
                indexes = [FAN * group + bit for bit in bits]
                heads = encode_data_heads(self.keys.tag, level, indexes, serial, unicast=batch.to is not None)
                _pack(heads, here, bursts)
                parts.append((level, group, sum(1 << bit for bit in bits)))
            if level == 0:
                self.blocks.right(group)
            serial += len(here)
        return Batch(parts, batch.to, batch.serial), bursts

    def _lose(self, source: Partial, group: int, bits: Iterable[int]) -> None:
        """These blocks of a group are not what they were."""
        size, before = self.layout.block_size, self.layout.manifest_size
        for index in [FAN * group + bit for bit in bits]:
            self.sender.lose(index, index + 1)
            start = index * size - before
            try:
                source.spoil(start, min(start + size, self.layout.size - before))
            except McastError as error:
                self.fail(Failure("source", str(error)))
        self._note_lost()

    def _node(self, level: int, index: int) -> bytes | None:
        """A node as it is sent, if it is known."""
        node = self._tree.node(level, index)
        return None if node is None else self.keys.seal(level, index, node)

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
        if self._timer is not None:
            if self._timer_at <= when:  # it looks again then
                return
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


def _pack(heads: bytes, items: Sequence[bytes | memoryview], bursts: list[Burst]) -> None:
    """Add items of one level behind their heads, all of one size but the last."""
    size = DATA_HEAD_SIZE + len(items[0])
    most = max(1, min(SEGMENTS_MAX, SEGMENTS_BYTES_MAX // size))
    if bursts and len(items) == 1:  # the node of the next group, after the blocks of this one
        before = bursts[-1]
        full = len(before.parts[-1]) + DATA_HEAD_SIZE == before.size
        room = (len(before.parts) // 2 + 1) * before.size <= SEGMENTS_BYTES_MAX
        if full and room and size <= before.size and len(before.parts) < 2 * SEGMENTS_MAX:
            before.parts.extend((heads, items[0]))
            return
    for start in range(0, len(items), most):
        some = items[start : start + most]
        parts: list[bytes | memoryview] = [b""] * (2 * len(some))
        begin, end = DATA_HEAD_SIZE * start, DATA_HEAD_SIZE * (start + len(some))
        parts[0::2] = [heads[at : at + DATA_HEAD_SIZE] for at in range(begin, end, DATA_HEAD_SIZE)]
        parts[1::2] = some
        bursts.append(Burst(size, parts))


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
