"""A gateway with many guests: 1,000 who only listen, 50 who talk, one who does not read.

    python -m tests.lan.programs.guests [IDLE] [TALKING]

Prints the memory of the gateway before and after, and how long a line takes from one guest to another.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from statistics import median, quantiles

from tests import lab

LINES = 10


async def talk(host: str, port: int, idle: int, talking: int) -> None:
    """All guests, in the namespace of one host; prints the times."""
    silent = [await asyncio.open_connection(host, port) for _ in range(idle)]
    deaf = await asyncio.open_connection(host, port, limit=1)
    deaf[0]._transport.pause_reading()  # type: ignore[attr-defined] # there is no public way
    took: list[float] = []

    async def drain(reader: asyncio.StreamReader) -> None:
        while await reader.read(65536):
            pass

    async def guest(number: int) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        others = asyncio.create_task(listen(reader))
        await asyncio.sleep(3.0 + number / talking)
        for line in range(LINES):
            writer.write(f"{number} {line} {time.monotonic()}\n".encode())
            await asyncio.sleep(1.0)
        await asyncio.sleep(3.0)
        others.cancel()

    async def listen(reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            if found := re.search(rb"\(guest\): \d+ \d+ ([\d.]+)", line):
                took.append(time.monotonic() - float(found[1]))

    draining = [asyncio.create_task(drain(reader)) for reader, _ in silent]
    await asyncio.gather(*map(guest, range(talking)))
    for task in draining:
        task.cancel()
    wanted = talking * (talking - 1) * LINES
    p50, p99 = median(took) * 1000, quantiles(took, n=100)[98] * 1000
    print(f"{len(took)} of {wanted} lines, from guest to guest {p50:.0f} ms (median), {p99:.0f} ms (99 %)")


def main(idle: int, talking: int) -> None:
    """A LAN, a gateway, its guests, and a member who hears all of it."""
    with lab.Lan(hosts=2) as lan:
        gate = lan.hosts[0].mcast("gateway", "lines", "--listen", "10.9.0.1:3000")
        member = lan.hosts[1].mcast("listen", "--json", "-q")
        gate.wait_lines(1)
        memory = [resident(lan, gate)]
        argv = [sys.executable, "-m", "tests.lan.programs.guests", "guests", str(idle), str(talking)]
        guests = lan.hosts[1].spawn(["bash", "-c", f"ulimit -n 8192; exec {' '.join(argv)}"])
        code = guests.wait(300.0)
        memory.append(resident(lan, gate))
        print(guests.stdout, guests.stderr, end="")
        heard = member.stdout.count('"via"')
        print(f"the member heard {heard} of {talking * LINES}")
        print(f"the gateway took {memory[0]:.0f} MB at first, and at most {memory[1]:.0f} MB")
        if code or heard != talking * LINES:
            sys.exit(1)


def resident(lan: lab.Lan, process: lab.Process) -> float:
    """Resident memory in MB."""
    status = lan.namespaces.read(None, f"/proc/{process.pid}/status")[0] or ""
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1000 if found else 0.0


if __name__ == "__main__":
    if sys.argv[1:2] == ["guests"]:
        asyncio.run(talk("10.9.0.1", 3000, int(sys.argv[2]), int(sys.argv[3])))
    else:
        numbers = [int(text) for text in sys.argv[1:]]
        main(*(numbers or [1000, 50]))
