"""Bulk transfers as a program sees them: offers, drops (we give) and fetches (we get).

drop = await group.drop(source, title="holiday.zip", count=1)
verdict = await drop.wait(receivers=[ada], timeout=60)

async for event in group.events():
    if isinstance(event, TransferOffered):
        fetch = await group.accept(event, sink)
        failure = await fetch.wait()
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Protocol

import msgspec

from mcast.core.bulk.layout import Layout, make_layout
from mcast.core.bulk.sender import RECEIVERS, Way
from mcast.core.bulk.tree import HashTree, TreeBuilder
from mcast.core.events import Notice, PeerId, PeerView
from mcast.crypto.bulk import PrivateOffer, open_offer, seal_offer
from mcast.crypto.keys import curve_point
from mcast.errors import McastError, UsageError
from mcast.events import TransferOffered, TransferWithdrawn
from mcast.files.incoming import Incoming
from mcast.files.outgoing import Outgoing, Skipped
from mcast.runtime.bulk.board import ABSENT, Board, Party, transfer_id
from mcast.runtime.bulk.streams import Sink, Source
from mcast.runtime.bulk.transfer import Member, Transfer
from mcast.runtime.bulk.views import (
    CANCELLED,
    KEPT_OUT,
    UNHEARD,
    UNREACHED,
    Failure,
    Progress,
    ReceiverProgress,
    State,
    Verdict,
)
from mcast.runtime.bulk.worker import SpooledNodes, Worker
from mcast.wire.bulk import (
    DATA_OVERHEAD,
    MANIFEST_MAX,
    RECIPIENTS_MAX,
    STREAM_MAX,
    TITLE_MAX,
    BulkNotice,
    NoticeKind,
    decode_notice,
)

OPEN_MOST = 32
"""Transfers that we serve or fetch at the same time: each has sockets and a thread."""
NOTED = 0.02
"""Seconds after which who waits for a change is told of progress."""
CHANGES = 0.1
"""Seconds between two changes that are told."""
SILENT = 5.0
"""Seconds without a word after which a receiver is called silent."""
READ = 1 << 20
"""Bytes that are read at once for the hash tree."""
INTRODUCED = 1.0
"""Seconds, at least, between two times that we say that we take something. The attack: offers of one transfer
without end."""
JOIN = 2.0
"""Seconds that closing waits for the thread of a transfer, which may be writing to a disk that hangs."""


class Closed(Protocol):
    """A source or a sink."""

    def close(self) -> None:
        """Nothing is read any more."""
        ...


class TransferOpen(UsageError):
    """We take part in that transfer already, as `transfer`."""

    def __init__(self, transfer: Drop | Fetch) -> None:
        super().__init__("this is offered or fetched already", "withdraw or close it first")
        self.transfer = transfer


class Shared:
    """What Drop and Fetch have in common. `id` names the transfer, `offer` is what was offered."""

    def __init__(
        self, bulk: Bulk, offer: TransferOffered, transfer: Transfer, worker: Worker, held: Closed
    ) -> None:
        self.offer = offer
        self._bulk, self._transfer, self._worker, self._held = bulk, transfer, worker, held
        self._loop = asyncio.get_running_loop()
        self._waiting: set[asyncio.Future[None]] = set()
        self._changes = 0
        self._rate_at, self._rate_have, self._rate = self._loop.time(), 0, 0.0
        self._served_at = -inf
        self._closed = False
        self._introduced = self._loop.time()
        self._introducing: asyncio.TimerHandle | None = None
        self._noting: asyncio.TimerHandle | None = None
        transfer.on_changed, transfer.on_progress = self._note, self._note_soon

    @property
    def id(self) -> str:
        """Names the transfer, as in its offer."""
        return self.offer.id

    @property
    def failure(self) -> Failure | None:
        """Why it ended, if it did without success."""
        return self._transfer.failure

    def progress(self) -> Progress:
        """How it stands. Cheap: call it as often as a screen needs."""
        transfer = self._transfer
        have = transfer.layout.size
        if transfer.receiver is not None:
            have = self._bytes(transfer.layout.blocks - transfer.receiver.left)
        now = self._loop.time()
        if now - self._rate_at >= 0.5:
            self._rate = (have - self._rate_have) / (now - self._rate_at)
            self._rate_at, self._rate_have = now, have
        rate = self._rate if transfer.receiver is not None else transfer.sender.rate
        return Progress(
            transfer.layout.size,
            have,
            transfer.endpoint.sent_bytes,
            transfer.received_bytes,
            rate,
            self._receivers(now),
        )

    def _bytes(self, blocks: int) -> int:
        return min(self._transfer.layout.size, blocks * self._transfer.layout.block_size)

    def _receivers(self, now: float) -> tuple[ReceiverProgress, ...]:
        parties = self._bulk.parties(self.offer.root)
        clients = self._transfer.sender.clients
        told = []
        servers: set[PeerId] | None = None
        for peer_id, party in parties.items():
            if party.kind in (NoticeKind.OFFER, NoticeKind.WITHDRAW):
                continue
            client = clients.get(peer_id)
            state, way, loss, reason = State.ACCEPTED, "multicast", 0.0, ""
            if client is not None:
                state, loss = State.RECEIVING, client.reporter.loss
                party.have, party.heard = self._bytes(client.have), max(client.heard, party.heard)
                way = "multicast" if client.channel is None else "unicast"
                if client.unreached:
                    reason = UNREACHED + ("" if client.got else KEPT_OUT)
            have = party.have or 0
            # A drop also hears nothing if reports were forgotten, or never came. But those who fetch as we do
            # report to somebody else.
            reports = client is not None or self._transfer.receiver is None
            if reports and now - party.heard >= SILENT:
                state, reason = State.SILENT, ""
                if self._never_reported(peer_id, party):
                    servers = self._servers(parties) if servers is None else servers
                    reason = UNHEARD if self._needs_us(peer_id, servers, now) else ""
            if party.kind is NoticeKind.WHOLE:
                state, have, reason = State.WHOLE, self._transfer.layout.size, ""
            elif party.kind is NoticeKind.FAILED:
                state, reason = State.FAILED, party.reason
            told.append(ReceiverProgress(peer_id, party.name, state, have, way, loss, reason))
        return tuple(told)

    def _never_reported(self, peer_id: PeerId, party: Party) -> bool:
        """Whether a peer that is here takes it, but has never reported. Too many receivers are not noted."""
        noted = len(self._transfer.sender.clients) < RECEIVERS
        return party.have is None and noted and self._bulk.is_here(peer_id)

    def _servers(self, parties: Mapping[PeerId, Party]) -> set[PeerId]:
        """Who else is here and gives it, or the part of it that it has."""
        clients = self._transfer.sender.clients
        servers = {peer.peer_id for peer in self._bulk.holders(self.offer)}
        for peer_id, party in parties.items():
            part = clients[peer_id].have if peer_id in clients else party.have
            if party.kind is NoticeKind.ACCEPT and part and self._bulk.is_here(peer_id):
                servers.add(peer_id)
        return servers

    def _needs_us(self, peer_id: PeerId, servers: set[PeerId], now: float) -> bool:
        """Whether a receiver can only report to us, and had the time to: others may have left just now."""
        if servers - {peer_id}:
            self._served_at = now
        return now - self._served_at >= SILENT

    def _note_soon(self) -> None:
        """Something changed of which much more may follow at once."""
        self._changes += 1
        if self._waiting and self._noting is None:
            self._noting = self._loop.call_later(NOTED, self._note)

    def _note(self) -> None:
        self._changes += 1
        if self._noting is not None:
            self._noting.cancel()
            self._noting = None
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def changed(self, timeout: float | None = None) -> bool:
        """Wait until progress() may differ, at least 0.1 s. False if nothing changed within `timeout`."""
        seen = self._changes
        if timeout is None or timeout > CHANGES:
            await asyncio.sleep(CHANGES)
            timeout = None if timeout is None else timeout - CHANGES
        if self._changes == seen and not self._closed:
            await self._next(timeout)
        return self._changes != seen

    async def _next(self, timeout: float | None) -> None:
        future = self._loop.create_future()
        self._waiting.add(future)
        try:
            await asyncio.wait([future], timeout=timeout)
        finally:
            self._waiting.discard(future)

    async def _end(self, *, close: bool) -> None:
        """Close the sockets, then what was read or written, and the thread."""
        if self._closed:
            return
        self._closed = True
        if self._introducing is not None:
            self._introducing.cancel()
        transfer = self._transfer
        transfer.stop()
        await transfer.endpoint.close()
        if close:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(JOIN):
                    await self._worker.run(self._held.close)
        self._worker.stop()
        await asyncio.sleep(0)
        await asyncio.to_thread(self._worker.join, JOIN)
        transfer.close_nodes()
        self._bulk.forget(self.offer.root, self)
        self._note()


class Drop(Shared):
    """A transfer that we offer. It is served until withdraw(), or until the group is closed."""

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The files that are not sent, such as links, and why; empty with a source of one's own."""
        return tuple(self._held.skipped) if isinstance(self._held, Outgoing) else ()

    @property
    def unsent(self) -> tuple[str, ...]:
        """Why some of the files are not sent any more, a line for each; empty with a source of one's own."""
        return tuple(self._held.changed.values()) if isinstance(self._held, Outgoing) else ()

    async def wait(
        self,
        *,
        receivers: int | Sequence[PeerId | PeerView | str] | None = None,
        timeout: float | None = None,
    ) -> Verdict:
        """Wait until so many, or these (ids, peers, names), have it whole or have failed.

        None: all that have accepted, at least one. The verdict is true if they have it whole.
        """
        limit = None if timeout is None else self._loop.time() + timeout
        while True:
            verdict, done = self._judge(receivers)
            left = None if limit is None else limit - self._loop.time()
            if done or self._closed or self.failure is not None or (left is not None and left <= 0):
                return verdict
            await self._next(left)

    def _judge(self, wanted: int | Sequence[PeerId | PeerView | str] | None) -> tuple[Verdict, bool]:
        told = self.progress().receivers
        whole = tuple(one for one in told if one.state is State.WHOLE)
        if isinstance(wanted, int):
            missing = tuple(one for one in told if one.state is not State.WHOLE)
            complete = len(whole) >= wanted
            return Verdict(complete, whole, missing, self.failure), complete
        if wanted is None:
            missing = tuple(one for one in told if one.state is not State.WHOLE)
            complete = bool(whole) and not missing
            over = bool(told) and all(one.state in (State.WHOLE, State.FAILED) for one in told)
            return Verdict(complete, whole, missing, self.failure), over
        lacking: list[ReceiverProgress] = []
        over = complete = True
        for one in wanted:
            found = [receiver for receiver in told if _is(receiver, one)]
            if any(receiver.state is State.WHOLE for receiver in found):
                continue
            complete = False
            over = over and any(receiver.state is State.FAILED for receiver in found)
            lacking += found or [_unknown(one)]
        return Verdict(complete, whole, tuple(lacking), self.failure), complete or over

    async def withdraw(self) -> None:
        """Say that it is offered no more, and close the source."""
        if not self._closed:
            self._bulk.say(BulkNotice(NoticeKind.WITHDRAW, self.offer.root))
            await self._end(close=True)


class Fetch(Shared):
    """A transfer that we accepted. Once whole it is served to others, until close() or the group's end."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """Where the files are, once it is whole; empty with a sink of one's own."""
        return self._held.places if isinstance(self._held, Incoming) else ()

    async def wait(self, timeout: float | None = None) -> Failure | None:
        """Wait until it is whole and the sink has finished. Returns None then, else why it is not.

        While nobody serves it, it waits for somebody who does. Raises TimeoutError after `timeout` seconds.
        """
        limit = None if timeout is None else self._loop.time() + timeout
        while not self._transfer.whole:
            if self.failure is not None:
                await self._abort()
                return self.failure
            left = None if limit is None else limit - self._loop.time()
            if left is not None and left <= 0:
                raise TimeoutError(f"the transfer {self.id} is not whole after {timeout:g} s")
            await self._next(left)
        return None

    def introduce(self) -> None:
        """Say again that we take or hold it: who offers it now may have come after we said so."""
        now = self._loop.time()
        if self._closed or self.failure is not None or self._introducing is not None:
            return
        if now < self._introduced + INTRODUCED:
            self._introducing = self._loop.call_at(self._introduced + INTRODUCED, self._introduce_late)
            return
        self._introduced = now
        kind = NoticeKind.WHOLE if self._transfer.whole else NoticeKind.ACCEPT
        self._bulk.say(BulkNotice(kind, self.offer.root, self._transfer.endpoint.port))

    def _introduce_late(self) -> None:
        self._introducing = None
        self.introduce()

    async def cancel(self) -> None:
        """Stop, unless it is whole; the sink is aborted. Others are told."""
        if not self._transfer.whole and self.failure is None:
            self._transfer.fail(Failure(CANCELLED))
        await self._abort()

    async def close(self) -> None:
        """Serve it no more, and close the sink. What is not whole is cancelled."""
        if self._transfer.whole:
            if not self._closed:
                self._bulk.say(BulkNotice(NoticeKind.WITHDRAW, self.offer.root))
            await self._end(close=True)
        else:
            await self.cancel()

    async def _abort(self) -> None:
        if self._closed or self._transfer.whole:
            return
        sink = self._held
        with contextlib.suppress(Exception):
            async with asyncio.timeout(JOIN):
                await self._worker.run(sink.abort)  # type: ignore[attr-defined] # a fetch holds a sink
        await self._end(close=False)


def _is(receiver: ReceiverProgress, wanted: PeerId | PeerView | str) -> bool:
    if isinstance(wanted, PeerView):
        wanted = wanted.peer_id
    if isinstance(wanted, PeerId):
        return receiver.peer_id == wanted
    return PeerView(receiver.peer_id, receiver.name).is_called(wanted)


def _unknown(wanted: PeerId | PeerView | str) -> ReceiverProgress:
    """Somebody of whom nothing was heard."""
    if isinstance(wanted, PeerView):
        return ReceiverProgress(wanted.peer_id, wanted.name, State.SILENT)
    if isinstance(wanted, PeerId):
        return ReceiverProgress(wanted, "", State.SILENT)
    return ReceiverProgress(PeerId(bytes(16), 0), wanted, State.SILENT)


class Bulk:
    """All transfers of one group. `on_notice` turns what others say into events for the program."""

    def __init__(self, member: Member, payload: Callable[[], int]) -> None:
        self._member, self._payload = member, payload
        self._open: dict[bytes, Drop | Fetch] = {}
        self._board = Board(self._host, lambda root: root in self._open, self._forgotten)

    # What is known

    def on_notice(self, notice: Notice) -> list[TransferOffered | TransferWithdrawn]:
        """A peer said something."""
        said, peer_id, private = decode_notice(notice.data), notice.peer_id, None
        if not isinstance(said, BulkNotice):
            return []
        if said.kind is NoticeKind.PRIVATE:
            private = self._open_offer(said, peer_id)
            if private is None:
                return []
        readers = self._own_readers(said.root)
        if readers and peer_id.origin not in readers:
            return []
        offered = peer_id in self._board.offers_of(said.root)
        event = self._board.note(said, notice, self._member.now(), private)
        shared = self._open.get(said.root)
        if shared is not None and peer_id in self.parties(said.root):
            shared._transfer.party(said, peer_id)
            offers = said.kind in (NoticeKind.OFFER, NoticeKind.PRIVATE)
            if offers and not offered and isinstance(shared, Fetch):
                shared.introduce()
        return [] if event is None else [event]

    def _own_readers(self, root: bytes) -> Collection[bytes]:
        """Who a transfer that we offer is for; nobody in particular if it is for everybody."""
        shared = self._open.get(root)
        return shared.offer.to if isinstance(shared, Drop) else ()

    def _open_offer(self, said: BulkNotice, peer_id: PeerId) -> PrivateOffer | None:
        """What a private offer says, if it is for us."""
        member = self._member
        key = member.public_key(peer_id)
        return None if key is None else open_offer(member.identity, member.room, said, key)

    def _host(self, peer_id: PeerId) -> str:
        """The computer that a peer is at."""
        source = self._member.peer(peer_id).source
        return str(source[0]) if isinstance(source, tuple) else ABSENT

    def _forgotten(self, root: bytes, peer_id: PeerId) -> None:
        """Others have pushed out what a peer said of a transfer."""
        if root in self._open:
            self._open[root]._transfer.leaves(peer_id)

    def offers(self) -> list[TransferOffered]:
        """What others offer and have not withdrawn, the oldest first."""
        me = self._member.peer_id
        offers = self._board.offers()
        return [offer for offer in offers if offer.peer_id != me]

    def holders(self, offer: TransferOffered) -> list[PeerView]:
        """Who is here and says that it has all of it."""
        said = self.parties(offer.root).items()
        whole = [peer_id for peer_id, one in said if one.kind is NoticeKind.WHOLE and one.port]
        offers = self._board.offers_of(offer.root)
        offering = [peer_id for peer_id, one in offers.items() if one.id == offer.id]
        holders = dict.fromkeys([*offering, *whole])
        holders.pop(self._member.peer_id, None)
        return [peer for peer in map(self._member.peer, holders) if peer.source is not None]

    def is_here(self, peer_id: PeerId) -> bool:
        """Whether a peer is in the room."""
        return self._member.peer(peer_id).source is not None

    def parties(self, root: bytes) -> dict[PeerId, Party]:
        """Who said what about a transfer, without us."""
        me = self._member.peer_id
        return {key: one for key, one in self._board.parties(root).items() if key != me}

    def say(self, notice: BulkNotice) -> None:
        """Tell the room."""
        self._member.say(notice)

    # What we do

    async def drop(
        self, source: Source, title: str, number: int, to: Sequence[PeerId] | None, way: str
    ) -> Drop:
        """Offer a source; see Group.drop()."""
        worker, nodes = Worker("mcast-drop"), SpooledNodes()
        try:
            title, keys = _check_title(title), self._keys(to)
            size, manifest = source.size, bytes(source.manifest)
            if len(manifest) > MANIFEST_MAX:
                raise UsageError(f"a manifest of {len(manifest):,} bytes is too long", "send it in parts")
            if not 0 <= size <= STREAM_MAX - len(manifest):
                most = f"{STREAM_MAX >> 30} GiB are sent at once at most"
                raise UsageError(f"{size:,} bytes are too many: {most}", "send them in parts")
            self._check_room()
            block = self._payload() - DATA_OVERHEAD
            layout = make_layout(size + len(manifest), len(manifest), block)
            tree = await worker.run(_make_tree, layout, nodes, source, manifest)
            said = BulkNotice(NoticeKind.OFFER, tree.root, 0, size, len(manifest), block, number, title)
            private = None
            if keys:
                private, said = seal_offer(self._member.identity, self._member.room, said, keys)
                self._board.restrict(said.root, keys)
            await self._replace(said.root)
            self._check_room()
            offer = TransferOffered(
                transfer_id(said.root, size, len(manifest), block, to=tuple(keys)),
                said.root,
                self._member.peer_id,
                self._member.name,
                title,
                number,
                size,
                len(manifest),
                block,
                0,
                to=tuple(keys),
            )
            transfer = Transfer(
                self._member,
                layout,
                said.root,
                tree,
                nodes,
                worker,
                _reader(manifest, source.read),
                Way(way),
                private=private,
                partial=source if isinstance(source, Outgoing) else None,
            )
            transfer.start()
        except BaseException:
            worker.run(_close, source)
            worker.stop()
            nodes.close()
            raise
        drop = Drop(self, offer, transfer, worker, source)
        self._register(drop)
        self.say(msgspec.structs.replace(said, port=transfer.endpoint.port))
        return drop

    def _keys(self, to: Sequence[PeerId] | None) -> dict[bytes, bytes]:
        """The public keys of the identities that a transfer is for, in order; none for everybody."""
        keys = {}
        for peer_id in to or ():
            key = self._member.public_key(peer_id)
            if key is None or curve_point(key) is None:
                problem = f"no good key of the peer {peer_id.origin.hex()} is known"
                raise McastError(problem, "offer it when the peer is here")
            keys[peer_id.origin] = key
        if len(keys) > RECIPIENTS_MAX:
            raise UsageError(f"a transfer can be for {RECIPIENTS_MAX} peers", "offer it to everybody")
        if to is not None and not keys:
            raise UsageError("the transfer is for nobody", "leave out to=, or name a peer")
        return dict(sorted(keys.items()))

    async def accept(self, offer: TransferOffered, sink: Sink, way: str) -> Fetch:
        """Fetch what somebody offers; see Group.accept()."""
        await self._replace(offer.root)
        self._check_room()
        layout = make_layout(offer.size + offer.manifest_size, offer.manifest_size, offer.block_size)
        private = self._board.private(offer.root) if offer.to else None
        if offer.to and private is None:
            raise UsageError("this is not offered any more", "wait until it is offered again")
        worker, nodes = Worker("mcast-get"), SpooledNodes()
        try:
            transfer = _fetching(self._member, layout, offer, private, nodes, worker, sink, Way(way))
            transfer.start()
        except BaseException:
            worker.stop()
            nodes.close()
            raise
        fetch = Fetch(self, offer, transfer, worker, sink)
        self._register(fetch)
        self.say(BulkNotice(NoticeKind.ACCEPT, offer.root, transfer.endpoint.port))
        return fetch

    async def _replace(self, root: bytes) -> None:
        """Make way for a transfer under a root: a peer takes part in one of each, or its port and its words
        would have two meanings. What we have whole gives way: to be offered by us, or fetched once more."""
        before = self._open.get(root)
        if isinstance(before, Fetch) and before._transfer.whole:
            await before._end(close=True)
        if root in self._open:
            raise TransferOpen(self._open[root])

    def _check_room(self) -> None:
        if len(self._open) >= OPEN_MOST:
            raise McastError(f"{OPEN_MOST} transfers are open", "close one first")

    def _register(self, shared: Drop | Fetch) -> None:
        self._open[shared.offer.root] = shared
        for peer_id, party in self.parties(shared.offer.root).items():
            notice = BulkNotice(party.kind, shared.offer.root, party.port)
            shared._transfer.party(notice, peer_id)

    def forget(self, root: bytes, shared: Shared) -> None:
        """A transfer is closed."""
        if self._open.get(root) is shared:
            del self._open[root]

    async def close(self) -> None:
        """End all transfers: the group is left."""
        for shared in list(self._open.values()):
            transfer = shared._transfer
            if isinstance(shared, Fetch) and not transfer.whole:
                transfer.failure = transfer.failure or Failure("closed", "the group was left")
                await shared._abort()
            else:
                self.say(BulkNotice(NoticeKind.WITHDRAW, shared.offer.root))
                await shared._end(close=True)

    def stop(self, *, forked: bool = False) -> None:
        """Close the sockets at once, for a loop that ends."""
        for shared in self._open.values():
            if not forked:
                shared._transfer.stop()
                shared._worker.stop()
            shared._transfer.endpoint.stop(forked=forked)
        self._open = {}


def _close(source: Source) -> None:
    """In the worker: what could not be offered is not read any more."""
    with contextlib.suppress(Exception):
        source.close()


def _check_title(title: str) -> str:
    if len(title.encode("utf-8", "surrogatepass")) > TITLE_MAX:
        raise UsageError(f"the title has more than {TITLE_MAX} bytes", "shorten it")
    return title.encode(errors="replace").decode()  # a file's name may have bytes that are no text


def _make_tree(layout: Layout, nodes: SpooledNodes, source: Source, manifest: bytes) -> HashTree:
    """In the worker: hash all of a source."""
    builder = TreeBuilder(layout, nodes)
    builder.feed(manifest)
    size = layout.size - layout.manifest_size
    for offset in range(0, size, READ):
        data = source.read(offset, min(READ, size - offset))
        if len(data) != min(READ, size - offset):
            raise McastError("the content is shorter than it was", "offer it again")
        builder.feed(data)
    return builder.tree()


def _reader(manifest: bytes, read: Callable[[int, int], bytes]) -> Callable[[int, int], bytes]:
    """A function that reads the stream: the manifest, then the content."""

    def stream(offset: int, size: int) -> bytes:
        head = manifest[offset : offset + size]
        rest = size - len(head)
        return head + read(max(0, offset - len(manifest)), rest) if rest else head

    return stream


def _fetching(
    member: Member,
    layout: Layout,
    offer: TransferOffered,
    private: PrivateOffer | None,
    nodes: SpooledNodes,
    worker: Worker,
    sink: Sink,
    way: Way,
) -> Transfer:
    def read(offset: int, size: int) -> bytes:
        return _reader(transfer.manifest, sink.read)(offset, size)

    transfer = Transfer(
        member,
        layout,
        offer.root,
        sink,
        nodes,
        worker,
        read,
        way,
        author=offer.peer_id.origin,
        private=private,
    )
    return transfer
