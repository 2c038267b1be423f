"""However datagrams are handed over, together or one by one, what comes of them is the same."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mcast import simulation
from mcast.core.engine import Engine

SOURCE = ("10.0.0.9", 1)
BURST = 8


def _world() -> tuple[simulation.Lan, Engine, list[bytes]]:
    """A listener, and what two others, whom it knows, have just said."""
    lan = simulation.Lan(seed=6)
    ada, ben, listener = (lan.join(name) for name in ("ada", "ben", "listener"))
    lan.run(1.0)
    for member in (ada, ben):
        member.send(b"known")
    lan.run(1.0)
    said: list[bytes] = []
    for now in (lan.now, lan.now + 0.1):
        for member in (ada, ben):
            member.engine.send_all([b"%d" % number + b"." * 1000 for number in range(BURST)], now)
            member.engine.tick(now)
            said += [outgoing.data for outgoing in member.engine.datagrams(now)]
    return lan, listener.engine, said


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_together_is_as_one_by_one(data: st.DataObject) -> None:
    lan, together, said = _world()
    _, alone, _ = _world()
    # Mostly in order, as datagrams come, but some are lost, late or twice.
    places = [place for place in range(len(said)) if data.draw(st.integers(0, 9))]
    for place in data.draw(st.lists(st.integers(0, len(said) - 1), max_size=4)):
        places.insert(data.draw(st.integers(0, len(places))), place)
    while places:
        count = data.draw(st.integers(1, len(places)))
        some, places = [said[place] for place in places[:count]], places[count:]
        together.receive_all(some, SOURCE, lan.now)
        for datagram in some:
            alone.receive(datagram, SOURCE, lan.now)
        assert together.events() == alone.events()
        assert together.stats() == alone.stats()
        assert together.deadline() == alone.deadline()
