"""Attacks on members and on those who answer: each test fails without the defence it is named for."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from random import Random

import pytest

from mcast import simulation
from mcast.core.auth.ingress import Checks, Ingress
from mcast.core.auth.keys import AGAIN, ASK_WITHIN, KEY_PRICE
from mcast.core.context import Datagram
from mcast.core.events import Address, PeerId, PeerLeft
from mcast.core.membership.roster_sync import LAST_START, PAGE, Collector, pack
from mcast.core.reliability.retransmit import RECENT, SHARE, Asked, Repairs
from mcast.crypto.seal import Sealer
from mcast.wire import frames as f
from mcast.wire.header import Header
from mcast.wire.reasons import DropReason
from tests.unit.core.support import ADDRESS, Outsider, drops, now_ms

AUTHOR = PeerId(b"r" * 16, 1)
VICTIM: Address = ("198.51.100.7", 53)


class Taps:
    """What leaves, by destination."""

    def __init__(self, lan: simulation.Lan) -> None:
        self.group: list[bytes] = []
        self.unicast: dict[Address, list[bytes]] = {}
        lan.on_transmit = self._seen

    def _seen(self, data: bytes, source: Address, destination: Address) -> None:
        if source == ADDRESS:
            return
        if destination is None:
            self.group.append(data)
        else:
            self.unicast.setdefault(destination, []).append(data)


def test_a_giver_that_never_runs_out_is_left() -> None:
    """The start of a page has 16 bits; what does not fit them must never be asked for."""
    for limit in (1000, 10**9):
        collector = Collector(limit)
        collector.asked(0.0)
        assert collector.challenged("giver", b"token", 1, 0.0)
        starts = []
        for _ in range(LAST_START // PAGE * 2):
            when = collector.next
            for request in [] if when == inf else collector.tick(when):
                starts.append(request.start)
                for _ in range(PAGE):
                    collector.entry("giver", when)
        assert max(starts) <= min(limit, LAST_START)
        assert collector.finished


def test_a_challenge_that_nobody_asked_for_is_refused() -> None:
    lan = simulation.Lan(1)
    ada = lan.join("ada")
    lan.run(20.0)
    taps = Taps(lan)
    Outsider(lan).say(f.Challenge(b"tokentok"))
    lan.run(1.0)
    assert drops(ada, "not-asked") == 1
    assert ADDRESS not in taps.unicast


def test_entries_that_nobody_signed_do_not_keep_us_asking() -> None:
    lan = simulation.Lan(2)
    ada = lan.join("ada")
    eve = Outsider(lan)
    junk = f.Announcement(bytes(16), 1, 1, 0, 1, 0, 0, 0, 1452, 0, 0, bytes(8), b"", bytes(64))
    eve.say(f.Challenge(b"tokentok"))
    for _ in range(40):
        eve.say(*[f.Roster(bytes(16), 0, junk)] * 7)
        lan.run(0.02)
    assert ada.engine._roster_sync.collector.finished
    assert ada.engine.stats()["sent-rosterrequest"] == 3


def test_a_datagram_with_the_tag_of_another_one_is_no_repeat() -> None:
    """Whoever holds the room's key can make two datagrams with one tag; here the tag is simply copied."""

    class Opened(Checks):
        def open(self, header: Header, datagram: bytes) -> list[f.Frame] | DropReason:
            return [f.Who(bytes(8))]

    room = simulation.Lan(3).room
    ingress = Ingress(Opened(room), b"our own.")
    datagram = Sealer(room, b"8 bytes.").seal(b"frames that are long enough")
    other = bytes([*datagram[:24], datagram[24] ^ 1, *datagram[25:]])
    assert datagram[-16:] == other[-16:]
    assert ingress.open(datagram) == ingress.open(other) == [f.Who(bytes(8))]
    assert ingress.open(other) is DropReason.REPEATED


def test_only_datagrams_that_make_sense_are_remembered_as_repeats() -> None:
    lan = simulation.Lan(4)
    ada = lan.join("ada")
    datagram = Sealer(lan.room, b"8 bytes.").seal(b"\x7f no such frame")
    for _ in range(2):
        lan.transmit(datagram, ADDRESS)
    lan.run(0.1)
    assert drops(ada, "repeated") == 0
    assert not ada.engine._ingress._latest


@pytest.mark.heavy
@pytest.mark.parametrize("flags", [0, f.BY_MULTICAST])
def test_report_requests_cause_no_storm(flags: int) -> None:
    lan = simulation.Lan(5)
    members = [lan.join(f"m{number}") for number in range(30)]
    lan.run(8.0)
    members[0].send("hello")
    lan.run(12.0)
    taps = Taps(lan)
    eve = Outsider(lan)
    before = sum(member.engine.stats().get("sent-report", 0) for member in members)
    for _ in range(50):
        eve.say(f.ReportRequest(*members[0].engine.peer_id, 1, 0, flags), source=VICTIM)
        lan.run(0.02)
    lan.run(3.0)
    reports = sum(member.engine.stats().get("sent-report", 0) for member in members) - before
    assert reports <= (20 if flags else 90)
    assert len(taps.unicast.get(VICTIM, [])) <= (0 if flags else 90)


def test_forged_keys_do_not_stop_the_answer() -> None:
    lan = simulation.Lan(6)
    ada, carol = lan.join("ada"), lan.join("carol")
    lan.run(12.0)
    eve = Outsider(lan)
    before = sum(member.engine.stats().get("sent-key", 0) for member in (ada, carol))
    for _ in range(10):
        eve.say(f.KeyRequest((ada.engine.peer_id.origin,)), size=60)
        for _ in range(10):
            eve.say(f.Key(ada.identity.public_key, 1, "x", bytes(64)))
            lan.run(0.05)
    answered = sum(member.engine.stats().get("sent-key", 0) for member in (ada, carol)) - before
    assert answered >= 10


def test_forged_key_requests_put_ours_off_twice_only() -> None:
    lan = simulation.Lan(20)
    keys = lan.join("ada").engine._keys
    eve = Outsider(lan)
    origin = eve.identity.origin
    datagram = Datagram(ADDRESS, b"", KEY_PRICE, networks=1)

    def overhear(now: float) -> None:
        keys._on_key_request(datagram, f.KeyRequest((origin,)), now)

    keys.want(origin, datagram.networks, 0.0)
    for place in range(20):
        overhear(0.05 * place)
    assert keys.next_timeout == 0.05 + AGAIN
    keys.on_timeout(1.0)
    assert list(keys._asked) == [origin]
    assert keys.next_timeout == inf
    overhear(1.0)
    eve.say(eve.key)
    for _ in range(2):
        overhear(1.1)
    keys.want(origin, datagram.networks, 1.1)
    assert keys.next_timeout == inf, "it was asked for lately"
    keys.want(origin, datagram.networks, 1.11 + AGAIN)
    assert 0 <= keys.next_timeout - (1.11 + AGAIN) <= ASK_WITHIN


def test_a_nack_that_names_one_author_over_and_over_defers_no_more_than_a_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lan = simulation.Lan(7)
    bob = lan.join("bob")
    seen: list[int] = []

    def tap(_author: PeerId, ranges: Iterable[tuple[int, int]], _now: float) -> None:
        seen.extend(stop - start for start, stop in ranges)

    monkeypatch.setattr(bob.engine._nacks, "overheard", tap)
    eve = Outsider(lan)
    missing = tuple(f.Missing(*AUTHOR, ((1, 3), (10, 5000))) for _ in range(10))
    eve.say(eve.key, eve.sign(f.Nack(*eve.peer_id, eve.count(), missing)))
    assert sum(seen) == 8192


def test_a_flood_of_wide_nacks_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records that nobody holds are not looked up at all."""
    lan = simulation.Lan(8)
    ada = lan.join("ada")
    for _ in range(2000):
        ada.send(bytes(1200))
    lan.run(5.0)
    eve = Outsider(lan)
    eve.say(eve.key)
    looked_up = []
    held = ada.engine._retransmitter._held

    def look(author: PeerId, ranges: list[tuple[int, int]]) -> list[int]:
        sequences = held(author, ranges)
        looked_up.append(len(sequences))
        return sequences

    monkeypatch.setattr(ada.engine._retransmitter, "_held", look)
    for _ in range(10):
        for author in (AUTHOR, ada.engine.peer_id):
            eve.say(eve.sign(f.Nack(*eve.peer_id, eve.count(), (f.Missing(*author, ((1, 8192),)),))))
    assert looked_up == [0, 2000] * 4
    lan.run(2.0)
    eve.say(eve.sign(f.Nack(*eve.peer_id, eve.count(), (f.Missing(*ada.engine.peer_id, ((1, 1),)),))))
    assert looked_up[-1] == 1


def test_requests_for_what_we_do_not_hold_are_not_remembered() -> None:
    lan = simulation.Lan(9)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    ada.send("one")
    lan.run(1.0)
    eve = Outsider(lan)
    missing = (f.Missing(*ada.engine.peer_id, ((1, 8000),)),)
    eve.say(eve.key, eve.sign(f.Nack(*eve.peer_id, eve.count(), missing)))
    assert len(bob.engine._retransmitter._repairs._asked) == 1


def test_one_who_asks_for_everything_pushes_out_its_own_requests_only() -> None:
    repairs = Repairs()
    assert repairs.insisted(AUTHOR, [1], 0.0, 0.1, b"honest") == []
    assert repairs.insisted(AUTHOR, range(2, 2 + RECENT), 0.0, 0.1, b"greedy") == []
    assert len(repairs._asked) == 1 + SHARE
    assert repairs.insisted(AUTHOR, [1], 1.0, 0.1, b"honest") == [1]
    asked = Asked()
    for number in range(RECENT + 1):
        asked.add(AUTHOR, number, 0.0, b"%d" % (number % 8))
    assert len(asked) == RECENT
    assert asked.when(AUTHOR, 0) is None
    asked.add(AUTHOR, 1, 5.0, b"a new one")
    assert asked.when(AUTHOR, 1) == 5.0
    asked.add(AUTHOR, 1, 6.0, b"another")
    assert asked.when(AUTHOR, 1) == 6.0
    assert b"a new one" not in asked._of


@pytest.mark.heavy
def test_hearsay_makes_nobody_send_to_the_address_it_names() -> None:
    """Neither when it is doubted, nor when it is believed and its silence is noticed."""
    lan = simulation.Lan(10)
    members = [lan.join(f"m{number}") for number in range(20)]
    lan.run(10.0)
    taps = Taps(lan)
    for seed in range(5):
        eve = Outsider(lan, seed)
        age = 0 if seed == 0 else 3_600_000
        entry = f.Roster(*pack(VICTIM), eve.announcement(timestamp=now_ms(lan) - age))
        eve.say(eve.key, entry)
    lan.run(30.0)
    assert taps.unicast == {}
    assert sum(member.engine.stats().get("sent-probe", 0) for member in members) <= 20 * 3 + 5 * 5


def test_recordings_by_the_hundred_get_few_probes() -> None:
    lan = simulation.Lan(11)
    ada = lan.join("ada")
    lan.run(1.0)
    eve = Outsider(lan)
    eve.say(eve.key)
    for number in range(100):
        recording = f.Heartbeat(eve.peer_id.origin, number + 1, 1, 0, 1, 1, 2000)
        eve.say(eve.sign(recording))
    lan.run(2.0)
    assert ada.engine.stats()["sent-probe"] <= 20 + 3 * 5
    assert drops(ada, "over-budget") > 0


@pytest.mark.heavy
def test_a_joiner_whose_clock_is_off_is_seen_by_all_without_a_storm() -> None:
    lan = simulation.Lan(12)
    members = [lan.join(f"m{number}") for number in range(60)]
    lan.run(20.0)
    joiner = lan.join("skewed")
    joiner.crash()
    joiner.skew = -60.0
    joiner.start()
    taps = Taps(lan)
    lan.run(4.0)
    assert all(any(peer.peer_id == joiner.engine.peer_id for peer in member.peers()) for member in members)
    assert len(taps.group) < 100
    assert len(taps.unicast[joiner.address]) < 2 * len(members)


@pytest.mark.parametrize("visitor", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_a_message_lost_just_before_its_author_leaves_is_repaired(visitor: bool, known: bool) -> None:
    lan = simulation.Lan(13)
    bob, carol = lan.join("bob"), lan.join("carol")
    lan.run(20.0)
    if known:
        ada = lan.join("ada", visitor=visitor)
        lan.run(0.1)
        ada.send("first")
        lan.run(0.5)
    lan.conditions = simulation.Conditions(loss=1.0)
    if not known:
        ada = lan.join("ada", visitor=visitor)
    ada.send("only")
    lan.run(0.001)
    lan.conditions = simulation.Conditions()
    ada.leave()
    left = lan.now
    while not ada.engine.closed:
        lan.run(0.01)
    assert lan.now - left < 0.35
    for member in (bob, carol):
        assert [message.text for message in member.messages()][-1:] == ["only"]
    lan.run(20.0)
    assert [peer.name for peer in bob.peers()] == ["carol"]


def test_who_leaves_confirms_what_it_heard_first() -> None:
    lan = simulation.Lan(14)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(2.0)
    ada.send("one")
    lan.run(0.002)
    assert [message.text for message in bob.messages()] == ["one"]
    bob.leave()
    lan.run(0.002)
    assert ada.engine.heard_by(1) == [bob.engine.peer_id]
    assert [event.reason for event in ada.events() if isinstance(event, PeerLeft)] == ["goodbye"]


def test_a_recorded_goodbye_opens_nothing() -> None:
    lan = simulation.Lan(15)
    bob = lan.join("bob")
    lan.run(10.0)
    eve = Outsider(lan, age=3600.0)
    eve.say(eve.key, eve.sign(f.Goodbye(*eve.peer_id, eve.count(), 5)))
    assert len(bob.engine._nacks.windows) == 0


@pytest.mark.parametrize("visitor", [False, True])
def test_it_is_repaired_though_nobody_has_measured_the_network(visitor: bool) -> None:
    for seed in range(5):
        lan = simulation.Lan(seed)
        bob = lan.join("bob")
        lan.run(20.0)
        ada = lan.join("ada", visitor=visitor)
        lan.between(ada, bob, loss=1.0)
        lan.run(0.1)
        ada.send("only")
        lan.run(0.001)
        lan.between(ada, bob)
        ada.leave()
        lan.run(1.0)
        assert [message.text for message in bob.messages()] == ["only"]


def test_the_silence_of_many_is_one_wake_up() -> None:
    lan = simulation.Lan(16)
    members = [lan.join(f"m{number}") for number in range(12)]
    lan.run(60.0)
    silence = members[0].engine._detector._silence
    times = [silence.get(member.engine.peer_id) or 0.5 for member in members[1:]]
    assert all(when % 1 == 0 for when in times)


EXTREMES = (0, 1, 2, 255, 2**16 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 2, 2**63 - 1, 253402300799999)


def _extreme(random: Random, most: int) -> int:
    return random.choice([value for value in EXTREMES if value <= most])


def _hostile(eve: Outsider, me: PeerId, random: Random, now: int) -> f.Frame:
    """A signed frame with the largest and smallest numbers that decode."""
    author = PeerId(eve.peer_id.origin, random.choice([eve.peer_id.incarnation, 2**63 - 1, 1]))
    about = random.choice([author, me])
    low, high = sorted((_extreme(random, 2**63 - 1), _extreme(random, 2**63 - 1)))
    low, time = max(1, low), random.choice([now, 0, 253402300799999])
    many, micros = _extreme(random, 2**32 - 1), _extreme(random, 2**32 - 1)
    short = _extreme(random, 2**16 - 1)
    first = max(1, low - 9000)
    announcement = eve.announcement(
        timestamp=time, low=low, high=high, interval=many, grtt=micros, flags=short, port=short
    )
    frames: list[f.Signed] = [
        f.Heartbeat(*author, eve.count(), time, low, high, micros),
        f.Goodbye(*author, eve.count(), high),
        f.Nack(*eve.peer_id, eve.count(), (f.Missing(*about, ((first, first + 5),)),)),
        f.Report(
            *eve.peer_id, eve.count(), (f.Heard(*about, low, max(low, high), time, micros, many, short),)
        ),
    ]
    unsigned: list[f.Frame] = [
        announcement,
        f.Roster(bytes(random.choices([0, 255, 254, 128], k=16)), short, announcement),
        f.ReportRequest(*about, high, short, random.choice([0, f.BY_MULTICAST])),
        f.RosterRequest(short),
        f.Probe(*about, bytes(16), random.choice([0, f.BY_MULTICAST])),
        f.KeyRequest((about.origin,)),
        f.Challenge(bytes(8)),
    ]
    return random.choice([*unsigned, *map(eve.sign, frames)])


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(6))
def test_no_number_on_the_wire_makes_the_engine_raise(seed: int) -> None:
    """Nor anything that follows from it later, when timers run out and datagrams are made."""
    lan = simulation.Lan(seed)
    ada, bob = lan.join("ada"), lan.join("bob")
    random = Random(seed)
    eve = Outsider(lan)
    eve.say(eve.key, source=ADDRESS)
    for _ in range(150):
        eve.say(_hostile(eve, ada.engine.peer_id, random, now_ms(lan)))
        lan.run(random.choice([0.0, 0.05, 1.0]))
    ada.send("still here")
    lan.run(30.0)
    assert "still here" in [message.text for message in bob.messages()]


def test_a_visitor_that_leaves_with_much_to_send_sends_it_first() -> None:
    lan = simulation.Lan(17)
    bob = lan.join("bob")
    lan.run(1.0)
    ada = lan.join("ada", visitor=True)
    for number in range(200):
        ada.engine.send(b"%d" % number * 300, lan.now)
    ada.leave()
    assert not ada.engine.closed
    lan.run(2.0)
    assert ada.engine.closed
    assert len(bob.messages()) == 200


def test_of_many_report_requests_few_are_heeded() -> None:
    lan = simulation.Lan(18)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    ada.send("one")
    lan.run(5.0)
    eve = Outsider(lan)
    for _ in range(20):
        eve.say(f.ReportRequest(*ada.engine.peer_id, 1, 0, f.BY_MULTICAST), size=200)
    assert drops(bob, "over-budget") == 15


def test_a_newcomer_does_not_measure_by_hearsay() -> None:
    lan = simulation.Lan(19)
    lan.join("ada")
    taps = Taps(lan)
    eve = Outsider(lan)
    eve.say(eve.key, f.Roster(*pack(VICTIM), eve.announcement()))
    lan.run(2.0)
    assert taps.unicast == {}
