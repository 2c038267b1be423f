"""The sockets of one member: receivers and senders on every chosen interface.

`Links.update` takes a table of interfaces and opens and closes sockets to match it. It has no clock and no
event loop; net/reader.py drives it.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import sys
from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from mcast import interfaces
from mcast.errors import NoInterface, SocketError
from mcast.interfaces import Choice, Interface
from mcast.multicast import Receiver, Sender
from mcast.net.address import GroupAddress
from mcast.net.interface_table import is_link_local
from mcast.net.socket_options import SocketName, source_towards
from mcast.wire.limits import DATAGRAM_SAFE

if sys.platform != "win32":
    import resource

SECONDARY_MAX = 8
"""Additional addresses of one interface at which others can reach us."""
SPARE = 8
"""Descriptors that we leave free: modules are imported when they are needed, and --on runs programs."""
FURTHER_MAX = 3
"""IPv4 networks of one interface, besides the first, to which we also send: each costs a copy."""
SMALLEST_MTU = DATAGRAM_SAFE + 28
"""Below this, the datagrams that every member must be able to take do not fit into an IPv4 packet. The kernel
splits them."""
_IGMP = Path("/proc/net/igmp")


class Plan(msgspec.Struct, frozen=True):
    """Which sockets are wanted.

    requested: names or addresses of interfaces; empty means all suitable ones. excluded: those that are not
    used. versions: IP versions.
    ttl: see Sender. sources: see Receiver.join. receive: whether to open receivers. unicast: open senders on
    every interface at once, because others answer to them. hold: bind senders to the group's port where it
    is free. wait: go on without a usable interface, and with one requested that does not exist yet. buffer:
    receive buffer of senders in bytes, 0 for the system's; with one, they take several datagrams at once.
    """

    groups: tuple[GroupAddress, ...]
    requested: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    versions: tuple[int, ...] = (4, 6)
    ttl: int = 1
    sources: tuple[str, ...] = ()
    receive: bool = True
    unicast: bool = False
    hold: bool = False
    wait: bool = False
    buffer: int = 0


class Change(msgspec.Struct, frozen=True):
    """What an update did: interfaces that came into use or went out of it, and new problems.

    `lost_networks`: the interfaces that have none of their addresses of before; (None,) if none of them has.
    """

    joined: tuple[Interface, ...] = ()
    left: tuple[Interface, ...] = ()
    problems: tuple[SocketError, ...] = ()
    lost_networks: tuple[int | None, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.joined or self.left or self.problems)


class Links:
    """The receivers and senders for `plan`. Call update() first and after each change of the interfaces.

    A program that knows only a computer's address can reach us at the group's port there, and needs no
    multicast for it. Several programs on one computer cannot share a unicast port: one of them holds it and
    tells the ports of the others (WHO and HERE in docs/protocol.md). When it ends, another claims the port.

    A tunnel is not used for multicast unless it is requested. Others can still reach us at its address, and
    we reach through it those whom the user named (reach()).
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.choices: tuple[Choice, ...] = ()
        self.receivers = {group: Receiver(group, pieces=True) for group in plan.groups if plan.receive}
        self._used: dict[int, Interface] = {}
        self._senders: dict[tuple[int, int], Sender] = {}
        self._secondary: dict[tuple[int, str], Sender] = {}
        self._table: Sequence[Interface] = ()
        self._static_peers: tuple[SocketName, ...] = ()
        self.towards: dict[str, tuple[int, str]] = {}
        self._addresses: dict[int, tuple[str, ...]] = {}
        self._problems: set[str] = set()
        self._port = plan.groups[0].port if plan.hold else 0
        self._own_port = 0

    @property
    def used(self) -> tuple[Interface, ...]:
        """The interfaces in use, the preferred one first."""
        return tuple(self._used.values())

    def update(self, table: Sequence[Interface]) -> Change:
        """Open and close sockets to match the table. Raises UnknownInterface for a wrong request."""
        before, plan = self._used, self.plan
        # After the first update, a requested interface may vanish and come back.
        absent_ok = plan.wait or bool(self.choices)
        self.choices = interfaces.choose(
            table, plan.requested, versions=plan.versions, absent_ok=absent_ok, excluded=plan.excluded
        )
        wanted = {choice.interface.index: choice.interface for choice in self.choices if choice.used}
        self._used, self._table = wanted, table
        # The system may give the index of a removed interface to a new one.
        stayed = {i for i in before.keys() & wanted.keys() if before[i].name == wanted[i].name}
        for index in before.keys() - stayed:
            self._leave(index)
        self._leave_lost_versions()
        self._close_moved()
        problems = [*self._open_wanted(), *self._small()]
        self._open_secondary()
        return Change(
            tuple(link for index, link in self._used.items() if index not in stayed),
            tuple(link for index, link in before.items() if index not in stayed & self._used.keys()),
            self._new_problems(problems),
            self._lost_networks(),
        )

    def require(self, started: Change | None = None) -> None:
        """Raise a problem of the `started` change if nothing was joined, or NoInterface with the reasons."""
        joined = not self.receivers or any(receiver.joined for receiver in self.receivers.values())
        if started is not None and started.problems and not joined:
            raise started.problems[0]
        # Static peers may be reached through a tunnel although there is no LAN.
        if self.plan.wait or (self._used and joined) or (self.towards and self._secondary):
            return
        why = "; ".join(f"{choice.interface.name}: {choice.reason}" for choice in self.choices)
        raise NoInterface(f"no usable network interface ({why or 'there is none'})", "see: mcast interfaces")

    def rejoin(self) -> None:
        """Report our memberships to the switches again.

        A snooping switch without a querier forgets its members after some minutes (RFC 4541, 2.1.1).
        """
        asked = interfaces_with_querier()
        spared = {index for index, link in self._used.items() if link.name in asked}
        for group, receiver in self.receivers.items():
            for index in receiver.joined:
                if group.version == 4 and index in spared:  # an IGMP querier says nothing about IPv6
                    continue
                try:
                    receiver.rejoin(index)
                except SocketError:
                    receiver.leave(index)

    def send_first(self, data: bytes, group: GroupAddress) -> Sender:
        """Send out of the preferred interface only. Raises SocketError or NoInterface if it cannot."""
        able = [link for link in self._used.values() if group.version in link.versions]
        if not able:
            raise NoInterface(f"no interface to send IPv{group.version} from", "see: mcast interfaces")
        sender = self._sender(able[0], group.version)
        try:
            sender.send(data, group)
        except SocketError:
            # The address may have changed since the table was read; the next socket gets the new one.
            self.drop(sender)
            raise
        return sender

    @property
    def endpoints(self) -> tuple[Sender, ...]:
        """The open senders. Others reach us at their addresses and ports."""
        return tuple(self._senders.values())

    @property
    def secondary(self) -> tuple[Sender, ...]:
        """Sockets at additional addresses, and at those of tunnels: for unicast only."""
        return tuple(self._secondary.values())

    @property
    def unicast_only(self) -> tuple[Interface, ...]:
        """Interfaces that are not in use for multicast but have a socket: tunnels."""
        indexes = {sender.interface for sender in self._secondary.values()} - self._used.keys()
        return tuple(link for link in self._table if link.index in indexes)

    @property
    def further(self) -> tuple[Sender, ...]:
        """Those of `secondary` in other IPv4 networks than the endpoint of their interface.

        Hosts of such a network may drop what does not come from an address of it (reverse path filter).
        """
        keys = {(link.index, address) for link in self._used.values() for address in _elsewhere(link)}
        return tuple(sender for key, sender in self._secondary.items() if key in keys)

    @property
    def all(self) -> tuple[Interface, ...]:
        """The interfaces with a socket, those in use first."""
        return (*self._used.values(), *self.unicast_only)

    def reach(self, addresses: Iterable[SocketName]) -> None:
        """Reach these static peers out of the interfaces that lead there.

        `towards` tells, by host, the number of the interface and our address on it.
        """
        self._static_peers = tuple(addresses)
        self._open_secondary()

    @property
    def holding(self) -> bool:
        """Whether we hold the group's port at all our addresses."""
        return {sender.source[1] for sender in self.endpoints} == {self._port}

    @property
    def unicast_port(self) -> int:
        """The port at which others reach us; 0 means the group's port."""
        return 0 if self.holding else self._own_port

    @property
    def hosts(self) -> tuple[str, ...]:
        """Our addresses."""
        return tuple(address for link in self.all for address in link.addresses)

    @property
    def kernel_drops(self) -> int:
        """Datagrams that the kernel dropped because we read too late; 0 where it does not tell."""
        return sum(receiver.kernel_drops or 0 for receiver in self.receivers.values())

    def claim(self) -> bool:
        """Bind the group's port at each address where it has become free; whether that succeeded anywhere."""
        claimed = False
        for key, sender in self._senders.items():
            if sender.source[1] != self._port:
                with contextlib.suppress(SocketError):
                    self._senders[key] = self._bind(sender.interface, sender.address, self._port)
                    sender.close()
                    claimed = True
        self._open_secondary()
        return claimed

    def drop(self, sender: Sender) -> None:
        """Close a sender that failed. A new one is opened when it is needed."""
        key, address = (sender.interface, sender.version), (sender.interface, sender.address)
        if self._senders.get(key) is sender:
            del self._senders[key]
        if self._secondary.get(address) is sender:
            del self._secondary[address]
        sender.close()

    def close(self) -> None:
        """Leave all groups and close all sockets. May be called twice."""
        for receiver in self.receivers.values():
            receiver.close()
        for sender in (*self._senders.values(), *self._secondary.values()):
            sender.close()
        self._senders, self._secondary, self._used = {}, {}, {}

    def _sender(self, link: Interface, version: int) -> Sender:
        key = (link.index, version)
        if key not in self._senders:
            address = link.address(version)
            if address is None:
                raise NoInterface(f"{link.name} has no IPv{version} address", "see: mcast interfaces")
            self._senders[key] = self._open_sender(link.index, address)
        return self._senders[key]

    def _open_sender(self, interface: int, address: str) -> Sender:
        """A sender at the group's port, else at the port we have at other addresses, else at any free one."""
        for port in filter(None, (self._port, self._own_port)):
            with contextlib.suppress(SocketError):
                return self._bind(interface, address, port)
        sender = self._bind(interface, address, 0)
        self._own_port = sender.source[1]
        return sender

    def _bind(self, interface: int, address: str, port: int) -> Sender:
        return Sender(interface, address, port=port, ttl=self.plan.ttl, buffer=self.plan.buffer)

    def _open_secondary(self) -> None:
        """Bind the group's port at the additional addresses where no other program holds it.

        Where we send from, any port will do.
        """
        taken = {(sender.interface, sender.address) for sender in self._senders.values()}
        links = (*self._used.values(), *self._tunnels()) if self._port else ()
        wanted = {
            key: False
            for link in links
            for key in [(link.index, text) for text in link.addresses][: 1 + SECONDARY_MAX]
        }
        self.towards = dict(self._lead_to_static())
        needed = [*self.towards.values()]
        if self.plan.unicast:
            needed += [(link.index, text) for link in self._used.values() for text in _elsewhere(link)]
        wanted.update(dict.fromkeys(needed, True))
        wanted = {key: must for key, must in wanted.items() if key not in taken}
        for key in self._secondary.keys() - wanted.keys():
            self._secondary.pop(key).close()
        for key, must in wanted.items():
            if key not in self._secondary:
                with contextlib.suppress(SocketError):
                    sender = self._open_sender(*key) if must else self._bind(*key, self._port)
                    if must or _leaves_spare(sender.fileno()):
                        self._secondary[key] = sender
                    else:
                        sender.close()

    def _tunnels(self) -> Iterator[Interface]:
        """Tunnels that are up and not in use, unless the user chose the interfaces."""
        for choice in self.choices if not self.plan.requested else ():
            free = not choice.used and choice.reason != interfaces.EXCLUDED
            if choice.interface.tunnel and choice.interface.up and free:
                yield choice.interface

    def _lead_to_static(self) -> Iterator[tuple[str, tuple[int, str]]]:
        """Each static host, the interface from which the system sends to it, and the address there.

        That of the endpoint, if the interface has one.
        """
        barred = {choice.interface for choice in self.choices if choice.reason == interfaces.EXCLUDED}
        for address in self._static_peers:
            source, version = source_towards(address), 6 if ":" in address[0] else 4
            for link in self._table if source else ():
                if source in link.addresses and link not in barred:
                    endpoint = self._senders.get((link.index, version))
                    yield address[0], (link.index, endpoint.address if endpoint else str(source))

    def _leave(self, index: int) -> None:
        for receiver in self.receivers.values():
            receiver.leave(index)
        for key in [key for key in self._senders if key[0] == index]:
            self._senders.pop(key).close()
        for address in [key for key in self._secondary if key[0] == index]:
            self._secondary.pop(address).close()

    def _leave_lost_versions(self) -> None:
        """Leave where IPv4 or IPv6 was switched off: the kernel has dropped those memberships for good."""
        for group, receiver in self.receivers.items():
            for index in receiver.joined:
                if index not in self._used or group.version not in self._used[index].versions:
                    receiver.leave(index)

    def _close_moved(self) -> None:
        """Close the senders whose interface has another address now. Others keep their port."""
        for (index, version), sender in list(self._senders.items()):
            if index not in self._used or self._used[index].address(version) != sender.address:
                self._senders.pop((index, version)).close()

    def _open_wanted(self) -> Iterator[SocketError]:
        """Open what is missing, on the preferred interfaces first.

        If the descriptors do not suffice, the interfaces after that are not used, and one problem names them.
        """
        links = list(self._used.values())
        for place, link in enumerate(links):
            problems = self._open(link)
            if _exhausted(problems) and self._free(links[place + 1 :]):
                self._leave(link.index)
                problems = self._open(link)
            if _exhausted(problems) and place == 0:
                # It may have the last descriptors: without it there is nothing.
                problems = self._open(link, sparing=False)
            if not _exhausted(problems):
                yield from problems
                continue
            yield from problems if place == 0 else ()
            if unused := links[max(1, place) :]:
                yield self._give_up(unused)
            return

    def _open(self, link: Interface, *, sparing: bool = True) -> list[SocketError]:
        """Join the groups on the interface and open its senders. `sparing`: leave SPARE descriptors free."""
        problems, opened = [], []
        for group, receiver in self.receivers.items():
            if link.index in receiver.joined or group.version not in link.versions:
                continue
            try:
                receiver.join(link.index, self.plan.sources)
                opened.append(receiver.fileno(link.index))
            except SocketError as error:
                problems.append(error)
        for version in sorted(set(link.versions) & set(self.plan.versions)) if self.plan.unicast else ():
            try:
                opened.append(self._sender(link, version).fileno())
            except SocketError as error:
                problems.append(error)
        if sparing and not all(map(_leaves_spare, opened)):
            problems.append(SocketError("too many open files", errno=errno.EMFILE))
        return problems

    def _free(self, links: Sequence[Interface]) -> bool:
        """Close what is open on these interfaces; whether there was anything."""
        occupied = {index for receiver in self.receivers.values() for index in receiver.joined}
        occupied |= {index for index, _ in (*self._senders, *self._secondary)}
        found = [link.index for link in links if link.index in occupied]
        for index in found:
            self._leave(index)
        return bool(found)

    def _give_up(self, unused: Sequence[Interface]) -> SocketError:
        """Do not use these interfaces, for want of descriptors. Returns the problem to tell."""
        self._free(unused)
        for link in unused:
            del self._used[link.index]
        self.choices = tuple(
            Choice(choice.interface, False, "too many open files") if choice.interface in unused else choice
            for choice in self.choices
        )
        names = ", ".join(link.name for link in unused)
        return SocketError(f"too many open files to use {names}", "raise the limit: ulimit -n", errno.EMFILE)

    def _small(self) -> Iterator[SocketError]:
        for link in self._used.values() if self.plan.unicast else ():
            if link.mtu < SMALLEST_MTU:
                yield SocketError(
                    f"the MTU of {link.name} is {link.mtu}: large datagrams leave in pieces",
                    f"raise it to {SMALLEST_MTU} or more, or choose another interface with -i",
                )

    def _new_problems(self, problems: Sequence[SocketError]) -> tuple[SocketError, ...]:
        """Problems that the last update did not have: each is told once. A lack of descriptors is one."""
        kinds = {"" if _exhausted([problem]) else str(problem): problem for problem in problems}
        known, self._problems = self._problems, set(kinds)
        return tuple(problem for kind, problem in kinds.items() if kind not in known)

    def _lost_networks(self) -> tuple[int | None, ...]:
        """The interfaces that have none of their addresses of the last update; (None,) if none has."""
        now = {link.index: addresses for link in self.used if (addresses := _network_addresses(link))}
        before, self._addresses = self._addresses, now
        # All addresses: an interface that had link-local ones only and gets another has not moved.
        here = {link.index: link.addresses for link in self.used}
        lost = [index for index, known in before.items() if set(known).isdisjoint(here.get(index, ()))]
        return (None,) if lost and len(lost) == len(before) else tuple(lost)


def _exhausted(problems: Sequence[SocketError]) -> bool:
    """Whether the process or the system has no descriptors left."""
    return any(problem.errno in (errno.EMFILE, errno.ENFILE) for problem in problems)


def _leaves_spare(descriptor: int) -> bool:
    """Whether SPARE more can be opened: the system gives the lowest free number to what is opened."""
    if sys.platform == "win32":
        return True
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return limit == resource.RLIM_INFINITY or descriptor + SPARE < limit


def _elsewhere(link: Interface) -> list[str]:
    """The first IPv4 address in each network but that of the endpoint, at most FURTHER_MAX of them."""
    networks = [ipaddress.ip_network(text) for text in link.networks]
    first: dict[Hashable, str] = {}
    for text in link.ipv4:
        address = ipaddress.ip_address(text)
        network = next((one for one in networks if address in one and one.num_addresses > 1), None)
        if network is not None or not first:
            first.setdefault(network, text)
    return [*first.values()][1 : 1 + FURTHER_MAX]


def _network_addresses(link: Interface) -> tuple[str, ...]:
    """Addresses that identify the network. Link-local ones do not: they are the same on every network.

    Loopback counts as no network: messages sent while a cable is out may be delivered when it is back.
    """
    if link.loopback:
        return ()
    routed = tuple(address for address in link.addresses if not is_link_local(address))
    return routed or link.addresses


def interfaces_with_querier() -> frozenset[str]:
    """Names of the interfaces on which an IGMP querier of version 1 or 2 was heard in the last 260 s.

    Linux shows it in /proc/net/igmp (proc(5)). A querier of version 3 leaves no trace there: rejoining is
    needless then, at the price of a few datagrams a minute. Empty where the system does not tell.
    """
    try:
        lines = _IGMP.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    rows = [line.replace(":", " ").split() for line in lines]
    # "2 eth0 : 3 V2": index, device, count, querier. The lines of groups have another form.
    return frozenset(row[1] for row in rows if len(row) >= 4 and row[0].isdigit() and row[-1] in ("V1", "V2"))
