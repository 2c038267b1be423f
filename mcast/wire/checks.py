"""What must hold between the fields of a value, beyond the bound of each; BAD_VALUE otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import frames as f
from . import limits


def _holds(value: f.Announcement | f.Heartbeat | f.ProbeReply | f.Holding) -> bool:
    return 1 <= value.low <= value.high + 1


def _announces(value: f.Announcement) -> bool:
    # A smaller limit would let one peer cut everybody's datagrams to nothing.
    return (
        _holds(value)
        and value.limit >= limits.DATAGRAM_SAFE
        and len(value.attributes) <= limits.ATTRIBUTES_MAX
    )


CHECKS: dict[type, Callable[[Any], bool]] = {
    f.Announcement: _announces,
    f.Heartbeat: _holds,
    f.ProbeReply: _holds,
    f.Holding: _holds,
    f.Heard: lambda heard: heard.contiguous <= heard.highest,
    f.Vector: lambda vector: vector.page < vector.pages,
}
