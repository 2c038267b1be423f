"""From options to a wire: the protocol, or plain text with `--plain`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import msgspec
import typer

from mcast.errors import UsageError
from mcast.net.address import parse_group, parse_port
from mcast.net.links import Plan
from mcast.net.plain_text import PlainGroup
from mcast.runtime.joining import DEFAULT_PORT

from . import options
from .config import from_command_line
from .who import Who
from .wires import GroupWire, PlainWire

NOT_PLAIN = ("name", "profile", "room", "key_file", "wait_acks", "linger", "passive", "peer", "last", "since")
"""Parameters that plain text has no place for."""


class Network(msgspec.Struct, frozen=True):
    """Where to: groups, port, interfaces, IP versions, reach."""

    context: typer.Context
    groups: list[str] | None
    port: str | None
    interfaces: list[str] | None
    only4: bool
    only6: bool
    ttl: int = 1
    sources: tuple[str, ...] = ()

    def plain(self, *, sends: bool = True) -> PlainWire:
        """Plain text in all the groups. UsageError for options that only the protocol knows."""
        plan = self.plain_plan(sends=sends)
        return PlainWire(PlainGroup(plan, wait=bool(plan.requested)))

    def plain_plan(self, *, receive: bool = True, sends: bool = True) -> Plan:
        """What the flags ask for of plain text. UsageError if it `sends` and a key is set."""
        for name in NOT_PLAIN:
            if name in self.context.params and from_command_line(self.context, name):
                flag = name.replace("_", "-")
                raise UsageError(f"--plain has no --{flag}", "leave one of them out")
        if sends and self._has_key():
            raise UsageError(
                "--plain would send in clear, and a key is set", "unset MCAST_KEY, MCAST_KEY_FILE or key-file"
            )
        return options.make_plan(
            self.groups,
            self._port(),
            self.interfaces,
            self.only4,
            self.only6,
            ttl=self.ttl,
            sources=self._named_sources,
            receive=receive,
        )

    def _has_key(self) -> bool:
        """Whether the environment or the settings name a key."""
        params = self.context.params
        return "key_file" in params and bool(params["key_file"] or os.environ.get("MCAST_KEY"))

    def protocol(self, who: Who, *, several: bool = False, **manners: Any) -> GroupWire:
        """The protocol in the group, or in each of `several`."""
        groups: Sequence[str | None] = list(dict.fromkeys(self.groups or ())) or [None]
        self._check_sources(groups)
        if len(groups) > 1 and not several:
            raise UsageError("one group at a time", "name one --group, or start the command twice")
        port = self._port()
        joined = [
            who.open(
                group,
                None if port is None else parse_port(port),
                versions=options.versions(self.only4, self.only6),
                interfaces=self.interfaces or (),
                ttl=self.ttl,
                sources=self.sources,
                **{"wait": bool(self.interfaces), **manners},
            )
            for group in groups
        ]
        return GroupWire(joined, who.room)

    def _check_sources(self, groups: Sequence[str | None]) -> None:
        port = self._port()
        number = None if port is None else parse_port(port)
        named = [parse_group(group, number, default_port=DEFAULT_PORT) for group in groups if group]
        options.check_sources(tuple(named), self._named_sources)

    @property
    def _named_sources(self) -> list[str] | None:
        """None for a command that has no --source."""
        return list(self.sources) if "source" in self.context.params else None

    def _port(self) -> str | None:
        """--port; one from file or environment yields to a group that brings its own."""
        brings = any(options.has_port(group) for group in self.groups or ())
        return None if brings and not from_command_line(self.context, "port") else self.port
