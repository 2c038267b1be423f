"""The table of `announce` and `browse`: a row for each service of a peer, filtered, in several forms."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Protocol

import msgspec

from mcast.errors import UsageError
from mcast.wire.attributes import Service

from .formats import LineFormat, avahi_name, avahi_texts
from .hooks import Hooks
from .interfaces import cells_of
from .items import Item, PeerItem
from .output import Output, escape, escape_exactly
from .session import GroupSession, Reporter, portions

COLUMNS = ("name", "identity", "service", "address", "port", "interface", "age", "tags")
LETTERS = {
    "n": "name",
    "i": "identity",
    "s": "service",
    "a": "address",
    "p": "port",
    "I": "interface",
    "T": "tags",
    "h": "host",
    "m": "mark",
    "o": "origin",
}
"""The fields of -F."""
_VOLATILE = ("interface", "age")
"""What changes with every datagram: no reason to print a row again."""

Fields = Mapping[str, str]
Offer = Service | None
"""What a row is about; None is a peer that offers nothing."""
Tags = Mapping[str, str | None]
"""None: a key without a value, which DNS-SD has."""


class Offered(Protocol):
    """What a peer or device offers."""

    @property
    def services(self) -> tuple[Service, ...]: ...
    @property
    def tags(self) -> Tags: ...


class RowItem(Protocol):
    """An item that has rows: a PeerItem, or a DeviceItem of `found`."""

    type: str

    @property
    def key(self) -> Hashable: ...
    @property
    def name(self) -> str: ...
    @property
    def offers(self) -> Offered: ...
    def row(self, service: Offer) -> Fields: ...
    def texts(self, service: Offer) -> list[bytes]: ...
    def json_of(self, services: Iterable[Service]) -> dict[str, Any]: ...


class PeerFilter:
    """What to show: shell globs for names, service types and the values of tags. All must match."""

    def __init__(self, services: Iterable[str] = (), tags: Iterable[str] = (), names: str = "*") -> None:
        self._services = list(services)
        self._tags = [parse_tag(tag, "KEY=GLOB") for tag in tags]
        self._names = names

    def offers(self, item: RowItem) -> list[Offer]:
        """The services to show of a peer, each once; [None] if it has none and none is asked for."""
        services, tags = item.offers.services, item.offers.tags
        globs = self._services
        if not (
            fnmatchcase(item.name, self._names)
            and all(key in tags and fnmatchcase(tags[key] or "", glob) for key, glob in self._tags)
            and all(any(fnmatchcase(service.type, glob) for service in services) for glob in globs)
        ):
            return []
        if not services:
            return [None]
        wanted = (one for one in services if not globs or any(fnmatchcase(one.type, glob) for glob in globs))
        return list(dict.fromkeys(wanted))


class Row(msgspec.Struct, frozen=True):
    """A row that appeared (`+`), changed (`=`) or went (`-`)."""

    mark: str
    offer: Offer
    fields: Fields


class Change(msgspec.Struct, frozen=True):
    """What is new of one peer: `kind` is join, update or leave, `offers` what is shown of it now."""

    item: RowItem
    kind: str
    rows: Sequence[Row]
    offers: Sequence[Offer]


Show = Callable[[Change], None]
Form = Callable[[Change], Iterator[str]]
"""The lines that show a change."""


class PeerTable:
    """Shows rows that appear, change or go; `found` counts those that appeared.

    Stops after `most` rows have appeared. merged: what to show instead of a peer of the group. hold: show
    nothing before release(), or before that would complete the table.
    """

    def __init__(
        self,
        wanted: PeerFilter,
        show: Show,
        *,
        most: int | None = None,
        merged: Callable[[PeerItem], RowItem] = lambda item: item,
        hold: bool = False,
    ) -> None:
        self._wanted, self._show_change, self._most, self._merged = wanted, show, most, merged
        self._held: dict[Hashable, RowItem] | None = {} if hold else None
        self._shown: dict[Hashable, dict[Offer, Fields]] = {}
        self.found = 0

    @property
    def complete(self) -> bool:
        """Whether `most` rows have appeared."""
        return self._most is not None and self.found >= self._most

    async def follow(self, session: GroupSession, reporter: Reporter, hooks: Hooks, output: Output) -> None:
        """Show the peers of the group until the table is complete."""
        hooks.ready(str(session.plan.groups[0]))
        async for changes, items in session.batches():
            for change in changes:
                reporter.changed(change)
            async for some in portions(items, output):
                for item in some:
                    self._show(item)
                    if item.type in ("alarm", "overflow", "slow", "sending", "room", "unheard"):
                        reporter.notice(item)
                    reporter.private(item)
                    hooks.put(item)
            reporter.drops()
            if self.complete:
                await hooks.done()
                return

    async def follow_others(
        self, batches: AsyncIterator[Iterable[RowItem]], act: Callable[[Any], None], output: Output
    ) -> None:
        """Show what is found beyond the group until the table is complete. act: called with what is shown."""
        async for batch in batches:
            for item in batch:
                if change := self.put(item):
                    item.type = change.kind
                    act(item)
            await output.room()
            if self.complete:
                return

    def _show(self, item: Item) -> None:
        if isinstance(item, PeerItem):
            self.put(self._merged(item))

    def put(self, item: RowItem) -> Change | None:
        """Show what is new of a peer or device, if anything."""
        if self._held is not None:
            self._held[item.key] = item
            if self._most is not None and self._count(self._held) >= self._most:
                self.release()
            return None
        change = None if self.complete else self._change(item)
        if change is not None:
            self._show_change(change)
        return change

    def release(self) -> None:
        """Show what was held, as it is now."""
        held, self._held = self._held, None
        for item in (held or {}).values():
            self.put(item)

    def _count(self, held: Mapping[Hashable, RowItem]) -> int:
        """How many rows they have."""
        return sum(len(self._wanted.offers(item)) for item in held.values() if item.type != "leave")

    def _change(self, item: RowItem) -> Change | None:
        """What is new since the peer was shown last, if anything."""
        known = self._shown.pop(item.key, {})
        offers = [] if item.type == "leave" else self._wanted.offers(item)
        rows = [Row("-", offer, fields) for offer, fields in known.items() if offer not in offers]
        shown: dict[Offer, Fields] = {}
        for offer in offers:
            fields = item.row(offer)
            if offer not in known:
                if self.complete:
                    break
                self.found += 1
                rows.append(Row("+", offer, fields))
            elif _steady(known[offer]) != _steady(fields):
                rows.append(Row("=", offer, fields))
            shown[offer] = fields
        if shown:
            self._shown[item.key] = shown
        kind = "leave" if not shown else "update" if known else "join"
        return Change(item, kind, rows, list(shown)) if rows else None


def _steady(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if name not in _VOLATILE}


def in_lines(output: Output, form: Form) -> Show:
    """Print changes as lines."""
    return lambda change: output.lines(form(change))


def in_json(output: Output) -> Show:
    """Print a JSON object for each change, with those services of the peer that are shown."""

    def show(change: Change) -> None:
        services = [offer for offer in change.offers if offer]
        output.events([{**change.item.json_of(services), "type": change.kind}])

    return show


def no_lines(_: Change) -> None:
    """Print nothing."""


def tabbed(change: Change) -> Iterator[str]:
    """Columns separated by tabs, for programs. An empty one is `-`."""
    return ("\t".join(_cells(row, _columns(row))) for row in change.rows)


_WIDTHS = 1, 12, 16, 12, 13, 5, 9, 3, 10
"""Of mark, name and so on, to begin with."""


class Aligned:
    """Columns as wide as what they hold, below a header, for people. Wider ones come as rows need them."""

    def __init__(self) -> None:
        self._widths: list[int] = []

    def __call__(self, change: Change) -> Iterator[str]:
        # The tags, which may be long, come last.
        columns = sorted(_columns(change.rows[0]), key="tags".__eq__)
        rows = [_cells(row, columns) for row in change.rows]
        if not self._widths:
            rows.insert(0, ["", *columns])
            self._widths = [*_WIDTHS[: len(columns)], 0]
        self._widths = [
            max(width, *map(cells_of, column))
            for width, column in zip(self._widths, zip(*rows, strict=True), strict=True)
        ]
        for *cells, last in rows:
            padded = (
                cell + " " * (width - cells_of(cell))
                for cell, width in zip(cells, self._widths, strict=False)
            )
            yield "  ".join((*padded, last)).rstrip()


def avahi(change: Change) -> Iterator[str]:
    """The lines of `avahi-browse -r -p -k`. A peer without a service has none."""
    for row in change.rows:
        if row.offer is None:
            continue
        fields = row.fields
        version = "IPv6" if ":" in fields["address"] else "IPv4"
        name, service = avahi_name(fields["name"]), fields["service"]
        head = f"{fields['interface'] or 'n/a'};{version};{name};{service};local"
        if row.mark in "+-":
            yield escape(f"{row.mark};{head}")
        if row.mark in "+=":
            host = fields["host"] or fields["identity"]
            host = host if "." in host else f"{host}.local"
            texts = avahi_texts(change.item.texts(row.offer))
            yield escape(f"=;{head};{host};{fields['address']};{fields['port'] or 0};{texts}")


def formatted(text: str) -> Form:
    """The line that -F describes, for each row that appears, changes or goes."""
    pattern = LineFormat(text, LETTERS)
    return lambda change: (pattern.line(_escaped(row)) for row in change.rows)


def _columns(row: Row) -> tuple[str, ...]:
    """Where rows come from is a column if they may come from elsewhere than the group."""
    return (*COLUMNS, "origin") if "origin" in row.fields else COLUMNS


def _escaped(row: Row) -> dict[str, str]:
    escaped = {name: escape_exactly(value) for name, value in row.fields.items()}
    return {"mark": row.mark, "origin": "mcast", **escaped}


def _cells(row: Row, columns: Iterable[str]) -> list[str]:
    fields = _escaped(row)
    return [row.mark, *(fields[name] or "-" for name in columns)]


def default_form() -> Form:
    """Aligned columns on a terminal, tabs in a pipe or file."""
    return Aligned() if sys.stdout.isatty() else tabbed


def parse_tag(text: str, form: str = "KEY=VALUE") -> tuple[str, str]:
    """`KEY=VALUE` as a pair. UsageError, which asks for `form`, for anything else."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--tag {text!r} is not {form}", f"write --tag {form}")
    return key, value
