"""The sockets of one run: a receiver and a sender on every chosen interface, in step with the interfaces.

`Links` is told the table of interfaces and opens and closes what follows from it. It holds no clock and no
loop; feed.py drives it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import msgspec

from mcast import interfaces
from mcast.errors import NoInterface, SocketError
from mcast.interfaces import Choice, Interface
from mcast.multicast import Receiver, Sender
from mcast.net import igmp_querier as querier
from mcast.net.address import GroupAddress
from mcast.net.neighbours import Neighbourhood
from mcast.net.ports import Ports

REJOIN_INTERVAL = 50.0
"""Seconds between rejoins where no querier is heard: within the 60 s that forgetful switches leave us."""


class Plan(msgspec.Struct, frozen=True):
    """What is wanted: `requested` interface names or addresses (none: choose), IP `versions`, `ttl`,
    `sources` for source-specific joins, whether to `receive` at all, and with `unicast` to have senders
    everywhere from the start, since others answer to them. `hold`: at the group's port where it is free."""

    groups: tuple[GroupAddress, ...]
    requested: tuple[str, ...] = ()
    versions: tuple[int, ...] = (4, 6)
    ttl: int = 1
    sources: tuple[str, ...] = ()
    receive: bool = True
    unicast: bool = False
    hold: bool = False


class Change(msgspec.Struct, frozen=True):
    """What an update did: interfaces that came into use, that went out of it, and what went wrong."""

    joined: tuple[Interface, ...] = ()
    left: tuple[Interface, ...] = ()
    problems: tuple[SocketError, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.joined or self.left or self.problems)


class Links:
    """Receivers and senders for `plan`; call update() first and whenever the interfaces changed."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.choices: tuple[Choice, ...] = ()
        self.receivers = {group: Receiver(group, pieces=True) for group in plan.groups if plan.receive}
        self.neighbourhood = Neighbourhood(())
        self._used: dict[int, Interface] = {}
        self._senders: dict[tuple[int, int], Sender] = {}
        self._problems: set[str] = set()
        self._ports = Ports(plan.groups[0].port if plan.hold else 0, plan.ttl)

    @property
    def used(self) -> tuple[Interface, ...]:
        """The interfaces in use, the preferred one first."""
        return tuple(self._used.values())

    def update(self, table: Sequence[Interface]) -> Change:
        """Join, leave and reopen so that the sockets fit the table. UnknownInterface for a wrong request."""
        before, plan = self._used, self.plan
        # What was there at the start may vanish and come back.
        self.choices = interfaces.choose(
            table, plan.requested, versions=plan.versions, absent_ok=bool(self.choices)
        )
        wanted = {choice.interface.index: choice.interface for choice in self.choices if choice.used}
        self._used = wanted
        # The number of an interface that is gone may be given to another one.
        stayed = {i for i in before.keys() & wanted.keys() if before[i].name == wanted[i].name}
        for index in before.keys() - stayed:
            self._leave(index)
        self._leave_lost_versions()
        self._close_moved()
        self.neighbourhood = Neighbourhood(self.used)
        problems = [*self._join_wanted(), *self._open_wanted()]
        self._ports.open_doors(self.used, self.endpoints)
        return Change(
            tuple(link for index, link in wanted.items() if index not in stayed),
            tuple(link for index, link in before.items() if index not in stayed),
            self._news(problems),
        )

    def require(self) -> None:
        """NoInterface, with the reasons, when nothing usable was chosen."""
        if self._used and (not self.plan.receive or any(r.joined for r in self.receivers.values())):
            return
        why = "; ".join(f"{choice.interface.name}: {choice.reason}" for choice in self.choices)
        raise NoInterface(f"no usable network interface ({why or 'there is none'})", "see: mcast interfaces")

    def rejoin(self) -> None:
        """Report our memberships anew on interfaces without a querier."""
        heard = querier.heard()
        spared = {index for index, link in self._used.items() if link.name in heard}
        for group, receiver in self.receivers.items():
            for index in receiver.joined:
                if group.version == 4 and index in spared:  # IGMP says nothing of IPv6 members
                    continue
                try:
                    receiver.rejoin(index)
                except SocketError:
                    receiver.leave(index)

    def senders(self, group: GroupAddress) -> Iterator[Sender]:
        """A sender on each used interface that has an address of the group's family, preferred one first.

        Interfaces that cannot be sent from at this moment are passed over.
        """
        for link in self._used.values():
            with contextlib.suppress(SocketError, NoInterface):
                yield self._sender(link, group.version)

    def send_first(self, data: bytes, group: GroupAddress) -> Sender:
        """Send out of the preferred interface alone. SocketError or NoInterface when it cannot."""
        able = [link for link in self._used.values() if group.version in link.versions]
        if not able:
            raise NoInterface(f"no interface to send IPv{group.version} from", "see: mcast interfaces")
        sender = self._sender(able[0], group.version)
        try:
            sender.send(data, group)
        except SocketError:
            # The address may have changed since the table was read: the next socket will have the new one.
            self.drop(sender)
            raise
        return sender

    def _sender(self, link: Interface, version: int) -> Sender:
        key = (link.index, version)
        if key not in self._senders:
            address = link.address(version)
            if address is None:
                raise NoInterface(f"{link.name} has no IPv{version} address", "see: mcast interfaces")
            self._senders[key] = self._ports.open(link.index, address)
        return self._senders[key]

    @property
    def endpoints(self) -> tuple[Sender, ...]:
        """The senders that are open: others reach us at their addresses and ports."""
        return tuple(self._senders.values())

    @property
    def doors(self) -> tuple[Sender, ...]:
        """Sockets at further addresses, where we can be asked; we answer from the endpoints."""
        return self._ports.doors

    @property
    def holding(self) -> bool:
        """Whether we have the group's port at all our addresses."""
        return self.plan.hold and self._ports.holds(self.endpoints)

    @property
    def unicast_port(self) -> int:
        """The port at which we are reached where another program has the group's; 0: we have it."""
        return self._ports.told(self.endpoints)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Our addresses."""
        return tuple(address for link in self._used.values() for address in link.addresses)

    def claim(self) -> bool:
        """Take the group's port where it has become free; whether it was anywhere."""
        claimed = self._ports.claim(self._senders)
        self._ports.open_doors(self.used, self.endpoints)
        return claimed

    def drop(self, sender: Sender) -> None:
        """Close a sender that failed; the next use opens another."""
        key = (sender.interface, sender.version)
        if self._senders.get(key) is sender:
            del self._senders[key]
        self._ports.close_door(sender)
        sender.close()

    @property
    def kernel_drops(self) -> int:
        """Datagrams the kernel threw away because we did not read in time (0 where it does not tell)."""
        return sum(receiver.kernel_drops or 0 for receiver in self.receivers.values())

    def sources(self) -> frozenset[tuple[str, int]]:
        """Addresses and ports our datagrams come from."""
        return frozenset(sender.source for sender in self._senders.values())

    def close(self) -> None:
        """Leave and close everything. Closing twice is fine."""
        for receiver in self.receivers.values():
            receiver.close()
        for sender in self._senders.values():
            sender.close()
        self._ports.close()
        self._senders = {}
        self._used = {}

    def _leave(self, index: int) -> None:
        for receiver in self.receivers.values():
            receiver.leave(index)
        for key in [key for key in self._senders if key[0] == index]:
            self._senders.pop(key).close()

    def _leave_lost_versions(self) -> None:
        """Where IPv4 or IPv6 went away: the kernel forgets such a membership for good."""
        for group, receiver in self.receivers.items():
            for index in receiver.joined:
                if index not in self._used or group.version not in self._used[index].versions:
                    receiver.leave(index)

    def _close_moved(self) -> None:
        """Close the senders whose interface has another address now; others keep theirs, and their port."""
        for (index, version), sender in list(self._senders.items()):
            if index not in self._used or self._used[index].address(version) != sender.address:
                self._senders.pop((index, version)).close()

    def _news(self, problems: Sequence[SocketError]) -> tuple[SocketError, ...]:
        """Those that were not there the last time: what stays wrong is told once."""
        known, self._problems = self._problems, {str(problem) for problem in problems}
        return tuple(problem for problem in problems if str(problem) not in known)

    def _join_wanted(self) -> Iterator[SocketError]:
        for group, receiver in self.receivers.items():
            for index, link in self._used.items():
                if index in receiver.joined or group.version not in link.versions:
                    continue
                try:
                    receiver.join(index, self.plan.sources)
                except SocketError as error:
                    yield error

    def _open_wanted(self) -> Iterator[SocketError]:
        """With `unicast`, a sender on every interface and in every version."""
        for link in self._used.values() if self.plan.unicast else ():
            try:
                for version in set(link.versions) & set(self.plan.versions):
                    self._sender(link, version)
            except SocketError as error:
                yield error
