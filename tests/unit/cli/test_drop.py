"""Who has what was dropped: when it ends, what is told, and the exit code."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mcast.cli import drop as module
from mcast.cli import transfers
from mcast.cli.drop import Dropping, Wanted, arrived
from mcast.cli.items import PeerLabels
from mcast.cli.offers import offer_text, share_text, size_text
from mcast.cli.session import GroupSession
from mcast.cli.transfers import TerminalBars, TransferView
from mcast.core.events import PeerId, PeerView
from mcast.errors import UsageError
from mcast.events import TransferOffered
from mcast.files.outgoing import Outgoing
from mcast.runtime.bulk.views import (
    CANCELLED,
    KEPT_OUT,
    UNHEARD,
    UNREACHED,
    Progress,
    ReceiverProgress,
    State,
)

TOTAL = 1000
OFFER = TransferOffered("0" * 16, bytes(32), PeerId(b"a" * 16, 1), "ada", "photos/", 12, 900, 100, 1024, 0)


def peer(name: str, **more: Any) -> PeerView:
    return PeerView(PeerId(name[:1].encode() * 16, 1), name, **more)


def receiver(name: str, state: State, have: int = 420, reason: str = "") -> ReceiverProgress:
    have = TOTAL if state == State.WHOLE else have
    return ReceiverProgress(peer(name).peer_id, name, state, have, reason=reason)


class Case:
    """A drop at one moment."""

    def __init__(
        self, wanted: Wanted, receivers: list[ReceiverProgress], peers: list[PeerView] | None = None
    ) -> None:
        self.now = 100.0
        self.peers = peers or []
        self.progress = Progress(TOTAL, TOTAL, 0, 0, 0.0, tuple(receivers))
        self.said: list[str] = []
        case = self

        class Group:
            now = property(lambda _: case.now)
            peers = staticmethod(lambda: case.peers)

        labels = PeerLabels()
        context = cast(Any, SimpleNamespace(labels=labels, head=lambda kind, _: {"type": kind}))
        view = TransferView(context, None, self.said.append, None)
        session = cast(GroupSession, SimpleNamespace(groups=[Group()], contexts=[context]))
        self.dropping = Dropping(session, cast(Outgoing, None), wanted, view)
        self.dropping._drop = cast(
            Any, SimpleNamespace(offer=OFFER, progress=lambda: self.progress, unsent=())
        )
        view.begin(OFFER, "offering")

    def settled(self) -> bool:
        return self.dropping._settled(self.progress)

    def settles_once_given_up(self) -> bool:
        """Whether it waits until somebody is given up, and ends a moment later."""
        waited = not self.settled()
        self.now += module.GIVE_UP
        waited = waited and not self.settled()
        self.now += module.SETTLED
        return waited and self.settled()


ANY, ALL, TWO = Wanted([]), Wanted([], everybody=True), Wanted([], 2)
WHOLE, HALF = receiver("bob", State.WHOLE), receiver("cyd", State.RECEIVING)
FAILED = receiver("dan", State.FAILED, reason="the disk is full")
STOPPED = receiver("cyd", State.FAILED, reason=CANCELLED)


@pytest.mark.parametrize(
    ("wanted", "receivers", "settled", "code", "told"),
    [
        (Wanted(["bob"]), [WHOLE, HALF], True, 0, ""),
        (Wanted(["bob·6262"]), [WHOLE], True, 0, ""),
        (Wanted(["bob", "cyd"]), [WHOLE, HALF], False, 27, "cyd·6363 (42 %, receiving)"),
        (Wanted(["bob", "eve"]), [WHOLE], False, 27, "eve has not accepted it"),
        (Wanted(["dan"]), [WHOLE, FAILED], True, 27, "dan·6464 (42 %, failed: the disk is full)"),
        (TWO, [WHOLE, receiver("cyd", State.WHOLE), FAILED], True, 0, ""),
        (TWO, [WHOLE, HALF], False, 27, "cyd·6363 (42 %, receiving)"),
        (TWO, [WHOLE], False, 27, "1 more has not accepted it"),
        (
            TWO,
            [WHOLE, FAILED],
            False,
            27,
            "dan·6464 (42 %, failed: the disk is full), 1 more has not accepted it",
        ),
        (ALL, [WHOLE], False, 27, "cyd·6363 has not accepted it"),
        (ALL, [WHOLE, HALF], False, 27, "cyd·6363 (42 %, receiving)"),
        (ALL, [WHOLE, receiver("cyd", State.WHOLE)], True, 0, ""),
        (ALL, [WHOLE, receiver("cyd", State.FAILED)], True, 27, "cyd·6363 (42 %, failed)"),
        (ALL, [WHOLE, STOPPED], True, 27, "cyd·6363 (42 %, stopped)"),
    ],
)
def test_it_ends_when_those_have_it_who_are_wanted(
    wanted: Wanted,
    receivers: list[ReceiverProgress],
    settled: bool,
    code: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    notes: list[str] = []
    monkeypatch.setattr(module, "note", notes.append)
    case = Case(wanted, receivers, [peer("bob"), peer("cyd"), peer("lis", listener=True)])
    assert case.settled() == settled
    assert case.dropping.verdict() == code
    again = "; the same command goes on" if "42 %" in told else ""
    assert notes == ([f"not whole: {told}{again}"] if told else [])
    whole = [one.name for one in receivers if one.state == State.WHOLE]
    several = [f"{len(whole)} have photos/ (12 files, 900 B) whole"] if len(whole) > 1 else []
    assert [line for line in case.said if "whole" in line] == [
        *(f"{name}·{name[:1].encode().hex() * 2} has it whole" for name in whole),
        *several,
    ]


def test_nobody_is_taken_for_another_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    monkeypatch.setattr(module, "note", notes.append)
    bob, cyd = peer("bob").peer_id, peer("cyd").peer_id
    false = ReceiverProgress(cyd, bob.origin.hex(), State.WHOLE, TOTAL)
    case = Case(Wanted(["bob"]), [false], [PeerView(cyd, bob.origin.hex()), peer("bob")])
    case.dropping._exact = {"bob": bob.origin}
    assert not case.settled()
    assert case.dropping.verdict() == 27
    assert notes == ["not whole: bob·6262 has not accepted it"]


def test_without_anybody_wanted_it_waits_for_all_that_accept(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    monkeypatch.setattr(module, "note", notes.append)
    case = Case(ANY, [])
    assert not case.settled()
    assert case.dropping.verdict() == 27
    assert notes == ["not whole: nobody has accepted it"]
    case = Case(ANY, [WHOLE])
    assert not case.settled()
    case.now += module.SETTLED - 0.1
    assert not case.settled()
    case.progress = Progress(TOTAL, TOTAL, 0, 0, 0.0, (WHOLE, HALF))  # another one just in time
    assert not case.settled()
    case.now += module.GIVE_UP
    assert not case.settled()
    case.progress = Progress(TOTAL, TOTAL, 0, 0, 0.0, (WHOLE, FAILED))
    assert not case.settled()
    case.now += module.SETTLED
    assert case.settled()
    assert case.dropping.verdict() == 27


def test_a_receiver_that_is_silent_for_long_is_waited_for_no_more() -> None:
    case = Case(ANY, [WHOLE, receiver("cyd", State.SILENT)])
    assert case.settles_once_given_up()


def test_who_has_given_up_may_come_back_while_nobody_has_it() -> None:
    case = Case(ANY, [FAILED])
    for _ in range(3):
        assert not case.settled()
        case.now += module.GIVE_UP


def test_all_that_a_name_can_mean_must_have_it_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    monkeypatch.setattr(module, "note", notes.append)
    impostor = ReceiverProgress(PeerId(b"i" * 16, 1), "bob", State.WHOLE, TOTAL)
    case = Case(Wanted(["bob"]), [impostor], [peer("bob")])
    assert not case.settled()
    assert case.dropping.verdict() == 27
    case = Case(Wanted(["bob"]), [impostor, receiver("bob", State.RECEIVING)])
    assert not case.settled()
    assert case.dropping.verdict() == 27
    assert notes == [
        "not whole: bob·6262 has not accepted it",
        "not whole: bob·6262 (42 %, receiving); the same command goes on",
    ]
    case = Case(Wanted(["bob"]), [impostor, receiver("bob", State.WHOLE)], [peer("bob")])
    assert case.settled()
    assert case.dropping.verdict() == 0
    again = ReceiverProgress(PeerId(b"b" * 16, 2), "bob", State.WHOLE, TOTAL)
    assert Case(Wanted(["bob"]), [receiver("bob", State.RECEIVING), again]).settled()


def test_nobody_is_no_success_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "note", lambda text: None)
    case = Case(ALL, [])
    assert case.settled()
    assert case.dropping.verdict() == 4


def test_what_happens_to_receivers_is_told_once() -> None:
    case = Case(ANY, [])
    for state in (State.ACCEPTED, State.RECEIVING, State.RECEIVING, State.SILENT, State.WHOLE):
        progress = Progress(TOTAL, TOTAL, 0, 0, 0.0, (receiver("bob", state),))
        case.dropping._view.look(OFFER, progress, arrived(progress))
    assert case.said[1:] == ["bob·6262 takes it", "bob·6262 is silent at 42 %", "bob·6262 has it whole"]


def test_who_gets_it_again_is_told_of_once() -> None:
    case = Case(ANY, [])
    again = PeerId(b"b" * 16, 2)
    for receivers in (
        [WHOLE],
        [WHOLE, ReceiverProgress(again, "bob", State.RECEIVING)],
        [WHOLE, ReceiverProgress(again, "bob", State.WHOLE, TOTAL)],
    ):
        case.progress = Progress(TOTAL, TOTAL, 0, 0, 0.0, tuple(receivers))
        case.dropping._view.look(OFFER, case.progress, 0)
    assert case.dropping.verdict() == 0
    assert case.said[1:] == ["bob·6262 has it whole"]
    failed = ReceiverProgress(again, "bob", State.FAILED, reason="the disk is full")
    case.dropping._view.look(OFFER, Progress(TOTAL, TOTAL, 0, 0, 0.0, (WHOLE, failed)), 0)
    assert case.said[2:] == ["bob·6262 cannot take it: the disk is full"]


def test_a_receiver_that_nothing_reaches_is_told_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    monkeypatch.setattr(module, "note", notes.append)
    stuck = receiver("cyd", State.RECEIVING, 0, UNREACHED + KEPT_OUT)
    unheard = receiver("dan", State.SILENT, 0, UNHEARD)
    case = Case(ANY, [WHOLE, stuck, unheard])
    assert case.settles_once_given_up()
    assert case.dropping.verdict() == 27
    stays = "nothing of it has arrived there for 10 s: a firewall there may keep it out"
    silent = "no report from it has arrived: a firewall here may keep it out"
    assert case.said[1:] == [
        "bob·6262 has it whole",
        f"cyd·6363 stays at 0 %: {stays}; run mcast doctor there",
        f"dan·6464 is silent at 0 %: {silent}; run mcast doctor here",
    ]
    assert notes == [f"not whole: cyd·6363 (0 %, gets nothing: {stays}), dan·6464 (0 %, silent: {silent})"]


def test_a_receiver_that_nothing_reaches_has_no_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Shown(monkeypatch)
    for at, have, reason in ((0, 100, ""), (10, 200, ""), (10, 200, UNREACHED)):
        shown.look(at, receiver("cyd", State.RECEIVING, have, reason))
    assert shown.heads == [
        "10 %, 10 B/s; 0 of 1 whole",
        "20 %, 10 B/s, 1 min 20 s left; 0 of 1 whole",
        "20 %; 0 of 1 whole",
    ]
    assert shown.rows == ["10 %, receiving", "20 %, receiving", "20 %, gets nothing"]


class Shown:
    """What the bars of a drop say, at times one chooses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.heads, self.rows = 0.0, list[str](), list[str]()
        self._bars = TerminalBars(io.StringIO())
        monkeypatch.setattr(transfers, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(self._bars, "_show", self._show)

    def _show(
        self, transfer: str, one: PeerId | None, title: str, have: int, total: int, detail: str
    ) -> None:
        (self.rows if one else self.heads).append(detail)

    def look(self, now: float, *receivers: ReceiverProgress, rate: float = 10.0) -> str:
        self.now = now
        progress = Progress(TOTAL, TOTAL, 0, 0, rate, receivers)
        self._bars.show(OFFER, arrived(progress), progress, lambda one: one.name)
        return self.heads[-1]


def test_the_time_left_is_that_of_the_slowest(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Shown(monkeypatch)
    for second in range(4):
        head = shown.look(
            second,
            receiver("bob", State.RECEIVING, second),
            receiver("cyd", State.RECEIVING, 200 * second),
            receiver("dan", State.SILENT, 1),
            rate=200.0,
        )
    assert head == "20 %, 200 B/s, 16 min 37 s left; 0 of 3 whole"
    head = shown.look(4, receiver("bob", State.RECEIVING, 3), receiver("cyd", State.WHOLE))
    assert head == "50 %, 10 B/s, 22 min 9 s left; 1 of 2 whole"
    head = shown.look(15, receiver("bob", State.RECEIVING, 3), receiver("cyd", State.WHOLE))
    assert head == "50 %, 10 B/s; 1 of 2 whole", "nothing came in the last seconds"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(59.4, "59 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (3600, "1 h 0 min"), (20_011, "5 h 33 min")],
)
def test_times_are_for_people(seconds: float, text: str) -> None:
    assert transfers._time_text(seconds) == text


def test_a_drop_that_nobody_has_accepted_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Shown(monkeypatch).look(0) == "nobody has accepted it yet"


def test_what_has_arrived_stays_when_all_have_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = receiver("dan", State.FAILED, 300, "the disk is full")
    assert Shown(monkeypatch).look(0, STOPPED, failed) == "42 %; 0 of 2 whole"


def test_a_receiver_that_stopped_is_no_failure() -> None:
    case = Case(ANY, [])
    for have in (420, 0):
        progress = Progress(TOTAL, TOTAL, 0, 0, 0.0, (receiver("cyd", State.RECEIVING, have),))
        case.dropping._view.look(OFFER, progress, 0)
        stopped = receiver("cyd", State.FAILED, have, CANCELLED)
        case.dropping._view.look(OFFER, Progress(TOTAL, TOTAL, 0, 0, 0.0, (stopped,)), 0)
    assert case.said[1:] == [
        "cyd·6363 takes it",
        "cyd·6363 stopped at 42 %; what it has is kept there",
        "cyd·6363 stopped at 0 %",
    ]


def test_a_receiver_that_was_started_again_counts_once() -> None:
    again = ReceiverProgress(PeerId(b"c" * 16, 2), "cyd", State.WHOLE, TOTAL)
    for state in (State.FAILED, State.SILENT):
        case = Case(ANY, [receiver("cyd", state), again])
        assert not case.settled()
        case.now += module.SETTLED
        assert case.settled()
        assert case.dropping.verdict() == 0
    case = Case(ANY, [receiver("cyd", State.RECEIVING), again])  # another program of the same person
    case.now += module.SETTLED
    assert not case.settled()


def test_what_has_arrived_is_the_mean_of_those_that_take_it() -> None:
    assert arrived(Progress(TOTAL, TOTAL, 0, 0, 0.0, ())) == 0
    assert arrived(Progress(TOTAL, TOTAL, 0, 0, 0.0, (WHOLE, HALF, FAILED))) == 710


@pytest.mark.parametrize("text", ["0", "-1", "some", "1_0", "²", "9999999"])
def test_a_number_of_receivers_is_checked(text: str) -> None:
    with pytest.raises(UsageError, match="--wait-acks must be 1 or more"):
        module._number(text)


def test_sizes_and_shares_are_for_people() -> None:
    sizes = [0, 999, 1000, 99_949, 99_950, 999_499, 268_435_456, 5 << 30, 3 << 40]
    assert [size_text(size) for size in sizes] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "99.9 kB",
        "100 kB",
        "999 kB",
        "268 MB",
        "5.4 GB",
        "3.3 TB",
    ]
    assert (share_text(999, 1000), share_text(0, 0)) == ("99 %", "100 %")
    assert offer_text(OFFER) == "photos/ (12 files, 900 B)"


def test_with_a_file_that_changed_it_ends_when_nobody_is_on_the_way() -> None:
    failed, moving = receiver("dan", State.FAILED, reason="a changed"), receiver("cyd", State.RECEIVING)
    for wanted in (Wanted([]), Wanted([], 3)):
        for receivers, ends in (([], False), ([failed, moving], False), ([failed], True)):
            case = Case(wanted, receivers)
            case.dropping._drop = cast(
                Any,
                SimpleNamespace(offer=OFFER, progress=lambda one=case: one.progress, unsent=("a changed",)),
            )
            assert not case.settled()
            case.now += 2.0
            assert case.settled() is ends
            assert case.dropping.verdict() == 27


def test_with_a_file_that_changed_nobody_is_waited_for_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    monkeypatch.setattr(module, "note", notes.append)
    case = Case(ANY, [receiver("cyd", State.SILENT)])
    unsent = SimpleNamespace(offer=OFFER, progress=lambda: case.progress, unsent=("a changed",))
    case.dropping._drop = cast(Any, unsent)
    assert case.settles_once_given_up()
    assert case.dropping.verdict() == 27
    assert notes == ["not whole: cyd·6363 (42 %, silent)"]  # the same command offers something else


HANGING = """
import os, signal, sys, time
from mcast import cli
from mcast.cli import drop

def hang(files):
    if "-W" not in sys.argv:
        os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)

drop.Outgoing = hang
sys.exit(cli.main(["drop", *sys.argv[1:], "x"]))
"""


@pytest.mark.parametrize(
    ("options", "code", "why"), [([], 130, "stopped"), (["-W", "200ms"], 27, "the time was over too soon")]
)
def test_a_disk_that_hangs_does_not_keep_the_program(options: list[str], code: int, why: str) -> None:
    command = [sys.executable, "-c", HANGING, *options]
    done = subprocess.run(command, timeout=20, check=False, stderr=subprocess.PIPE, text=True)
    assert done.returncode == code
    assert done.stderr == f"mcast: {why}; nothing was offered\n"


def test_how_far_large_files_are_read_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    case, told = Case(ANY, []), list[tuple[str, int, int]]()
    monkeypatch.setattr(module, "LOOK", 0.001)
    monkeypatch.setattr(case.dropping._view, "reading", lambda *words: told.append(words))
    source = SimpleNamespace(title="disk.img", size=10, files=1, read_to=0)
    case.dropping._outgoing = cast(Outgoing, source)

    async def offer(*_: object, **__: object) -> str:
        while source.read_to < 4:
            await asyncio.sleep(0.01)
            source.read_to += 2
        return "a drop"

    case.dropping._group.drop = offer  # type: ignore[assignment,method-assign] # a double
    assert cast(str, asyncio.run(case.dropping._offer([]))) == "a drop"
    assert set(told) >= {("disk.img", 0, 10), ("disk.img", 2, 10)}
    assert told[-1] == ("", 0, 0)


def test_reading_takes_one_line_that_goes_away() -> None:
    stream = io.StringIO()
    bars = TerminalBars(stream)
    with bars.on():
        bars.reading("disk.img", 4, 10)
        assert "reading disk.img …" in stream.getvalue()
        assert "40 %" in stream.getvalue()
        bars.reading("disk.img", 5, 10)
        assert list(bars._tasks) == [(transfers.READING, None)]
        bars.reading("", 0, 0)
        assert not bars._tasks
