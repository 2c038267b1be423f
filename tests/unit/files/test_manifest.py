"""The list of files with which a transfer begins."""

from __future__ import annotations

import msgspec
import pytest

from mcast.errors import UsageError
from mcast.files import manifest as module
from mcast.files.manifest import BadManifest, Entry, decode, encode


def test_a_manifest_is_read_as_it_was_written() -> None:
    entries = [
        Entry(("photos",), True, 0, 1_700_000_000_000, 0o755),
        Entry(("photos", "Grüße 🌍.jpg"), False, 5, 1_700_000_000_001, 0o644),
        Entry(("empty",), False),
    ]
    assert decode(encode(entries), 5) == entries


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ([Entry(("..", "passwd"), False)], "is not allowed"),
        ([Entry(("a/b",), False)], "is not allowed"),
        ([Entry(("a\\b",), False)], "is not allowed"),
        ([Entry(("a\0b",), False)], "is not allowed"),
        ([Entry(("a", "."), False)], "is not allowed"),
        ([Entry(("ä" * 128,), False)], "is not allowed"),
        ([Entry(("a",), False), Entry(("a",), True)], "twice"),
        ([Entry(("a",), False), Entry(("a", "b"), False)], "below a file"),
        ([Entry(("a", "b"), False), Entry(("a",), False)], "below a file"),
        ([Entry(("d",), True, 1)], "directory has a size"),
        ([Entry(("a",), False, 1)], "sizes are wrong"),
        ([Entry(("a" * 200,) * 20, False)], "path is too long"),
    ],
)
def test_what_no_honest_sender_lists_is_refused(entries: list[Entry], why: str) -> None:
    with pytest.raises(BadManifest, match=why):
        decode(msgspec.msgpack.encode(entries), 0)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xc1",
        b"{}",
        msgspec.msgpack.encode([]),
        msgspec.msgpack.encode([[[], False]]),
        msgspec.msgpack.encode([[[""], False]]),
        msgspec.msgpack.encode([[["a"] * 65, False]]),
        msgspec.msgpack.encode([[["a"], False, -1]]),
        msgspec.msgpack.encode([[["a"], False, 1 << 60]]),
        msgspec.msgpack.encode([[["a"], False, 0, 0, 0o4755]]),
        msgspec.msgpack.encode([[["a"], False, 0, 0, 0, "more"]]),
        b"\x91\x92\x91\xa1\xff\xc2",  # not UTF-8
        b"\xdd\xff\xff\xff\xff",  # four billion entries
        b"\x91" * 100_000,
    ],
)
def test_bytes_that_are_no_manifest_are_refused(raw: bytes) -> None:
    with pytest.raises(BadManifest):
        decode(raw, 0)


def test_a_manifest_has_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [Entry((f"file {number}",), False, 1 << 40) for number in range(20)]
    data = encode(entries)
    monkeypatch.setattr(module, "MANIFEST_MAX", len(data) - 1)
    with pytest.raises(UsageError, match="too long together"):
        encode(entries)
    with pytest.raises(BadManifest, match="too long"):
        decode(data, 20 << 40)


def test_contents_have_a_size() -> None:
    with pytest.raises(UsageError, match="too large"):
        encode([Entry((name,), False, 1 << 53) for name in "ab"])


def test_as_many_entries_as_may_be_fit_with_usual_names() -> None:
    names = [
        Entry(("Documents and more", "2026", "Holiday", f"IMG_{n:08}.jpeg"), False) for n in range(50_000)
    ]
    assert len(encode(names)) < module.MANIFEST_MAX
