"""Receivers and senders, as far as they need no network."""

from __future__ import annotations

import pytest

from mcast.errors import NoInterface, UsageError
from mcast.multicast import Receiver, Sender
from mcast.net.address import GroupAddress

GROUP = GroupAddress("239.9.9.9", 3000)


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
