"""Receive windows and their bounds, and when NACKs leave."""

from __future__ import annotations

from math import inf

import pytest

from mcast import simulation
from mcast.core.context import Mode
from mcast.core.events import GapAbandoned, GapOpened, GapStalled, PeerId
from mcast.core.membership.roster import Peer, Roster
from mcast.core.reliability.nack import (
    CLAIM_RATE,
    CLAIMS_TOLD,
    KEPT,
    MISSING_HEAD,
    PAGE_COST,
    PAGES,
    PASSIVE_TIMEOUT,
    RECESS,
    RETRY,
    SAVED,
    SEARCH,
    VAIN_RATE,
    NackScheduler,
)
from mcast.core.reliability.window import ReceiveWindow
from mcast.settings import Settings
from mcast.wire import bodies
from mcast.wire import frames as f
from mcast.wire.limits import DATAGRAM_MAX
from mcast.wire.reasons import DropReason
from mcast.wire.records import Kind
from tests.unit.core.support import Outsider, drops, make_context, record

ANNOUNCEMENT = f.Announcement(bytes(16), 1, 1, 0, 1, 0, 5000, 2000, 1452, 0, 0, b"machine1")


class Scheduler(NackScheduler):
    """A scheduler in a group of three, whose roster and context a test may change."""

    def __init__(self, settings: Settings | None = None, mode: Mode | None = None) -> None:
        self.context = make_context(settings, mode)
        self.roster = Roster(self.context, 10_000, 10_000)
        key = f.Key(self.context.identity.public_key, 1, "me")
        super().__init__(self.context, self.roster, key)
        self.context.members = 3
        self.told: list[PeerId] = []
        self.on_asked = lambda peer_ids, now: self.told.extend(peer_ids)

    def enter(self, peer_id: PeerId) -> None:
        """Enter a peer in the roster."""
        assert self.roster.add(Peer(peer_id, "", ANNOUNCEMENT, None, 0.0, True)) is None
        self.context.members = 3

    def open(self, number: int, origin: bytes = b"") -> ReceiveWindow:
        """The new window of a peer."""
        window = self.windows.open(named(number, origin), "", 1, 0, 0.0)
        assert isinstance(window, ReceiveWindow)
        return window

    def asked(self) -> list[f.Nack]:
        """The NACKs that are to leave, each once."""
        nacks = [queued.frames[-1] for queued in self.context.queue]
        self.context.queue.clear()
        return [nack for nack in nacks if isinstance(nack, f.Nack)]


def named(number: int, origin: bytes = b"") -> PeerId:
    """A peer by its number."""
    return PeerId(origin or number.to_bytes(16, "big"), number)


def test_an_origin_whose_incarnations_are_all_peers_gets_no_window_more() -> None:
    nacks = Scheduler(Settings(peers_per_identity=16))
    for number in range(16):
        nacks.enter(named(number, b"o" * 16))
        nacks.open(number, b"o" * 16)
    more = nacks.windows.open(named(99, b"o" * 16), "", 1, 0, 0.0)
    assert more is DropReason.TOO_MANY_PEERS


def test_a_round_of_nacks_is_bounded_and_the_rest_follows() -> None:
    nacks = Scheduler(Settings(peers=20_000))
    for number in range(2000):
        window = nacks.open(number)
        window.accept(record(1), None, 0.0)
        window.learn(5, 0.0)
        nacks.update(window, 0.0)
    now, sent, asked = 0.0, 0, set[PeerId]()
    while len(asked) < 2000:
        assert nacks.next_timeout < inf
        now = max(now, nacks.next_timeout)
        nacks.on_timeout(now)
        pages = nacks.asked()
        assert len(pages) <= PAGES
        sent += len(pages)
        assert sent <= PAGES * (1 + now / RECESS)
        asked.update(
            PeerId(missing.origin, missing.incarnation) for page in pages for missing in page.missing
        )
    assert now < 5.0
    assert set(nacks.told) == asked


def test_a_full_table_of_visitors_makes_room_behind_peers() -> None:
    """The oldest windows are those of peers: more of them than are looked at."""
    nacks = Scheduler(Settings(peers=2 * SEARCH))
    for number in range(SEARCH + 5):
        nacks.open(number)
    peers = [named(number) for number in range(SEARCH + 5)]
    for number in range(1000, 1000 + SEARCH - 5):
        nacks.open(number)
    for peer_id in peers:
        nacks.enter(peer_id)
    opened = [nacks.windows.open(named(number), "", 1, 0, 0.0) for number in range(2000, 2010)]
    assert sum(isinstance(window, ReceiveWindow) for window in opened) == 9
    assert all(nacks.windows.get(peer_id) for peer_id in peers)


def test_windows_of_peers_that_are_gone_leave_the_table_and_are_not_told_twice() -> None:
    nacks = Scheduler(Settings(peers=20_000, gap_timeout=None))
    gone, lacking, back = (nacks.open(number) for number in range(3))
    for window in (gone, lacking):
        window.accept(record(1), None, 0.0)
    lacking.learn(3, 0.0)
    for window in (gone, lacking, back):
        nacks.depart(window.peer_id, 0.0, said=False)
    nacks.returned(back.peer_id, 1.0)
    nacks.depart(PeerId(b"?" * 16, 1), 0.0, said=False)
    assert nacks.next_timeout <= KEPT
    nacks.on_timeout(KEPT - 1.0)
    assert len(nacks.windows) == 3
    nacks.on_timeout(KEPT)
    assert nacks.windows.get(gone.peer_id) is None
    assert nacks.windows.get(lacking.peer_id) is lacking
    assert nacks.windows.get(back.peer_id) is back
    again = nacks.windows.open(gone.peer_id, "", 1, 0, 70.0)
    assert isinstance(again, ReceiveWindow)
    assert again.buffer.next == 2


def test_what_is_remembered_of_peers_that_went_is_bounded() -> None:
    windows = Scheduler(Settings(peers=2)).windows
    for number in range(3):
        windows.remember(PeerId(b"o" * 16, number), 5, 5)
    assert [windows.resumes(PeerId(b"o" * 16, number)) for number in range(3)] == [None, 5, 5]


def test_timers_of_a_peer_that_went_ask_for_nothing() -> None:
    nacks = Scheduler(Settings(peers=1, gap_timeout=1.0))
    old = nacks.open(1)
    old.learn(3, 0.0)
    nacks.update(old, 0.0)
    nacks.open(2)
    assert nacks.context.events == [GapAbandoned(old.peer_id, 1, 3)]
    nacks.context.events.clear()
    nacks.on_timeout(5.0)
    assert nacks.asked() == []
    assert nacks.next_timeout == inf
    assert nacks.context.events == []


def test_who_cannot_ask_does_not_wait_for_ever() -> None:
    nacks = Scheduler(mode=Mode(passive=True))
    window = nacks.open(1)
    window.accept(record(1), None, 0.0)
    window.learn(3, 0.0)
    nacks.update(window, 0.0)
    nacks.on_timeout(PASSIVE_TIMEOUT - 0.1)
    assert nacks.context.events == [GapOpened(window.peer_id, 2, 3), GapStalled(window.peer_id, 2, 3)]
    nacks.on_timeout(PASSIVE_TIMEOUT)
    assert nacks.context.events[2:] == [GapAbandoned(window.peer_id, 2, 3)]


def test_fragments_without_an_end_count_towards_what_all_may_hold() -> None:
    """The hoarders lose most, and it is told."""
    nacks = Scheduler(Settings(held_bytes=100_000))
    hoarders = [nacks.open(number) for number in range(20)]
    for sequence in range(1, 40):
        for window in hoarders:
            kind = Kind.FIRST if sequence == 1 else Kind.MIDDLE
            body = bodies.encode_first(65_000, bytes(995)) if sequence == 1 else bytes(1000)
            if not nacks.windows.crowded(window, sequence, 1000, 0.0):
                window.accept(record(sequence, body, kind), None, 0.0)
                nacks.update(window, 0.0)
            assert sum(each.waiting for each in hoarders) <= 100_000
    assert nacks.context.events
    assert all(isinstance(event, GapAbandoned) for event in nacks.context.events)


def test_a_hoarder_is_robbed_and_asks_again() -> None:
    nacks = Scheduler(Settings(held_bytes=10_000))
    hoarders = [nacks.open(number) for number in range(6)]
    for window in hoarders:
        for sequence in (2, 3):
            assert not nacks.windows.crowded(window, sequence, 1000, 0.0)
            window.accept(record(sequence, bytes(990)), None, 0.0)
            nacks.update(window, 0.0)
    assert nacks.windows.crowded(hoarders[-1], 9, 2000, 0.0)
    robbed = [window for window in hoarders if not window.waiting]
    assert robbed
    assert all([(span.start, span.stop) for span in window.gaps] == [(1, 4)] for window in robbed)


def test_one_hoarder_alone_is_robbed_too() -> None:
    nacks = Scheduler(Settings(held_bytes=4 * 1452))
    window = nacks.open(1)
    window.accept(record(3, bytes(6000)), None, 0.0)
    nacks.update(window, 0.0)
    assert window.waiting == 0
    assert 3 in window.gaps


def test_two_peers_that_lack_records_are_asked_for_together() -> None:
    lan = simulation.Lan(15)
    ada, bob, eve = lan.join("ada"), lan.join("bob"), lan.join("eve")
    lan.run(1.0)
    for author in (ada, eve):
        lan.between(author, bob, loss=1.0)
        author.send("lost")
        lan.run(0.006)
        lan.between(author, bob)
        author.send("seen")
        lan.run(0.001)
    lan.run(1.0)
    assert len(bob.messages()) == 4


def test_two_that_lack_the_same_ask_once() -> None:
    lan = simulation.Lan(16)
    ada = lan.join("ada")
    others = [lan.join(f"m{number}") for number in range(8)]
    lan.run(1.0)
    for other in others:
        lan.between(ada, other, loss=1.0)
    ada.send("lost")
    lan.run(0.006)
    for other in others:
        lan.between(ada, other)
    ada.send("seen")
    lan.run(1.0)
    assert all(len(other.messages()) == 2 for other in others)
    assert sum(other.engine.stats().get("sent-nack", 0) for other in others) <= 4


@pytest.mark.parametrize("alone", [True, False])
def test_what_there_is_no_room_for_was_not_lost_by_the_network(alone: bool) -> None:
    lan = simulation.Lan(8, settings=Settings(held_bytes=20_000))
    ada = lan.join("ada")
    eve = Outsider(lan)
    eve.say(eve.key, eve.record(1))
    for sequence in range(3, 50):
        eve.say(*(() if alone else (eve.key,)), eve.record(sequence, bytes(1000)))
    assert drops(ada, "over-quota") > 0
    eve.say(eve.record(49, bytes(1000)))
    window = ada.engine._nacks.windows.get(eve.peer_id)
    assert window is not None
    assert len(window.gaps) > 1
    assert window.loss(lan.now) / 65535 < 0.1, "one in forty-nine"


def test_a_visitor_that_comes_and_goes_keeps_no_other_window_here() -> None:
    lan = simulation.Lan(2)
    ada = lan.join("ada")
    lan.run(1.0)
    others = [Outsider(lan, seed) for seed in (60, 61, 62)]
    for sequence in range(1, 9):
        others[0].say(others[0].key, others[0].record(sequence))
        if sequence == 1:
            for other in others[1:]:
                other.say(other.key, other.record(1))
        lan.run(40.0)
    assert len(ada.engine._nacks.windows) == 1


def _claim(nacks: Scheduler, numbers: range, now: float) -> list[ReceiveWindow]:
    """The windows of new peers that say that they have published a lot."""
    windows = [nacks.open(number) for number in numbers]
    for window in windows:
        window.learn(2**62, now)
        nacks.update(window, now)
    return windows


def _run(nacks: Scheduler, until: float) -> list[tuple[float, f.Nack]]:
    """The NACKs that leave, and when."""
    sent = []
    while nacks.next_timeout <= until:
        now = nacks.next_timeout
        nacks.on_timeout(now)
        sent += [(now, nack) for nack in nacks.asked()]
    return sent


def _cost(nacks: list[tuple[float, f.Nack]]) -> int:
    return sum(PAGE_COST + sum(MISSING_HEAD + 4 for _ in nack.missing) for _, nack in nacks)


@pytest.mark.parametrize(("genuine", "rate"), [(False, CLAIM_RATE), (True, VAIN_RATE)])
def test_hundreds_of_claims_cost_little_and_are_given_up_with_few_words(genuine: bool, rate: int) -> None:
    """Also when each has published one record, which pays for a NACK or two."""
    nacks = Scheduler(Settings(peers=20_000, gap_timeout=None))
    windows = _claim(nacks, range(400), 0.0)
    paid = 0
    if genuine:
        for window in windows:
            window.accept(record(1), None, 0.0)
            nacks.update(window, 0.0)
            paid += window.paid
    sent = _run(nacks, 100.0)
    assert _cost(sent) < paid * 1.5 + SAVED + DATAGRAM_MAX + 100.0 * rate / 3
    abandoned = [event for event in nacks.context.events if isinstance(event, GapAbandoned)]
    assert len(abandoned) == (0 if genuine else CLAIMS_TOLD)
    assert nacks.context.drops[DropReason.OVER_BUDGET] == (0 if genuine else 400 - CLAIMS_TOLD)


def test_a_newcomer_is_asked_for_before_those_that_claim_in_vain() -> None:
    nacks = Scheduler(Settings(peers=20_000))
    _claim(nacks, range(200), 0.0)
    _run(nacks, 12.0)
    (honest,) = _claim(nacks, range(300, 301), 12.0)
    at, nack = _run(nacks, 30.0)[0]
    assert nack.missing[0].incarnation == honest.peer_id.incarnation
    assert at < 12.0 + RETRY + 1.0


def test_what_was_spent_on_an_honest_newcomer_is_given_back() -> None:
    nacks = Scheduler()
    for number in range(100):
        now = number / 2
        window = nacks.open(number)
        window.learn(1, now)
        nacks.update(window, now)
        assert {nack.missing[0].incarnation for _, nack in _run(nacks, now + 0.4)} == {number}
        window.accept(record(1), None, now + 0.4)
        nacks.update(window, now + 0.4)


def test_a_reader_is_told_with_whom_it_waits() -> None:
    nacks = Scheduler(Settings(gap_timeout=5.0))
    window = nacks.open(1)
    for sequence in (1, 3):
        window.accept(record(sequence), None, 0.0)
        nacks.update(window, 0.0)
    _run(nacks, 6.0)
    kinds = [type(event).__name__ for event in nacks.context.events]
    assert kinds == ["GapOpened", "GapStalled", "GapAbandoned", "Message"]
