"""What is found: texts as they are shown, bounds, and changes for a reader that is slow."""

from __future__ import annotations

import asyncio

from mcast.core.events import PeerId
from mcast.discovery.found import Changes, Found, record_of

PEER = PeerId(b"o" * 16, 1)


def entry(key: str = "a", name: str = "nas", **more: object) -> Found:
    return Found("mdns", key, name, "_http._tcp", **more)  # type: ignore[arg-type]  # of any field


def test_tags_are_the_first_of_each_key_as_text() -> None:
    strings = (
        b"a=1",
        b"A=2",
        b"flag",
        b"e=",
        b"=x",
        b"",
        b"b=\xff\x01=",
        "ü=ö".encode(),
        b"mcast=1.x",
        b"mcast-at=y",
    )
    tags = {"a": "1", "flag": None, "e": "", "b": "\\xff\x01=", "ü": "ö"}
    assert entry(strings=strings, peer_id=PEER).tags == tags
    assert entry(strings=strings).tags == {**tags, "mcast": "1.x", "mcast-at": "y"}
    assert not entry(strings=strings).is_text
    assert entry(strings=(b"\xc3", b"\xbc")).is_text is False
    assert entry(strings=("ü".encode(), b"a")).is_text
    assert record_of((b"a", b"")) == b"\1a\0"


async def take(changes: Changes) -> list[tuple[str, str]]:
    async with asyncio.timeout(30):
        return [(kind, found.name) for kind, found in await anext(changes.batches())]


def test_a_slow_reader_is_told_what_is_so_now() -> None:
    async def scenario() -> None:
        changes = Changes(10)
        changes.put(entry())
        changes.put(entry("b", "gone"))
        changes.remove("b")
        changes.remove("c")
        assert await take(changes) == [("join", "nas")]
        changes.put(entry())
        changes.put(entry(name="nas 2"))
        assert await take(changes) == [("update", "nas 2")]
        changes.remove("a")
        changes.put(entry(name="nas 2"))
        changes.put(entry("d", "new"))
        assert await take(changes) == [("join", "new")]
        changes.remove("a")
        assert len(changes) == 1
        assert await take(changes) == [("leave", "nas 2")]

    asyncio.run(scenario())


def test_made_up_entries_have_a_bound_and_who_was_here_stays() -> None:
    async def scenario() -> None:
        changes = Changes(10)
        changes.put(entry("honest", "honest"))
        for number in range(1000):
            changes.put(entry(f"{number}", f"{number}"))
        changes.put(entry("honest", "changed"))
        assert (len(changes), changes.refused) == (10, 991)
        assert ("join", "changed") in await take(changes)

    asyncio.run(scenario())
