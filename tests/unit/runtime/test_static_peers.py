"""Static peers: their syntax, their addresses, and names that cannot be resolved."""

from __future__ import annotations

import asyncio
import functools
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mcast.errors import UsageError
from mcast.runtime import static_peers
from mcast.runtime.joining import DEFAULT_PORT
from mcast.runtime.static_peers import PeerName, StaticPeers, parse_peer


def asynchronous(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test in a loop of its own."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        asyncio.run(_awaited(test(**fixtures)))

    return run


async def _awaited(test: Awaitable[None]) -> None:
    await test


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.9.0.1", "10.9.0.1", 28003),
        (" 10.9.0.1:5 ", "10.9.0.1", 5),
        ("printer", "printer", 28003),
        ("printer.local:70", "printer.local", 70),
        ("my_host-2", "my_host-2", 28003),
        ("fe80::1%eth0", "fe80::1%eth0", 28003),
        ("[fe80::1%eth0]:9", "fe80::1%eth0", 9),
        ("[2001:db8::1]", "2001:db8::1", 28003),
        ("2001:db8::1", "2001:db8::1", 28003),
    ],
)
def test_a_peer_is_a_host_and_maybe_a_port(text: str, host: str, port: int) -> None:
    assert parse_peer(text, DEFAULT_PORT) == PeerName(host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":5",
        "printer:",
        "printer:x",
        "printer:0",
        "printer:65536",
        "[::1",
        "[::1]5",
        "[::1]:",
        "a b",
        "a/b",
        "x" * 254,
        "1.2.3",
        "1.2.3.256",
        "::g",
        "230.0.0.1",
        "ff12::6d63",
        "0.0.0.0",  # noqa: S104 - what is refused
        "255.255.255.255",
        "fe80::1",
        "\x1b[31m",
    ],
)
def test_what_is_no_peer(text: str) -> None:
    with pytest.raises(UsageError):
        parse_peer(text, DEFAULT_PORT)


def test_a_peer_of_the_wrong_ip_version() -> None:
    with pytest.raises(UsageError, match="IPv4"):
        parse_peer("2001:db8::1", 1, (4,))
    assert str(PeerName("2001:db8::1", 5)) == "[2001:db8::1]:5"
    assert str(PeerName("host", 5)) == "host:5"


Answers = dict[str, Any]
Looked = Callable[..., StaticPeers]


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Looked:
    """`looked(answers, *names)`: peers whose names resolve to `answers`, which holds addresses or errors."""

    def make(answers: Answers, *names: str, versions: tuple[int, ...] = (4, 6)) -> StaticPeers:
        monkeypatch.setattr(socket, "getaddrinfo", functools.partial(_answer, answers))
        return StaticPeers([parse_peer(name, 5) for name in names], versions)

    return make


def _answer(answers: Answers, host: str, port: int, **_: Any) -> list[Any]:
    answer = answers[host]
    if isinstance(answer, Exception):
        raise answer
    return [(socket.AF_INET6 if ":" in one[0] else socket.AF_INET, 2, 17, "", one) for one in answer]


@asynchronous
async def test_addresses_are_as_sources_of_datagrams_are_written(looked: Looked) -> None:
    answers = {
        "b": [("fe80::1%eth0", 5, 7, 2), ("10.0.0.1", 5), ("10.0.0.1", 5)],
        "10.0.0.9": [("10.0.0.9", 6)],
    }
    peers = looked(answers, "10.0.0.9", "b", "b")
    assert await peers.resolve(first=True)
    assert peers.addresses == [("10.0.0.9", 6), ("fe80::1", 5, 0, 2), ("10.0.0.1", 5)]
    assert not await peers.resolve()
    answers["b"] = [("10.0.0.2", 5)]
    assert await peers.resolve()
    assert peers.addresses == [("10.0.0.9", 6), ("10.0.0.2", 5)]
    assert peers
    assert not StaticPeers([], (4,))


@asynchronous
async def test_four_addresses_of_a_name_in_the_groups_ip_versions(looked: Looked) -> None:
    many = [*((f"10.0.0.{number}", 5) for number in range(9)), ("2001:db8::1", 5, 0, 0)]
    peers = looked({"b": many, "c": many[-1:]}, "b", "c", versions=(4,))
    await peers.resolve(first=False)
    assert len(peers.addresses) == static_peers.ADDRESSES_MAX
    assert [str(problem) for problem in peers.problems] == [
        "c has no address of the group's IP version: check the name; mcast keeps trying"
    ]


@asynchronous
async def test_an_unknown_name_is_the_callers_error_at_first_and_a_problem_later(looked: Looked) -> None:
    peers = looked({"b": socket.gaierror(socket.EAI_NONAME, "unknown")}, "b")
    with pytest.raises(UsageError, match="no computer is called b"):
        await peers.resolve(first=True)
    assert not await peers.resolve()
    assert len(peers.problems) == 1
    with pytest.raises(UsageError):
        await looked({"a..b": UnicodeError("label empty")}, "a..b").resolve(first=True)


@asynchronous
async def test_what_cannot_be_resolved_now_keeps_its_last_addresses(looked: Looked) -> None:
    answers: dict[str, Any] = {"b": socket.gaierror(socket.EAI_AGAIN, "later")}
    peers = looked(answers, "b")
    await peers.resolve(first=True)
    assert peers.addresses == []
    assert "later" in str(peers.problems[0])
    answers["b"] = [("10.0.0.1", 5)]
    assert await peers.resolve()
    assert not peers.problems
    answers["b"] = socket.gaierror(socket.EAI_AGAIN, "later")
    await peers.resolve()
    assert peers.addresses == [("10.0.0.1", 5)]


@asynchronous
async def test_a_resolver_that_hangs_holds_up_neither_loop_nor_end(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()

    def hang(*_: Any, **__: Any) -> list[Any]:
        answer.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "too late")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(static_peers, "RESOLVE_PATIENCE", 0.05)
    peers = StaticPeers([PeerName("slow", 5)], (4,))
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    ticking = asyncio.create_task(tick())
    await peers.resolve(first=True)
    ticking.cancel()
    assert ticks > 0
    assert "no answer" in str(peers.problems[0])
    resolver = next(thread for thread in threading.enumerate() if thread.name == "mcast resolver")
    assert resolver.daemon
    answer.set()
    resolver.join(5)


class Quiet:
    """An engine and its driver: somebody has answered at one address, another is ours."""

    hosts = ("10.0.0.1",)
    transport = property(lambda self: self)

    def has_met(self, address: tuple[Any, ...]) -> bool:
        """Only one has answered."""
        return bool(address[0] == "10.0.0.2")

    def beyond_ttl(self, host: str) -> bool:
        """Behind a router."""
        return host == "10.1.0.1"


@asynchronous
async def test_who_does_not_answer_is_told_once_with_the_reason(
    looked: Looked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(static_peers, "SILENT_AFTER", 0.0)
    monkeypatch.setattr(static_peers, "source_towards", lambda address: address[0] != "10.2.0.1" or None)
    hosts = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.1.0.1", "10.2.0.1")
    peers = looked({host: [(host, 5)] for host in hosts}, *hosts)
    await peers.resolve(first=True)
    told: asyncio.Future[static_peers.Problems] = asyncio.get_running_loop().create_future()
    quiet: Any = Quiet()
    peers.start(quiet, quiet, told.set_result)
    texts = [problem.message for problem in await asyncio.wait_for(told, 60)]
    peers.stop()
    assert texts == [
        "nobody in this room answers at 10.0.0.3:5",
        "cannot reach 10.1.0.1:5: a router is on the way and the TTL is 1",
        "cannot reach 10.2.0.1:5: no route leads there",
    ]
