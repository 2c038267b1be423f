"""What the matrix of ways to a peer and back tells."""

from __future__ import annotations

from itertools import product

import msgspec
import pytest

from mcast.doctor.diagnosis import diagnose
from mcast.doctor.evidence import LARGE, MIDDLE, SIZES, SMALL, Attempt, Cell, Counters, Evidence, Heard, Peer
from mcast.doctor.pairs import Ways, cause_of
from tests.unit.doctor.test_diagnosis import HEALTHY

PATHS = ("unicast", "group", "scoped", "local", "broadcast")
IN4, OUT4, IN6, OUT6 = (4, False), (4, True), (6, False), (6, True)


def cells(**lost: str) -> tuple[Cell, ...]:
    """All cells passed but for those of `lost`: by direction, the paths that fail ("?path": not tried)."""
    made = []
    names = {"out4": OUT4, "in4": IN4, "out6": OUT6, "in6": IN6}
    for name, (version, outward) in names.items():
        words = lost.get(name, "").split()
        for path in PATHS if version == 4 else PATHS[:-1]:
            passed = None if f"?{path}" in words else path not in words
            made += [Cell(version, outward, path, size, passed) for size in SIZES]
    return tuple(made)


def peer(**changes: object) -> Peer:
    plain = Peer(
        name="bob", address="10.9.0.2", interface="eth0", neighbour=True, reached=True, cells=cells()
    )
    return msgspec.structs.replace(plain, **changes)


def causes(one: Peer, **changes: object) -> list[tuple[str, str]]:
    evidence = msgspec.structs.replace(HEALTHY, peer=one, **changes)
    return [(found.status.value, found.cause) for found in diagnose(evidence).wrong]


MULTICAST = "group scoped local"
ALL = f"{MULTICAST} broadcast"
SILENT = peer(reached=False, cells=())
NOBODY: tuple[Heard, ...] = ()
MATRIX: dict[str, tuple[Peer, list[tuple[str, str]]]] = {
    "healthy": (peer(), []),
    "no IPv6 there": (peer(cells=tuple(cell for cell in cells() if cell.version == 4)), []),
    "the switch forgot it": (peer(cells=cells(out4="group", out6="group")), [("FAIL", "no-querier")]),
    "the switch forgot us": (peer(cells=cells(in4="group", in6="group")), [("FAIL", "no-querier")]),
    "its reports do not get out": (
        peer(cells=cells(out4="group scoped")),
        [("FAIL", "igmp-blocked")],
    ),
    "ours do not get out": (peer(cells=cells(in4="group scoped")), [("FAIL", "igmp-blocked")]),
    "the switch drops": (
        peer(cells=cells(out4=MULTICAST, out6=MULTICAST)),
        [("FAIL", "switch-drops-multicast")],
    ),
    "the switch drops, broadcast not tried": (
        peer(cells=cells(out4=f"{MULTICAST} ?broadcast")),
        [("FAIL", "switch-drops-multicast")],
    ),
    "its firewall takes answers only": (peer(cells=cells(out4=ALL)), [("FAIL", "receiver-firewall")]),
    "ours does": (peer(cells=cells(in4=ALL)), [("FAIL", "receiver-firewall")]),
    "ours does, and answers to the group are lost": (
        peer(cells=cells(in4=ALL, in6=MULTICAST), replies_lost=True),
        [("FAIL", "replies-dropped"), ("FAIL", "switch-drops-multicast")],
    ),
    "answers to the group are lost": (peer(replies_lost=True), [("FAIL", "replies-dropped")]),
    "IPv6 alone fails": (peer(cells=cells(out6=MULTICAST)), [("WARN", "no-ipv6")]),
    "large ones are lost": (
        peer(
            cells=tuple(
                msgspec.structs.replace(cell, passed=cell.size != LARGE) if cell.outward else cell
                for cell in cells()
            )
        ),
        [("FAIL", "mtu")],
    ),
    "its system refuses": (
        peer(refused=True, cells=cells(in4=MULTICAST, in6=MULTICAST)),
        [("FAIL", "sender-firewall")],
    ),
    "it reads too slowly": (peer(overflowed=True), [("WARN", "receive-buffer")]),
    "its clock is off": (peer(skew=100.0), [("WARN", "clock-skew")]),
    "a router": (msgspec.structs.replace(SILENT, gateway=True, near=False), [("FAIL", "ttl")]),
    "a tunnel": (peer(tunnel=True), [("WARN", "unicast-only")]),
    "another network": (msgspec.structs.replace(SILENT, near=False), [("FAIL", "two-subnets")]),
    "another room": (msgspec.structs.replace(SILENT, foreign=True), [("FAIL", "other-room")]),
    "it hears nothing": (msgspec.structs.replace(SILENT, heard=True), [("FAIL", "receiver-firewall")]),
    "nobody answers ARP": (msgspec.structs.replace(SILENT, neighbour=False), [("FAIL", "client-isolation")]),
    "it is there and silent": (SILENT, [("FAIL", "receiver-firewall")]),
    "nothing is known": (msgspec.structs.replace(SILENT, neighbour=None), []),
}


@pytest.mark.parametrize("name", MATRIX)
def test_each_pattern_has_its_cause(name: str) -> None:
    one, expected = MATRIX[name]
    heard = {} if one.reached else {"heard": NOBODY}
    assert causes(one, **heard) == expected


def test_other_evidence_explains_more() -> None:
    """What our own system refuses or drops is not blamed on the way."""
    refused = (Attempt("eth0", 4, sent="EPERM"), Attempt("eth0", 6, looped=True))
    lost = peer(cells=cells(out4=MULTICAST))
    assert causes(lost, attempts=refused) == [("FAIL", "sender-firewall")]
    deaf = (Attempt("eth0", 4, looped=False),)
    assert causes(SILENT, attempts=deaf, heard=NOBODY) == [("FAIL", "receiver-firewall")]
    assert causes(peer(), attempts=deaf, heard=NOBODY) == []
    filtered = {"after": Counters(reverse_path=1), "heard": NOBODY}
    far = msgspec.structs.replace(SILENT, gateway=True, near=False, neighbour=None)
    assert causes(far, **filtered) == [("FAIL", "rp-filter")]
    version = (Heard("10.9.0.2", "eth0", "version"),)
    assert causes(SILENT, heard=version) == [("FAIL", "other-version")]


@pytest.mark.parametrize(
    ("one", "whose"),
    [
        (SILENT, "the computer at 10.9.0.2"),
        (peer(cells=cells(out4=ALL)), "the computer at 10.9.0.2"),
        (peer(cells=cells(in4=ALL)), "this computer"),
    ],
    ids=["it is silent", "its firewall", "our firewall"],
)
def test_the_diagnosis_says_whose_firewall_it_is(one: Peer, whose: str) -> None:
    evidence = msgspec.structs.replace(HEALTHY, peer=one, **({} if one.reached else {"heard": NOBODY}))
    sentence = f"a firewall of {whose} drops what arrives from the group"
    assert diagnose(evidence).sentence == sentence


def test_too_little_is_unknown() -> None:
    one = peer(cells=(Cell(4, True, "unicast", SMALL, True),))
    found = diagnose(msgspec.structs.replace(HEALTHY, peer=one)).findings
    assert ("UNKNOWN", "ways") in [(each.status.value, each.cause) for each in found]


def test_a_direction_with_a_fault_is_never_called_fine() -> None:
    """Whatever fails while unicast passes, there is a cause, or too little is known."""
    for signs in product((True, False, None), repeat=4):
        ways = Ways(True, *signs)
        if False in signs[:3]:
            assert cause_of(ways) != ""
        if None not in signs[:2] and not signs[0]:
            assert cause_of(ways)


def test_the_middle_size_counts_too() -> None:
    lost = tuple(
        msgspec.structs.replace(cell, passed=False) if cell.size == MIDDLE and cell.path == "group" else cell
        for cell in cells()
    )
    evidence: Evidence = msgspec.structs.replace(HEALTHY, peer=peer(cells=lost))
    (found,) = diagnose(evidence).wrong
    assert found.cause == "mtu"
    assert found.seen == "1200 bytes do not pass to bob by group (IPv4), small datagrams do"
