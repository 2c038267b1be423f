"""Who is here: announcements, goodbyes, names, and the timer of our own announcements."""

from __future__ import annotations

from random import Random

import pytest

from mcast import simulation
from mcast.core.events import Alarm, Message, PeerId, PeerLeft, PeerUpdated
from mcast.core.membership.presence import AnnouncementTimer
from mcast.settings import Settings
from mcast.wire import frames as f
from mcast.wire.attributes import Attributes, encode_attributes
from tests.unit.core.support import Outsider, drops, now_ms, texts


def left(member: simulation.Member) -> list[tuple[str, str]]:
    """Who left, and why."""
    return [(event.peer.name, event.reason) for event in member.events() if isinstance(event, PeerLeft)]


def test_members_see_each_other_and_a_goodbye() -> None:
    lan = simulation.Lan(1)
    ada, bob = lan.join("ada"), lan.join("bob", attributes=Attributes(tags={"k": "v"}))
    lan.run(1.0)
    (peer,) = ada.peers()
    assert (peer.name, peer.peer_id, peer.source) == ("bob", bob.engine.peer_id, bob.address)
    assert peer.attributes
    assert peer.confirmed
    bob.leave()
    bob.leave()
    lan.run(0.1)
    assert left(ada) == [("bob", "goodbye")]
    assert bob.engine.closed
    assert bob.engine.deadline() is None
    lan.run(60.0)
    assert ada.peers() == []


def test_the_last_report_is_said_as_often_as_the_goodbye() -> None:
    """Who left after the one line it waited for has heard it, also if its first words after that are lost."""
    lan = simulation.Lan(1)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    receipt = ada.send("hello")
    lan.run(0.002)
    lan.partition([ada], [bob])
    bob.leave()
    lan.run(0.04)
    lan.heal()
    assert not ada.engine.heard_by(receipt.sequence)
    lan.run(0.1)
    assert left(ada) == [("bob", "goodbye")]
    assert ada.engine.heard_by(receipt.sequence) == [bob.engine.peer_id]
    assert bob.engine.peer_id not in ada.engine._detector._silence


def _report(eve: Outsider, about: simulation.Member, high: int) -> f.Signed:
    heard = f.Heard(
        *about.engine.peer_id, contiguous=high, highest=high, echo=now_ms(eve.lan), delay=0, backlog=0, loss=0
    )
    return eve.sign(f.Report(*eve.peer_id, eve.count(), (heard,)))


def test_a_report_after_the_goodbye_confirms_and_slows_nobody_down() -> None:
    """Its last goodbye may be lost: nobody waits for who has gone."""
    lan = simulation.Lan(1)
    ada = lan.join("ada")
    receipt = ada.send("hello")
    eve = Outsider(lan)
    eve.say(eve.key, eve.announcement())
    eve.say(_report(eve, ada, 0))
    flow = ada.engine._flow
    assert flow.election.acker == eve.peer_id
    eve.say(eve.sign(f.Goodbye(*eve.peer_id, eve.count(), 0)))
    assert flow.election.acker is None
    eve.say(_report(eve, ada, receipt.sequence))
    assert ada.engine.heard_by(receipt.sequence) == [eve.peer_id]
    assert flow.election.acker is None
    assert not flow.election._paths
    assert ada.peers() == []


def test_who_left_without_a_word_before_it_was_a_peer_is_not_waited_for() -> None:
    lan = simulation.Lan(1)
    ada = lan.join("ada")
    lan.run(15.0)
    bob = lan.join("bob", quiet=True)
    lan.run(0.2)
    ada.send("x")
    lan.run(0.002)
    bob.leave()
    lan.run(2.0)
    flow = ada.engine._flow
    assert flow.election.acker == bob.engine.peer_id
    for _ in range(800):
        while ada.engine.writable(lan.now):
            ada.send(bytes(1000))
        lan.run(0.01)
    assert flow.election.acker is None
    before = ada.engine._sender.window.high
    lan.run(0.2)
    assert (ada.engine._sender.window.high - before) * 1000 > 0.1 * Settings().alone_rate


def test_a_goodbye_of_an_unknown_peer_and_a_heartbeat_are_not_asked_about_for_ever() -> None:
    """The attack: two datagrams a peer, and members that ask for what never was as long as they live."""
    lan = simulation.Lan(1)
    ada = lan.join("ada")
    lan.join("bob")
    lan.run(15.0)
    eve = Outsider(lan, age=100.0)
    eve.say(eve.key, eve.sign(f.Goodbye(*eve.peer_id, eve.count(), 0)))
    eve.say(eve.key, eve.heartbeat(5000))
    assert ada.engine._nacks.windows.get(eve.peer_id) is not None
    lan.run(600.0)
    assert ada.engine._nacks.windows.get(eve.peer_id) is None
    assert ada.engine._context.sent["nack"] < 50


def test_a_name_or_attribute_that_changes_is_told() -> None:
    lan = simulation.Lan(4)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(2.0)
    bob.engine.update(lan.now, attributes=Attributes())
    bob.engine.update(lan.now, attributes=Attributes(tags={"room": "4"}))
    lan.run(6.0)
    (updated,) = [event for event in ada.events() if isinstance(event, PeerUpdated)]
    assert updated.peer.attributes == encode_attributes(Attributes(tags={"room": "4"}))
    eve = Outsider(lan)
    eve.say(eve.key, eve.announcement())
    renamed = eve.sign(f.Key(eve.identity.public_key, 2, "evelyn"))
    eve.say(renamed)
    eve.say(eve.key)
    last = [event for event in ada.events() if isinstance(event, PeerUpdated)][-1]
    assert last.peer.name == "evelyn"
    assert drops(ada, "stale") == 1


def test_replayed_announcements_and_goodbyes_do_not_bring_a_peer_back() -> None:
    lan = simulation.Lan(5)
    ada = lan.join("ada")
    eve = Outsider(lan)
    announcement = eve.announcement()
    eve.say(eve.key, announcement)
    eve.say(announcement)
    assert drops(ada, "stale") == 1
    goodbye = eve.sign(f.Goodbye(*eve.peer_id, eve.count(), 0))
    eve.say(goodbye)
    eve.say(goodbye)
    eve.say(eve.announcement())
    assert ada.peers() == []
    assert drops(ada, "departed") == 1
    assert drops(ada, "stale") == 2


def test_a_peer_that_came_back_with_an_older_clock_is_heard_from_its_first_record() -> None:
    """Its clock is behind its incarnation and does not tell how old it is: our stay bounds what is asked."""
    lan = simulation.Lan(7)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(20.0)
    bob.crash()
    bob.skew = -86_400.0
    lan.partition([ada], [bob])
    bob.start()
    for number in range(300):
        bob.send(str(number))
        lan.run(0.006)
    lan.heal()
    lan.run(15.0)
    assert [message.text for message in ada.messages()] == [str(number) for number in range(300)]


def test_one_origin_on_two_machines_is_an_alarm() -> None:
    lan = simulation.Lan(9)
    ada = lan.join("ada")
    eve = Outsider(lan)
    eve.say(eve.key, eve.announcement())
    other = PeerId(eve.peer_id.origin, eve.peer_id.incarnation + 1)
    eve.peer_id = other
    eve.say(eve.announcement())
    assert not any(isinstance(event, Alarm) for event in ada.events())
    eve.peer_id = PeerId(other.origin, other.incarnation + 1)
    eve.say(eve.announcement(machine=b"machine2"))
    (alarm,) = [event for event in ada.events() if isinstance(event, Alarm)]
    assert alarm == Alarm("two-machines", eve.peer_id)


def test_a_copy_of_our_own_identity_is_an_alarm() -> None:
    lan = simulation.Lan(10)
    eve = Outsider(lan)
    ada = lan.join("ada", identity=eve.identity, machine=b"machine0")
    eve.say(eve.key, eve.announcement())
    assert Alarm("two-machines", eve.peer_id) in ada.events()


def test_the_live_peers_of_an_origin_are_bounded() -> None:
    lan = simulation.Lan(11, settings=Settings(peers_per_identity=16))
    ada = lan.join("ada")
    eve = Outsider(lan)
    eve.say(eve.key)
    for number in range(18):
        eve.peer_id = PeerId(eve.peer_id.origin, eve.peer_id.incarnation + number)
        eve.say(eve.announcement())
    assert len(ada.peers()) == 16
    assert drops(ada, "too-many-peers") == 2


def test_passive_members_only_listen_and_quiet_ones_wait_for_a_word() -> None:
    lan = simulation.Lan(19)
    passive, quiet = lan.join("passive", passive=True), lan.join("quiet", quiet=True)
    lan.run(10.0)
    assert lan.sent == 0
    ada = lan.join("ada")
    ada.send("hi")
    lan.run(1.0)
    assert [peer.name for peer in ada.peers()] == ["quiet"]
    assert [message.text for message in passive.messages()] == ["hi"]
    assert [message.text for message in quiet.messages()] == ["hi"]
    assert {peer.name for peer in passive.peers()} == {"ada", "quiet"}
    passive.leave()
    assert passive.engine.closed


def test_datagrams_are_as_small_as_the_smallest_peer_needs() -> None:
    lan = simulation.Lan(21)
    ada = lan.join("ada")
    sizes: list[int] = []
    lan.on_transmit = lambda data, source, _to: sizes.append(len(data)) if source == ada.address else None
    eve = Outsider(lan)
    eve.say(eve.key, eve.announcement(limit=1200))
    eve.say(eve.announcement(limit=1300))
    large = Outsider(lan, 5)
    large.say(large.key, large.announcement())
    large.say(large.sign(f.Goodbye(*large.peer_id, large.count(), 0)))
    ada.send(bytes(60_000))
    lan.run(1.0)
    assert max(sizes) <= 1300
    eve.say(eve.sign(f.Goodbye(*eve.peer_id, eve.count(), 0)))
    lan.run(0.1)
    ada.send(bytes(60_000))
    lan.run(1.0)
    assert 1400 < max(sizes) <= 1452


def test_a_stranger_leaves_no_trace_in_a_small_room() -> None:
    lan = simulation.Lan(20, settings=Settings(peers=2))
    ada = lan.join("ada")
    for seed in range(1, 5):
        eve = Outsider(lan, seed)
        eve.say(eve.key, eve.announcement())
    assert len(ada.peers()) == 2
    assert drops(ada, "table-full") == 2
    assert not any(isinstance(event, Message) for event in ada.events())


def test_the_first_announcement_is_at_once() -> None:
    timer = AnnouncementTimer(Random(1), 5.0, 2000, now=7.0)
    assert not timer.due(6.9)
    assert timer.due(7.0)
    assert 7.0 < timer.next < 7.0 + 6.25
    assert not timer.due(7.0)


def test_a_change_is_announced_soon_but_not_more_than_once_a_second() -> None:
    timer = AnnouncementTimer(Random(1), 5.0, 2000, now=0.0)
    timer.begin(0.0)
    assert timer.due(0.0)
    timer.next = 4.0
    timer.soon(0.2)
    assert timer.next == 1.0
    assert timer.due(1.0)
    timer.soon(4.0)
    assert timer.due(4.0)


def test_who_has_been_here_for_a_while_announces_itself_once_a_second_with_all_others() -> None:
    """Fifty peers: at first as often as the bytes allow, later as seldom as is still patient."""
    random = Random(3)
    timers = [AnnouncementTimer(random, 5.0, 2000, 0.0, 1.0, 60.0) for _ in range(50)]
    for timer in timers:
        timer.members(50, 0.0)
    timers[0].sized(2000)
    told = [[step / 10 for step in range(6000) if a.due(step / 10)] for a in timers]
    early = sum(at < 30 for times in told for at in times)
    late = sum(100 <= at < 600 for times in told for at in times)
    assert 200 < early < 400
    assert 450 < late < 550
    assert timers[0].interval == 50.0
    timers[0].members(500, 600.0)
    assert timers[0].interval > 60.0
    timers[0].members(70, 600.0)
    assert timers[0].interval == 60.0


def test_strangers_who_wait_count_while_a_peer_is_young() -> None:
    timer = AnnouncementTimer(Random(1), 5.0, 2000, now=0.0)
    assert timer.due(0.0)
    timer.waiting = 10_000
    assert timer.interval == pytest.approx(10_001 * 256 / 2000)
    timer.next = 40.0
    timer.due(40.0)
    assert timer.interval == 5.0


def test_the_rate_stays_even_after_all_have_joined_at_once() -> None:
    """No second interval in which everybody speaks: each tenth of it has a tenth of the announcements."""
    size, random = 3000, Random(5)
    timers = [AnnouncementTimer(random, 5.0, 2000, now=0.0) for _ in range(size)]
    for timer in timers:
        assert timer.due(0.0)
        timer.members(size, 0.1)
    interval = timers[0].interval
    tenths = [0] * 30
    for tenth in range(300):
        now = 0.1 + interval * tenth / 100
        tenths[tenth // 10] += sum(timer.due(now) for timer in timers)
    assert all(0.75 < count / (size / 10) < 1.25 for count in tenths)


def test_the_interval_grows_with_the_group() -> None:
    timer = AnnouncementTimer(Random(1), 5.0, 2000, now=0.0)
    timer.members(10, 0.0)
    assert timer.interval == 5.0
    timer.members(1000, 0.0)
    for _ in range(200):
        timer.sized(300)
    assert 140 < timer.interval < 151


def test_a_shrinking_group_brings_the_announcement_forward() -> None:
    timer = AnnouncementTimer(Random(1), 5.0, 2000, now=0.0)
    timer.members(1000, 0.0)
    assert timer.due(0.0)
    far = timer.next
    timer.members(100, 10.0)
    assert timer.next == pytest.approx(10.0 + (far - 10.0) / 10)


def test_reconsideration_keeps_a_storm_of_newcomers_quiet() -> None:
    """After the immediate ones, 2,000 who join at once do not all announce five seconds later.

    Everybody hears everybody. Without reconsideration about 700 announce in the worst second.
    """
    size, random = 2000, Random(5)
    timers = [AnnouncementTimer(random, 5.0, 2000, now=0.0) for _ in range(size)]
    for timer in timers:
        assert timer.due(0.0)
    for timer in timers:
        timer.members(size, 0.1)
    a_second = [0] * 60
    for tick in range(600):
        now = 0.1 * tick
        a_second[tick // 10] += sum(timer.due(now) for timer in timers)
    assert max(a_second[1:]) < 100


def test_our_own_words_played_again_are_no_news() -> None:
    lan = simulation.Lan(22)
    ada = lan.join("ada")
    lan.run(0.01)
    me, before = ada.engine.peer_id, drops(ada, "own")
    eve = Outsider(lan)
    announcement = f.Announcement(*me, 9, now_ms(lan), 1, 0, 5000, 2000, 1452, 0, 0, bytes(8), b"", bytes(64))
    eve.say(announcement)
    eve.say(f.Goodbye(*me, 9, 0, bytes(64)))
    assert drops(ada, "own") == before + 2
    assert ada.peers() == []


def test_twenty_programs_of_one_identity_are_seen_and_heard() -> None:
    """The cron jobs of one user start at the same minute."""
    lan = simulation.Lan(40)
    bob = lan.join("bob")
    first = lan.join("job")
    jobs = [first, *(lan.join("job", identity=first.identity) for _ in range(19))]
    lan.run(3.0)
    for number, job in enumerate(jobs):
        job.send(f"{number}")
    lan.run(3.0)
    assert len(bob.peers()) == 20
    assert sorted(int(text) for text in texts(bob) if text) == list(range(20))
