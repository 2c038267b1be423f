"""/verify: two people read eight words to each other, and know that nobody is between them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from mcast.cli.output import note
from mcast.cli.people import comparison_words
from mcast.cli.private import find_here
from mcast.cli.session import GroupSession
from mcast.errors import McastError, UsageError

if TYPE_CHECKING:
    from .talk import Talk

SAME = "ok"
"""The word behind the name that says that both see the same words."""


async def verify(talk: Talk, line: str) -> None:
    """Show the words for the peer that is named, or remember that they are the same on both sides."""
    session = talk.room.session
    if not isinstance(session, GroupSession):
        raise UsageError("plain text has no keys", "use mcast chat without --plain")
    if not line:
        raise UsageError("/verify needs a name", f"write /verify NAME, then /verify NAME {SAME}")
    context = session.contexts[0]
    group, known = context.group, context.acquaintances
    if known is None:
        raise UsageError("nobody is remembered here", "chat without --no-history to verify people")
    name, _, word = line.rpartition(" ")
    same = bool(name) and word.casefold() == SAME
    peer = find_here(group.peers(), name if same else line)
    key, own = group.public_key(peer.peer_id), group.public_key(group.peer_id)
    label = context.labels.label(peer.peer_id, peer.name)
    if key is None or own is None:
        raise McastError(f"the key of {label} is not here yet", "try again in a moment")
    if same:
        await asyncio.to_thread(known.verify, key, peer.name, time.time())
        note(f"{context.labels.label(peer.peer_id, peer.name)} is verified")
        return
    note(await asyncio.to_thread(comparison_words, own, key))
    note(f"{label} types /verify too; if both of you read the same words: /verify {peer.name} {SAME}")
