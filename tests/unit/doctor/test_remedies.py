"""The commands that are printed fit the system and the firewall."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mcast.doctor import remedies
from mcast.doctor.evidence import Evidence, Link, Port

SYSTEMS = {"linux": "nftables", "darwin": "macos", "win32": "windows", "freebsd14": ""}


def on(system: str, firewall: str, group: str = "230.0.0.1") -> Evidence:
    links = (Link("eth0", True),)
    return Evidence(system=system, firewall=firewall, group=group, port=Port(28003), links=links)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize(
    "remedy",
    [
        remedies.allow_incoming,
        remedies.allow_outgoing,
        remedies.allow_igmp,
        remedies.add_route,
        remedies.who_holds,
        remedies.loose_reverse_path,
        lambda evidence: remedies.bring_up(evidence, "eth0"),
    ],
)
def test_every_system_gets_a_command(system: str, remedy: Callable[[Evidence], tuple[str, ...]]) -> None:
    assert all(remedy(on(system, SYSTEMS[system])))
    assert remedy(on(system, SYSTEMS[system]))


@pytest.mark.parametrize(
    ("firewall", "expected"),
    [
        ("ufw", "sudo ufw allow in proto udp to 230.0.0.1 port 28003"),
        ("firewalld", "sudo firewall-cmd --permanent --add-port=28003/udp"),
        ("nftables", "sudo nft list ruleset"),
    ],
)
def test_each_firewall_has_its_own_words(firewall: str, expected: str) -> None:
    assert remedies.allow_incoming(on("linux", firewall))[0] == expected


def test_an_ipv6_group_gets_an_ipv6_rule() -> None:
    assert "ip6 daddr ff12::6d63" in remedies.allow_outgoing(on("linux", "nftables", "ff12::6d63"))[1]


def test_some_systems_have_no_command_for_buffers_and_mtu() -> None:
    assert remedies.larger_buffer(on("linux", ""))[0].endswith("rmem_max=8388608")
    assert remedies.larger_buffer(on("win32", "")) == ()
    assert remedies.set_mtu(on("darwin", ""), "en0") == ("sudo networksetup -setMTU en0 1500",)
    assert remedies.set_mtu(on("freebsd14", ""), "em0") == ()
