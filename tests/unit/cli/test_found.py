"""Peers, entries and devices in one table: what is one, what stands alone, and what is said of each."""

from __future__ import annotations

import asyncio
import io
import json
from types import SimpleNamespace
from typing import Any, cast

import jsonschema
import msgspec
import pytest

from mcast.cli.found import DeviceItem, Merger
from mcast.cli.others import Others, first_of
from mcast.cli.output import Output
from mcast.cli.peer_table import Aligned, Change, PeerFilter, PeerTable, avahi, formatted, in_json, tabbed
from mcast.core.events import PeerId
from mcast.discovery.found import Changes, Found
from mcast.net.links import Plan
from tests.lab import REPOSITORY
from tests.unit.cli.test_peer_table import SSH, WEB, item

SCHEMA = jsonschema.Draft202012Validator(json.loads((REPOSITORY / "docs" / "events.schema.json").read_text()))
PEER = PeerId(b"\1" * 16, 1)
MINE = Found(
    "mdns", "ada.x", "a\u2024da", "_http._tcp", "h-1.local", 80, ("10.9.0.7",), (b"a=b",), "eth0", PEER
)
PRINTER = Found(
    "mdns", "p", "pri\tnter", "_ipp._tcp", "p.local", 631, ("fe80::7",), (b"x=\xff", b"flag"), "eth0"
)
ROUTER = Found("ssdp", "r", "Router\n+\tfake", "InternetGatewayDevice", "", 80, ("10.9.0.1",), (b"model=x",))
PLAIN = Found("ssdp", "s", "10.9.0.5", "", addresses=("10.9.0.5",))


class Table:
    """A table that is told of peers and entries."""

    def __init__(self, **options: Any) -> None:
        self.changes: list[Change] = []
        self.merger = Merger()
        hold, most = options.pop("hold", False), options.pop("most", None)
        wanted = PeerFilter(**options)
        self.table = PeerTable(wanted, self.changes.append, most=most, merged=self.merger.native, hold=hold)

    def native(self, *services: Any, **more: Any) -> None:
        self.table._show(item(*services, **more))

    def found(self, found: Found, kind: str = "join") -> None:
        for one in self.merger.found(kind, found):
            self.table.put(one)

    def rows(self) -> list[str]:
        changes, self.changes[:] = self.changes[:], []
        return [
            f"{row.mark}{row.fields['service']} {row.fields['origin']}"
            for change in changes
            for row in change.rows
        ]


def test_the_entries_of_a_peer_are_the_peer() -> None:
    table = Table()
    table.native(WEB, SSH)
    assert table.rows() == ["+_http._tcp mcast", "+_ssh._tcp mcast"]
    table.found(MINE)
    assert table.rows() == ["=_http._tcp mcast+mdns"]
    table.native(WEB, SSH, kind="leave")
    assert table.rows() == ["-_ssh._tcp mcast", "=_http._tcp mdns"]
    table.native(SSH)
    assert table.rows() == ["+_ssh._tcp mcast"]
    table.found(MINE, "leave")
    assert table.rows() == ["-_http._tcp mdns"]
    table.native(SSH, kind="leave")
    assert table.rows() == ["-_ssh._tcp mcast"]
    assert table.table.found == 3


def test_an_entry_that_comes_first_is_joined_by_its_peer() -> None:
    table = Table()
    table.found(MINE)
    assert table.changes[0].item.name == "a.da"
    assert table.rows() == ["+_http._tcp mdns"]
    table.native(WEB)
    assert table.rows() == ["=_http._tcp mcast+mdns"]
    table.native(WEB, kind="leave")
    table.found(MINE, "leave")
    assert table.rows() == ["=_http._tcp mdns", "-_http._tcp mdns"]


def test_an_entry_without_a_good_signature_stands_alone() -> None:
    table = Table()
    table.native(WEB)
    lies = msgspec.structs.replace(MINE, peer_id=None, doubtful=True)
    table.found(lies)
    assert table.rows() == ["+_http._tcp mcast", "+_http._tcp mdns?"]
    table.found(MINE, "update")
    assert table.rows() == ["-_http._tcp mdns?", "=_http._tcp mcast+mdns"]
    table.found(lies, "update")
    assert table.rows() == ["=_http._tcp mcast", "+_http._tcp mdns?"]
    table.found(lies, "leave")
    assert table.rows() == ["-_http._tcp mdns?"]


def test_a_snapshot_shows_what_is_so_at_its_end() -> None:
    table = Table(hold=True)
    table.native(WEB)
    table.found(MINE)
    table.found(PRINTER)
    table.found(PRINTER, "leave")
    assert table.rows() == []
    table.table.release()
    assert table.rows() == ["+_http._tcp mcast+mdns"]


def test_a_snapshot_ends_when_it_has_the_rows_that_were_asked_for() -> None:
    table = Table(hold=True, most=1)
    table.found(PRINTER, "leave")
    assert not table.table.complete
    table.found(PRINTER)
    assert table.table.complete
    table.table.release()
    assert table.rows() == ["+_ipp._tcp mdns"]


def test_filters_hold_for_entries_too() -> None:
    table = Table(services=["_ipp*"], names="pri*", tags=["flag=*"])
    for found in (MINE, PRINTER, ROUTER):
        table.found(found)
    assert table.rows() == ["+_ipp._tcp mdns"]


def test_lines_stay_lines_in_every_form() -> None:
    table = Table()
    table.native(WEB)
    for found in (PRINTER, ROUTER, PLAIN, MINE):
        table.found(found)
    lines = [line for change in table.changes for line in tabbed(change)]
    assert lines[1:] == [
        "+\tpri\\tnter\t-\t_ipp._tcp\tfe80::7\t631\teth0\t-\tx=\\\\xff flag\tmdns",
        "+\tRouter\\n+\\tfake\t-\tInternetGatewayDevice\t10.9.0.1\t80\t-\t-\tmodel=x\tssdp",
        "+\t10.9.0.5\t-\t-\t10.9.0.5\t-\t-\t-\t-\tssdp",
        "=\tada\t" + "01" * 8 + "\t_http._tcp\t10.9.0.7\t80\teth0\t2s\t-\tmcast+mdns",
    ]
    aligned = Aligned()
    shown = [line for change in table.changes for line in aligned(change)]
    assert shown[0].split() == [
        "name",
        "identity",
        "service",
        "address",
        "port",
        "interface",
        "age",
        "origin",
        "tags",
    ]
    assert all(len(line.splitlines()) == 1 for line in shown)
    form = formatted("%n %o")
    assert next(iter(form(table.changes[1]))) == "pri\\tnter mdns"
    assert list(avahi(table.changes[1]))[1] == (
        r'=;eth0;IPv6;pri\009nter;_ipp._tcp;local;p.local;fe80::7;631;"x=\255" "flag"'
    )


def test_json_says_where_it_comes_from_and_whether_that_is_sure() -> None:
    stream = io.StringIO()
    output = Output(stream)
    merger = Merger()
    table = PeerTable(PeerFilter(), in_json(output), merged=merger.native)
    table._show(item(WEB))
    for kind, found in (("join", MINE), ("join", PRINTER), ("join", ROUTER), ("leave", PRINTER)):
        for one in merger.found(kind, found):
            table.put(one)
    lone = msgspec.structs.replace(MINE, key="z", peer_id=PeerId(b"\2" * 16, 1))
    for one in merger.found("join", lone):
        table.put(one)
    output.finish()
    objects = [json.loads(line) for line in stream.getvalue().splitlines()]
    for one in objects:
        SCHEMA.validate(one)
    _, merged, printer, router, gone, signed = objects
    assert (merged["origin"], "verified" in merged) == (["mcast", "mdns"], False)
    assert printer["from"] == {"name": "pri\tnter"}
    assert (printer["verified"], printer["tags"]) == (False, {"x": "\\xff", "flag": None})
    assert (printer["txt_b64"], printer["addresses"]) == ("A3g9/wRmbGFn", ["fe80::7"])
    assert ("verified" in router, router["origin"], "host" in router) == (False, ["ssdp"], False)
    assert (gone["type"], gone["reason"]) == ("leave", "withdrawn")
    assert (signed["verified"], signed["from"]) == (True, {"id": "02" * 8, "name": "a.da"})


def test_hooks_are_told_who_it_is() -> None:
    assert DeviceItem("join", PEER, None, (ROUTER,)).environment()["MCAST_FROM"] == "- Router\\x0a+\\x09fake"
    assert DeviceItem("join", PEER, None, (MINE,)).environment()["MCAST_FROM"] == "01" * 8 + " a.da"


def test_others_are_followed_until_the_table_is_complete() -> None:
    async def scenario() -> None:
        changes, merger = Changes(10), Merger()
        table = PeerTable(PeerFilter(), lambda _: None, most=2, merged=merger.native)
        acted: list[str] = []
        for found in (MINE, PRINTER, ROUTER):
            changes.put(found)
        async with asyncio.timeout(30):
            await table.follow_others(
                merger.items(changes), lambda one: acted.append(one.type), Output(io.StringIO())
            )
        assert acted == ["join", "join"]

    asyncio.run(scenario())


def test_who_wants_no_others_gets_the_peers_as_they_are() -> None:
    others = Others(False, False, ())
    peer = item(WEB)
    assert others.merged(peer) is peer
    assert (others.count, others.patience, others.wanted, others.batches()) == (0, 0.0, False, [])

    async def scenario() -> None:
        async with others.on(Plan(())):
            pass

    asyncio.run(scenario())


def test_extras_are_opened_where_the_group_is(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []

    class Extra:
        def __init__(self, scope: Any, *types: Any) -> None:
            opened.append((scope.interfaces, scope.versions, *types))
            self.changes = Changes(5)

        async def __aenter__(self) -> Extra:
            self.changes.put(PRINTER)
            return self

        async def __aexit__(self, *_: object) -> None:
            opened.append("closed")

    monkeypatch.setattr("mcast.discovery.dnssd_browser.Browser", Extra)
    monkeypatch.setattr("mcast.discovery.ssdp.Searcher", Extra)
    others = Others(True, True, ["_ipp*"])

    async def scenario() -> None:
        async with others.on(cast(Plan, SimpleNamespace(requested=("eth0",), excluded=(), versions=(4,)))):
            assert others.count == 2
            assert len(others.batches()) == 2

    asyncio.run(scenario())
    assert opened == [(("eth0",), (4,), ["_ipp*"]), (("eth0",), (4,)), "closed", "closed"]
    assert isinstance(others.merged(item(WEB)), DeviceItem)


def test_the_first_to_end_ends_the_others() -> None:
    async def scenario() -> None:
        ended: list[str] = []

        async def forever() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("other")

        async def soon(error: bool) -> None:
            await asyncio.sleep(0)
            if error:
                raise OSError("broken")

        await first_of([forever(), soon(False)])
        with pytest.raises(OSError, match="broken"):
            await first_of([forever(), soon(True)])
        assert ended == ["other", "other"]

    asyncio.run(scenario())
