"""Files that are sent."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from mcast.errors import McastError, UsageError
from mcast.files import outgoing as module
from mcast.files.manifest import Entry, decode
from mcast.files.outgoing import FileChanged, Outgoing


def paths(outgoing: Outgoing) -> list[str]:
    return ["/".join(entry.path) + "/" * entry.directory for entry in outgoing.entries]


def test_a_file_is_its_manifest_and_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"hello")
    os.utime(file, ns=(0, 1_700_000_000_123_456_789))
    file.chmod(0o640)
    outgoing = Outgoing([file])
    assert decode(outgoing.manifest, outgoing.size) == outgoing.entries
    assert outgoing.entries == [Entry(("a.bin",), False, 5, 1_700_000_000_123, 0o640)]
    assert (outgoing.size, outgoing.title, outgoing.files) == (5, "a.bin", 1)
    assert outgoing.read(0, 100) == b"hello"
    assert outgoing.read(1, 3) == b"ell"
    assert outgoing.read(5, 1) == b""
    outgoing.close()
    assert outgoing.read(4, 1) == b"o"
    outgoing.close()


def test_how_far_the_stream_was_read_is_known(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hello")
    outgoing = Outgoing([tmp_path / "a"])
    for offset, size, read_to in ((0, 2, 2), (4, 1, 2), (2, 2, 4), (0, 2, 4)):
        outgoing.read(offset, size)
        assert outgoing.read_to == read_to
    outgoing.close()


def test_an_empty_name_is_seen_in_the_error() -> None:
    with pytest.raises(UsageError, match="there is no file '': check the name"):
        Outgoing([""])


def test_a_directory_is_all_that_is_in_it(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    (root / "b" / "c").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "b" / "2").write_bytes(b"two")
    (root / "b" / "c" / "3").write_bytes(b"three")
    (root / "1").write_bytes(b"")
    (root / "4").write_bytes(b"four")
    outgoing = Outgoing([f"{root}/", tmp_path / "photos" / "4"])
    assert paths(outgoing) == [
        "photos/",
        "photos/1",
        "photos/4",
        "photos/b/",
        "photos/b/2",
        "photos/b/c/",
        "photos/b/c/3",
        "photos/empty/",
        "4",
    ]
    assert outgoing.read(0, 100) == b"fourtwothreefour"
    assert outgoing.read(3, 6) == b"rtwoth"
    assert outgoing.title == "photos/ and 1 more"
    outgoing.close()


def test_the_current_directory_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert paths(Outgoing(["."])) == ["here/", "here/below/"]
    monkeypatch.chdir("below")
    assert paths(Outgoing([".."])) == ["here/", "here/below/"]
    with pytest.raises(UsageError, match="/ has no name"):
        Outgoing(["/"])


def test_two_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for name in "xy":
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name)
    outgoing = Outgoing([tmp_path / "x/a.txt", tmp_path / "y/a.txt"])
    assert paths(outgoing) == ["a.txt", "a (2).txt"]
    assert outgoing.read(0, 2) == b"xy"
    outgoing.close()


def test_links_and_what_is_no_file_are_named_and_skipped(tmp_path: Path) -> None:
    root = tmp_path / "d"
    root.mkdir()
    (root / "file").write_text("x")
    (root / "link").symlink_to("/etc/passwd")
    (root / "dirlink").symlink_to("/etc")
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(root / "socket"))
        outgoing = Outgoing([root])
    assert paths(outgoing) == ["d/", "d/file"]
    reasons = {Path(one.path).name: one.reason for one in outgoing.skipped}
    assert reasons == {
        "link": "it is a link",
        "dirlink": "it is a link",
        "fifo": "it is not a regular file",
        "socket": "it is not a regular file",
    }


def test_a_link_that_the_user_names_is_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("file")
    outgoing = Outgoing([tmp_path / "link"])
    assert paths(outgoing) == ["link"]
    assert outgoing.read(0, 1) == b"x"
    outgoing.close()


def test_what_cannot_be_read_is_named_and_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "public").write_text("x")
    real = os.open

    def refuse(path: str, flags: int) -> int:
        if path.endswith("secret"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path, flags)

    monkeypatch.setattr(os, "open", refuse)  # root may read everything
    outgoing = Outgoing([tmp_path])
    assert [(Path(one.path).name, one.reason) for one in outgoing.skipped] == [
        ("secret", "Permission denied")
    ]
    assert outgoing.files == 1


def test_there_must_be_something_to_send(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        Outgoing([tmp_path / "missing"])
    with pytest.raises(UsageError, match="nothing to send"):
        Outgoing([])
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageError, match=r"nothing to send \(.*fifo: it is not a regular file\)"):
        Outgoing([tmp_path / "fifo"])


def test_names_that_are_not_utf8_are_sent(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path)
    Path(os.fsdecode(raw + b"/caf\xe9")).write_text("x")
    (tmp_path / "a\\b").write_text("y")
    (tmp_path / "a%5Cb").write_text("z")
    outgoing = Outgoing([tmp_path])
    assert [entry.path[-1] for entry in outgoing.entries[1:]] == ["a%5Cb", "caf%E9"]
    assert [one.reason for one in outgoing.skipped] == ["a%5Cb is beside it"]


def test_a_path_that_is_too_deep_is_skipped(tmp_path: Path) -> None:
    deep = tmp_path / "d"
    for _ in range(70):
        deep = deep / "d"
    deep.mkdir(parents=True)
    outgoing = Outgoing([tmp_path / "d"])
    assert len(outgoing.entries) == 64
    assert [one.reason for one in outgoing.skipped] == ["its path is too long"]


def test_too_many_files_are_refused_before_all_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ENTRIES_MAX", 3)
    for name in "abcd":
        (tmp_path / name).write_text(name)
    with pytest.raises(UsageError, match="more than 3 files"):
        Outgoing([tmp_path])


def changed_by_writing(file: Path) -> None:
    file.write_bytes(b"other")
    os.utime(file, ns=(0, 5))


def changed_by_replacing(file: Path) -> None:
    file.with_name("new").write_bytes(b"other")
    file.with_name("new").replace(file)


def changed_by_truncating(file: Path) -> None:
    os.truncate(file, 2)


@pytest.mark.parametrize("change", [changed_by_writing, changed_by_replacing, changed_by_truncating])
def test_a_file_that_changes_is_noticed(tmp_path: Path, change: object) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"hello")
    os.utime(file, ns=(0, 0))
    outgoing = Outgoing([file])
    assert callable(change)
    change(file)
    with pytest.raises(FileChanged, match=r"^a changed while it was sent: send it again"):
        outgoing.read(0, 5)
    outgoing.close()


@pytest.mark.parametrize("size", [10, 3000, 6000])
def test_a_file_that_changes_takes_no_other_with_it(tmp_path: Path, size: int) -> None:
    contents = [bytes([number + 1]) * size for number in range(3)]
    for number, content in enumerate(contents):
        (tmp_path / f"{number}").write_bytes(content)
    outgoing = Outgoing([tmp_path])
    stream = b"".join(outgoing.read(at, min(4096, 3 * size - at)) for at in range(0, 3 * size, 4096))
    assert stream == b"".join(contents)
    (tmp_path / "1").write_bytes(b"other")
    first, again, last = (outgoing.read(number * size, size) for number in range(3))
    assert (first, last) == (contents[0], contents[2])
    kept = contents[1][: module.EDGE]
    assert again[: module.EDGE] == kept == again[-module.EDGE :]
    assert len(again) == size
    name = f"{tmp_path.name}/1"
    assert outgoing.changed == {name: f"{name} changed while it was sent"}
    edge = module.EDGE
    assert outgoing.lost == ([(size + edge, 2 * size - edge)] if size > 2 * edge else [])
    outgoing.close()
    assert outgoing.read(size, size) == bytes(size)
    assert outgoing.read(0, size) == contents[0]
    (tmp_path / "0").unlink()
    (tmp_path / "2").unlink()
    outgoing.close()
    outgoing.read(0, size)
    assert "cannot read" in outgoing.changed[f"{tmp_path.name}/0"]
    with pytest.raises(McastError, match="cannot read"):
        outgoing.read(2 * size, size)


def test_what_changed_unseen_is_given_up_with_its_file(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(bytes(10_000))
    outgoing = Outgoing([tmp_path / name for name in "abc"])
    outgoing.spoil(-500, 0)
    assert not outgoing.changed
    for _ in range(2):
        outgoing.spoil(-500, 5000)
        outgoing.spoil(9000, 12_000)  # this can be for the first alone
    assert outgoing.changed == {"a": "a changed while it was sent"}
    assert outgoing.lost == [(module.EDGE, 10_000 - module.EDGE)]
    outgoing.spoil(12_000, 13_000)
    with pytest.raises(FileChanged, match="c changed while it was sent"):
        outgoing.spoil(20_000, 21_000)
    outgoing.close()


def test_a_file_that_is_gone_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hello")
    outgoing = Outgoing([tmp_path / "a"])
    (tmp_path / "a").unlink()
    with pytest.raises(McastError, match=r"cannot read .*a: No such file or directory"):
        outgoing.read(0, 5)


def test_seven_thousand_files_need_few_descriptors(tmp_path: Path) -> None:
    expected = []
    for folder in range(70):
        (tmp_path / f"{folder:02}").mkdir()
        for number in range(100):
            (tmp_path / f"{folder:02}" / f"{number:02}").write_bytes(b"%02d%02d" % (folder, number))
            expected.append(b"%02d%02d" % (folder, number))
    outgoing = Outgoing([tmp_path])
    before = len(os.listdir("/proc/self/fd"))
    read = b"".join(outgoing.read(at, 1300) for at in range(0, outgoing.size, 1300))
    assert read == b"".join(expected)
    assert len(os.listdir("/proc/self/fd")) <= before + module.OPEN_FILES
    outgoing.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_sparse_file_larger_than_memory_is_read_by_pieces(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(5 << 30)
        file.seek((5 << 30) - 3)
        file.write(b"end")
    outgoing = Outgoing([tmp_path / "sparse"])
    assert outgoing.size == 5 << 30
    assert outgoing.read((5 << 30) - 5, 100) == b"\0\0end"
    outgoing.close()
