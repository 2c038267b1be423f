"""Whom a command meets: pinned, and told apart from those who were verified."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from mcast.aio import Group
from mcast.cli.items import GroupContext, Item, PeerItem
from mcast.cli.people import Acquaintances
from mcast.core.events import PeerId, PeerView
from mcast.crypto.keys import Identity
from mcast.errors import McastError
from mcast.store.people import People

ME, BOB, EVE = (Identity(bytes([number]) * 32) for number in (1, 2, 3))


@pytest.fixture
def people(tmp_path: Path) -> People:
    return People(tmp_path / "people.db")


def _context(known: tuple[Identity, ...] = (ME, BOB, EVE)) -> GroupContext:
    keys = {identity.origin: identity.public_key for identity in known}
    group = SimpleNamespace(
        groups=["230.0.0.1:28003"],
        origin=ME.origin,
        public_key=lambda peer_id: keys.get(peer_id.origin),
        interface_of=lambda source: None,
        links=SimpleNamespace(used=()),
    )
    return GroupContext(cast(Group, group), "")


def _joins(identity: Identity, name: str, context: GroupContext, incarnation: int = 1) -> Item:
    return PeerItem("join", PeerView(PeerId(identity.origin, incarnation), name), context)


def test_who_looks_like_somebody_verified_raises_one_alarm(people: People) -> None:
    people.verify(BOB.public_key, "bob", 100.0)

    async def meet() -> None:
        known, context = Acquaintances(people, pins=True), _context()
        joins = [_joins(ME, "b0b", context), _joins(BOB, "bob", context), _joins(EVE, "b0b", context)]
        checked = known.checked(joins, context)
        assert [item.type for item in checked] == ["join", "join", "alarm", "join"]
        alarm = checked[2]
        assert alarm.notice() == (
            f"ALARM: b0b·{EVE.origin.hex()[:4]} is not bob·{BOB.origin.hex()[:4]}, "
            "whom you verified: the names look alike, but the keys differ"
        )
        assert alarm.json()["kind"] == "look-alike"
        assert alarm.json()["like"] == {"id": BOB.origin.hex()[:16], "name": "bob"}
        assert len(known.checked([_joins(EVE, "b0b", context, 2)], context)) == 1  # it was told
        await known.close()

    asyncio.run(meet())


def test_who_is_met_is_pinned_when_the_key_is_known(people: People, tmp_path: Path) -> None:
    async def meet(pins: bool) -> None:
        known, context = Acquaintances(People(tmp_path / "people.db"), pins=pins), _context((ME, BOB))
        known.checked([_joins(BOB, "bob", context), _joins(EVE, "eve", context)], context)
        await known.close()

    asyncio.run(meet(False))
    assert people.all() == []
    asyncio.run(meet(True))
    assert [person.key for person in people.all()] == [BOB.public_key]


def test_a_disk_that_fails_is_told_once(
    people: People, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(self: People) -> None:
        raise McastError("cannot use people.db", "free some disk space")

    monkeypatch.setattr(People, "save", fail)

    async def meet() -> None:
        known, context = Acquaintances(people, pins=True), _context()
        known.checked([_joins(BOB, "bob", context)], context)
        known._save()
        assert known._saving is not None
        await known._saving
        known.checked([_joins(EVE, "eve", context)], context)
        await known.close()

    asyncio.run(meet())
    assert capsys.readouterr().err.count("whom you meet is no longer remembered") == 1
