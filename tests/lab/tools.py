"""Run the machine's network programs inside a lab and read what they say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.lab.namespaces import LabError, Namespaces, environment
from tests.lab.process import Process


def execute(namespaces: Namespaces, host: str | None, argv: Sequence[str], input: str = "") -> str:
    """Run a program to its end on a host (None: where the switches are); its output, or a LabError."""
    env = {**environment(), "LC_ALL": "C"}
    with Process(namespaces, host, argv, env, "/", input) as process:
        code = process.wait(60.0)
    if code != 0:
        where = host or "the switch"
        raise LabError(
            f"{' '.join(argv)} on {where} returned {code}: {process.stderr or process.stdout}\n{input}"
        )
    return process.stdout


def ip(namespaces: Namespaces, host: str | None, commands: Iterable[str]) -> None:
    """Run lines of ip(8) in one process; it stops at the first that fails."""
    execute(namespaces, host, ["ip", "-batch", "-"], "".join(f"{command}\n" for command in commands))
