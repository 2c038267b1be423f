"""Running programs on a host."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.namespaces import LabError, environment
from tests.lab.process import Process
from tests.lab.terminal import Terminal

if TYPE_CHECKING:
    from tests.lab.lan import Lan

REPOSITORY = Path(__file__).resolve().parents[2]
Env = Mapping[str, str] | None


class Programs:
    """The part of a host that runs things. All that is still running when the lab closes is killed."""

    lan: Lan
    name: str
    home: Path

    def environment(self) -> dict[str, str]:
        """The machine's environment with a home of the host's own and without a user's settings of mcast."""
        kept = {
            name: value for name, value in environment().items() if not name.startswith(("MCAST_", "XDG_"))
        }
        home = str(self.home)
        directories = {
            f"XDG_{kind}_HOME": f"{home}/.{kind.lower()}" for kind in ("CONFIG", "DATA", "STATE", "CACHE")
        }
        own = {"HOME": home, "XDG_RUNTIME_DIR": home, "PYTHONPATH": str(REPOSITORY), "LC_ALL": "C.UTF-8"}
        return {**kept, **directories, **own, "TERM": "xterm-256color"}

    def spawn(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes | None = None,
        env: Env = None,
        cwd: str | None = None,
    ) -> Process:
        """Start a process with captured output. `input` is written and closed; None leaves stdin open."""
        process = self._process(argv, input, env, cwd)
        self.lan.running.append(process)
        return process

    def _process(
        self, argv: Sequence[str], input: str | bytes | None, env: Env, cwd: str | None = None
    ) -> Process:
        everything = {**self.environment(), **(env or {})}
        return Process(self.lan.namespaces, self.name, argv, everything, cwd or str(REPOSITORY), input)

    def terminal(
        self,
        argv: Sequence[str],
        *,
        columns: int = 100,
        rows: int = 30,
        env: Env = None,
        cwd: str | None = None,
    ) -> Terminal:
        """Start a process on a pseudo-terminal."""
        everything = {**self.environment(), **(env or {})}
        size = (columns, rows)
        process = Terminal(self.lan.namespaces, self.name, argv, everything, cwd or str(REPOSITORY), *size)
        self.lan.running.append(process)
        return process

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes = "",
        timeout: float = 30.0,
        env: Env = None,
        check: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run a process to its end. With `check`, a return code other than 0 is a LabError."""
        with self._process(argv, input, env) as process:
            code = process.wait(timeout)
        if check and code != 0:
            raise LabError(
                f"{' '.join(argv)} on {self.name} returned {code}: {process.stderr or process.stdout}"
            )
        return subprocess.CompletedProcess(list(argv), code, process.stdout, process.stderr)

    def mcast(self, *arguments: str, input: str | bytes | None = None, env: Env = None) -> Process:
        """Start the mcast of this checkout."""
        return self.spawn([sys.executable, "-m", "mcast", *arguments], input=input, env=env)

    def mcast_terminal(
        self, *arguments: str, columns: int = 100, rows: int = 30, env: Env = None
    ) -> Terminal:
        """Start the mcast of this checkout on a pseudo-terminal."""
        argv = [sys.executable, "-m", "mcast", *arguments]
        return self.terminal(argv, columns=columns, rows=rows, env=env)

    def python(self, code: str, *arguments: str, input: str | bytes | None = None) -> Process:
        """Start a Python program given as text (indented as one likes); `arguments` are its sys.argv[1:]."""
        return self.spawn([sys.executable, "-u", "-c", textwrap.dedent(code), *arguments], input=input)
