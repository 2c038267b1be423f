"""Announcing by DNS-SD: names, types and texts, and who gives way when two want one name."""

from __future__ import annotations

import asyncio
import itertools
from types import SimpleNamespace
from typing import Any, cast

import pytest
from zeroconf import DNSService, ServiceInfo

from mcast.aio import Group
from mcast.core.events import PeerId
from mcast.crypto.keys import Identity
from mcast.crypto.offers import Offer, check, credential
from mcast.discovery import dnssd
from mcast.discovery.dnssd import Advertiser, candidates, host_label, text_strings, unsuited
from mcast.discovery.found import record_of
from mcast.discovery.mdns import Mdns
from mcast.discovery.scope import Scope
from mcast.interfaces import Interface
from mcast.wire.attributes import Attributes, Service

IDENTITY = Identity(bytes(range(32)))
WEB, SSH = Service("_http._tcp", 80), Service("_ssh._tcp", 22)
LINK = Interface("eth0", 2, ("10.9.0.2", "10.9.1.2"), ("fe80::2", "2001:db8::2"))


def first(name: str, count: int = 3) -> list[str]:
    return list(itertools.islice(candidates(name, "a3f2"), count))


def test_a_taken_name_gets_the_start_of_the_identity_and_then_a_number() -> None:
    assert first("printer", 4) == ["printer", "printer·a3f2", "printer·a3f2 (2)", "printer·a3f2 (3)"]


@pytest.mark.parametrize("name", ["x" * 64, "ü" * 32, "🎉" * 16, "a" * 60 + "🎉", ".", "a\0b\x1b[m\n\x7f"])
def test_names_fit_into_a_label_and_have_no_control_characters(name: str) -> None:
    for made in first(name):
        assert 0 < len(made.encode()) <= 63
        assert not any(character < " " or character in ".\x7f" for character in made)
    assert len(set(first(name, 20))) == 20


def test_a_dot_is_replaced_by_its_double() -> None:
    assert first("web 2.0; ü")[0] == "web 2\u20240; ü"


def test_hosts_are_named_after_the_computer_and_the_peer() -> None:
    one, other = (host_label("Büro NAS.example.org", PeerId(b"o" * 16, number)) for number in (1, 2))
    assert one != other
    assert one.startswith("b-ro-nas-")
    assert host_label("!", PeerId(b"o" * 16, 1)).startswith("mcast-")
    assert len(host_label("x" * 99, PeerId(b"o" * 16, 1))) == 49


def test_what_dns_sd_cannot_show_is_told() -> None:
    services = (
        WEB,
        Service("chat", 5),
        Service("_http._tcp"),
        Service("_a--b._tcp", 5),
        Service("_x._sub", 5),
    )
    tags = {"floor": "2", "long": "x" * 251, "MCAST": "x", "mcast-at": "x", "": "x"}
    told = list(unsuited(Attributes(tags, services)))
    assert [line.partition(" is")[0] for line in told[:4]] == ["chat", "_http._tcp", "_a--b._tcp", "_x._sub"]
    assert [line.partition(" is")[0] for line in told[4:]] == [
        "the tag long",
        "the tag MCAST",
        "the tag mcast-at",
        "the tag ",
    ]
    assert text_strings(tags) == [b"floor=2"]
    assert record_of([b"a", b"bc"]) == b"\1a\2bc"


def test_addresses_are_those_of_the_interfaces_in_use() -> None:
    assert Scope().addresses([LINK, LINK]) == ["10.9.0.2", "10.9.1.2", "fe80::2", "2001:db8::2"]
    assert Scope(versions=(6,)).addresses([LINK]) == ["fe80::2", "2001:db8::2"]
    down = Interface("eth1", 3, ("10.8.0.2",), up=False)
    assert Scope().used([LINK, down]) == (LINK,)
    assert Scope(["eth1"]).used([LINK, down]) == ()


class Network:
    """What zeroconf does: it is told to send, and tells of records."""

    def __init__(self) -> None:
        self.known: list[DNSService] = []
        self.registered: list[ServiceInfo] = []
        self.probes = self.goodbyes = 0
        self.listener: Any = None
        self.cache = SimpleNamespace(
            get_all_by_details=lambda name, *_: [one for one in self.known if one.name == name]
        )
        self.registry = SimpleNamespace(async_remove=self.registered.remove)

    def async_add_listener(self, listener: Any, _: object) -> None:
        self.listener = listener

    def async_send(self, _: object) -> None:
        self.probes += 1

    async def async_register_service(self, info: ServiceInfo, **_: object) -> None:
        self.registered.append(info)

    async def async_update_service(self, info: ServiceInfo) -> None:
        self.registered = [info if one.name == info.name else one for one in self.registered]

    async def async_unregister_service(self, info: ServiceInfo) -> None:
        self.registered.remove(info)
        self.goodbyes += 1

    def says(
        self, name: str, kind: str, server: str = "other.local.", port: int = 80, ttl: int = 120
    ) -> None:
        record = DNSService(f"{name}.{kind}.local.", 33, 0x8001, ttl, 0, 0, port, server)
        self.known.append(record)
        self.listener.async_update_records(self, record.created, [SimpleNamespace(new=record)])


class Fake(Mdns):
    """Multicast DNS without sockets."""

    network: Network

    async def __aenter__(self) -> Fake:
        self.links = (LINK,)
        self.zeroconf = cast(Any, SimpleNamespace(zeroconf=self.network))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.network.registered.clear()


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    made = Fake.network = Network()
    monkeypatch.setattr(dnssd, "Mdns", Fake)
    monkeypatch.setattr(dnssd, "PROBE_WAIT", 0.001)
    monkeypatch.setattr(dnssd, "PAUSE", 0.001)
    return made


def group(*services: Service, name: str = "web") -> Any:
    def sign(offer: Offer) -> bytes:
        return credential(IDENTITY, 7, offer)

    plan = SimpleNamespace(requested=(), excluded=(), versions=(4, 6))
    offers = Attributes({"floor": "2"}, services)
    return SimpleNamespace(
        plan=plan,
        peer_id=PeerId(IDENTITY.origin, 7),
        origin=IDENTITY.origin,
        name=name,
        offers=offers,
        sign_offer=sign,
    )


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.001)


DIGITS = IDENTITY.origin.hex()[:4]


def names(network: Network) -> list[str]:
    return sorted(info.name.partition("._")[0] for info in network.registered)


def test_an_announced_service_is_signed_and_withdrawn(network: Network) -> None:
    async def scenario() -> None:
        mine = group(WEB, SSH)
        async with Advertiser(cast(Group, mine)) as advertiser:
            await until(lambda: len(network.registered) == 2)
            assert network.probes == 6
            info = next(one for one in network.registered if one.port == 80)
            assert set(info.parsed_addresses()) == {"10.9.0.2", "10.9.1.2", "fe80::2", "2001:db8::2"}
            strings = [key if value is None else key + b"=" + value for key, value in info.properties.items()]
            assert strings[:2] == [b"floor=2", b"mcast-at=10.9.0.2,10.9.1.2,fe80::2,2001:db8::2"]
            offer = Offer("web", "_http._tcp", (info.server or "").rstrip("."), 80, tuple(strings[:2]))
            assert check(offer, strings) == (IDENTITY.origin, 7)
            mine.offers = Attributes({"floor": "3"}, (WEB,))
            advertiser.refresh()
            await until(lambda: network.goodbyes == 1 and b"floor=3" in network.registered[0].text)
            assert advertiser.names == {WEB: "web"}
            advertiser._mdns.links = (Interface("eth0", 2, ("10.9.7.7",)),)
            await advertiser._moved()
            await until(lambda: network.registered[0].parsed_addresses() == ["10.9.7.7"])

    asyncio.run(scenario())
    assert not network.registered


def test_a_name_that_was_heard_of_is_not_taken(network: Network) -> None:
    async def scenario() -> None:
        told: list[str] = []
        network.known.append(DNSService("web._http._tcp.local.", 33, 0x8001, 120, 0, 0, 80, "other.local."))
        async with Advertiser(cast(Group, group(WEB, SSH)), told.append):
            await until(lambda: len(network.registered) == 2)
            assert names(network) == ["web", f"web·{DIGITS}"]
        assert told == [f"DNS-SD: another _http._tcp has this name, announced as web·{DIGITS}"]

    asyncio.run(scenario())


def test_who_turns_out_to_share_a_name_finds_another_without_a_goodbye(network: Network) -> None:
    async def scenario() -> None:
        async with Advertiser(cast(Group, group(WEB))) as advertiser:
            await until(lambda: names(network) == ["web"])
            network.says("web", "_http._tcp", server=network.registered[0].server or "")  # our own
            network.says("web", "_http._tcp", ttl=0)  # a goodbye
            network.says("web", "_ssh._tcp")
            await asyncio.sleep(0.01)
            assert names(network) == ["web"]
            network.says("WEB", "_http._tcp")
            network.known[-1].name = network.known[-1].name.lower()
            await until(lambda: names(network) == [f"web·{DIGITS}"])
            network.says(f"web·{DIGITS}", "_http._tcp", port=81)
            await until(lambda: names(network) == [f"web·{DIGITS} (2)"])
            assert network.goodbyes == 0
            assert advertiser.names == {WEB: f"web·{DIGITS} (2)"}

    asyncio.run(scenario())


def test_two_services_of_one_type_have_two_names(network: Network) -> None:
    async def scenario() -> None:
        async with Advertiser(cast(Group, group(WEB, Service("_http._tcp", 81)))):
            await until(lambda: len(network.registered) == 2)
            assert names(network) == ["web", f"web·{DIGITS}"]

    asyncio.run(scenario())


def test_who_claims_every_name_is_answered_slowly(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float, real: Any = asyncio.sleep) -> None:
        if seconds == 77:
            pauses.append(seconds)
        await real(0)

    async def scenario() -> None:
        for name in itertools.islice(candidates("web", DIGITS), 20):
            network.known.append(
                DNSService(f"{name}._http._tcp.local.", 33, 0x8001, 120, 0, 0, 80, "other.local.")
            )
        async with Advertiser(cast(Group, group(WEB))):
            await until(lambda: network.registered)
            assert names(network) == [f"web·{DIGITS} (20)"]

    monkeypatch.setattr(dnssd, "PAUSE", 77)
    monkeypatch.setattr(dnssd, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": sleep}))
    asyncio.run(scenario())
    assert len(pauses) == 6


def test_an_error_in_the_background_is_told_at_once(network: Network) -> None:
    async def scenario() -> None:
        seen: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context["exception"]))
        mine = group(WEB)
        mine.sign_offer = lambda _: 1 / 0
        async with Advertiser(cast(Group, mine)):
            await until(lambda: seen)
        assert isinstance(seen[0], ZeroDivisionError)

    asyncio.run(scenario())
