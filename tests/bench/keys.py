"""How long a key takes to appear in a chat into which 500 messages a second come, and what that costs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from tests import lab
from tests.bench.options import Options, say
from tests.bench.rows import Row

RATE = 500
"""Messages a second."""
SECONDS = 30.0
WANTED = 100.0
"""Milliseconds that 99 of 100 keys may take."""
FLOOD = """
    import asyncio, sys, time
    from mcast import aio

    async def main():
        async with aio.join(sys.argv[1], name="FLOOD") as group:
            await asyncio.sleep(2.0)
            start, sent = time.monotonic(), 0
            while (now := time.monotonic() - start) < float(sys.argv[3]):
                while sent < now * int(sys.argv[2]):
                    await group.send(f"MESSAGE {sent} OF A FLOOD THAT GOES ON AND ON")
                    sent += 1
                await asyncio.sleep(0.002)
            print(sent)

    asyncio.run(main())
"""
# Types a letter that nothing else has, waits until it is written, and clears the line again.
TYPIST = """
    import contextlib, fcntl, json, os, pty, re, select, struct, sys, termios, time

    group, seconds = sys.argv[1], float(sys.argv[2])
    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "xterm-256color"
        command = ["-m", "mcast", "chat", "--no-history", "--name", "ADA", "--group", group]
        os.execv(sys.executable, [sys.executable, *command])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    seen = b""

    def until(text, limit):
        global seen
        end = time.monotonic() + limit
        while text not in seen and time.monotonic() < end:
            if select.select([terminal], [], [], 0.05)[0]:
                seen = seen[-1000:] + os.read(terminal, 1 << 16)
        return text in seen

    def memory():
        return int(re.search(r"VmRSS:\\s+(\\d+)", open(f"/proc/{child}/status").read())[1])

    assert until(b"MESSAGE", 60.0)
    delays, start, begun, before = [], time.monotonic(), os.times(), memory()
    while time.monotonic() < start + seconds:
        until(b"nothing like it", 0.1)
        seen = b""
        pressed = time.monotonic()
        os.write(terminal, "\\u0436".encode())
        assert until("\\u0436".encode(), 10.0)
        delays.append(time.monotonic() - pressed)
        os.write(terminal, b"\\x15")
    stat = open(f"/proc/{child}/stat").read().rpartition(")")[2].split()
    cpu = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
    after = memory()
    os.write(terminal, b"\\x04")
    with contextlib.suppress(OSError):  # that is how the end of a terminal is read
        until(b"nothing like it", 10.0)
    os.waitpid(child, 0)
    took = time.monotonic() - start
    print(json.dumps({"delays": sorted(delays), "cpu": cpu, "seconds": took, "kib": [before, after]}))
"""


def measure(options: Options) -> Iterator[Row]:
    """One run of half a minute, or of a few seconds for a quick look."""
    seconds = 5.0 if options.quick else SECONDS
    say(f"keys, {seconds:.0f} s")
    group = "230.0.0.1:28003"
    with lab.Lan(2) as lan:
        typist = lan.hosts[0].python(TYPIST, group, str(seconds))
        flood = lan.hosts[1].python(FLOOD, group, str(RATE), str(seconds + 8.0))
        if flood.wait(seconds + 60.0) or typist.wait(60.0):
            print(flood.stderr, typist.stderr, file=sys.stderr)
            return
        found = json.loads(typist.stdout)
    delays = [1000 * delay for delay in found["delays"]]
    before, after = found["kib"]
    yield Row(
        "keys",
        f"p99 at {RATE} messages/s",
        "mcast chat",
        (delays[int(0.99 * len(delays))],),
        "ms",
        target=WANTED,
        at_most=True,
        note=f"median {delays[len(delays) // 2]:.0f} ms of {len(delays)} keys, "
        f"{100 * found['cpu'] / found['seconds']:.0f} % of a core, memory {before} to {after} KiB",
        details=found,
    )
