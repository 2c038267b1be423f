from __future__ import annotations

from math import inf
from random import Random

import pytest

from mcast.core.bulk import receiver as module
from mcast.core.bulk.layout import FULL
from mcast.core.bulk.receiver import BulkReceiver
from mcast.core.events import Address, PeerId
from mcast.wire.bulk import (
    CHANGED,
    ECHO_UNICAST,
    EXHAUSTED,
    FAN,
    NO_ECHO,
    REFUSED,
    WANTS_UNICAST,
    BulkReport,
    BulkStatus,
    Entry,
)
from tests.simulation.bulk import Item, MemoryNodes, blocks_of, make_tree, rows_of

BLOCK = 1024
DATA = Random(2).randbytes(BLOCK * 70)
TREE = make_tree(DATA, block=BLOCK)
ADA, BOB = PeerId(b"a" * 16, 1), PeerId(b"b" * 16, 1)


def make(*, unicast: bool = False) -> BulkReceiver:
    made = BulkReceiver(TREE.layout, TREE.root, MemoryNodes(TREE.layout), 0.0, unicast=unicast)
    made.may_serve(ADA, complete=True)
    return made


def item(level: int, index: int, serial: int = 1, data: bytes | None = None) -> Item:
    if data is None:
        data = TREE.read(level, index) if level else DATA[index * BLOCK : (index + 1) * BLOCK]
    return Item(level, index, serial, False, data)


def take(
    receiver: BulkReceiver, source: Address, items: list[Item], now: float, age: float = 0.0
) -> list[tuple[int, bytes]]:
    return blocks_of(receiver.take(source, rows_of(items), now, age), BLOCK)


def nodes() -> list[Item]:
    return [item(2, 0), *(item(1, index) for index in range(3))]


def ask(receiver: BulkReceiver, now: float) -> BulkReport:
    outreach = receiver.on_timeout(now, lambda _: True)
    assert outreach is not None
    return outreach.report


def answer(receiver: BulkReceiver, now: float, flags: int = 0, **more: int) -> None:
    receiver.on_status(ADA, "ada", BulkStatus(b"token---", flags, 50, **more), now)


def test_blocks_are_verified() -> None:
    receiver = make()
    assert take(receiver, "ada", nodes(), 0.1) == []
    assert take(receiver, "ada", [item(0, 3)], 0.1) == [(3, item(0, 3).data)]
    assert receiver.left == 69
    assert take(receiver, "ada", [item(0, 3), item(0, 4, data=bytes(BLOCK))], 0.1) == []
    assert (receiver.duplicates, receiver.forged, receiver.left) == (1, 1, 69)
    assert take(receiver, "ada", [item(0, 999, data=b""), item(7, 0, data=b"")], 0.1) == []
    assert receiver.holds(0) == 8
    assert receiver.holds(1) == 0


def row(*indexes: int, wrong: tuple[int, ...] = ()) -> list[Item]:
    return [item(0, at, data=bytes(BLOCK) if at in wrong else None) for at in indexes]


def test_a_row_is_given_out_in_runs() -> None:
    receiver = make()
    receiver.take("ada", rows_of(nodes()), 0.1)
    runs = receiver.take("ada", rows_of(row(*range(32))), 0.1)
    assert runs == [(0, DATA[: 32 * BLOCK])]
    runs = receiver.take("ada", rows_of(row(33, 34, 40, 63)), 0.1)
    assert [(first, len(data) // BLOCK) for first, data in runs] == [(33, 2), (40, 1), (63, 1)]
    runs = receiver.take("ada", rows_of(row(32, 33, 34, 35)), 0.2)
    assert [(first, len(data) // BLOCK) for first, data in runs] == [(32, 1), (35, 1)]
    assert receiver.duplicates == 2
    assert receiver.take("ada", rows_of(row(32, 33)), 0.2) == []
    assert (receiver.duplicates, receiver.forged, receiver.left) == (4, 0, 70 - 32 - 6)


def test_a_forged_block_does_not_harm_the_row_that_it_is_in() -> None:
    receiver = make()
    receiver.take("ada", rows_of(nodes()), 0.1)
    runs = receiver.take("ada", rows_of(row(*range(1, 6), wrong=(2, 5))), 0.1)
    assert [(first, len(data) // BLOCK) for first, data in runs] == [(1, 1), (3, 2)]
    assert receiver.forged == 2
    assert receiver.take("ada", rows_of(row(7, 8, wrong=(7, 8))), 0.1) == []
    assert receiver.forged == 4
    assert receiver.holds(0) == 0b11010


def test_a_row_of_a_wrong_size_is_looked_at_one_by_one() -> None:
    receiver = make()
    receiver.take("ada", rows_of(nodes()), 0.1)
    short = [item(0, 3), item(0, 4, data=b"short")]
    assert take(receiver, "ada", short, 0.1) == [(3, item(0, 3).data)]
    assert receiver.forged == 1
    assert take(receiver, "ada", row(69), 0.1) == [(69, item(0, 69).data)]


def test_a_block_can_be_lost_again() -> None:
    receiver = make()
    take(receiver, "ada", [*nodes(), item(0, 3)], 0.1)
    receiver.lose(3)
    assert receiver.left == 70
    assert take(receiver, "ada", [item(0, 3)], 0.2) == [(3, item(0, 3).data)]


def test_blocks_wait_for_their_nodes() -> None:
    receiver = make()
    assert take(receiver, "ada", [item(0, 40), item(0, 40), item(1, 1)], 0.1) == []
    assert receiver.duplicates == 1
    assert receiver.holds(1) == 0
    assert take(receiver, "ada", [item(2, 0)], 0.1) == [(40, item(0, 40).data)]


def test_what_waits_is_bounded() -> None:
    receiver = make()
    held, module.HELD = module.HELD, 2 * BLOCK
    try:
        early = [item(0, 40), item(0, 41), item(0, 64)]
        assert take(receiver, "ada", [*early, *nodes()], 0.1) == [(64, item(0, 64).data)]
    finally:
        module.HELD = held
    assert receiver.missing[0].has(40)
    assert receiver.missing[0].has(41)


def test_a_forged_block_that_waited_is_asked_for_again() -> None:
    receiver = make()
    take(receiver, "eve", [item(0, 40, data=bytes(BLOCK))], 0.1)
    assert not receiver.missing[0].has(40)
    take(receiver, "ada", nodes(), 0.1)
    assert receiver.missing[0].has(40)
    assert receiver.forged == 1


def test_a_forged_block_that_waits_does_not_keep_out_the_right_one() -> None:
    receiver = make()
    right, false = item(0, 40), item(0, 40, data=bytes(BLOCK))
    assert take(receiver, "eve", [false, false, item(0, 41, data=b"")], 0.1) == []
    assert take(receiver, "ada", [right, item(0, 41)], 0.1) == []
    assert take(receiver, "eve", [item(0, 40, data=bytes([1]) * BLOCK)], 0.1) == []
    blocks = take(receiver, "ada", nodes(), 0.1)
    assert blocks == [(40, right.data), (41, item(0, 41).data)]
    assert receiver.left == 68
    assert not receiver._held_count


def test_many_forged_blocks_do_not_push_out_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD", 8 * BLOCK)
    receiver = make()
    take(receiver, "ada", [item(0, 40)], 0.1)
    take(receiver, "eve", [item(0, 40, data=bytes([number]) * BLOCK) for number in range(20)], 0.1)
    assert not receiver.missing[0].has(40)
    assert receiver._held_count == module.VARIANTS
    assert take(receiver, "ada", nodes(), 0.1) == [(40, item(0, 40).data)]


def test_what_is_forged_says_nothing_of_the_path() -> None:
    receiver = make()
    ask(receiver, 0.0)
    answer(receiver, 0.0)
    take(receiver, "ada", [*nodes(), item(0, 1, 2)], 0.1)
    false = [item(0, 2, 90, bytes(BLOCK)), item(0, 999, 91, b""), item(9, 0, 92, b"")]
    take(receiver, "ada", [*false, item(0, 3, 3)], 0.11)
    assert ask(receiver, 0.12).multicast == (3, 6)


@pytest.mark.parametrize("level", [0, 1])
def test_a_false_copy_of_what_is_here_says_nothing_of_the_path(level: int) -> None:
    receiver = make()
    ask(receiver, 0.0)
    answer(receiver, 0.0)
    take(receiver, "ada", [*nodes(), item(0, 1, 2)], 0.1)
    take(receiver, "ada", [item(level, 1, 90, bytes(BLOCK))], 0.11)
    assert ask(receiver, 0.12).multicast == (2, 5)
    take(receiver, "ada", [item(level, 1, 3)], 0.13)
    assert ask(receiver, 0.14).multicast == (3, 6)
    assert (receiver.forged, receiver.duplicates) == (1, 1)


def test_what_waits_counts_once_something_genuine_comes() -> None:
    receiver = make()
    ask(receiver, 0.0)
    answer(receiver, 0.0, multicast=3)
    take(receiver, "ada", [item(0, 40, 90)], 0.09)
    report = ask(receiver, 0.1)
    assert (report.multicast, report.delay) == ((0, 1), NO_ECHO)
    take(receiver, "ada", [item(2, 0, 1)], 0.1, age=0.01)
    take(receiver, "ada", [item(0, 1, 90), item(0, 2, 3)], 0.11)
    report = ask(receiver, 0.12)
    assert (report.multicast, report.delay) == ((1, 2), 30_000)
    assert ask(receiver, 0.13).multicast == (3, 3)  # nothing is under way any more; one was sent after that
    take(receiver, "ada", [item(1, 0, 4)], 0.14)
    assert ask(receiver, 0.15).multicast == (4, 5)


def test_an_answer_corrects_what_was_reported_before() -> None:
    """A copy of something genuine has a false serial, or the server begins again for our new address."""
    receiver = make()
    ask(receiver, 0.0)
    answer(receiver, 0.0, multicast=5, unicast=5)
    take(receiver, "ada", [item(2, 0, 90), item(1, 0, 90)._replace(unicast=True)], 0.1)
    answer(receiver, 0.105, multicast=6, unicast=6)
    report = ask(receiver, 0.11)
    assert (report.multicast, report.unicast) == ((90, 1), (90, 1))  # it may have come after the answer left
    answer(receiver, 0.115, multicast=7)
    report = ask(receiver, 0.12)
    assert (report.multicast, report.unicast) == ((7, 1), (90, 1))
    answer(receiver, 0.125, multicast=7, unicast=1)
    assert ask(receiver, 0.13).unicast == (1, 1)


def test_others_cannot_push_out_what_came_from_the_server() -> None:
    receiver = make()
    ask(receiver, 0.0)
    answer(receiver, 0.0)
    take(receiver, "ada", [*nodes(), item(0, 1, 2)], 0.1)
    for number in range(40):
        take(receiver, number, [item(0, 1, 3)], 0.11)
    assert len(receiver._arrivals) == module.SOURCES
    assert ask(receiver, 0.12).multicast == (2, 5)


def test_nobody_is_blamed_for_what_others_forge() -> None:
    receiver = make()
    receiver.may_serve(BOB, complete=True)
    ask(receiver, 0.0)
    answer(receiver, 0.0)
    take(receiver, "ada", nodes(), 0.1)
    for serial in range(1000):
        take(receiver, "ada", [item(0, 1, serial, bytes(BLOCK))], 0.1)
    ask(receiver, 0.2)
    assert receiver.server == ADA
    assert receiver.servers[ADA].failures == 0


def test_the_first_report_asks_for_everything() -> None:
    receiver = make(unicast=True)
    report = ask(receiver, 0.0)
    assert report.flags == WANTS_UNICAST
    assert report.delay == NO_ECHO
    assert report.have == 0
    assert report.missing == (
        (2, (Entry(0, 1),)),
        (1, (Entry(0, 7),)),
        (0, (Entry(0, 0, 3),)),
    )


def test_only_what_is_before_the_horizon_is_asked_for() -> None:
    receiver = make()
    receiver.horizon = 1
    assert ask(receiver, 0.0).missing == ((2, (Entry(0, 1),)), (1, (Entry(0, 1),)), (0, (Entry(0, 0, 1),)))
    receiver.missing[1].set(0, 0b110)
    receiver.missing[0].set(0, 0)
    assert ask(receiver, 0.1).missing == ((2, (Entry(0, 1),)),)
    receiver.ask_all(0.1)
    assert dict(ask(receiver, 0.2).missing)[0] == (Entry(1, 0, 2),)


def test_nothing_is_asked_of_an_empty_stream() -> None:
    tree = make_tree(b"")
    receiver = BulkReceiver(tree.layout, tree.root, MemoryNodes(tree.layout), 0.0)
    receiver.may_serve(ADA, complete=True)
    receiver.ask_all(0.0)
    assert ask(receiver, 0.0).missing == ()


def test_a_long_list_goes_on_in_the_next_report() -> None:
    data = bytes(BLOCK * FAN * 1000)
    tree = make_tree(data, block=BLOCK)
    receiver = BulkReceiver(tree.layout, tree.root, MemoryNodes(tree.layout), 0.0)
    receiver.may_serve(ADA, complete=True)
    for group in range(1000):
        receiver.missing[0].set(group, 0x5555)
    seen: list[int] = []
    for turn in range(7):
        seen += [entry.group for entry in dict(ask(receiver, turn).missing)[0]]
        answer(receiver, turn)
    assert set(seen) == set(range(1000))
    assert len(seen) < 1600


def test_no_room_for_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = make()
    monkeypatch.setattr(module, "REPORT_ROOM", 10)
    assert [level for level, _ in ask(receiver, 0.0).missing] == [2]


def test_reports_tell_what_came() -> None:
    receiver = make()
    ask(receiver, 0.0)
    answer(receiver, 0.01)
    take(receiver, "ada", [item(2, 0, 7)], 0.02, age=0.01)
    report = ask(receiver, 0.03)
    assert report.token == b"token---"
    assert report.multicast == (7, 1)
    assert report.delay == 20_000
    take(receiver, "ada", [item(1, 0, 4)._replace(unicast=True)], 0.03)
    report = ask(receiver, 0.04)
    assert report.unicast == (4, 1)
    assert report.flags == ECHO_UNICAST


def test_what_was_sent_and_did_not_come_is_lost_once_nothing_waits() -> None:
    receiver = make()
    ask(receiver, 0.0)
    take(receiver, "ada", [item(2, 0, 7)], 0.02)
    answer(receiver, 0.03, multicast=9, unicast=2)
    assert ask(receiver, 0.035).multicast[0] == 7
    receiver.drained = False
    assert ask(receiver, 0.06).multicast[0] == 7
    receiver.drained = True
    report = ask(receiver, 0.06)
    assert report.multicast == (9, 1)
    assert report.unicast == (2, 0)
    assert report.delay == NO_ECHO
    answer(receiver, 0.07, multicast=7)
    assert ask(receiver, 0.1).delay != NO_ECHO


def test_sources_are_bounded() -> None:
    receiver = make()
    for number in range(40):
        take(receiver, number, [item(2, 0)], 0.0)
    assert len(receiver._arrivals) == module.SOURCES


def test_reports_come_in_the_interval_that_the_server_says() -> None:
    receiver = make()
    ask(receiver, 0.0)
    assert receiver.next_timeout == 0.1  # nobody answered
    answer(receiver, 0.01)
    assert receiver.next_timeout == 0.05
    take(receiver, "ada", [item(2, 0)], 0.01)
    assert receiver.next_timeout == 0.04  # at once when data stops to come
    receiver.on_status(BOB, "bob", BulkStatus(bytes(8), REFUSED, 50), 0.02)
    assert receiver.server == ADA


def test_the_last_report_says_that_all_is_here() -> None:
    receiver = make()
    ask(receiver, 0.0)
    take(receiver, "ada", [*nodes(), *(item(0, index) for index in range(70))], 1.0)
    assert receiver.left == 0
    assert receiver.next_timeout == 1.0
    assert ask(receiver, 1.0).have == 70
    assert receiver.next_timeout == inf
    take(receiver, "ada", [item(0, 1)], 1.1)
    assert receiver.next_timeout == inf


def test_others_are_asked_when_one_is_silent_or_refuses_or_leaves() -> None:
    receiver = make()
    ask(receiver, 0.0)
    receiver.may_serve(BOB, complete=False)
    receiver.may_serve(BOB, complete=False)
    ask(receiver, 2.1)
    assert receiver.server == BOB
    receiver.on_status(BOB, "bob", BulkStatus(bytes(8), EXHAUSTED, 50), 2.2)
    assert receiver.server is None
    assert receiver.next_timeout <= 2.25
    ask(receiver, 2.3)
    assert receiver.server == ADA  # it has all
    receiver.serves_no_more(BOB, 2.3)
    receiver.serves_no_more(ADA, 2.3)
    assert receiver.on_timeout(2.4, lambda _: True) is None
    receiver.may_serve(BOB, complete=True)
    assert receiver.next_timeout <= 2.4
    assert receiver.on_timeout(2.5, lambda _: False) is None
    receiver.server = ADA
    receiver.on_status(ADA, "ada", BulkStatus(bytes(8), REFUSED, 50), 2.6)
    assert receiver.servers[BOB].failures == 0


def test_words_without_deeds_and_garbage_are_given_up() -> None:
    receiver = make()
    for now in range(12):
        ask(receiver, float(now))
        answer(receiver, now + 0.1)
    assert receiver.servers[ADA].failures == 1
    receiver = make()
    receiver.may_serve(BOB, complete=True)
    take(receiver, "ada", nodes(), 0.0)
    for now in range(12):
        ask(receiver, float(now))
        answer(receiver, now + 0.1)
        take(receiver, "ada", [item(0, 1, data=bytes(BLOCK))] * 70, now + 0.1)
    assert receiver.server == BOB
    assert receiver.servers[ADA].failures == 1


def test_who_does_not_answer_is_asked_through_the_group() -> None:
    receiver = make()
    ways = []
    for turn in range(10):
        outreach = receiver.on_timeout(turn / 10, lambda _: True)
        assert outreach is not None
        ways.append(outreach.by_group)
    assert ways == [False, True] * 5


def test_who_is_here_is_asked_first_and_who_never_answers_soon_no_more() -> None:
    receiver = make()
    receiver.may_serve(BOB, complete=True)
    receiver.on_timeout(0.0, lambda _: True, lambda peer_id: "10.0.0.2" if peer_id == BOB else "")
    assert receiver.server == BOB
    receiver.on_timeout(0.8, lambda _: True)
    assert receiver.server == ADA


def test_members_that_one_computer_makes_up_are_not_all_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HOSTS", 1)
    receiver = BulkReceiver(TREE.layout, TREE.root, MemoryNodes(TREE.layout), 0.0)
    for number in range(200):
        receiver.may_serve(PeerId(number.to_bytes(16, "big"), 1), complete=True)
    receiver.may_serve(BOB, complete=False)
    tried = []
    for now in range(4):
        receiver.on_timeout(now, lambda _: True, lambda peer_id: "bob" if peer_id == BOB else "eve")
        tried.append(receiver.server)
    assert tried[1] == BOB
    assert len(receiver._failed) == 1


def test_what_has_changed_at_its_author_alone_is_lost() -> None:
    receiver = make()
    take(
        receiver,
        "ada",
        [*nodes(), *(item(0, index) for index in range(32, 70) if index not in (40, 42))],
        0.0,
    )
    assert list(receiver.lacking()) == [(0, 32), (40, 41), (42, 43)]
    receiver.may_serve(BOB, complete=False)
    ask(receiver, 0.0)
    assert not receiver.is_lost(ADA.origin, 0.0)
    answer(receiver, 0.1, CHANGED | EXHAUSTED)
    assert not receiver.is_lost(ADA.origin, 0.1)  # bob may have it
    assert not receiver.is_lost(ADA.origin, 2.0)
    assert receiver.is_lost(ADA.origin, 3.0)
    receiver.may_serve(BOB, complete=True)
    assert not receiver.is_lost(ADA.origin, 3.0)
    assert receiver.is_lost(ADA.origin, 11.0)
    assert not receiver.is_lost(BOB.origin, 11.0)
    receiver.serves_no_more(BOB, 0.2)
    assert receiver.is_lost(ADA.origin, 0.2)
    take(receiver, "ada", [item(0, index) for index in (*range(32), 40, 42)], 0.3)
    assert not receiver.is_lost(ADA.origin, 0.3)
    receiver.serves_no_more(ADA, 0.3)
    assert not receiver._changed


def test_blocks_of_a_run_before_are_checked() -> None:
    receiver = make()
    take(receiver, "ada", [item(2, 0), item(1, 0)], 0.0)
    take(receiver, "ada", [item(0, 2)], 0.0)
    receiver.suppose([(0, 40), (64, 900), (2, 3), (45, 41)])
    assert receiver.checks == 1
    assert receiver.next_check() == 0
    assert receiver.next_check() is None
    assert not receiver.missing[0].has(1)
    assert receiver.missing[0].has(41)
    assert receiver.holds(0) == 4
    # One comes by the network after all, and one is not right.
    assert take(receiver, "ada", [item(0, 5)], 0.0) == [(5, item(0, 5).data)]
    receiver.checked(0, FULL & ~4, FULL & ~(1 << 7))
    assert receiver.missing[0].get(0) == 1 << 7
    assert receiver.doubted.get(0) == 0
    assert receiver.left == 70 - 31
    assert take(receiver, "ada", [item(0, 33)], 0.0) == []  # its node is not known, and it may be here
    take(receiver, "ada", [item(1, 1)], 0.0)
    assert receiver.next_check() == 1
    receiver.checked(1, 1, 1)
    assert receiver.doubted.get(1) == 0xFE


def test_long_runs_of_blocks_may_be_here_from_before() -> None:
    receiver = make()
    take(receiver, "ada", nodes(), 0.0)
    receiver.suppose([(0, 70)])
    assert [receiver.next_check() for _ in range(4)] == [0, 1, 2, None]
    for group in range(3):
        receiver.checked(group, FULL, FULL)
    assert receiver.left == 0
    tree = make_tree(DATA, block=BLOCK)
    receiver = BulkReceiver(tree.layout, tree.root, MemoryNodes(tree.layout), 0.0)
    receiver.suppose([(0, 70)])
    take(receiver, "ada", [item(2, 0), item(1, 2), item(1, 0)], 0.0)
    assert receiver.next_check() == 0
    take(receiver, "ada", [item(1, 1)], 0.0)
    assert [receiver.next_check() for _ in range(2)] == [1, 2]
    receiver._set_ready(0)
    assert receiver.next_check() == 0


def test_forged_serials_do_not_count() -> None:
    receiver = make()
    ask(receiver, 0.0)
    take(receiver, "ada", [item(2, 0, 0xFFFFFFFF)], 0.02)
    answer(receiver, 0.03, multicast=9)
    take(receiver, "ada", [item(1, 0, 8), item(1, 1, 0xFFFFFFFF)], 0.04)
    assert ask(receiver, 0.041).multicast == (9, 2)
    take(receiver, "ada", [item(1, 2, 0xFFFFFFFF)._replace(unicast=True)], 0.05)
    assert ask(receiver, 0.051).unicast == (0, 0)
    assert receiver.tree.knows(1, 1)


def test_one_that_drips_is_left_if_somebody_else_can_be_asked() -> None:
    for others in (False, True):
        receiver = make()
        if others:
            receiver.may_serve(BOB, complete=True)
        take(receiver, "ada", nodes(), 0.0)
        for now in range(30):
            ask(receiver, float(now))
            answer(receiver, now + 0.1)
            if now % 5 == 0:
                take(receiver, "ada", [item(0, now)], now + 0.2)
        assert bool(receiver.servers[ADA].failures) is others
    receiver = make()
    receiver.may_serve(BOB, complete=True)
    take(receiver, "ada", nodes(), 0.0)
    for now in range(14):
        ask(receiver, float(now))
        answer(receiver, now + 0.1)
        take(receiver, "ada", [item(0, 5 * now + more) for more in range(5)], now + 0.2)
    assert receiver.server == ADA
