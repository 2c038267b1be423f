"""What a member of a keyed room saves, so that it can hand it out when it starts again, a day later too."""

from __future__ import annotations

import msgspec
import pytest

from mcast import simulation
from mcast.core.events import Message
from mcast.core.history.store import SavedRecord
from mcast.core.rangeset import RangeSet
from mcast.crypto.rooms import keyed_room
from mcast.settings import Settings
from mcast.wire.codec import decode_frames, encode_frames
from tests.unit.core.support import drops

DAY = 24 * 3600.0
KEYED = keyed_room(bytes(range(32)), bytes(16))


def texts(member: simulation.Member) -> list[str | None]:
    return [message.text for message in member.messages()]


def told_now(member: simulation.Member) -> list[str | None]:
    """What it was told in its present life."""
    return [event.text for event in member.lives[-1].events if isinstance(event, Message)]


def _size(ranges: RangeSet) -> int:
    return sum(stop - start for start, stop in ranges)


def talked(lan: simulation.Lan) -> tuple[simulation.Member, list[SavedRecord]]:
    """The holder of what two said, one of whom was killed; all have stopped. And what it has saved."""
    author, holder = lan.join("author"), lan.join("holder")
    lan.run(5.0)
    author.send("the author's")
    lan.run(1.0)
    holder.send("the holder's")
    lan.run(1.0)
    author.crash()
    _, saved = holder.engine.saved_records()
    holder.crash()
    return holder, saved


def restart(lan: simulation.Lan, holder: simulation.Member, saved: list[SavedRecord]) -> None:
    holder.start()
    holder.engine.restore(saved, lan.now)
    holder.step()
    lan.run(5.0)


def test_who_was_here_yesterday_hands_out_what_was_said_yesterday() -> None:
    lan = simulation.Lan(1, room=KEYED)
    holder, saved = talked(lan)
    lan.run(1.5 * DAY)
    restart(lan, holder, saved)
    newcomer = lan.join("newcomer", history=True)
    lan.run(20.0)
    assert texts(newcomer) == ["the author's", "the holder's"]
    assert [message.name for message in newcomer.messages()] == ["author", "holder"]
    assert all(message.history for message in newcomer.messages())
    assert told_now(holder) == []  # it was told of it in its life before


def test_it_goes_from_one_to_the_next_and_none_outlives_its_time() -> None:
    lan = simulation.Lan(2, room=KEYED, settings=Settings(keyed_history_seconds=3 * DAY))
    holder, saved = talked(lan)
    lan.run(2 * DAY)
    restart(lan, holder, saved)
    second = lan.join("second", history=True)
    lan.run(20.0)
    holder.crash()
    _, saved = second.engine.saved_records()
    second.crash()
    assert len(saved) == 2
    lan.run(1.5 * DAY)
    restart(lan, second, saved)
    third = lan.join("third", history=True)
    lan.run(20.0)
    assert texts(third) == []
    assert drops(third, "too-old") == 0
    assert len(second.engine._store) == 0


def test_in_an_open_room_nothing_is_saved_or_restored() -> None:
    lan = simulation.Lan(3)
    holder, saved = talked(lan)
    assert saved == []
    keyed = simulation.Lan(3, room=KEYED)
    _, saved = talked(keyed)
    assert len(saved) == 2
    restart(lan, holder, saved)
    assert len(holder.engine._store) == 0


def test_only_what_is_new_is_saved_again() -> None:
    lan = simulation.Lan(4, room=KEYED)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(5.0)
    for number in range(3):
        ada.send(f"{number}")
        lan.run(0.1)
    bob.send("bob's")
    lan.run(1.0)
    mark, saved = bob.engine.saved_records()
    assert sorted((one.peer_id == bob.engine.peer_id, one.sequence) for one in saved) == [
        (False, 1),
        (False, 2),
        (False, 3),
        (True, 1),
    ]
    assert bob.engine.saved_records(mark) == (mark, [])
    ada.send("one more")
    lan.run(1.0)
    _, saved = bob.engine.saved_records(mark)
    assert [one.sequence for one in saved] == [4]
    bob.engine._verifier._keys.clear()  # without a key nobody could check it
    assert [one.peer_id for one in bob.engine.saved_records()[1]] == [bob.engine.peer_id]
    _, again = ada.engine.saved_records()
    assert len(again) == 5
    bob.crash()
    bob.start()
    bob.engine.restore([one for one in again if one.peer_id == ada.engine.peer_id], lan.now)
    assert bob.engine.saved_records()[1] == []  # it is on the disk already


def test_what_was_restored_makes_room_as_all_else() -> None:
    lan = simulation.Lan(5, room=KEYED, settings=Settings(history_records=4, history_share=0.5))
    ada, bob, cyd = lan.join("ada"), lan.join("bob"), lan.join("cyd")
    lan.run(5.0)
    for member in (ada, cyd):
        for number in range(2):
            member.send(f"{member.name} {number}")
            lan.run(0.1)
    _, saved = bob.engine.saved_records()
    bob.crash()
    bob.start()
    bob.engine.restore(saved[:2], lan.now)
    bob.engine.restore(saved[:2], lan.now)
    store = bob.engine._store
    assert len(store) == sum(map(_size, store._restored.values())) == 2
    bob.engine.restore(saved, lan.now)
    bob.engine.restore(saved, lan.now)
    assert len(store) == 4
    for number in range(2, 5):
        ada.send(f"ada {number}")
        cyd.send(f"cyd {number}")
        lan.run(1.0)
    assert len(store) == 4
    assert store._restored == {}


@pytest.mark.parametrize("what", ["future", "garbage", "no key", "another's key", "unsigned key", "own"])
def test_what_cannot_be_handed_out_is_not_restored(what: str) -> None:
    lan = simulation.Lan(6, room=KEYED)
    holder, saved = talked(lan)
    holder.start()
    [first] = [one for one in saved if one.peer_id.origin != holder.identity.origin]
    [own] = [one for one in saved if one.peer_id.origin == holder.identity.origin]
    frames, others = decode_frames(first.frames), decode_frames(own.frames)
    assert isinstance(frames, list)
    assert isinstance(others, list)
    key, record = frames
    wrong = {
        "future": msgspec.structs.replace(first, published=first.published + DAY),
        "garbage": msgspec.structs.replace(first, frames=b"garbage"),
        "no key": msgspec.structs.replace(first, frames=encode_frames([record])),
        "another's key": msgspec.structs.replace(first, frames=encode_frames([others[0], record])),
        "unsigned key": msgspec.structs.replace(
            first, frames=encode_frames([msgspec.structs.replace(key, signature=bytes(64)), record])
        ),
    }
    holder.engine.restore([wrong.get(what, first)], lan.now)
    assert len(holder.engine._store) == (what == "own")


def test_a_record_of_this_life_is_not_restored() -> None:
    lan = simulation.Lan(7, room=KEYED)
    ada = lan.join("ada")
    ada.send("hello")
    lan.run(1.0)
    _, saved = ada.engine.saved_records()
    ada.engine.restore(saved, lan.now)
    assert len(ada.engine._store) == 0


def test_what_was_restored_may_go_to_any_network_and_what_is_heard_now_stays_on_its_own() -> None:
    lan = simulation.Lan(8, room=KEYED)
    author = lan.join("author", lans=(0,))
    holder = lan.join("holder", lans=(0, 1))
    lan.run(5.0)
    author.send("before")
    lan.run(1.0)
    _, saved = holder.engine.saved_records()
    holder.crash()
    lan.run(30.0)
    restart(lan, holder, saved)
    author.send("now")
    lan.run(5.0)
    assert told_now(holder) == ["now"]
    other = lan.join("other", lans=(1,), history=True)
    lan.run(40.0)
    assert texts(other) == ["before"]
