"""The commands that look something up: who somebody is, what was said, and what the network did."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from mcast.cli.history import report, room_label
from mcast.cli.output import escape, note
from mcast.cli.private import find_here
from mcast.cli.session import GroupSession
from mcast.errors import McastError, UsageError
from mcast.events import PeerView

if TYPE_CHECKING:
    from .talk import Talk

FOUND = 30
"""Messages that /search shows."""
SAVED = 10_000
"""Messages that /save writes at most."""
IGNORED = 1000
"""Identities that can be ignored."""


def _session(talk: Talk) -> GroupSession:
    if not isinstance(talk.room.session, GroupSession):
        raise UsageError("plain text has no names", "use mcast chat without --plain")
    return talk.room.session


async def whois(talk: Talk, name: str) -> None:
    """Say all that is known of a peer."""
    context = _session(talk).contexts[0]
    group = context.group
    if not name:
        raise UsageError("/whois needs a name", "write /whois NAME")
    peer = find_here(group.peers(), name)
    label = context.labels.label(peer.peer_id, peer.name)
    verified = "verified" if context.labels.is_verified(peer.peer_id.origin) else "not verified"
    note(f"{label}: identity {peer.peer_id.origin.hex()}, {verified}")
    note(f"at {', '.join(map(escape, peer.addresses)) or 'an unknown address'}{_by(peer)}")
    seconds = max(0.0, group.now - peer.heard)
    state = f"suspect since {seconds:.0f} s" if peer.suspect else f"heard {seconds:.0f} s ago"
    since = datetime.fromtimestamp(time.time() - max(0.0, group.now - peer.joined)).astimezone()
    note(f"here since {since:%H:%M:%S}, {state}")
    offers = [f"{service.type}:{service.port}" for service in peer.services]
    offers += [f"{key}={value}" for key, value in sorted(peer.tags.items())]
    if offers:
        note(f"offers {', '.join(offers)}")


def _by(peer: PeerView) -> str:
    return f" by {', '.join(peer.interfaces)}" if peer.interfaces else ""


async def ignore(talk: Talk, name: str) -> None:
    """Show no more messages of a peer, or show them again."""
    context = _session(talk).contexts[0]
    ignored = talk.room.ignored
    if not name:
        note(f"ignored: {', '.join(ignored.values()) or 'nobody'}")
        return
    known = [origin for origin, label in ignored.items() if name in (label, label.rpartition("·")[0])]
    if len(known) == 1:
        note(f"{ignored.pop(known[0])} is not ignored any more")
        return
    peer = find_here(context.group.peers(), name)
    if len(ignored) >= IGNORED:
        raise UsageError("too many are ignored", "leave with /quit and start again")
    label = ignored[peer.peer_id.origin] = context.labels.label(peer.peer_id, peer.name)
    note(f"you see no messages of {label} any more, until you leave or write /ignore {label} again")


async def search(talk: Talk, text: str) -> None:
    """Show the messages of this room that contain a text."""
    if not text:
        raise UsageError("/search needs a text", "write /search TEXT")
    archive = talk.room.archive
    if archive is None:
        raise UsageError("nothing is kept here", "chat without --no-history and --plain")
    found = list(archive.find(text, FOUND))
    messages = sum(not isinstance(line, str) for line in found)
    count = "nothing" if not messages else f"the last {messages}" if messages == FOUND else f"{messages}"
    talk.screen.start([f"search for {escape(text)}: {count} found", *found, "end of search"])


async def save(talk: Talk, name: str) -> None:
    """Write what is kept of this room to a new file that only this user can read."""
    archive = talk.room.archive
    if archive is None:
        raise UsageError("nothing is kept here", "chat without --no-history and --plain")
    label = "".join(char if char.isalnum() else "-" for char in room_label(archive.room))
    lines = list(report(archive.entries(SAVED)))
    path = write_new(name or f"chat-{label}-{datetime.now():%Y-%m-%d-%H%M%S}.txt", lines)
    note(f"saved {len(lines):,} lines to {path}")


def write_new(name: str, lines: Sequence[str]) -> str:
    """Write lines to a file that does not exist yet, and return its path. McastError if that fails."""
    path = os.path.expanduser(name)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
    except OSError as error:
        raise McastError(f"cannot write {path}: {error.strerror}", "give another name: /save FILE") from None
    return path


async def stats(talk: Talk, _: str) -> None:
    """Show the counters of the network that are not zero."""
    session = talk.room.session
    counters = {"kernel-drops": session.kernel_drops}
    if isinstance(session, GroupSession):
        counters = session.groups[0].stats()
    note(
        ", ".join(f"{name} {count:,}" for name, count in counters.items() if count)
        or "nothing is counted yet"
    )
