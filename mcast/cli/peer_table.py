"""The table of `announce` and `browse`: a row for each service of a peer, filtered, in several forms."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

import msgspec

from mcast.core.events import PeerId
from mcast.errors import UsageError
from mcast.wire.attributes import Service

from .formats import LineFormat, avahi_name, avahi_tags
from .hooks import Hooks
from .interfaces import cells_of
from .items import Item, PeerItem, show_private
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
}
"""The fields of -F."""
_VOLATILE = ("interface", "age")
"""What changes with every datagram: no reason to print a row again."""

Fields = Mapping[str, str]
Offer = Service | None
"""What a row is about; None is a peer that offers nothing."""


class PeerFilter:
    """What to show: shell globs for names, service types and the values of tags. All must match."""

    def __init__(self, services: Iterable[str] = (), tags: Iterable[str] = (), names: str = "*") -> None:
        self._services = list(services)
        self._tags = [parse_tag(tag, "KEY=GLOB") for tag in tags]
        self._names = names

    def offers(self, item: PeerItem) -> list[Offer]:
        """The services to show of a peer, each once; [None] if it has none and none is asked for."""
        services, tags = item.offers.services, item.offers.tags
        globs = self._services
        if not (
            fnmatchcase(item.peer.name, self._names)
            and all(key in tags and fnmatchcase(tags[key], glob) for key, glob in self._tags)
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

    item: PeerItem
    kind: str
    rows: Sequence[Row]
    offers: Sequence[Offer]


Show = Callable[[Change], None]
Form = Callable[[Change], Iterator[str]]
"""The lines that show a change."""


class PeerTable:
    """Shows rows that appear, change or go; `found` counts those that appeared.

    Stops after `most` rows have appeared.
    """

    def __init__(self, wanted: PeerFilter, show: Show, *, most: int | None = None) -> None:
        self._wanted, self._show_change, self._most = wanted, show, most
        self._shown: dict[PeerId, dict[Offer, Fields]] = {}
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
                    if item.type in ("alarm", "overflow", "slow", "sending", "room"):
                        reporter.notice(item)
                    show_private(item)
                    hooks.put(item)
            reporter.drops()
            if self.complete:
                await hooks.done()
                return

    def _show(self, item: Item) -> None:
        if isinstance(item, PeerItem) and not self.complete and (change := self._change(item)):
            self._show_change(change)

    def _change(self, item: PeerItem) -> Change | None:
        """What is new since the peer was shown last, if anything."""
        known = self._shown.pop(item.peer.peer_id, {})
        offers = [] if item.type == "leave" else self._wanted.offers(item)
        rows = [Row("-", offer, item.row(offer)) for offer in known if offer not in offers]
        shown: dict[Offer, Fields] = {}
        for offer in offers:
            fields = item.row(offer)
            steady = {name: value for name, value in fields.items() if name not in _VOLATILE}
            if offer not in known:
                if self.complete:
                    break
                self.found += 1
                rows.append(Row("+", offer, fields))
            elif known[offer] != steady:
                rows.append(Row("=", offer, fields))
            shown[offer] = steady
        if shown:
            self._shown[item.peer.peer_id] = shown
        kind = "leave" if not shown else "update" if known else "join"
        return Change(item, kind, rows, list(shown)) if rows else None


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
    return ("\t".join(_cells(row)) for row in change.rows)


class Aligned:
    """Columns as wide as what they hold, below a header, for people. Wider ones come as rows need them."""

    def __init__(self) -> None:
        self._widths: list[int] = []

    def __call__(self, change: Change) -> Iterator[str]:
        rows = [_cells(row) for row in change.rows]
        if not self._widths:
            rows.insert(0, ["", *COLUMNS])
            self._widths = [1, 12, 16, 12, 13, 5, 9, 3, 0]
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
            tags = avahi_tags(change.item.offers.tags)
            yield escape(f"=;{head};{host};{fields['address']};{fields['port'] or 0};{tags}")


def formatted(text: str) -> Form:
    """The line that -F describes, for each row that appears, changes or goes."""
    pattern = LineFormat(text, LETTERS)
    return lambda change: (pattern.line(_escaped(row)) for row in change.rows)


def _escaped(row: Row) -> dict[str, str]:
    return {"mark": row.mark, **{name: escape_exactly(value) for name, value in row.fields.items()}}


def _cells(row: Row) -> list[str]:
    fields = _escaped(row)
    return [row.mark, *(fields[name] or "-" for name in COLUMNS)]


def default_form() -> Form:
    """Aligned columns on a terminal, tabs in a pipe or file."""
    return Aligned() if sys.stdout.isatty() else tabbed


def parse_tag(text: str, form: str = "KEY=VALUE") -> tuple[str, str]:
    """`KEY=VALUE` as a pair. UsageError, which asks for `form`, for anything else."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--tag {text!r} is not {form}", f"write --tag {form}")
    return key, value
