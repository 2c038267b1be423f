"""Notices: records for programs, which are no messages."""

from __future__ import annotations

import pytest

from mcast import simulation
from mcast.core.events import Notice
from mcast.errors import MessageTooLarge
from mcast.wire.limits import MESSAGE_MAX


def notices(member: simulation.Member) -> list[Notice]:
    return [event for event in member.events() if isinstance(event, Notice)]


def test_a_notice_is_no_message() -> None:
    lan = simulation.Lan(3, loss=0.2)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(2.0)
    ada.send("before")
    ada.engine.send_notice(b"for programs", lan.now)
    ada.send("after")
    lan.run(5.0)
    assert [one.text for one in bob.messages()] == ["before", "after"]
    (notice,) = notices(bob)
    assert (notice.data, notice.name, notice.history) == (b"for programs", "ada", False)
    assert notice.peer_id == ada.engine.peer_id
    newcomer = lan.join("newcomer", history=True)
    lan.run(5.0)
    assert [(one.data, one.history) for one in notices(newcomer)] == [(b"for programs", True)]


def test_a_notice_is_as_large_as_a_message() -> None:
    lan = simulation.Lan(3)
    ada = lan.join("ada")
    with pytest.raises(MessageTooLarge):
        ada.engine.send_notice(bytes(MESSAGE_MAX + 1), lan.now)
