"""The marks of one's own lines claim what was confirmed, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from mcast.aio import Receipt
from mcast.cli.chat import delivery
from mcast.cli.chat.delivery import Delivery, with_silence
from mcast.cli.chat.render import ALL, REFUSED, SOME, UNHEARD, text_of
from mcast.cli.items import GroupContext, PeerLabels
from mcast.core.events import PeerId, PeerView
from mcast.errors import PermissionRefused
from mcast.interfaces import Interface
from mcast.net.links import Links


def peer(name: str, **fields: Any) -> PeerView:
    return PeerView(PeerId(name.encode().ljust(16, b"\0"), 1), name, **fields)


BOB, CYD = peer("bob"), peer("cyd")
BOB_LABEL, CYD_LABEL = "bob·626f", "cyd·6379"


class FakeGroup:
    """What Delivery looks at of a group."""

    def __init__(self) -> None:
        self.here: list[PeerView] = []
        self.refusal: PermissionRefused | None = None
        self.links = self
        self.used = [Interface("eth0", 2, up=True, multicast=True)]
        self.now = 100.0

    def peers(self) -> list[PeerView]:
        return self.here


class FakeReceipt:
    def __init__(self, name: str, group: FakeGroup) -> None:
        self.id, self._group = name, group
        self.heard_by: list[PeerView] = []
        self.gone: list[PeerView] = []
        self.asked: list[int | None] = []

    @property
    def unheard_by(self) -> list[PeerView]:
        return [one for one in [*self._group.here, *self.gone] if one not in self.heard_by]

    async def confirmed(self, count: int | None, *, timeout: float) -> bool:
        self.asked.append(count)
        return False


class Scene:
    def __init__(self) -> None:
        self.group = FakeGroup()
        self.marks: dict[str, str] = {}
        self.said: list[str] = []
        context = GroupContext.__new__(GroupContext)
        context.group, context.labels = cast(Any, self.group), PeerLabels()
        self.context = context
        self.delivery = Delivery(context, self.marks.__setitem__, lambda: None, self.said.append)

    def send(self, name: str) -> FakeReceipt:
        receipt = FakeReceipt(name, self.group)
        self.marks[name] = self.delivery.sent(cast(Receipt, receipt))
        return receipt

    async def become(self, name: str, mark: str) -> None:
        self.delivery.happened()
        async with asyncio.timeout(20):
            while self.marks[name] != mark:  # noqa: ASYNC110 - what is tested has no event for it
                await asyncio.sleep(0.01)

    @property
    def status(self) -> str:
        return text_of(self.delivery.status())


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "CONFIRMED", 0.05)
    monkeypatch.setattr(delivery, "LOOK", 0.01)
    monkeypatch.setattr(delivery, "SELDOM", 0.02)


def test_a_line_is_heard_by_some_then_by_all_until_another_comes() -> None:
    async def main() -> None:
        scene = Scene()
        scene.group.here = [BOB, CYD]
        assert (scene.delivery.status(), scene.delivery.report()) == ([], ["you have said nothing yet"])
        receipt = scene.send("one")
        assert (scene.marks["one"], scene.status) == ("", "sent")
        receipt.heard_by = [BOB]
        await scene.become("one", SOME)
        assert scene.status == f"heard by 1 of 2, not by {CYD_LABEL}"
        receipt.heard_by = [BOB, CYD]
        await scene.become("one", ALL)
        assert scene.status == "heard by all 2 here"
        scene.group.here = [BOB, CYD, peer("dan", joined=101.0)]
        await scene.become("one", SOME)
        assert scene.status == "heard by all 2 who were here; dan·6461 came later"
        assert receipt.asked[:2] == [None, None], "who came later is asked"
        scene.group.here = [peer(f"peer {number}") for number in range(delivery.CROWD + 1)]
        before = len(receipt.asked)
        scene.delivery.happened()
        async with asyncio.timeout(20):
            while len(receipt.asked) == before:  # noqa: ASYNC110 - what is tested has no event for it
                await asyncio.sleep(0.01)
        assert receipt.asked[-1] == 1, "a crowd does not answer each line"
        scene.group.here = [BOB, CYD]
        receipt.heard_by = [*scene.group.here]
        await scene.become("one", ALL)
        assert scene.said == []
        await scene.delivery.close()

    asyncio.run(main())


def test_who_left_without_a_word_is_not_here() -> None:
    async def main() -> None:
        scene = Scene()
        scene.group.here = [BOB, CYD]
        receipt = scene.send("one")
        receipt.heard_by, receipt.gone, scene.group.here = [BOB], [CYD], [BOB]
        await scene.become("one", ALL)
        assert scene.status == f"heard by {BOB_LABEL}"
        await scene.delivery.close()

    asyncio.run(main())


def test_nobody_confirms_is_told_once_until_somebody_does() -> None:
    async def main() -> None:
        scene = Scene()
        scene.send("one")
        await scene.become("one", UNHEARD)
        assert scene.status == "nobody was here"
        scene.group.here = [BOB]
        assert scene.status == "nobody has confirmed it yet"
        receipt = scene.send("two")
        await scene.become("two", UNHEARD)
        assert len(scene.said) == 1
        assert "nobody has confirmed this yet" in scene.said[0]
        receipt.heard_by = [BOB]
        await scene.become("two", ALL)
        scene.send("three")
        await scene.become("three", UNHEARD)
        assert len(scene.said) == 2
        await scene.delivery.close()

    asyncio.run(main())


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("why", ["no network", "only loopback", "refused"])
def test_what_could_not_be_sent_says_so_and_is_confirmed_once_it_was(why: str, at_once: bool) -> None:
    async def main() -> None:
        scene = Scene()
        group = scene.group
        group.here = [BOB]
        used = group.used
        if why == "refused":
            group.refusal = PermissionRefused("a firewall refuses it", "allow it")
        else:
            group.used = [] if why == "no network" else [Interface("lo", 1, up=True, loopback=True)]
        receipt = scene.send("one")
        assert scene.marks["one"] == REFUSED
        assert scene.status == (
            "not sent: a firewall refuses it" if group.refusal else "not sent: there is no network"
        )
        group.used, group.refusal = used, None
        if not at_once:
            await asyncio.sleep(0.06)
            await scene.become("one", UNHEARD)
        receipt.heard_by = [BOB]
        await scene.become("one", ALL)
        assert any("has arrived: heard by bob" in text for text in scene.said)
        await scene.delivery.close()

    asyncio.run(main())


def test_the_report_names_who_has_the_last_line_and_who_has_not() -> None:
    async def main() -> None:
        scene = Scene()
        silent = peer("cyd", suspect=True, heard=86.0)
        scene.group.here = [BOB, silent]
        scene.send("one").heard_by = [BOB]
        await scene.become("one", SOME)
        first, heard, missing = scene.delivery.report()
        assert first.endswith(f"heard by 1 of 2, not by {CYD_LABEL}")
        assert heard == f"heard by: {BOB_LABEL}"
        assert missing == f"not confirmed by: {CYD_LABEL} (suspect since 14 s)"
        assert with_silence(scene.context, BOB) == BOB_LABEL
        crowd = [peer(f"peer {number}") for number in range(100)]
        scene.group.here = [BOB, *crowd]
        assert scene.status.endswith("and 97 more") or scene.status.endswith(", 97 more")
        await scene.delivery.close()

    asyncio.run(main())


def test_only_the_last_lines_are_watched() -> None:
    async def main() -> None:
        scene = Scene()
        receipts = [scene.send(str(number)) for number in range(30)]
        for receipt in receipts:
            receipt.heard_by = [BOB]
        await scene.become("29", ALL)
        assert scene.marks["9"] != ALL
        assert scene.marks["10"] == ALL
        await scene.delivery.close()
        await Scene().delivery.close()

    asyncio.run(main())


def test_a_receipt_and_links_have_what_is_looked_at() -> None:
    assert all(hasattr(Receipt, name) for name in ("id", "heard_by", "unheard_by", "confirmed"))
    assert hasattr(Links, "used")
