"""Private messages of a chat: sent to who is here, kept for who is not, and sent when that person returns."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from mcast.aio import Group, PrivateReceipt, private_id
from mcast.core.events import PeerId
from mcast.errors import GroupClosed, McastError
from mcast.events import PeerView
from mcast.store.letters import LIFE, Letter, Letters

from .output import clock, note
from .private import new_letter
from .profiles import Profile, data_directory

DELIVERED = 10.0
"""Seconds in which a message should be confirmed. It is repeated for as long."""
LOOK = 20.0
"""Seconds between two looks at who of those is here for whom something waits."""
KEPT = f"it is kept for {LIFE / 3600:.0f} hours, and sent when both of you are here"

Label = Callable[[PeerId, str], str]


def letters_file(profile: str) -> Path:
    """Where the private messages of an identity wait."""
    return data_directory() / f"letters-{Profile(profile).name}.db"


def keep(profile: str, room: bytes, peer: PeerView, bodies: Mapping[int, bytes]) -> None:
    """Keep messages, each with its letter, for a person; a chat of this identity in this room sends them."""
    letters = Letters(letters_file(profile))
    for letter, body in bodies.items():
        letters.add(room, peer.peer_id.origin, peer.name, body, time.time(), letter=letter)
    letters.close()


class Mailbox:
    """Sends private messages in the room of `group`, and keeps in `letters` what was not confirmed.

    Without `letters` nothing is kept. `label` is how a person is called. `on_outcome` is told whether a
    message has arrived, with the id that send() or keep() returned.
    """

    def __init__(self, group: Group, letters: Letters | None, label: Label) -> None:
        self._group, self._letters, self._label = group, letters, label
        self._room = group.room.id
        self.on_outcome: Callable[[str, bool], None] = lambda message_id, arrived: None
        self._ids: dict[int, str] = {}
        self._wanted: set[bytes] = set()
        self._wake = asyncio.Event()
        self._deliveries: set[asyncio.Task[None]] = set()

    @property
    def keeps(self) -> bool:
        """Whether messages are kept for who is not here."""
        return self._letters is not None

    async def send(self, peer: PeerView, data: bytes) -> PrivateReceipt:
        """Send to a peer that is here."""
        letter = new_letter()
        number = await self._keep(peer, data, letter, claim=True)
        try:
            receipt = await self._group.send(data, to=peer, letter=letter if number is not None else 0)
        except McastError:
            if self._letters is not None and number is not None:
                await asyncio.to_thread(self._letters.remove, [number])
            raise
        self._start(self._watch(number, receipt, peer))
        return receipt

    async def keep(self, peer: PeerView, data: bytes) -> str:
        """Keep a message for somebody who is not here; its id. McastError if that is not possible."""
        letter = new_letter()
        number = await self._keep(peer, data, letter, claim=False)
        message_id = private_id(self._group.peer_id, 0, letter)
        self._ids[number or 0] = message_id
        return message_id

    async def run(self) -> None:
        """Send what waits to whoever of those is here, until cancelled."""
        if self._letters is None:
            return
        try:
            await self._look(self._letters)
        except McastError as error:
            note(f"{error}; private messages are no longer kept")
            self._letters = None

    def came(self, origin: bytes) -> None:
        """Somebody is here."""
        if origin in self._wanted:
            self._wake.set()

    async def close(self) -> None:
        """Stop waiting; what was not confirmed stays kept."""
        for task in list(self._deliveries):
            task.cancel()
        await asyncio.gather(*self._deliveries, return_exceptions=True)
        if self._letters is not None:
            self._letters.close()

    async def _keep(self, peer: PeerView, data: bytes, letter: int, *, claim: bool) -> int | None:
        letters = self._letters
        if letters is None:
            return None
        origin = peer.peer_id.origin
        number = await asyncio.to_thread(
            letters.add, self._room, origin, peer.name, data, time.time(), letter=letter, claim=claim
        )
        self._wanted.add(origin)
        return number

    async def _look(self, letters: Letters) -> None:
        told = False
        while True:
            now = time.time()
            for letter in await asyncio.to_thread(letters.expire, self._room, now):
                note(f"{self._name(letter)} never came: your private message of {_time(letter)} is removed")
            waiting = await asyncio.to_thread(letters.waiting, self._room)
            self._wanted = {letter.origin for letter in waiting}
            if waiting and not told:
                names = ", ".join(sorted({self._name(letter) for letter in waiting}))
                note(f"{len(waiting)} private message{'s' if len(waiting) > 1 else ''} wait for {names}")
            told = True
            here = {peer.peer_id.origin: peer for peer in self._group.peers()}
            wanted = [origin for origin in self._wanted if origin in here]
            taken = await asyncio.to_thread(letters.take, self._room, wanted, now) if wanted else []
            for origin in dict.fromkeys(letter.origin for letter in taken):
                theirs = [letter for letter in taken if letter.origin == origin]
                self._start(self._deliver(letters, here[origin], theirs))
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._wake.wait()

    async def _deliver(self, letters: Letters, peer: PeerView, theirs: Sequence[Letter]) -> None:
        """Send letters to one peer, in their order."""
        sent = [(one, await self._group.send(one.data, to=peer, letter=one.letter)) for one in theirs]
        for letter, receipt in sent:
            if await receipt.confirmed(timeout=DELIVERED):
                await asyncio.to_thread(letters.remove, [letter.number])
                self.on_outcome(self._ids.pop(letter.number, ""), True)
                note(f"{self._label(peer.peer_id, peer.name)} has your private message of {_time(letter)}")
            else:
                await asyncio.to_thread(letters.release, [letter.number])

    async def _watch(self, number: int | None, receipt: PrivateReceipt, peer: PeerView) -> None:
        """Say so if a message does not arrive. If it was kept under a `number`, it is sent again later."""
        arrived = await receipt.confirmed(timeout=DELIVERED)
        letters = self._letters
        self.on_outcome(receipt.id, arrived)
        if number is not None and not arrived:
            self._ids[number] = receipt.id
        if not arrived:
            label, kept = self._label(peer.peer_id, peer.name), "" if number is None else f": {KEPT}"
            note(f"{label} did not confirm your private message{kept}")
        if letters is not None and number is not None:
            await asyncio.to_thread(letters.remove if arrived else letters.release, [number])

    def _name(self, letter: Letter) -> str:
        return self._label(PeerId(letter.origin, 0), letter.name)

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(_quietly(work))
        self._deliveries.add(task)
        task.add_done_callback(self._deliveries.discard)


async def _quietly(work: Awaitable[None]) -> None:
    try:
        await work
    except GroupClosed:
        pass  # the letters stay
    except McastError as error:
        note(str(error))


def _time(letter: Letter) -> str:
    return clock(letter.at)
