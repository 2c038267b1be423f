"""The guests of a gateway: their names, what they say to the group, and what they are told."""

from __future__ import annotations

import asyncio
import re
import time
import unicodedata
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from mcast.aio import Receipt, message_id
from mcast.core.token_bucket import TokenBucket
from mcast.errors import McastError, UsageError
from mcast.events import (
    Event,
    GapAbandoned,
    Message,
    Overflow,
    PeerJoined,
    PeerLeft,
    PeerView,
    PlainText,
)

GUESTS = 2000  # at a time; the attack is connections by the thousand
NAME = 24  # characters of a guest's name
NAMES_TOLD = 200  # bytes of guests' names in the announcement
KEPT, KEPT_SIZE = (
    200,
    1024 * 1024,
)  # lines that a newcomer or a phone that was asleep gets, and their characters
LINES, LINES_AT_ONCE = 10.0, 100.0  # a second that a guest may say, and at once, as in a paste
BYTES, BYTES_AT_ONCE = 64 * 1024.0, 512 * 1024.0
NOTICES, NOTICES_AT_ONCE = (
    0.5,
    10.0,
)  # a second about peers; the attack is a flood of joins: /who tells the rest
_STRANGE = re.compile(r"[^\w .'-]")


class Line(msgspec.Struct, frozen=True):
    """What guests are shown. `number` rises by one with each line of this gateway.

    `sender` is empty in a notice. `guest` is its author, if that is a guest of this gateway. `id` names a
    message everywhere; it is empty in a notice.
    """

    number: int
    seconds: float
    sender: str
    text: str
    id: str = ""
    guest: Guest | None = None
    history: bool = False


class Guest:
    """Somebody at a door. `tell` is called with each line that the guest is to see."""

    def __init__(self, name: str, tell: Callable[[Line], None], now: float) -> None:
        self.name, self.tell = name, tell
        self.lines = TokenBucket(LINES, LINES_AT_ONCE, now)
        self.bytes = TokenBucket(BYTES, BYTES_AT_ONCE, now)

    @property
    def label(self) -> str:
        """How other guests see it. A member's label has a dot instead, so none can be taken for the other."""
        return f"{self.name} (guest)"


class Room(Protocol):
    """What a lobby needs of an `aio.Group`."""

    name: str

    async def send(self, data: str, *, guest: str | None = None) -> Receipt:
        """Send for a guest."""

    def batches(self) -> AsyncIterator[list[Event]]:
        """What happens."""

    def peers(self) -> list[PeerView]:
        """Who is here."""

    def announce(self, *, tags: Mapping[str, str] | None = None, services: Sequence[str] = ()) -> None:
        """Replace the tags."""


class Lobby:
    """The guests of one gateway, and the group that `group` has joined.

    run() takes the group's events. Members see each guest's messages as those of "ada via gate". Nothing that
    came from the group is sent to it again. `tags` are announced beside the names of the guests.
    """

    def __init__(self, group: Room, *, tags: Mapping[str, str] | None = None, limit: int = GUESTS) -> None:
        self._group, self._tags, self._limit = group, dict(tags or {}), limit
        self._guests: dict[Guest, None] = {}
        self._names: dict[str, Guest] = {}
        self._kept: deque[Line] = deque()
        self._kept_size = 0
        self._number = 0
        self._notices = TokenBucket(NOTICES, NOTICES_AT_ONCE, time.monotonic())
        self._untold: asyncio.Handle | None = None

    def __len__(self) -> int:
        return len(self._guests)

    @property
    def name(self) -> str:
        """The gateway's own name in the group."""
        return self._group.name

    # Guests

    def enter(self, tell: Callable[[Line], None], name: str = "") -> Guest:
        """A guest comes in; without a name it gets one. UsageError if the name will not do or all is full."""
        if len(self._guests) >= self._limit:
            raise UsageError(
                f"{self._limit} guests are here, and there is no room for more", "try again later"
            )
        name = self._checked(name) if name else self._free("guest")
        guest = Guest(name, tell, time.monotonic())
        self._guests[guest] = None
        self._names[_folded(name)] = guest
        self.notice(f"{guest.label} came in", but=guest)
        self._tell_names()
        return guest

    def leave(self, guest: Guest) -> None:
        """A guest goes."""
        if self._guests.pop(guest, guest) is None:
            del self._names[_folded(guest.name)]
            self.notice(f"{guest.label} left")
            self._tell_names()

    def rename(self, guest: Guest, name: str) -> None:
        """A guest takes another name. UsageError if the name will not do."""
        if _folded(name) == _folded(guest.name) and name == clean(name):
            guest.name = name
            return
        name, before = self._checked(name), guest.label
        del self._names[_folded(guest.name)]
        guest.name = name
        self._names[_folded(name)] = guest
        self.notice(f"{before} is now {guest.label}", but=guest)
        self._tell_names()

    def _checked(self, text: str) -> str:
        name = clean(text)
        if not name:
            raise UsageError("that is no name", "use letters and digits")
        taken = {_folded(peer.name) for peer in self._group.peers()} | {_folded(self._group.name)}
        if _folded(name) in taken:
            raise UsageError(f"{name} is the name of a member", "choose another name")
        if _folded(name) in self._names:
            raise UsageError(f"another guest is called {name}", "choose another name")
        return name

    def _free(self, stem: str) -> str:
        return next(
            name
            for number in range(1, self._limit + 2)
            if _folded(name := f"{stem} {number}") not in self._names
        )

    def _tell_names(self) -> None:
        """Announce who the guests are, once for all that happens in this turn of the loop."""
        if self._untold is None:
            self._untold = asyncio.get_running_loop().call_soon(self._announce)

    def _announce(self) -> None:
        self._untold = None
        names = ", ".join(guest.name for guest in self._guests)
        if len(names.encode()) > NAMES_TOLD:
            names = f"{len(self._guests)} guests"
        try:
            self._group.announce(tags={**self._tags, **({"guests": names} if names else {})})
        except McastError:
            return  # closed, or the operator's tags leave no room

    def who(self) -> Iterable[str]:
        """Everybody who is here: the gateway itself, the members, the guests."""
        yield f"{self._group.name} (this gateway)"
        yield from sorted(map(label_of, self._group.peers()))
        yield from sorted(guest.label for guest in self._guests)

    # What they say

    def delay(self, guest: Guest, size: int) -> float:
        """Seconds for which not to read from a guest that has just said `size` bytes."""
        now = time.monotonic()
        guest.lines.spend(1, now)
        guest.bytes.spend(size, now)
        return max(0.0, -guest.lines.level(now) / LINES, -guest.bytes.level(now) / BYTES)

    async def say(self, guest: Guest, text: str) -> Receipt:
        """Send what a guest says to the group, and show it to all guests, the speaker too.

        McastError if it cannot be sent.
        """
        receipt = await self._group.send(text, guest=guest.name)
        self._show(self._next(guest.label, text, id=receipt.id, guest=guest))
        return receipt

    # What they are told

    async def run(self) -> None:
        """Show the guests what happens in the group, until it is closed. Call it once."""
        async for batch in self._group.batches():
            for event in batch:
                self.take(event)

    def take(self, event: Event) -> None:
        """Show the guests an event of the group, if it concerns them."""
        if isinstance(event, Message):
            text = event.data.decode("utf-8", "replace") if event.text is None else event.text
            sender = f"{event.name}·{event.origin.hex()[:4]}"
            seconds = event.sent / 1000 - event.skew
            id = message_id(event.peer_id, event.sequence, event.index)
            self._show(self._next(sender, text, id=id, history=event.history, seconds=seconds))
        elif isinstance(event, PlainText):
            text = event.data.decode("utf-8", "replace") if event.text is None else event.text
            self._show(self._next(f"{event.source[0]} (plain)", text))
        elif isinstance(event, PeerJoined):
            self._notice_of_peer(f"{label_of(event.peer)} joined")
        elif isinstance(event, PeerLeft):
            self._notice_of_peer(f"{label_of(event.peer)} left")
        elif isinstance(event, GapAbandoned):
            self._notice_of_peer(f"a message of {event.name or 'a member'} is missing")
        elif isinstance(event, Overflow) and event.messages:
            self.notice(f"{event.messages} messages came too fast and are lost")

    def _notice_of_peer(self, text: str) -> None:
        if self._notices.take(1, time.monotonic()):
            self.notice(text)

    def notice(self, text: str, *, but: Guest | None = None) -> None:
        """Tell all guests something, `but` one."""
        line = self._next("", text)
        for guest in list(self._guests):
            if guest is not but:
                guest.tell(line)

    def _show(self, line: Line) -> None:
        self._kept.append(line)
        self._kept_size += len(line.text)
        while len(self._kept) > KEPT or self._kept_size > KEPT_SIZE:
            self._kept_size -= len(self._kept.popleft().text)
        for one in list(self._guests):
            one.tell(line)

    def _next(
        self,
        sender: str,
        text: str,
        id: str = "",
        guest: Guest | None = None,
        history: bool = False,
        seconds: float | None = None,
    ) -> Line:
        self._number += 1
        return Line(
            self._number, time.time() if seconds is None else seconds, sender, text, id, guest, history
        )

    def since(self, number: int) -> list[Line]:
        """The messages after this line, as far as they are kept."""
        return [line for line in self._kept if line.number > number]


def label_of(peer: PeerView) -> str:
    """How guests see a member."""
    return f"{peer.name}·{peer.id[:4]}"


def clean(text: str) -> str:
    """The name that a guest may have for the one it wants: letters, digits, spaces and . ' - _ only.

    What is left cannot look like a member, a notice or an address.
    """
    text = _STRANGE.sub("", unicodedata.normalize("NFKC", text[: 4 * NAME]))
    name = " ".join(text.split())[:NAME].strip()
    while len(name.encode()) > 60:
        name = name[:-1]
    return name if any(char.isalnum() for char in name) else ""


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()
