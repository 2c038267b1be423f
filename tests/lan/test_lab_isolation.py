"""A lab touches nothing outside it, sees nothing of another, and ends with whoever made it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import lab
from tests.lab import namespaces

MAKE_AND_WAIT = """
import sys, time
from tests import lab
lan = lab.Lan(hosts=2, user_namespace={user_namespace})
lan.hosts[0].spawn(["sh", "-c", "trap '' TERM HUP INT; setsid sleep 300 & exec sleep 300"])
lan.hosts[1].terminal(["sleep", "300"])
print(lan.namespaces.holder.pid, lan.directory, flush=True)
time.sleep(300)
"""


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def descendants(pid: int) -> set[int]:
    """All processes below one, itself included, that have not ended."""
    found, parents = {pid}, _parents()
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _parents() -> dict[int, int]:
    found = {}
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            try:
                state, parent = (directory / "stat").read_text().rpartition(")")[2].split()[:2]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if state != "Z":
                found[int(directory.name)] = int(parent)
    return found


def networks_in_use(pids: set[int]) -> set[str]:
    """Network namespaces of these processes, as far as we may know."""
    found = set()
    for pid in pids:
        try:
            found.add(os.readlink(f"/proc/{pid}/ns/net"))
        except OSError:
            continue
    return found


def machine() -> tuple[str, str, list[str], str]:
    """What a lab must leave alone: interfaces, mounts, names of namespaces, firewall."""
    shown = [
        subprocess.run(argv, env=namespaces.environment(), capture_output=True, text=True, check=False).stdout
        for argv in (["ip", "-oneline", "link"], ["nft", "list", "tables"])
    ]
    names = Path("/run/netns")
    mounts = Path("/proc/self/mountinfo").read_text()
    return shown[0], mounts, sorted(os.listdir(names)) if names.exists() else ["-"], shown[1]


@pytest.mark.parametrize("user_namespace", [None, True])
def test_all_is_gone_when_the_program_that_made_it_is_killed(
    lan: lab.MakeLan, user_namespace: bool | None
) -> None:
    code = MAKE_AND_WAIT.format(user_namespace=user_namespace)
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=lab.REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        holder, directory = program.stdout.readline().split()
        below = descendants(int(holder))
        # unshare, the holder, and three that sleep, one of them in a session of its own.
        assert within(30.0, lambda: len(descendants(int(holder))) >= 5)
        below = descendants(int(holder))
        private = networks_in_use(below) - networks_in_use({os.getpid()})
        assert len(private) == 3
        program.send_signal(signal.SIGKILL)
    assert within(30.0, lambda: not below & set(_parents()))
    assert within(30.0, lambda: not private & networks_in_use(set(_parents())))
    assert within(30.0, lambda: not Path(directory).exists())


def test_closing_ends_everything_and_leaves_no_files(lan: lab.MakeLan) -> None:
    made = lan(2)
    sleeping = made.hosts[0].spawn(["sleep", "300"])
    below = descendants(made.namespaces.holder.pid)
    made.close()
    assert sleeping.wait() == -signal.SIGKILL
    assert not below & set(_parents())
    assert not made.directory.exists()
    with pytest.raises(lab.LabError, match="the lab has ended"):
        made.hosts[0].run(["true"])


def test_nothing_of_the_machine_is_touched(lan: lab.MakeLan) -> None:
    before = machine()
    made = lan(2)
    made.hosts[0].loss(10)
    made.hosts[0].add_tunnel()
    assert machine() == before
    made.close()
    assert machine() == before


def test_a_host_does_not_see_the_machine(lan: lab.MakeLan) -> None:
    made = lan(1)
    shown = made.hosts[0].run(["sh", "-c", "ls /run /run/netns; ls -d /proc/[0-9]* | wc -l"]).stdout.split()
    assert shown[:4] == ["/run:", "netns", "/run/netns:", "h1"]
    assert int(shown[4]) < 10


def test_two_labs_at_once_do_not_see_each_other(lan: lab.MakeLan) -> None:
    one, two = lan(2), lan(2)
    assert one.hosts[0].address() == two.hosts[0].address()
    sender, receiver, other = lab.Peer(one.hosts[0]), lab.Peer(one.hosts[1]), lab.Peer(two.hosts[1])
    for peer in (receiver, other):
        peer.join("239.255.9.9")
    for where in ("239.255.9.9", "10.9.0.2"):
        sender.send(where, count=10)
    assert receiver.wait_count(20) == 20
    assert other.count() == 0
    one.close()
    assert two.hosts[0].run(["hostname"]).stdout == "h1\n"


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "PROGRAMS", ("ip", "no-such-program"))
    assert lab.missing() == ["the program 'no-such-program'"]
    with pytest.raises(lab.LabUnavailable, match="a lab needs the program 'no-such-program'"):
        lab.Lan()


FORBID = """
echo 0 > /proc/sys/user/max_user_namespaces
exec setpriv --bounding-set=-sys_admin "$0" -c 'from tests import lab; print(*lab.missing())'
"""


def test_where_the_kernel_forbids_namespaces_the_setting_is_named(lan: lab.MakeLan) -> None:
    assert lab.missing() == []
    argv = ["unshare", "--user", "--map-root-user", "sh", "-c", FORBID, sys.executable]
    shown = subprocess.run(argv, cwd=lab.REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert "the right to make namespaces" in shown
    assert "user.max_user_namespaces is 0" in shown
    assert "run as root" in shown
