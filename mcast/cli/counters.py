"""--stats: what was sent, received, repaired and dropped so far, again and again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

from mcast.errors import McastError, UsageError
from mcast.runtime.group import Group

from . import options
from .output import Output, OutputClosed, escape, note, rfc3339
from .session import GroupSession, Session

SHORTEST = 0.1
"""Seconds between two times. Shorter ones would take up what is measured."""

Stats = Annotated[
    float | None,
    options.time_option(
        "--stats", help="Every TIME, print what was sent, received, repaired and dropped so far."
    ),
]


@contextlib.asynccontextmanager
async def counted(session: Session, every: float | None, json: Output | None = None) -> AsyncIterator[None]:
    """Print the counters of each group `every` so many seconds: on standard error, or as `json`."""
    if every is None:
        yield
        return
    if every < SHORTEST:
        raise UsageError(f"--stats must be at least {SHORTEST:g}s", "for instance --stats 10s")
    if not isinstance(session, GroupSession):
        raise UsageError("--stats cannot be used with --plain", "leave one of them out")
    printing = asyncio.create_task(_print(session, every, json))
    try:
        yield
    finally:
        printing.cancel()


async def _print(session: GroupSession, every: float, json: Output | None) -> None:
    started = time.monotonic()
    with contextlib.suppress(OutputClosed, McastError):  # the command itself notices and ends
        while True:
            await asyncio.sleep(every)
            for group in session.groups:
                counters = _counters(group, time.monotonic() - started)
                if json is None:
                    note(_line(group, counters))
                else:
                    head = {"v": 1, "type": "stats", "ts": rfc3339(time.time())}
                    where = {"group": str(group.plan.groups[0]), **session.room_field}
                    json.events([{**head, **where, **counters}])


def _counters(group: Group, seconds: float) -> dict[str, Any]:
    """All counters since the command joined. Our own datagrams that came back are left out."""
    stats = group.stats()
    drops = _after("dropped-", stats)
    drops.pop("own", None)
    return {
        "seconds": round(seconds, 1),
        "peers": stats["peers"],
        "interfaces": group.traffic(),
        "frames": _after("sent-", stats),
        "repaired": stats.get("sent-repair", 0),
        "dropped": sum(count for reason, count in drops.items() if reason != "repeated"),
        "drops": drops,
        "kernel_drops": stats["kernel-drops"],
        "failed": _after("send-", stats),
    }


def _after(prefix: str, stats: Mapping[str, int]) -> dict[str, int]:
    return {name.removeprefix(prefix): count for name, count in stats.items() if name.startswith(prefix)}


def _line(group: Group, counters: Mapping[str, Any]) -> str:
    by_interface = "; ".join(
        f"{escape(name)} sent {one['sent']:,} ({_amount(one['sent_bytes'])}), "
        f"received {one['received']:,} ({_amount(one['received_bytes'])})"
        for name, one in counters["interfaces"].items()
    )
    rest = f"repaired {counters['repaired']:,}, dropped {counters['dropped']:,}"
    for what, count in (
        ("dropped by the kernel", counters["kernel_drops"]),
        ("not sent", sum(counters["failed"].values())),
    ):
        rest += f", {what} {count:,}" if count else ""
    peers = counters["peers"]
    return (
        f"{group.plan.groups[0]}: {by_interface or 'no interface'}; {rest}; "
        f"{peers:,} peer{'' if peers == 1 else 's'}"
    )


def _amount(size: int) -> str:
    """A number of bytes with a unit."""
    amount = float(size)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:,.1f} GB"
