from __future__ import annotations

from math import inf
from random import Random
from typing import Any

import pytest

from mcast.core.bulk import sender as module
from mcast.core.bulk.channel import SMOOTHED
from mcast.core.bulk.layout import FULL, make_layout
from mcast.core.bulk.sender import BulkSender, Trial, Way
from mcast.core.events import PeerId
from mcast.settings import Settings
from mcast.wire.bulk import (
    BY_UNICAST,
    CHANGED,
    EXHAUSTED,
    FAN,
    NO_ECHO,
    REFUSED,
    WANTS_UNICAST,
    BulkReport,
    BulkStatus,
    Entry,
)
from tests.simulation.bulk import World, make_tree

DATA = Random(3).randbytes(1024 * 70)
LAYOUT = make_tree(DATA, block=1024).layout
BIG = make_layout(1024 * 32 * 400, 0, 1024)
ALL = tuple((level, (Entry(0, 0, LAYOUT.groups(level)),)) for level in range(2, -1, -1))
ADA, BOB = PeerId(b"a" * 16, 1), PeerId(b"b" * 16, 1)


def make(way: Way = Way.AUTO, *, complete: bool = True) -> BulkSender:
    return BulkSender(
        LAYOUT, Settings(), Random(1), lambda _: (1 << FAN) - 1, 0.0, complete=lambda: complete, way=way
    )


def status(sender: BulkSender, now: float, peer_id: PeerId = ADA) -> BulkStatus:
    return next(word for client, word in sender.statuses(now) if client.peer_id == peer_id)


def drain(sender: BulkSender, now: float) -> float:
    while (when := sender.when(now)) < now + 5:
        now = max(now, when)
        sender.statuses(now)
        sender.take(now)
    return now


def test_a_receiver_is_served() -> None:
    sender = make()
    assert sender.when(0.0) == inf
    assert sender.take(0.0) is None
    sender.on_report(ADA, "a", BulkReport(missing=ALL), 0.0)
    assert sender.when(0.0) == 0.0  # a status is due
    word = status(sender, 0.0)
    assert word.flags == 0
    assert sender.statuses(0.0) == []
    assert sender.when(0.0) == module.GATHER
    batch = sender.take(0.1)
    assert batch is not None
    assert batch.to is None
    sender.on_report(ADA, "a", BulkReport(word.token, missing=ALL), 0.11)
    batch = sender.take(0.2)
    assert batch is not None
    assert batch.to == "a"
    assert sender.rate >= 0


def test_a_finished_receiver_gets_nothing_more() -> None:
    sender = make()
    sender.on_report(ADA, "a", BulkReport(missing=ALL), 0.0)
    sender.on_report(ADA, "a", BulkReport(have=70), 0.1)
    assert sender.take(0.2) is None
    assert sender._group.idle
    sender.left(ADA)
    assert not sender.clients


def test_nothing_is_sent_for_who_is_silent() -> None:
    sender = make()
    sender.on_report(ADA, "a", BulkReport(missing=ALL), 0.0)
    sender.statuses(0.0)
    assert sender.take(1.0) is None
    assert sender.when(1.0) == inf
    sender.forget(1.0)
    assert sender.clients
    sender.forget(100.0)
    assert not sender.clients


def test_reports_are_bounded() -> None:
    sender = make()
    for _ in range(200):
        sender.on_report(ADA, "a", BulkReport(), 0.0)
    assert sender.clients[ADA].budget.level(0.0) < 1
    for number in range(module.RECEIVERS + 5):
        sender.on_report(PeerId(number.to_bytes(16, "big"), 1), number, BulkReport(), 0.0)
    assert len(sender.clients) == module.RECEIVERS
    assert ADA in sender.clients


def test_receivers_that_one_computer_makes_up_keep_out_no_other() -> None:
    sender = make()
    for number in range(module.RECEIVERS + 5):
        sender.on_report(PeerId(number.to_bytes(16, "big"), 1), ("10.6.6.6", number), BulkReport(), 0.0)
    for turn in range(2):
        sender.on_report(ADA, ("10.0.0.1", 1), BulkReport(), 0.1 + turn)
        sender.on_report(BOB, ("10.0.0.2", 1), BulkReport(), 0.1 + turn)
        assert ADA in sender.clients
        assert BOB in sender.clients
        assert len(sender.clients) == module.RECEIVERS
        sender.on_report(PeerId(b"eve" * 5 + b"!", 1), ("10.6.6.6", 7), BulkReport(), 0.2 + turn)


def test_few_at_one_computer_get_copies_of_their_own() -> None:
    sender = make()
    for turn in range(2):
        for number in range(20):
            peer_id, address = PeerId(number.to_bytes(16, "big"), 1), ("10.6.6.6", number)
            client = sender.clients.get(peer_id)
            report = BulkReport(client.token if client else bytes(8), WANTS_UNICAST)
            sender.on_report(peer_id, address, report, 0.1 * turn)
    assert sum(client.channel is not None for client in sender.clients.values()) == module.UNICAST_EACH


def keep_asking(sender: BulkSender, seconds: range) -> float:
    """A receiver asks for everything each second, and gets what is here; the time after that."""
    now = 0.0
    for second in seconds:
        now = float(second)
        sender.on_report(ADA, "a", BulkReport(missing=ALL), now)
        while sender.take(now) is not None:
            now += 0.01
    return now


def test_who_asks_without_end_is_refused() -> None:
    sender = make()
    now = keep_asking(sender, range(40))
    assert sender.clients[ADA].refused
    assert status(sender, now).flags == REFUSED
    sender.on_report(ADA, "a", BulkReport(missing=ALL), now + 1)
    assert sender.take(now + 1) is None


def test_what_is_not_here_may_be_asked_for_again_and_again() -> None:
    here = 0
    sender = BulkSender(LAYOUT, Settings(), Random(1), lambda _: here, 0.0, complete=lambda: False)
    keep_asking(sender, range(200))
    assert not sender.clients[ADA].refused
    here = FULL  # what is here, not
    keep_asking(sender, range(200, 300))
    assert sender.clients[ADA].refused


def test_serials_that_never_left_are_not_believed() -> None:
    sender = make()
    sender.on_report(ADA, "a", BulkReport(missing=ALL), 0.0)
    assert sender.take(0.1) is not None
    asked = sender.clients[ADA].asked
    report = BulkReport(multicast=(90_000, 1), unicast=(90_000, 1), delay=NO_ECHO, missing=ALL)
    sender.on_report(ADA, "a", report, 0.11)
    assert sender.clients[ADA].asked == asked  # it is under way
    assert (sender.clients[ADA].reporter.multicast, sender.clients[ADA].reporter.loss) == (0, 0.0)


def reports(sender: BulkSender, began: float, end: float, **report: Any) -> bool:
    """Reports for a while; whether nothing seems to reach the receiver then."""
    now = began
    while now <= end:
        sender.on_report(ADA, "a", BulkReport(missing=ALL[:1], delay=NO_ECHO, **report), now)
        sender.take(now + 0.2)
        now += 0.25
    return sender.clients[ADA].unreached


def test_whom_nothing_reaches_is_known_after_a_while() -> None:
    sender = make()
    assert not reports(sender, 0.0, 9.5)
    assert reports(sender, 9.75, 11.0)
    assert not reports(sender, 11.25, 20.0, multicast=(1, 1))  # one item has come
    assert reports(sender, 20.25, 23.0, multicast=(1, 1))
    assert not reports(sender, 30.0, 30.0, multicast=(1, 1))  # it was silent, so nothing was sent


@pytest.mark.parametrize("report", [{"backlog": 64}, {"have": LAYOUT.blocks}])
def test_who_does_not_read_or_has_all_of_it_is_reached(report: dict[str, int]) -> None:
    assert not reports(make(), 0.0, 20.0, **report)


def test_nobody_misses_what_is_not_sent() -> None:
    sender = make()
    assert not reports(sender, 0.0, 1.0, multicast=(1, 1))
    sender.changed = True
    assert not reports(sender, 1.25, 20.0, multicast=(1, 1))


def test_who_has_more_and_more_is_reached() -> None:
    sender = make()
    for have in range(20):
        assert not reports(sender, float(have), have + 0.75, have=have)
    assert reports(sender, 20.0, 31.0, have=19)


def test_what_is_sent_after_a_pause_has_its_time_to_arrive() -> None:
    sender = make()
    assert not reports(sender, 0.0, 1.0, multicast=(1, 1))
    sender.changed = True
    assert not reports(sender, 1.25, 20.0, multicast=(1, 1))
    sender.changed = False
    for tenth in range(3):
        now = 20.25 + tenth / 4
        assert not reports(sender, now, now, multicast=(1, 1))
    assert reports(sender, 21.0, 31.0, multicast=(1, 1))


@pytest.mark.parametrize("serial", [90_000, 0])
def test_a_false_serial_leaves_what_is_known_of_a_receiver(serial: int) -> None:
    sender = make()
    sender.on_report(ADA, "a", BulkReport(missing=ALL), 0.0)
    batch = sender.take(0.1)
    assert batch is not None
    last = sum(mask.bit_count() for _, _, mask in batch.parts)
    sender.on_report(ADA, "a", BulkReport(multicast=(last, last), delay=0, missing=ALL), 0.11)
    reporter = sender.clients[ADA].reporter
    trip = reporter.trip
    batch = sender.take(0.2)
    assert batch is not None
    sent = sum(mask.bit_count() for _, _, mask in batch.parts)
    report = BulkReport(multicast=(serial, last + sent), delay=0, missing=ALL)
    sender.on_report(ADA, "a", report, 9.0)
    assert reporter.trip == trip
    assert (reporter.multicast, reporter.counts) == (last, (last, 0))
    report = BulkReport(multicast=(last + sent, last + sent), delay=NO_ECHO, missing=ALL)
    sender.on_report(ADA, "a", report, 9.1)
    assert (reporter.loss, reporter.group_loss) == (0.0, 0.0)


def test_a_new_address_is_validated_again() -> None:
    sender = make()
    sender.on_report(ADA, "a", BulkReport(), 0.0)
    token = status(sender, 0.0).token
    sender.on_report(ADA, "a", BulkReport(token), 0.1)
    assert sender.clients[ADA].reporter.validated
    sender.on_report(ADA, "elsewhere", BulkReport(token), 0.2)
    assert not sender.clients[ADA].reporter.validated


def test_unicast_on_demand() -> None:
    sender = make()
    sender.on_report(ADA, "a", BulkReport(flags=WANTS_UNICAST, missing=ALL), 0.0)
    token = status(sender, 0.0).token
    assert sender.clients[ADA].channel is None
    sender.on_report(ADA, "a", BulkReport(token, WANTS_UNICAST, missing=ALL), 0.01)
    word = status(sender, 0.01)
    assert word.flags == BY_UNICAST
    assert word.interval == 10
    batch = sender.take(0.1)
    sender._group.clear()
    batch = batch if batch is not None and batch.to is not None else sender.take(0.11)
    assert batch is not None
    assert batch.to == "a"
    sender.on_report(ADA, "a", BulkReport(token, 2, 3, (0, 0), (batch.serial, 1), 1000, 0, ALL), 0.12)
    assert sender.clients[ADA].reporter.trip < 0.1
    assert sender.rate >= 0


def test_unicast_receivers_are_bounded() -> None:
    sender = make(Way.UNICAST)
    for number in range(module.UNICAST_RECEIVERS + 1):
        peer_id = PeerId(number.to_bytes(16, "big"), 1)
        sender.on_report(peer_id, number, BulkReport(missing=ALL), 0.0)
        token = status(sender, 0.0, peer_id).token
        sender.on_report(peer_id, number, BulkReport(token, missing=ALL), 0.0)
    assert sum(client.channel is not None for client in sender.clients.values()) == module.UNICAST_RECEIVERS


def test_a_changed_source_is_told() -> None:
    sender = make()
    sender.on_report(ADA, "a", BulkReport(missing=ALL), 0.0)
    sender.changed = True
    assert sender.take(1.0) is None
    assert status(sender, 0.1).flags == CHANGED | EXHAUSTED
    sender.on_report(ADA, "a", BulkReport(missing=ALL), 0.2)


def test_a_partial_holder_says_when_it_has_nothing_more() -> None:
    sender = make(complete=False)
    sender.on_report(ADA, "a", BulkReport(), 0.0)
    assert status(sender, 0.0).flags == 0
    sender.on_report(ADA, "a", BulkReport(), 1.5)
    assert status(sender, 1.5).flags == EXHAUSTED


def test_who_has_all_but_what_is_lost_is_told_so() -> None:
    sender = make()
    sender.lose(32, 34)
    sender.lose(64, 70)

    def flags(have: int, *entries: Entry) -> int:
        sender.clients.pop(ADA, None)
        sender.on_report(ADA, "a", BulkReport(have=have, missing=((0, entries),)), 0.0)
        return status(sender, 0.0).flags

    assert flags(61, Entry(1, 7), Entry(2, 0, 1)) == 0
    assert flags(62, Entry(1, 3)) == 0  # there is more that it lacks
    assert flags(62, Entry(1, 5), Entry(2, 0, 1)) == 0  # of which we have something
    assert flags(62, Entry(1, 3), Entry(2, 0, 9)) == CHANGED | EXHAUSTED
    assert not sender.clients[ADA].asked
    assert sender.lost is not None
    assert sum(sender.lost.get(group).bit_count() for group in range(3)) == 2 + 6
    sender.lost = None
    assert flags(62, Entry(1, 3), Entry(2, 0, 1)) == 0


def test_what_a_receiver_lacks_can_be_in_several_reports() -> None:
    sender = make()
    sender.lose(0, 34)

    def over(have: int, *entries: Entry) -> bool:
        sender.on_report(ADA, "a", BulkReport(have=have, missing=((0, entries),)), 0.0)
        return sender.clients[ADA].over

    assert not over(64, Entry(0, 7))
    assert not over(64, Entry(0, 7))  # again from the beginning
    assert not over(65, Entry(1, 3))  # it has more now
    assert not over(65, Entry(0, 7))
    assert not over(65, Entry(1, 4))  # we have that
    assert not over(65, Entry(1, 3))
    assert not over(65, Entry(0, 7), Entry(99, 3))
    assert not over(65, Entry(0, 7))
    assert over(65, Entry(1, 3))


def test_what_is_lost_waits_in_no_queue() -> None:
    sender = BulkSender(BIG, Settings(), Random(1), lambda _: FULL, 0.0, complete=lambda: True)
    everything = tuple((level, (Entry(0, 0, BIG.groups(level)),)) for level in range(3, -1, -1))
    sender.on_report(ADA, "a", BulkReport(missing=everything), 0.0)
    sender.lose(40, 32 * 100 + 5)
    assert sender._group.idle
    sender.on_report(ADA, "a", BulkReport(missing=everything), 0.1)
    wants = sender._group._wants
    assert [wants[0].get(group) for group in (0, 1, 2, 99, 100, 101)] == [FULL, 0xFF, 0, 0, FULL & ~31, FULL]
    assert [wants[1].has(index) for index in (1, 2, 99, 100)] == [True, True, True, True]
    assert [wants[2].has(index) for index in (0, 1, 2, 3)] == [True, True, True, True]
    assert wants[3].has(0)


def test_few_entries_of_a_report_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENTRIES", 3)
    sender = BulkSender(BIG, Settings(), Random(1), lambda _: FULL, 0.0, complete=lambda: True)
    for group in range(0, 40, 2):
        sender.lose(FAN * group, FAN * (group + 1))
    beyond = ((1, (Entry(9, 7),)), (0, (Entry(0, 0, 40),)), (9, (Entry(0, 1),)))
    few = (0, (Entry(1, 0, 1), Entry(3, 0, 1), Entry(5, 0, 1)))
    assert sender._ours(beyond) == (beyond[0], few, beyond[2])
    assert sender._ours(((0, (Entry(0, 3),)),)) == ()


def test_words_are_not_repeated_without_need() -> None:
    sender = make()
    sender.on_report(ADA, "a", BulkReport(missing=ALL), 0.0)
    token = status(sender, 0.0).token
    sender.on_report(ADA, "a", BulkReport(token, missing=ALL), 0.02)
    assert sender.statuses(0.02) == []
    sender.on_report(ADA, "a", BulkReport(token, missing=ALL), 0.3)
    assert status(sender, 0.3).token == token


@pytest.mark.parametrize("backlog", [0, 1 << 30])
def test_one_that_alone_holds_the_rate_is_left_out_on_trial(backlog: int) -> None:
    sender = make()
    for peer_id, source in ((ADA, "a"), (BOB, "b")):
        sender.on_report(peer_id, source, BulkReport(missing=ALL), 0.0)
    for _ in range(module.CUTS):
        assert sender._trial is None
        sender._blame(sender.clients[ADA], 1000.0, 0.1)
    assert sender._trial == Trial(ADA, 1000.0, 0.1 + module.TRIAL)
    sender.clients[ADA].reporter.path.backlog = backlog
    sender.on_report(BOB, "b", BulkReport(), 2.0)
    assert sender._trial is None
    assert sender.clients[ADA].spared == 2.0 + module.SPARED
    # The others are faster by far, and it does not keep up with that.
    assert sender.clients[ADA].slow == (backlog > 0)


def test_a_trial_of_one_that_left_proves_nothing() -> None:
    sender = make()
    sender.on_report(ADA, "a", BulkReport(missing=ALL), 0.0)
    sender._trial = Trial(ADA, 1.0, 1.0)
    sender.left(ADA)
    sender.on_report(BOB, "b", BulkReport(missing=ALL), 0.5)
    assert sender._trial is not None
    sender.on_report(BOB, "b", BulkReport(missing=ALL), 1.5)
    assert sender._trial is None


def test_loss_is_measured() -> None:
    sender = make()
    sender.on_report(ADA, "a", BulkReport(missing=ALL), 0.0)
    sender._group.serials[None] = 210
    sender.on_report(ADA, "a", BulkReport(multicast=(10, 10), delay=NO_ECHO), 0.1)
    sender.on_report(ADA, "a", BulkReport(multicast=(210, 110), delay=NO_ECHO), 0.2)
    reporter = sender.clients[ADA].reporter
    assert reporter.loss == pytest.approx(0.5 * 200 / SMOOTHED)
    assert reporter.group_loss == pytest.approx(0.05)  # it was a tenth of a second


def test_what_came_counts_with_the_next_serial() -> None:
    sender = make()
    sender.on_report(ADA, "a", BulkReport(missing=ALL), 0.0)
    sender._group.serials["a"] = 1000
    for turn in range(1, 20):
        report = BulkReport(multicast=(0, 500 * (turn % 2)), unicast=(30 * turn, 29 * turn), delay=NO_ECHO)
        sender.on_report(ADA, "a", report, turn / 10)
        assert sender.clients[ADA].reporter.loss < 0.06


def test_who_misses_a_moment_keeps_getting_multicast() -> None:
    sender = make()
    for peer_id in (ADA, BOB):
        sender.on_report(peer_id, peer_id.origin, BulkReport(missing=ALL), 0.0)
    token = status(sender, 0.0, ADA).token
    came = 0
    for turn in range(1, 60):
        now = turn / 20
        sender._group.serials[None] = serial = 1000 * turn
        came += 0 if 40 <= turn < 44 else 1000
        sender.on_report(ADA, ADA.origin, BulkReport(token, multicast=(serial, came), missing=ALL), now)
        sender.on_report(BOB, BOB.origin, BulkReport(multicast=(serial, serial), missing=ALL), now)
    assert sender.clients[ADA].reporter.validated
    assert sender.clients[ADA].channel is None


def test_the_rate_follows_the_worst() -> None:
    world = World(bytes(2_000_000), receivers=2, seed=3, bandwidth=5e6)
    world.receivers[0].loss = 0.05
    world.run(30)
    assert world.right()
    world = World(bytes(700_000), receivers=0)
    assert world.done


def test_who_gets_nothing_by_multicast_gets_unicast() -> None:
    world = World(bytes(2_000_000), receivers=3, seed=3, bandwidth=1e6)
    world.receivers[0].group_loss = 1.0
    world.receivers[1].group_loss = 0.5
    world.run(30)
    assert world.right()
    assert not world.receivers[0].in_group
    assert not world.receivers[1].in_group


def test_who_never_shows_that_it_gets_our_words_does_not_hold_the_others() -> None:
    sender = make()
    sender.on_report(ADA, "a", BulkReport(missing=ALL), 0.0)
    token = status(sender, 0.0).token
    sender.on_report(ADA, "a", BulkReport(token, missing=ALL), 0.01)
    bad = BulkReport(backlog=1 << 20, missing=ALL)
    sender.on_report(BOB, "b", bad, 0.02)
    worst = sender._acker(0.02)
    assert worst is not None
    assert worst.peer_id == BOB
    for turn in range(module.PROVEN):
        sender.on_report(BOB, "b", bad, 0.03 + turn / 100)
    worst = sender._acker(0.2)
    assert worst is not None
    assert worst.peer_id == ADA
    sender.clients[ADA].slow = True
    sender.left(BOB)
    assert sender._acker(0.2) is sender.clients[ADA]  # there is nobody else


def test_few_receivers_of_a_large_transfer_get_unicast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNICAST_TABLES", 60)  # three groups of blocks, one of each level of nodes
    sender = make(Way.UNICAST)
    for number in range(4):
        peer_id = PeerId(number.to_bytes(16, "big"), 1)
        sender.on_report(peer_id, number, BulkReport(missing=ALL), 0.0)
        token = status(sender, 0.0, peer_id).token
        sender.on_report(peer_id, number, BulkReport(token, missing=ALL), 0.0)
    assert sum(client.channel is not None for client in sender.clients.values()) == 2


def test_who_echoes_nothing_any_more_is_not_followed() -> None:
    sender = make()
    for at in (0.0, 2.0):
        for peer_id, source in ((ADA, "a"), (BOB, "b")):
            sender.on_report(peer_id, source, BulkReport(missing=ALL), at)
    liar, honest = sender.clients[ADA], sender.clients[BOB]
    liar.reporter.path.queue = 9.0
    assert sender._acker(2.0) is liar  # of the other one nothing was measured for as long
    honest.reporter.path.measured = 1.5
    assert sender._acker(2.0) is honest
    liar.reporter.path.measured = 1.9
    assert sender._acker(2.0) is liar


def test_what_one_alone_lacks_waits_while_it_is_left_out() -> None:
    sender = make()
    for peer_id, source in ((ADA, "a"), (BOB, "b")):
        sender.on_report(peer_id, source, BulkReport(missing=ALL), 0.0)
    sender._group._urgent = {(0, 0): "a", (0, 1): "b", (0, 2): None}
    sender.clients[BOB].reporter.multicast = 1
    for at in range(module.CUTS):
        sender._blame(sender.clients[ADA], 1.0, at / 10)
    assert sender._tried(sender.clients[ADA])
    assert sender._group._urgent == {(0, 1): "b", (0, 2): None}
    assert sender._group.rate.doubling
