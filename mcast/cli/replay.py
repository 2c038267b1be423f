"""`mcast replay`: send the messages of a recording again, with the pauses between them."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from typing import Annotated

import typer

from mcast.errors import UsageError

from . import counters, exits, options, stdin
from .joining import joins
from .output import Output, note
from .recording import Recorded, Recording
from .runner import Ending, run
from .send import Sending
from .session import Network, Participant, Reporter


@joins(group=(options.TargetGroups, None))
def replay(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Send what listen --record wrote here.")],
    speed: Annotated[
        str,
        typer.Option("--speed", metavar="N|max", help="Go N times as fast as it was; max: without pauses."),
    ] = "1",
    linger: Annotated[
        float, options.time_option("--linger", help="Wait at most this long for confirmations.")
    ] = options.Seconds(2),
    *,
    network: Network,
    me: Participant,
    peers: Sequence[str],
    stats: counters.Stats = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Send the messages of a recording again, with the pauses between them.

    FILE was written by mcast listen --record, or is - for standard input. You are the sender of all messages.
    Private ones are left out. All lines of a file are checked before the first is sent.

    Exit codes: 0 sent, 1 not sent, 2 wrong usage or a wrong line in FILE, 3 no usable interface or no
    permission, 4 no message in FILE, 130 or 143 interrupted.
    """
    pace = _pace(speed)
    recording = Recording(file)
    if file != "-" and not sum(1 for _ in recording.messages()):
        return _nothing(recording)

    async def command(ending: Ending, output: Output) -> int:
        joining = network.protocol(me, several=True, visitor=True, wait=False, peers=peers)
        recording.private = 0
        async with joining as session, counters.counted(session, stats):
            reporter = Reporter(session, quiet=quiet, verbose=False)
            if verbose:
                reporter.say(reporter.where("replaying to"))
            reporter.problems_at_once()
            sending = Sending(session, 0.0, linger, ())
            if not await ending.during(sending.run(_paced(_messages(recording), pace))):
                return exits.INTERRUPTED + ending.signal
        if not sending.messages:
            return _nothing(recording)
        if not quiet:
            sending.report(verbose=verbose)
            if recording.private:
                note(f"left out because they are private: {recording.private} messages")
        return exits.DONE

    return run(command)


def _pace(text: str) -> float:
    """How many times as fast; infinity for no pauses. UsageError if it is not a speed."""
    try:
        pace = math.inf if text == "max" else float(text)
    except ValueError:
        pace = 0.0
    if not pace > 0:
        raise UsageError(f"--speed {text!r} is not a speed", "give a number above 0, such as 2, or max")
    return pace


def _nothing(recording: Recording) -> int:
    note(f"{recording.name} has no message to send")
    return exits.NOTHING_FOUND


async def _messages(recording: Recording) -> AsyncIterator[Recorded]:
    """The messages of the recording, as they can be read."""
    if recording.name != "-":
        for message in recording.messages():
            yield message
        return
    lines, number = stdin.Lines(), 0
    while (line := await lines.next()) is not None:
        number += 1
        if recorded := recording.message(number, line):
            yield recorded


async def _paced(messages: AsyncIterator[Recorded], pace: float) -> AsyncIterator[bytes]:
    """The bodies, each when it is time to send it. Time that runs backwards is no pause."""
    clock = asyncio.get_running_loop().time
    due, latest = clock(), -math.inf
    async for message in messages:
        if message.at > latest:
            due += (message.at - latest) / pace if latest > -math.inf else 0.0
            latest = message.at
        await asyncio.sleep(due - clock())
        yield message.body
