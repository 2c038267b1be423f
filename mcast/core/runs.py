"""A run: one life of an origin, the unit that has a sequence and that people see as a peer."""

from __future__ import annotations

from typing import NamedTuple


class Run(NamedTuple):
    """`origin` is the 16-byte identity, `epoch` names the run."""

    origin: bytes
    epoch: int
