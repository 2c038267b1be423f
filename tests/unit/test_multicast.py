"""What the socket layer works out without a network: errors in words, bytes for the kernel, control data."""

from __future__ import annotations

import errno
import socket
import struct

import pytest

from mcast.errors import NoInterface, PermissionRefused, PortTaken, SocketError, UsageError
from mcast.multicast import Receiver, Sender
from mcast.net import socket_options as sockopt
from mcast.net.address import GroupAddress
from mcast.net.errnos import _MEANINGS, explain, explained

GROUP = GroupAddress("239.9.9.9", 3000)


@pytest.mark.parametrize("number", sorted(_MEANINGS))
def test_every_known_error_says_what_it_means_and_what_to_do(number: int) -> None:
    error = explain(OSError(number, "raw words"), "cannot try")
    assert error.message.startswith("cannot try: ")
    assert error.remedy
    assert "raw words" not in str(error)
    assert error.errno == number
    assert isinstance(error, OSError)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EADDRINUSE, PortTaken),
        (errno.EACCES, PermissionRefused),
        (errno.EPERM, PermissionRefused),
        (errno.ENODEV, SocketError),
    ],
)
def test_errors_that_a_program_acts_on_have_a_kind(number: int, kind: type[SocketError]) -> None:
    assert type(explain(OSError(number, ""), "x")) is kind


def test_an_unknown_error_keeps_its_own_words() -> None:
    assert str(explain(OSError(errno.EXDEV, "strange"), "cannot try")) == "cannot try: strange"
    assert str(explain(OSError("no number"), "cannot try")) == "cannot try: no number"


def test_explained_translates_once() -> None:
    with pytest.raises(PortTaken, match="inner") as caught, explained("outer"), explained("inner"):
        raise OSError(errno.EADDRINUSE, "")
    assert "outer" not in str(caught.value)
    with pytest.raises(ValueError, match="not ours"), explained("x"):
        raise ValueError("not ours")


@pytest.mark.parametrize(
    ("host", "scope"),
    [
        ("fe80::1", 7),
        ("2001:db8::1", 0),
        ("ff02::1", 7),
        ("ff12::1", 7),
        ("ff11::1", 7),
        ("ff32::1", 7),
        ("ff05::1", 0),
        ("ff18::1", 0),
        ("ff0e::1", 0),
    ],
)
def test_link_scoped_addresses_are_bound_with_their_interface(host: str, scope: int) -> None:
    assert sockopt.scope(host, 7) == scope


def pktinfo(interface: int) -> tuple[int, int, bytes]:
    return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, bytes(16) + struct.pack("@I", interface)


def test_the_ttl_is_found_beside_other_control_messages() -> None:
    hops = (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT, struct.pack("@i", 42))
    assert sockopt.told([pktinfo(3), hops])[0] == 42
    assert sockopt.told([hops, pktinfo(3)])[0] == 42
    assert sockopt.told([(socket.IPPROTO_IP, socket.IP_TTL, b"\x07")])[0] == 7, "BSD: one byte"
    assert sockopt.told([pktinfo(3)])[0] is None
    assert sockopt.told([])[0] is None
    assert sockopt.told([(0, 0, b"")])[0] is None


def test_a_datagram_of_another_interface_is_known_by_its_control_message() -> None:
    assert sockopt.came_in_on([pktinfo(3)], 3)
    assert not sockopt.came_in_on([pktinfo(3)], 4)
    assert sockopt.came_in_on([], 4), "not told"
    assert sockopt.came_in_on([(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, b"short")], 4)


def test_a_socket_address_for_the_kernel_has_128_bytes() -> None:
    v4, v6 = sockopt._sockaddr("10.0.0.1"), sockopt._sockaddr("fe80::1")
    assert (len(v4), len(v6)) == (128, 128)
    assert v4[4:8] == socket.inet_aton("10.0.0.1")
    assert v6[8:24] == socket.inet_pton(socket.AF_INET6, "fe80::1")


def test_a_source_keeps_the_number_of_an_interface_that_has_gone() -> None:
    assert sockopt.plain_source(("10.0.0.1", 5)) == ("10.0.0.1", 5)
    assert sockopt.plain_source(("2001:db8::1", 5, 0, 0)) == ("2001:db8::1", 5)
    assert sockopt.plain_source(("fe80::1", 5, 0, 1)) == ("fe80::1%lo", 5)
    assert sockopt.plain_source(("fe80::1%x", 5, 0, 1)) == ("fe80::1%x", 5)
    assert sockopt.plain_source(("fe80::1", 5, 0, 2**31 - 1)) == ("fe80::1", 5)


def test_a_receiver_that_has_joined_nothing() -> None:
    with Receiver(GROUP) as receiver:
        assert (receiver.joined, receiver.granted_buffer, receiver.kernel_drops) == ((), 0, 0)
        assert receiver.drain(1) == []
        receiver.leave(1)
        with pytest.raises(NoInterface, match="join an interface first"):
            receiver.receive(0.0)


@pytest.mark.parametrize("ttl", [-1, 256])
def test_a_ttl_that_cannot_be(ttl: int) -> None:
    with pytest.raises(UsageError, match="0 to 255"):
        Sender(1, "127.0.0.1", ttl=ttl)


def test_source_specific_groups_want_a_source_of_their_version() -> None:
    receiver = Receiver(GroupAddress("232.9.9.9", 3000))
    with pytest.raises(UsageError, match="source-specific"):
        receiver.join(1)
    assert receiver.joined == ()
