"""The part of the decision table that needs a peer: what the matrix of ways to it and back tells.

Rows are tried in order for each IP version and direction: the first that fits names the cause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from . import remedies
from .evidence import LARGE, MIDDLE, Evidence, Peer
from .finding import Finding, Status

SKEW = 60.0
Passed = bool | None


class Ways(msgspec.Struct, frozen=True):
    """The small datagrams of one direction in one IP version: whether they passed, None if not known."""

    unicast: Passed
    group: Passed
    scoped: Passed
    local: Passed
    broadcast: Passed


class Row(msgspec.Struct, frozen=True):
    """A pattern of ways: "+" passed, "-" did not, "?" may be anything, and the cause that it shows."""

    pattern: str
    cause: str


#         unicast, group, scoped, local, broadcast
PATTERNS = (
    Row("+++++", ""),
    Row("?-+??", "no-querier"),
    Row("?--+?", "igmp-blocked"),
    Row("+---+", "switch-drops-multicast"),
    Row("+----", "receiver-firewall"),
    Row("+---?", "switch-drops-multicast"),
    Row("+-???", "switch-drops-multicast"),
    Row("----?", "receiver-firewall"),
)
"""IPv6 has no broadcast: its place is "?" then, which only a "?" fits."""


def cause_of(ways: Ways) -> str | None:
    """The cause that a pattern shows; "" if all passes, None if too little is known."""
    signs = "".join(
        "?" if passed is None else "+" if passed else "-"
        for passed in (ways.unicast, ways.group, ways.scoped, ways.local, ways.broadcast)
    )
    if signs.startswith("++") and "-" not in signs:
        return ""
    for row in PATTERNS:
        if all(wanted in ("?", sign) for wanted, sign in zip(row.pattern, signs, strict=True)):
            return row.cause
    return None


def ways_of(peer: Peer, version: int, outward: bool) -> Ways:
    """The small datagrams of one direction."""
    names = ("unicast", "group", "scoped", "local", "broadcast")
    return Ways(*(peer.passed(version, outward, name) for name in names))


def with_peers(evidence: Evidence) -> Iterator[Finding]:
    """What the measurement with the peer shows, by each interface by which it was found."""
    for peer in (evidence.peer, *evidence.elsewhere):
        if peer is not None:
            yield from _with_peer(evidence, peer)


def _with_peer(evidence: Evidence, peer: Peer) -> Iterator[Finding]:
    heard = peer.heard or any(one.address == peer.address for one in evidence.ours)
    dropping = evidence.after.reverse_path > evidence.before.reverse_path
    if peer.tunnel:
        seen = f"{peer.interface}, which leads to {peer.name}, is a tunnel"
        yield Finding(Status.WARN, "unicast-only", seen, f"use mcast chat --peer {peer.address}")
    elif peer.gateway and not heard and not dropping:
        remedy = f"let datagrams cross the router, on both sides: mcast chat -4 --ttl 2 --peer {peer.address}"
        yield Finding(Status.FAIL, "ttl", f"a router is on the way to {peer.address}", remedy)
    elif not peer.reached and not peer.near and not dropping:
        seen = f"{peer.address} is in no network of {peer.interface or 'this computer'}"
        remedy = "give both computers addresses in one network"
        yield Finding(Status.FAIL, "two-subnets", seen, remedy)
    elif not peer.reached:
        yield from _unreached(evidence, peer, heard)
    else:
        yield from _reached(evidence, peer)
        yield from _health(evidence, peer)


def _unreached(evidence: Evidence, peer: Peer, heard: bool) -> Iterator[Finding]:
    """The peer answers nothing at all."""
    foreign = {one.room for one in evidence.heard if one.address == peer.address} - {"ours"}
    deaf_here = any(one.looped is False for one in evidence.attempts) and not evidence.heard
    incoming = remedies.allow_incoming(evidence)
    if not heard and (peer.foreign or foreign):
        version = "version" in foreign
        what = "run another version of mcast" if version else "are in another room, or have another key"
        remedy = "compare --room, --key-file, --group and mcast --version on both sides"
        cause = "other-version" if version else "other-room"
        yield Finding(Status.FAIL, cause, f"those at {peer.address} {what}", remedy)
    elif heard:
        seen = f"{peer.name} is heard, but nothing of ours is answered, by unicast or multicast"
        remedy = f"on {peer.address}: allow incoming UDP at the group's port"
        yield Finding(Status.FAIL, "receiver-firewall", seen, remedy, incoming, peer.address)
    elif deaf_here:
        seen = f"{peer.address} does not answer, but this computer drops what arrives"
        yield Finding(Status.UNKNOWN, "no-answer", seen, "repair that first")
    elif peer.neighbour is False:
        seen = (
            f"nobody at {peer.address} answers even ARP on {peer.interface}: it is off, or kept apart from us"
        )
        remedy = "switch off client isolation (guest network, private VLAN) in the access point or switch"
        yield Finding(Status.FAIL, "client-isolation", seen, remedy)
    elif peer.neighbour:
        seen = f"the computer at {peer.address} is there, but nothing of ours is answered"
        remedy = "start mcast chat there; if it runs, allow incoming UDP at the group's port"
        yield Finding(Status.FAIL, "receiver-firewall", seen, remedy, incoming, peer.address)
    else:
        yield Finding(
            Status.UNKNOWN, "no-answer", f"nobody answers at {peer.address}", "start mcast chat there"
        )


def _reached(evidence: Evidence, peer: Peer) -> Iterator[Finding]:
    """The peer answers: each direction in each IP version has its pattern."""
    found: dict[str, Finding] = {}
    healthy: list[int] = []
    for version in sorted({cell.version for cell in peer.cells}):
        causes = {outward: _cause(evidence, peer, version, outward) for outward in (True, False)}
        for outward, cause in causes.items():
            if cause and version == 6 and healthy:
                seen = f"IPv6 {_words(peer, outward)} fails ({cause}), IPv4 works"
                repair = "use -4, or repair IPv6"
                found.setdefault("no-ipv6", Finding(Status.WARN, "no-ipv6", seen, repair))
            elif cause:
                found.setdefault(cause, FINDINGS[cause](evidence, peer, version, outward))
        if not any(causes.values()) and any(cause is not None for cause in causes.values()):
            healthy.append(version)
    if peer.replies_lost:
        found.setdefault("replies-dropped", _replies(evidence, peer, 4, False))
    for finding in _sizes(evidence, peer):
        found.setdefault(finding.cause, finding)
    yield from found.values()
    if not found and healthy:
        versions = " and ".join(f"IPv{version}" for version in healthy)
        yield Finding(Status.OK, "ways", f"{versions} to {peer.name} and back pass at all sizes")
    elif not found and not peer.refused:
        seen = f"{peer.name} answers, but too little could be tried"
        yield Finding(Status.UNKNOWN, "ways", seen, "try again")


def _cause(evidence: Evidence, peer: Peer, version: int, outward: bool) -> str | None:
    """The cause that one direction shows, "" if none. What a sender cannot send is told elsewhere."""
    refused = {one.version for one in evidence.attempts if one.sent or one.joined}
    cause = cause_of(ways_of(peer, version, outward))
    if cause and ((peer.refused and not outward) or version in refused):
        return None
    if cause == "receiver-firewall" and not outward and peer.replies_lost:
        return "replies-dropped"
    return cause


def _health(evidence: Evidence, peer: Peer) -> Iterator[Finding]:
    """What the peer tells of its computer."""
    if peer.refused:
        seen = f"the system of {peer.name} refuses what it sends to the group"
        remedy = f"on {peer.address}: allow outgoing UDP to the group"
        commands = remedies.allow_outgoing(evidence)
        yield Finding(Status.FAIL, "sender-firewall", seen, remedy, commands, peer.address)
    if peer.overflowed:
        seen = f"the computer of {peer.name} drops datagrams that mcast does not read in time"
        commands = remedies.larger_buffer(evidence)
        yield Finding(
            Status.WARN, "receive-buffer", seen, f"on {peer.address}: allow larger buffers", commands
        )
    if peer.skew is not None and abs(peer.skew) > SKEW:
        seen = f"the clock of {peer.name} differs from ours by {abs(peer.skew):.0f} s"
        yield Finding(Status.WARN, "clock-skew", seen, "set both clocks: timedatectl set-ntp true")


def _sizes(evidence: Evidence, peer: Peer) -> Iterator[Finding]:
    """Small datagrams pass and large ones do not."""
    for cell in peer.cells:
        small = peer.passed(cell.version, cell.outward, cell.path)
        if small and cell.size in (MIDDLE, LARGE) and cell.passed is False:
            way = f"{'to' if cell.outward else 'from'} {peer.name} by {cell.path}"
            seen = f"{cell.size} bytes do not pass {way} (IPv{cell.version}), small datagrams do"
            remedy = "use the same MTU everywhere on the LAN; mcast sends smaller datagrams meanwhile"
            commands = remedies.set_mtu(evidence, peer.interface)
            yield Finding(Status.FAIL, "mtu", seen, remedy, commands)
            return


def _words(peer: Peer, outward: bool) -> str:
    return f"to {peer.name}" if outward else f"from {peer.name}"


Make = Callable[[Evidence, Peer, int, bool], Finding]


def _no_querier(evidence: Evidence, peer: Peer, version: int, outward: bool) -> Finding:
    where = peer.name if outward else "this computer"
    seen = f"a group that was just joined reaches {where}, the one it joined long ago does not (IPv{version})"
    remedy = "switch the IGMP querier on in the switch or router, or snooping off; mcast rejoins every 50 s"
    return Finding(Status.FAIL, "no-querier", seen, remedy)


def _igmp(evidence: Evidence, peer: Peer, version: int, outward: bool) -> Finding:
    where = peer.address if outward else "this computer"
    seen = f"{where} gets 224.0.0.x, which no switch filters, but no group that it joins (IPv{version})"
    remedy = f"on {where}: let IGMP out, so that the switch learns of its groups"
    return Finding(Status.FAIL, "igmp-blocked", seen, remedy, remedies.allow_igmp(evidence))


def _switch(evidence: Evidence, peer: Peer, version: int, outward: bool) -> Finding:
    seen = f"unicast passes {_words(peer, outward)}, multicast does not (IPv{version})"
    remedy = "let the switch or access point pass multicast; until then: mcast chat --peer " + peer.address
    return Finding(Status.FAIL, "switch-drops-multicast", seen, remedy)


def _firewall(evidence: Evidence, peer: Peer, version: int, outward: bool) -> Finding:
    where = peer.address if outward else "this computer"
    seen = f"nothing that it did not ask for reaches {where}, by multicast or broadcast (IPv{version})"
    remedy = f"on {where}: allow incoming UDP at the group's port"
    commands, elsewhere = remedies.allow_incoming(evidence), peer.address if outward else ""
    return Finding(Status.FAIL, "receiver-firewall", seen, remedy, commands, elsewhere)


def _replies(evidence: Evidence, peer: Peer, version: int, outward: bool) -> Finding:
    seen = f"questions to the group reach {peer.name}, its unicast answers to them do not reach this computer"
    remedy = "allow incoming UDP at the group's port: the firewall takes answers to multicast for unasked"
    return Finding(Status.FAIL, "replies-dropped", seen, remedy, remedies.allow_incoming(evidence))


FINDINGS: dict[str, Make] = {
    "no-querier": _no_querier,
    "igmp-blocked": _igmp,
    "switch-drops-multicast": _switch,
    "receiver-firewall": _firewall,
    "replies-dropped": _replies,
}
