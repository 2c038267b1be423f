"""Building blocks of the codec: a cursor over a payload, and payloads that are one fixed struct."""

from __future__ import annotations

from struct import Struct
from typing import Any, Generic, TypeVar

from . import limits
from .checks import CHECKS
from .reasons import DropReason, Malformed

T = TypeVar("T")

# Fields with a bound of their own; every other one may take any value its size holds.
BOUNDS = {
    "incarnation": limits.NUMBER_MAX,
    "counter": limits.NUMBER_MAX,
    "sequence": limits.NUMBER_MAX,
    "low": limits.NUMBER_MAX,
    "high": limits.NUMBER_MAX,
    "contiguous": limits.NUMBER_MAX,
    "highest": limits.NUMBER_MAX,
    "to_incarnation": limits.NUMBER_MAX,
    "timestamp": limits.TIMESTAMP_MAX,
    "issued": limits.TIMESTAMP_MAX,
    "echo": limits.TIMESTAMP_MAX,
}


class Reader:
    """Takes a payload apart from front to back; every method raises Malformed(TRUNCATED) past its end."""

    __slots__ = ("at", "payload")

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.at = 0

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        start, self.at = self.at, self.at + size
        if self.at > len(self.payload):
            raise Malformed(DropReason.TRUNCATED)
        return self.payload[start : self.at]

    def unpack(self, layout: Struct) -> tuple[Any, ...]:
        """The next `layout.size` bytes as values."""
        return layout.unpack(self.take(layout.size))

    def end(self) -> None:
        """Raises Malformed(TRAILING) unless everything was taken."""
        if self.at != len(self.payload):
            raise Malformed(DropReason.TRAILING)


class Layout(Generic[T]):
    """A fixed struct: the fields of `cls` named in `fields`, packed as `format` says, numbers big-endian."""

    def __init__(self, cls: type[T], fmt: str, fields: str) -> None:
        self.cls = cls
        self.struct = Struct(">" + fmt)
        self.names = fields.split()
        self._check = CHECKS.get(cls)
        self._bounds = [(at, BOUNDS[name]) for at, name in enumerate(self.names) if name in BOUNDS]

    def encode(self, value: T) -> bytes:
        """The bytes of the fields of `value`."""
        return self.struct.pack(*[getattr(value, name) for name in self.names])

    def read(self, reader: Reader) -> tuple[Any, ...]:
        """The next fields. Raises Malformed(BAD_VALUE) when one is past its bound."""
        values = reader.unpack(self.struct)
        for at, bound in self._bounds:
            if values[at] > bound:
                raise Malformed(DropReason.BAD_VALUE)
        return values

    def build(self, *values: Any) -> T:
        """The value of all its fields. Raises Malformed(BAD_VALUE) when they contradict each other."""
        value = self.cls(*values)
        if self._check is not None and not self._check(value):
            raise Malformed(DropReason.BAD_VALUE)
        return value
