"""What /proc tells, from recorded files."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcast.doctor import local
from mcast.doctor.evidence import Counters

FILES = {
    "net/snmp": "Ip: Forwarding\nIp: 1\nUdp: InDatagrams NoPorts RcvbufErrors\nUdp: 32 0 468\n",
    "net/netstat": "TcpExt: SyncookiesSent IPReversePathFilter\nTcpExt: 0 12\nIpExt: InMcastPkts\nIpExt: 1\n",
    "net/udp": "  sl  local_address …\n"
    " 7: 010000E6:6D63 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 1 2 0 5\n"
    " 8: 00000000:0BB8 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 1 2 0 9\n",
    "net/arp": "IP address HW type Flags HW address Mask Device\n"
    "10.9.0.2 0x1 0x2 02:09:00:00:00:02 * eth0\n10.9.0.3 0x1 0x0 00:00:00:00:00:00 * eth0\n",
}


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net").mkdir()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(local, "PROC", tmp_path)
    return tmp_path


def test_counters(proc: Path) -> None:
    assert local.counters() == Counters(received=32, overflowed=468, reverse_path=12)
    (proc / "net" / "snmp").unlink()
    assert local.counters() == Counters(reverse_path=12)


def test_drops_of_a_port(proc: Path) -> None:
    (proc / "net" / "udp").write_text(FILES["net/udp"].replace("…", ""), encoding="ascii")
    assert (local.dropped_at(28003), local.dropped_at(3000), local.dropped_at(1)) == (5, 9, 0)


def test_neighbours(proc: Path) -> None:
    answers = [local.neighbour_known(f"10.9.0.{number}") for number in (2, 3, 4)]
    assert answers == [True, False, None]
    (proc / "net" / "arp").unlink()
    assert local.neighbour_known("10.9.0.2") is None


def test_the_error_has_a_name() -> None:
    assert local.error_name(OSError(1, "no")) == "EPERM"
    assert local.error_name(OSError("no")) == "unknown"
