"""The clocks that the components share."""

from __future__ import annotations

from mcast import simulation


def test_the_clock_never_goes_back_and_the_wall_clock_fits_the_wire() -> None:
    context = simulation.Lan().join("ada").engine._context
    context.set_wall(10.0, 1000.0)
    assert context.advance(12.0) == 12.0
    assert context.advance(11.0) == 12.0
    assert context.unix_ms(12.0) == 1_002_000
    context.set_wall(12.0, -5.0)
    assert context.unix_ms(12.0) == 0
    context.set_wall(12.0, 1e15)
    assert context.unix_ms(12.0) == 253_402_300_799_999
