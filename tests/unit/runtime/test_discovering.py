"""Browsers show the peers that match, and what becomes of them."""

from __future__ import annotations

import pytest

from mcast import aio
from mcast.core.events import PeerId
from mcast.errors import UsageError
from mcast.events import Overflow, PeerJoined, PeerLeft, PeerUpdated, PeerView
from mcast.runtime.discovering import make_filter
from mcast.wire.attributes import Attributes, Service, encode_attributes

BOB = PeerId(b"b" * 16, 1)


def peer(name: str = "bob", *services: str, **tags: str) -> PeerView:
    offers = Attributes(tags, tuple(Service(service, 80) for service in services), name)
    return PeerView(BOB, name, encode_attributes(offers))


@pytest.mark.parametrize(
    ("services", "tags", "match", "found"),
    [
        ([], {}, "*", True),
        (["_http.*"], {"floor": "*"}, "b?b", True),
        (["_http.*", "_ssh._tcp"], {}, "*", True),
        (["_ipp._tcp"], {}, "*", False),
        (["_http"], {}, "*", False),
        ([], {"floor": "3"}, "*", False),
        ([], {"room": "*"}, "*", False),
        ([], {}, "Bob", False),
    ],
)
def test_all_patterns_must_match(services: list[str], tags: dict[str, str], match: str, found: bool) -> None:
    bob = peer("bob", "_http._tcp", "_ssh._tcp", floor="2")
    assert make_filter(services, tags, match).matches(bob) is found


def test_a_peer_that_begins_or_ends_to_match_joins_or_leaves() -> None:
    browser = aio.browse(services=["_http._tcp"])
    none, web, busy = peer(), peer("bob", "_http._tcp"), peer("bob", "_http._tcp", load="high")
    assert browser.change(PeerJoined(none)) is None
    assert browser.change(PeerLeft(none, "expired")) is None
    assert browser.change(PeerUpdated(web)) == PeerJoined(web)
    assert browser.change(PeerUpdated(busy)) == PeerUpdated(busy)
    assert browser.change(PeerUpdated(none)) == PeerLeft(none, "changed")
    assert browser.change(PeerJoined(web)) == PeerJoined(web)
    assert browser.change(PeerLeft(none, "goodbye")) == PeerLeft(none, "goodbye")
    assert browser.change(Overflow(1, 1)) is None


def test_they_say_what_they_are() -> None:
    assert repr(aio.browse("230.0.0.1:4000")) == "Browser(Group('230.0.0.1:4000', name='', not entered))"
    announcer = aio.announce("230.0.0.1:4000", name="web", services=["_http._tcp:80"])
    assert repr(announcer) == "Announcer(Group('230.0.0.1:4000', name='web', not entered))"


def test_a_bare_string_is_no_list() -> None:
    with pytest.raises(UsageError, match="services must be a list"):
        aio.browse(services="_http._tcp")
