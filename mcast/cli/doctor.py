"""`mcast doctor`: find out why multicast does not work here, and what to do about it."""

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec
import psutil
import typer

from mcast import interfaces
from mcast.doctor.diagnosis import HERE, Diagnosis, diagnose
from mcast.doctor.evidence import SIZES, Evidence, Hears, Peer
from mcast.doctor.exchange import Exchange, Exhausted, Target
from mcast.doctor.finding import Finding, Status
from mcast.doctor.hearing import Hearing
from mcast.doctor.probes import LONGEST, Look
from mcast.errors import NoInterface, SocketError
from mcast.interfaces import choose

from . import exits, options
from .interfaces import cells_of
from .output import Output, escape, note, rfc3339
from .session import Network, Participant
from .targets import measured_with, roster

AS_ROOT = "as root, see also the firewall's rules (nft list ruleset) and the IGMP queries (tcpdump -n igmp)"
PERIOD = 15.0
"""Seconds from one look to the next with --watch."""
LONG, WHOLE, WHOLE_WITH = 5.0, 8.5, 27.0
"""Seconds of a look after which nobody is asked for the roster, and those after which a doctor without and
with a peer asks nothing more: all of it takes at most 10 and 30 s."""
STARTUP_MAX = 4.0
"""Seconds of starting that count: the clock that tells them may be set."""
MOST = 200_000
"""Bytes that all of it sends at most, with the headers down to Ethernet."""
SHORT = 2.0
"""Seconds of a look beside a peer that answers: it tells more than waiting does."""

Watch = Annotated[
    float | None,
    options.time_option("--watch", help="Look again and again for TIME, for what fails only after minutes."),
]
With = Annotated[
    str | None,
    typer.Option(
        "--with",
        metavar="PEER",
        help="Also measure all ways to this running peer and back: a name, an id or an address.",
    ),
]
Json = Annotated[bool, options.json_option("Print one JSON object per diagnosis and per check.")]


def doctor(
    context: typer.Context,
    peer: With = None,
    watch: Watch = None,
    group: options.Group = None,
    port: options.Port = None,
    room: options.Room = "",
    key_file: options.KeyFile = None,
    interface: options.Interfaces = None,
    exclude: options.Excluded = None,
    only4: options.Only4 = False,
    only6: options.Only6 = False,
    json: Json = False,
) -> int:
    """Find out why multicast does not work here, and what to do about it.

    It reads what the system tells, joins the group, asks who is there and looks for at most 7 seconds. It
    changes nothing, needs no rights, and prints commands without running them. One line per check: OK, WARN,
    FAIL or UNKNOWN, the cause, what was seen, and what to do.

    With --with it also exchanges at most 200 kB with that peer, by unicast, multicast and broadcast in three
    sizes, and shows what passed in which direction.

    Exit codes: 0 nothing is wrong, 1 something is wrong, 2 wrong usage, 3 could not look.
    """
    network, who = (
        Network(context, group, port, interface, only4, only6, excluded=exclude),
        Participant("default", None, room, key_file),
    )
    groups, its_room = network.place(who)
    versions = options.versions(only4, only6)
    output = Output()
    end = time.perf_counter() + (watch or 0.0)
    shown: set[tuple[str, Status]] = set()
    wrong, first = False, True
    # A watch ends with what it has seen.
    with contextlib.suppress(*([KeyboardInterrupt] if watch else [])), exits.terminable():
        while True:
            started, first = time.perf_counter() - (_startup() if first else 0.0), False
            try:
                choices = choose(
                    interfaces.read(),
                    interface or (),
                    versions=versions,
                    absent_ok=True,
                    excluded=exclude or (),
                )
            except SocketError as error:
                note(f"could not look: {error}")
                return exits.NO_NETWORK
            look = Look(groups, its_room, choices, interface or ())
            if peer is None:
                evidence = look.run(min(LONGEST, started + WHOLE - time.perf_counter()))
                evidence = _heard_by_others(look, network, who, evidence, started)
            elif (seen := _measured(look, network, who, peer, versions, started)) is not None:
                evidence = seen
            else:
                note(f"nobody called {peer} is here: give its address")
                return exits.NO_NETWORK
            found = diagnose(evidence)
            new = {(one.cause, one.status) for one in found.findings} != shown
            shown = {(one.cause, one.status) for one in found.findings}
            wrong |= bool(found.wrong)
            if new:
                _show(output, found, evidence, json)
            pause = PERIOD - (time.perf_counter() - started)
            if time.perf_counter() + pause > end:
                break
            time.sleep(max(0.0, pause))
    return exits.FAILED if wrong else exits.DONE


def _startup() -> float:
    """Seconds since this program was started: on a busy machine that takes its time, too."""
    return min(STARTUP_MAX, max(0.0, time.time() - psutil.Process().create_time()))


def _heard_by_others(
    look: Look, network: Network, who: Participant, evidence: Evidence, started: float
) -> Evidence:
    """With who hears whom, if there are several peers and the look has left time for it."""
    targets: list[Target] = []
    links = {choice.interface.name: choice.interface for choice in look.choices if choice.used}
    left, until = MOST - look.sent_bytes, started + WHOLE
    hears: tuple[Hears, ...] = ()
    with Exchange(look.room, look.groups, most=left, until=until) as exchange:
        if time.perf_counter() - started < LONG:
            with contextlib.suppress(SocketError, NoInterface):  # the look has seen why
                targets = roster(exchange, network, who)
        with contextlib.suppress(Exhausted):
            hears = Hearing(exchange, evidence, targets, links).run()
    return msgspec.structs.replace(evidence, hears=hears)


def _measured(
    look: Look, network: Network, who: Participant, peer: str, versions: tuple[int, ...], started: float
) -> Evidence | None:
    """A short look and the ways to the peer; a long look if nothing comes from there. None: who is that?

    If there is no time for all of the second time, what came of the first one counts.
    """
    measured: tuple[Peer, ...] = ()
    left, until = MOST, started + WHOLE_WITH
    for longest in (SHORT, LONGEST):
        evidence = look.run(min(longest, until - time.perf_counter()))
        left -= look.sent_bytes
        with (
            Exchange(look.room, look.groups, most=left, until=until) as exchange,
            contextlib.suppress(Exhausted),
        ):
            measured = measured_with(exchange, network, who, peer, look.choices, evidence.ours, versions)
        left -= exchange.sent_bytes
        if measured and measured[0].reached:
            break
        look = look.again()
    if not measured:
        return None
    return msgspec.structs.replace(evidence, peer=measured[0], elsewhere=measured[1:])


def _show(output: Output, found: Diagnosis, evidence: Evidence, json: bool) -> None:
    if json:
        output.events(_events(found, evidence))
    else:
        output.lines(_lines(found, evidence))


def _lines(found: Diagnosis, evidence: Evidence) -> Iterator[str]:
    yield f"{found.sentence[:1].upper()}{found.sentence[1:]}."
    for peer in (evidence.peer, *evidence.elsewhere):
        if peer is not None and peer.cells:
            yield from _matrix(peer)
    if evidence.hears:
        yield from _hearing(evidence.hears)
    width = max((len(one.cause) for one in found.findings), default=0)
    for one in found.findings:
        remedy = f" → {one.remedy}" if one.remedy and one.status is not Status.OK else ""
        yield escape(f"{one.status:<7}  {one.cause:<{width}}  {one.seen}{remedy}")
        if one.status is not Status.OK:
            yield from (escape(f"{'':<7}    {command}") for command in one.commands)
    if not evidence.privileged and sys.platform == "linux":
        yield escape(f"{'':<7}  {AS_ROOT}")


PATHS = {
    "unicast": "unicast",
    "group": "group",
    "scoped": "239.x",
    "local": "224.0.0.x",
    "broadcast": "broadcast",
}
"""The columns of the matrix, and their heads."""


def _matrix(peer: Peer) -> Iterator[str]:
    """What passed, as a table: yes, no, the largest size that did, or ? if it could not be tried."""
    heads = ["way", *PATHS.values()]
    rows = [heads]
    for version in sorted({cell.version for cell in peer.cells}):
        for outward in (True, False):
            label = f"IPv{version} {'to' if outward else 'from'} {peer.name}"
            rows.append([escape(label), *(_cell(peer, version, outward, path) for path in PATHS)])
    yield from _aligned(rows)


def _hearing(hears: Sequence[Hears]) -> Iterator[str]:
    """Who hears whom, as a table."""
    names = list(dict.fromkeys(pair.speaker for pair in hears))
    heard = {(pair.speaker, pair.hearer): pair.heard for pair in hears}
    signs = {True: "yes", False: "no", None: "?"}
    rows = [["heard by", *(escape(name) or HERE for name in names)]]
    for speaker in names:
        cells = ("-" if speaker == name else signs[heard[speaker, name]] for name in names)
        rows.append([escape(speaker) or HERE, *cells])
    yield from _aligned(rows)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(cells_of, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = (text + " " * (width - cells_of(text)) for text, width in zip(row, widths, strict=True))
        yield "  ".join(padded).rstrip()


def _cell(peer: Peer, version: int, outward: bool, path: str) -> str:
    passed = {size: peer.passed(version, outward, path, size) for size in SIZES}
    largest = max((size for size, one in passed.items() if one), default=0)
    if all(one is None for one in passed.values()):
        return "-" if path == "broadcast" and version == 6 else "?"
    return "yes" if all(passed.values()) else f"<= {largest} B" if largest else "no"


def _events(found: Diagnosis, evidence: Evidence) -> Iterator[Mapping[str, Any]]:
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
    for peer in (evidence.peer, *evidence.elsewhere):
        for cell in peer.cells if peer is not None else ():
            direction = "to" if cell.outward else "from"
            way = {"version": cell.version, "direction": direction, "path": cell.path, "size": cell.size}
            by = peer.interface if peer is not None else ""
            yield {**head, "type": "way", **way, "interface": by, "passed": cell.passed}
    for pair in evidence.hears:
        yield {**head, "type": "hears", **msgspec.structs.asdict(pair)}


def _fields(one: Finding) -> dict[str, Any]:
    return {
        "cause": one.cause,
        "status": one.status.lower(),
        "text": one.seen,
        **({"remedy": one.remedy} if one.remedy else {}),
        **({"commands": list(one.commands)} if one.commands else {}),
    }
