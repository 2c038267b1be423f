"""What is known of the transfers of others: whoever makes up members, honest offers stay."""

from __future__ import annotations

from collections.abc import Callable

from mcast.core.events import Notice, PeerId
from mcast.events import TransferOffered, TransferWithdrawn
from mcast.runtime.bulk import board as module
from mcast.runtime.bulk.board import Board
from mcast.wire.bulk import BulkNotice, NoticeKind, encode_notice

ADA, BOB = (PeerId(bytes([number]) * 16, 1) for number in range(2))


class Room:
    """A board, and where peers are: all that nothing is said of are at 10.6.6.6."""

    def __init__(self) -> None:
        self.hosts = {ADA: "10.0.0.1", BOB: "10.0.0.2"}
        self.used: set[bytes] = set()
        self.forgotten: list[PeerId] = []
        self.board = Board(
            lambda peer_id: self.hosts.get(peer_id, "10.6.6.6"),
            self.used.__contains__,
            lambda _, peer_id: self.forgotten.append(peer_id),
        )

    def say(
        self, by: PeerId, kind: NoticeKind, number: int, size: int = 5
    ) -> TransferOffered | TransferWithdrawn | None:
        said = BulkNotice(kind, root(number), 4000, size=size, block_size=1400, text=str(number))
        return self.board.note(said, Notice(*by, 1, encode_notice(said), 0), 0.0)

    def crowd(self, kind: NoticeKind, host: Callable[[int], str]) -> None:
        """A thousand made-up members say something, each of a transfer of its own."""
        for number in range(1000):
            self.hosts[made_up(number)] = host(number)
            self.say(made_up(number), kind, 100 + number)

    def offered(self, by: PeerId) -> list[str]:
        return [offer.title for offer in self.board.offers() if offer.peer_id == by]


def root(number: int) -> bytes:
    return number.to_bytes(32, "big")


def made_up(number: int) -> PeerId:
    return PeerId(b"eve" + number.to_bytes(13, "big"), 1)


def test_one_identity_loses_its_own_oldest() -> None:
    room = Room()
    room.say(BOB, NoticeKind.OFFER, 5000)
    for number in range(1000):
        room.say(ADA, NoticeKind.OFFER, number)
    assert room.offered(BOB) == ["5000"]
    assert room.offered(ADA) == [str(number) for number in range(1000 - module.TRANSFERS_EACH, 1000)]


def test_made_up_members_push_out_no_honest_offer() -> None:
    room = Room()
    for number in range(4):
        room.say(ADA, NoticeKind.OFFER, number)
    for number in range(100 * module.TRANSFERS_EACH):
        room.say(made_up(number // module.TRANSFERS_EACH), NoticeKind.OFFER, 100 + number)
    assert room.say(BOB, NoticeKind.OFFER, 50)
    assert room.offered(ADA) == ["0", "1", "2", "3"]
    assert room.offered(BOB) == ["50"]
    assert len(room.board.offers()) == module.TRANSFERS


def test_words_about_transfers_that_nobody_offers_go_first() -> None:
    room = Room()
    room.say(ADA, NoticeKind.OFFER, 1)
    room.crowd(NoticeKind.ACCEPT, lambda number: f"10.7.0.{number}")
    assert room.offered(ADA) == ["1"]
    assert len(room.board._known) == module.TRANSFERS


def test_who_was_never_here_goes_before_who_is() -> None:
    room = Room()
    room.say(ADA, NoticeKind.OFFER, 1)
    room.hosts[BOB] = module.ABSENT
    room.say(BOB, NoticeKind.OFFER, 2)
    room.hosts[BOB] = "10.0.0.2"  # it is known only now
    room.crowd(NoticeKind.OFFER, lambda _: module.ABSENT)
    assert (room.offered(ADA), room.offered(BOB)) == (["1"], ["2"])


def test_of_many_computers_those_that_came_first_stay() -> None:
    room = Room()
    room.say(ADA, NoticeKind.OFFER, 1)
    room.crowd(NoticeKind.OFFER, lambda number: f"10.7.0.{number}")
    assert room.offered(ADA) == ["1"]
    assert room.say(made_up(5000), NoticeKind.OFFER, 5000) is None  # it does not fit, so it is not told


def test_to_offer_first_what_another_offers_pushes_out_nothing() -> None:
    room = Room()
    for number in range(10):
        eve = made_up(number)
        room.say(eve, NoticeKind.ACCEPT, number)
        room.say(eve, NoticeKind.OFFER, number, size=1 << 30)
        room.say(ADA, NoticeKind.OFFER, number)
    for number in range(300):
        room.say(made_up(number // 30), NoticeKind.OFFER, 100 + number)
    assert len(room.offered(ADA)) == 10
    assert not [offer for offer in room.board.offers() if offer.size == 1 << 30]
    for number in range(10):
        assert isinstance(room.say(ADA, NoticeKind.WITHDRAW, number), TransferWithdrawn)


def test_what_is_withdrawn_is_offered_as_long_as_others_give_it() -> None:
    room = Room()
    room.say(ADA, NoticeKind.OFFER, 1)
    room.say(BOB, NoticeKind.WHOLE, 1)
    assert room.say(ADA, NoticeKind.WITHDRAW, 1) is None
    assert room.offered(ADA) == ["1"]
    gone = room.say(BOB, NoticeKind.WITHDRAW, 1)
    assert isinstance(gone, TransferWithdrawn)
    assert gone.peer_id == ADA
    assert room.offered(ADA) == []
    assert room.say(BOB, NoticeKind.WITHDRAW, 1) is None


def test_who_gives_it_may_be_heard_of_after_it_was_withdrawn() -> None:
    room = Room()
    room.say(ADA, NoticeKind.OFFER, 1)
    assert isinstance(room.say(ADA, NoticeKind.WITHDRAW, 1), TransferWithdrawn)
    assert room.offered(ADA) == []
    assert isinstance(room.say(BOB, NoticeKind.WHOLE, 1), TransferOffered)
    assert room.offered(ADA) == ["1"]


def test_one_of_two_offers_is_withdrawn() -> None:
    room = Room()
    room.say(ADA, NoticeKind.OFFER, 1)
    room.say(BOB, NoticeKind.OFFER, 1)
    gone = room.say(ADA, NoticeKind.WITHDRAW, 1)
    assert isinstance(gone, TransferWithdrawn)
    assert gone.peer_id == ADA
    assert (room.offered(ADA), room.offered(BOB)) == ([], ["1"])


def test_what_we_serve_or_fetch_stays() -> None:
    room = Room()
    for number in range(3):
        room.used.add(root(number))
        room.say(made_up(0), NoticeKind.OFFER, number)
    for number in range(1000):
        room.say(made_up(number // 16), NoticeKind.OFFER, 100 + number)
    assert [offer.title for offer in room.board.offers()][:3] == ["0", "1", "2"]
    room.used.update(root(number) for number in range(5000))
    room.say(ADA, NoticeKind.OFFER, 6000)
    assert room.offered(ADA) == []  # all that is left is in use


def test_made_up_members_push_out_no_receiver() -> None:
    room = Room()
    room.say(ADA, NoticeKind.OFFER, 1)
    room.say(BOB, NoticeKind.WHOLE, 1)
    for number in range(module.PARTIES + 50):
        room.say(made_up(number), NoticeKind.OFFER, 1)
    parties = room.board.parties(root(1))
    assert len(parties) == module.PARTIES
    assert list(parties)[:2] == [ADA, BOB]
    assert room.forgotten == [made_up(number) for number in range(52)]
    assert len(room.board.offers_of(root(1))) == module.PARTIES - 1
    assert room.say(made_up(module.PARTIES + 49), NoticeKind.WITHDRAW, 1) is not None
