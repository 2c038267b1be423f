"""What is known of the transfers of others: bounded, whatever they say."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mcast.core.events import Notice, PeerId, PeerView
from mcast.errors import UsageError
from mcast.events import TransferOffered, TransferWithdrawn
from mcast.runtime.bulk import board
from mcast.runtime.bulk import transfers as module
from mcast.runtime.bulk.streams import BytesSource
from mcast.runtime.bulk.transfer import Member
from mcast.runtime.bulk.transfers import Bulk, Fetch, Shared
from mcast.runtime.bulk.views import State
from mcast.wire.bulk import BulkNotice, NoticeKind, encode_notice

ME, ADA, BOB, CYD = (PeerId(bytes([number]) * 16, 1) for number in range(4))


class Nobody:
    """A member that says nothing."""

    peer_id = ME
    time = 100.0

    def now(self) -> float:
        return self.time

    def peer(self, peer_id: PeerId) -> PeerView:
        return PeerView(peer_id, "", source=("10.0.0.1", 5000))


def make(member: Nobody | None = None) -> Bulk:
    return Bulk(cast(Member, member or Nobody()), lambda: 1452)


def notice(by: PeerId, kind: NoticeKind, number: int, *, text: str = "", manifest_size: int = 0) -> Notice:
    root = number.to_bytes(32, "big")
    said = BulkNotice(kind, root, 4000, size=5, block_size=1400, text=text, manifest_size=manifest_size)
    return Notice(*by, 1, encode_notice(said), 0, name=f"peer {by.origin[0]}")


def test_offers_come_and_go() -> None:
    bulk = make()
    (offered,) = bulk.on_notice(notice(ADA, NoticeKind.OFFER, 1, text="a title"))
    assert isinstance(offered, TransferOffered)
    assert (offered.title, offered.size, offered.name) == ("a title", 5, "peer 1")
    assert bulk.offers() == [offered]
    (withdrawn,) = bulk.on_notice(notice(ADA, NoticeKind.WITHDRAW, 1))
    assert isinstance(withdrawn, TransferWithdrawn)
    assert withdrawn.id == offered.id
    assert bulk.offers() == []
    assert bulk.on_notice(notice(ADA, NoticeKind.WITHDRAW, 1)) == []


def test_receivers_are_told_by_their_own_word() -> None:
    bulk = make()
    bulk.on_notice(notice(ADA, NoticeKind.OFFER, 1))
    bulk.on_notice(notice(BOB, NoticeKind.ACCEPT, 1))
    bulk.on_notice(notice(BOB, NoticeKind.WHOLE, 1))
    bulk.on_notice(notice(ME, NoticeKind.ACCEPT, 1))
    parties = bulk.parties((1).to_bytes(32, "big"))
    assert {peer_id: party.kind for peer_id, party in parties.items()} == {
        ADA: NoticeKind.OFFER,
        BOB: NoticeKind.WHOLE,
    }


def test_nonsense_is_ignored() -> None:
    bulk = make()
    assert bulk.on_notice(Notice(*ADA, 1, b"something else", 0)) == []


def test_false_sizes_make_another_transfer() -> None:
    bulk = make()
    (true,) = bulk.on_notice(notice(ADA, NoticeKind.OFFER, 1, text="photos"))
    (false,) = bulk.on_notice(notice(BOB, NoticeKind.OFFER, 1, text="photos", manifest_size=1 << 20))
    (again,) = bulk.on_notice(notice(CYD, NoticeKind.OFFER, 1, text="photos"))
    assert isinstance(true, TransferOffered)
    assert isinstance(false, TransferOffered)
    assert true.root == false.root
    assert true.id == again.id != false.id
    assert [peer.peer_id for peer in bulk.holders(true)] == [ADA, CYD]
    assert [peer.peer_id for peer in bulk.holders(false)] == [BOB]
    (withdrawn,) = bulk.on_notice(notice(BOB, NoticeKind.WITHDRAW, 1))
    assert withdrawn.id == false.id
    assert bulk.offers() == [true, again]


def test_who_is_pushed_out_takes_no_part_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "PARTIES", 1)
    bulk, left = make(), list[PeerId]()
    shared = Fetch.__new__(Fetch)
    shared._transfer = cast(Any, SimpleNamespace(party=lambda *_: None, leaves=left.append))
    bulk.on_notice(notice(ADA, NoticeKind.ACCEPT, 1))
    bulk._open[(1).to_bytes(32, "big")] = shared
    bulk.on_notice(notice(BOB, NoticeKind.ACCEPT, 1))
    assert left == [ADA]


def test_a_receiver_is_silent_from_its_last_word_on_for_ever() -> None:
    async def case() -> None:
        member = Nobody()
        bulk = make(member)
        clients: dict[PeerId, Any] = {}
        layout = SimpleNamespace(size=1000, block_size=100)
        transfer = SimpleNamespace(layout=layout, sender=SimpleNamespace(clients=clients), receiver=None)
        offer = SimpleNamespace(root=(1).to_bytes(32, "big"))
        shared = Shared(bulk, cast(Any, offer), cast(Any, transfer), cast(Any, None), cast(Any, None))

        def receiver() -> tuple[State, int]:
            [one] = shared._receivers(member.time)
            return one.state, one.have

        bulk.on_notice(notice(ADA, NoticeKind.ACCEPT, 1))
        assert receiver() == (State.ACCEPTED, 0)
        member.time = 106.0
        assert receiver() == (State.SILENT, 0)
        reporter = SimpleNamespace(loss=0.0)
        clients[ADA] = SimpleNamespace(have=4, heard=106.0, channel=None, reporter=reporter)
        assert receiver() == (State.RECEIVING, 400)
        member.time = 112.0
        assert receiver() == (State.SILENT, 400)
        clients.clear()  # its reports are forgotten
        for member.time in (170.0, 3600.0):
            assert receiver() == (State.SILENT, 400)
        transfer.receiver = "we fetch it, too"
        assert receiver() == (State.ACCEPTED, 400)
        bulk.on_notice(notice(ADA, NoticeKind.WHOLE, 1))
        assert receiver() == (State.WHOLE, 1000)

    asyncio.run(case())


def test_who_has_it_whole_has_it_still_when_it_gives_it_no_more() -> None:
    bulk = make()
    (offer,) = bulk.on_notice(notice(ADA, NoticeKind.OFFER, 1))
    assert isinstance(offer, TransferOffered)
    bulk.on_notice(notice(BOB, NoticeKind.WHOLE, 1))
    assert [peer.peer_id for peer in bulk.holders(offer)] == [ADA, BOB]
    bulk.on_notice(notice(BOB, NoticeKind.WITHDRAW, 1))
    assert bulk.parties(offer.root)[BOB].kind is NoticeKind.WHOLE
    assert [peer.peer_id for peer in bulk.holders(offer)] == [ADA]


def test_what_is_whole_gives_way_to_a_transfer_of_the_same_content(monkeypatch: pytest.MonkeyPatch) -> None:
    root = (1).to_bytes(32, "big")
    bulk = make()
    fetch = Fetch.__new__(Fetch)

    async def end(shared: Fetch, *, close: bool) -> None:
        assert close
        del bulk._open[root]

    monkeypatch.setattr(Fetch, "_end", end)
    bulk._open[root] = fetch
    fetch._transfer = cast(Any, SimpleNamespace(whole=False))
    with pytest.raises(UsageError, match="already"):
        asyncio.run(bulk._replace(root))
    fetch._transfer.whole = True
    asyncio.run(bulk._replace(root))
    assert not bulk._open


class Closing(BytesSource):
    """A source that tells when it was closed; closing it may fail."""

    def __init__(self, closed: list[Closing]) -> None:
        super().__init__(b"content")
        self._closed = closed

    def close(self) -> None:
        """Tell."""
        self._closed.append(self)
        raise OSError("cannot be closed")


def test_a_source_that_is_not_offered_is_closed() -> None:
    closed: list[Closing] = []

    async def scenario() -> None:
        with pytest.raises(UsageError):
            await make().drop(Closing(closed), "t" * 256, 1, (), "auto")
        async with asyncio.timeout(10):
            while not closed:  # noqa: ASYNC110 - a thread does it
                await asyncio.sleep(0.01)

    asyncio.run(scenario())
    assert len(closed) == 1


def test_a_title_is_text() -> None:
    assert module._check_title("a \udcff") == "a ?"


def test_who_fetches_says_so_to_each_new_offerer_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bulk, said = make(), []
    fetch = Fetch.__new__(Fetch)
    fetch._transfer = cast(Any, SimpleNamespace(party=lambda *_: None))
    monkeypatch.setattr(Fetch, "introduce", lambda _: said.append(1))
    bulk._open[(1).to_bytes(32, "big")] = fetch
    for by in (ADA, ADA, BOB, ADA):
        bulk.on_notice(notice(by, NoticeKind.OFFER, 1))
    assert len(said) == 2
