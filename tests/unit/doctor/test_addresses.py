"""Which addresses are on our wire, and which lie behind a router."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcast.doctor import addresses

ROUTES = """Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
eth0 00000000 FEFF090A 0003 0 0 0 00000000 0 0 0
eth0 0000090A 00000000 0001 0 0 0 0000FFFF 0 0 0
"""


def test_near_is_what_a_network_of_ours_has() -> None:
    assert addresses.is_near(["10.9.0.0/16", "fe80::/64"], "10.9.3.4")
    assert not addresses.is_near(["10.9.0.0/16"], "10.8.0.1")
    assert not addresses.is_near([], "10.8.0.1")


def test_the_longest_prefix_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "route"
    monkeypatch.setattr(addresses, "ROUTES", table)
    assert addresses.through_gateway("10.9.0.2") is None
    table.write_text(ROUTES, encoding="ascii")
    assert addresses.through_gateway("10.9.0.2") is False
    assert addresses.through_gateway("192.168.55.1") is True
    table.write_text(ROUTES.splitlines()[0] + "\n", encoding="ascii")
    assert addresses.through_gateway("10.9.0.2") is None
