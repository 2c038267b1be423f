"""`mcast doctor`: find out why multicast does not work here, and what to do about it."""

import contextlib
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from mcast import interfaces as network
from mcast.doctor.diagnosis import Diagnosis, Finding, Status, diagnose
from mcast.doctor.probes import LONGEST, Look
from mcast.errors import SocketError
from mcast.interfaces import choose

from . import exits, options
from .output import Output, escape, note, rfc3339
from .session import Network, Participant

AS_ROOT = "as root, see also the firewall's rules (nft list ruleset) and the IGMP queries (tcpdump -n igmp)"
PERIOD = 15.0
"""Seconds from one look to the next with --watch."""

Watch = Annotated[
    float | None,
    options.time_option("--watch", help="Look again and again for TIME, for what fails only after minutes."),
]
Json = Annotated[bool, options.json_option("Print one JSON object per diagnosis and per check.")]


def doctor(
    context: typer.Context,
    watch: Watch = None,
    group: options.Group = None,
    port: options.Port = None,
    room: options.Room = "",
    key_file: options.KeyFile = None,
    interface: options.Interfaces = None,
    only4: options.Only4 = False,
    only6: options.Only6 = False,
    json: Json = False,
) -> int:
    """Find out why multicast does not work here, and what to do about it.

    It reads what the system tells, joins the group, asks who is there and looks for at most 7 seconds. It
    changes nothing, needs no rights, and prints commands without running them. One line per check: OK, WARN,
    FAIL or UNKNOWN, the cause, what was seen, and what to do.

    Exit codes: 0 nothing is wrong, 1 something is wrong, 2 wrong usage, 3 could not look.
    """
    place = Network(context, group, port, interface, only4, only6)
    groups, its_room = place.place(Participant("default", None, room, key_file))
    output = Output()
    end = time.monotonic() + (watch or 0.0)
    shown: set[tuple[str, Status]] = set()
    wrong = False
    with _interruptible():
        while True:
            started = time.monotonic()
            try:
                table = network.read()
            except SocketError as error:
                note(f"could not look: {error}")
                return exits.NO_NETWORK
            choices = choose(table, interface or (), versions=options.versions(only4, only6), absent_ok=True)
            evidence = Look(groups, its_room, choices, interface or ()).run(LONGEST)
            found = diagnose(evidence)
            new = {(one.cause, one.status) for one in found.findings} != shown
            shown = {(one.cause, one.status) for one in found.findings}
            wrong |= bool(found.wrong)
            if new:
                output.events(_events(found)) if json else output.lines(_lines(found, evidence.privileged))
            pause = PERIOD - (time.monotonic() - started)
            if time.monotonic() + pause > end:
                break
            time.sleep(max(0.0, pause))
    return exits.FAILED if wrong else exits.DONE


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM interrupts as SIGINT does."""

    def interrupt(number: int, _: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _lines(found: Diagnosis, privileged: bool) -> Iterator[str]:
    yield f"{found.sentence[:1].upper()}{found.sentence[1:]}."
    width = max((len(one.cause) for one in found.findings), default=0)
    for one in found.findings:
        remedy = f" → {one.remedy}" if one.remedy and one.status is not Status.OK else ""
        yield escape(f"{one.status:<7}  {one.cause:<{width}}  {one.seen}{remedy}")
        if one.status is not Status.OK:
            yield from (escape(f"{'':<7}    {command}") for command in one.commands)
    if not privileged and sys.platform == "linux":
        yield escape(f"{'':<7}  {AS_ROOT}")


def _events(found: Diagnosis) -> Iterator[Mapping[str, Any]]:
    """A diagnosis for each cause, "none" if nothing is wrong; then all checks."""
    head = {"v": 1, "ts": rfc3339(time.time())}
    causes: dict[str, Finding] = {}
    for one in found.wrong:
        causes.setdefault(one.cause, one)
    if not causes:
        yield {**head, "type": "diagnosis", "cause": "none", "text": found.sentence}
    for one in causes.values():
        yield {**head, "type": "diagnosis", **_fields(one)}
    for one in found.findings:
        yield {**head, "type": "check", **_fields(one)}


def _fields(one: Finding) -> dict[str, Any]:
    return {
        "cause": one.cause,
        "status": one.status.lower(),
        "text": one.seen,
        **({"remedy": one.remedy} if one.remedy else {}),
        **({"commands": list(one.commands)} if one.commands else {}),
    }
