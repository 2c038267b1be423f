"""A process on a host, with its output captured as it comes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from tests.lab.namespaces import Namespaces

WAIT_SECONDS = 30.0
# Between two looks at output that keeps coming.
LOOK_SECONDS = 0.005
Pattern = str | re.Pattern[str]


class LabTimeout(AssertionError):
    """What a test waited for did not happen in time; the text shows what did."""


class Capture:
    """All bytes that came out of a descriptor so far, read by a thread of its own until its end."""

    def __init__(
        self, descriptor: int, changed: threading.Condition, tap: Callable[[bytes], None] | None = None
    ) -> None:
        self._descriptor = descriptor
        self._changed = changed
        self._tap = tap
        self._data = bytearray()
        self.reading = threading.Event()
        self.reading.set()
        self._thread = threading.Thread(target=self._read, name="lab-capture", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while chunk := self._next():
            with self._changed:
                self._data += chunk
                if self._tap is not None:
                    self._tap(chunk)
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def _next(self) -> bytes:
        self.reading.wait()
        # A pseudo-terminal whose other end is closed says EIO, not end of file.
        with contextlib.suppress(OSError):
            return os.read(self._descriptor, 65536)
        return b""

    def bytes(self) -> bytes:
        with self._changed:
            return bytes(self._data)

    def count_lines(self) -> int:
        """How many line ends have come."""
        with self._changed:
            return self._data.count(b"\n")

    def finished(self, timeout: float) -> bool:
        """Whether everything has been read within `timeout` seconds."""
        self._thread.join(timeout)
        return not self._thread.is_alive()


class Running:
    """What a captured process and one on a terminal have in common: signals and the end."""

    def __init__(self, namespaces: Namespaces, host: str | None, argv: Sequence[str]) -> None:
        self.argv = list(argv)
        self.host = host
        self.pid = 0
        self.returncode: int | None = None
        self.cpu_seconds = 0.0
        self._namespaces = namespaces
        self._changed = threading.Condition()
        self._status = -1

    def _start(self, files: Sequence[int], env: Mapping[str, str], cwd: str, terminal: bool = False) -> None:
        self._status, told = os.pipe()
        try:
            self.pid = self._namespaces.spawn(self.host, self.argv, [*files, told], env, cwd, terminal)
        except BaseException:
            os.close(self._status)
            raise
        finally:
            for descriptor in {*files, told}:
                os.close(descriptor)

    def captures(self) -> list[Capture]:
        """Where its output goes."""
        raise NotImplementedError

    def shown(self) -> str:
        """Its output so far, for a failure's text."""
        raise NotImplementedError

    def release(self) -> None:
        """Close its input and output."""
        raise NotImplementedError

    def poll(self) -> int | None:
        """Its return code (minus the signal's number when one ended it), None while it runs."""
        return self._ended(0.0)

    def _ended(self, timeout: float) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], max(timeout, 0.0))[0]:
            end = os.read(self._status, 4096)
            os.close(self._status)
            # Nothing written: the whole lab was killed.
            told = json.loads(end) if end else {"returncode": -signal.SIGKILL, "cpu": 0.0}
            self.returncode, self.cpu_seconds = int(told["returncode"]), float(told["cpu"])
        return self.returncode

    def wait(self, timeout: float = WAIT_SECONDS) -> int:
        """Its return code, once it has ended and its output is read."""
        code = self._ended(timeout)
        if code is None:
            raise LabTimeout(f"still running after {timeout} s: {self._story()}")
        for capture in self.captures():
            capture.finished(1.0)
        return code

    def signal(self, number: int, *, group: bool = False) -> None:
        """Send it a signal; with `group`, its children too."""
        self._namespaces.signal(self.pid, number, group)

    def terminate(self, timeout: float = WAIT_SECONDS) -> int:
        """SIGTERM, then its return code."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def interrupt(self, timeout: float = WAIT_SECONDS) -> int:
        """SIGINT, as Ctrl-C on a terminal would, then its return code."""
        self.signal(signal.SIGINT)
        return self.wait(timeout)

    def close(self) -> None:
        """Kill it and its group if it still runs, and free what it holds here."""
        if self.poll() is None:
            self.signal(signal.SIGKILL, group=True)
            self.wait()
        self.release()

    def _until(self, found: Callable[[], Any], timeout: float, what: str) -> Any:
        """Poll `found` at each change of the output until it returns something true."""
        deadline = time.monotonic() + timeout
        while True:
            over = self.poll() is not None and all(capture.finished(1.0) for capture in self.captures())
            with self._changed:
                if result := found():
                    return result
                left = deadline - time.monotonic()
                if over or left <= 0:
                    why = f"it ended with {self.returncode}" if over else f"{timeout} s passed"
                    raise LabTimeout(f"waited for {what}, but {why}: {self._story()}")
                self._changed.wait(min(left, 0.05))
            time.sleep(LOOK_SECONDS)

    def _story(self) -> str:
        return f"{' '.join(self.argv)} on {self.host}\n{self.shown()}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Process(Running):
    """A process with its streams on pipes. `input` is written and closed; None leaves stdin open."""

    def __init__(
        self,
        namespaces: Namespaces,
        host: str | None,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: str,
        input: str | bytes | None = None,
    ) -> None:
        super().__init__(namespaces, host, argv)
        stdin, self._stdin = os.pipe()
        out, stdout = os.pipe()
        err, stderr = os.pipe()
        self._files = [out, err]
        try:
            self._start([stdin, stdout, stderr], env, cwd)
        except BaseException:
            self._close_files()
            raise
        self._out = Capture(out, self._changed)
        self._err = Capture(err, self._changed)
        self._feeder: threading.Thread | None = None
        if input is not None:
            # A thread, since a pipe takes only 64 KiB before somebody reads.
            self._feeder = threading.Thread(target=self._feed, args=[input], name="lab-feeder", daemon=True)
            self._feeder.start()

    def _feed(self, input: str | bytes) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.write(input)
        self.close_stdin()

    def write(self, data: str | bytes) -> None:
        """Write to its standard input."""
        left = memoryview(data.encode() if isinstance(data, str) else data)
        while left:
            left = left[os.write(self._stdin, left) :]

    def close_stdin(self) -> None:
        """End of file on its standard input."""
        if self._stdin >= 0:
            os.close(self._stdin)
            self._stdin = -1

    @property
    def stdout(self) -> str:
        """Standard output so far; bytes that are not UTF-8 as \\xNN."""
        return self.stdout_bytes.decode(errors="backslashreplace")

    @property
    def stderr(self) -> str:
        """Standard error so far; bytes that are not UTF-8 as \\xNN."""
        return self.stderr_bytes.decode(errors="backslashreplace")

    @property
    def stdout_bytes(self) -> bytes:
        return self._out.bytes()

    @property
    def stderr_bytes(self) -> bytes:
        return self._err.bytes()

    def lines(self) -> list[str]:
        """The complete lines of standard output so far, without their ends."""
        return self.stdout.split("\n")[:-1]

    def objects(self) -> list[Any]:
        """The complete lines of standard output so far, each parsed as JSON."""
        return [json.loads(line) for line in self.lines()]

    def wait_for(
        self, pattern: Pattern, timeout: float = WAIT_SECONDS, stream: str | None = None
    ) -> re.Match[str]:
        """Wait until a text or regular expression is in `stream` ("stdout", "stderr"; None: either)."""
        wanted = re.compile(re.escape(pattern)) if isinstance(pattern, str) else pattern
        streams = [stream] if stream else ["stdout", "stderr"]

        def search() -> re.Match[str] | None:
            found = (wanted.search(getattr(self, name)) for name in streams)
            return next((match for match in found if match), None)

        match: re.Match[str] = self._until(search, timeout, f"{wanted.pattern!r} in {' or '.join(streams)}")
        return match

    def wait_lines(self, count: int, timeout: float = WAIT_SECONDS) -> list[str]:
        """Wait until standard output has at least `count` complete lines; all lines so far."""
        self._until(lambda: self._out.count_lines() >= count, timeout, f"{count} lines")
        return self.lines()

    def captures(self) -> list[Capture]:
        return [self._out, self._err]

    def shown(self) -> str:
        return f"--- stdout\n{self.stdout[-4000:]}\n--- stderr\n{self.stderr[-4000:]}"

    def release(self) -> None:
        if self._feeder is not None:
            self._feeder.join()
        if all(capture.finished(1.0) for capture in self.captures()):
            self._close_files()

    def _close_files(self) -> None:
        self.close_stdin()
        for descriptor in self._files:
            os.close(descriptor)
        self._files = []
