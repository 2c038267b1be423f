"""How much of one origin is held for others, and for how long."""

from __future__ import annotations

from mcast.core.events import PeerId
from mcast.core.history.store import Store
from mcast.core.membership.roster import Roster
from mcast.core.reliability.sender import TransmitWindow
from mcast.settings import Settings
from tests.unit.core.support import make_context, record

AUTHOR = PeerId(b"o" * 16, 1)


def test_an_origin_has_its_share_and_the_oldest_go_first() -> None:
    settings = Settings(history_records=8, history_bytes=10_000, history_seconds=60.0, history_share=0.25)
    context = make_context(settings)
    store = Store(context, TransmitWindow(1, 1), Roster(context, 8, 8))
    other = PeerId(b"p" * 16, 1)
    for sequence in range(1, 5):
        assert store.add(AUTHOR, [record(sequence)], 0.0, 0.0)
    store.add(AUTHOR, [record(4, b"again")], 0.0, 0.0)
    held = record(4).payload
    assert [store.get(AUTHOR, sequence) for sequence in range(1, 5)] == [None, None, held, held]
    for origin in range(10):
        store.add(PeerId(bytes([origin]) * 16, 1), [record(1, b"z")], 10.0, 0.0)
    assert len(store) == 8
    assert store.get(AUTHOR, 3) is None
    store.add(other, [record(1, bytes(3000))], 20.0, 0.0)
    assert store.get(other, 1) is None
    store.expire(65.0)
    assert len(store) == 8
    store.expire(75.0)
    assert len(store) == 0
    assert store.bytes == 0
    store.add(other, [record(1)], 80.0, 0.0)
    store.forget()
    assert len(store) == store.bytes == 0
