"""Group addresses: writing and reading are inverse, and any text gives a group or an error of ours."""

from __future__ import annotations

import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcast.errors import InvalidGroup, UsageError
from mcast.net.address import GroupAddress, parse_group

hosts = st.one_of(
    st.ip_addresses(network="224.0.0.0/4"),
    st.ip_addresses(network="ff00::/8"),
)
ports = st.integers(1, 65535)


@given(hosts, ports)
def test_a_group_is_read_back_from_what_it_is_written_as(
    host: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int
) -> None:
    group = GroupAddress(str(host), port)
    assert parse_group(str(group), default_port=1) == group
    assert parse_group(group.host, port, default_port=1) == group
    assert group.version == host.version


@given(st.text(max_size=60) | st.from_regex(r"\[?[0-9a-f:.%]{1,40}\]?:?[0-9]{0,6}", fullmatch=True))
def test_any_text_names_a_group_or_is_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        group = parse_group(text, default_port=3000)
        assert ipaddress.ip_address(group.host).is_multicast
        assert 0 < group.port < 65536


@given(st.ip_addresses().filter(lambda address: not address.is_multicast), ports)
def test_an_address_that_is_no_group_is_refused(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int
) -> None:
    text = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
    with pytest.raises(InvalidGroup, match=r"224\.0\.0\.0-239\.255\.255\.255"):
        parse_group(text, default_port=1)
