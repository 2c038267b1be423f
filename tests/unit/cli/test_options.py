"""The durations that options take."""

from __future__ import annotations

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from mcast.cli.options import duration


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


@given(st.text())
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    try:
        seconds = duration(text)
    except typer.BadParameter:
        return
    assert 0.0 <= seconds <= 10 * 365 * 86400
