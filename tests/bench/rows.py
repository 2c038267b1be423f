"""What is measured, as rows: for the table people read, and for JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Row:
    """One figure of one contender: the median of `samples`, one a round.

    `ratio` is to `reference` in the same run, `target` what the design asks of the ratio, or of the value
    where there is no ratio. `at_most`: smaller is better.
    """

    section: str
    case: str
    contender: str
    samples: tuple[float, ...]
    unit: str
    reference: str = ""
    ratio: float | None = None
    target: float | None = None
    at_most: bool = False
    note: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """The median."""
        return median(self.samples)

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None where there is none."""
        if self.target is None:
            return None
        measured = self.value if self.ratio is None else self.ratio
        return measured <= self.target if self.at_most else measured >= self.target

    def as_json(self) -> dict[str, Any]:
        """All of it, for a machine."""
        return {**asdict(self), "value": self.value, "reached": self.reached}


HEADINGS = ("what", "case", "who", "median", "of reference", "target", "", "note")


def table(rows: Iterable[Row]) -> str:
    """Rows in columns, a blank line between two sections."""
    lines: list[tuple[str, ...]] = []
    section = ""
    for row in rows:
        if section and row.section != section:
            lines.append(("",) * len(HEADINGS))
        lines.append(_cells(row, row.section if row.section != section else ""))
        section = row.section
    everything = [HEADINGS, *lines]
    widths = [max(len(line[column]) for line in everything) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in everything
    )


def _cells(row: Row, section: str) -> tuple[str, ...]:
    ratio = "" if row.ratio is None else f"{row.ratio:.2f} x {row.reference}"
    sign = "<=" if row.at_most else ">="
    unit = "" if row.ratio is None else " x"
    target = "" if row.target is None else f"{sign} {row.target:g}{unit}"
    mark = {None: "", True: "ok", False: "MISSED"}[row.reached]
    return (
        section,
        row.case,
        row.contender,
        f"{number(row.value)} {row.unit}",
        ratio,
        target,
        mark,
        row.note,
    )


def number(value: float) -> str:
    """Three or more significant digits."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
