"""The open rooms of a group, asked for and told; nothing of a room with a key."""

from __future__ import annotations

from math import inf
from random import Random

import pytest

from mcast.core.context import Context, Mode
from mcast.core.engine import Engine
from mcast.core.events import PeerId, RoomView
from mcast.core.membership.directory import AGAIN, EACH, PATIENCE, ROOMS, SPREAD, Directory
from mcast.core.membership.roster import Peer, Roster
from mcast.crypto.keys import Identity
from mcast.crypto.rooms import Room, in_directory, keyed_room, open_room
from mcast.settings import Settings
from mcast.wire import frames as f
from mcast.wire.codec import encode_frames
from mcast.wire.reasons import DropReason

GROUP = "230.0.0.1:28003"
HOST = ("10.1.2.3", 28003)
SECRET = in_directory(keyed_room(bytes(32), bytes(16)), GROUP, "laboratory")


def room(name: str) -> Room:
    return in_directory(open_room(GROUP, name), GROUP, name)


class Member:
    """The component of a member, with what it sends."""

    def __init__(self, room: Room, number: int = 1, mode: Mode | None = None) -> None:
        identity = Identity(bytes([number]) * 32)
        me = PeerId(identity.origin, 1)
        self.context = Context(Settings(), room, identity, me, "", Random(number), mode or Mode(), 0.0, 0.0)
        self.roster = Roster(self.context, 100, 10)
        self.directory = Directory(self.context, self.roster, bytes([number]) * 8)

    def meet(self, *flags: int) -> None:
        """Peers with these flags are here."""
        for number, flag in enumerate(flags, 1):
            peer_id = PeerId(bytes([100 + number]) * 16, 1)
            frame = f.Announcement(*peer_id, 1, 0, 1, 0, 5000, 2000, 1452, 0, flag, bytes(8))
            assert self.roster.add(Peer(peer_id, "", frame, None, 0.0, True)) is None

    def sent(self) -> list[bytes]:
        queue = self.context.queue
        out = [self.directory.seal(encode_frames(one.frames, one.size)) for one in queue if one.listed]
        assert len(out) == len(queue)
        queue.clear()
        return out

    def ask(self, now: float = 0.0) -> bytes:
        self.directory.ask(now)
        [query] = self.sent()
        return query

    def answers(self, query: bytes, now: float = 0.0) -> list[bytes]:
        """What it says to a query, when it is due."""
        assert self.directory.receive(query, HOST, now) is None
        assert now <= self.directory.next_timeout <= now + SPREAD
        self.directory.on_timeout(self.directory.next_timeout)
        assert self.directory.next_timeout == inf
        return self.sent()


def test_who_asks_hears_of_each_open_room_with_its_topic_and_people() -> None:
    asker, kitchen, lobby = Member(room("garden")), Member(room("kitchen"), 2), Member(room(""), 3)
    kitchen.directory.topic = "lunch at noon"
    kitchen.meet(0, f.LISTENER, 0)
    query = asker.ask()
    for member in (kitchen, lobby):
        [answer] = member.answers(query)
        assert asker.directory.receive(answer, HOST, 0.3) is None
    assert asker.directory.rooms == {
        "kitchen": RoomView("kitchen", "lunch at noon", 3),
        "": RoomView("", "", 1),
    }
    asker.directory.ask(0.4, again=True)
    assert (len(asker.directory.rooms), len(asker.sent())) == (2, 1)
    asker.ask(0.5)
    assert asker.directory.rooms == {}


def test_a_topic_is_cut_where_a_character_ends() -> None:
    asker, kitchen = Member(room("")), Member(room("kitchen"), 2)
    kitchen.directory.topic = "午" * 30
    [answer] = kitchen.answers(asker.ask())
    asker.directory.receive(answer, HOST, 0.1)
    assert asker.directory.rooms["kitchen"].topic == "午" * 21


def test_one_member_answers_for_a_room() -> None:
    asker, first, second = Member(room("")), Member(room("kitchen"), 2), Member(room("kitchen"), 3)
    query = asker.ask()
    assert second.directory.receive(query, HOST, 0.0) is None
    [answer] = first.answers(query)
    assert second.directory.receive(answer, HOST, 0.1) is DropReason.NOT_ASKED
    assert second.directory.next_timeout == inf
    assert second.directory.receive(query, HOST, 0.2) is DropReason.OVER_BUDGET
    assert first.directory.receive(query, HOST, AGAIN) is DropReason.OVER_BUDGET
    assert first.answers(query, 2 * AGAIN + SPREAD)
    later = Member(room("kitchen"), 4)
    for _ in range(2):
        assert later.directory.receive(query, HOST, 0.0) is None
    later.directory.on_timeout(0.2)
    assert len(later.sent()) == 1


def test_a_room_with_a_key_asks_and_never_answers() -> None:
    secret, kitchen = Member(SECRET), Member(room("kitchen"), 2)
    query = secret.ask()
    [answer] = kitchen.answers(query)
    assert secret.directory.receive(answer, HOST, 0.1) is None
    assert set(secret.directory.rooms) == {"kitchen"}
    assert secret.directory.receive(kitchen.ask(), HOST, 0.1) is DropReason.NOT_ASKED
    assert secret.directory.next_timeout == inf
    assert SECRET.name == ""


@pytest.mark.parametrize("mode", [Mode(visitor=True), Mode(quiet=True)])
def test_who_is_nobody_in_a_room_does_not_tell_of_it(mode: Mode) -> None:
    member = Member(room("kitchen"), 2, mode)
    member.directory.receive(Member(room("")).ask(), HOST, 0.0)
    assert member.directory.next_timeout == inf


def test_a_room_with_a_long_name_does_not_answer() -> None:
    member = Member(room("k" * 65), 2)
    assert member.directory.receive(Member(room("")).ask(), HOST, 0.0) is DropReason.NOT_ASKED


def test_what_is_not_understood_is_dropped() -> None:
    member, other = Member(room("kitchen")), Member(room(""), 2)
    query = other.ask()
    assert member.directory.receive(query[:-1], HOST, 0.0) is DropReason.UNSEALED
    assert member.directory.receive(b"junk", HOST, 0.0) is DropReason.UNKNOWN_ROOM
    assert member.directory.receive(member.ask(), HOST, 0.0) is DropReason.OWN
    short = other.directory.seal(encode_frames([f.RoomQuery()]))
    assert member.directory.receive(short, HOST, 0.0) is DropReason.OVER_BUDGET
    strange = other.directory.seal(encode_frames([f.Topic("x")]))
    assert member.directory.receive(strange, HOST, 0.0) is DropReason.NOT_ASKED
    assert other.directory.receive(strange, HOST, 0.0) is DropReason.OWN


def test_without_a_directory_nothing_is_asked_or_taken() -> None:
    alone = Member(open_room(GROUP, "simulation"))
    alone.directory.ask(0.0)
    assert alone.sent() == []
    assert alone.directory.receive(Member(room(""), 2).ask(), HOST, 0.0) is DropReason.UNKNOWN_ROOM


def test_made_up_rooms_are_bounded_for_each_host_and_in_all() -> None:
    asker, liar = Member(room("")), Member(room("kitchen"), 2)
    asker.ask()

    def tell(name: str, host: object) -> DropReason | None:
        entry = liar.directory.seal(encode_frames([f.RoomEntry(1, name)]))
        return asker.directory.receive(entry, host, 0.1)

    assert [tell(f"{number}", HOST) for number in range(EACH + 1)] == [None] * EACH + [DropReason.OVER_QUOTA]
    assert tell("0", HOST) is None  # known already
    for number in range(ROOMS):
        tell(f"more {number}", ("10.9.9.9", number) if number < 5 else (f"10.1.{number}.1", 1))
    tell("local", None)
    assert len(asker.directory.rooms) == ROOMS
    late = liar.directory.seal(encode_frames([f.RoomEntry(1, "late")]))
    assert asker.directory.receive(late, HOST, 0.1 + PATIENCE) is DropReason.NOT_ASKED


def engine(name: Room, number: int) -> Engine:
    return Engine(
        Settings(),
        name,
        Identity(bytes([number]) * 32),
        incarnation=1,
        session=bytes([number]) * 8,
        name="",
        rng=Random(number),
        now=0.0,
        wall=1_800_000_000.0,
    )


def test_engines_in_different_rooms_tell_each_other() -> None:
    asker, other = engine(SECRET, 1), engine(room("kitchen"), 2)
    for one in (asker, other):
        one.tick(1.0)
        one.datagrams(1.0)
    other.describe("lunch")
    asker.ask_rooms(1.0)
    [query] = [outgoing.data for outgoing in asker.datagrams(1.0)]
    assert other.receive(query, HOST, 1.0)
    assert not asker.receive(query, HOST, 1.0)
    assert asker.stats()["dropped-own"] == 1
    other.tick(1.3)
    answers = [outgoing.data for outgoing in other.datagrams(1.3)]
    assert any(asker.receive(answer, HOST, 1.3) for answer in answers)
    assert asker.rooms() == [RoomView("kitchen", "lunch", 1)]
    assert other.stats()["sent-topic"] == 1
