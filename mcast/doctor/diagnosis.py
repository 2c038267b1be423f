"""From evidence to causes: a decision table. One row a cause, the one that explains most first.

Each row is a pure function of the evidence that gives findings, or none if it has nothing to say. A finding
of WARN or FAIL is a diagnosis. What was not seen is UNKNOWN, never OK.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from . import remedies
from .addresses import is_near
from .evidence import Attempt, Evidence, Link
from .finding import Finding, Status
from .pairs import SKEW, with_peers

SMALL_MTU = 1500
LOST_SHARE, LOST_LEAST = 0.01, 10
"""Of all datagrams, and how many: what the kernel drops for want of buffer before it is worth a word."""
NO_ROUTE = {"ENETUNREACH", "ENODEV", "EACCES", "EINVAL", "EADDRNOTAVAIL"}
FORBIDDEN = {"EPERM"}
LOCAL_NETWORK = {"EHOSTUNREACH", "EPERM", "EACCES"}
"""What macOS answers to a program that may not use the local network."""


class Diagnosis(msgspec.Struct, frozen=True):
    """All findings in the order of the table, and one sentence about them."""

    findings: tuple[Finding, ...]

    @property
    def wrong(self) -> tuple[Finding, ...]:
        """What is wrong, the worst first."""
        failed = [one for one in self.findings if one.status is Status.FAIL]
        return (*failed, *(one for one in self.findings if one.status is Status.WARN))

    @property
    def sentence(self) -> str:
        """The diagnosis in one sentence."""
        if self.wrong:
            first = self.wrong[0]
            more = len({one.cause for one in self.wrong} - {first.cause})
            rest = f" ({more} more below)" if more else ""
            sentence = SENTENCES.get(first.cause, first.cause)
            if first.where:
                sentence = sentence.replace(HERE, f"the computer at {first.where}")
            return f"{sentence}{rest}"
        return "nothing is wrong as far as can be seen from here"


HERE = "this computer"
SENTENCES = {
    "no-interface": "this computer has no network interface that mcast could use",
    "link-down": "the network interface is down or its cable is unplugged",
    "unicast-only": "the only way out of this computer is a tunnel, and tunnels carry no multicast",
    "not-permitted": "the system does not let this program join the group",
    "port-taken": "another program holds the group's port and does not share it",
    "local-network": "this program may not use the local network",
    "sender-firewall": "a firewall of this computer refuses what it sends to the group",
    "no-route": "this computer has no route for multicast",
    "wrong-interface": "multicast of programs that name no interface leaves by the wrong one",
    "receiver-firewall": "a firewall of this computer drops what arrives from the group",
    "rp-filter": "the reverse path filter of this computer drops what comes from foreign addresses",
    "receive-buffer": "a program reads too slowly or has too small a buffer, and the kernel drops datagrams",
    "mtu": "the MTU is too small for full-size datagrams",
    "no-querier": "a switch on the way forgets who is in a group, as nobody asks for members",
    "igmp-blocked": "membership reports do not get out, so a switch on the way withholds the group",
    "switch-drops-multicast": "a switch or access point on the way drops multicast",
    "client-isolation": "the network keeps this computer and that one apart, or that one is off",
    "replies-dropped": "a firewall of this computer drops the answers to what it asks the group",
    "ttl": "a router is on the way, and datagrams do not cross it unless told to",
    "no-ipv6": "IPv6 multicast does not work here, IPv4 does",
    "two-subnets": "computers on this wire are in another IP network",
    "other-room": "others are here, but in another room, or with another key",
    "other-version": "others are here, but run another version of mcast",
    "no-answers": "others are heard, but nobody answers what this computer asks",
    "clock-skew": "a clock is wrong",
    "partly-heard": "not everybody hears everybody else in the group",
}
"""Cause to what is said first about it; `this computer` is another one if the finding tells."""


def diagnose(evidence: Evidence) -> Diagnosis:
    """The causes that the evidence shows. Pure."""
    return Diagnosis(tuple(finding for rule in TABLE for finding in rule(evidence)))


# The rows. Each looks only at the evidence, never at another row.


def interface(evidence: Evidence) -> Iterator[Finding]:
    """Is there an interface to use?"""
    used = evidence.used
    if used and not all(link.loopback for link in used):
        names = ", ".join(f"{link.name} ({link.reason})" for link in used)
        yield Finding(Status.OK, "no-interface", f"used: {names}")
        return
    outer = [link for link in evidence.links if not link.loopback]
    tunnels = [link for link in outer if link.tunnel and link.up and link.addresses]
    down = [link for link in outer if not link.up and not link.tunnel]
    if tunnels:
        remedy = "name the other computer's address in the tunnel: mcast chat --peer ADDRESS"
        yield Finding(Status.FAIL, "unicast-only", f"only {_names(tunnels)} leads out", remedy)
    elif down:
        for link in down:
            commands = remedies.bring_up(evidence, link.name)
            yield Finding(
                Status.FAIL,
                "link-down",
                f"{link.name} is down or has no carrier",
                "plug in the cable",
                commands,
            )
    else:
        why = "; ".join(f"{link.name}: {link.reason}" for link in evidence.links) or "there is none"
        yield Finding(Status.FAIL, "no-interface", why, "connect a network; see: mcast interfaces")


def place(evidence: Evidence) -> Iterator[Finding]:
    """Is this computer where multicast seldom gets out? Only a guess, so it is told while none passes."""
    cells = evidence.peer.cells if evidence.peer is not None else ()
    passes = any(cell.passed and cell.path == "group" for cell in cells)
    if evidence.heard or passes or not evidence.place:
        return
    if evidence.place == "docker":
        remedy = "if nobody is ever heard, run the container with the host's network"
        commands: tuple[str, ...] = ("docker run --network host …",)
        yield Finding(Status.UNKNOWN, "docker", "this is a container", remedy, commands)
    elif evidence.place == "wsl":
        remedy = "if nobody is ever heard, switch to mirrored networking in %UserProfile%\\.wslconfig"
        commands = ("[wsl2]", "networkingMode=mirrored", "wsl --shutdown")
        yield Finding(Status.UNKNOWN, "wsl", "the kernel is Microsoft's: this is WSL2", remedy, commands)
    else:
        remedy = "most cloud networks carry no multicast: use --peer ADDRESS between the machines"
        yield Finding(Status.UNKNOWN, "cloud", f"the hardware is {evidence.place}'s", remedy)


def port(evidence: Evidence) -> Iterator[Finding]:
    """Can we share the group's port?"""
    if evidence.port.refused:
        who = ", ".join(evidence.port.holders) or "another program"
        remedy = "stop it, let it set SO_REUSEADDR (not SO_REUSEPORT), or use another port: --port"
        commands = remedies.who_holds(evidence)
        yield Finding(
            Status.FAIL, "port-taken", f"{who} holds port {evidence.port.number} alone", remedy, commands
        )
    elif any(not attempt.joined for attempt in evidence.attempts):
        yield Finding(Status.OK, "port-taken", f"port {evidence.port.number} can be shared")


def joining(evidence: Evidence) -> Iterator[Finding]:
    """Does the system let us join the group on each interface?"""
    for attempt in evidence.attempts:
        if attempt.joined in ("EPERM", "EACCES"):
            seen = f"joining on {_where(attempt)}: {attempt.joined}"
            yield Finding(Status.FAIL, "not-permitted", seen, "allow UDP and multicast in the sandbox")
        elif attempt.joined and not evidence.port.refused:
            seen = f"joining on {_where(attempt)}: {attempt.joined}"
            yield Finding(Status.FAIL, "no-route", seen, "check: mcast interfaces")


def sending(evidence: Evidence) -> Iterator[Finding]:
    """Does the system let us send to the group by each interface?"""
    sent = [attempt for attempt in evidence.attempts if not attempt.joined]
    failed = [attempt for attempt in sent if attempt.sent]
    for attempt in failed:
        seen = f"sending by {_where(attempt)}: {attempt.sent}"
        if evidence.system == "darwin" and attempt.sent in LOCAL_NETWORK:
            remedy = "allow it in System Settings, Privacy & Security, Local Network"
            yield Finding(Status.FAIL, "local-network", seen, remedy, remedies.allow_outgoing(evidence))
        elif attempt.sent in FORBIDDEN:
            remedy = "allow UDP to the group in the firewall's output rules"
            yield Finding(Status.FAIL, "sender-firewall", seen, remedy, remedies.allow_outgoing(evidence))
        elif attempt.version == 6 and attempt.sent in NO_ROUTE and _ipv4_works(sent):
            yield Finding(Status.WARN, "no-ipv6", seen, "use -4, or repair IPv6: ip -6 route show table all")
        elif attempt.sent in NO_ROUTE:
            remedy = "remove the route that forbids it, or add one"
            yield Finding(Status.FAIL, "no-route", seen, remedy, remedies.add_route(evidence))
        else:
            yield Finding(Status.FAIL, "no-route", seen, "see what the interface says: mcast interfaces")
    if sent and not failed:
        yield Finding(Status.OK, "sender-firewall", f"questions left by {_all(sent)}")


def routes(evidence: Evidence) -> Iterator[Finding]:
    """Where does the multicast of other programs go, which name no interface?"""
    route = evidence.routes.get(4)
    if route is None or all(link.loopback for link in evidence.used):
        return
    remedy = "mcast names the interface and is not affected; tutorials and many programs are. Add a route"
    used = {link.name for link in evidence.used}
    if route.error:
        seen = f"a program that names no interface gets {route.error}"
        yield Finding(Status.WARN, "no-route", seen, remedy, remedies.add_route(evidence))
    elif used and route.interface and route.interface not in used:
        seen = (
            f"a program that names no interface uses {route.interface}, mcast uses {', '.join(sorted(used))}"
        )
        yield Finding(Status.WARN, "wrong-interface", seen, remedy, remedies.add_route(evidence))
    elif route.interface:
        yield Finding(Status.OK, "no-route", f"the route for multicast leads to {route.interface}")


def receiving(evidence: Evidence) -> Iterator[Finding]:
    """Does our own copy come in? It takes the way through the firewall that those of others take."""
    asked = [one for one in evidence.attempts if not one.joined and not one.sent and one.looped is not None]
    heard = {one.interface for one in evidence.heard}
    deaf = [attempt for attempt in asked if not attempt.looped and attempt.interface not in heard]
    odd = [attempt for attempt in asked if not attempt.looped and attempt.interface in heard]
    stateful = evidence.peer is not None and evidence.peer.reached
    if deaf and stateful:
        # The row of the peer has named it: answers by unicast come in, so it is not all that is dropped.
        seen = f"what was sent by {_all(deaf)} did not come back, but the peer's unicast does"
        yield Finding(Status.UNKNOWN, "receiver-firewall", seen)
    elif deaf:
        seen = f"what was sent by {_all(deaf)} did not come back to this computer"
        remedy = "allow incoming UDP at the group's port"
        yield Finding(Status.FAIL, "receiver-firewall", seen, remedy, remedies.allow_incoming(evidence))
    if odd:
        seen = f"what was sent by {_all(odd)} did not come back, but others are heard there"
        yield Finding(Status.UNKNOWN, "receiver-firewall", seen)
    if asked and not deaf and not odd:
        yield Finding(Status.OK, "receiver-firewall", "our own copy came back on every interface")


def reverse_path(evidence: Evidence) -> Iterator[Finding]:
    """Did the reverse path filter drop packets while we looked?"""
    new = evidence.after.reverse_path - evidence.before.reverse_path
    if new > 0:
        seen = f"the reverse path filter dropped {new} packets just now"
        remedy = "give the computers addresses in one network, or make the filter loose"
        yield Finding(Status.FAIL, "rp-filter", seen, remedy, remedies.loose_reverse_path(evidence))
    elif evidence.system == "linux":
        yield Finding(Status.OK, "rp-filter", "the reverse path filter dropped nothing just now")


def buffers(evidence: Evidence) -> Iterator[Finding]:
    """Does the kernel drop datagrams that programs do not read in time?"""
    lost = evidence.after.overflowed
    all_of_them = lost + evidence.after.received
    remedy = "let the program read faster or ask for a larger buffer (SO_RCVBUF), and allow one"
    commands = remedies.larger_buffer(evidence)
    if evidence.port.dropped:
        seen = f"{evidence.port.dropped} datagrams at port {evidence.port.number} were dropped"
        yield Finding(Status.WARN, "receive-buffer", seen, remedy, commands)
    elif lost >= LOST_LEAST and lost >= LOST_SHARE * all_of_them:
        seen = f"{lost} of {all_of_them} datagrams of all programs were dropped since the start"
        yield Finding(Status.WARN, "receive-buffer", seen, remedy, commands)
    elif evidence.system == "linux":
        yield Finding(Status.OK, "receive-buffer", f"{lost} of {all_of_them} datagrams were dropped")


def mtu(evidence: Evidence) -> Iterator[Finding]:
    """Do full-size datagrams fit through our interfaces?"""
    for link in evidence.used:
        if not link.loopback and not link.tunnel and link.mtu < SMALL_MTU:
            seen = f"the MTU of {link.name} is {link.mtu}; larger packets of others are lost"
            commands = remedies.set_mtu(evidence, link.name)
            yield Finding(Status.WARN, "mtu", seen, "set the same MTU everywhere on the LAN", commands)


def snooping(evidence: Evidence) -> Iterator[Finding]:
    """Is there an IGMP querier? Only a snooping switch needs one."""
    if evidence.peer is not None and evidence.peer.reached:
        return
    outer = [link for link in evidence.used if not link.loopback]
    asked = [link.name for link in outer if link.querier]
    if asked:
        yield Finding(Status.OK, "no-querier", f"an IGMP querier was heard on {', '.join(asked)}")
    elif outer:
        seen = "no IGMP query of version 1 or 2 in 260 s; newer ones leave no trace here"
        yield Finding(Status.UNKNOWN, "no-querier", seen, "measure it with a peer: mcast doctor --with PEER")


def rooms(evidence: Evidence) -> Iterator[Finding]:
    """Are others here whom we cannot understand?"""
    for room, cause, remedy in (
        ("other", "other-room", "compare --room, --key-file and --group on both sides"),
        ("version", "other-version", "install the same version on both sides: mcast --version"),
    ):
        others = sorted({one.address for one in evidence.heard if one.room == room})
        if others and not evidence.ours and evidence.peer is None:
            seen = f"heard from {', '.join(others[:3])}, nobody in this room"
            yield Finding(Status.WARN, cause, seen, remedy)


def networks(evidence: Evidence) -> Iterator[Finding]:
    """Is somebody on our wire with an address of another IP network?"""
    links = {link.name: link for link in evidence.links}
    for one in evidence.heard:
        link = links.get(one.interface)
        if link is None or ":" in one.address or not link.networks or link.loopback:
            continue
        if one.address not in link.addresses and not is_near(link.networks, one.address):
            seen = f"{one.address} is heard on {link.name}, which is in {', '.join(_of(4, link.networks))}"
            remedy = "give both computers addresses in one network"
            yield Finding(Status.WARN, "two-subnets", seen, remedy)


def people(evidence: Evidence) -> Iterator[Finding]:
    """Is anybody heard, and does anybody answer? Measured with a peer, that says more."""
    if evidence.peer is not None:
        return
    ours = {one.address: one.name for one in evidence.ours}
    names = ", ".join(dict.fromkeys(name or address for address, name in ours.items()))
    asked = [attempt for attempt in evidence.attempts if not attempt.joined and not attempt.sent]
    answered = {address for attempt in asked for address in attempt.answered}
    if ours and asked and not answered:
        seen = f"heard {names}, but no answer came by unicast to what we asked the group"
        remedy = "find out which direction fails: mcast doctor --with ADDRESS"
        yield Finding(Status.WARN, "no-answers", seen, remedy, remedies.allow_incoming(evidence))
    elif ours:
        yield Finding(Status.OK, "no-answers", f"heard {names}; {len(answered)} answered")
    else:
        seen = "nobody was heard in this room"
        remedy = "start mcast chat on another computer, then: mcast doctor --with its ADDRESS"
        yield Finding(Status.UNKNOWN, "no-answers", seen, remedy)


def clocks(evidence: Evidence) -> Iterator[Finding]:
    """Do the clocks agree?"""
    for one in evidence.ours if evidence.peer is None else ():
        if one.skew is not None and abs(one.skew) > SKEW:
            ahead = "ahead" if one.skew > 0 else "behind"
            seen = f"the clock of {one.name or one.address} is {abs(one.skew):.0f} s {ahead} of ours"
            yield Finding(Status.WARN, "clock-skew", seen, "set both clocks: timedatectl set-ntp true")


def hearing(evidence: Evidence) -> Iterator[Finding]:
    """Of several peers: does everybody hear everybody in the group?"""
    names = list(dict.fromkeys(pair.speaker for pair in evidence.hears))
    heard = {(pair.speaker, pair.hearer): pair.heard for pair in evidence.hears}
    lost = {pair for pair, passed in heard.items() if passed is False}
    dumb = [one for one in names if _none({p: passed for p, passed in heard.items() if p[0] == one})]
    deaf = [one for one in names if _none({p: passed for p, passed in heard.items() if p[1] == one})]
    for one in dumb:
        yield _partly(f"nobody hears {one or HERE} in the group", one)
    for one in deaf:
        yield _partly(f"{one or HERE} hears nobody in the group", one)
    for speaker, hearer in sorted(lost):
        if speaker not in dumb and hearer not in deaf:
            seen = f"{hearer or HERE} does not hear {speaker or HERE} in the group"
            yield _partly(seen, hearer or speaker)
    if not names or lost:
        return
    untold = sorted({hearer or HERE for (_, hearer), passed in heard.items() if passed is None})
    if untold:
        seen = f"whom {', '.join(untold)} can hear could not be found out"
        yield Finding(Status.UNKNOWN, "partly-heard", seen, "run mcast doctor there")
    else:
        seen = f"{len(names) - 1} peers and {HERE} hear each other"
        yield Finding(Status.OK, "partly-heard", seen)


def _none(heard: Mapping[tuple[str, str], bool | None]) -> bool:
    """Whether something is known, and all that is known failed."""
    known = [passed for passed in heard.values() if passed is not None]
    return bool(known) and not any(known)


def _partly(seen: str, name: str) -> Finding:
    remedy = (
        f"measure it: mcast doctor --with {name}"
        if name
        else "measure it with a peer: mcast doctor --with PEER"
    )
    return Finding(Status.WARN, "partly-heard", seen, remedy)


Rule = Callable[[Evidence], Iterable[Finding]]
TABLE: tuple[Rule, ...] = (
    interface,
    place,
    port,
    joining,
    sending,
    reverse_path,
    with_peers,
    hearing,
    receiving,
    routes,
    rooms,
    networks,
    people,
    mtu,
    buffers,
    snooping,
    clocks,
)
"""The rows, in the order in which a cause explains the others."""


def _of(version: int, networks: Iterable[str]) -> list[str]:
    return [text for text in networks if (":" in text) == (version == 6)]


def _names(links: Iterable[Link]) -> str:
    return ", ".join(link.name for link in links)


def _where(attempt: Attempt) -> str:
    return f"{attempt.interface} (IPv{attempt.version})"


def _all(attempts: Iterable[Attempt]) -> str:
    return ", ".join(map(_where, attempts))


def _ipv4_works(attempts: Iterable[Attempt]) -> bool:
    return any(attempt.version == 4 and not attempt.sent for attempt in attempts)
