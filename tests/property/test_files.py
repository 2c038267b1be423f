"""Any bytes as a manifest, any names, any order of writes."""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mcast.files.incoming import Incoming
from mcast.files.manifest import BadManifest, Entry, decode, encode
from mcast.files.names import NAME_MAX, is_safe, local_name, place
from mcast.net.escaping import escape

ROOT = bytes(32)
NAMES = st.text(min_size=1, max_size=40) | st.sampled_from(
    ["..", ".", "a", "A", "CON", "é", "e\u0301", "\u0430"]
)
SAFE = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=90).filter(is_safe)


@given(st.binary(max_size=300), st.integers(0, 1000))
def test_any_bytes_are_read_or_refused(data: bytes, contents: int) -> None:
    try:
        entries = decode(data, contents)
    except BadManifest:
        return
    assert decode(encode(entries), contents) == entries


@given(
    st.lists(
        st.tuples(st.lists(NAMES, min_size=1, max_size=4), st.booleans(), st.integers(-1, 9)), max_size=6
    )
)
def test_a_list_that_is_accepted_stays_below_the_directory(listed: list[tuple[list[str], bool, int]]) -> None:
    data = msgspec.msgpack.encode(
        [[path, directory, size] for path, directory, size in listed if _utf8(path)]
    )
    try:
        entries = decode(data, sum(max(size, 0) for path, _, size in listed if _utf8(path)))
    except BadManifest:
        return
    local = place(entry.path for entry in entries)
    assert len(set(local.values())) == len(local)
    for path in local.values():
        assert all(is_safe(part) and escape(part) == part for part in path)


def _utf8(path: list[str]) -> bool:
    return not any("\ud800" <= char <= "\udfff" for part in path for char in part)


@given(SAFE, st.booleans(), st.booleans())
def test_any_name_becomes_one_that_can_be_created(name: str, top: bool, windows: bool) -> None:
    here = local_name(name, top=top, windows=windows)
    assert is_safe(here)
    assert 0 < len(here.encode()) <= NAME_MAX
    assert not here.endswith((".", " "))
    assert not (top and here.startswith("."))


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=5), st.data())
def test_writes_in_any_order_make_the_same_files(contents: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(contents)
    manifest = encode([Entry((f"f{number}",), False, len(one)) for number, one in enumerate(contents)])
    cuts = sorted({0, len(stream), *data.draw(st.lists(st.integers(0, len(stream)), max_size=8))})
    pieces = data.draw(st.permutations([*itertools.pairwise(cuts)]))
    stop = data.draw(st.integers(0, len(pieces)))
    with tempfile.TemporaryDirectory() as folder:
        first = Incoming(folder)
        first.begin(manifest, len(stream), ROOT)
        for start, end in pieces[:stop]:
            first.write(start, stream[start:end])
        first.close()
        again = Incoming(folder)
        here = again.begin(manifest, len(stream), ROOT)
        for start, end in pieces[:stop]:
            assert all(any(a <= at < b for a, b in here) for at in range(start, end))
            assert again.read(start, end - start) == stream[start:end]
        for start, end in pieces[stop:]:
            again.write(start, stream[start:end])
        again.finish()
        again.close()
        assert {path.name: path.read_bytes() for path in Path(folder).iterdir()} == {
            f"f{number}": one for number, one in enumerate(contents)
        }
        assert len(os.listdir(folder)) == len(contents)
