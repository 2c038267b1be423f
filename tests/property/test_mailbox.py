"""Whatever happens to a mailbox, a private text is handed to the group for its recipient only."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from mcast.aio import Group
from mcast.cli.mailbox import Mailbox
from mcast.core.events import PeerId
from mcast.errors import GroupClosed, McastError
from mcast.events import PeerView
from mcast.store.letters import Letters

SECRET = b"between you and me"
PEOPLE = [b"b" * 16, b"c" * 16]
STEPS = ("send", "keep", "come", "go", "confirm", "lose", "close", "open", "wait", "restart")


class Wire:
    """A group in which everything goes wrong. It refuses a private text that is for nobody or for another."""

    def __init__(self) -> None:
        self.here: dict[bytes, PeerView] = {}
        self.arrives = self.open = True
        self.peer_id, self.room = PeerId(b"a" * 16, 1), SimpleNamespace(id=b"r" * 16)
        self.sent = 0

    def peers(self) -> list[PeerView]:
        return list(self.here.values())

    async def send(self, data: bytes, *, to: PeerView | None = None, letter: int = 0) -> Any:
        assert to is not None
        assert data == SECRET + to.peer_id.origin
        if not self.open:
            raise GroupClosed("this group has been closed", "join again")
        self.sent += 1

        async def confirmed(*, timeout: float) -> bool:
            await asyncio.sleep(0)
            return self.arrives

        return SimpleNamespace(confirmed=confirmed, id=str(self.sent))


async def _play(steps: list[tuple[str, int]], path: Path) -> None:
    wire = Wire()

    def start() -> Mailbox:
        return Mailbox(cast(Group, wire), Letters(path), lambda peer_id, name: name)

    mailbox = start()
    running = asyncio.ensure_future(mailbox.run())
    for number, (step, person) in enumerate(steps):
        origin = PEOPLE[person]
        peer = PeerView(PeerId(origin, number + 1), "somebody")
        with contextlib.suppress(McastError):
            if step == "send":
                await mailbox.send(wire.here.get(origin, peer), SECRET + origin)
            elif step == "keep":
                await mailbox.keep(peer, SECRET + origin)
            elif step == "come":
                wire.here[origin] = peer
                mailbox.came(origin)
            elif step == "go":
                wire.here.pop(origin, None)
            elif step in ("confirm", "lose"):
                wire.arrives = step == "confirm"
            elif step in ("close", "open"):
                wire.open = step == "open"
            elif step == "wait":
                await asyncio.sleep(0.01)
            else:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                await mailbox.close()
                mailbox = start()
                running = asyncio.ensure_future(mailbox.run())
    await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await mailbox.close()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 1)), max_size=12))
def test_the_text_goes_to_its_recipient_or_nowhere(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_play(steps, Path(directory) / "letters.db"))
