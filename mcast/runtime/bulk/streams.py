"""Where the bytes of a transfer come from and go to: what whoever builds on bulk transfers provides.

A transfer is a manifest, which says what is in it, and a content: so many bytes. Both are opaque here.
Offsets below are offsets in the content: 0 is the byte after the manifest.

All methods of a source or sink are called in one worker thread of the transfer, one at a time, never in the
event loop. They may block. What they raise ends the transfer (see Failure); it reaches no other transfer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from mcast.wire.bulk import MANIFEST_MAX as MANIFEST_MAX


class Source(Protocol):
    """What is offered. It must not change while it is offered: changed bytes are noticed, and not sent."""

    @property
    def manifest(self) -> bytes:
        """Describes the content, at most MANIFEST_MAX bytes. Receivers get it first, verified."""
        ...

    @property
    def size(self) -> int:
        """Bytes of the content; may be 0."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes of the content from `offset` on. Called for all of it once, in order, to make the hash
        tree, then in any order. Raises OSError; fewer bytes count as a content that has changed.
        """
        ...

    def close(self) -> None:
        """Nothing is read any more. Called once, also if it cannot be offered."""
        ...


class Partial(Protocol):
    """A source that can change in part."""

    lost: list[tuple[int, int]]
    """The ranges [start, stop) of the content that it has no more, a new one at the end."""

    def spoil(self, start: int, stop: int) -> None:
        """Some of these bytes are not what they were: what belongs to them is lost. McastError if nothing is
        left."""
        ...


class Sink(Protocol):
    """Where one accepted transfer goes. The calls come in this order:

    begin() once; read() and write() in any order; then finish() once, or abort() once; after finish() still
    read(), for those whom we serve, until close().
    """

    def begin(self, manifest: bytes, size: int, root: bytes) -> Iterable[tuple[int, int]]:
        """The manifest is here and verified; the content has `size` bytes. `root` (32 bytes) names exactly
        this content: a good name for the temporary file or folder, so that a later run finds it.

        Returns the ranges [start, stop) of the content that may be here already, from a run that was
        interrupted, or nothing. They need not be right: each block is read and verified before it counts, and
        fetched if it is wrong. So no journal is needed; whatever is on disk may be returned.
        """
        ...

    def write(self, offset: int, data: bytes) -> None:
        """Verified bytes. Each byte is written at least once, in any order; the same bytes may come twice."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Read back what was written, or what begin() returned; after finish() from its final place.

        What has changed since is noticed by its hash, and not sent to others.
        """
        ...

    def finish(self) -> None:
        """All bytes are written: make them visible under their names. If it raises, the receiver
        reports failure, not success.
        """
        ...

    def abort(self) -> None:
        """The transfer ended before it was whole. What is there may be kept for another run."""
        ...

    def close(self) -> None:
        """Nothing is read any more. Called once after finish(), not after abort()."""
        ...


@runtime_checkable
class Divisible(Protocol):
    """A sink that can do with a part."""

    def finish_without(self, missing: Sequence[tuple[int, int]]) -> str:
        """The ranges [start, stop) of the content will not come: a part of it has changed at its source.

        Called in place of finish(). Makes visible what is complete, and returns what is not, in words.
        """
        ...


class BytesSource:
    """A source in memory."""

    def __init__(self, content: bytes, manifest: bytes = b"") -> None:
        self.manifest, self._content = manifest, content

    @property
    def size(self) -> int:
        """Bytes of the content."""
        return len(self._content)

    def read(self, offset: int, size: int) -> bytes:
        """A part of it."""
        return self._content[offset : offset + size]

    def close(self) -> None:
        """Nothing to close."""


class BytesSink:
    """A sink in memory. `manifest` and `content` are complete once `finished`."""

    def __init__(self) -> None:
        self.manifest = b""
        self.content = bytearray()
        self.finished = self.aborted = False

    def begin(self, manifest: bytes, size: int, root: bytes) -> Iterable[tuple[int, int]]:
        """Make room."""
        self.manifest, self.content = manifest, bytearray(size)
        return ()

    def write(self, offset: int, data: bytes) -> None:
        """Keep a part."""
        self.content[offset : offset + len(data)] = data

    def read(self, offset: int, size: int) -> bytes:
        """A part of it."""
        return bytes(self.content[offset : offset + size])

    def finish(self) -> None:
        """It is complete."""
        self.finished = True

    def abort(self) -> None:
        """It will not be complete."""
        self.aborted = True

    def close(self) -> None:
        """Nothing to close."""
