"""The process that owns the namespaces of one lab and starts everything that runs in them.

It is process 1 of a process namespace of its own, so the kernel ends all processes of the lab when it ends,
and the namespaces go with the last of them. It ends when its control socket is closed: by `Lan.close()`, or
by the kernel when the test program dies, however it dies.

Requests are JSON, one a message of a SOCK_SEQPACKET socket, answered one by one in order. This file runs
alone (`python -I -S holder.py FD DIRECTORY`): it uses the standard library only and nothing of this package.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from typing import Any

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWNET = 0x00020000, 0x04000000, 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
MESSAGE_LIMIT = 1 << 20

libc = ctypes.CDLL(None, use_errno=True)
Request = dict[str, Any]


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(kind: str, where: str) -> None:
    """Mount an instance of its own of a kernel file system: mount(2)."""
    _check(libc.mount(kind.encode(), where.encode(), kind.encode(), 0, None), f"mount {kind} on {where}")


def enter_network(descriptor: int) -> None:
    """Move this (single-threaded) process to a network namespace: setns(2)."""
    _check(libc.setns(descriptor, CLONE_NEWNET), "setns")


class Holder:
    """Owns the namespaces; the tables below are its whole state."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.networks: dict[str, int] = {}
        self.running: dict[int, tuple[subprocess.Popen[bytes], int]] = {}

    def network(self, host: str | None) -> int:
        """Descriptor of a host's network namespace, or of the switches' one."""
        if host is None:
            return self.home
        if host not in self.networks:
            self.networks[host] = os.open(f"/run/netns/{host}", os.O_RDONLY)
        return self.networks[host]

    @contextlib.contextmanager
    def inside(self, host: str | None) -> Iterator[None]:
        enter_network(self.network(host))
        try:
            yield
        finally:
            enter_network(self.home)

    def become(self, host: str | None, terminal: bool) -> None:
        """In the child, before exec: move to the host, with its /sys and its name.

        A shell that starts a test program with & has SIGINT ignored, nohup SIGHUP, and children inherit that.
        """
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)
        if host is not None:
            enter_network(self.network(host))
            _check(libc.unshare(CLONE_NEWNS | CLONE_NEWUTS), "unshare")
            mount("sysfs", "/sys")
            socket.sethostname(host)
        if terminal:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def spawn(self, request: Request, descriptors: list[int]) -> Request:
        """Start a process on descriptors (stdin, stdout, stderr, status); its end is told on the last one."""
        stdin, stdout, stderr, status = descriptors
        process = subprocess.Popen(
            request["argv"],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=request["cwd"],
            env=request["env"],
            start_new_session=True,
            preexec_fn=lambda: self.become(request["host"], request["terminal"]),
        )
        self.running[process.pid] = (process, os.dup(status))
        return {"pid": process.pid}

    def signal(self, request: Request, _: list[int]) -> Request:
        """Signal a process, or the group it leads; one that has ended is left alone."""
        if request["pid"] in self.running:
            send = os.killpg if request["group"] else os.kill
            send(request["pid"], request["signal"])
        return {}

    def read(self, request: Request, _: list[int]) -> Request:
        """Text of files below /proc as seen by the host; None for what cannot be read."""
        with self.inside(request["host"]):
            return {"texts": [_text(path) for path in request["paths"]]}

    def write(self, request: Request, _: list[int]) -> Request:
        """Write to files below /proc/sys as seen by the host."""
        with self.inside(request["host"]):
            for path, text in request["files"]:
                with open(path, "w") as file:
                    file.write(text)
        return {}

    def tunnel(self, request: Request, _: list[int]) -> Request:
        """Make a tun interface on a host; nobody reads from its other end, which stays open here."""
        with self.inside(request["host"]):
            far = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(far, TUNSETIFF, struct.pack("16sH22x", request["name"].encode(), IFF_TUN | IFF_NO_PI))
        return {}

    def answer(self, message: bytes, descriptors: list[int]) -> None:
        request: Request = json.loads(message)
        operations = (self.spawn, self.signal, self.read, self.write, self.tunnel)
        operation = {operation.__name__: operation for operation in operations}[request["op"]]
        try:
            reply = operation(request, descriptors)
        except OSError as error:
            reply = {"errno": error.errno, "error": error.strerror, "file": error.filename}
        except subprocess.SubprocessError as error:
            reply = {"errno": None, "error": str(error), "file": None}
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self.control.send(json.dumps(reply).encode())

    def reap(self) -> None:
        """Collect ended processes, orphans included, and tell who waits for them."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self.running:
                process, told = self.running.pop(pid)
                process.returncode = os.waitstatus_to_exitcode(status)
                end = {"returncode": process.returncode, "cpu": usage.ru_utime + usage.ru_stime}
                with contextlib.suppress(BrokenPipeError):
                    os.write(told, json.dumps(end).encode())
                os.close(told)

    def serve(self) -> None:
        """Answer until the control socket is closed."""
        woken, wake = socket.socketpair()
        wake.setblocking(False)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with selectors.DefaultSelector() as selector:
            selector.register(woken, selectors.EVENT_READ)
            selector.register(self.control, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if woken in ready:
                    woken.recv(4096)
                    self.reap()
                if self.control in ready:
                    message, descriptors, _, _ = socket.recv_fds(self.control, MESSAGE_LIMIT, 4)
                    if not message:
                        signal.set_wakeup_fd(-1)
                        return
                    self.answer(message, descriptors)


def _text(path: str) -> str | None:
    try:
        with open(path, errors="backslashreplace") as file:
            return file.read()
    except OSError:
        return None


def prepare() -> None:
    """Private /proc, /sys and /run: neither names nor interfaces of the machine are seen or touched."""
    mount("proc", "/proc")
    mount("sysfs", "/sys")
    mount("tmpfs", "/run")
    os.mkdir("/run/netns")


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    try:
        prepare()
    except OSError as error:
        control.send(json.dumps({"error": error.strerror}).encode())
        return
    control.send(b"{}")
    try:
        Holder(control).serve()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        shutil.rmtree(sys.argv[2], ignore_errors=True)


if __name__ == "__main__":
    main()
