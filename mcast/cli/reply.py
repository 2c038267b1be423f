"""`mcast reply`: answer the questions of others with a command, an echo, or as the person at the terminal."""

import asyncio
import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from typing import IO, Annotated

import typer

from mcast.aio import Group
from mcast.errors import McastError, UsageError
from mcast.events import Question
from mcast.net.plain_text import Line
from mcast.runtime.asking import AT_ONCE
from mcast.wire.limits import MESSAGE_MAX

from . import counters, options, programs, stdin
from .hooks import Hooks
from .items import GroupContext, Item, PlainItem, PrivateItem
from .joining import joins
from .output import Output, ask, note
from .runner import Ending, run
from .session import GroupSession, Network, Participant, PlainSession, Reporter

TIME_LIMIT = 10.0
"""Seconds in which a command must answer."""
PERSON_LIMIT = 600.0
"""The same for a person."""
LAST_ANSWERS = 2.0
"""Seconds that the last answers get to arrive."""
PLAIN_AT_ONCE, PLAIN_RATE = 8, 100
"""Plain questions answered at the same time, and in a second. The rest is dropped: anybody can send them."""

Answerer = Callable[[bytes, Item], Awaitable[bytes | None]]
"""Makes the answer to a question; None if the question is not for us."""

Match = Annotated[
    str | None, typer.Option("--match", metavar="GLOB", help="Answer only questions that match (temp*).")
]
Command = Annotated[
    str | None,
    typer.Option(
        "--command",
        metavar="COMMAND",
        help="Run COMMAND: question on stdin, answer on stdout.",
    ),
]
Echo = Annotated[bool, typer.Option("--echo", help="Answer with the question itself.")]
Count = Annotated[
    int | None, options.number_option("--count", "-C", "-c", least=1, help="Stop after N answers.")
]


@joins(port=(options.PortOrPlain, None))
def reply(
    match: Match = None,
    command: Command = None,
    echo: Echo = False,
    limit: Annotated[
        float, options.time_option("--limit", help="Stop a command that takes longer, and tell the asker.")
    ] = options.Seconds(TIME_LIMIT),
    *,
    network: Network,
    me: Participant,
    peers: Sequence[str],
    count: Count = None,
    timeout: options.Timeout = None,
    plain: options.Plain = False,
    json: options.Json = False,
    stats: counters.Stats = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Answer the questions of others: with a command, with an echo, or yourself on a terminal.

    Others ask with mcast ask. A command has MCAST_FROM, MCAST_ID and MCAST_GROUP in its environment.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no usable interface or no permission, 4 no question,
    27 fewer questions than -C asked for, 130 or 143 interrupted before that.
    """
    runner = Runner(programs.words_of(command, "--command"), limit) if command is not None else None
    answer = _answerer(runner, echo)

    async def run_command(ending: Ending, output: Output) -> int:
        joining = network.plain(answers=True) if plain else network.protocol(me, peers=peers)
        replies = _Replies(answer, match, output if json else None, count, verbose=verbose and not quiet)
        if isinstance(joining, GroupSession):
            replies.prepare(joining.groups[0], limit if answer_fast else PERSON_LIMIT)
        async with (
            joining as session,
            counters.counted(session, stats, output if json else None),
            Hooks(None) as hooks,
        ):
            reporter = Reporter(session, quiet=quiet, verbose=verbose)
            reporter.joined("answering in")
            hooks.ready(str(session.plan.groups[0]))
            try:
                complete = await ending.during(replies.run(session, reporter))
            finally:
                reporter.close()
                if runner is not None:
                    runner.stop()
            return ending.exit_code(complete, replies.answered, count)

    answer_fast = runner is not None or echo
    return run(run_command, timeout=timeout)


def _answerer(runner: "Runner | None", echo: bool) -> Answerer:
    """What makes the answers."""
    if runner is not None and echo:
        raise UsageError("--command and --echo cannot be used together", "use only one of them")
    if runner is not None:
        return runner.answer
    if echo:
        return _echo
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        remedy = "give --command COMMAND or --echo, or run it on a terminal"
        raise UsageError("nothing to answer with", remedy)
    return Person().answer


async def _echo(question: bytes, item: Item) -> bytes:
    return question


class Person:
    """The person at the terminal answers, one question after the other."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._lines: stdin.Lines | None = None

    async def answer(self, question: bytes, item: Item) -> bytes | None:
        """Show the question and read a line. An empty line is no answer."""
        async with self._turn:
            self._lines = self._lines or stdin.Lines()
            line = item.chat_line()
            note(f"{line.without_time() if line else ''}")
            ask("answer (empty: none)>")
            typed = await self._lines.next()
            return typed or None


class Runner:
    """Runs a program for each question: question on stdin, answer from stdout. No shell sees either."""

    def __init__(self, words: list[str], limit: float) -> None:
        self._words, self._limit = words, limit
        self._running: set[subprocess.Popen[bytes]] = set()
        # asyncio has fewer threads on a computer with few cores.
        self._threads = ThreadPoolExecutor(AT_ONCE)

    async def answer(self, question: bytes, item: Item) -> bytes:
        """What the program prints. McastError if it fails, takes too long or prints too much."""
        variables = {"MCAST_EVENT": "question", **item.environment()}
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, question, variables)

    def stop(self) -> None:
        """Stop all that run."""
        for process in list(self._running):
            programs.kill(process)

    def _run(self, question: bytes, variables: Mapping[str, str]) -> bytes:
        try:
            process = programs.start(self._words, variables, output=True)
        except OSError as error:
            raise McastError(f"the command does not start ({error.strerror})", "check --command") from None
        self._running.add(process)
        late = threading.Event()

        def stop() -> None:
            late.set()
            programs.kill(process)

        timer = threading.Timer(self._limit, stop)
        timer.start()
        threading.Thread(target=_feed, args=(process.stdin, question), daemon=True).start()
        try:
            answer = _read(process.stdout)
            code = process.wait()
        finally:
            timer.cancel()
            programs.reap(process)
            self._running.discard(process)
        if late.is_set():
            raise McastError(f"no answer within {options.duration_text(self._limit)}", "raise --limit")
        if code:
            how = f"ended with exit code {code}" if code > 0 else f"was killed by signal {-code}"
            raise McastError(f"the command {how}", "see its messages")
        return answer


def _read(pipe: IO[bytes] | None) -> bytes:
    """All that a program prints. McastError if it is too much."""
    if pipe is None:
        return b""
    with pipe:
        answer = pipe.read(MESSAGE_MAX + 1)
    if len(answer) > MESSAGE_MAX:
        raise McastError(f"the answer is larger than {MESSAGE_MAX} bytes", "print less")
    return answer


def _feed(pipe: IO[bytes] | None, question: bytes) -> None:
    """Give a program its input. It may not want it."""
    with contextlib.suppress(OSError, ValueError):
        if pipe is not None:
            with pipe:
                pipe.write(question)


class _Replies:
    """Answers what comes, and ends after `most` answers."""

    def __init__(
        self, answer: Answerer, match: str | None, json: Output | None, most: int | None, *, verbose: bool
    ) -> None:
        self.answered = 0
        self._answer, self._match, self._json, self._most, self._verbose = answer, match, json, most, verbose
        self._enough, self._joined = asyncio.Event(), asyncio.Event()
        self._contexts: list[GroupContext] = []

    def prepare(self, group: Group, limit: float) -> None:
        """Announce that this peer answers, before it joins."""
        group.on_ask(self._on_question, time_limit=limit + 5.0)

    async def run(self, session: GroupSession | PlainSession, reporter: Reporter) -> None:
        """Answer until there were enough."""
        if isinstance(session, PlainSession):
            await self._run_plain(session)
            return
        self._contexts = session.contexts
        self._joined.set()
        tasks = [
            asyncio.ensure_future(self._follow(session, reporter)),
            asyncio.ensure_future(self._enough.wait()),
        ]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()  # the system may refuse that anything is sent
            await session.groups[0].settled(timeout=LAST_ANSWERS)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, session: GroupSession, reporter: Reporter) -> None:
        """Take the other events, and show what was said to this peer alone."""
        async for _, items in session.batches():
            for item in items:
                reporter.private(item)

    async def _on_question(self, question: Question) -> bytes | None:
        await self._joined.wait()
        if self._enough.is_set():
            return None
        return await self._reply(question.data, PrivateItem(question, self._contexts[0], time.time()))

    async def _reply(self, data: bytes, item: Item) -> bytes | None:
        """The answer to one question."""
        text = data.decode("utf-8", "backslashreplace")
        if self._match is not None and not fnmatchcase(text.rstrip("\r\n"), self._match):
            return None
        if self._json is not None:
            self._json.events([item.json()])
        elif self._verbose and (line := item.chat_line()) is not None:
            note(line.without_time())
        try:
            return await self._answer(data, item)
        except McastError as error:
            note(error.message)
            raise
        finally:
            self.answered += 1
            if self.answered == self._most:
                self._enough.set()

    async def _run_plain(self, session: PlainSession) -> None:
        tasks: set[asyncio.Task[None]] = set()
        since, in_second = 0.0, 0
        ending = asyncio.ensure_future(self._enough.wait())
        try:
            async for lines in session.questions():
                if time.monotonic() - since >= 1.0:
                    since, in_second = time.monotonic(), 0
                for line in lines:
                    in_second += 1
                    if len(tasks) < PLAIN_AT_ONCE and in_second <= PLAIN_RATE and not self._enough.is_set():
                        task = asyncio.create_task(self._reply_plain(session, line))
                        tasks.add(task)
                        task.add_done_callback(tasks.discard)
                if self._most is not None:
                    await asyncio.wait([*tasks, ending], return_when=asyncio.FIRST_COMPLETED)
                if self._enough.is_set():
                    return
        finally:
            ending.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _reply_plain(self, session: PlainSession, line: Line) -> None:
        with contextlib.suppress(McastError):  # it was told; a textbook client knows no errors
            answer = await self._reply(line.data, PlainItem(line))
            if answer is not None:
                session.answer(line, answer)
