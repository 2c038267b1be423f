"""Users, homes and sandboxes as service managers, sudo(8) and containers make them."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests import lab

ANOTHER = ["unshare", "--user", "--map-user=65533", "env"]
"""A user id without an entry in passwd(5), and without the rights of root."""
NO_HOME = ["-u", "HOME", "-u", "USER", "-u", "LOGNAME", "-u", "XDG_CONFIG_HOME", "-u", "XDG_STATE_HOME"]
MCAST = [sys.executable, "-m", "mcast"]


def finished(host: lab.Host, *argv: str) -> lab.Process:
    process = host.spawn(argv, input="")
    process.wait(60)
    return process


def test_a_user_without_home_and_name_can_do_everything(here: lab.Host, group: str) -> None:
    def run(*arguments: str) -> tuple[int | None, str, str]:
        process = finished(here, *ANOTHER, *NO_HOME, *MCAST, *arguments)
        return process.returncode, process.stdout.partition(" ")[0], process.stderr

    assert run("--version") == (0, "mcast", "")
    note = "mcast: this user has no home directory; using a temporary identity\n"
    assert run("send", "-g", group, "--linger", "0", "hi") == (0, "", note)
    assert run("send", "-g", group, "--room", "lab", "--linger", "0", "hi") == (0, "", note)


def test_in_the_home_of_another_user_there_are_no_settings(
    here: lab.Host, group: str, tmp_path: Path
) -> None:
    tmp_path.chmod(0)
    try:
        homes = [f"XDG_{kind}_HOME={tmp_path}" for kind in ("CONFIG", "STATE")]
        process = finished(here, *ANOTHER, *homes, *MCAST, "send", "-g", group, "--room", "lab", "hi")
    finally:
        tmp_path.chmod(0o700)
    assert process.returncode == 0
    assert process.stderr.splitlines() == [
        f"mcast: cannot read {tmp_path}/mcast/config.toml (Permission denied): going on without settings",
        f"mcast: cannot use the profile in {tmp_path}/mcast/profiles: Permission denied; "
        "using a temporary identity",
        "mcast: nobody confirmed that they heard it",
    ]


def test_a_sandbox_without_netlink_is_named(here: lab.Host, group: str) -> None:
    process = finished(here, sys.executable, "-m", "tests.cli.restricted", *MCAST, "send", "-g", group, "hi")
    assert process.returncode == 1
    assert process.stderr == (
        "mcast: cannot read the interfaces: this sandbox forbids AF_NETLINK sockets: "
        "allow them (systemd: add AF_NETLINK to RestrictAddressFamilies)\n"
    )


@pytest.mark.parametrize("limit", [5, 6, 7])
def test_too_few_descriptors_are_one_error(here: lab.Host, group: str, limit: int) -> None:
    process = finished(here, "prlimit", f"--nofile={limit}", *MCAST, "send", "-g", group, "hi")
    assert process.returncode == 1
    *notes, error = process.stderr.splitlines()
    assert error.endswith("too many open files: raise the limit: ulimit -n")
    assert len(notes) <= 1


def test_few_descriptors_are_enough_while_interfaces_come_and_go(network: lab.Lan, group: str) -> None:
    host = network.add_host()
    try:
        network.connect([(host.name, network.switch, f"eth{n}") for n in range(1, 6)])
        limited = ("prlimit", "--nofile=28", *MCAST, "browse", "-g", group, "--on", "join=echo late import")
        with host.spawn(limited) as browsing:
            browsing.wait_for("on eth0 (default route), eth1", stream="stderr")
            for name in ("eth1", "eth2"):
                host.ip(f"link set {name} down")
            browsing.wait_for("now also using", stream="stderr")
            with host.mcast("announce", "-g", group):
                browsing.wait_for("late import", stream="stdout")
            assert browsing.interrupt(10) == 0
    finally:
        network.hosts.remove(host)
    told = browsing.stderr
    assert told.count("too many open files to use") == 1
    assert "cannot" not in told


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_key_that_nobody_writes_can_be_interrupted_at_once(
    here: lab.Host, group: str, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    pipe = tmp_path / "key"
    os.mkfifo(pipe)
    process = here.mcast("listen", "-g", group, "--key-file", str(pipe))
    process.wait_for(f"waiting for a program that writes to {pipe}", stream="stderr")
    process.signal(number)
    assert process.wait(10) == code
