"""Fixed parts of payloads: a cursor, and structs whose fields have bounds and must agree with each other."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any, Generic, TypeVar

from . import limits
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
    "first": limits.NUMBER_MAX,
    "to_incarnation": limits.NUMBER_MAX,
    "number": limits.NUMBER_MAX,
    "timestamp": limits.TIMESTAMP_MAX,
    "issued": limits.TIMESTAMP_MAX,
    "echo": limits.TIMESTAMP_MAX,
}


class Reader:
    """Reads a payload from front to back; every method raises Malformed(TRUNCATED) past its end."""

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
    """A fixed struct: the fields of `cls` named in `fields`, packed as `fmt` says, numbers big-endian.

    `agrees` tells whether the fields of a value fit together; without it any values do.
    """

    def __init__(
        self, cls: type[T], fmt: str, fields: str, agrees: Callable[[T], bool] | None = None
    ) -> None:
        self.cls = cls
        self.struct = Struct(">" + fmt)
        self.names = fields.split()
        self._agrees = agrees
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
        if self._agrees is not None and not self._agrees(value):
            raise Malformed(DropReason.BAD_VALUE)
        return value


def has_range(value: Any) -> bool:
    """Whether `value.low`..`value.high` is a range of sequences; low = high + 1 stands for an empty one."""
    return bool(1 <= value.low <= value.high + 1)
