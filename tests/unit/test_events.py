"""Events: immutable, all of them in the union, all of them public."""

from __future__ import annotations

import types
import typing

import msgspec
import pytest

import mcast
from mcast import events
from mcast.core import events as core_events
from mcast.events import Message, Overflow

KINDS = [kind for kind in typing.get_args(events.Event) if isinstance(kind, type)]


def test_everything_that_can_happen_is_in_the_union() -> None:
    assert isinstance(events.Event, types.UnionType)
    named = {getattr(events, name) for name in events.__all__} - {
        events.Event,
        events.PeerView,
        events.RoomView,
    }
    assert set(KINDS) == named
    # The group turns notices into other events.
    assert set(typing.get_args(core_events.Event)) - {core_events.Notice} <= set(KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_events_are_public_documented_and_immutable(kind: type[msgspec.Struct]) -> None:
    assert getattr(mcast, kind.__name__) is kind
    assert kind.__doc__
    assert kind.__struct_config__.frozen


def test_an_event_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Overflow(1, 1).dropped = 2  # type: ignore[misc] # wrong on purpose


@pytest.mark.parametrize(("data", "text"), [(b"", ""), ("grüße".encode(), "grüße"), (b"\xff", None)])
def test_a_message_has_text_where_it_is_utf_8(data: bytes, text: str | None) -> None:
    message = Message(bytes(16), 7, 1, 0, data, 0)
    assert message.text == text
    assert message.peer_id == (bytes(16), 7)
