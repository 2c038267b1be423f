"""The test program's side of a lab's namespaces: start the holder, ask it for things, know what is missing.

Nothing here has a name outside the lab: several labs at once cannot collide, and the machine's own
interfaces, mounts and /run/netns are never touched.
"""

from __future__ import annotations

import array
import contextlib
import errno
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

PROGRAMS = ("ip", "bridge", "tc", "nft", "ethtool", "unshare")
START_SECONDS = 20.0
_UNSHARE = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private")
_USER = ("--user", "--map-root-user")
_BUFFER = 1 << 20


class LabError(Exception):
    """The lab could not do what it was asked for; the text says what and why."""


class LabUnavailable(LabError):
    """This machine cannot have a lab; the text names what is missing."""


def environment() -> dict[str, str]:
    """This process's environment, with the administrator's directories on PATH."""
    path = os.environ.get("PATH", os.defpath)
    return {**os.environ, "PATH": f"{path}:/usr/sbin:/sbin"}


def missing() -> list[str]:
    """What this machine lacks for a lab, each as one phrase; empty when nothing does."""
    if sys.platform != "linux":
        return ["Linux (network namespaces)"]
    path = environment()["PATH"]
    lacking = [f"the program {name!r}" for name in PROGRAMS if shutil.which(name, path=path) is None]
    if any("unshare" in phrase for phrase in lacking):
        return lacking
    try:
        rights()
    except LabUnavailable as error:
        lacking.append(str(error))
    return lacking


@functools.cache
def rights() -> tuple[str, ...]:
    """Options of unshare(1) that work for this user: none for root, a user namespace otherwise."""
    refusal = ""
    for options in [(), _USER] if os.geteuid() == 0 else [_USER]:
        tried = subprocess.run(
            ["unshare", *options, *_UNSHARE, "true"],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if tried.returncode == 0:
            return options
        refusal = tried.stderr.strip()
    raise LabUnavailable(f"the right to make namespaces ({refusal}{_why_refused()}); run as root")


def _why_refused() -> str:
    """The kernel setting that forbids user namespaces, when one does."""
    wanted: dict[str, Callable[[int], bool]] = {
        "user/max_user_namespaces": lambda value: value > 0,
        "kernel/unprivileged_userns_clone": lambda value: value == 1,
        "kernel/apparmor_restrict_unprivileged_userns": lambda value: value == 0,
    }
    for name, allowed in wanted.items():
        with contextlib.suppress(OSError, ValueError):
            value = int(Path("/proc/sys", name).read_text())
            if not allowed(value):
                return f"; {name.replace('/', '.')} is {value}"
    return ""


class Namespaces:
    """One holder process with its namespaces. `directory` is a temporary directory that ends with it."""

    def __init__(self, user_namespace: bool | None = None) -> None:
        if lacking := missing():
            raise LabUnavailable("a lab needs " + ", ".join(lacking))
        options = {None: rights(), True: _USER, False: ()}[user_namespace]
        self.directory = Path(tempfile.mkdtemp(prefix="mcast-lab-"))
        self._lock = threading.Lock()
        self._control, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self._control, far):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        holder = [sys.executable, "-I", "-S", str(Path(__file__).with_name("holder.py"))]
        with far:
            self.holder = subprocess.Popen(
                ["unshare", *options, *_UNSHARE, *holder, str(far.fileno()), str(self.directory)],
                env=environment(),
                stdin=subprocess.DEVNULL,
                pass_fds=[far.fileno()],
                start_new_session=True,
            )
        try:
            self._control.settimeout(START_SECONDS)
            self._reply()
            self._control.settimeout(None)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the holder, everything that runs in the lab, and wait until it is gone."""
        self._control.close()
        self.holder.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def spawn(
        self,
        host: str | None,
        argv: Sequence[str],
        descriptors: Sequence[int],
        env: Mapping[str, str],
        cwd: str,
        terminal: bool = False,
    ) -> int:
        """Start a process on (stdin, stdout, stderr, status); its number inside the lab.

        JSON with `returncode` and `cpu` (seconds) is written to `status` when it ends.
        """
        request = {"op": "spawn", "host": host, "argv": list(argv), "env": dict(env), "cwd": cwd}
        return int(self._ask({**request, "terminal": terminal}, descriptors)["pid"])

    def signal(self, pid: int, number: int, group: bool = False) -> None:
        """Send a signal to a process that `spawn` started, or to the group it leads."""
        self._ask({"op": "signal", "pid": pid, "signal": number, "group": group})

    def read(self, host: str | None, *paths: str) -> list[str | None]:
        """Texts of files below /proc as the host sees them; None where there is none."""
        texts: list[str | None] = self._ask({"op": "read", "host": host, "paths": paths})["texts"]
        return texts

    def write(self, host: str | None, files: Mapping[str, str]) -> None:
        """Write files below /proc/sys as the host sees them, in order."""
        self._ask({"op": "write", "host": host, "files": list(files.items())})

    def tunnel(self, host: str, name: str) -> None:
        """Make a tun interface with a carrier on a host; what is sent there is swallowed."""
        try:
            self._ask({"op": "tunnel", "host": host, "name": name})
        except OSError as error:
            raise LabError(f"no tun interface on {host}: {error}") from error

    def _ask(self, request: Mapping[str, Any], descriptors: Sequence[int] = ()) -> dict[str, Any]:
        with self._lock:
            rights_message = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
            try:
                self._control.sendmsg([json.dumps(request).encode()], rights_message if descriptors else [])
            except OSError as error:
                why = "too much for one request" if error.errno == errno.EMSGSIZE else "the lab has ended"
                raise LabError(f"{why} ({error})") from error
            return self._reply()

    def _reply(self) -> dict[str, Any]:
        message = self._control.recv(_BUFFER)
        if not message:
            raise LabError(f"the lab's holder ended (unshare returned {self.holder.wait()})")
        reply: dict[str, Any] = json.loads(message)
        if reply.get("errno"):
            raise OSError(reply["errno"], reply["error"], reply["file"])
        if "error" in reply:
            raise LabError(reply["error"])
        return reply
