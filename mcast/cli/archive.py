"""What a chat keeps of its room on the disk, and what it shows of that when it starts."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from datetime import date, datetime

from mcast.aio import Group
from mcast.errors import McastError
from mcast.events import Message
from mcast.store.history import Entry, History, Recorder, Room

from .actions import TOPIC, topic_of
from .history import history_file, speaker
from .items import ChatLine, Item, MessageItem, PrivateItem
from .output import decoded, escape, note

NEW = "new since you left"
TOPICS = 20
"""Messages that contain the word for a topic, of which the last one that sets it is looked for."""
SAVED_EVERY = 1.0
"""Seconds between two looks at what of a room with a key can be handed to others later."""


class Archive:
    """The history of the room of `group`, which was joined under `profile`; `room` is the room's name.

    McastError if the history cannot be opened. If it fails later, the user is told, and the chat goes on.
    """

    def __init__(self, profile: str, group: Group, room: str, *, age: float, size: float) -> None:
        self._origin, self._name = group.peer_id.origin, group.name
        self.room = Room(group.room.id, str(group.groups[0]), room, not group.room.public)
        path = history_file(profile)
        # One connection is read here, the other belongs to the thread that writes.
        self._history = History(path)
        self._recorder = Recorder(History(path, age=age, size=size), self.room)
        self._newest = self._history.newest()
        self._told = False
        self._marks_new = False
        self._group, self._saved = group, (0, 0)
        if self.room.keyed:
            group.restore_records(self._history.records(self.room, since=time.time() - age))
        if self._history.notice:
            note(self._history.notice)

    def start(self, last: int, since: float | None) -> Iterator[ChatLine | str]:
        """The last messages that are kept, oldest first. A heading is before each day and before the new."""
        start = 0.0 if since is None else time.time() - since
        today, before = date.today(), date.min
        seen = self._history.seen(self.room)
        for entry in self._history.find(room=self.room, since=start, last=last):
            day = datetime.fromtimestamp(entry.received).astimezone().date()
            if day != before:
                yield "today" if day == today else f"{day:%A %Y-%m-%d}"
                before = day
            if seen and entry.number > seen and not entry.own:
                yield NEW
                seen = 0
            self._marks_new = seen > 0
            yield _line(entry)

    def entries(self, last: int) -> list[Entry]:
        """The last messages of the room, oldest first."""
        return self._history.find(room=self.room, last=last)

    def find(self, text: str, last: int) -> Iterator[ChatLine | str]:
        """The last messages that contain a text, oldest first, with a heading before each day."""
        before = date.min
        for entry in self._history.find(text, room=self.room, last=last):
            day = datetime.fromtimestamp(entry.received).astimezone().date()
            if day != before:
                yield f"{day:%A %Y-%m-%d}"
                before = day
            yield _line(entry)

    def topic(self) -> str:
        """What was set as the topic of the room last, as far as it is kept."""
        entries = self._history.find(TOPIC, room=self.room, last=TOPICS)
        topics = [topic_of(entry.data) for entry in entries if not entry.private]
        return next(filter(None, reversed(topics)), "")

    def rooms(self) -> list[str]:
        """The names of all rooms without a key of which something is kept; the default room has none."""
        return [room.name for room in self._history.rooms() if not room.keyed]

    def starts_the_new(self, item: Item) -> bool:
        """Whether a message that keep() has taken is the first of those said while the user was away."""
        first = self._marks_new and isinstance(item, MessageItem) and item.message.history
        self._marks_new = self._marks_new and not first
        return first

    def has(self, message_id: str) -> bool:
        """Whether a message is kept."""
        return self._history.number(message_id) > 0

    def keep(self, item: MessageItem | PrivateItem) -> bool:
        """Store a message. False if it was here before this chat began, which has shown it."""
        message, private = item.message, isinstance(item, PrivateItem)
        history = isinstance(message, Message) and message.history
        if history and 0 < self._history.number(item.id) <= self._newest:
            return False
        origin, sent = message.peer_id.origin, message.sent / 1000
        own = origin == self._origin
        self._add(Entry(item.id, origin, message.name, sent, item.received, message.data, own, private))
        return True

    def keep_own(self, message_id: str, text: str, to: str = "") -> None:
        """Store what this chat has sent, to the room or to the peer called `to`."""
        now, data = time.time(), text.encode()
        self._add(Entry(message_id, self._origin, self._name, now, now, data, True, bool(to), to))

    async def save_records(self) -> None:
        """Keep the signed records of a room with a key, for those who have the key and come later."""
        while self.room.keyed:
            self._save_records()
            await asyncio.sleep(SAVED_EVERY)

    def _save_records(self) -> None:
        self._saved, records = self._group.saved_records(self._saved)
        for record in records:
            self._recorder.add(record)

    def close(self) -> None:
        """Store what is waiting. All of it counts as seen."""
        if self.room.keyed:
            self._save_records()
        self._recorder.close()
        self._tell()
        if self._recorder.dropped:
            note(f"{self._recorder.dropped} messages came faster than the disk took them and are not kept")
        # If this fails, the user has been told, or is about to see more than is new.
        with contextlib.suppress(McastError):
            self._history.see(self.room)
        self._history.close()

    def _add(self, entry: Entry) -> None:
        self._recorder.add(entry)
        self._tell()

    def _tell(self) -> None:
        if self._recorder.problem is not None and not self._told:
            self._told = True
            note(f"{self._recorder.problem}; the chat goes on, but messages are no longer kept")


def _line(entry: Entry) -> ChatLine:
    text = escape(decoded(entry.data))
    return ChatLine(entry.received, speaker(entry), text, own=entry.own, data=entry.data, origin=entry.origin)
