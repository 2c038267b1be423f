"""Messages to one peer from the command line: who is meant by a name, and whether they arrived."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence

from mcast.aio import Group
from mcast.errors import McastError, UsageError
from mcast.events import PeerView

from . import exits
from .items import VERIFIED, PeerLabels
from .output import note

SHORTEST_ID = 4
"""Hex digits of an identity that may stand for a peer, as in labels."""


def new_letter() -> int:
    """A number by which a message is known again when it is sent once more."""
    return int.from_bytes(os.urandom(8), "big") >> 2 | 1


class NobodyThere(McastError):
    """No peer has the name that was given."""


async def find(group: Group, name: str) -> PeerView:
    """The peer that `name` means: its name, its label (`ada·a3f2`), or the first digits of its identity.

    Waits until everybody who is here is known. Raises NobodyThere, or UsageError if several are meant.
    """
    await group.acquaint()
    return _only(matching(group.peers(), name), name)


def matching(peers: Sequence[PeerView], name: str) -> list[PeerView]:
    """The peers that `name` can mean."""
    return [peer for peer in peers if means(peer.name, peer.peer_id.origin, name)]


def means(name: str, origin: bytes, text: str) -> bool:
    """Whether `text` can mean somebody called `name`: as name, label, or first digits of the identity.

    The attack: to take the digits of another's identity as a name.
    """
    text = text.removesuffix(VERIFIED)
    called, _, start = text.rpartition("·") if "·" in text else (text, "", "")
    if start:
        return name == called and origin.hex().startswith(start)
    digits = text.lower() if len(text) >= SHORTEST_ID else "-"
    return name == text or origin.hex().startswith(digits)


def addressed(peers: Sequence[PeerView], line: str) -> tuple[PeerView, str] | None:
    """The peer and the text of `NAME TEXT`; None if there is no text. A name may have spaces.

    Raises NobodyThere, or UsageError if several are meant. The attack: to take a name and the first word of a
    message to it as a name. Only a name with the identity behind it goes before another.
    """
    words = line.split(" ")
    cuts = [(" ".join(words[:count]), " ".join(words[count:])) for count in range(1, len(words))]
    found = [(matching(peers, name), name, text) for name, text in cuts]
    found = [one for one in found if one[0]]
    found = [one for one in found if "·" in one[1]] or found
    if found:
        meant = [peer for some, *_ in found for peer in some]
        peer = _only(list(dict.fromkeys(meant)), found[0][1])
        return (peer, found[0][2]) if found[0][2].strip() else None
    if len(words) < 2:
        return None
    raise NobodyThere(f"nobody here is called {words[0]!r}", "see who is here with /who")


def find_here(peers: Sequence[PeerView], name: str) -> PeerView:
    """The one peer that `name` means. Raises NobodyThere, or UsageError if several are meant."""
    found = matching(peers, name)
    if not found:
        raise NobodyThere(f"nobody here is called {name!r}", "see who is here with /who")
    return _only(found, name)


def _only(found: Sequence[PeerView], name: str) -> PeerView:
    if not found:
        raise NobodyThere(f"nobody here is called {name!r}", "look with: mcast browse -t")
    if len(found) > 1:
        labels = ", ".join(sorted(PeerLabels().label(peer.peer_id, peer.name) for peer in found))
        raise UsageError(f"{name!r} can be {labels}", "give more of the name: NAME·ID")
    return found[0]


class PrivateSending:
    """Sends messages to the one peer that `name` means, and waits `patience` seconds until it has them.

    With a `profile`, messages that do not arrive are kept for the chats of that identity to send.
    """

    def __init__(self, group: Group, name: str, profile: str | None, patience: float) -> None:
        self._group, self._name, self._profile, self._patience = group, name, profile, patience

    async def send(self, bodies: AsyncIterator[bytes]) -> int:
        """Send the messages; the exit code."""
        try:
            peer = await find(self._group, self._name)
        except NobodyThere as error:
            if self._profile is None:
                note(str(error))
                return exits.NOTHING_FOUND
            absent = self._absent(self._profile)
            return self._keep(self._profile, absent, {new_letter(): body async for body in bodies})
        letters: dict[int, bytes] = {}
        receipts = []
        async for body in bodies:
            letter = new_letter()
            letters[letter] = body
            receipts.append(await self._group.send(body, to=peer, letter=letter if self._profile else 0))
        arrived = await asyncio.gather(*(receipt.confirmed(timeout=self._patience) for receipt in receipts))
        if all(arrived):
            return exits.DONE
        which = f"{arrived.count(False)} of {len(arrived)} messages" if len(arrived) > 1 else "the message"
        note(f"{_label(peer)} did not confirm {which}")
        if self._profile is None:
            return exits.TIMED_OUT
        missing = zip(letters.items(), arrived, strict=True)
        return self._keep(self._profile, peer, dict(letter for letter, there in missing if not there))

    def _absent(self, profile: str) -> PeerView:
        """The person of that name whom this user has met. UsageError if it is none or several."""
        from mcast.store.people import People

        from .people import as_peer, known_as, people_file

        path = people_file(profile)
        return as_peer(known_as(People(path).all() if path.exists() else [], self._name))

    def _keep(self, profile: str, peer: PeerView, bodies: Mapping[int, bytes]) -> int:
        from .mailbox import KEPT, keep

        keep(profile, self._group.room.id, peer, bodies)
        note(f"{_label(peer)} is not here: {KEPT.replace('both of you', 'your chat and that person')}")
        return exits.DONE


def _label(peer: PeerView) -> str:
    return PeerLabels().label(peer.peer_id, peer.name)
