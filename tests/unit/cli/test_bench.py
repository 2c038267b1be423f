"""What mcast bench counts."""

from __future__ import annotations

import pytest

from mcast.cli import bench

COUNTS = bench.Counts(seconds=2.0, messages=5000, bytes=5_120_000, repaired=7, lost=1, cpu=0.5)


def test_a_line_stands_under_its_headings() -> None:
    line = COUNTS.line(3.0, 0.0012)
    assert line.split() == ["3.0-5.0", "2,500", "20.48", "1.200", "7", "1", "25.0"]
    assert len(line) == len(bench.HEADING)


def test_the_fields_are_those_of_the_line() -> None:
    fields = COUNTS.fields(3.0, 0.0012)
    assert (fields["messages_per_second"], fields["bits_per_second"]) == (2500.0, 20_480_000.0)
    assert (fields["start"], fields["jitter_ms"], fields["cpu_percent"]) == (3.0, 1.2, 25.0)


def test_a_stretch_is_what_came_since() -> None:
    before = bench.Counts(1.5, 4000, 4_096_000, 7, 0, 0.4)
    came = COUNTS - before
    assert (came.seconds, came.messages, came.bytes, came.repaired, came.lost) == (0.5, 1000, 1_024_000, 0, 1)
    assert came.cpu == pytest.approx(0.1)


def test_no_time_is_no_rate() -> None:
    assert bench.Counts(messages=3).per_second(3) == 0.0


def test_jitter_is_that_of_rfc_3550_and_knows_no_common_clock() -> None:
    jitter = bench.Jitter()
    for sent, arrived in ((0.0, 100.0), (1.0, 101.0), (2.0, 102.016), (3.0, 103.016)):
        jitter.add(sent, arrived)
    assert jitter.seconds == pytest.approx(0.001 * 15 / 16)


def test_only_messages_of_a_bench_are_counted() -> None:
    packed = bench.HEAD.pack(bench.DATA, 7, 1.5)
    assert bench.parse(packed + b"fill") == (bench.DATA, 7, 1.5)
    assert bench.parse(packed[:-1]) is None
    assert bench.parse(b"x" + packed[1:]) is None
