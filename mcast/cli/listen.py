"""`mcast listen`: print the messages of a group, for scripts."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import msgspec
import typer

from mcast.errors import UsageError

from . import counters, options, recording
from .config import from_command_line
from .formats import LineFormat
from .hooks import Hooks, On
from .items import Item, MessageItem
from .joining import joins
from .output import Output
from .people import acquainted
from .runner import Ending, run
from .session import (
    GroupSession,
    Network,
    Participant,
    Reporter,
    Session,
    interface_events,
    portions,
)

URGENT = ("alarm", "overflow", "gap", "slow", "sending", "room", "unheard")
"""Items whose notice is printed without --verbose."""

LETTERS = {"t": "time", "f": "from", "m": "text", "n": "name", "i": "identity", "g": "group"}
"""The fields of -F."""
Fields = Annotated[str | None, options.fields_option(LETTERS, "%t %f %m")]
GAP_TIMEOUT = options.Seconds(30.0)
GapTimeout = Annotated[
    float,
    options.time_option(
        "--gap-timeout", help="Wait this long for a missing message before showing later ones."
    ),
]
Passive = Annotated[
    bool, typer.Option("--passive", help="Send nothing at all, not even requests for lost messages.")
]
Record = Annotated[
    str | None,
    typer.Option("--record", metavar="FILE", help="Also write JSON to FILE, which mcast replay sends again."),
]
Events = Annotated[
    bool,
    typer.Option("--events", help="With --json and --record: also joins, leaves and all else that happens."),
]


@joins("ttl", group=(options.Groups, None), port=(options.PortOrPlain, None), source=(options.Sources, None))
def listen(
    *,
    network: Network,
    me: Participant,
    peers: Sequence[str],
    count: options.Count = None,
    timeout: options.Timeout = None,
    idle: options.Idle = None,
    last: options.Last = None,
    since: options.Since = None,
    gap_timeout: GapTimeout = GAP_TIMEOUT,
    on: On = None,
    record: Record = None,
    passive: Passive = False,
    plain: options.Plain = False,
    fields: Fields = None,
    json: Annotated[bool, options.json_option("Print messages, and which are lost, as JSON.")] = False,
    events: Events = False,
    stats: counters.Stats = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Print the messages that arrive in a group, one per line.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no usable interface or no permission, 4 no message,
    27 fewer messages than -C asked for, 130 or 143 interrupted before that.
    """
    _check(network.context, json=json, events=events, fields=fields, record=record)
    hooks = Hooks(on)
    form = None if fields is None else LineFormat(fields, LETTERS)

    recorder = recording.create(record) if record is not None else None

    async def command(ending: Ending, output: Output) -> int:
        if recorder is not None:
            recorder.on_failure(ending.failed)
        join_options: dict[str, Any] = {
            # A listener keeps quiet until it hears a peer, unless it has to ask for history.
            "quiet": last is None and since is None,
            "listener": True,
            "passive": passive or bool(network.sources),
            "gap_timeout": gap_timeout,
            "peers": peers,
            "last": last,
            "since": since,
        }
        joining = (
            network.plain(sends=False)
            if plain
            else network.protocol(me, several=True, sends=False, **join_options)
        )
        async with (
            joining as session,
            counters.counted(session, stats, output if json else None),
            hooks,
            acquainted(session, me.profile, pins=False),
        ):
            reporter = Reporter(session, quiet=quiet, verbose=verbose)
            reporter.joined("listening to")
            show = _Show(form, json, events, verbose)
            printer = _Printer(output, recorder, reporter, ending, show, most=count)

            async def leave() -> None:
                reporter.drops(now=True)
                await session.leave()

            complete = await ending.during(printer.follow(session, hooks), leave)
            reporter.close()
            if not printer.printed and (limit := {"timeout": timeout, "idle": idle}.get(ending.reason or "")):
                reporter.say(f"no message arrived in {options.duration_text(limit)}")
            return ending.exit_code(complete, printer.printed, count)

    return run(command, timeout=timeout, idle=idle)


def _check(
    context: typer.Context, *, json: bool, events: bool, fields: str | None, record: str | None
) -> None:
    """UsageError for options that do not go together: one of them would have no effect."""
    if fields is not None and json:
        raise UsageError("use either -F or --json, not both")
    if events and not json and record is None:
        raise UsageError("--events needs --json or --record", "add --json, or see joins and leaves with -v")
    for silent in ("passive", "source"):
        asking = [name for name in ("last", "since", "peer") if from_command_line(context, name)]
        if context.params[silent] and asking:
            problem = f"--{silent} sends nothing, so it cannot be used with --{asking[0]}"
            raise UsageError(problem, "leave one of them out")


class _Show(msgspec.Struct, frozen=True):
    """What is printed: fields of messages, JSON with or without all events, or the texts alone."""

    form: LineFormat | None
    json: bool
    events: bool
    verbose: bool

    def in_json(self, item: Item) -> bool:
        """Whether the JSON, of a recording too, has the item."""
        return self.events or item.essential


class _Printer:
    """Prints messages on standard output and notices on standard error, and records.

    `printed` counts the messages; it stops after `most` of them.
    """

    def __init__(
        self,
        output: Output,
        recorder: Output | None,
        reporter: Reporter,
        ending: Ending,
        show: _Show,
        *,
        most: int | None,
    ) -> None:
        self.printed = 0
        self._output, self._reporter, self._ending = output, reporter, ending
        self._show, self._most = show, most
        self._in_json = [*([output] if show.json else []), *([recorder] if recorder else [])]

    async def follow(self, session: Session, hooks: Hooks) -> None:
        """Print what arrives and queue it for --on, until `most` messages have been printed."""
        hooks.ready(str(session.plan.groups[0]))
        # Of more than -C asks for, nobody may believe that it was printed.
        counted = session.groups if self._most is not None and isinstance(session, GroupSession) else ()
        for group in counted:
            group.confirm_by_hand()
        async for changes, items in session.batches():
            for change in changes:
                self._reporter.changed(change)
                for place in self._in_json if self._show.events else ():
                    place.events(interface_events(change))
            wanted = self._wanted(items)
            async for some in portions(wanted, self._output):
                self._print(some)
                for place in self._in_json:
                    await place.room()
                for item in some:
                    hooks.put(item)
            if counted:
                _confirm(wanted, items[len(wanted) :])
            self._reporter.drops()
            if self.printed == self._most:
                await hooks.done()
                return

    def _wanted(self, items: list[Item]) -> list[Item]:
        """The items up to the last message that -C asks for."""
        if self._most is None:
            return items
        left = self._most - self.printed
        for index, item in enumerate(items):
            left -= item.type == "message" and not item.foreign
            if left == 0:
                return items[: index + 1]
        return items

    def _print(self, items: Sequence[Item]) -> None:
        show = self._show
        messages = [item for item in items if item.type == "message" and not item.foreign]
        if messages:
            self._ending.touch()
        for place in self._in_json:
            place.events(item.json() for item in items if show.in_json(item))
        if messages and show.form:
            self._output.lines([show.form.line(item.fields()) for item in messages])
        elif messages and not show.json:
            lines = filter(None, (item.chat_line(exact=True) for item in messages))
            self._output.lines(line.tabbed() if show.verbose else line.text for line in lines)
        for item in items:
            if item.foreign:
                told = not (show.json and show.events)
            else:
                told = item.type != "message" and (show.verbose or item.type in URGENT)
            if told:
                self._reporter.notice(item)
        self.printed += len(messages)


def _confirm(printed: Sequence[Item], left_out: Sequence[Item]) -> None:
    """Confirm to authors what was printed, but for a record of which a message was left out."""
    parts = {(item.group, item.message.peer_id, item.message.sequence) for item in _messages(left_out)}
    latest = {(item.group, item.message.peer_id): item.message.sequence for item in _messages(printed)}
    for (group, peer_id), sequence in latest.items():
        group.confirm(peer_id, sequence - ((group, peer_id, sequence) in parts))


def _messages(items: Sequence[Item]) -> Iterator[MessageItem]:
    return (item for item in items if isinstance(item, MessageItem))
