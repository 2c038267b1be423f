"""What Tab completes: commands, the names of those who are here, and rooms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from mcast.cli.output import escape
from mcast.events import PeerView

from .commands import COMMANDS, find

if TYPE_CHECKING:
    from .screen import Screen

MOST = 50
"""Names in the menu. The attack is a crowd of invented peers."""


class ChatCompleter(Completer):
    """Completes what is typed on `screen`."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        if (talk := self._screen.talk) is None:
            return
        text = document.text_before_cursor
        start = text.rpartition("\n")[2].rpartition(" ")[2]
        command, space, typed = text.partition(" ")
        if text.startswith("/") and not space:
            yield from commands(text)
        elif (known := find(command)) and known.completes in ("rooms", "known rooms"):
            every = known.completes == "known rooms"
            yield from (
                (Completion(room, -len(typed), display=escape(room)))
                for room in talk.room_names(typed, known=every)
            )
        elif known and known.completes == "peers" and " " not in typed:
            yield from names(talk.room.peers(), typed)
        elif start.startswith("@"):
            yield from names(talk.room.peers(), start[1:])


def commands(typed: str) -> Iterator[Completion]:
    """The commands that begin like this."""
    for command in COMMANDS:
        if command.name.startswith(typed.casefold()):
            text = command.name + " " * bool(command.arguments)
            yield Completion(text, -len(typed), display_meta=command.help)


def names(peers: Sequence[PeerView], typed: str) -> Iterator[Completion]:
    """The names that begin like this: as they are, or as digits of the identity if that would not do."""
    found = [peer for peer in peers if peer.name.casefold().startswith(typed.casefold())][:MOST]
    all_names = [peer.name for peer in peers]
    for peer in sorted(found, key=lambda peer: peer.name.casefold()):
        clear = peer.name and escape(peer.name) == peer.name and all_names.count(peer.name) == 1
        shown = f"{escape(peer.name)}·{peer.peer_id.origin.hex()[:4]}"
        name = peer.name if clear else peer.peer_id.origin.hex()[:8]
        yield Completion(f"{name} ", -len(typed), display=shown)
