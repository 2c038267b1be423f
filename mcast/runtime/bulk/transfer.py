"""One transfer at work: its sockets, its thread, and the two sides of the protocol."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from math import inf
from random import SystemRandom
from typing import Protocol

import msgspec

from mcast.core.bulk.channel import Batch, Part
from mcast.core.bulk.layout import FULL, Layout
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
from mcast.runtime.bulk.streams import Partial, Sink
from mcast.runtime.bulk.views import Failure
from mcast.runtime.bulk.worker import SpooledNodes, Worker
from mcast.runtime.bulk.writing import SinkWriter
from mcast.settings import Settings
from mcast.wire.bulk import (
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
    decode_data_heads,
    decode_report,
    decode_status,
    encode_data_heads,
    encode_report,
    encode_status,
)
from mcast.wire.limits import TAG_SIZE

AT_ONCE = 256 << 10
"""Bytes that leave before the event loop has its turn."""
FULL_PAUSE = 0.001
"""Seconds after which a full socket is tried again."""
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
    """Serves with `sender` what is here of it. `content` is the hash tree of what we offer, or the sink of
    what we fetch: then it has a `receiver`, and a `writer` for what comes.

    `ports` are where those can be asked who take part in it. `on_changed` is called when something is worth a
    look, `on_progress` when more has come or is known to have.

    `root` names it, `private` is what else is known of a private one. `partial` is the source if it can
    change in part. A receiver believes only the `author` that it did.
    """

    def __init__(
        self,
        member: Member,
        layout: Layout,
        root: bytes,
        content: HashTree | Sink,
        nodes: SpooledNodes,
        worker: Worker,
        read: Callable[[int, int], bytes],
        way: Way,
        *,
        author: bytes = b"",
        private: PrivateOffer | None = None,
        partial: Partial | None = None,
    ) -> None:
        self._member, self.layout, self.root = member, layout, root
        self._private = private is not None
        self._nodes, self._author = nodes, author
        self._partial, self._lost_noted = partial, 0
        self._loop = asyncio.get_running_loop()
        self.keys = TransferKeys(member.room, root, b"" if private is None else private.secret)
        self._tag = int.from_bytes(self.keys.tag)
        self._me = self.keys.name(*member.peer_id)
        now = member.now()
        self.receiver: BulkReceiver | None = None
        self.writer: SinkWriter | None = None
        held: Callable[[int], int]
        if isinstance(content, HashTree):
            tree, held = content, _everything
        else:
            tree_root = root if private is None else private.offer.root
            self.receiver = BulkReceiver(layout, tree_root, nodes, now, unicast=way is Way.UNICAST)
            self.writer = writer = SinkWriter(layout, self.receiver, worker, content, tree_root, member.now)
            writer.on_full, writer.on_look, writer.on_whole = self._read_less, self._look, self._is_whole
            writer.on_lost = lambda text: self.fail(Failure("changed", text))
            writer.on_failed = lambda error: self._fail("sink", error)
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
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._full = self._stopped = False
        self._look_at = now

    @property
    def manifest(self) -> bytes:
        """The manifest, as far as it has come."""
        return b"" if self.writer is None else self.writer.manifest

    def close_nodes(self) -> None:
        """Forget the hash tree."""
        self._nodes.close()

    def start(self) -> None:
        """Open the sockets and begin."""
        self.endpoint.start()
        if self.writer is not None:
            self.writer.start()
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

    def _holds(self, group: int) -> int:
        """The mask of the blocks of a group that we can serve while we fetch."""
        begun = self.writer is not None and self.writer.begun
        return self.receiver.holds(group) if self.receiver is not None and begun else 0

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
        """Verified blocks have come."""
        if self.writer is not None:
            self.writer.take(runs)
            self.writer.check()
        if runs:
            self.on_progress()

    def _do_without(self, now: float) -> None:
        """Whether what is still missing does not come any more."""
        if self.receiver is not None and self.writer is not None and self.receiver.is_lost(self._author, now):
            self.writer.do_without()

    def _flush(self) -> None:
        """What we serve is read: it must be written before."""
        if self.writer is not None:
            self.writer.flush()

    def _read_less(self, less: bool) -> None:
        """Too much waits for the disk, or not any more."""
        if less:
            self.endpoint.pause()
        else:
            self.endpoint.resume()

    def _look(self) -> None:
        self._arm()
        self.on_changed()

    def _is_whole(self) -> None:
        self.whole = True
        self.endpoint.need_no_data()
        self._say(NoticeKind.WHOLE)
        self._look()

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
        if self.writer is not None:
            self.ended = True
            self.writer.stop()
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
            backlog = 0 if self.writer is None else self.writer.backlog
            receiver.backlog = (backlog + round(filling * BUFFER)) >> 10
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
                self._fail("source", error)
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
        if self.writer is not None:
            self.writer.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _everything(_: int) -> int:
    """The mask of the blocks of a group that we have, of what we offer."""
    return FULL


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
