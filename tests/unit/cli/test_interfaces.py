"""The table of `mcast interfaces` fits where it is shown."""

from __future__ import annotations

from mcast.cli.interfaces import Row, table

ROWS: list[Row] = [
    ("name", "why", "addresses"),
    ("eth0", "default route", "10.0.0.1 fe80::1 fe80::2"),
    ("以太网", "down", "-"),
]


def test_columns_are_aligned_whatever_the_script() -> None:
    assert list(table(ROWS, None)) == [
        "name    why            addresses",
        "eth0    default route  10.0.0.1 fe80::1 fe80::2",
        "以太网  down           -",
    ]


def test_addresses_go_on_under_each_other_where_the_terminal_is_narrow() -> None:
    assert list(table(ROWS, 41)) == [
        "name    why            addresses",
        "eth0    default route  10.0.0.1 fe80::1",
        "                       fe80::2",
        "以太网  down           -",
    ]
    assert len(list(table(ROWS, 5))) == 5
