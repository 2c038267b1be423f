"""The table of peers that announce and browse show, line by line as it changes."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from mcast.core.peer_id import PeerId
from mcast.errors import UsageError

from .items import Item, PeerItem, offers_of
from .render import Output

MARKS = {"join": "+", "update": "=", "leave": "-"}


class Filter:
    """Which peers to show: shell globs on the whole of a service's type or a tag's value; all must match."""

    def __init__(self, services: Iterable[str], tags: Iterable[str]) -> None:
        self._services = list(services)
        self._tags = [parse_tag(tag) for tag in tags]

    def matches(self, item: PeerItem) -> bool:
        """Whether to show the peer."""
        offers = offers_of(item.peer)
        return all(
            any(fnmatchcase(service.type, glob) for service in offers.services) for glob in self._services
        ) and all(key in offers.tags and fnmatchcase(offers.tags[key], glob) for key, glob in self._tags)


class Board:
    """Prints a peer when it appears, goes, or changed in what is shown of it."""

    def __init__(self, output: Output, wanted: Filter, *, json: bool) -> None:
        self._output, self._wanted, self._json = output, wanted, json
        self._shown: dict[PeerId, list[list[str]]] = {}
        self.found = 0

    def show(self, items: Iterable[Item], most: int | None = None) -> None:
        """Print what is new; stops after `most` peers have appeared in all."""
        for item in items:
            if isinstance(item, PeerItem) and (most is None or self.found < most):
                self._peer(item)

    def _peer(self, item: PeerItem) -> None:
        run = item.peer.peer_id
        known = run in self._shown
        if item.type == "leave" or not self._wanted.matches(item):
            if known:
                del self._shown[run]
                self._print(item, "leave")
            return
        face = [row.split("\t")[:6] + row.split("\t")[8:] for row in item.rows("")]
        if known and self._shown[run] == face:
            return
        self._shown[run] = face
        self.found += not known
        self._print(item, "update" if known else "join")

    def _print(self, item: PeerItem, kind: str) -> None:
        if self._json:
            self._output.events([{**item.event(), "type": kind}])
        else:
            self._output.lines(item.rows(MARKS[kind]))


def parse_tag(text: str) -> tuple[str, str]:
    """`KEY=VALUE` in two; UsageError for anything else."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"{text!r} is not a tag", "write KEY=VALUE")
    return key, value
