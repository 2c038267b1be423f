"""Who is here: roster, goodbye, silence, recordings, hand-over, keys."""

from __future__ import annotations

import pytest

from mcast import simulation
from mcast.core.addresses import pack, unpack
from mcast.core.events import Alarm, Message, PeerJoined, PeerLeft, PeerUpdated
from mcast.core.handover import PAGE, Collector, Greeting, Greetings, Tokens, is_giver
from mcast.core.liveness import NONCES, Liveness, Tombstones
from mcast.core.peer_id import PeerId
from mcast.core.roster import Peer, Roster
from mcast.settings import Settings
from mcast.wire import frames as f
from mcast.wire.attributes import Attributes
from mcast.wire.reasons import DropReason

from .core_support import ADDRESS, Outsider, drops, now_ms


def _left(member: simulation.Member) -> list[tuple[str, str]]:
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
    assert _left(ada) == [("bob", "goodbye")]
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
    assert _left(ada) == [("bob", "goodbye")]
    assert ada.engine.heard_by(receipt.sequence) == [bob.engine.peer_id]
    assert bob.engine.peer_id not in ada.engine._state.silence


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
    flow = ada.engine._state.flow
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
    flow = ada.engine._state.flow
    assert flow.election.acker == bob.engine.peer_id
    for _ in range(800):
        while ada.engine.writable(lan.now):
            ada.send(bytes(1000))
        lan.run(0.01)
    assert flow.election.acker is None
    before = ada.engine._state.publisher.sent.high
    lan.run(0.2)
    assert (ada.engine._state.publisher.sent.high - before) * 1000 > 0.1 * Settings().alone_rate


def test_a_goodbye_of_an_unknown_run_and_a_heartbeat_are_not_asked_about_for_ever() -> None:
    """The attack: two datagrams a run, and members that ask for what never was as long as they live."""
    lan = simulation.Lan(1)
    ada = lan.join("ada")
    lan.join("bob")
    lan.run(15.0)
    eve = Outsider(lan, age=100.0)
    eve.say(eve.key, eve.sign(f.Goodbye(*eve.peer_id, eve.count(), 0)))
    eve.say(eve.key, eve.heartbeat(5000))
    assert ada.engine._state.reception.get(eve.peer_id) is not None
    lan.run(600.0)
    assert ada.engine._state.reception.get(eve.peer_id) is None
    assert ada.engine._state.sent_frames["nack"] < 50


def test_a_crash_is_noticed_in_time() -> None:
    """At most 3.5 intervals and three seconds after the last word."""
    lan = simulation.Lan(2)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(12.0)
    bob.crash()
    crashed = lan.now
    while not _left(ada):
        lan.run(0.5)
        assert lan.now < crashed + 3.5 * 1.25 * 5.0 + 3.5
    assert _left(ada) == [("bob", "expired")]
    assert lan.now > crashed + 5.0


def test_a_suspect_that_answers_stays() -> None:
    """Its announcements do not arrive, its answers to probes do."""
    lan = simulation.Lan(3)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(2.0)
    bob.engine._state.announcer.next = 1e9
    lan.run(40.0)
    assert _left(ada) == []
    assert any(not peer.suspect for peer in ada.peers())


def test_a_name_or_attribute_that_changes_is_told() -> None:
    lan = simulation.Lan(4)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(2.0)
    bob.engine.update(lan.now, attributes=Attributes())
    bob.engine.update(lan.now, attributes=Attributes(tags={"room": "4"}))
    lan.run(6.0)
    (updated,) = [event for event in ada.events() if isinstance(event, PeerUpdated)]
    assert updated.peer.attributes == bob.engine._state.attributes
    eve = Outsider(lan)
    eve.say(eve.key, eve.announcement())
    renamed = eve.sign(f.Key(eve.identity.public_key, 2, "evelyn"))
    eve.say(renamed)
    eve.say(eve.key)
    last = [event for event in ada.events() if isinstance(event, PeerUpdated)][-1]
    assert last.peer.name == "evelyn"
    assert drops(ada, "stale") == 1


def test_replayed_announcements_and_goodbyes_do_not_bring_a_run_back() -> None:
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


def test_a_recorded_run_is_never_shown_as_live() -> None:
    """Everything ada ever said, played again to somebody who comes an hour later."""
    lan = simulation.Lan(6)
    recorded: list[tuple[bytes, object]] = []
    ada = lan.join("ada")
    lan.on_transmit = lambda data, source, _to: recorded.append((data, source))
    for _ in range(5):
        ada.send("buy")
        lan.run(2.0)
    ada.crash()
    lan.on_transmit = None
    lan.run(3600.0)
    late = lan.join("late")
    for data, _ in recorded:
        lan.transmit(data, ADDRESS)
        lan.run(0.01)
    lan.run(20.0)
    assert late.messages() == []
    assert late.peers() == []
    assert not any(isinstance(event, PeerJoined) for event in late.events())
    assert drops(late, "not-live") > 0
    assert drops(late, "departed") == 0


def test_a_clock_that_is_a_day_off_is_no_obstacle() -> None:
    lan = simulation.Lan(7)
    ada = lan.join("ada")
    lan.run(1.0)
    bob = lan.join("bob")
    bob.crash()
    bob.skew = -86_400.0
    bob.start(disk=False)
    lan.run(1.0)
    bob.send("hi")
    lan.run(2.0)
    assert [message.text for message in ada.messages()] == ["hi"]
    assert [peer.peer_id for peer in ada.peers() if peer.peer_id == bob.engine.peer_id]


def test_a_run_that_came_back_with_an_older_clock_is_heard_from_its_first_record() -> None:
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


def test_a_visitor_with_a_wrong_clock_is_heard_after_a_probe() -> None:
    lan = simulation.Lan(8)
    ada = lan.join("ada")
    bob = lan.join("bob", visitor=True)
    bob.crash()
    bob.skew = 86_400.0
    bob.start(disk=False)
    bob.send("hello")
    lan.run(1.0)
    assert [message.text for message in ada.messages()] == ["hello"]
    assert ada.peers() == []


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


def test_an_origin_has_at_most_sixteen_live_runs() -> None:
    lan = simulation.Lan(11)
    ada = lan.join("ada")
    eve = Outsider(lan)
    eve.say(eve.key)
    for number in range(18):
        eve.peer_id = PeerId(eve.peer_id.origin, eve.peer_id.incarnation + number)
        eve.say(eve.announcement())
    assert len(ada.peers()) == 16
    assert drops(ada, "too-many-runs") == 2


def test_a_full_roster_lets_hearsay_go_and_refuses_the_rest() -> None:
    roster = Roster(2, 16)
    frame = f.Announcement(b"o" * 16, 1, 1, 0, 1, 0, 5000, 2000, 1452, 0, 0, bytes(8))

    def peer(number: int, confirmed: bool) -> Peer:
        return Peer(PeerId(bytes([number]) * 16, 1), "", frame, None, 0.0, confirmed)

    assert roster.add(peer(1, True)) is None
    assert roster.add(peer(2, False)) is None
    assert roster.add(peer(3, True)) is None
    assert PeerId(bytes([2]) * 16, 1) not in roster
    assert roster.add(peer(4, True)) is DropReason.TABLE_FULL
    assert len(roster) == 2


def test_a_newcomer_learns_everybody_at_once() -> None:
    lan = simulation.Lan(12)
    members = [lan.join(f"m{number}") for number in range(12)]
    lan.run(18.0)
    late = lan.join("late")
    lan.run(0.02)
    assert len(late.peers()) == 12
    assert all(len(member.peers()) == 12 for member in members)
    lan.run(18.0)
    assert all(peer.confirmed for peer in late.peers())


def test_a_visitor_asks_for_the_roster_and_is_in_none() -> None:
    lan = simulation.Lan(13)
    members = [lan.join(f"m{number}") for number in range(5)]
    lan.run(3.0)
    visitor = lan.join("visitor", visitor=True)
    visitor.engine.ask_roster(lan.now)
    visitor.pump()
    lan.run(1.0)
    assert len(visitor.peers()) == 5
    assert all(len(member.peers()) == 4 for member in members)
    visitor.leave()
    assert visitor.engine.closed


def test_a_roster_request_is_answered_after_an_echo_only() -> None:
    lan = simulation.Lan(14)
    ada = lan.join("ada")
    lan.run(1.0)
    answers: list[bytes] = []
    lan.on_transmit = lambda data, _source, to: answers.append(data) if to == ADDRESS else None
    eve = Outsider(lan)
    eve.say(f.RosterRequest(0))
    assert answers == [], "it is shorter than the three answers that it would bring about"
    eve.say(f.RosterRequest(0), to=ada.address)
    assert [len(answer) < 120 for answer in answers] == [True]
    assert drops(ada, "no-token") == 2
    eve.say(f.Echo(b"wrong..."), f.RosterRequest(0))
    token = ada.engine._state.tokens.issue(ADDRESS)
    eve.say(f.Echo(token), f.RosterRequest(0))
    assert len(answers) == 3
    eve.say(f.Echo(token), f.RosterRequest(200))
    assert len(answers) == 3
    for _ in range(30):
        eve.say(f.Echo(token), f.RosterRequest(0))
    assert drops(ada, "over-budget") > 0


def test_old_hearsay_is_probed_before_it_is_believed() -> None:
    lan = simulation.Lan(15)
    ada = lan.join("ada")
    eve = Outsider(lan)
    stale = eve.announcement(timestamp=now_ms(lan) - 100_000)
    eve.say(eve.key, f.Roster(*pack(("10.0.0.77", 1)), stale))
    assert ada.peers() == []
    assert drops(ada, "not-live") == 1
    fresh = eve.announcement()
    eve.say(f.Roster(*pack(("10.0.0.77", 1)), fresh))
    (peer,) = ada.peers()
    assert not peer.confirmed
    assert peer.source == ("10.0.0.77", 1)
    eve.say(f.Roster(*pack(None), fresh))
    assert drops(ada, "duplicate") == 1
    eve.say(eve.announcement())
    assert ada.peers()[0].confirmed


def test_a_forged_or_unasked_probe_answer_counts_for_nothing() -> None:
    lan = simulation.Lan(16)
    ada = lan.join("ada")
    eve = Outsider(lan)
    eve.say(eve.key, eve.announcement(timestamp=0))
    lan.run(0.05)
    nonces = [
        nonce
        for nonce, probing in ada.engine._state.liveness._nonces.items()
        if probing.peer_id == eve.peer_id
    ]
    bad = eve.sign(f.ProbeReply(*eve.peer_id, bytes(16), 0, 1, 0))
    eve.say(bad)
    assert drops(ada, "not-asked") == 1
    eve.say(f.ProbeReply(*eve.peer_id, nonces[0], 0, 1, 0, bytes(64)))
    assert drops(ada, "bad-signature") == 1
    assert ada.peers() == []
    eve.say(eve.sign(f.ProbeReply(*eve.peer_id, nonces[0], 0, 1, 0)))
    assert len(ada.peers()) == 1


def test_who_said_goodbye_is_not_revived_by_a_probe_answer() -> None:
    lan = simulation.Lan(17)
    ada = lan.join("ada")
    eve = Outsider(lan)
    eve.say(eve.key, eve.announcement())
    nonce = ada.engine._state.liveness.nonce(eve.peer_id, lan.now)
    eve.say(eve.sign(f.Goodbye(*eve.peer_id, eve.count(), 0)))
    eve.say(eve.sign(f.ProbeReply(*eve.peer_id, nonce, now_ms(lan), 1, 0)))
    assert ada.peers() == []
    assert drops(ada, "departed") == 1


def test_probes_are_answered_within_a_budget_and_only_for_us() -> None:
    lan = simulation.Lan(18)
    ada = lan.join("ada")
    eve = Outsider(lan)
    for number in range(150):
        eve.say(f.Probe(*ada.engine.peer_id, number.to_bytes(16, "big"), f.BY_MULTICAST))
    eve.say(f.Probe(*eve.peer_id, bytes(16)))
    assert 20 < drops(ada, "over-budget") < 60
    assert drops(ada, "not-asked") == 1


def test_nobody_but_the_nearest_three_greets() -> None:
    runs = [PeerId(bytes([number]) * 16, 1) for number in range(20)]
    asker = b"newcomer"
    givers = [run for run in runs if is_giver(asker, run, [other for other in runs if other != run])]
    assert len(givers) == 3


def test_liveness_is_bounded_and_expires() -> None:
    class Zeros:
        def random(self) -> float:
            return 0.0

        count = 0

        def getrandbits(self, bits: int, /) -> int:
            self.count += 1
            return self.count

    live = Liveness(Zeros(), 30.0, 2)
    runs = [PeerId(number.to_bytes(16, "big"), 1) for number in range(NONCES + 10)]
    for run in runs[:3]:
        assert live.judge(run, 0, 30_000)
        assert live.judge(run, 0, 99_000)
    assert runs[0] not in live
    assert not live.judge(runs[0], 0, 30_001)
    live.left(runs[2])
    assert runs[2] not in live
    nonce = live.nonce(runs[5], 1.0)
    assert live.expects(nonce, runs[6], 1.0) is None
    assert live.expects(nonce, runs[5], 4.5) is None
    assert live.expects(nonce, runs[5], 1.5) == 0.5
    live.redeem(nonce)
    assert live.expects(nonce, runs[5], 1.5) is None
    for run in runs:
        live.nonce(run, 2.0)
        live.doubt(run, ADDRESS, 2.0, 1)
    assert len(live._nonces) == NONCES
    assert len(live._doubts) == NONCES


def _asked(live: Liveness) -> list[tuple[float, object]]:
    asked: list[tuple[float, object]] = []
    while (when := live.when()) is not None:
        asked += [(round(when, 3), to) for _, to in live.due(when)]
    return asked


def test_a_doubted_run_is_probed_three_times_more_then_left_alone() -> None:
    import random

    live = Liveness(random.Random(1), 30.0, 10)
    run = PeerId(b"x" * 16, 1)
    live.doubt(run, ADDRESS, 0.0, 0)
    live.doubt(run, "elsewhere", 0.0, 0)
    assert _asked(live) == [(0.0, ADDRESS), (0.1, ADDRESS), (0.4, ADDRESS), (0.9, None)]
    live.doubt(run, ADDRESS, 10.0, 0)
    assert live.when() == 10.0


def test_hearsay_is_asked_about_once_and_by_one() -> None:
    import random

    live = Liveness(random.Random(1), 30.0, 10)
    run = PeerId(b"x" * 16, 1)
    live.overheard(run, 0.0)
    live.doubt(run, None, 0.0, 0)
    assert _asked(live) == [(0.0, None)]
    live.doubt(run, None, 10.0, 0)
    live.overheard(run, 10.0)
    live.overheard(run, 11.0)
    assert live.when() == 15.0
    assert _asked(live) == []
    live.doubt(run, None, 20.0, 0)
    live.doubt(run, ADDRESS, 20.0, 0)
    assert live.due(20.0) == [(run, ADDRESS)]


def test_who_left_out_a_question_asks_when_the_run_answers_the_other() -> None:
    import random

    live = Liveness(random.Random(1), 30.0, 10)
    run = PeerId(b"x" * 16, 1)
    live.answered(run, 0.0)
    live.doubt(run, None, 0.0, 50)
    live.answered(run, 0.0)
    asks_at = live.when()
    live.overheard(run, 0.0)
    live.answered(run, 0.1)
    again_at = live.when()
    assert asks_at is not None
    assert again_at is not None
    assert asks_at < 1.0
    assert 0.1 < again_at < 1.1
    assert live.due(again_at) == [(run, None)]
    live.answered(run, 2.0)
    assert live.due(2.0) == [], "its own question is asked once"


def test_tombstones_and_tokens_are_bounded() -> None:
    import random

    stones = Tombstones(2)
    for number in range(3):
        stones.add(PeerId(bytes([number]) * 16, 1))
    assert PeerId(bytes(16), 1) not in stones
    tokens = Tokens(random.Random(1), 0.0)
    first = tokens.issue("a")
    assert tokens.issue("a") == first
    assert tokens.valid("a", first)
    assert not tokens.valid("a", None)
    for number in range(2000):
        tokens.issue(number)
    assert not tokens.valid("a", first)


def test_a_storm_of_newcomers_is_greeted_sparingly() -> None:
    import random

    greetings = Greetings(random.Random(1), now=0.0)
    storm = [Greeting(PeerId(bytes([number]) * 16, 1), ADDRESS, 300) for number in range(200)]
    assert not any(greetings.heard(greeting, 0.0) for greeting in storm)
    assert greetings.due(0.2) == []
    assert greetings.when() is None
    assert sum(greetings.heard(greeting, 5.0) for greeting in storm) == 20


def test_the_collector_goes_through_pages_and_givers() -> None:
    collector = Collector(1000)
    assert collector.when() is None
    assert collector.tick(0.0) is None
    collector.asked(0.5)
    for number in range(5):
        assert collector.challenged(number, b"%d" % number, 1.0)
    assert collector.challenged(0, b"again", 1.0)
    asked = []
    while (when := collector.when()) is not None:
        request = collector.tick(when)
        if request is not None:
            asked.append((request.giver, request.start))
            if request.giver == 1 and request.start < 2 * PAGE:
                for _ in range(PAGE):
                    collector.entry(when)
    assert asked == [(0, 0)] * 3 + [(1, 0), (1, PAGE)] + [(1, 2 * PAGE)] * 3 + [(2, 2 * PAGE)] * 3
    assert collector.finished
    collector.asked(9.0)
    assert not collector.challenged(9, b"late", 9.0)
    assert collector.when() is None


@pytest.mark.parametrize(
    ("address", "back"),
    [
        (("10.1.2.3", 5), ("10.1.2.3", 5)),
        (("fe80::1%eth0", 5, 0, 2), ("fe80::1", 5, 0, 7)),
        (("2001:db8::1", 5, 0, 0), ("2001:db8::1", 5, 0, 0)),
        (("nonsense", 5), None),
        (("10.1.2.3", "port"), None),
        (("10.1.2.3",), None),
        (None, None),
    ],
)
def test_addresses_are_handed_on(address: object, back: object) -> None:
    giver = ("fe80::2", 1, 0, 7)
    assert unpack(*pack(address), giver) == back


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
