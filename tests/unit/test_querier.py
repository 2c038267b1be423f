"""Reading from /proc/net/igmp whether an old querier was heard."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcast.net import igmp_querier as querier

TABLE = """\
Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter
1\tlo        :     1      V3
\t\t\t\t010000E0     1 0:00000000\t\t0
2\teth0      :     3      {eth0}
\t\t\t\t010000E6     1 0:00000000\t\t0
\t\t\t\tFB0000E0     1 0:00000000\t\t0
3\ten:1      :     1      {other}
\t\t\t\t010000E0     1 0:00000000\t\t0
"""


@pytest.mark.parametrize(
    ("eth0", "other", "found"),
    [
        ("V3", "V3", set()),
        ("V2", "V3", {"eth0"}),
        ("V1", "V3", {"eth0"}),
    ],
)
def test_interfaces_in_an_old_mode_have_one(eth0: str, other: str, found: set[str]) -> None:
    assert querier.interfaces_with_querier(TABLE.format(eth0=eth0, other=other)) == found


@pytest.mark.parametrize("table", ["", "\n\n", "Idx\n", "V2\n", "2 V2\n", "x eth0 : 3 V2\n", "\x00\xff V2"])
def test_a_table_of_another_form_has_none(table: str) -> None:
    assert querier.interfaces_with_querier(table) == set()


def test_without_the_table_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(querier, "_IGMP", tmp_path / "none")
    assert querier.heard() == set()
    monkeypatch.setattr(querier, "_IGMP", tmp_path / "igmp")
    (tmp_path / "igmp").write_text(TABLE.format(eth0="V2", other="V3"))
    assert querier.heard() == {"eth0"}
