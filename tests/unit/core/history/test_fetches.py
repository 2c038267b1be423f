"""Asking tellers for what they hold and we lack, one after the other."""

from __future__ import annotations

from hashlib import sha256
from math import inf

import pytest

from mcast.core.auth.ingress import Checks
from mcast.core.auth.verifier import Verifier
from mcast.core.context import Datagram, Mode
from mcast.core.events import GapAbandoned, PeerId
from mcast.core.history import fetches as module
from mcast.core.history.fetches import Fetches
from mcast.core.history.replay import LADDER, Replay
from mcast.core.history.store import Store
from mcast.core.membership.roster import Roster
from mcast.core.rangeset import RangeSet
from mcast.core.reliability.sender import TransmitWindow
from mcast.settings import Settings
from mcast.wire.codec import encode_frame
from mcast.wire.frames import BY_MULTICAST, Echo, RangeRequest, Vector, VectorRequest
from mcast.wire.limits import AGE_MAX
from tests.unit.core.support import make_context, record

ADA, BOB = PeerId(b"a" * 16, 1), PeerId(b"b" * 16, 1)
HERE, THERE = ("10.0.0.1", 1), ("10.0.0.2", 1)
TRUE = sha256(b"").digest()[:16]  # of who holds nothing: the pages here list nothing


def by(source: tuple[str, int], networks: int = 1) -> Datagram:
    return Datagram(source, bytes(8), networks=networks)


def ranges(*pairs: tuple[int, int]) -> RangeSet:
    made = RangeSet()
    for start, stop in pairs:
        made.add(start, stop)
    return made


def asking(*, last: int | None = None, full: bool = False, **mode: bool) -> Fetches:
    """Of somebody who joined at 0.0 and holds nothing, and who was told something by HERE."""
    context = make_context(Settings(history_records=1 if full else 9, history_share=1.0), Mode(**mode))
    store = Store(context, TransmitWindow(9, 9999), Roster(context, 9, 9))
    if full:
        store.add(BOB, [record(1)], 0.0, 5.0)
    made = Fetches(context, Verifier(context, Checks(context.room)), store, Replay(last, None, 0.0))
    made.told(HERE, TRUE, 1.0)
    return made


def question(made: Fetches, now: float) -> tuple[tuple[object, ...], object]:
    asked = made.tick(now, 1000)
    assert asked is not None
    return asked


def listing(made: Fetches, digest: bytes, page: int = 0, pages: int = 1) -> Vector:
    """A page that lists nothing, in answer to what is asked now."""
    session = made._session
    assert session is not None
    return Vector(digest, page, pages, session.request, ())


def asks(made: Fetches, page: int = 0, seconds: float = inf, flags: int = 0) -> VectorRequest:
    """The question for a page of what was published in the last `seconds`."""
    age = AGE_MAX if seconds == inf else round(seconds * 1000)
    return VectorRequest(TRUE, page, age, listing(made, TRUE).request, flags)


def test_one_teller_is_asked_from_the_first_page_to_the_last_record() -> None:
    made = asking()
    assert made.active
    assert made.next == 1.0
    assert made.tick(0.5, 1000) is None
    assert (made.recent, made.lowest(ADA)) == (False, 0)
    assert question(made, 1.0) == ((asks(made),), HERE)
    assert made.challenged(HERE, b"token..1", 1.01)
    assert question(made, 1.01) == ((Echo(b"token..1"), asks(made)), HERE)
    assert made.expects(HERE, listing(made, TRUE, 0, 2))
    assert not made.expects(THERE, listing(made, TRUE, 0, 2))
    assert not made.expects(HERE, listing(made, TRUE, 1, 2))
    assert not made.expects(HERE, Vector(TRUE, 0, 2, 0, ())), "a recording"
    made.page(listing(made, TRUE, 0, 2), {ADA: ranges((1, 3))}, 1, 1.02)
    (_echo, request), to = question(made, 1.02)
    assert isinstance(request, RangeRequest)
    assert (request.missing[0].ranges, request.flags, to) == (((1, 2),), 0, HERE)
    assert made.wants(ADA, 1)
    assert not made.wants(ADA, 3)
    assert not made.expects(HERE, listing(made, TRUE, 0, 2))
    made.got(ADA, 1, 1.03)
    made.got(ADA, 1, 1.03)
    made.got(BOB, 1, 1.03)
    assert made.lowest(ADA) == 2
    made.got(ADA, 2, 1.04)
    assert question(made, 1.04)[0][1] == asks(made, 1)
    last = listing(made, TRUE, 1, 2)
    made.page(last, {}, 1, 1.05)
    assert not made.active
    assert made.next == inf
    assert made.settled(by(HERE), TRUE, 1e9)
    made.page(last, {}, 1, 1.06)
    made.got(ADA, 1, 1.06)
    assert not made.wants(ADA, 1)
    assert not made.expects(HERE, last)
    assert not made.challenged(HERE, b"token..1", 1.1)


@pytest.mark.parametrize("why", ["only listens", "is full"])
def test_who_only_listens_or_is_full_asks_for_what_was_published_since(why: str) -> None:
    """Others who say the same may have had other records: they are asked, too."""
    made = asking(full=True) if why == "is full" else asking(quiet=True)
    assert question(made, 1.0)[0][0] == asks(made, 0, 1.0)
    assert made.recent
    made.page(listing(made, TRUE), {}, 1, 1.0)
    assert not made.active
    assert made.settled(by(HERE), TRUE, 1e9)
    assert not made.settled(by(THERE), TRUE, 1.0)


def test_who_wants_the_last_few_asks_for_more_and_more_of_what_was_before() -> None:
    made = asking(history=True, last=5)
    for step in (0.0, *LADDER):
        assert question(made, 1.0)[0][0] == asks(made, 0, 1.0 + step)
        assert made.recent is (step == 0.0)
        made.page(listing(made, TRUE), {}, 1, 1.0)
    assert question(made, 1.0)[0][0] == asks(made)
    made.page(listing(made, TRUE), {}, 1, 1.0)
    assert not made.active


def test_who_holds_what_we_hold_lists_nothing_and_is_no_liar() -> None:
    made = asking(quiet=True)
    made.told(HERE, b"e" * 16, 1.0)
    asked = question(made, 1.0)[0][0]
    assert isinstance(asked, VectorRequest)
    made.page(listing(made, asked.digest), {}, 1, 1.0)
    assert made.settled(by(HERE), b"e" * 16, 1e9)


def test_who_does_not_answer_is_asked_by_multicast_and_then_given_up() -> None:
    made = asking()
    flags = []
    now = 0.0
    while made.active:
        now = made.next
        asked = made.tick(now, 1000)
        if asked is not None:
            (request,) = asked.frames
            assert isinstance(request, VectorRequest)
            flags.append(request.flags)
    assert flags == [0] + [BY_MULTICAST] * (module.TRIES - 1)
    assert made.settled(by(HERE), TRUE, now)
    assert not made.settled(by(HERE), TRUE, now + module.SULK)


def test_what_was_answered_by_multicast_goes_on_so() -> None:
    made = asking()
    question(made, 1.0)
    question(made, 1.2)
    made.page(listing(made, TRUE), {ADA: ranges((1, 3))}, 1, 1.25)
    request = question(made, 1.25)[0][0]
    assert isinstance(request, RangeRequest)
    assert request.flags == BY_MULTICAST


def test_who_answers_by_unicast_is_not_made_to_bother_everybody() -> None:
    made = asking()
    question(made, 1.0)
    assert made.challenged(HERE, b"token...", 1.0)
    echo = Echo(b"token...")
    for at in (1.0, 1.15, 1.3):  # what is lost now and then is no firewall
        assert question(made, at) == ((echo, asks(made)), HERE)


def test_a_teller_whose_holdings_change_meanwhile_is_compared_again() -> None:
    made = asking()
    question(made, 1.0)
    made.page(listing(made, b"e" * 16, 0, 2), {}, 1, 1.0)
    made.page(listing(made, b"f" * 16, 1, 2), {}, 1, 1.0)
    assert not made.active
    assert not made.settled(by(HERE), b"f" * 16, 1.0)


@pytest.mark.parametrize(("live", "last"), [(0, 2), (4, 4)])
def test_what_a_teller_does_not_deliver_is_lost_as_far_as_its_author_signed(live: int, last: int) -> None:
    made = asking()
    question(made, 1.0)
    if live:
        made._store.add(ADA, [record(live)], 1.0, 0.0)
    made._replay.add(ADA, record(2), 1.0, 5.0)
    made.page(listing(made, TRUE), {ADA: ranges((1, 2), (3, 2500))}, 1, 1.0)
    assert made.tick(1.0 + module.LONGEST, 1000) is None
    told = [event for event in made._replay.tell(lambda _: "", 70.0, 0.0) if isinstance(event, GapAbandoned)]
    assert sum(event.last - event.first + 1 for event in told) == last - 1
    assert max(event.last for event in told) == max(1, live)


def test_a_liar_settles_nothing_but_his_own_word() -> None:
    """He lists nothing under the digest of somebody who holds much."""
    made = asking()
    made.told(HERE, b"e" * 16, 1.0)
    question(made, 1.0)
    made.page(listing(made, b"e" * 16), {}, 1, 1.0)
    assert made.settled(by(HERE), b"e" * 16, 1.0)
    assert not made.settled(by(HERE), b"e" * 16, 1.0 + module.SULK)
    assert not made.settled(by(THERE), b"e" * 16, 1.0)


def test_a_teller_of_what_is_too_old_is_not_asked_for_the_same_for_a_while() -> None:
    """Another may say otherwise: nobody signs an age."""
    made = asking()
    question(made, 1.0)
    made.page(listing(made, TRUE), {ADA: ranges((1, 3))}, 1, 1.0)
    made.got(ADA, 1, 1.0)
    made.got(ADA, 2, 1.0, refused=True)
    assert not made.active
    assert made.settled(by(HERE), TRUE, 1.0 + module.SULK)
    assert not made.settled(by(HERE), TRUE, 1.0 + module.REFUSED)
    assert not made.settled(by(THERE), TRUE, 1.0)


def test_the_next_teller_keeps_its_time_and_what_it_said_last_counts() -> None:
    made = asking()
    question(made, 1.0)
    made.told(HERE, b"g" * 16, 0.5)
    made.told(THERE, b"g" * 16, 3.0)
    made.page(listing(made, TRUE), {}, 1, 1.0)
    assert made.next == 3.0
    made.told(THERE, b"h" * 16, 9.0)
    assert made.next == 3.0


def test_a_teller_that_keeps_challenging_is_not_heeded_for_ever() -> None:
    made = asking()
    question(made, 1.0)
    heeded = [made.challenged(HERE, bytes([n]) * 8, 1.0) for n in range(20)]
    assert heeded.count(True) == module.CHALLENGES


def test_a_teller_that_hands_out_little_by_little_is_left() -> None:
    made = asking()
    question(made, 1.0)
    made.page(listing(made, TRUE), {ADA: ranges((1, 5000))}, 1, 1.0)
    now = 1.0
    while made.active:
        made.got(ADA, round(now * 10), now)
        now += 0.1
        made.tick(now, 1000)
        assert now < 2 * module.LONGEST


def test_tellers_and_digests_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TELLERS", 2)
    monkeypatch.setattr(module, "SETTLED", 1)
    made = asking()
    for number in range(3):
        made.told(("10.1.1.1", number), bytes([number]) * 16, 0.0)
    for _ in range(2):
        question(made, 1.0)
        made.page(listing(made, b"%d" % _ * 16), {}, 1, 1.0)
    assert not made.active
    assert len(made._settled) == 1


def test_who_announced_itself_keeps_its_place_in_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TELLERS", 2)
    monkeypatch.setattr(module, "MET", 2)
    made = asking()
    for number in (7, 8, 9, 8):
        made.met(by(("10.2.2.2", number)), 0)
    made.told(("10.2.2.2", 8), b"h" * 16, 0.0)
    for number in range(40):
        made.told(("10.1.1.1", number), b"f" * 16, 0.0)
    assert list(made._tellers) == [("10.2.2.2", 8), ("10.1.1.1", 39)], "forgeries push out each other"
    made.told(("10.2.2.2", 9), b"h" * 16, 0.0)
    assert list(made._tellers) == [("10.2.2.2", 8), ("10.2.2.2", 9)]
    made.met(by(("10.2.2.2", 1)), 0)
    made.told(("10.2.2.2", 1), b"h" * 16, 0.0)
    assert list(made._tellers) == [("10.2.2.2", 8), ("10.2.2.2", 1)], "9 announced itself least lately"


def test_a_request_asks_for_what_fits() -> None:
    many = {PeerId(bytes([n]) * 16, n): ranges(*((at, at + 1) for at in range(1, 400, 2))) for n in range(9)}
    made = asking()
    question(made, 1.0)
    made.page(listing(made, TRUE), many, 1, 1.0)
    asked = made.tick(1.0, 1000)
    assert asked is not None
    assert len(encode_frame(asked.frames[0])) <= 1000
    far = asking()
    question(far, 1.0)
    far.page(listing(far, TRUE), {ADA: ranges((1, 2**60)), BOB: ranges((1, 9))}, 1, 1.0)
    request = question(far, 1.0)[0][0]
    assert isinstance(request, RangeRequest)
    assert [entry.ranges for entry in request.missing] == [((1, module.CHUNK),)]
