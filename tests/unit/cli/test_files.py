"""Small files and pipes: what can be read, and that nothing is waited for without end."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from mcast.cli import files


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def test_a_file_is_read_up_to_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"0123456789")
    assert files.read(file, 4)[0] == b"0123"
    assert files.read(file, 100)[0] == b"0123456789"
    assert files.read(os.devnull, 100)[0] == b""


def test_a_pipe_is_read_to_its_end(pipe: Path) -> None:
    def write() -> None:
        with pipe.open("wb", buffering=0) as writer:
            writer.write(b"first ")
            writer.write(b"second")

    writing = threading.Thread(target=write)
    writing.start()
    assert files.read(pipe, 100)[0] == b"first second"
    writing.join(10)


def test_a_pipe_that_nobody_writes_to_is_given_up(
    pipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(files, "HINT", 0.01)
    monkeypatch.setattr(files, "PATIENCE", 0.02)
    with pytest.raises(TimeoutError, match="nobody wrote to it"):
        files.read(pipe, 100)
    assert capsys.readouterr().err == f"mcast: waiting for a program that writes to {pipe}\n"


def test_a_pipe_is_refused_where_it_makes_no_sense(pipe: Path) -> None:
    with pytest.raises(OSError, match="not a regular file"):
        files.read(pipe, 100, pipes=False)
