"""Whether an IGMP querier of the old kind was heard: what an unprivileged program can know of the switches.

A switch that snoops while no querier asks forgets its members after some minutes and the group goes silent
(RFC 4541, 2.1.1); leaving and joining again mends it. Linux shows V1 or V2 in /proc/net/igmp for 260 s after
such a query (proc(5)); a V3 querier leaves no trace there, so that with one we rejoin for nothing, at the
price of a few datagrams a minute.
"""

from __future__ import annotations

from pathlib import Path

_IGMP = Path("/proc/net/igmp")


def interfaces_with_querier(table: str) -> frozenset[str]:
    """Names of the interfaces that the text of /proc/net/igmp shows in V1 or V2 mode."""
    found = set()
    for line in table.splitlines():
        words = line.replace(":", " ").split()
        # "2 eth0 : 3 V2": index, device, count, querier; lines of groups are indented and have other words.
        if len(words) >= 4 and words[0].isdigit() and words[-1] in ("V1", "V2"):
            found.add(words[1])
    return frozenset(found)


def heard() -> frozenset[str]:
    """Names of the interfaces on which an old querier was heard lately; empty where nothing tells."""
    try:
        return interfaces_with_querier(_IGMP.read_text(encoding="ascii", errors="replace"))
    except OSError:
        return frozenset()
