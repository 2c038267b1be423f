"""What the application is told."""

from __future__ import annotations

import pytest

from mcast.core.events import Message, PeerId, PeerView, Question
from mcast.wire.attributes import Attributes, Service, encode_attributes

BOB = PeerId(bytes.fromhex("0123456789abcdef") * 2, 7)
OFFERS = Attributes({"floor": "2"}, (Service("_ipp._tcp", 631),))


def test_data_that_is_no_text_has_none() -> None:
    assert Message(b"", 1, 1, 0, b"\xff", 0).text is None
    assert Question(b"", 1, 1, b"\xff", 0).text is None


def test_a_message_shows_what_matters() -> None:
    assert repr(Message(b"o", 1, 3, 0, b"hi", 0, "ada")) == "Message(name='ada', text='hi', sequence=3)"
    late = Message(b"o", 1, 3, 0, b"\xff", 0, "ada", late=True)
    assert repr(late) == "Message(name='ada', data=b'\\xff', sequence=3, late=True)"


def test_a_peer_tells_what_it_offers_and_shows_what_matters() -> None:
    peer = PeerView(BOB, "bob", encode_attributes(OFFERS), addresses=("10.9.0.2",), interfaces=("eth0",))
    assert peer.id == "0123456789abcdef"
    assert peer.services == (Service("_ipp._tcp", 631),)
    assert peer.tags == {"floor": "2"}
    assert repr(peer) == (
        "PeerView(name='bob', id='0123456789abcdef', services=(Service(type='_ipp._tcp', port=631),), "
        "tags={'floor': '2'}, addresses=('10.9.0.2',), interfaces=('eth0',))"
    )


def test_what_cannot_be_decoded_offers_nothing() -> None:
    peer = PeerView(BOB, "bob", b"\xff")
    assert (peer.services, peer.tags) == ((), {})


@pytest.mark.parametrize(
    ("text", "called"),
    [
        ("bob", True),
        ("Bob", False),
        ("0123456789abcdef", True),
        ("0123456789ABCDEF01", True),
        ("0123456789abcdef" * 2, True),
        ("0123456789abcdef" * 2 + "0", False),
        ("0123456789abcde", False),
        ("0123456789abcdee", False),
    ],
)
def test_a_peer_is_called_by_its_name_or_its_id(text: str, called: bool) -> None:
    assert PeerView(BOB, "bob").is_called(text) is called


def test_no_name_passes_for_an_id() -> None:
    assert not PeerView(BOB, "f" * 16).is_called("f" * 16)
