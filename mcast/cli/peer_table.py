"""The table of peers that `announce` and `browse` print, filtered by services and tags."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from mcast.core.events import PeerId
from mcast.errors import UsageError

from .hooks import Hooks
from .items import Item, PeerItem, show_private
from .output import Output
from .session import GroupSession, Reporter

MARKS = {"join": "+", "update": "=", "leave": "-"}


class PeerFilter:
    """Which peers to show: shell globs for service types and for the values of tags. All must match."""

    def __init__(self, services: Iterable[str], tags: Iterable[str]) -> None:
        self._services = list(services)
        self._tags = [parse_tag(tag, "KEY=GLOB") for tag in tags]

    def matches(self, item: PeerItem) -> bool:
        """Whether to show the peer."""
        services, tags = item.offers.services, item.offers.tags
        return all(
            any(fnmatchcase(service.type, glob) for service in services) for glob in self._services
        ) and all(key in tags and fnmatchcase(tags[key], glob) for key, glob in self._tags)


class PeerTable:
    """Prints a line when a peer appears, leaves, or changes in what the table shows; `found` counts them.

    Stops after `most` peers have appeared.
    """

    def __init__(self, output: Output, wanted: PeerFilter, *, json: bool, most: int | None = None) -> None:
        self._output, self._wanted, self._json, self._most = output, wanted, json, most
        self._shown: dict[PeerId, list[list[str]]] = {}
        self.found = 0

    @property
    def complete(self) -> bool:
        """Whether `most` peers have appeared."""
        return self._most is not None and self.found >= self._most

    async def follow(self, session: GroupSession, reporter: Reporter, hooks: Hooks) -> None:
        """Show the peers of the group until the table is complete."""
        await hooks.ready(str(session.plan.groups[0]))
        async for changes, items in session.batches():
            for change in changes:
                reporter.changed(change)
            for item in items:
                self._show(item)
            for item in items:
                if item.type in ("alarm", "overflow", "slow", "sending"):
                    reporter.say(item.notice())
                show_private(item)
                await hooks.put(item.type, item.environment(), item.data)
            reporter.drops()
            if self.complete:
                await hooks.done()
                return

    def _show(self, item: Item) -> None:
        if not isinstance(item, PeerItem) or self.complete:
            return
        peer_id = item.peer.peer_id
        known = peer_id in self._shown
        if item.type == "leave" or not self._wanted.matches(item):
            if known:
                del self._shown[peer_id]
                self._print(item, "leave")
            return
        # Without interface and age, which change with every datagram.
        cells = [row.split("\t")[:6] + row.split("\t")[8:] for row in item.rows("")]
        if known and self._shown[peer_id] == cells:
            return
        self._shown[peer_id] = cells
        self.found += not known
        self._print(item, "update" if known else "join")

    def _print(self, item: PeerItem, kind: str) -> None:
        if self._json:
            self._output.events([{**item.json(), "type": kind}])
        else:
            self._output.lines(item.rows(MARKS[kind]))


def parse_tag(text: str, form: str = "KEY=VALUE") -> tuple[str, str]:
    """`KEY=VALUE` as a pair. UsageError, which asks for `form`, for anything else."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--tag {text!r} is not {form}", f"write --tag {form}")
    return key, value
