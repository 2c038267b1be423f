"""Files that are received."""

from __future__ import annotations

import errno
import os
import random
import shutil
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import pytest

from mcast.errors import McastError, UsageError
from mcast.files import incoming as module
from mcast.files.incoming import Incoming, check_directory
from mcast.files.manifest import Entry, encode
from mcast.files.moving import move
from mcast.files.outgoing import Outgoing

ROOT = bytes(range(32))
PART = ".mcast-0001020304050607.part"


class Sent(NamedTuple):
    manifest: bytes
    stream: bytes

    def begin(self, incoming: Incoming) -> Sequence[tuple[int, int]]:
        return incoming.begin(self.manifest, len(self.stream), ROOT)

    def write(self, incoming: Incoming, *, order: random.Random | None = None, block: int = 700) -> None:
        offsets = list(range(0, len(self.stream), block))
        if order is not None:
            order.shuffle(offsets)
        for at in offsets:
            incoming.write(at, self.stream[at : at + block])


def sent(*files: tuple[str, bytes | None], mode: int = 0o644) -> Sent:
    """A transfer of these paths; None is a directory."""
    entries = [
        Entry(tuple(path.split("/")), data is None, len(data or b""), 1_700_000_000_000, mode)
        for path, data in files
    ]
    return Sent(encode(entries), b"".join(data or b"" for _, data in files))


def take(transfer: Sent, into: Path, *, overwrite: bool = False, executable: bool = False) -> Incoming:
    incoming = Incoming(into, overwrite=overwrite, executable=executable)
    assert transfer.begin(incoming) == []
    transfer.write(incoming)
    incoming.finish()
    return incoming


def tree(path: Path) -> dict[str, bytes | None]:
    return {
        str(one.relative_to(path)): None if one.is_dir() else one.read_bytes()
        for one in sorted(path.rglob("*"))
    }


def test_files_that_do_not_come_are_left_out(tmp_path: Path) -> None:
    transfer = sent(("d", None), ("d/one", b"1" * 900), ("d/two", b"2" * 900), ("x", b"3" * 900), ("y", b""))
    incoming = Incoming(tmp_path)
    transfer.begin(incoming)
    incoming.write(0, transfer.stream[:1000])
    incoming.write(1800, transfer.stream[1800:])
    assert incoming.finish_without([(1000, 1800)]) == "d/two changed while it was sent"
    assert tree(tmp_path) == {"d": None, "d/one": b"1" * 900, "x": b"3" * 900, "y": b""}
    assert incoming.places == (tmp_path / "d", tmp_path / "x", tmp_path / "y")
    incoming.close()


def test_without_any_file_nothing_is_moved(tmp_path: Path) -> None:
    transfer = sent(("d", None), ("d/one", b"1" * 900), ("x", b"3" * 900))
    incoming = Incoming(tmp_path)
    transfer.begin(incoming)
    incoming.write(0, transfer.stream[:100])
    assert incoming.finish_without([(100, 1000)]) == "d/one and 1 more changed while they were sent"
    assert os.listdir(tmp_path) == [PART]
    incoming.close()


TREE = sent(
    ("d", None), ("d/one", b"1" * 5000), ("d/zero", b""), ("d/e", None), ("d/e/two", b"2" * 3000), ("x", b"x")
)
TREE_HERE = {"d": None, "d/one": b"1" * 5000, "d/zero": b"", "d/e": None, "d/e/two": b"2" * 3000, "x": b"x"}


@pytest.mark.parametrize("seed", range(5))
def test_files_come_whole_in_any_order(tmp_path: Path, seed: int) -> None:
    into = tmp_path / "new" / "into"
    incoming = Incoming(into)
    assert not into.exists()
    assert TREE.begin(incoming) == []
    rng = random.Random(seed)
    TREE.write(incoming, order=rng, block=rng.choice([1, 100, 1400, 100_000]))
    assert os.listdir(into) == [PART]
    assert (into / PART).stat().st_mode & 0o777 == 0o700
    incoming.finish()
    assert tree(into) == TREE_HERE
    assert (into / "x").stat().st_mtime == 1_700_000_000
    assert incoming.places == (into / "d", into / "x")
    for at in range(0, len(TREE.stream), 999):
        assert incoming.read(at, min(999, len(TREE.stream) - at)) == TREE.stream[at : at + 999]
    incoming.close()


def test_what_an_earlier_program_wrote_is_found(tmp_path: Path) -> None:
    killed = Incoming(tmp_path)
    TREE.begin(killed)
    killed.write(5000, TREE.stream[5000:])
    killed.close()  # a kill closes the files and the lock as well
    incoming = Incoming(tmp_path)
    assert TREE.begin(incoming) == [(5000, 8000), (8000, 8001)]
    assert incoming.read(5000, 3001) == TREE.stream[5000:]
    incoming.write(0, TREE.stream[:5000])
    incoming.finish()
    assert tree(tmp_path) == TREE_HERE
    incoming.close()


def test_two_programs_do_not_write_one_transfer(tmp_path: Path) -> None:
    first, second = Incoming(tmp_path), Incoming(tmp_path)
    TREE.begin(first)
    with pytest.raises(McastError, match="another program receives this"):
        TREE.begin(second)
    first.abort()
    TREE.begin(second)
    second.abort()
    assert os.listdir(tmp_path) == [PART]


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_a_program_that_was_killed_while_it_moved_files_is_continued(
    tmp_path: Path, moved: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0

    def killed(source: Path, target: Path, *, overwrite: bool) -> Path:
        nonlocal count
        if count == moved:
            raise OSError(errno.EIO, "killed")
        count += 1
        return move(source, target, overwrite=overwrite)

    (tmp_path / "x").write_text("mine")
    first = Incoming(tmp_path)
    TREE.begin(first)
    TREE.write(first)
    monkeypatch.setattr(module, "move", killed)
    if moved < 2:
        with pytest.raises(McastError, match="killed"):
            first.finish()
    else:  # at the last moment
        monkeypatch.setattr(module, "remove_tree", lambda path: None)
        first.finish()
    first.close()
    monkeypatch.undo()
    again = Incoming(tmp_path)
    assert TREE.begin(again) == [(0, 5000), (5000, 8000), (8000, 8001)]
    assert again.read(0, 8001) == TREE.stream
    again.finish()
    here = tree(tmp_path)
    assert here.pop("x (2)") == b"x"
    assert here == {**TREE_HERE, "x": b"mine"}
    again.close()


def test_what_was_moved_and_removed_since_is_received_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "remove_tree", lambda path: None)
    take(TREE, tmp_path).close()
    monkeypatch.undo()
    shutil.rmtree(tmp_path / "d")
    incoming = Incoming(tmp_path)
    assert TREE.begin(incoming) == []
    TREE.write(incoming)
    incoming.finish()
    assert tree(tmp_path) == {**TREE_HERE, "x (2)": b"x"}
    incoming.close()


@pytest.mark.parametrize("longer", [False, True])
def test_what_was_moved_and_changed_since_is_left_alone(
    tmp_path: Path, longer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "remove_tree", lambda path: None)
    take(TREE, tmp_path).close()
    monkeypatch.undo()
    mine = b"mine!" * (1001 if longer else 1000)
    (tmp_path / "d" / "one").write_bytes(mine)
    incoming = Incoming(tmp_path)
    assert TREE.begin(incoming) == []
    TREE.write(incoming)
    incoming.finish()
    incoming.close()
    assert (tmp_path / "d" / "one").read_bytes() == mine
    assert (tmp_path / "d (2)" / "one").read_bytes() == b"1" * 5000


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("mine")
    (tmp_path / "d").mkdir()
    (tmp_path / "link").symlink_to("a.txt")
    transfer = sent(("a.txt", b"a"), ("d", None), ("d/b", b"b"), ("link", b"l"))
    incoming = take(transfer, tmp_path)
    assert [place.name for place in incoming.places] == ["a (2).txt", "d (2)", "link (2)"]
    assert (tmp_path / "a.txt").read_text() == "mine"
    assert os.listdir(tmp_path / "d") == []
    assert (tmp_path / "link").is_symlink()


def test_a_file_that_appears_at_the_last_moment_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(source: Path, target: Path, *, overwrite: bool) -> Path:
        target.write_text("mine")
        return move(source, target, overwrite=overwrite)

    monkeypatch.setattr(module, "move", late)
    assert take(sent(("a", b"sent")), tmp_path).places == (tmp_path / "a (2)",)
    assert tree(tmp_path) == {"a": b"mine", "a (2)": b"sent"}


def test_files_are_replaced_if_that_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "d" / "b").write_text("old")
    (tmp_path / "d" / "keep").write_text("keep")
    (tmp_path / "other").write_text("untouched")
    (tmp_path / "link").symlink_to("other")
    (tmp_path / "f").write_text("a file")
    transfer = sent(
        ("a", b"a"),
        ("d", None),
        ("d/b", b"new"),
        ("d/sub", None),
        ("d/sub/c", b"c"),
        ("link", b"l"),
        ("f", None),
    )
    take(transfer, tmp_path, overwrite=True)
    assert tree(tmp_path) == {
        "a": b"a",
        "d": None,
        "d/b": b"new",
        "d/keep": b"keep",
        "d/sub": None,
        "d/sub/c": b"c",
        "f": b"a file",
        "f (2)": None,
        "link": b"l",
        "other": b"untouched",
    }


def test_files_are_not_executable_unless_asked(tmp_path: Path) -> None:
    transfer = sent(("tool", b"#!/bin/sh\n"), mode=0o755)
    before = os.umask(0o022)
    try:
        take(transfer, tmp_path)
        take(transfer, tmp_path, executable=True)
        take(sent(("private", b"x"), mode=0o400), tmp_path)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o7777 for path in tmp_path.iterdir()}
    assert modes == {"tool": 0o644, "tool (2)": 0o755, "private": 0o600}


def test_names_from_the_network_stay_below_the_directory(tmp_path: Path) -> None:
    into = tmp_path / "into"
    for path in ("../escaped", "..", "a/../../escaped", "a/./b"):
        with pytest.raises(McastError, match="list of files is not valid"):
            take(sent((path, b"x")), into)
    take(sent(("~root", b"x"), (".ssh/authorized_keys", b"x"), ("CON", b"x"), ("-rf", b"x")), into)
    assert sorted(os.listdir(into)) == ["-rf", "_CON", "_ssh", "~root"]
    assert os.listdir(tmp_path) == ["into"]


def test_a_link_in_the_place_of_unfinished_files_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / PART).symlink_to("elsewhere")
    with pytest.raises(McastError, match=r"part is not a directory: remove it"):
        take(TREE, tmp_path)
    assert os.listdir(tmp_path / "elsewhere") == []


def test_unfinished_files_of_somebody_else_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / PART).mkdir(0o700)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(McastError, match="part was made by somebody else"):
        take(TREE, tmp_path)
    monkeypatch.undo()
    (tmp_path / PART).chmod(0o777)
    with pytest.raises(McastError, match="others can write into it: remove it, or choose another dir"):
        take(TREE, tmp_path)
    assert os.listdir(tmp_path / PART) == []
    (tmp_path / PART).chmod(0o700)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / PART / "tree").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(McastError, match="tree is not a directory"):
        take(TREE, tmp_path)
    assert os.listdir(tmp_path / "elsewhere") == []


@pytest.mark.parametrize("places", ['{"a": "../a"}', '{"../a": "a"}', '{"a": "/a"}', "{"])
def test_saved_places_lead_nowhere_else(tmp_path: Path, places: str) -> None:
    into = tmp_path / "into"
    transfer = sent(("a", b"a"))
    first = Incoming(into)
    transfer.begin(first)
    transfer.write(first)
    first.close()
    (into / PART / "places").write_text(places)
    again = Incoming(into)
    assert transfer.begin(again) == [(0, 1)]
    again.finish()
    again.close()
    assert tree(tmp_path) == {"into": None, "into/a": b"a"}


def test_a_bad_list_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(McastError, match=r"not valid \(it cannot be read\)"):
        Incoming(tmp_path / "into").begin(b"\xc1", 5, ROOT)
    assert os.listdir(tmp_path) == []


def test_a_disk_with_too_little_space_is_told_at_once(tmp_path: Path) -> None:
    huge = [Entry(("huge",), False, 1 << 52)]
    with pytest.raises(McastError, match=r"has [\d,.]+ MB free, but [\d,.]+ MB are needed: free some disk"):
        Incoming(tmp_path).begin(encode(huge), 1 << 52, ROOT)


def test_a_disk_that_becomes_full_is_told_and_can_be_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    incoming = Incoming(tmp_path)
    TREE.begin(incoming)
    incoming.write(0, TREE.stream[:700])
    monkeypatch.setattr(module, "_pwrite", full)
    with pytest.raises(McastError, match=r"No space left on device: free some disk space"):
        incoming.write(700, TREE.stream[700:1400])
    incoming.abort()
    monkeypatch.undo()
    again = Incoming(tmp_path)
    assert TREE.begin(again) == [(0, 5000)]
    TREE.write(again)
    again.finish()
    assert tree(tmp_path) == TREE_HERE
    again.close()


def test_a_target_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    incoming = Incoming(tmp_path / "file" / "into")
    (tmp_path / "file").write_text("x")
    with pytest.raises(McastError, match=r"^cannot keep the files: Not a directory: check the directory"):
        TREE.begin(incoming)


def test_a_sparse_file_stays_sparse(tmp_path: Path) -> None:
    size = 1 << 30
    incoming = Incoming(tmp_path)
    incoming.begin(encode([Entry(("sparse",), False, size)]), size, ROOT)
    for at in range(0, size, 64 << 20):
        incoming.write(at, bytes(1400))
    incoming.write(3, bytes(1 << 20))
    incoming.write(size - 3, b"end")
    incoming.finish()
    status = (tmp_path / "sparse").stat()
    assert status.st_size == size
    assert status.st_blocks * 512 < 1 << 20
    incoming.close()


def test_zeros_replace_what_was_wrong(tmp_path: Path) -> None:
    transfer = sent(("a", bytes(5000)))
    first = Incoming(tmp_path)
    transfer.begin(first)
    first.write(0, b"wrong" * 1000)
    first.close()
    again = Incoming(tmp_path)
    transfer.begin(again)
    transfer.write(again)
    again.finish()
    assert (tmp_path / "a").read_bytes() == bytes(5000)
    again.close()


def test_names_of_255_bytes_and_thousands_of_files(tmp_path: Path) -> None:
    source = tmp_path / ("é" * 127)
    source.mkdir()
    for number in range(2000):
        folder = source / f"{number:04}"
        folder.mkdir()
        (folder / (f"{number:04}" + "x" * 251)).write_bytes(b"%d" % number)
    outgoing = Outgoing([source])
    incoming = Incoming(tmp_path)
    assert incoming.begin(outgoing.manifest, outgoing.size, sha256(outgoing.manifest).digest()) == []
    for at in range(0, outgoing.size, 1300):
        incoming.write(at, outgoing.read(at, 1300))
    assert len(os.listdir("/proc/self/fd")) < 200
    incoming.finish()
    [place] = incoming.places
    assert len(os.fsencode(place.name)) <= 255
    assert place != source
    assert tree(place) == tree(source)
    outgoing.close()
    incoming.close()


def test_a_file_that_was_shortened_since_cannot_be_given_to_others(tmp_path: Path) -> None:
    incoming = take(sent(("a", b"hello")), tmp_path)
    os.truncate(tmp_path / "a", 3)
    with pytest.raises(McastError, match="changed by another program"):
        incoming.read(0, 5)
    incoming.close()


def test_a_directory_that_cannot_be_used_is_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    monkeypatch.chdir(tmp_path)
    for good in (tmp_path, tmp_path / "new" / "deep", Path("."), Path("new"), Path("../new")):
        check_directory(good)
    for name, which in (("file", "it"), ("file/in", f"{tmp_path}/file"), ("link", "it")):
        with pytest.raises(UsageError) as error:
            Incoming(tmp_path / name)
        what = f"cannot keep files in {tmp_path / name}: {which} is not a directory"
        assert str(error.value) == f"{what}: choose another directory"
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path)
    for name, which in (("", "it"), ("new/deep", str(tmp_path))):
        with pytest.raises(UsageError, match="change its permissions, or choose another") as error:
            Incoming(tmp_path / name)
        assert error.value.message == f"cannot keep files in {tmp_path / name}: {which} is not writable"
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["file", "link"]


@pytest.mark.skipif(sys.platform == "win32", reason="a working directory cannot be removed there")
def test_a_working_directory_that_was_removed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for name in ("in", "."):
        with pytest.raises(UsageError, match="change into another directory, or give a full path") as error:
            check_directory(Path(name))
        assert error.value.message.startswith(
            f"cannot keep files in {name}: the working directory is not there ("
        )
    check_directory(tmp_path / "in")


@pytest.mark.parametrize(("path", "root"), [("/new/deep", "/"), ("/", "/")])
def test_a_drive_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, path: str, root: str) -> None:
    monkeypatch.setattr(os.path, "lexists", lambda _: False)
    with pytest.raises(UsageError) as error:
        check_directory(Path(path))
    there_is_no = f"cannot keep files in {Path(path)}: there is no {Path(root)}"
    assert str(error.value) == f"{there_is_no}: choose another directory"
