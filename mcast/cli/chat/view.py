"""The part of a screen that belongs to one room: shown while one is in that room, kept while in another."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from mcast.cli.items import ChatLine

from .render import Look
from .screen import Screen

KEPT = 500
"""Lines of a room that is not shown. The attack is a flood there: the oldest go, and are counted."""
OFFERS = 1000
"""Offers that were told and are remembered. The attack: offers without end, so the oldest go."""


class View:
    """What a room shows on `screen` while it is `active`. `unread` counts messages that were not shown."""

    def __init__(self, screen: Screen) -> None:
        self.active = True
        self.unread = 0
        self._screen = screen
        self._kept: deque[ChatLine | str] = deque(maxlen=KEPT)
        self._offers: dict[str, None] = {}

    @property
    def me(self) -> tuple[str, ...]:
        """The words that others call this user by."""
        return self._screen.me

    @me.setter
    def me(self, words: tuple[str, ...]) -> None:
        self._screen.me = words

    def show(self, lines: Iterable[ChatLine]) -> None:
        """Show messages, or keep them."""
        if self.active:
            self._screen.show(lines)
            return
        lines = list(lines)
        self._kept.extend(lines)
        self.unread += len(lines)
        self._screen.refresh()

    def start(self, lines: Iterable[ChatLine | str]) -> None:
        """Show messages of before and headings, or keep them; they do not count as unread."""
        if self.active:
            self._screen.start(lines)
        else:
            self._kept.extend(lines)

    def activate(self, heading: str) -> None:
        """Show this room from now on, under a heading, with what was said meanwhile."""
        self.active = True
        kept, self._kept = self._kept, deque(maxlen=KEPT)
        missing = self.unread - sum(not isinstance(line, str) for line in kept)
        more = [f"{missing:,} messages before these are not shown"] if missing > 0 else []
        self._screen.start([heading, *more, *kept])
        self.unread = 0

    def sent(self, line: ChatLine) -> None:
        """Show a line of one's own, which is sent from the room that is shown."""
        self._screen.sent(line)

    def mark(self, message_id: str, mark: str) -> None:
        """Change the mark of a line of one's own."""
        self._screen.mark(message_id, mark)

    def change(self, key: str, text: str) -> bool:
        """Show a line of ours, or change it where it stands; False if it cannot be reached now."""
        return self.active and self._screen.change(key, text)

    def is_new(self, offer: str) -> bool:
        """Whether an offer with this id is to be told: only once, also if one has a new name since."""
        if offer in self._offers:
            return False
        self._offers[offer] = None
        if len(self._offers) > OFFERS:
            del self._offers[next(iter(self._offers))]
        return True

    def withdrawn(self, offer: str) -> None:
        """An offer has ended: if it is made again, it is new."""
        self._offers.pop(offer, None)

    def refresh(self) -> None:
        """The line below the prompt has changed."""
        self._screen.refresh()

    def look(self) -> Look:
        """What the screen can show."""
        return self._screen.look()

    async def room(self) -> None:
        """Wait until what was shown has been read, but for a little."""
        if self.active:
            await self._screen.room()
