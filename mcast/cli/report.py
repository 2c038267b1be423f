"""What a command says on standard error about its group: where it joined, what changed, what was dropped."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from mcast.events import InterfacesChanged
from mcast.interfaces import Choice, Interface
from mcast.net.links import Change, Links, Plan

from .render import note, rfc3339


class Joined(Protocol):
    """What a group of any wire tells of its network."""

    @property
    def links(self) -> Links:
        """Its sockets and the interfaces they are on."""

    @property
    def plan(self) -> Plan:
        """What was asked for."""

    @property
    def started(self) -> Change:
        """What came of joining."""

    @property
    def room_words(self) -> Sequence[str]:
        """What room it is, unless it is the open one that needs no name."""

    @property
    def kernel_drops(self) -> int:
        """Datagrams that came faster than they were read."""


class Reporter:
    """Says things once, unless `quiet`."""

    def __init__(self, group: Joined, *, quiet: bool, verbose: bool) -> None:
        self._group = group
        self._quiet = quiet
        self._verbose = verbose
        self._dropped = 0
        self._looked = time.monotonic()

    def joined(self, doing: str) -> None:
        """The one line once everything is joined."""
        used = [choice for choice in self._group.links.choices if choice.used]
        versions = {version for choice in used for version in choice.interface.versions}
        named = self._group.plan.groups
        groups = [str(group) for group in named if group.version in versions or not used]
        what = ", ".join([*groups, *self._group.room_words])
        where = ", ".join(map(_describe, used)) or f"no interface yet ({waiting_for(self._group)})"
        self.say(f"{doing} {what} on {where}")
        self._problems(self._group.started)
        if self._verbose:
            for receiver in self._group.links.receivers.values():
                self.say(f"receive buffer of {receiver.group}: {receiver.granted_buffer // 1024} KiB")

    def changed(self, change: Change | InterfacesChanged) -> None:
        """Interfaces that came into use or went out of it."""
        reasons = {choice.interface.index: choice.reason for choice in self._group.links.choices}
        for link in change.joined:
            self.say(f"+ {link.name} ({reasons.get(link.index, 'up')})")
        for link in change.left:
            self.say(f"- {link.name} ({reasons.get(link.index, 'gone')})")
        if change.left and not self._group.links.used:
            self.say(f"no interface left; waiting for one ({waiting_for(self._group)})")
        self._problems(change)

    def drops(self, *, now: bool = False) -> None:
        """Datagrams the kernel dropped since the last time; looks at most once a second unless `now`."""
        if not now and time.monotonic() - self._looked < 1.0:
            return
        self._looked = time.monotonic()
        dropped = self._group.kernel_drops
        if dropped > self._dropped:
            note(
                f"the kernel dropped {dropped - self._dropped} datagrams that came faster than they were read"
                f" ({dropped} in all): a larger net.core.rmem_max helps"
            )
            self._dropped = dropped

    def _problems(self, change: Change | InterfacesChanged) -> None:
        for problem in dict.fromkeys(map(str, change.problems)):
            note(problem)

    def say(self, text: str) -> None:
        """A line, unless it is empty or we are to be quiet."""
        if text and not self._quiet:
            note(text)


def interface_events(change: Change | InterfacesChanged) -> Iterator[Mapping[str, Any]]:
    """The change as JSON events."""
    states: Iterable[tuple[str, tuple[Interface, ...]]] = (("joined", change.joined), ("left", change.left))
    for state, links in states:
        for link in links:
            yield {
                "v": 1,
                "type": "interface",
                "ts": rfc3339(time.time()),
                "interface": link.name,
                "state": state,
            }


def waiting_for(group: Joined) -> str:
    """Why no interface is used: those asked for, else all, each with its reason."""
    asked = [choice for choice in group.links.choices if choice.reason != "not asked for"]
    return "; ".join(f"{choice.interface.name}: {choice.reason}" for choice in asked) or "there is none"


def _describe(choice: Choice) -> str:
    return f"{choice.interface.name} ({choice.reason})"
