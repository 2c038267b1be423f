"""Who holds a UDP port."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mcast.errors import PortTaken
from mcast.net import port_holders
from mcast.net.errnos import explain_bind
from mcast.net.port_holders import holders

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
ROW = (
    "  1: 00000000:{port:04X} 00000000:0000 07 00000000:00000000 00:00000000 00000000 {uid:5} 0 {inode} 2 0 0"
)


@pytest.fixture
def proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    (tmp_path / "net").mkdir()
    monkeypatch.setattr(port_holders, "_PROC", tmp_path)
    return tmp_path


def table(*rows: tuple[int, int, int]) -> str:
    return "\n".join([HEAD, *(ROW.format(port=port, uid=uid, inode=inode) for port, uid, inode in rows)])


def process(proc: Path, pid: int, name: str, *inodes: int) -> None:
    (proc / str(pid) / "fd").mkdir(parents=True)
    (proc / str(pid) / "comm").write_text(name + "\n")
    for number, inode in enumerate(inodes):
        os.symlink(f"socket:[{inode}]", proc / str(pid) / "fd" / str(number))


def test_the_program_is_named(proc: Path) -> None:
    (proc / "net" / "udp").write_text(table((28003, 0, 77), (28003, 0, 78), (3000, 0, 79)))
    (proc / "net" / "udp6").write_text(table((28003, 0, 80)))
    process(proc, 7, "chatty", 1, 77, 78)
    process(proc, 8, "other", 79)
    process(proc, 9, "six", 80)
    assert holders(28003) == ("chatty (process 7)", "six (process 9)")
    error = explain_bind(OSError(errno.EADDRINUSE, ""), "cannot receive", 28003)
    assert isinstance(error, PortTaken)
    assert error.message.startswith("cannot receive: chatty (process 7), six (process 9) holds this port")
    assert "SO_REUSEADDR" in error.remedy
    assert "hold" not in explain_bind(OSError(errno.EPERM, ""), "cannot receive", 28003).message


def test_the_user_is_named_if_the_program_is_hidden(proc: Path) -> None:
    (proc / "net" / "udp").write_text(table((28003, 0, 77), (28003, 4_000_000, 78)))
    assert holders(28003) == ("a program of root", "a program of user 4000000")


@pytest.mark.parametrize("text", ["", HEAD, HEAD + "\nx", HEAD + "\n1: x:zz 3 4"])
def test_nobody_is_named_where_the_system_does_not_tell(proc: Path, text: str) -> None:
    (proc / "net" / "udp").write_text(text)
    assert holders(28003) == ()
    assert "another program" in explain_bind(OSError(errno.EADDRINUSE, ""), "x", 28003).message
