"""Key files as people write them, and what is said of those that are none."""

from __future__ import annotations

import base64
import os
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcast.cli.key_files import KeyMaterial, parse_key, read_key_file
from mcast.errors import UsageError

KEY = bytes(range(200, 232))
ROOM = bytes(range(16))
PLAIN = base64.b64encode(KEY).decode()
URL = base64.urlsafe_b64encode(KEY).decode()


@pytest.mark.parametrize(
    "word", [KEY.hex(), KEY.hex().upper(), PLAIN, PLAIN.rstrip("="), URL, URL.rstrip("=")]
)
@pytest.mark.parametrize(
    "form",
    ["{}", "{}\n", "\r\n {} \r\n", "\ufeff{}", "# of the lab\n\n{}\n# end", "{} # the lab's"],
)
def test_forms_of_a_key(word: str, form: str) -> None:
    assert PLAIN != URL
    assert parse_key(form.format(word), "x") == KeyMaterial(KEY, None)


@pytest.mark.parametrize("form", ["{} {}", "{}\t{}\n", "# key, room\n{}\n{}\n"])
def test_a_room_id_follows(form: str) -> None:
    assert parse_key(form.format(PLAIN, ROOM.hex()), "x") == KeyMaterial(KEY, ROOM)


@given(st.binary(min_size=32, max_size=32).filter(any), st.none() | st.binary(min_size=16, max_size=16))
def test_what_is_written_is_read(key: bytes, room: bytes | None) -> None:
    tail = f" {room.hex()}" if room is not None else ""
    for text in (
        key.hex(),
        base64.b64encode(key).decode(),
        base64.urlsafe_b64encode(key).decode().rstrip("="),
    ):
        assert parse_key(text + tail, "x") == KeyMaterial(key, room)


NEARLY = [
    (KEY.hex()[:-1], "valid key"),
    (KEY.hex() + "0", "valid key"),
    ("g" + KEY.hex()[1:], "valid key"),
    (PLAIN[:-2], "valid key"),
    (PLAIN + "=", "valid key"),
    (PLAIN[:-2] + "a=", "valid key"),
    (PLAIN[:-2] + "-=", "valid key"),
    ("٣" * 64, "valid key"),
    ("", "not contain a key"),
    ("# only a comment\n", "not contain a key"),
    (f"{PLAIN} {ROOM.hex()} more", "3 words"),
    (f"{PLAIN} {ROOM.hex()[:-1]}", "valid room id"),
    (f"{PLAIN} {PLAIN}", "valid room id"),
    ("0" * 64, "all zero"),
    ("A" * 43 + "=", "all zero"),
]


@pytest.mark.parametrize(("text", "message"), NEARLY)
def test_what_is_no_key_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse_key(text, "MCAST_KEY")
    assert "MCAST_KEY" in caught.value.message
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [text for text, _ in NEARLY if len(text) > 60 and len(set(text)) > 2])
def test_no_error_shows_what_was_read(text: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        read_key_file(file)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert not [word for word in text.split() if word[8:24] and word[8:24] in shown]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_key_or_a_usage_error(data: bytes) -> None:
    try:
        material = parse_key(data.decode("utf-8", "replace"), "x")
    except UsageError:
        return
    assert len(material.key) == 32


def test_repr_shows_no_key() -> None:
    material = KeyMaterial(KEY, ROOM)
    for secret in (KEY.hex(), PLAIN[:20], repr(KEY)[2:20]):
        assert secret not in repr(material)
    assert material.__rich_repr__() == [("room_id", ROOM)]


def test_a_private_file_is_read_without_a_word(tmp_path: Path) -> None:
    file = tmp_path / "room.key"
    file.write_text(f"# lab\n{PLAIN} {ROOM.hex()}\n")
    file.chmod(0o600)
    assert read_key_file(str(file)) == (KeyMaterial(KEY, ROOM), "")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_file_open_to_others_is_read_with_a_warning(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "room.key"
    file.write_text(PLAIN)
    file.chmod(mode)
    material, warning = read_key_file(file)
    assert material.key == KEY
    assert warning == f"other users can read or change the key file {file}: chmod 600 {file}"


def test_a_key_comes_from_a_pipe(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, PLAIN.encode())
    os.close(writer)
    try:
        assert read_key_file(f"/dev/fd/{reader}") == (KeyMaterial(KEY), "")
    finally:
        os.close(reader)


def test_a_file_that_cannot_be_read_is_explained(tmp_path: Path) -> None:
    for path, reason in (
        (tmp_path / "none", "No such file"),
        (tmp_path, "Is a directory"),
        (tmp_path / ("x" * 300), "too long"),
        (tmp_path / "a\0b", "such a name"),
    ):
        with pytest.raises(UsageError, match=reason) as caught:
            read_key_file(path)
        assert caught.value.remedy


def test_a_large_file_is_not_read_to_its_end() -> None:
    with pytest.raises(UsageError, match="too large"):
        read_key_file("/dev/zero")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(KEY)
    with pytest.raises(UsageError, match="key"):
        read_key_file(file)


@pytest.mark.parametrize("word", [KEY.hex(), PLAIN, URL, f"{PLAIN} {ROOM.hex()}"])
def test_a_key_given_as_a_file_name_is_not_shown(word: str) -> None:
    with pytest.raises(UsageError, match="instead of a file name") as caught:
        read_key_file(word)
    assert word[:10] not in "".join(traceback.format_exception(caught.value))


def test_a_file_whose_name_looks_like_a_key_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = "A" * 43
    Path(name).write_text(PLAIN)
    assert read_key_file(name)[0].key == KEY
