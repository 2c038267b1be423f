"""Group addresses: which texts name one, and what is said of those that do not."""

from __future__ import annotations

import pytest

from mcast.errors import InvalidGroup, InvalidPort, UsageError
from mcast.net.address import GroupAddress, parse_group, parse_port


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("230.0.0.1", "230.0.0.1", 3000),
        (" 230.0.0.1 ", "230.0.0.1", 3000),
        ("224.0.0.0", "224.0.0.0", 3000),
        ("239.255.255.255:65535", "239.255.255.255", 65535),
        ("ff12::6d63", "ff12::6d63", 3000),
        ("FF12:0:0::6D63", "ff12::6d63", 3000),
        ("[ff12::6d63]", "ff12::6d63", 3000),
        ("[ff12::6d63]:1", "ff12::6d63", 1),
        ("ff00::", "ff00::", 3000),
    ],
)
def test_what_names_a_group(text: str, host: str, port: int) -> None:
    assert parse_group(text, default_port=3000) == GroupAddress(host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "10.0.0.1",
        "223.255.255.255",
        "240.0.0.0",
        "230.0.0",
        "230.0.0.01",
        "230.0.0.1.1",
        "fe80::1",
        "::1",
        "::ffff:230.0.0.1",
        "ff12::6d63%eth0",
        "[ff12::6d63",
        "[ff12::6d63]3000",
        "[]:1",
        "localhost:3000",
    ],
)
def test_what_names_none(text: str) -> None:
    with pytest.raises(InvalidGroup) as caught:
        parse_group(text, default_port=3000)
    assert "224.0.0.0-239.255.255.255 or ff00::/8" in caught.value.remedy or caught.value.remedy.startswith(
        ("write [ADDRESS]:PORT", "leave out %eth0")
    )


@pytest.mark.parametrize("port", ["0", "65536", "-1", "x", "", "1.5", "\uff13\uff10", "\u0663"])
def test_what_is_no_port(port: str) -> None:
    with pytest.raises(InvalidPort, match="1 to 65535"):
        parse_port(port)
    if port:
        with pytest.raises(InvalidPort):
            parse_group(f"230.0.0.1:{port}", default_port=3000)


def test_a_port_given_twice_must_be_the_same() -> None:
    assert parse_group("230.0.0.1:5", 5, default_port=3000).port == 5
    assert parse_group("230.0.0.1", 5, default_port=3000).port == 5
    with pytest.raises(UsageError, match="port 6, --port says 5"):
        parse_group("230.0.0.1:6", 5, default_port=3000)


@pytest.mark.parametrize(
    ("host", "needed"),
    [
        ("231.255.255.255", False),
        ("232.0.0.0", True),
        ("232.255.255.255", True),
        ("233.0.0.0", False),
        ("ff32::8000:1", True),
        ("ff3e::1", True),
        ("ff12::1", False),
        ("ff05::1", False),
    ],
)
def test_source_specific_groups_need_a_source(host: str, needed: bool) -> None:
    assert GroupAddress(host, 1).needs_source is needed
