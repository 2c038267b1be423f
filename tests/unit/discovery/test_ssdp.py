"""What devices say of themselves by SSDP: read, bounded, and never followed to somebody else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from mcast.discovery import ssdp
from mcast.discovery.found import Found
from mcast.discovery.scope import Scope
from mcast.discovery.ssdp import Searcher, _Ear, _is_at, described
from mcast.interfaces import Interface

LINK = Interface("eth0", 2, ("10.9.0.2",), ("fe80::2",), networks=("10.9.0.0/16",))
HERE = Found("ssdp", "uuid:1 10.9.0.7", "10.9.0.7", "", addresses=("10.9.0.7",), interface="eth0")
URL = "http://10.9.0.7:8080/d.xml"
XML = b"""<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device>
<deviceType>urn:schemas-upnp-org:device:MediaServer:1</deviceType><friendlyName> NAS\n\xc3\xbc </friendlyName>
<manufacturer>Acme</manufacturer><modelName></modelName></device></root>"""


def test_a_description_names_the_device() -> None:
    found = described(HERE, URL, XML)
    assert (found.name, found.type, found.port) == ("NAS\nü", "MediaServer", 8080)
    assert (found.key, found.addresses, found.tags) == (HERE.key, HERE.addresses, {"manufacturer": "Acme"})


def test_one_that_says_little_is_named_by_its_address() -> None:
    found = described(
        HERE, "http://10.9.0.7/", b"<root><device><deviceType>mine</deviceType></device></root>"
    )
    assert (found.name, found.type, found.port) == ("10.9.0.7", "", 80)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<root>",
        b"<root/>",
        b"\xff\xfe\x00",
        XML + b" " * ssdp.FETCH_BYTES,
        b'<?xml version="1.0" encoding="x-none"?><root/>',
        b'<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><root><device>&b;</device></root>',
        b'<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]><root><device>&a;</device></root>',
        b"<a>" * 20_000,
    ],
)
def test_what_is_no_description_is_refused(data: bytes) -> None:
    with pytest.raises((ValueError, SyntaxError, LookupError)):
        described(HERE, URL, data)


@pytest.mark.parametrize(
    ("url", "there"),
    [
        (URL, True),
        ("http://10.9.0.7/", True),
        ("http://10.9.0.8:8080/d.xml", False),
        ("http://router.local/d.xml", False),
        ("https://10.9.0.7/d.xml", False),
        ("file://10.9.0.7/etc/passwd", False),
        ("http://me@10.9.0.7/", False),
        ("http://10.9.0.7:99999/", False),
        ("http://[10.9.0.7/", False),
        ("http://10.9.0.7.example.org/", False),
        ("", False),
    ],
)
def test_only_the_address_that_answered_is_asked(url: str, there: bool) -> None:
    assert _is_at(url, "10.9.0.7") is there


def test_a_link_local_description_has_a_zone() -> None:
    assert _is_at("http://[fe80::7%2]:80/", "fe80::7")


class Listed:
    """A searcher without sockets. `fetch` is what a device's server does."""

    def __init__(self, fetch: Callable[[str], Awaitable[bytes]]) -> None:
        self.searcher = Searcher(Scope())
        self.searcher._links = (LINK,)
        vars(self.searcher)["_description"] = fetch
        self.fetching = [asyncio.create_task(self.searcher._fetch()) for _ in range(2)]

    async def end(self) -> None:
        for task in self.fetching:
            task.cancel()
        await asyncio.gather(*self.fetching, return_exceptions=True)

    async def next(self) -> list[tuple[str, str]]:
        async with asyncio.timeout(30):
            batch = await anext(self.searcher.changes.batches())
        return [(kind, found.name) for kind, found in batch]

    def hears(self, host: str, device: str = "1", url: str = "", **headers: str) -> None:
        usn = f"uuid:{device}::upnp:rootdevice"
        self.searcher.heard({"usn": usn, "location": url or f"http://{host}/d.xml", **headers}, (host, 1900))


def test_devices_appear_once_and_go_when_they_say_so() -> None:
    fetched: list[str] = []

    async def fetch(url: str) -> bytes:
        fetched.append(url)
        return XML

    async def scenario() -> None:
        listed = Listed(fetch)
        listed.hears("10.9.0.7")
        listed.hears("10.9.0.7")
        listed.hears("10.8.0.7")  # not on our network
        listed.searcher.heard({"usn": "uuid:2::upnp:event"}, ("10.9.0.7", 1900))
        listed.searcher.heard({}, ("10.9.0.7", 1900))
        assert await listed.next() == [("join", "NAS\nü")]
        assert fetched == ["http://10.9.0.7/d.xml"]
        listed.hears("10.9.0.8", nts="ssdp:byebye")  # somebody else's goodbye
        listed.hears("10.9.0.8", url="http://10.9.0.9/d.xml")
        assert await listed.next() == [("join", "10.9.0.8")]
        assert fetched == ["http://10.9.0.7/d.xml"]
        listed.hears("10.9.0.7", nts="ssdp:byebye")
        assert await listed.next() == [("leave", "NAS\nü")]
        await listed.end()

    asyncio.run(scenario())


def test_whatever_a_server_does_its_device_is_listed() -> None:
    async def fetch(url: str) -> bytes:
        if "7" in url:
            raise TimeoutError
        return b"<root>"

    async def scenario() -> None:
        listed = Listed(fetch)
        listed.hears("10.9.0.7")
        listed.hears("10.9.0.8")
        seen: list[tuple[str, str]] = []
        while len(seen) < 2:
            seen += await listed.next()
        assert sorted(seen) == [("join", "10.9.0.7"), ("join", "10.9.0.8")]
        await listed.end()

    asyncio.run(scenario())


def test_made_up_devices_have_bounds() -> None:
    async def fetch(_: str) -> bytes:
        return b""

    async def scenario() -> None:
        listed = Listed(fetch)
        listed.hears("10.9.0.7", "honest")
        for number in range(2000):
            listed.hears("10.9.0.8", f"{number}")
            listed.hears(f"10.9.{number // 200 + 1}.{number % 200}", "x")
            if number % 20 == 0:
                await asyncio.sleep(0)
        async with asyncio.timeout(30):
            while not listed.searcher._waiting.empty():  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0)
        names = [found.name for found in listed.searcher.changes._now.values()]
        assert len(listed.searcher._silent) <= ssdp.ENTRIES
        assert len(names) <= ssdp.ENTRIES
        assert names.count("10.9.0.8") <= ssdp.OF_ADDRESS
        assert "10.9.0.7" in names
        await listed.end()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 100,
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200 OK\r\nUSN",
        b"HTTP/1.1 200 OK\xff\xfe\r\nUSN: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: \0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nLOCATION: http://[fe80\r\n\r\n",
        b"NOTIFY * HTTP/1.1\r\n" + b"X: y\r\n" * 300 + b"\r\n",
        b"NOTIFY * HTTP/1.1\r\nUSN:" + b"x" * 3000 + b"\r\n\r\n",
    ],
)
@pytest.mark.parametrize("source", [("10.9.0.7", 1900), ("fe80::7%eth0", 1900, 0, 2)])
def test_no_datagram_raises(data: bytes, source: tuple[Any, ...]) -> None:
    async def scenario() -> None:
        searcher = Searcher(Scope())
        searcher._links = (LINK,)
        ear = _Ear(asyncio.get_running_loop(), searcher, ("239.255.255.250", 1900))
        ear.transport = cast(Any, object())
        ear.datagram_received(data, source)
        ear.error_received(OSError())
        assert not searcher._silent
        good = b"HTTP/1.1 200 OK\r\nUSN: uuid:1::upnp:rootdevice\r\nLOCATION: http://10.9.0.7/\r\n\r\n"
        ear.datagram_received(good, source)
        assert len(searcher._silent) == 1

    asyncio.run(scenario())
