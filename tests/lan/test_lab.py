"""The lab does what it says: each fault is seen by plain sockets, and nothing stays behind."""

from __future__ import annotations

from tests import lab


def test_hosts_have_addresses_of_both_families_at_once(lan: lab.MakeLan) -> None:
    h1, h2, _ = lan().hosts
    assert (h1.address(), h2.address()) == ("10.9.0.1", "10.9.0.2")
    assert h1.address(6) == h1.link_local()
    assert h1.interfaces() == ["lo", "eth0"]
