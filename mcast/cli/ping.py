"""`mcast ping`: measure the ways to peers, by unicast and by multicast, or to a textbook echo server."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec
import typer

from mcast import interfaces as network_interfaces
from mcast.doctor.exchange import LARGEST, SMALLEST, Arrival, Exchange, Target
from mcast.doctor.tally import RoundTrip, Tally
from mcast.doctor.textbook import TcpEcho, UdpEcho
from mcast.errors import PermissionRefused, SocketError, UsageError
from mcast.interfaces import choose
from mcast.multicast import Sender
from mcast.net.address import GroupAddress
from mcast.wire.frames import Path

from . import exits, options
from .joining import joins
from .output import Output, escape, note, rfc3339
from .session import Network, Participant
from .targets import at_address, by_address, is_called, roster

FASTEST = 0.02
"""Seconds between two rounds at least: a peer answers no more."""
LAST = 1.0
"""Seconds to wait for the last answers."""
SHOWN = 0.01
"""Seconds that a peer holds a question from which the text tells it: it is busy then."""
TRIES = 3
PATIENCE = 0.4
"""Questions of one size with --mtu, and seconds to wait for each answer."""
ROUNDS_MAX = 65536
"""Rounds at most: a sequence has 16 bits."""
WAYS = {"unicast": Path.UNICAST, "to-group": Path.UNICAST, "from-group": Path.GROUP}
"""Question and answer by unicast; question to the group; answer to the group."""

Who = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PEER]...", help="Ask these: a name, an id or an address. Without: everybody."),
]
Count = Annotated[int | None, options.number_option("--count", "-C", "-c", least=1, help="Ask N times.")]
Interval = Annotated[float, options.time_option("--interval", help="Ask every TIME.", show_default="1s")]
Size = Annotated[
    int,
    typer.Option(
        "--size",
        parser=options.whole_number(SMALLEST, LARGEST),
        metavar="BYTES",
        help=f"Ask and answer in datagrams of this size ({SMALLEST} to {LARGEST}).",
    ),
]
Mtu = Annotated[bool, typer.Option("--mtu", help="Find the largest datagram that gets there and back.")]
Plain = Annotated[
    str | None,
    typer.Option("--plain", metavar="HOST:PORT", help="Measure a textbook UDP echo server instead."),
]
Tcp = Annotated[
    str | None,
    typer.Option("--tcp", metavar="HOST:PORT", help="Measure a textbook TCP echo server instead."),
]
Json = Annotated[bool, options.json_option("Print one JSON object per answer, and one per way at the end.")]


class Way(msgspec.Struct):
    """One way to one peer: the socket that asks, where to, and what came of it."""

    name: str
    target: Target
    sender: Sender
    to: tuple[str, int]
    token: bytes | None
    nonce: bytes
    tally: Tally
    sequence: int = 0


class Screen:
    """What is printed: a line or an object per answer, and the sums."""

    def __init__(self, json: bool, quiet: bool) -> None:
        self._output, self._json, self._quiet = Output(), json, quiet

    def _print(self, text: str, fields: Mapping[str, Any]) -> None:
        if self._json:
            self._output.events([{"v": 1, "type": "ping", "ts": rfc3339(time.time()), **fields}])
        else:
            self._output.lines([escape(text)])

    def answer(
        self,
        who: Mapping[str, Any],
        label: str,
        sequence: int,
        seconds: float,
        text: str = "",
        **more: float | None,
    ) -> None:
        """An answer and what else is known of it, in text and in fields; those that are None are left out."""
        if not self._quiet:
            took = round(seconds * 1000, 3)
            known = {name: value for name, value in more.items() if value is not None}
            fields = {**who, "state": "answer", "seq": sequence, "time_ms": took, **known}
            self._print(f"{label}: seq={sequence} time={took:.3f} ms{text}", fields)

    def sums(self, who: Mapping[str, Any], label: str, tally: Tally) -> None:
        """The numbers of one way."""
        self._print(f"{label}: {tally.text()}", {**who, "state": "summary", **tally.fields()})

    def largest(self, who: Mapping[str, Any], label: str, size: int) -> None:
        """The largest datagram that passes on one way, 0 if none does."""
        text = f"{size} bytes" if size else "no answer"
        self._print(f"{label}: {text}", {**who, "state": "mtu", "largest": size})


@joins("name", "peer")
def ping(
    peer: Who = None,
    count: Count = None,
    timeout: options.Timeout = None,
    interval: Interval = 1.0,
    size: Size = SMALLEST,
    mtu: Mtu = False,
    plain: Plain = None,
    tcp: Tcp = None,
    *,
    network: Network,
    me: Participant,
    json: Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Measure the ways to peers, by unicast and by multicast.

    It tells loss, round trips, jitter, duplicates and order. Every running member answers. Each round asks
    each peer three times: by unicast, with the question to the group, and with the answer to the group. Ends
    after -C rounds, after -W, or with Ctrl-C.

    Exit codes: 0 answers came, 1 failed, 2 wrong usage, 3 no usable interface or no permission to send by one
    of the ways, 4 nobody is here or answered.
    """
    if sum(bool(one) for one in (peer, plain, tcp)) > 1:
        raise UsageError("PEER, --plain and --tcp exclude each other", "use one of them")
    limit = time.perf_counter() + timeout if timeout else None
    screen = Screen(json, quiet)
    rounds = Rounds(count, limit, max(interval, FASTEST))
    if plain or tcp:
        return _textbook(UdpEcho(plain) if plain else TcpEcho(str(tcp)), size, rounds, screen)
    groups, its_room = network.place(me)
    versions = options.versions(network.only4, network.only6)
    choices = choose(
        network_interfaces.read(),
        network.interfaces or (),
        versions=versions,
        excluded=network.excluded or (),
    )
    with Exchange(its_room, groups, ttl=network.ttl) as exchange:
        exchange.on_refused = lambda error: note(str(error))
        targets = _find(exchange, network, me, peer or [], choices, groups[0].port, versions)
        if not targets:
            if exchange.refusal is not None:
                return exits.NO_NETWORK
            note("nobody is here" if not peer else f"{', '.join(peer)}: nobody answers")
            return exits.NOTHING_FOUND
        ways = [way for target in targets for way in _ways(exchange, target, groups)]
        if mtu:
            answered = any([_largest(exchange, way, screen) for way in ways])
            return _exit_code(exchange, answered)
        with _until_interrupted(rounds):
            _measure(exchange, ways, rounds, size, screen)
    for way in ways:
        screen.sums(_who(way), _label(way), way.tally)
    return _exit_code(exchange, any(way.tally.received for way in ways))


def _exit_code(exchange: Exchange, answered: bool) -> int:
    if exchange.refusal is not None:
        return exits.NO_NETWORK
    return exits.DONE if answered else exits.NOTHING_FOUND


def _find(
    exchange: Exchange,
    network: Network,
    who: Participant,
    wanted: list[str],
    choices: tuple[network_interfaces.Choice, ...],
    port: int,
    versions: tuple[int, ...],
) -> list[Target]:
    """The peers to ask, with a note about each that is not found."""
    addresses = {text: name for text in wanted if (name := by_address(text, port, versions)) is not None}
    here = roster(exchange, network, who) if len(addresses) < len(wanted) or not wanted else []
    if not wanted:
        return here
    found: list[Target] = []
    for text in wanted:
        name = addresses.get(text)
        if name is not None:
            target = at_address(exchange, name, choices)
            some = [target] if target is not None else []
        else:
            some = [target for target in here if is_called(target, text)]
        if not some and len(wanted) > 1:
            note(f"{text}: nobody answers")
        found += some
    return found


def _ways(exchange: Exchange, target: Target, groups: tuple[GroupAddress, ...]) -> Iterator[Way]:
    """The three ways to a peer. Those by multicast only if the group has an address of its IP version."""
    group = next((one for one in groups if one.version == target.version), None)
    with contextlib.suppress(SocketError):
        if group is not None:
            exchange.hear(Path.GROUP, target.link, group)
    for name in WAYS:
        sender = exchange.sender(target.link, target.version)
        token = exchange.token(target, sender) if name == "from-group" and group is not None else None
        if name == "from-group" and token is None:
            continue
        if name == "to-group":
            if group is None:
                continue
            to = (group.host, group.port)
        else:
            to = target.address
        yield Way(name, target, sender, to, token, os.urandom(8), Tally())


class Rounds:
    """When to ask: `count` times at most, until `limit`, every `interval` seconds, until stop()."""

    def __init__(self, count: int | None, limit: float | None, interval: float) -> None:
        self._count, self._limit, self._interval = min(count or ROUNDS_MAX, ROUNDS_MAX), limit, interval
        self.stopped = self.last = False

    def stop(self) -> None:
        """Ask no more."""
        self.stopped = True

    def __iter__(self) -> Iterator[float]:
        """The time until which to wait for answers, once for each round."""
        start, done = time.perf_counter(), 0
        while not self.stopped and not self.last:
            done += 1
            now = time.perf_counter()
            late = self._limit is not None and now + self._interval > self._limit
            self.last = done == self._count or late
            yield now + LAST if self.last else start + done * self._interval


@contextlib.contextmanager
def _until_interrupted(rounds: Rounds) -> Iterator[None]:
    """Let a signal end the rounds, so that the sums are printed. A second one ends at once."""

    def stop(number: int, _: object) -> None:
        if rounds.stopped:
            raise KeyboardInterrupt
        rounds.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _measure(exchange: Exchange, ways: list[Way], rounds: Rounds, size: int, screen: Screen) -> None:
    by_nonce = {way.nonce: way for way in ways}
    for end in rounds:
        for way in ways:
            _ask(exchange, way, size)
        while (left := end - time.perf_counter()) > 0 and not rounds.stopped:
            for way, arrival in _answers(exchange, by_nonce, min(left, 0.2)):
                trip = way.tally.answered(arrival.pong.sequence, arrival.at, arrival.held)
                if trip is not None:
                    _show(screen, way, arrival, trip, exchange.ttl)
            if rounds.last and all(way.tally.received == way.tally.sent for way in ways):
                return


def _show(screen: Screen, way: Way, arrival: Arrival, trip: RoundTrip, ttl: int) -> None:
    """An answer to a question that was sent with this TTL."""
    hops, ttl_text = (arrival.hops_there(ttl), arrival.hops_back), ""
    if arrival.ttl is not None:
        ttl_text = f" ttl={arrival.ttl}"
    known = dict.fromkeys(str(number) for number in hops if number is not None)
    hops_text = f" hops={'/'.join(known)}" if known else ""
    held = f" held={trip.held * 1000:.3f} ms" if trip.held >= SHOWN else ""
    screen.answer(
        _who(way),
        _label(way),
        arrival.pong.sequence,
        trip.time,
        f"{held}{ttl_text}{hops_text} {way.target.link.name}",
        held_ms=round(trip.held * 1000, 3),
        ttl=arrival.ttl,
        hops_there=hops[0],
        hops_back=hops[1],
    )


def _ask(exchange: Exchange, way: Way, size: int) -> None:
    sequence, path = way.sequence, WAYS[way.name]
    way.sequence += 1
    at = time.perf_counter()
    try:
        at = exchange.ask(
            way.sender,
            way.to,
            way.target.peer_id,
            way.nonce,
            sequence,
            path=path,
            size=size,
            token=way.token,
        )
    except PermissionRefused:
        pass  # told once, by on_refused
    except SocketError as error:
        if not (sequence or way.tally.sent):
            note(str(error))
    way.tally.asked(sequence, at)


def _answers(
    exchange: Exchange, by_nonce: Mapping[bytes, Way], seconds: float
) -> Iterator[tuple[Way, Arrival]]:
    """The answers that came by the way that was asked for."""
    for arrival in exchange.wait(seconds):
        way = by_nonce.get(arrival.pong.nonce)
        if way is not None and (arrival.path is None) == (WAYS[way.name] is Path.UNICAST):
            yield way, arrival


def _who(way: Way) -> dict[str, Any]:
    target = way.target
    identity = {"id": target.peer_id.origin.hex()[:16], "name": target.name}
    return {"from": identity, "interface": target.link.name, "path": way.name}


def _label(way: Way) -> str:
    target = way.target
    return f"{target.name or target.address[0]}·{target.peer_id.origin.hex()[:4]} {way.name}"


def _largest(exchange: Exchange, way: Way, screen: Screen) -> int:
    """Find the largest datagram that comes there and back by one way, by halving; 0 if none does."""
    size, high = 0, LARGEST
    if _passes(exchange, way, SMALLEST):
        size = SMALLEST
    while size and size < high:
        middle = (size + high + 1) // 2
        if _passes(exchange, way, middle):
            size = middle
        else:
            high = middle - 1
    screen.largest(_who(way), _label(way), size)
    return size


def _passes(exchange: Exchange, way: Way, size: int) -> bool:
    """Whether a datagram of this size comes there and back, in one of a few tries."""
    for _ in range(TRIES):
        sequence = way.sequence
        _ask(exchange, way, size)
        end = time.perf_counter() + PATIENCE
        while (left := end - time.perf_counter()) > 0:
            for _, arrival in _answers(exchange, {way.nonce: way}, left):
                if arrival.pong.sequence == sequence:
                    return True
    return False


def _textbook(server: UdpEcho | TcpEcho, size: int, rounds: Rounds, screen: Screen) -> int:
    """Measure a textbook echo server: the whole line must come back."""
    tally = Tally()
    with server, _until_interrupted(rounds):
        who = {"server": server.source, "path": server.kind}
        if server.connect_seconds is not None:
            screen.answer({**who, "path": "connect"}, f"{server.source} connect", 0, server.connect_seconds)
        for sequence, end in enumerate(rounds):
            came = server.echoed(sequence, size, end - time.perf_counter())
            tally.asked(sequence, server.left_at)
            if came:
                trip = tally.answered(sequence, server.came_at)
                screen.answer(who, f"{server.source} {server.kind}", sequence, trip.time if trip else 0.0)
            while not (rounds.last or rounds.stopped) and (left := end - time.perf_counter()) > 0:
                time.sleep(min(left, 0.2))
    screen.sums(who, f"{server.source} {server.kind}", tally)
    return exits.DONE if tally.received else exits.NOTHING_FOUND
