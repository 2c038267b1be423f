"""`mcast chat`: talk with everyone in the group, on a terminal or, in a pipe, as a filter.

`talk` reads what is typed, `commands` has the table of commands, `rooms` has the rooms that one is in, and
`conversation` is one of them, with what is sent and shown there; `delivery` tells who has got a line.
`screen` shows it, and so does `terminal` on a terminal. `render` makes rows of messages, `view` is what a
room has of a screen.
"""

import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from mcast.aio import Group
from mcast.cli import counters, options
from mcast.cli.archive import Archive
from mcast.cli.joining import joins
from mcast.cli.mailbox import Mailbox, letters_file
from mcast.cli.output import Output, note
from mcast.cli.people import acquainted
from mcast.cli.runner import Ending, run
from mcast.cli.session import GroupSession, Network, Participant, Reporter, Session
from mcast.errors import McastError, PermissionRefused, UsageError
from mcast.store.letters import Letters

from .conversation import Conversation
from .rooms import GIVEN, Rooms
from .screen import DumbScreen, PipeScreen, Screen
from .talk import Talk
from .view import View

LAST = 100
"""Earlier messages that a person sees by default."""
MOST_KEPT = 10_000
"""Messages of before that a chat shows with --since."""
HISTORY_AGE = options.Seconds(365 * 86400)
BETWEEN = 10.0
"""Seconds of earlier messages that a chat asks for when it enters a room again under another name."""
GAP_TIMEOUT = 5.0
"""Seconds that a chat waits for a lost line before it shows later ones."""


@joins(port=(options.PortOrPlain, None))
def chat(
    *,
    network: Network,
    me: Participant,
    peers: Sequence[str],
    last: options.Last = None,
    since: options.Since = None,
    no_history: options.NoHistory = False,
    history_age: options.HistoryAge = HISTORY_AGE,
    history_size: options.HistorySize = 500,
    plain: options.Plain = False,
    json: options.Json = False,
    stats: counters.Stats = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Chat with everyone in a group. In a pipe, each line of stdin is a message.

    On a terminal, /help shows the commands; leave with /quit, or with Ctrl-C or Ctrl-D on an empty line.

    Exit codes: 0 done, 1 failed, 2 wrong usage or, in a pipe, a line that is too large or not UTF-8,
    3 no usable interface or no permission.
    """
    make_screen = _screen(json)
    # A key that is given determines the room, whatever its name is.
    given = bool(me.key_file or os.environ.get("MCAST_KEY"))
    first = me.room or (GIVEN if given else "")
    most = LAST if last is None and since is None else last

    async def command(ending: Ending, output: Output) -> int:
        @contextlib.asynccontextmanager
        async def enter(view: View, name: str, user: str | None, again: bool) -> AsyncIterator[Conversation]:
            if name != first and (plain or "MCAST_KEY" in os.environ):
                what = "MCAST_KEY is set" if not plain else "plain text has no rooms"
                raise UsageError(f"there is one room only: {what}", "start another chat for another room")
            who = Participant(
                me.profile, user, me.room if name == first else name, me.key_file if name == first else None
            )
            join_options: dict[str, Any] = {"gap_timeout": GAP_TIMEOUT, "peers": peers}
            if again:
                # What was said in between is new; what was shown is known to the archive.
                join_options |= {} if no_history else {"since": BETWEEN}
            elif since is not None or last is not None or sys.stdin.isatty():
                join_options |= {"since": since, "last": most}
            joining = network.plain() if plain else network.protocol(who, **join_options)
            async with (
                joining as session,
                counters.counted(session, stats, output if json else None),
                acquainted(session, me.profile, pins=not no_history),
            ):
                reporter = Reporter(session, quiet=quiet, verbose=verbose)
                if not again:
                    reporter.joined("chatting in")
                    screen.open()
                archive = None
                if isinstance(session, GroupSession) and not no_history:
                    archive = _archive(
                        me.profile, session.groups[0], who.room, age=history_age, size=history_size * 1e6
                    )
                try:
                    if archive and sys.stdin.isatty() and not again:
                        view.start(archive.start(MOST_KEPT if most is None else most, since))
                    mailbox = _mailbox(me.profile, session, keeps=not no_history)
                    json_output = output if json else None
                    conversation = Conversation(session, view, reporter, json_output, archive, mailbox)
                    conversation.greets = not again
                    yield conversation
                finally:
                    if archive:
                        archive.close()
                reporter.close()

        screen = make_screen(output)
        rooms = Rooms(screen, enter, me.name)
        talk = Talk(rooms, screen, simple=plain)
        with _told_once(talk):
            try:
                await rooms.join(first)
                await ending.during(talk.run())
            finally:
                try:
                    await rooms.close()
                finally:
                    screen.close()
        return talk.exit_code

    return run(command)


@contextlib.contextmanager
def _told_once(talk: Talk) -> Iterator[None]:
    """Do not repeat at the end why a line was not sent. The exit code tells it, too."""
    try:
        yield
    except PermissionRefused as error:
        if str(error) != talk.told:
            raise


def _archive(profile: str, group: Group, room: str, *, age: float, size: float) -> Archive | None:
    """What is kept of the room. None if the disk does not allow it, which the user is told."""
    try:
        return Archive(profile, group, room, age=age, size=size)
    except McastError as error:
        note(f"{error}; the chat goes on, but messages are not kept")
        return None


def _mailbox(profile: str, session: Session, *, keeps: bool) -> Mailbox | None:
    """What sends private messages; None for plain text. If the disk keeps none, the user is told."""
    if not isinstance(session, GroupSession):
        return None
    context, letters = session.contexts[0], None
    if keeps:
        try:
            letters = Letters(letters_file(profile))
            if letters.notice:
                note(letters.notice)
        except McastError as error:
            note(f"{error}; private messages are not kept for those who are not here")
    return Mailbox(session.groups[0], letters, context.labels.label)


def _screen(json: bool) -> Callable[[Output], Screen]:
    """A function that makes the screen, imported before the group is joined because that takes a while."""
    # A dumb terminal cannot erase what it shows, and it edits its line by itself.
    dumb = os.environ.get("TERM", "").lower() in ("dumb", "unknown")
    if not sys.stdin.isatty() or json:
        return PipeScreen
    if not sys.stdout.isatty() or dumb:
        return DumbScreen if sys.stdout.isatty() else PipeScreen
    from .terminal import Terminal

    return lambda _: Terminal()
