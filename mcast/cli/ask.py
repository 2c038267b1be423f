"""`mcast ask`: ask the peers that answer questions, and print what they say."""

import asyncio
import os
import socket
import time
from collections.abc import Sequence
from typing import Annotated

import typer

from mcast.aio import Answers
from mcast.errors import McastError, UsageError
from mcast.events import Answer
from mcast.net.plain_text import decode
from mcast.runtime.joining import make_payload

from . import exits, options
from .items import GroupContext, PrivateItem, source_text
from .joining import joins
from .output import Output, decoded, escape, escape_exactly, note, payload, rfc3339
from .runner import Ending, collect, run
from .session import Network, Participant, Reporter

LATE = 0.25
"""Seconds after the end in which an answer that comes late is still shown."""
LARGEST = 65_507
"""Bytes of the largest UDP datagram."""

First = Annotated[bool, typer.Option("--first", help="Stop after the first answer (as -C 1).")]
Everyone = Annotated[
    bool, typer.Option("--all", help="Wait until -W, for peers that come in the meantime, too.")
]
Count = Annotated[
    int | None, options.number_option("--count", "-C", "-c", least=1, help="Stop after N answers.")
]
PlainTo = Annotated[
    str | None,
    typer.Option("--plain", metavar="HOST:PORT", help="Ask this UDP server with a plain datagram."),
]


@joins()
def ask(
    text: Annotated[list[str], typer.Argument(metavar="TEXT...", help="Ask these words as one question.")],
    first: First = False,
    count: Count = None,
    everyone: Everyone = False,
    timeout: Annotated[
        float, options.time_option("--timeout", "-W", help="Wait at most TIME for the answers.")
    ] = options.Seconds(2),
    *,
    network: Network,
    me: Participant,
    peers: Sequence[str],
    plain: PlainTo = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Ask the peers that answer questions, and print each answer behind the name of its peer.

    Those are the peers that run mcast reply. It ends when each of them has answered.

    Exit codes: 0 all answered, or as many as -C or --first asked for, 1 failed, 2 wrong usage,
    3 no usable interface or no permission, 4 nobody here answers questions, 27 fewer answers than that,
    130 or 143 interrupted.
    """
    chosen = [flag for flag, value in (("--first", first), ("-C", count), ("--all", everyone)) if value]
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(chosen)} cannot be used together", "use only one of them")
    wanted = 1 if first else count
    question = os.fsencode(" ".join(text))
    if plain is not None:
        network.check_plain(sends=True)
        return _ask_plain(plain, question, timeout, wanted, json=json)
    make_payload(question)

    async def command(ending: Ending, output: Output) -> int:
        async with network.protocol(me, visitor=True, wait=False, peers=peers) as session:
            reporter = Reporter(session, quiet=quiet, verbose=False)
            if verbose:
                reporter.say(reporter.where("asking in"))
            reporter.problems_at_once()
            asking = _Asking(session.contexts[0], output, json=json, wanted=wanted)
            complete = await ending.during(asking.run(question, timeout, everyone))
            if not complete:
                return exits.INTERRUPTED + ending.signal if ending.reason == "signal" else exits.DONE
            session.require_sent()
            if not quiet:
                asking.report()
            return asking.exit_code

    return run(command)


class _Asking:
    """Asks once, prints the answers as they come, and says who did not answer."""

    def __init__(self, context: GroupContext, output: Output, *, json: bool, wanted: int | None) -> None:
        self.exit_code = exits.DONE
        self._context, self._output, self._json, self._wanted = context, output, json, wanted
        self._printed = 0
        self._answers = Answers()

    async def run(self, question: bytes, timeout: float, everyone: bool) -> None:
        """Ask, and print the answers, the late ones too."""
        group = self._context.group
        self._answers = await group.ask(
            question, timeout=timeout, count=self._wanted, wait_all=everyone, on_answer=self._print
        )
        self.exit_code = self._judge()
        if self.exit_code == exits.TIMED_OUT and self._answers.silent:
            await self._wait_for_late_ones()

    async def _wait_for_late_ones(self) -> None:
        try:
            async with asyncio.timeout(LATE):
                async for event in self._context.group.events():
                    if isinstance(event, Answer):
                        self._print(event)
        except TimeoutError:
            return

    def _judge(self) -> int:
        answers = self._answers
        if self._wanted is not None and len(answers) >= self._wanted:
            return exits.DONE
        if not answers.asked and not answers.declined:
            return exits.NOTHING_FOUND
        missing = answers.failed or answers.silent or self._wanted
        if missing:
            return exits.TIMED_OUT
        return exits.DONE if answers.answers else exits.NOTHING_FOUND

    def _print(self, answer: Answer) -> None:
        real = answer.kind == "answer"
        if real and not answer.late:
            if self._printed == self._wanted:
                return  # it came together with the last one that was wanted
            self._printed += 1
        item = PrivateItem(answer, self._context, time.time())
        if self._json:
            self._output.events([item.json()])
        elif real:
            late = "\tlate" if answer.late else ""
            self._output.lines([f"{self._label(answer)}\t{item.chat_line(exact=True).text}{late}"])
        elif answer.kind == "no_answer":
            note(f"{self._label(answer)} could not answer: {answer.text or 'unknown'}")

    def _label(self, answer: Answer) -> str:
        return self._context.labels.label(answer.peer_id, answer.name)

    def report(self) -> None:
        """Say who did not answer."""
        answers, label = self._answers, self._context.labels.label
        if not answers.asked and not answers.declined:
            note("nobody here answers questions; start one with: mcast reply")
        elif self.exit_code and not answers.asked:
            note(f"the question is for none of the {len(answers.declined)} that answer questions here")
        elif self.exit_code:
            parts = [f"{len(answers)} of {answers.asked} answered"]
            for word, peers in (("failed", answers.failed), ("silent", answers.silent)):
                if peers:
                    parts.append(f"{word}: {', '.join(label(peer.peer_id, peer.name) for peer in peers)}")
            note("; ".join(parts))


def _ask_plain(where: str, question: bytes, timeout: float, wanted: int | None, *, json: bool) -> int:
    """Send one datagram to a UDP server, and print one answer, or as many as wanted."""
    collect()
    host, _, port = where.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"--plain {where!r} is not a server", "write HOST:PORT, such as 192.168.1.7:3000")
    if len(question) > LARGEST or decode(question) is None:
        remedy = f"ask with at most {LARGEST} bytes of UTF-8"
        raise UsageError("the question does not fit a plain datagram", remedy)
    output, got, wanted = Output(), 0, wanted or 1
    with _connected(host.strip("[]"), int(port)) as server:
        limit = time.monotonic() + timeout
        try:
            server.send(question)
            while got < wanted and (left := limit - time.monotonic()) > 0:
                server.settimeout(left)
                got += _print_plain(output, server.recv(LARGEST), server.getpeername()[:2], json=json)
        except TimeoutError:
            pass
        except KeyboardInterrupt:
            return exits.INTERRUPTED + 2
        except OSError as error:
            problem = f"{where} does not answer ({error.strerror})"
            raise McastError(problem, "check that the server runs") from None
    if got < wanted:
        note(f"{got} of {wanted} answered; silent: {escape(where)}")
        return exits.TIMED_OUT
    return exits.DONE


def _connected(host: str, port: int) -> socket.socket:
    """A UDP socket that hears nobody but this server."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        server = socket.socket(family, kind, proto)
        server.connect(address)
    except OSError as error:
        raise McastError(f"cannot reach {host}: {error.strerror}", "check the name and the network") from None
    return server


def _print_plain(output: Output, data: bytes, source: tuple[str, int], *, json: bool) -> int:
    text = decode(data)
    if json:
        head = {"v": 1, "type": "reply", "ts": rfc3339(time.time()), "source": source_text(source)}
        output.events([{**head, **payload(data, text), "plain": True}])
    else:
        shown = escape_exactly(decoded(data).rstrip("\r\n"))
        output.lines([f"{source_text(source)}\t{shown}"])
    return 1
