"""Whom the sender listens to, and what may leave when."""

from __future__ import annotations

import pytest

from mcast import simulation
from mcast.core.events import Fallback, PeerId, SendingResumed, SendingStopped, SlowMember
from mcast.core.flow.controller import Breaker, Meter
from mcast.core.membership.roster import Peer
from mcast.settings import Settings
from mcast.wire import frames as f

SETTINGS = Settings()
SIZE = 1000


def peer_id(number: int) -> PeerId:
    return PeerId(bytes([number]) * 16, number)


class Group:
    """The flow controller of a member, and a roster of peers that came at the times told."""

    def __init__(self, *joined: float, settings: Settings = SETTINGS) -> None:
        lan = simulation.Lan(settings=settings)
        self.now = lan.now = 1000.0
        engine = lan.join("ada").engine
        self.me, self.flow, self.roster = engine.peer_id, engine._flow, engine._roster
        self.context = engine._context
        self.high = 0
        for number, at in enumerate(joined, 1):
            peer = Peer(peer_id(number), f"p{number}", None, None, at, True)  # type: ignore[arg-type] # an announcement it does not need
            self.roster.add(peer)

    def peer(self, number: int) -> Peer:
        """One of them."""
        peer = self.roster.get(peer_id(number))
        assert peer is not None
        return peer

    def send(self, records: int = 10) -> None:
        """A flush leaves."""
        self.high += records
        self.flow.sent(self.high, records, records * SIZE, self.now)

    def report(
        self, number: int, *, lag: int = 0, trip: float = 0.001, loss: float = 0.0, backlog: int = 0
    ) -> None:
        """One reports on all but the last `lag` records."""
        echo = self.context.unix_ms(self.now) - round(1000 * trip)
        heard = f.Heard(*self.me, self.high - lag, self.high, echo, 0, backlog, round(65535 * loss))
        self.flow.reported(peer_id(number), heard, self.now)

    def press(self) -> PeerId | None:
        """Records wait: who is asked to report."""
        self.context.queue.clear()
        self.flow.press(self.now)
        frames = [frame for queued in self.context.queue for frame in queued.frames]
        asked = [
            PeerId(frame.to_origin, frame.to_incarnation) for frame in frames if isinstance(frame, f.Acker)
        ]
        return asked[0] if asked else None

    @property
    def slow(self) -> list[PeerId]:
        """Whom the application was told to be slow."""
        return [event.peer_id for event in self.context.events if isinstance(event, SlowMember)]

    def pass_(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds


def test_nobody_here_is_a_fixed_rate() -> None:
    group = Group()
    assert group.flow.level(group.now) > 0
    assert group.press() is None
    group.flow.spend(10_000_000, group.now)
    assert group.flow.when(group.now) == pytest.approx(group.now + 10_000_000 / SETTINGS.alone_rate, rel=0.01)


def test_peers_begin_at_the_start_rate_and_one_is_asked_to_report() -> None:
    group = Group(0.0, 0.0)
    assert group.press() == peer_id(1)
    assert group.flow._target(group.now) == SETTINGS.start_rate
    assert group.press() is None, "it has just been asked"
    group.pass_(0.6)
    assert group.press() == peer_id(2), "the first never answered"
    group.report(2)
    group.pass_(0.6)
    assert group.press() is None
    group.pass_(0.6)
    assert group.press() == peer_id(2), "again, once a second"


def test_a_visitor_listens_to_whoever_reports() -> None:
    group = Group()
    group.report(7)
    assert group.flow.election.acker == peer_id(7)


def test_who_is_not_confirmed_or_suspect_or_has_just_come_does_not_count() -> None:
    group = Group(0.0, 0.0, 999.0, 0.0)
    group.peer(1).confirmed = False
    group.peer(2).suspect = True
    counts = group.flow.election.counts
    assert [number for number in range(1, 6) if counts(peer_id(number), group.roster, 1000.0)] == [4]
    assert counts(peer_id(3), group.roster, 1010.0)


def test_a_group_that_just_formed_does_not_wait() -> None:
    group = Group(999.0, 999.1, 999.8)
    counts = [group.flow.election.counts(peer_id(number), group.roster, 1000.0) for number in (1, 2, 3)]
    assert counts == [True, True, False]


def test_the_worst_off_is_elected() -> None:
    group = Group(0.0, 0.0, 0.0)
    group.press()
    group.send()
    group.report(1)
    group.report(2)
    assert group.flow.election.acker == peer_id(1)
    group.report(2, loss=0.2)
    assert group.flow.election.acker == peer_id(2)
    group.pass_(0.1)
    group.report(3, loss=0.2)
    assert group.flow.election.acker == peer_id(2), "no worse"
    group.roster.remove(peer_id(2))
    group.flow.election.left(peer_id(2))
    group.flow.election.left(peer_id(9))
    assert group.press() == peer_id(3), "the one heard last"


def test_nobody_who_counts_is_elected() -> None:
    group = Group(0.0)
    group.peer(1).suspect = True
    assert group.press() is None
    assert group.flow.election.candidate(group.roster, group.now) is None


def test_the_sender_stands_still_for_who_falls_silent_then_goes_on_at_the_floor() -> None:
    group = Group(0.0, 0.0)
    group.press()
    group.send()
    group.report(1)
    for _ in range(10):
        group.send()
    assert group.flow.level(group.now + 0.2) > 0
    assert group.flow.level(group.now + 0.4) == 0
    group.pass_(0.4)
    assert group.press() == peer_id(1), "asked again at once"
    assert group.flow.when(group.now) == pytest.approx(group.now + 0.15)
    group.pass_(0.15)
    assert group.press() == peer_id(1)
    group.pass_(3.0)
    assert group.flow._target(group.now) == SETTINGS.floor_rate
    group.report(1)
    assert group.flow._target(group.now) > SETTINGS.floor_rate


def test_a_lone_line_never_waits_for_who_is_silent() -> None:
    group = Group(0.0)
    group.press()
    group.send()
    group.report(1)
    group.send(1)
    assert group.flow.level(group.now + 100.0) > 0


def full() -> Group:
    """All that a receiver has room for is unconfirmed."""
    group = Group(0.0)
    group.press()
    group.send(6000)
    group.report(1)
    group.send(group.flow.window)
    return group


def test_the_sender_does_not_outrun_who_lacks_records() -> None:
    group = full()
    assert group.flow.new_level(group.now + 60.0) > 0, "the floor, always"
    assert group.flow.new_when(group.now) == pytest.approx(group.now + 6000 * SIZE / SETTINGS.floor_rate, 0.1)
    group.flow._high -= 1
    assert group.flow.new_when(group.now) == group.flow.when(group.now)
    assert group.flow.new_level(group.now + 60.0) == group.flow.level(group.now + 60.0)


def test_the_window_is_what_a_receiver_has_room_for() -> None:
    group = full()
    assert group.flow.window == 3 * 2**20 // SIZE
    for _ in range(64):
        group.flow.sent(1, 64, 64 * 100, group.now)
    assert group.flow.window == 6144


def test_repairs_go_on_when_new_records_may_not_leave() -> None:
    group = full()
    group.flow.repaired(10_000_000, group.now)
    assert not group.flow.turn
    group.flow._high -= 1
    assert group.flow.turn


def test_the_rate_does_not_follow_what_the_window_lets_leave() -> None:
    """Who catches up still tells of the queue of before: that is no reason to fall to a trickle."""
    group = full()
    rate = group.flow.rate
    rate.doubling, rate.value = False, 8e6
    group.flow._meter.value = 1e5
    group.pass_(0.3)
    for _ in range(5):
        group.pass_(0.02)
        group.report(1, lag=group.flow.window, trip=0.2)
    assert 4e6 < rate.value < 8e6


def test_the_rate_does_not_grow_while_hardly_any_of_it_leaves() -> None:
    """The attack: a member that confirms nothing and loses nothing would have it doubled without end."""
    group = full()
    group.flow._meter.value = SETTINGS.start_rate
    for _ in range(50):
        group.pass_(0.02)
        group.press()
        group.report(1, lag=group.flow.window)
    assert group.flow.rate.value == 4 * SETTINGS.start_rate, "twice, as repairs used it"


def test_who_confirms_nothing_counts_no_longer_after_ten_seconds() -> None:
    group = held_up(1e6, 1e6, 1e6)
    group.flow.rate.value = 1e6
    group.send(2 * group.flow.window)
    for _ in range(110):
        for number in (1, 2):
            group.report(number)
        group.report(3, lag=group.high)
        looks(group, 0.1)
    assert group.slow == [peer_id(3)]
    assert not group.flow._full


def test_what_the_elected_one_loses_whatever_the_rate_others_may_lose_too() -> None:
    group = Group(0.0, 0.0, 0.0)
    group.press()
    group.send()
    group.report(2, loss=0.1)
    assert group.flow.election._paths[peer_id(2)].accepted == 0.0, "nobody is elected that reported"
    group.report(1)
    elected = group.flow.election.path
    assert elected is not None
    elected.accepted = 0.1
    group.report(2, loss=0.12)
    group.report(3, loss=0.05)
    paths = group.flow.election._paths
    assert [round(paths[peer_id(number)].accepted, 2) for number in (2, 3)] == [0.1, 0.05]


def held_up(*kept: float) -> Group:
    """Members who kept up with so many bytes a second each, before the last one held them up."""
    group = Group(*(0.0 for _ in kept))
    for number in range(1, len(kept) + 1):
        group.report(number)
    group.press()
    group.flow._elect(peer_id(len(kept)), group.now)
    group.flow.rate.value = 50_000.0
    for number, rate in enumerate(kept, 1):
        group.flow.election._paths[peer_id(number)].kept = rate
    return group


def looks(group: Group, seconds: float) -> list[PeerId]:
    """Whom looking ten times a second finds to be slow."""
    before = len(group.slow)
    for _ in range(round(seconds * 10)):
        group.pass_(0.11)
        group.press()
    return group.slow[before:]


def test_who_holds_all_up_for_ten_seconds_counts_no_longer() -> None:
    group = held_up(1e6, 1e6, 5e4)
    assert looks(group, 8.0) == []
    assert looks(group, 3.0) == [peer_id(3)]
    assert group.flow.rate.value == SETTINGS.start_rate
    group.report(3, loss=0.9)
    assert group.flow.election.acker != peer_id(3)
    group.pass_(61.0)
    assert group.flow.election.counts(peer_id(3), group.roster, group.now)


def test_two_that_take_turns_are_both_found_out() -> None:
    group = held_up(1e6, 1e6, 1e6, 5e4, 5e4)
    slow: list[PeerId] = []
    for turn in range(12):
        if peer_id(4 + turn % 2) not in slow:
            group.flow._elect(peer_id(4 + turn % 2), group.now)
            group.flow.rate.value = 50_000.0
        slow += looks(group, 4.0)
    assert set(slow) == {peer_id(4), peer_id(5)}
    assert len(slow) == 2


def test_who_lets_the_rate_up_for_a_moment_is_found_out_as_well() -> None:
    group = held_up(1e6, 1e6, 5e4)
    slow = looks(group, 6.0)
    group.flow.rate.value = 5e6
    slow += looks(group, 0.5)
    group.flow.rate.value = 50_000.0
    slow += looks(group, 5.0)
    assert slow == [peer_id(3)]


def test_what_was_held_up_long_ago_is_forgotten() -> None:
    group = held_up(1e6, 1e6, 5e4)
    assert looks(group, 8.0) == []
    group.pass_(60.0)
    assert looks(group, 8.0) == []


def test_those_who_held_up_are_bounded() -> None:
    group = held_up(1e6, 1e6, 5e4)
    election = group.flow.election
    election._settings = Settings(peers=2)
    for number in (1, 2, 3):
        election.elect(peer_id(number), group.now)
        assert not election.holds_up(peer_id(number), 0.0, group.roster, group.now)
    assert list(election._held) == [peer_id(2), peer_id(3)]


def test_who_is_no_slower_than_a_quarter_or_alone_is_waited_for() -> None:
    assert looks(held_up(1e5, 1e5, 5e4), 12.0) == []
    assert looks(held_up(5e4), 12.0) == []


def test_the_paused_are_bounded_and_so_are_those_who_reported() -> None:
    group = Group(settings=Settings(peers=2))
    for number in (1, 2, 3):
        group.report(number)
        group.flow.election._pause(peer_id(number), group.now)
    assert list(group.flow.election._paths) == [peer_id(2), peer_id(3)]
    assert list(group.flow.election._paused) == [peer_id(2), peer_id(3)]


def test_whose_report_is_overdue_is_asked() -> None:
    group = Group(0.0, 0.0, 0.0)
    for number in (1, 2, 3):
        group.report(number)
    group.press()
    acker = group.flow.election.acker
    group.send(5000)
    assert acker is not None
    group.report(acker.incarnation)
    group.pass_(0.6)
    group.report(acker.incarnation % 3 + 1)
    group.press()
    assert group.slow == []
    assert group.flow.election.acker == peer_id((acker.incarnation + 1) % 3 + 1)


def test_without_pressure_nobody_is_looked_at() -> None:
    group = held_up(1e6, 1e6, 5e4)
    assert looks(group, 7.0) == []
    for _ in range(50):
        group.pass_(0.11)
        group.report(1)
    assert group.slow == []


def test_repairs_leave_new_records_a_share() -> None:
    group = Group(0.0)
    group.flow.repaired(SETTINGS.burst + 1, group.now)
    assert group.flow.turn
    group.send()
    assert not group.flow.turn


def test_what_is_put_off_is_bounded_by_the_rate() -> None:
    group = Group(0.0)
    group.press()
    group.flow.level(group.now)
    assert group.flow.backlog == SETTINGS.backlog
    group.report(1)
    group.flow.rate.value = SETTINGS.floor_rate
    group.flow.level(group.now)
    assert group.flow.backlog == 64 * 1024
    assert group.flow.records == 1


def test_after_a_long_rest_the_rate_is_found_anew() -> None:
    group = Group(0.0)
    group.press()
    group.flow.rate.value, group.flow.rate.doubling = 1.0, False
    group.pass_(20.0)
    group.press()
    assert group.flow.rate.value == SETTINGS.start_rate
    assert group.flow.rate.doubling


def test_a_sender_nobody_confirms_stops_and_recovers() -> None:
    lan = simulation.Lan(1, settings=Settings(floor_rate=10_000, start_rate=20_000, alone_rate=20_000))
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    lan.between(bob, ada, loss=1.0)

    def talk(seconds: float) -> None:
        end = lan.now + seconds
        while lan.now < end:
            while ada.engine.writable(lan.now):
                ada.engine.send(bytes(1000), lan.now)
            ada.step()
            lan.run(0.05)

    talk(6.0)
    assert [type(event) for event in ada.events()][-1] is SendingStopped
    before = ada.engine.stats()["sent-record"]
    talk(3.0)
    assert 1 <= ada.engine.stats()["sent-record"] - before <= 4
    assert not ada.engine.writable(lan.now)
    lan.between(bob, ada)
    talk(1.0)
    kinds = [type(event) for event in ada.events()]
    assert [kind for kind in kinds if kind is not Fallback][-1] is SendingResumed
    assert ada.engine.stats()["sent-record"] - before > 20
    lan.between(bob, ada, loss=1.0)
    talk(5.5)
    bob.leave()
    lan.between(bob, ada)
    lan.run(0.3)
    assert not ada.engine._flow.breaker.open or bob.engine.closed


def test_an_empty_roster_closes_the_breaker() -> None:
    group = Group(0.0)
    for _ in range(60):
        group.send(1)
        group.press()
        group.pass_(0.1)
    assert group.flow.breaker.open
    assert group.flow._target(group.now) == SETTINGS.payload
    group.roster.remove(peer_id(1))
    group.press()
    assert not group.flow.breaker.open


def test_the_user_is_told_who_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    lan = simulation.Lan(8)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    flow = ada.engine._flow
    flow.election.elect(bob.engine.peer_id, lan.now)
    monkeypatch.setattr(flow.election, "holds_up", lambda acker, rate, roster, now: True)
    flow.press(lan.now)
    assert ada.engine.events() == [SlowMember(bob.engine.peer_id, "bob")]


def test_the_breaker_opens_after_five_seconds_of_sending_without_a_word() -> None:
    breaker = Breaker(5.0)
    assert not breaker.check(0.0)
    for tenth in range(49):
        breaker.sent(tenth / 10)
        assert not breaker.check(tenth / 10)
    assert breaker.check(5.0)
    assert not breaker.check(5.1), "it opens once"
    assert breaker.heard()
    assert not breaker.heard()


def test_a_pause_is_a_new_beginning_for_the_breaker() -> None:
    breaker = Breaker(5.0)
    for line in range(10):
        breaker.sent(line * 60.0)
        assert not breaker.check(line * 60.0)


def test_a_meter_tells_what_left_in_a_while() -> None:
    meter = Meter(0.0, 0.05)
    meter.add(1000, 0.01)
    meter.add(1000, 0.1)
    assert meter.value == 10_000
