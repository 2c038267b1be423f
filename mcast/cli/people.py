"""The people that a command meets: pinned when they are first seen, and told from those who were verified."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

from mcast.core.events import PeerId
from mcast.crypto.keys import Identity
from mcast.crypto.stretch import comparison
from mcast.errors import McastError, UsageError
from mcast.events import PeerView
from mcast.store.people import People, Person

from . import words
from .items import GroupContext, Item, MessageItem, NoticeItem, PeerItem, PrivateItem, author_field
from .output import escape, note
from .private import means
from .profiles import Profile, data_directory
from .session import Session

SAVE = 2.0
"""Seconds after somebody was met until it is written down, so that a crowd costs one transaction."""
SEEN = 4096
"""Names of identities that were looked at. The attack is made-up ones: they are looked at again."""


def people_file(profile: str) -> Path:
    """Where the people are kept that an identity has met."""
    return data_directory() / f"people-{Profile(profile).name}.db"


def comparison_words(mine: bytes, other: bytes) -> str:
    """Eight words, the same for both, by which two people see that each has the other's public key."""
    return words.code(comparison(mine, other))


def public_key(profile: str) -> bytes:
    """The public key of an identity of this user."""
    return Identity(Profile(profile).seed()).public_key


def known_as(people: Sequence[Person], text: str) -> Person:
    """The person that `text` means. UsageError if it is none or several."""
    found = [person for person in people if means(person.name, person.origin, text)]
    if not found:
        raise UsageError(f"you have met nobody called {text!r}", "see whom you have met: mcast identity list")
    if len(found) > 1:
        labels = ", ".join(sorted(label(person) for person in found))
        raise UsageError(f"{text!r} can be {labels}", "give more of the name: NAME·ID")
    return found[0]


def label(person: Person) -> str:
    """Name and start of the identity, escaped."""
    return f"{escape(person.name)}·{person.origin.hex()[:4]}"


def as_peer(person: Person) -> PeerView:
    """The person as a peer that is not here."""
    return PeerView(PeerId(person.origin, 0), person.name)


class Acquaintances:
    """Pins whom a command meets in `people`, if it `pins`, and alarms if one can be taken for another.

    An alarm is raised for nobody but those whose name is, or looks like, that of somebody who was verified,
    and who have another key. If the disk fails the user is told, and nobody is pinned any more.
    """

    def __init__(self, people: People, *, pins: bool) -> None:
        self._people, self._pins = people, pins
        self._seen: dict[tuple[bytes, str], None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._saving: asyncio.Future[None] | None = None

    def is_verified(self, origin: bytes) -> bool:
        """Whether this user has compared the key of an identity."""
        return self._people.is_verified(origin)

    def verify(self, key: bytes, name: str, now: float) -> None:
        """This user has compared the key. Any thread may call it."""
        self._people.verify(key, name, now)

    def absent(self) -> list[PeerView]:
        """Everybody who was met, here or not, as somebody to whom a message can be addressed."""
        return [as_peer(person) for person in self._people.all()]

    def checked(self, items: Iterable[Item], context: GroupContext) -> list[Item]:
        """The items, with alarms before those whose author can be taken for another."""
        checked: list[Item] = []
        for item in items:
            if isinstance(item, PeerItem | MessageItem | PrivateItem):
                checked += self._meet(item, context)
            checked.append(item)
        return checked

    def _meet(self, item: PeerItem | MessageItem | PrivateItem, context: GroupContext) -> Iterable[Item]:
        peer = item.peer if isinstance(item, PeerItem) else item.message
        slot = peer.peer_id.origin, peer.name
        if slot in self._seen or slot[0] == context.group.origin:
            return
        key = context.group.public_key(peer.peer_id)
        if key is None:
            return
        self._seen[slot] = None
        if len(self._seen) > SEEN:
            del self._seen[next(iter(self._seen))]
        if self._pins:
            self._people.meet(key, peer.name, time.time())
            self._save_soon()
        like = self._people.like(key, peer.name)
        if like is not None:
            fields = author_field(peer.peer_id, peer.name) | {
                "kind": "look-alike",
                "like": {"id": like.origin.hex()[:16], "name": like.name},
            }
            notice = (
                f"ALARM: {context.labels.label(peer.peer_id, peer.name)} is not {label(like)}, "
                "whom you verified: the names look alike, but the keys differ"
            )
            yield NoticeItem("alarm", notice, context, fields, summary="{} ALARMS")

    def _save_soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SAVE, self._save)

    def _save(self) -> None:
        """Write in a thread: a slow disk must not hold up the group."""
        self._timer = None
        if self._saving is not None and not self._saving.done():
            self._save_soon()
        else:
            self._saving = asyncio.get_running_loop().run_in_executor(None, self._write)

    def _write(self) -> None:
        try:
            self._people.save()
        except McastError as error:
            self._pins = False
            note(f"{error}; whom you meet is no longer remembered")

    async def close(self) -> None:
        """Write down who was met."""
        if self._timer is not None:
            self._timer.cancel()
            self._save()
        if self._saving is not None:
            await self._saving
        self._people.close()


def _opened(profile: str, *, pins: bool) -> People | None:
    """The file of those whom one has met; None if there is none to be read and none to be written."""
    try:
        path = people_file(profile)
        return People(path) if pins or path.exists() else None
    except McastError as error:
        note(f"{error}; whom you meet is not remembered")
        return None


@contextlib.asynccontextmanager
async def acquainted(session: Session, profile: str, *, pins: bool) -> AsyncIterator[Acquaintances | None]:
    """Watch whom the session meets. Without `pins` nothing is written; None if there is nothing to watch."""
    from .session import GroupSession

    if not isinstance(session, GroupSession):
        yield None
        return
    people = _opened(profile, pins=pins)
    if people is None:
        yield None
        return
    if people.notice:
        note(people.notice)
    known = Acquaintances(people, pins=pins)
    for context in session.contexts:
        context.acquaintances = known
        context.labels.is_verified = known.is_verified
    try:
        yield known
    finally:
        await known.close()
