"""How long it takes from the start of Python to help, an import, the first datagram, the first prompt."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from tests import lab
from tests.bench.options import Options, say
from tests.bench.rows import Row

Timed = Callable[[], float]
SEND_NEEDS = (
    "asyncio, cryptography.hazmat.primitives.ciphers.aead, cryptography.hazmat.primitives.kdf.hkdf, hashlib, "
    "msgspec, nacl._sodium, netifaces, platformdirs.unix, psutil, random, typer"
)
CHAT_NEEDS = f"{SEND_NEEDS}, prompt_toolkit"
"""What sends or chats cannot do without, imported by itself; docs/performance.md says what each is for."""
PROMPT = re.compile("^>", re.MULTILINE)
ON_THE_WIRE = """
    import socket, struct, time
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("230.0.0.1", 28003))
    index = struct.pack("@4s4si", socket.inet_aton("230.0.0.1"), bytes(4), socket.if_nametoindex("eth0"))
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, index)
    print("ready", flush=True)
    s.recv(2048)
    print(time.monotonic(), flush=True)
"""


def measure(options: Options) -> Iterator[Row]:
    """Interleaved rounds, more of them than elsewhere: each takes a fraction of a second."""
    rounds = 5 if options.quick else max(11, 2 * options.rounds + 1)
    say(f"start-up, {rounds} rounds")
    yield from _compared(rounds, _local(options))
    with lab.Lan(2) as lan:
        yield from _compared(rounds, _on(lan))


Pair = tuple[str, str, Timed, str, Timed, float]
"""Case, who, how long it takes; the reference and how long that takes; the most the ratio may be."""


def _local(options: Options) -> list[Pair]:
    zeroconf = options.python("zeroconf")
    pairs: list[Pair] = [
        (
            "--help",
            "mcast --help",
            _run("-m", "mcast", "--help"),
            "import typer",
            _run("-c", "import typer"),
            2.0,
        )
    ]
    if _can(zeroconf, "zeroconf"):
        reference = ("import zeroconf", _run("-c", "import zeroconf", python=zeroconf), 1.0)
    else:
        # asyncio alone was 98 ms where zeroconf was 128.
        reference = ("import asyncio", _run("-c", "import asyncio"), 1.3)
    return [*pairs, ("import", "import mcast", _run("-c", "import mcast"), *reference)]


def _on(lan: lab.Lan) -> list[Pair]:
    here, there = lan.hosts

    def imports(names: str) -> Timed:
        def took() -> float:
            start = time.monotonic()
            done = here.run([sys.executable, "-c", f"import {names}, time; print(time.monotonic())"])
            return float(done.stdout) - start

        return took

    def first_datagram() -> float:
        watching = there.python(ON_THE_WIRE)
        watching.wait_lines(1)
        start = time.monotonic()
        with here.mcast("send", "--linger", "0", "x"):
            return float(watching.wait_lines(2)[1]) - start

    def prompt() -> float:
        start = time.monotonic()
        with here.mcast_terminal("chat") as chat:
            chat.wait_for_screen(PROMPT)
            return time.monotonic() - start

    return [
        ("first datagram", "mcast send x", first_datagram, "its imports", imports(SEND_NEEDS), 1.3),
        ("prompt", "mcast chat", prompt, "its imports", imports(CHAT_NEEDS), 1.3),
    ]


def _compared(rounds: int, pairs: list[Pair]) -> Iterator[Row]:
    for _, _, timed, _, reference, _ in pairs:
        timed()
        reference()
    took: dict[str, list[float]] = {}
    for _ in range(rounds):
        for case, who, timed, base, reference, _ in pairs:
            took.setdefault(case + who, []).append(1000 * timed())
            took.setdefault(case + base, []).append(1000 * reference())
    for case, who, _, base, _, most in pairs:
        ours, theirs = took[case + who], took[case + base]
        ratio = statistics.median(ours) / statistics.median(theirs)
        yield Row("start-up", case, base, tuple(theirs), "ms")
        yield Row("start-up", case, who, tuple(ours), "ms", base, ratio, most, at_most=True)


def _run(*arguments: str, python: str = sys.executable) -> Timed:
    def took() -> float:
        start = time.monotonic()
        subprocess.run([python, *arguments], stdout=subprocess.DEVNULL, check=True)
        return time.monotonic() - start

    return took


def _can(python: str, name: str) -> bool:
    return subprocess.run([python, "-c", f"import {name}"], capture_output=True, check=False).returncode == 0
