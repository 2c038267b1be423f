"""Whatever is made up, what a member keeps stays bounded, and the honest peer is heard throughout."""

from __future__ import annotations

from mcast.settings import Settings

from .flood import Flood, tables, weight

PEERS = 100
SMALL = Settings(peers=PEERS, retained_bytes=1 << 20, held_bytes=1 << 19)
# Tables whose bound does not follow from that of the roster; `full` are those that 12,000 inventions fill.
BOUNDS = {
    "admission._repeats._latest": 8192,
    "admission._repeats._before": 8192,
    "authority._flushes": 4096,
    "authority._last": 8 * PEERS,
    "candidates._candidates": 1024,
    "drops": 64,
    "keys._asked": 256,
    "keys._sent": 256,
    "keys._deferrals": 256,
    "liveness._doubts": 1024,
    "liveness._nonces": 1024,
    "reach._passing": 1024,
    "retention._kept": 10_000,
    "retention.held._ranges": 10_000,
    "retention._mine": 10_000,
    "retention._sizes": 10_000,
    "tombstones._runs": 4096,
}
FULL = ["authority._last", "authority._keys", "keys._sent", "roster._peers", "reception._shelves._inboxes"]
OTHERS = 5 * PEERS


def test_a_flood_of_inventions_is_bounded_and_costs_an_honest_peer_nothing() -> None:
    """Every table keeps to its bound, a new one too; the roster, the keys, the inboxes are full."""
    flood = Flood(1, SMALL)
    flood.run(90.0, 100.0)
    flood.check()
    flood.forget()
    state = flood.ada.engine._state
    sizes = tables(state)
    assert {name: size for name, size in sizes.items() if size > BOUNDS.get(name, OTHERS)} == {}
    bounds = {"authority._keys": 2 * PEERS, **BOUNDS}
    assert [name for name in FULL if sizes[name] < bounds.get(name, PEERS)] == []
    assert weight(state) < 12e6
    assert flood.said >= 4
