"""One room of a chat: what is sent there, what arrives, what is kept of it, and who is here."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mcast.cli.actions import action_in, topic_of
from mcast.cli.archive import NEW, Archive
from mcast.cli.items import (
    ChatLine,
    Item,
    MessageItem,
    OfferItem,
    PeerItem,
    PlainItem,
    PrivateItem,
)
from mcast.cli.mailbox import KEPT, Mailbox
from mcast.cli.output import Output, escape, note
from mcast.cli.session import GroupSession, Reporter, Session, interface_events, portions
from mcast.errors import PermissionRefused, UsageError
from mcast.events import Message, PeerView, PrivateMessage, RoomView
from mcast.runtime.joining import place_of

from .delivery import Delivery, with_silence
from .files import Files
from .render import ALL, DIM, UNHEARD, Parts, mentions

if TYPE_CHECKING:
    from .bell import Bell
    from .view import View

GREETING = 0.7
"""Seconds after joining. Peers that appear before were here already and are listed in one line."""
LETTERS = 1000
"""Letters that are remembered, the oldest out, because their sender may send them again."""
RESTLESS, RESTLESS_SPAN, RESTLESS_PEERS = 6, 600.0, 1000
"""How often one peer may come or go in so many seconds; of how many peers that is known, the oldest go."""
OFFERS = 3
"""Offers of before that are told one by one; of more, only the number is told."""
NAMED = 50
"""Peers that are listed by name."""


class Restless:
    """Peers that come and go: after some times it is said once more, and then not for a while.

    The attack, and a bad Wi-Fi: lines that push the conversation off the screen.
    """

    def __init__(self) -> None:
        self._times: dict[bytes, list[float]] = {}

    def tells(self, origin: bytes, now: float) -> bool | None:
        """Whether to say that the peer came or went; None if that is the last time for a while."""
        times = [time for time in self._times.pop(origin, ()) if time > now - RESTLESS_SPAN]
        self._times[origin] = [*times, now][:RESTLESS]
        if len(self._times) > RESTLESS_PEERS:
            del self._times[next(iter(self._times))]
        return True if len(times) < RESTLESS - 1 else None if len(times) < RESTLESS else False


class Conversation:
    """A room that one is in: sends to it, and shows what arrives. `json` is where to print that as JSON."""

    def __init__(
        self,
        session: Session,
        screen: View,
        reporter: Reporter,
        json: Output | None,
        archive: Archive | None,
        mailbox: Mailbox | None = None,
    ) -> None:
        self.session = session
        self._screen = screen
        self._reporter = reporter
        self._json = json
        self.archive = archive
        self._mailbox = mailbox
        if mailbox is not None:
            mailbox.on_outcome = lambda message_id, arrived: screen.mark(
                message_id, ALL if arrived else UNHEARD
            )
        self._interactive = sys.stdin.isatty()
        self._present: Sequence[str] | None = None if json else []
        """Labels of the peers that were here before us; None once they have been listed."""
        self._restless = Restless()
        self._warned = False
        self.greets = True
        """Whether to say who is here when the room is entered."""
        self.topic = archive.topic() if archive else ""
        """What the room talks about, as was said last."""
        self._letters: dict[str, None] = {}
        self.ignored: dict[bytes, str] = {}
        """Identities whose messages are not shown, and their labels."""
        self.bell: Bell | None = None
        self.files: Files | None = None
        self._greeted = False
        self._looking: asyncio.TimerHandle | None = None
        if isinstance(session, GroupSession):
            self.files = Files(session.contexts[0], screen)
        self._origin = session.groups[0].origin if isinstance(session, GroupSession) else b""
        self._tell_topic()
        self._delivery: Delivery | None = None
        if self._interactive and isinstance(session, GroupSession):
            context = session.contexts[0]
            context.labels.own = context.group.peer_id
            screen.me = (context.group.name,)
            self._delivery = Delivery(context, screen.mark, screen.refresh, reporter.say)

    def status(self) -> Parts:
        """Where one is, as whom, and who has got what was said last."""
        if not isinstance(self.session, GroupSession):
            return [(DIM, "plain text: anybody can read it and write as anybody")]
        group, room = self.session.groups[0], self.session.room_field.get("room", "")
        lock = "keyed" if self.keyed else "open"
        here = sum(not peer.listener for peer in group.peers())
        who = "nobody else here" if not here else f"{here:,} other{'s' if here > 1 else ''} here"
        if copies := group.fallback:
            who += f" ({copies:,} by unicast: multicast fails)"
        me = f"you are {self.session.contexts[0].labels.label(group.peer_id, group.name)}"
        heard = self._delivery.status() if self._delivery else []
        if self._screen.look().narrow:
            return [(DIM, f"{lock} · "), *(heard or [(DIM, who)])]
        name = f"{escape(room) or 'lobby'} · " if room or not self.keyed else ""
        where = (DIM, f"{name}{lock} · {who} · ")
        return [where, *heard, (DIM, f" · {me}")] if heard else [where, (DIM, f"{me} · /help")]

    async def follow(self) -> None:
        """Show what arrives, until the group is left."""
        greeting = asyncio.get_running_loop().call_later(GREETING, self._greet)
        tasks = [] if self._mailbox is None else [asyncio.create_task(self._mailbox.run())]
        if self.archive is not None:
            tasks.append(asyncio.create_task(self.archive.save_records()))
        try:
            async for changes, items in self.session.batches():
                for change in changes:
                    self._reporter.changed(change)
                    self._happened()
                    if self._json:
                        self._json.events(interface_events(change))
                items = [item for item in items if not self._shown(item)]
                async for some in portions(items, self._screen):
                    if self._json:
                        self._json.events(item.json() for item in some)
                    else:
                        self._show_items(some)
                self._reporter.drops()
        finally:
            greeting.cancel()
            if self._looking is not None:
                self._looking.cancel()
            for task in tasks:
                task.cancel()

    async def close(self) -> None:
        """Stop waiting for confirmations."""
        if self._mailbox is not None:
            await self._mailbox.close()
        if self._delivery:
            await self._delivery.close()
        if self.files is not None:
            await self.files.close()

    async def send(self, text: str) -> None:
        """Send a message to the room. McastError if it was not sent, or could not be sent yet."""
        refusal = None
        try:
            await self.session.send(text)
        except PermissionRefused as error:
            if self._delivery is None:
                raise
            refusal = error  # it waits, and goes out if the system allows it again
        self._take_topic(text.encode("utf-8", "replace"))
        receipt = self.session.last if isinstance(self.session, GroupSession) else None
        self._screen.sent(self._own(text, receipt.id if receipt else ""))
        if receipt and self.archive:
            self.archive.keep_own(receipt.id, text)
        if receipt and self._delivery:
            self._screen.mark(receipt.id, self._delivery.sent(receipt))
        if refusal is not None:
            raise refusal

    async def send_privately(self, line: str) -> None:
        """Send `NAME TEXT` to one peer, or keep it for somebody who is not here.

        On any doubt, a McastError is raised and nothing is sent.
        """
        from mcast.cli.private import NobodyThere, addressed

        if not isinstance(self.session, GroupSession) or self._mailbox is None:
            raise UsageError("plain text has no private messages", "use mcast chat without --plain")
        group, context = self.session.groups[0], self.session.contexts[0]
        known = context.acquaintances if self._mailbox.keeps else None
        try:
            found, here = addressed(group.peers(), line), True
        except NobodyThere:
            if known is None:
                raise
            found, here = addressed(await asyncio.to_thread(known.absent), line), False
        if found is None:
            raise UsageError("/msg needs a name and a text", "write /msg NAME TEXT")
        peer, words = found
        label = context.labels.label(peer.peer_id, peer.name)
        if here:
            message_id = (await self._mailbox.send(peer, words.encode())).id
        else:
            message_id = await self._mailbox.keep(peer, words.encode())
        state = "private" if here else "private, waiting"
        self._screen.show([self._own(words, message_id, f"you to {label} ({state})")])
        if not here:
            note(f"{label} is not here: {KEPT}")
        if self.archive:
            self.archive.keep_own(message_id, words, to=label)

    def _own(self, text: str, message_id: str, sender: str = "you") -> ChatLine:
        data = text.encode("utf-8", "replace")
        if action_in(text) is not None and isinstance(self.session, GroupSession):
            group = self.session.groups[0]
            sender = self.session.contexts[0].labels.label(group.peer_id, group.name)
        return ChatLine(time.time(), sender, escape(text), own=True, data=data, id=message_id)

    async def settle(self) -> None:
        """At the end of the input, others may still have to request the last line."""
        if problem := await self.session.settle():
            note(problem)

    @property
    def keyed(self) -> bool:
        """Whether only those who have a key can read it."""
        return isinstance(self.session, GroupSession) and not self.session.groups[0].room.public

    @property
    def place(self) -> str:
        """The group, as rooms are named after it. UsageError for plain text."""
        if not isinstance(self.session, GroupSession):
            raise UsageError("plain text has no keys", "use mcast chat without --plain")
        return place_of(self.session.groups[0].groups)

    async def find_rooms(self) -> Sequence[RoomView]:
        """The other open rooms of the group, which may be made up; none for plain text."""
        return await self.session.groups[0].rooms() if isinstance(self.session, GroupSession) else ()

    def _take_topic(self, data: bytes) -> None:
        """A message was said in the room: perhaps it sets the topic."""
        self.topic = topic_of(data) or self.topic
        self._tell_topic()

    def _tell_topic(self) -> None:
        if self.topic and isinstance(self.session, GroupSession):
            self.session.groups[0].describe(self.topic)

    def peers(self) -> Sequence[PeerView]:
        """Who else is here; nobody is known with plain text."""
        return self.session.groups[0].peers() if isinstance(self.session, GroupSession) else ()

    def who(self) -> str:
        """The line that says who is here. UsageError for plain text."""
        if not isinstance(self.session, GroupSession):
            raise UsageError("plain text has no names", "use mcast chat without --plain")
        context = self.session.contexts[0]
        label, group = context.labels.label, context.group
        peers = [(with_silence(context, peer), peer.listener) for peer in group.peers()]
        people = [one for one, listener in peers if not listener]
        here = f"here: {_named([f'{label(group.peer_id, group.name)} (you)', *people])}"
        programs = [one for one, listener in peers if listener]
        return f"{here}; programs that listen: {_named(programs)}" if programs else here

    def delivered(self) -> list[str]:
        """The lines that say who has got what was said last, and who has not. UsageError for plain text."""
        if self._delivery is None:
            raise UsageError("nothing is confirmed with plain text", "use mcast chat without --plain")
        return [self._reporter.where("you are in"), *self._delivery.report()]

    def _show_items(self, items: Sequence[Item]) -> None:
        """Show messages together, so that a flood of them redraws once, and notices between them."""
        lines: list[ChatLine] = []
        for item in items:
            if (line := item.chat_line()) is not None:
                if line.origin in self.ignored:
                    continue
                self._call(item, line)
                if self.archive and self.archive.starts_the_new(item):
                    self._screen.show(lines)
                    lines = []
                    self._screen.start([NEW])
                lines.append(line)
                self._warn(item)
                continue
            if lines:
                self._screen.show(lines)
                lines = []
            if isinstance(item, OfferItem):
                self._offer(item)
            elif item.type == "withdrawn":
                self._screen.withdrawn(item.json()["id"])
            else:
                self._notice(item)
        if lines:
            self._screen.show(lines)

    def _shown(self, item: Item) -> bool:
        """Keep a message, and tell whether a person has seen it because it was kept before."""
        if isinstance(item, MessageItem) and item.message.origin not in self.ignored:
            self._take_topic(item.message.data)
        if isinstance(item, PrivateItem) and self._came_before(item):
            return True
        if self.archive is None or not isinstance(item, MessageItem | PrivateItem) or item.type != "message":
            return False
        return not self.archive.keep(item) and self._interactive

    def _came_before(self, item: PrivateItem) -> bool:
        """Whether a letter is here already: its sender sends it again if only the confirmation was lost."""
        if not isinstance(item.message, PrivateMessage) or not item.message.letter:
            return False
        before = item.id in self._letters or (self.archive is not None and self.archive.has(item.id))
        self._letters[item.id] = None
        if len(self._letters) > LETTERS:
            del self._letters[next(iter(self._letters))]
        return before

    def _call(self, item: Item, line: ChatLine) -> None:
        """Call the user for what is said now by somebody else."""
        message = item.message if isinstance(item, MessageItem | PrivateItem) else None
        if self.bell is None or message is None or message.peer_id.origin == self._origin:
            return
        if isinstance(message, Message) and (message.history or message.late):
            return
        named = next(mentions(line.text, self._screen.me), None) is not None
        self.bell.heard(line, private=isinstance(item, PrivateItem), named=named)

    def _happened(self) -> None:
        if self._delivery:
            self._delivery.happened()

    def _offer(self, item: OfferItem) -> None:
        """Tell of files that are offered now; /files lists them all."""
        if self.files is None:
            return
        item.number = self.files.number(item.offer)
        if item.offer.history:
            self._look_for_offers()  # it may have ended since
        elif self._screen.active and not self.files.has(item.offer) and self._screen.is_new(item.offer.id):
            self._reporter.notice(item)

    def _look_for_offers(self) -> None:
        """Tell soon what was offered before one came, once it is known whether that has ended."""
        if self._greeted and self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(GREETING, self._tell_offers)

    def _tell_offers(self) -> None:
        """Tell what was offered before one came, or before one met who offers it, as long as that is here."""
        self._looking = None
        if self.files is None or not (self._interactive and self._screen.active) or self._json:
            return
        assert isinstance(self.session, GroupSession)  # noqa: S101 - for mypy
        new = [offer for offer in self.files.untaken() if self._screen.is_new(offer.id)]
        if len(new) > OFFERS:
            self._reporter.say(f"{len(new):,} offers of files; /files lists them")
            return
        for offer in new:
            item = OfferItem(offer, self.session.contexts[0], time.time())
            item.number = self.files.number(offer)
            self._reporter.notice(item)

    def _notice(self, item: Item) -> None:
        if isinstance(item, PeerItem):
            self._happened()
            self._look_for_offers()
            self._screen.refresh()
            if self._mailbox is not None and item.type != "leave":
                self._mailbox.came(item.peer.peer_id.origin)
            if not self._screen.active:
                return
        if self._present is not None and isinstance(item, PeerItem) and item.type == "join":
            self._present = [*self._present, *([] if item.peer.listener else [item.label])]
            return
        if self._present and isinstance(item, PeerItem) and item.type == "leave":
            self._present = [label for label in self._present if label != item.label]
        if isinstance(item, PeerItem) and item.type in ("join", "leave"):
            tells = self._restless.tells(item.peer.peer_id.origin, time.monotonic())
            if tells is None:
                self._reporter.say(f"{item.label} comes and goes; that is not told for a while")
            if not tells:
                return
        self._reporter.notice(item)

    def _greet(self) -> None:
        """List the peers that were here before us."""
        if not self.greets or not self._screen.active:
            pass
        elif self._present:
            self._reporter.say(f"here: {_named(self._present)}")
        elif self._present is not None and isinstance(self.session, GroupSession):
            self._reporter.say("nobody else is here yet")
        self._present = None
        self._greeted = True
        self._tell_offers()

    def _warn(self, item: Item) -> None:
        """Warn once that somebody uses plain text and cannot read our messages."""
        if self._warned or not isinstance(item, PlainItem) or not isinstance(self.session, GroupSession):
            return
        self._warned = True
        note(f"{item.host} sends plain text and cannot read you; use: mcast chat --plain -g {item.group}")


def _named(labels: Sequence[str]) -> str:
    """The labels as a list, of which a crowd of invented peers cannot make more than some lines."""
    more = [f"{len(labels) - NAMED:,} more"] if len(labels) > NAMED else []
    return ", ".join([*labels[:NAMED], *more])
