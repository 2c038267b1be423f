"""The durations that options take."""

from __future__ import annotations

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from mcast.cli.options import Seconds, duration, duration_text, whole_number


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("300ms", 0.3),
        ("10s", 10.0),
        ("5m", 300.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
        ("7", 7.0),
        (".5", 0.5),
        ("1.5 s", 1.5),
        (" 0 ", 0.0),
    ],
)
def test_what_people_type(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "s", "-1", "1e3", "nan", "inf", "10 years", "1s2", "٣", "99999999d", "1..5"]
)
def test_what_is_no_duration_is_refused_by_name(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a duration"):
        duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.3, "300ms"),
        (10.0, "10s"),
        (1.5, "1.5s"),
        (90.0, "90s"),
        (600.0, "10m"),
        (7200.0, "2h"),
        (0.0, "0s"),
    ],
)
def test_a_duration_is_shown_as_people_type_it(seconds: float, text: str) -> None:
    assert duration_text(seconds) == str(Seconds(seconds)) == text
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "bounds"),
    [("x", "from 0 to 9"), ("10", "from 0 to 9"), ("-1", "from 0 to 9"), ("0", "of at least 1")],
)
def test_a_whole_number_is_refused_with_its_bounds(text: str, bounds: str) -> None:
    parse = whole_number(1) if "least" in bounds else whole_number(0, 9)
    with pytest.raises(typer.BadParameter, match=f"{text!r} is not a whole number {bounds}"):
        parse(text)
    assert parse("9") == 9


@given(st.text())
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    try:
        seconds = duration(text)
    except typer.BadParameter:
        return
    assert 0.0 <= seconds <= 10 * 365 * 86400
