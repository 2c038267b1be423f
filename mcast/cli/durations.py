"""Durations as people type them: `300ms`, `10s`, `5m`, `2h`, `1d`; a bare number is seconds."""

from __future__ import annotations

import math
import re

import typer

_UNITS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_FORM = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|m|h|d|)", re.ASCII)


def duration(text: str | float) -> float:
    """Seconds. BadParameter for anything that is not a duration of at least 0."""
    match = _FORM.fullmatch(str(text).strip())
    seconds = float(match[1]) * _UNITS[match[2]] if match else math.inf
    if not math.isfinite(seconds) or seconds > 10 * 365 * 86400:
        raise typer.BadParameter(f"{str(text)!r} is not a duration (300ms, 10s, 5m, 2h)")
    return seconds
