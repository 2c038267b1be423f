"""Whatever is made up, what a member keeps stays bounded, and the honest peer is heard throughout."""

from __future__ import annotations

from mcast.core.timers import SLACK
from mcast.settings import Settings

from .flood import Flood, tables, weight

PEERS = 100
SMALL = Settings(peers=PEERS, history_bytes=1 << 20, held_bytes=1 << 19)
NETWORKS = 2 * PEERS + SMALL.history_records  # peers whose networks are remembered
# Tables whose bound does not follow from that of the roster; `full` are those that 12,000 inventions fill.
BOUNDS = {
    "_context.drops": 64,
    "_detector._candidates": 1024,
    "_detector._departed": 4096,
    "_detector._nonces": 1024,
    "_detector.freshness._doubts": 1024,
    "_detector.freshness.timers._heap": 2 * 1024 + SLACK,
    "_detector.freshness.timers._when": 1024,
    "_ingress._before": 8192,
    "_ingress._latest": 8192,
    "_keys._asked": 256,
    "_keys._deferrals": 256,
    "_keys._sent": 256,
    "_networks._origins": NETWORKS,
    "_networks._sessions": NETWORKS,
    "_networks.masks": NETWORKS,
    "_store._of": 10_000,
    "_store._records": 10_000,
    "_store._sizes": 10_000,
    "_store.held._ranges": 10_000,
    "_verifier._flushes": 4096,
    "_verifier._last": 8 * PEERS,
}
FULL = ["_verifier._last", "_verifier._keys", "_keys._sent", "_roster._peers", "_nacks.windows._windows"]
OTHERS = 5 * PEERS


def test_a_flood_of_inventions_is_bounded_and_costs_an_honest_peer_nothing() -> None:
    """Every table keeps to its bound, a new one too; the roster, the keys, the windows are full."""
    flood = Flood(1, SMALL)
    flood.run(90.0, 100.0)
    flood.check()
    flood.forget()
    engine = flood.ada.engine
    sizes = tables(engine)
    assert {name: size for name, size in sizes.items() if size > BOUNDS.get(name, OTHERS)} == {}
    bounds = {"_verifier._keys": 2 * PEERS, **BOUNDS}
    assert [name for name in FULL if sizes[name] < bounds.get(name, PEERS)] == []
    assert weight(engine) < 12e6
    assert flood.said >= 4
