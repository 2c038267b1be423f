"""What is known of the transfers of others: bounded, whatever they say."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from mcast.core.bulk.sender import RECEIVERS
from mcast.core.events import Notice, PeerId, PeerView
from mcast.crypto.bulk import seal_offer
from mcast.crypto.keys import Identity
from mcast.crypto.rooms import open_room
from mcast.errors import McastError, UsageError
from mcast.events import TransferOffered, TransferWithdrawn
from mcast.runtime.bulk import board
from mcast.runtime.bulk import transfers as module
from mcast.runtime.bulk.streams import BytesSink, BytesSource
from mcast.runtime.bulk.transfer import Member as Joined
from mcast.runtime.bulk.transfers import Bulk, Drop, Fetch, Shared
from mcast.runtime.bulk.views import CANCELLED, KEPT_OUT, UNHEARD, UNREACHED, State
from mcast.wire.bulk import RECIPIENTS_MAX, BulkNotice, NoticeKind, encode_notice

ME, ADA, BOB, CYD = (PeerId(bytes([number]) * 16, 1) for number in range(4))
OFFERED = TransferOffered("id", (1).to_bytes(32, "big"), ADA, "ada", "a title", 1, 5, 0, 1400, 0)


class Nobody:
    """A member that says nothing."""

    peer_id = ME
    time = 100.0
    here = True

    def now(self) -> float:
        return self.time

    def peer(self, peer_id: PeerId) -> PeerView:
        return PeerView(peer_id, "", source=("10.0.0.1", 5000) if self.here else None)


def make(member: Nobody | None = None) -> Bulk:
    return Bulk(cast(Joined, member or Nobody()), lambda: 1452)


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
    (offer,) = bulk.on_notice(notice(ADA, NoticeKind.OFFER, 1))
    assert isinstance(offer, TransferOffered)
    bulk.on_notice(notice(BOB, NoticeKind.ACCEPT, 1))
    bulk.on_notice(notice(BOB, NoticeKind.WHOLE, 1))
    bulk.on_notice(notice(ME, NoticeKind.ACCEPT, 1))
    parties = bulk.parties(offer.root)
    assert {peer_id: party.kind for peer_id, party in parties.items()} == {
        ADA: NoticeKind.OFFER,
        BOB: NoticeKind.WHOLE,
    }


def test_what_a_receiver_had_is_known_after_it_has_stopped() -> None:
    bulk = make()
    bulk.on_notice(notice(ADA, NoticeKind.OFFER, 1))
    bulk.on_notice(notice(BOB, NoticeKind.ACCEPT, 1))
    root = (1).to_bytes(32, "big")
    bulk.parties(root)[BOB].have = 3
    bulk.on_notice(notice(BOB, NoticeKind.FAILED, 1, text=CANCELLED))
    party = bulk.parties(root)[BOB]
    assert (party.kind, party.reason, party.have) == (NoticeKind.FAILED, CANCELLED, 3)


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
    shared.offer = OFFERED
    shared._transfer = cast(Any, SimpleNamespace(party=lambda *_: None, leaves=left.append))
    bulk.on_notice(notice(ADA, NoticeKind.ACCEPT, 1))
    bulk._open[(1).to_bytes(32, "big")] = shared
    bulk.on_notice(notice(BOB, NoticeKind.ACCEPT, 1))
    assert left == [ADA]


def sharing(member: Nobody) -> tuple[Bulk, Shared, dict[PeerId, Any]]:
    """A transfer that one takes part in, and what its sender knows of the receivers."""
    bulk, clients = make(member), dict[PeerId, Any]()
    layout = SimpleNamespace(size=1000, block_size=100)
    transfer = SimpleNamespace(layout=layout, sender=SimpleNamespace(clients=clients), receiver=None)
    return bulk, Shared(bulk, OFFERED, cast(Any, transfer), cast(Any, None), cast(Any, None)), clients


def test_what_keeps_a_receiver_from_getting_on_is_told() -> None:
    async def case() -> None:
        member = Nobody()
        bulk, shared, clients = sharing(member)

        def receiver() -> tuple[State, str]:
            [one] = shared._receivers(member.time)
            return one.state, one.reason

        bulk.on_notice(notice(ADA, NoticeKind.ACCEPT, 1, text="what it likes to say"))
        assert receiver() == (State.ACCEPTED, "")
        member.time = 106.0
        assert receiver() == (State.SILENT, UNHEARD)
        member.here = False
        assert receiver() == (State.SILENT, "")
        member.here = True
        clients.update((PeerId(bytes(16), number), None) for number in range(RECEIVERS))
        assert receiver() == (State.SILENT, "")  # it may be one too many
        clients.clear()
        clients[ADA] = client = SimpleNamespace(
            have=0, heard=106.0, channel=None, reporter=SimpleNamespace(loss=0.0), unreached=True, got=0
        )
        assert receiver() == (State.RECEIVING, UNREACHED + KEPT_OUT)
        client.got = 3
        assert receiver() == (State.RECEIVING, UNREACHED)
        member.time = 112.0
        assert receiver() == (State.SILENT, "")  # it has reported before
        bulk.on_notice(notice(ADA, NoticeKind.WHOLE, 1))
        assert receiver() == (State.WHOLE, "")
        bulk.on_notice(notice(ADA, NoticeKind.FAILED, 1, text="the disk is full"))
        assert receiver() == (State.FAILED, "the disk is full")

    asyncio.run(case())


def test_who_can_get_it_from_others_need_not_report_to_us() -> None:
    async def case() -> None:
        member = Nobody()
        bulk, shared, clients = sharing(member)

        def reason() -> str:
            [one] = [one for one in shared._receivers(member.time) if one.peer_id == ADA]
            assert one.state is State.SILENT
            return one.reason

        bulk.on_notice(notice(ADA, NoticeKind.ACCEPT, 1))
        bulk.on_notice(notice(BOB, NoticeKind.ACCEPT, 1))
        member.time = 106.0
        assert reason() == UNHEARD  # as far as is known, there is nothing at the other one
        clients[BOB] = SimpleNamespace(
            have=4, heard=106.0, channel=None, reporter=SimpleNamespace(loss=0.0), unreached=False
        )
        assert reason() == ""
        clients.clear()
        bulk.on_notice(notice(BOB, NoticeKind.WHOLE, 1))
        assert reason() == ""
        bulk.on_notice(notice(BOB, NoticeKind.WITHDRAW, 1))
        assert reason() == ""  # it has not had the time to report to us
        member.time = 112.0
        assert reason() == UNHEARD

    asyncio.run(case())


def test_a_receiver_is_silent_from_its_last_word_on_for_ever() -> None:
    async def case() -> None:
        member = Nobody()
        bulk, shared, clients = sharing(member)

        def receiver() -> tuple[State, int]:
            [one] = shared._receivers(member.time)
            return one.state, one.have

        bulk.on_notice(notice(ADA, NoticeKind.ACCEPT, 1))
        assert receiver() == (State.ACCEPTED, 0)
        member.time = 106.0
        assert receiver() == (State.SILENT, 0)
        reporter = SimpleNamespace(loss=0.0)
        clients[ADA] = SimpleNamespace(have=4, heard=106.0, channel=None, reporter=reporter, unreached=False)
        assert receiver() == (State.RECEIVING, 400)
        member.time = 112.0
        assert receiver() == (State.SILENT, 400)
        clients.clear()  # its reports are forgotten
        for member.time in (170.0, 3600.0):
            assert receiver() == (State.SILENT, 400)
        shared._transfer.receiver = cast(Any, "we fetch it, too")
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
            await make().drop(Closing(closed), "t" * 256, 1, None, "auto")
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
    fetch.offer = OFFERED
    fetch._transfer = cast(Any, SimpleNamespace(party=lambda *_: None))
    monkeypatch.setattr(Fetch, "introduce", lambda _: said.append(1))
    bulk._open[(1).to_bytes(32, "big")] = fetch
    for by in (ADA, ADA, BOB, ADA):
        bulk.on_notice(notice(by, NoticeKind.OFFER, 1))
    assert len(said) == 2


class Member(Nobody):
    """A member with an identity, who knows the keys of others."""

    room = open_room("230.0.0.1:28003", "")

    def __init__(self, seed: bytes, known: Sequence[Identity]) -> None:
        self.identity = Identity(seed)
        self.peer_id = PeerId(self.identity.origin, 1)
        self._keys = {one.origin: one.public_key for one in known}

    def public_key(self, peer_id: PeerId) -> bytes | None:
        return self._keys.get(peer_id.origin)


def private_offer(author: Identity, *to: Identity, title: str = "diary") -> BulkNotice:
    offer = BulkNotice(NoticeKind.OFFER, bytes(32), 4000, 5, 0, 1400, 1, title)
    return seal_offer(author, Member.room, offer, {one.origin: one.public_key for one in to})[1]


def said(by: Identity, notice: BulkNotice) -> Notice:
    return Notice(by.origin, 1, 1, encode_notice(notice), 0, name="")


def test_a_private_offer_is_known_to_those_it_is_for() -> None:
    ada, bob, eve = (Identity(letter * 32) for letter in (b"a", b"b", b"e"))
    for_bob, for_eve = make(Member(b"b" * 32, [ada, eve])), make(Member(b"e" * 32, [ada]))
    stranger = make(Member(b"b" * 32, []))
    notice = private_offer(ada, bob)
    (offer,) = for_bob.on_notice(said(ada, notice))
    assert isinstance(offer, TransferOffered)
    assert (offer.title, offer.size, offer.to) == ("diary", 5, (bob.origin,))
    assert for_bob.offers() == [offer]
    private = for_bob._board.private(offer.root)
    assert private is not None
    assert private.offer.root == bytes(32) != offer.root
    assert for_eve.on_notice(said(ada, notice)) == stranger.on_notice(said(ada, notice)) == []
    assert for_bob.parties(offer.root)[PeerId(ada.origin, 1)].kind is NoticeKind.OFFER
    assert [peer.peer_id for peer in for_bob.holders(offer)] == [PeerId(ada.origin, 1)]


@pytest.mark.parametrize("first", [False, True], ids=["later", "before"])
def test_what_others_say_of_a_private_transfer_counts_for_nothing(first: bool) -> None:
    ada, bob, eve = (Identity(letter * 32) for letter in (b"a", b"b", b"e"))
    bulk = make(Member(b"b" * 32, [ada, eve]))
    notice = private_offer(ada, bob)

    def disturb() -> list[object]:
        kinds = (NoticeKind.OFFER, NoticeKind.WITHDRAW, NoticeKind.OFFER, NoticeKind.WHOLE, NoticeKind.ACCEPT)
        told: list[object] = []
        for kind in kinds:
            told += bulk.on_notice(said(eve, BulkNotice(kind, notice.root, 5000, 5, 0, 1400, 1, "diary")))
        return told

    if first:
        disturb()
    (offer,) = bulk.on_notice(said(ada, notice))
    assert isinstance(offer, TransferOffered)
    if not first:
        assert disturb() == []
    assert bulk.offers() == [offer]
    assert (
        list(bulk.parties(notice.root))
        == [PeerId(ada.origin, 1)]
        == [peer.peer_id for peer in bulk.holders(offer)]
    )
    plain = BulkNotice(NoticeKind.OFFER, notice.root, 5000, 5, 0, 1400, 1, "diary")
    assert bulk.on_notice(said(ada, plain)) == []
    (withdrawn,) = bulk.on_notice(said(ada, BulkNotice(NoticeKind.WITHDRAW, notice.root)))
    assert isinstance(withdrawn, TransferWithdrawn)
    assert bulk.offers() == []


def test_only_those_it_is_for_count_for_what_we_offer() -> None:
    bob, eve = Identity(b"b" * 32), Identity(b"e" * 32)
    bulk = make(Member(b"a" * 32, [bob, eve]))
    root = OFFERED.root
    bulk.on_notice(said(eve, BulkNotice(NoticeKind.WHOLE, root, 4000)))
    bulk.on_notice(said(bob, BulkNotice(NoticeKind.ACCEPT, root, 4000)))
    bulk._board.restrict(root, [bob.origin])
    drop = Drop.__new__(Drop)
    drop.offer = msgspec.structs.replace(OFFERED, to=(bob.origin,))
    drop._transfer = cast(Any, SimpleNamespace(party=lambda *_: None))
    bulk._open[root] = drop
    bulk.on_notice(said(eve, BulkNotice(NoticeKind.WHOLE, root, 4000)))
    assert list(bulk.parties(root)) == [PeerId(bob.origin, 1)]
    del bulk._open[root]
    for _ in range(2):
        bulk._board.restrict(root, [eve.origin])
        assert bulk.parties(root) == {}


def test_a_private_offer_that_is_forgotten_cannot_be_accepted() -> None:
    bulk = make(Member(b"b" * 32, []))
    offer = msgspec.structs.replace(OFFERED, to=(bulk._member.identity.origin,))
    with pytest.raises(UsageError, match="not offered any more"):
        asyncio.run(bulk.accept(offer, BytesSink(), "auto"))


def test_a_transfer_is_for_those_whose_keys_are_known() -> None:
    bob = Identity(b"b" * 32)
    bulk = make(Member(b"a" * 32, [bob]))
    assert bulk._keys([PeerId(bob.origin, 1), PeerId(bob.origin, 2)]) == {bob.origin: bob.public_key}
    with pytest.raises(McastError, match="no good key of the peer 0101"):
        bulk._keys([ADA])
    with pytest.raises(UsageError, match="for nobody"):
        bulk._keys([])
    assert bulk._keys(None) == {}
    many = [Identity(number.to_bytes(32, "big")) for number in range(RECIPIENTS_MAX + 1)]
    with pytest.raises(UsageError, match="32 peers"):
        make(Member(b"a" * 32, many))._keys([PeerId(one.origin, 1) for one in many])


def test_who_offers_it_right_after_we_said_that_we_take_it_is_told_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The attack: offers of one transfer without end must not make us speak as often."""
    monkeypatch.setattr(module, "INTRODUCED", 0.1)
    kinds: list[NoticeKind] = []

    async def case() -> None:
        endpoint = SimpleNamespace(port=4000)
        transfer = SimpleNamespace(whole=False, failure=None, endpoint=endpoint)
        bulk = SimpleNamespace(say=lambda said: kinds.append(said.kind))
        fetch = Fetch(cast(Any, bulk), OFFERED, cast(Any, transfer), cast(Any, None), cast(Any, None))
        for _ in range(3):
            fetch.introduce()
        assert kinds == []
        await asyncio.sleep(0.15)
        assert kinds == [NoticeKind.ACCEPT]
        transfer.whole = True
        await asyncio.sleep(0.1)
        fetch.introduce()
        assert kinds == [NoticeKind.ACCEPT, NoticeKind.WHOLE]

    asyncio.run(case())
