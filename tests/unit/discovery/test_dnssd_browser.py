"""Reading what others offer by DNS-SD: whose it is, what is wrong with it, and how much of it is listed."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from zeroconf import ServiceStateChange

from mcast.core.events import PeerId
from mcast.crypto.keys import Identity
from mcast.crypto.offers import Offer, credential
from mcast.discovery import dnssd_browser
from mcast.discovery.dnssd_browser import Browser, _asked, found_from, strings_of
from mcast.discovery.found import Found, record_of
from mcast.discovery.scope import Scope
from mcast.interfaces import Interface

IDENTITY = Identity(bytes(range(32)))
LINKS = (Interface("eth0", 2, ("10.9.0.2",), ("fe80::2",), networks=("10.9.0.0/16", "2001:db8::/64")),)
AT = b"mcast-at=10.9.0.7,fe80::7"
TYPE = "_http._tcp.local."


def records(
    name: str = "web", strings: tuple[bytes, ...] = (), addresses: tuple[str, ...] = ("10.9.0.7",)
) -> Any:
    return SimpleNamespace(
        name=f"{name}.{TYPE}",
        type=TYPE,
        server="nas-1.local.",
        port=80,
        text=record_of(strings),
        parsed_scoped_addresses=lambda _: list(addresses),
    )


def signed(name: str = "web", *strings: bytes) -> tuple[bytes, ...]:
    return (*strings, credential(IDENTITY, 7, Offer(name, "_http._tcp", "nas-1.local", 80, strings)))


def read(**what: Any) -> Found:
    found = found_from(records(**what), LINKS)
    assert found is not None
    return found


def test_a_signed_entry_is_the_peers() -> None:
    found = read(strings=signed("web", b"floor=2", AT), addresses=("10.9.0.7", "fe80::7%2"))
    assert (found.peer_id, found.doubtful) == (PeerId(IDENTITY.origin, 7), False)
    assert (found.name, found.type, found.host, found.port) == ("web", "_http._tcp", "nas-1.local", 80)
    assert (found.addresses, found.interface) == (("10.9.0.7", "fe80::7"), "eth0")
    assert found.tags == {"floor": "2"}


@pytest.mark.parametrize(
    "what",
    [
        {"strings": signed("web", b"floor=2", AT), "addresses": ("10.9.0.66",)},
        {"strings": signed("web", b"floor=2", AT), "addresses": ("10.9.0.7", "10.9.0.66")},
        {"strings": signed("web", b"floor=2")},
        {"strings": signed("other", AT)},
        {"strings": (b"floor=3", AT, *signed("web", b"floor=2", AT)[2:])},
        {"strings": (AT, b"mcast=1.a.b.c")},
        {"strings": (b"mcast",)},
    ],
)
def test_a_signature_that_does_not_hold_makes_it_nobodys(what: dict[str, Any]) -> None:
    found = read(**what)
    assert (found.peer_id, found.doubtful) == (None, True)


@pytest.mark.parametrize(
    ("address", "interface"),
    [("10.9.3.3", "eth0"), ("10.8.0.1", ""), ("2001:db8::1", "eth0"), ("fe80::9", ""), ("fe80::9%2", "eth0")],
)
def test_entries_of_others_are_listed_as_they_are(address: str, interface: str) -> None:
    name = "we.b; ü\t\n\x1b[31m"
    found = read(name=name, strings=(b"a",), addresses=(address,))
    assert (found.peer_id, found.doubtful, found.name, found.interface) == (None, False, name, interface)


def test_what_is_no_entry_is_left_out() -> None:
    other = records()
    other.name = "web._ssh._tcp.local."
    assert found_from(other, LINKS) is None
    other = records()
    other.server = None
    assert found_from(other, LINKS) is None


def test_texts_of_any_bytes_are_cut_into_strings() -> None:
    assert list(strings_of(b"\0\1a\2bc\x09de")) == [b"a", b"bc", b"de"]
    assert list(strings_of(b"")) == []


def test_any_name_can_be_asked_for() -> None:
    assert _asked(TYPE, f"a\tb.{TYPE}").name == f"a\tb.{TYPE}"
    assert _asked(TYPE, f"{'x' * 300}.{TYPE}").key == f"{'x' * 300}.{TYPE}"


class Zeroconf:
    """Looks for nothing; knows entries by name, as a cache does."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {}


class TypeBrowser:
    """Stands for zeroconf's."""

    made: list[TypeBrowser]

    def __init__(self, _: object, kind: str, handlers: list[Any]) -> None:
        self.kind, self.ended = kind, False
        self.made.append(self)

    def _async_cancel(self) -> None:
        self.ended = True


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Browser:
    TypeBrowser.made = []
    monkeypatch.setattr(dnssd_browser, "AsyncServiceBrowser", TypeBrowser)
    monkeypatch.setattr(dnssd_browser, "_asked", lambda _, name: Asked(name))
    made = Browser(Scope(), ["_http*", "_ssh._tcp"])
    made._mdns.zeroconf = SimpleNamespace(zeroconf=Zeroconf())  # type: ignore[assignment]  # no sockets
    made._mdns.links = LINKS
    return made


class Asked:
    def __init__(self, name: str) -> None:
        self.entry = records(name.removesuffix(f".{TYPE}"))

    def load_from_cache(self, zeroconf: Zeroconf) -> bool:
        return not self.entry.name.startswith("slow")

    async def async_request(self, *_: object) -> bool:
        return "never" not in self.entry.name

    def __getattr__(self, name: str) -> Any:
        return getattr(self.entry, name)


def changed(
    browser: Browser, name: str, change: ServiceStateChange = ServiceStateChange.Added, kind: str = TYPE
) -> None:
    browser._changed(service_type=kind, name=name, state_change=change, zeroconf=None)


ALL = "_services._dns-sd._udp.local."


def test_types_are_looked_for_as_they_turn_up(browser: Browser) -> None:
    names = [
        "_http._tcp.local.",
        "_http._tcp.local.",
        "_ipp._tcp.local.",
        "_ssh._tcp.local.",
        "_http\n._tcp.local.",
        "x",
    ]
    for name in names:
        changed(browser, name, kind=ALL)
    changed(browser, "_http-alt._tcp.local.", ServiceStateChange.Removed, ALL)
    assert [one.kind for one in TypeBrowser.made] == ["_http._tcp.local.", "_ssh._tcp.local."]
    for number in range(1000):
        changed(browser, f"_http{number}._tcp.local.", kind=ALL)
    assert len(browser._browsers) == dnssd_browser.TYPES


def test_entries_come_complete_or_are_asked_for(browser: Browser) -> None:
    async def scenario() -> None:
        changed(browser, f"web.{TYPE}")
        changed(browser, f"slow.{TYPE}")
        changed(browser, f"slow never.{TYPE}")
        assert len(browser.changes) == 1
        assert browser._waiting.qsize() == 2
        changed(browser, f"WEB.{TYPE}", ServiceStateChange.Removed)
        for _ in range(dnssd_browser.WAITING * 2):
            changed(browser, f"slow never.{TYPE}")
        assert browser._waiting.qsize() == dnssd_browser.WAITING

    asyncio.run(scenario())
    assert len(browser.changes) == 0


def test_made_up_entries_are_refused_and_forgotten(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        changed(browser, "_http._tcp.local.", kind=ALL)
        changed(browser, f"honest.{TYPE}")
        for number in range(2 * dnssd_browser.ENTRIES):
            changed(browser, f"{number}.{TYPE}")
        await asyncio.sleep(0)

    monkeypatch.setattr(dnssd_browser, "REFUSED", dnssd_browser.ENTRIES // 2)
    asyncio.run(scenario())
    assert len(browser.changes) == dnssd_browser.ENTRIES
    assert f"honest.{TYPE}" in browser.changes._now
    assert [one.ended for one in TypeBrowser.made] == [True, False]
