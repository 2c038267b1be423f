"""The oracle of the soak says nothing of good logs and finds each kind of bad one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.soak.oracle import Confirmed, Life, Said, judge

PATIENCE = 30.0


def line(said: Said, at: float, **more: Any) -> dict[str, Any]:
    """How a member printed a message at a time."""
    ts = datetime.fromtimestamp(at, UTC).isoformat()
    item = {"type": "message", "ts": ts, "text": said.text, "seq": said.number + 1}
    return {**item, "from": {"id": f"id of {said.author}", "name": said.author}, **more}


def gap(author: str, first: int, last: int, state: str = "abandoned") -> dict[str, Any]:
    """How a member told a gap in the records of an author."""
    who = {"id": f"id of {author}", "name": "its last name"}
    return {"type": "gap", "state": state, "from": who, "first": first, "last": last}


class Day:
    """Ada said four things, a second each from second 10 on; bob and eve were there from 0 to 100."""

    def __init__(self) -> None:
        self.said = [Said("ada", number, f"ada {number}", 10.0 + number) for number in range(4)]
        self.ada = Life("ada", 0.0, 20.0, said=self.said, objects=[])
        self.bob = Life("bob", 0.0, 100.0, objects=[line(said, said.at) for said in self.said])
        self.eve = Life("eve", 0.0, 100.0, objects=[line(said, said.at) for said in self.said])

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What eve printed."""
        assert self.eve.objects is not None
        return self.eve.objects

    def wrong(self, *claims: Confirmed) -> list[str]:
        """What the oracle says."""
        return judge([self.ada, self.bob, self.eve], claims, PATIENCE)


def test_a_good_day_is_good() -> None:
    day = Day()
    everything = Confirmed(day.said[3], 13.0, 14.0, None)
    assert day.wrong(everything, Confirmed(day.said[3], 13.0, 14.0, 2)) == []


def test_what_arrives_twice_is_found() -> None:
    day = Day()
    day.lines.append(line(day.said[1], 50.0, history=True))
    assert day.wrong() == ["eve printed ada 1 twice"]


def test_what_nobody_said_is_found() -> None:
    day = Day()
    day.lines.append(line(Said("ada", 1, "ada 1 changed", 0.0), 50.0))
    assert day.wrong() == ["eve printed what nobody said: 'ada 1 changed'"]


def test_disorder_is_found() -> None:
    day = Day()
    day.eve.objects = [line(day.said[number], 15.0) for number in (0, 2, 1, 3)]
    assert day.wrong() == [
        "eve printed ada 2 before ada 1, without a gap",
        "eve printed ada 1 after number 2",
    ]


@pytest.mark.parametrize("mark", ["late", "history"])
def test_what_comes_late_or_as_history_may_be_out_of_order_after_a_gap(mark: str) -> None:
    day = Day()
    day.eve.objects = [gap("ada", 2, 2), *(line(day.said[number], 15.0) for number in (0, 2, 3))]
    day.lines.append(line(day.said[1], 16.0, **{mark: True}))
    assert day.wrong() == []


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        ([gap("ada", 2, 2)], False),
        ([gap("ada", 1, 4)], False),
        ([], True),
        ([gap("ada", 1, 1)], True),
        ([gap("bob", 2, 2)], True),
        ([gap("ada", 2, 2, "opened")], True),
    ],
    ids=["told", "told with others", "silent", "another", "of another", "not given up"],
)
def test_a_hole_must_be_told(told: list[dict[str, Any]], wrong: bool) -> None:
    day = Day()
    day.eve.ended = 20.0
    day.eve.objects = [line(day.said[0], 10.0), *told, line(day.said[2], 12.0)]
    assert day.wrong() == (["eve printed ada 2 before ada 1, without a gap"] if wrong else [])


def test_a_gap_that_is_told_after_the_next_message_is_too_late() -> None:
    day = Day()
    day.eve.objects = [*(line(day.said[number], 15.0) for number in (0, 2, 3)), gap("ada", 2, 2)]
    assert day.wrong() == [
        "eve printed ada 2 before ada 1, without a gap",
        "eve printed ada 3 before ada 1, without a gap",
    ]


def test_what_is_missed_in_silence_is_found() -> None:
    day = Day()
    day.lines.pop()
    assert day.wrong() == ["eve missed ada 3 in silence (87 s within reach)"]
    day.lines.append(gap("ada", 4, 4))
    assert day.wrong() == []


def test_what_was_said_before_the_join_is_not_missed() -> None:
    day = Day()
    day.eve.joined, day.eve.objects = 12.5, [line(day.said[3], 13.0)]
    assert day.wrong() == []


@pytest.mark.parametrize(
    "hindered", [[(12.0, 80.0)], [(0.0, 60.0), (50.0, 75.0)], [(20.0, 30.0), (50.0, 90.0)]]
)
@pytest.mark.parametrize("who", ["bob", "eve"])
def test_nobody_must_have_what_was_never_in_reach_for_long(
    who: str, hindered: list[tuple[float, float]]
) -> None:
    day = Day()
    day.lines.pop()
    getattr(day, who).hindered = hindered
    assert day.wrong() == []


def test_a_holder_that_lost_its_network_may_have_dropped_it() -> None:
    day = Day()
    day.lines.pop()
    day.bob.lost = [5.0, 30.0]
    assert day.wrong() == []
    day.bob.lost = [5.0, 70.0]
    assert day.wrong() == ["eve missed ada 3 in silence (57 s within reach)"]


def test_an_author_that_lives_holds_what_it_said() -> None:
    day = Day()
    day.ada.ended, day.bob.ended = 60.0, 12.5
    day.eve.objects, day.bob.objects = day.lines[:3], day.lines[:3]
    assert day.wrong() == ["eve missed ada 3 in silence (47 s within reach)"]
    day.lines.append({**gap("", 4, 4), "from": {"id": "", "name": "ada"}})
    assert day.wrong() == []


def test_a_send_that_nobody_heard_holds_nothing() -> None:
    day = Day()
    day.ada.ended, day.ada.objects = 60.0, None
    day.eve.objects, day.bob.objects = day.lines[:3], day.lines[:3]
    assert day.wrong() == []


@pytest.mark.parametrize(("at", "words"), [(None, "never had it"), (18.0, "had it 4.0 s later")])
def test_a_false_confirmation_of_all_is_found(at: float | None, words: str) -> None:
    day = Day()
    day.lines.pop()
    day.lines.append(gap("ada", 4, 4) if at is None else line(day.said[3], at))
    claim = Confirmed(day.said[3], 13.0, 14.0, None)
    assert day.wrong(claim) == [f"all confirmed ada 3, but eve {words}"]
    day.eve.hindered = [(5.0, 6.0)]
    assert day.wrong(claim) == []
    day.eve.hindered, day.ada.hindered = [], [(13.5, 13.6)]
    assert day.wrong(claim) == []


def test_a_false_confirmation_of_some_is_found() -> None:
    day = Day()
    claim = Confirmed(day.said[3], 13.0, 14.0, 3)
    assert day.wrong(claim) == ["3 confirmed ada 3, but only 2 had it"]
    killed = Life("fay", 0.0, 13.5, killed=True, objects=[])
    assert judge([day.ada, day.bob, day.eve, killed], [claim], PATIENCE) == []
    silent = Life("printer", 0.0, 100.0)
    assert judge([day.ada, day.bob, day.eve, silent], [claim], PATIENCE) == []
