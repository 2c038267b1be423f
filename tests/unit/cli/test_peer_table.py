"""Rows of services: what appears, changes and goes, what filters leave, and the forms they are printed in."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mcast.aio import Group
from mcast.cli.items import GroupContext, PeerItem
from mcast.cli.output import Output
from mcast.cli.peer_table import (
    Aligned,
    Change,
    PeerFilter,
    PeerTable,
    avahi,
    default_form,
    formatted,
    in_json,
    in_lines,
    no_lines,
    tabbed,
)
from mcast.core.events import PeerId, PeerView
from mcast.wire.attributes import Attributes, Service, encode_attributes

WEB, SSH, CHAT = Service("_http._tcp", 80), Service("_ssh._tcp", 22), Service("chat")


def context() -> GroupContext:
    group = SimpleNamespace(
        groups=["230.0.0.1:5"],
        now=100.0,
        interface_of=lambda _: "eth0",
        links=SimpleNamespace(used=()),
    )
    return GroupContext(cast(Group, group), "")


def item(
    *services: Service,
    kind: str = "join",
    name: str = "ada",
    number: int = 1,
    tags: Any = None,
    host: str = "",
) -> PeerItem:
    offered = encode_attributes(Attributes(tags or {}, services, name))
    source = (host or "10.9.0.7", 40000)
    peer = PeerView(PeerId(bytes([number]) * 16, 1), name, offered, source, True, False, 98.0, 90.0, bytes(8))
    return PeerItem(kind, peer, context())


def table(**options: Any) -> tuple[PeerTable, list[Change]]:
    shown: list[Change] = []
    most = options.pop("most", None)
    return PeerTable(PeerFilter(**options), shown.append, most=most), shown


def rows(changes: Sequence[Change]) -> list[str]:
    return [f"{row.mark}{row.fields['service']}" for change in changes for row in change.rows]


def test_each_service_is_a_row_and_a_peer_without_any_is_one() -> None:
    made, shown = table()
    made._show(item(WEB, SSH, WEB))
    made._show(item(number=2))
    assert rows(shown) == ["+_http._tcp", "+_ssh._tcp", "+"]
    assert made.found == 3


def test_only_what_changes_is_printed_again() -> None:
    made, shown = table()
    made._show(item(WEB, SSH))
    made._show(item(WEB, SSH, kind="update"))
    assert len(shown) == 1
    made._show(item(WEB, CHAT, kind="update"))
    made._show(item(WEB, CHAT, kind="update", tags={"a": "b"}))
    made._show(item(kind="update"))
    made._show(item(kind="leave"))
    made._show(item(kind="leave"))
    assert rows(shown[1:2]) == ["-_ssh._tcp", "+chat"]
    assert rows(shown[2:3]) == ["=_http._tcp", "=chat"]
    assert rows(shown[3:]) == ["-_http._tcp", "-chat", "+", "-"]
    assert [change.kind for change in shown] == ["join", "update", "update", "update", "leave"]


def test_filters() -> None:
    peers = [item(WEB, SSH, name="web", tags={"os": "linux"}), item(CHAT, name="chatter"), item(name="none")]
    globs = ["_http*", "_ssh*"]
    for options, offers in (
        ({}, [[WEB, SSH], [CHAT], [None]]),
        ({"services": ["_http._tcp"]}, [[WEB], [], []]),
        ({"services": globs}, [[WEB, SSH], [], []]),
        ({"services": ["_http*", "chat"]}, [[], [], []]),
        ({"names": "[wn]*"}, [[WEB, SSH], [], [None]]),
        ({"tags": ["os=l*"]}, [[WEB, SSH], [], []]),
        ({"tags": ["os=x"]}, [[], [], []]),
    ):
        wanted = PeerFilter(**cast(Any, options))
        assert [wanted.offers(peer) for peer in peers] == offers, options


def test_it_stops_after_as_many_rows_as_are_asked_for() -> None:
    made, shown = table(most=3)
    made._show(item(WEB, SSH))
    assert not made.complete
    made._show(item(WEB, SSH, number=2))
    made._show(item(WEB, number=3))
    assert rows(shown) == ["+_http._tcp", "+_ssh._tcp", "+_http._tcp"]
    assert made.complete
    assert [change.offers for change in shown] == [[WEB, SSH], [WEB]]


def printed(form: Any, *items: PeerItem) -> list[str]:
    stream = io.StringIO()
    made = PeerTable(PeerFilter(), in_lines(Output(stream), form))
    for one in items:
        made._show(one)
    return stream.getvalue().split("\n")[:-1]


def test_in_a_pipe_columns_are_separated_by_tabs() -> None:
    assert printed(tabbed, item(WEB, name="a\tb\n", tags={"k": "v"}), item(number=2, name="")) == [
        "+\ta\\tb\\n\t0101010101010101\t_http._tcp\t10.9.0.7\t80\teth0\t2s\tk=v",
        "+\t-\t0202020202020202\t-\t10.9.0.7\t-\teth0\t2s\t-",
    ]


def test_on_a_terminal_columns_are_aligned_below_one_header() -> None:
    wide = "世界" * 10
    lines = printed(Aligned(), item(WEB, tags={"k": "v"}), item(SSH, number=2), item(number=3, name=wide))
    assert lines[0].split() == ["name", "identity", "service", "address", "port", "interface", "age", "tags"]
    assert len(lines) == 4
    columns = [line.index(line.split()[-2], 60) for line in lines[1:3]]
    assert columns == [lines[0].index("age")] * 2
    assert lines[3].startswith(f"+  {wide}  0303")


def test_fields_of_choice() -> None:
    form = formatted("%m %n %i %s %a %p %I %h [%T]")
    assert printed(form, item(WEB, name="a\x1b", tags={"host": "h1"}), item(kind="leave")) == [
        "+ a\\x1b 0101010101010101 _http._tcp 10.9.0.7 80 eth0 h1 [host=h1]",
        "- a\\x1b 0101010101010101 _http._tcp 10.9.0.7 80 eth0 h1 [host=h1]",
    ]


def test_the_form_of_avahi() -> None:
    tags = {"host": "h1", "q": "é"}
    changed = item(WEB, SSH, kind="update", tags=tags)
    gone = item(kind="leave")
    assert printed(avahi, item(WEB, tags=tags), changed, gone, item(number=2)) == [
        "+;eth0;IPv4;ada;_http._tcp;local",
        '=;eth0;IPv4;ada;_http._tcp;local;h1.local;10.9.0.7;80;"host=h1" "q=\\195\\169"',
        "+;eth0;IPv4;ada;_ssh._tcp;local",
        '=;eth0;IPv4;ada;_ssh._tcp;local;h1.local;10.9.0.7;22;"host=h1" "q=\\195\\169"',
        "-;eth0;IPv4;ada;_http._tcp;local",
        "-;eth0;IPv4;ada;_ssh._tcp;local",
    ]
    assert printed(avahi, item(CHAT, host="fe80::1", tags={"host": "a.example"})) == [
        "+;eth0;IPv6;ada;chat;local",
        '=;eth0;IPv6;ada;chat;local;a.example;fe80::1%eth0;0;"host=a.example"',
    ]
    assert printed(avahi, item(WEB))[1].split(";")[6] == "0101010101010101.local"


def test_an_object_has_the_services_that_are_shown() -> None:
    stream = io.StringIO()
    made = PeerTable(PeerFilter(["_http*"]), in_json(Output(stream)))
    made._show(item(WEB, SSH))
    made._show(item(SSH, kind="update"))
    first, last = stream.getvalue().splitlines()
    assert '"type":"join"' in first
    assert '"services":[{"type":"_http._tcp","port":80}]' in first
    assert '"type":"leave"' in last
    assert '"services":[]' in last


def test_what_is_shown_follows_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    assert default_form() is tabbed
    monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    assert isinstance(default_form(), Aligned)
    PeerTable(PeerFilter(), no_lines)._show(item(WEB))
    assert stream.getvalue() == ""
