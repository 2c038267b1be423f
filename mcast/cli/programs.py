"""Programs that mcast runs: without a shell, in a process group of their own, and never longer than mcast."""

from __future__ import annotations

import atexit
import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

from mcast.errors import UsageError

PATIENCE = 2.0
"""Seconds that a program gets to end by itself before it is killed."""
LOOK = 0.02
"""Seconds between two looks whether it has."""
GUARD = """
trap '' INT TERM HUP
groups=' '
while read -r mark group; do
  case $mark in
    +) groups="$groups$group " ;;
    *) groups="${groups%% $group *} ${groups#* $group }" ;;
  esac
done
for group in $groups; do kill -9 "-$group"; done
"""
"""A shell that reads which process groups run, and kills them when nobody can write to it any more."""


def words_of(command_line: str, option: str) -> list[str]:
    """The words of a command line, split as a shell does. UsageError if there is no such program."""
    try:
        words = shlex.split(command_line)
    except ValueError as error:
        raise UsageError(f"{option}: {error}", "close the quotes") from None
    if not words:
        raise UsageError(f"{option} has no command", "give the name or path of a program")
    if shutil.which(words[0]) is None:
        raise UsageError(f"{option}: program {words[0]!r} not found", "give the name or path of a program")
    return words


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program: ours without the key of the room, and these."""
    return {**{name: value for name, value in os.environ.items() if name != "MCAST_KEY"}, **variables}


def start(command: Sequence[str], variables: Mapping[str, str], *, output: bool) -> subprocess.Popen[bytes]:
    """Run a program with a pipe to its input and, if wanted, one from its output. OSError if it fails."""
    # A session, so that it is killed together with all that it starts.
    process = subprocess.Popen(  # noqa: S603 - no shell
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE if output else None,
        env=environment(variables),
        start_new_session=True,
    )
    _guard.add(process.pid)
    return process


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a program and all that it started, unless its end was noticed already."""
    _signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))


def reap(process: subprocess.Popen[bytes]) -> None:
    """Kill a program and all that it started, unless its end was noticed already, and notice it."""
    kill(process)
    process.wait()
    _guard.remove(process.pid)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a program and all that it started to end. What is left of them after PATIENCE is killed."""
    _signal(process, signal.SIGTERM)
    limit = time.monotonic() + PATIENCE
    while process.returncode is None and not _has_ended(process) and time.monotonic() < limit:
        time.sleep(LOOK)
    reap(process)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process has ended. Where that is possible, its number stays taken until reap()."""
    if sys.platform != "linux":
        return process.poll() is not None
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    """Signal the group of a process. Until somebody has waited for it, no other has its number."""
    if process.returncode is not None:
        return
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            process.terminate()
        else:
            os.killpg(process.pid, number)


class _Guard:
    """Kills the programs that run if mcast itself is killed, when it cannot do that any more."""

    def __init__(self) -> None:
        self._shell: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def add(self, group: int) -> None:
        """A process group has been started."""
        self._write(f"+ {group}\n")

    def remove(self, group: int) -> None:
        """It has ended."""
        self._write(f"- {group}\n")

    def _write(self, line: str) -> None:
        if sys.platform == "win32":
            return
        with self._lock, contextlib.suppress(OSError):
            if self._shell is None:
                self._shell = subprocess.Popen(  # noqa: S603 - a fixed program
                    ["/bin/sh", "-c", GUARD],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
                atexit.register(self._shell.communicate)
            if self._shell.stdin is not None:
                self._shell.stdin.write(line.encode())
                self._shell.stdin.flush()


_guard = _Guard()
