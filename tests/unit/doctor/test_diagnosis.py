"""The decision table: evidence in, causes out."""

from __future__ import annotations

import msgspec
import pytest

from mcast.doctor.diagnosis import SENTENCES, diagnose
from mcast.doctor.evidence import (
    SMALL,
    Attempt,
    Cell,
    Counters,
    Evidence,
    Heard,
    Hears,
    Link,
    Peer,
    Port,
    Route,
)
from mcast.doctor.finding import Status

ETH0 = Link("eth0", True, "default route", addresses=("10.9.0.1",), networks=("10.9.0.0/16",))
LO = Link("lo", False, "loopback", loopback=True, addresses=("127.0.0.1",), networks=("127.0.0.0/8",))
WG0 = Link("wg0", False, "tunnel", tunnel=True, addresses=("10.8.0.1",), networks=("10.8.0.1/32",))
ASKED = Attempt("eth0", 4, looped=True, answered=("10.9.0.2",))
ASKED6 = Attempt("eth0", 6, looped=True)
BOB = Heard("10.9.0.2", "eth0", name="bob", skew=0.1)
HEALTHY = Evidence(
    system="linux",
    group="230.0.0.1",
    port=Port(28003),
    links=(LO, ETH0),
    attempts=(ASKED, ASKED6),
    routes={4: Route(interface="eth0")},
    heard=(BOB,),
    after=Counters(received=100),
)


def seen(**changes: object) -> Evidence:
    return msgspec.structs.replace(HEALTHY, **changes)


def causes(evidence: Evidence) -> list[tuple[str, str]]:
    return [(one.status.value, one.cause) for one in diagnose(evidence).wrong]


def unknown(evidence: Evidence) -> set[str]:
    return {one.cause for one in diagnose(evidence).findings if one.status is Status.UNKNOWN}


def test_nothing_is_wrong_with_a_healthy_lan() -> None:
    found = diagnose(HEALTHY)
    assert found.wrong == ()
    assert found.sentence == "nothing is wrong as far as can be seen from here"
    assert unknown(HEALTHY) == {"no-querier"}


DOWN = msgspec.structs.replace(ETH0, up=False, used=False, reason="down")
REFUSED = Attempt("eth0", 4, sent="EPERM")
WRONG: dict[str, tuple[Evidence, list[tuple[str, str]]]] = {
    "no interface": (seen(links=(LO,), attempts=(), heard=(), routes={}), [("FAIL", "no-interface")]),
    "nothing at all": (seen(links=(), attempts=(), heard=(), routes={}), [("FAIL", "no-interface")]),
    "loopback alone": (
        seen(links=(msgspec.structs.replace(LO, used=True),), attempts=(), heard=(), routes={}),
        [("FAIL", "no-interface")],
    ),
    "unplugged": (
        seen(links=(LO, DOWN), attempts=(), heard=(), routes={4: Route(error="ENETUNREACH")}),
        [("FAIL", "link-down")],
    ),
    "a tunnel alone": (seen(links=(LO, WG0), attempts=(), heard=(), routes={}), [("FAIL", "unicast-only")]),
    "the port is taken": (
        seen(
            port=Port(28003, True, ("python3 (process 7)",)),
            attempts=(Attempt("eth0", 4, joined="EADDRINUSE"),),
            heard=(),
        ),
        [("FAIL", "port-taken")],
    ),
    "a sandbox": (
        seen(attempts=(Attempt("eth0", 4, joined="EPERM"),), heard=()),
        [("FAIL", "not-permitted")],
    ),
    "no membership": (
        seen(attempts=(Attempt("eth0", 4, joined="ENODEV"),), heard=()),
        [("FAIL", "no-route")],
    ),
    "the sender's firewall": (
        seen(attempts=(REFUSED, ASKED6)),
        [("FAIL", "sender-firewall"), ("WARN", "no-answers")],
    ),
    "macOS": (
        seen(system="darwin", attempts=(Attempt("en0", 4, sent="EHOSTUNREACH"),), heard=(), routes={}),
        [("FAIL", "local-network")],
    ),
    "a prohibited route": (
        seen(attempts=(Attempt("eth0", 4, sent="EACCES"),), heard=(), routes={4: Route(error="EACCES")}),
        [("FAIL", "no-route"), ("WARN", "no-route")],
    ),
    "an unknown refusal": (
        seen(attempts=(Attempt("eth0", 4, sent="ENOBUFS"),), heard=()),
        [("FAIL", "no-route")],
    ),
    "IPv6 without a route": (
        seen(attempts=(ASKED, Attempt("eth0", 6, sent="ENETUNREACH"))),
        [("WARN", "no-ipv6")],
    ),
    "no route": (seen(routes={4: Route(error="ENETUNREACH")}), [("WARN", "no-route")]),
    "the VPN has the route": (
        seen(links=(LO, ETH0, WG0), routes={4: Route(interface="wg0")}),
        [("WARN", "wrong-interface")],
    ),
    "our own firewall": (
        seen(attempts=(Attempt("eth0", 4, looped=False),), heard=()),
        [("FAIL", "receiver-firewall")],
    ),
    "the reverse path filter": (
        seen(heard=(), before=Counters(reverse_path=3), after=Counters(reverse_path=5)),
        [("FAIL", "rp-filter")],
    ),
    "a buffer that was too small": (
        seen(after=Counters(received=32, overflowed=468)),
        [("WARN", "receive-buffer")],
    ),
    "a slow program at our port": (seen(port=Port(28003, dropped=1)), [("WARN", "receive-buffer")]),
    "a small MTU": (seen(links=(LO, msgspec.structs.replace(ETH0, mtu=1400))), [("WARN", "mtu")]),
    "another room": (seen(heard=(Heard("10.9.0.2", "eth0", "other"),)), [("WARN", "other-room")]),
    "another version": (seen(heard=(Heard("10.9.0.2", "eth0", "version"),)), [("WARN", "other-version")]),
    "another network": (
        seen(heard=(BOB, Heard("192.168.55.1", "eth0", name="eve"))),
        [("WARN", "two-subnets")],
    ),
    "nobody answers": (
        seen(attempts=(Attempt("eth0", 4, looped=True), ASKED6)),
        [("WARN", "no-answers")],
    ),
    "a wrong clock": (
        seen(heard=(msgspec.structs.replace(BOB, skew=-3600.0),)),
        [("WARN", "clock-skew")],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_fault_is_named(name: str) -> None:
    evidence, expected = WRONG[name]
    assert causes(evidence) == expected
    found = diagnose(evidence)
    assert found.sentence.startswith(SENTENCES[expected[0][1]])
    assert all(one.remedy and one.seen for one in found.wrong)


def hears(*lost: tuple[str, str], unknown: tuple[tuple[str, str], ...] = ()) -> Evidence:
    """Ada, bob and this computer, with the pairs of who is not heard by whom."""
    names = ("ada", "bob", "")
    pairs = [(one, other) for one in names for other in names if one != other]
    return seen(hears=tuple(Hears(*p, None if p in unknown else p not in lost) for p in pairs))


def partly(evidence: Evidence) -> list[tuple[str, str]]:
    found = diagnose(evidence).findings
    return [(one.status.value, one.seen) for one in found if one.cause == "partly-heard"]


def test_who_hears_whom() -> None:
    assert partly(HEALTHY) == []
    assert partly(hears()) == [("OK", "2 peers and this computer hear each other")]
    deaf = hears(("ada", "bob"), ("", "bob"))
    assert partly(deaf) == [("WARN", "bob hears nobody in the group")]
    assert diagnose(deaf).sentence == SENTENCES["partly-heard"]
    assert partly(hears(("ada", "bob"), ("ada", ""))) == [("WARN", "nobody hears ada in the group")]
    assert partly(hears(("", "ada"), ("", "bob"))) == [("WARN", "nobody hears this computer in the group")]
    assert partly(hears(("ada", "bob"))) == [("WARN", "bob does not hear ada in the group")]
    untold = hears(unknown=(("ada", "bob"), ("", "bob")))
    assert partly(untold) == [("UNKNOWN", "whom bob can hear could not be found out")]
    silent = hears(unknown=(("ada", "bob"), ("ada", "")))
    assert partly(silent)[0][0] == "UNKNOWN", "nothing that is known failed"


def test_two_faults_are_both_named_the_one_that_explains_more_first() -> None:
    two = seen(attempts=(REFUSED,), heard=(), links=(LO, msgspec.structs.replace(ETH0, mtu=1400)))
    assert causes(two) == [("FAIL", "sender-firewall"), ("WARN", "mtu")]
    assert diagnose(two).sentence.endswith("(1 more below)")


@pytest.mark.parametrize("place", ["docker", "wsl", "Amazon"])
def test_a_place_without_multicast_is_a_guess_while_nobody_is_heard(place: str) -> None:
    cause = place if place in ("docker", "wsl") else "cloud"
    assert cause in unknown(seen(place=place, heard=()))
    assert cause not in unknown(seen(place=place))
    for passed in (True, False):
        ways = (Cell(4, True, "unicast", SMALL, True), Cell(4, True, "group", SMALL, passed))
        bob = Peer(name="bob", address="10.9.0.2", reached=True, cells=ways)
        assert (cause in unknown(seen(place=place, heard=(), peer=bob))) is not passed


def test_what_was_not_seen_is_unknown() -> None:
    assert unknown(seen(heard=())) == {"no-querier", "no-answers"}
    deaf = Attempt("eth0", 4, looped=False, answered=("10.9.0.2",))
    assert unknown(seen(attempts=(deaf,))) == {"no-querier", "receiver-firewall"}
    assert unknown(seen(links=(LO, msgspec.structs.replace(ETH0, querier=True)))) == set()


def test_no_proc_no_word_about_its_counters() -> None:
    checks = {one.cause for one in diagnose(seen(system="darwin")).findings}
    assert checks.isdisjoint({"rp-filter", "receive-buffer"})


def test_neighbours_of_a_link_without_known_networks_are_not_judged() -> None:
    vague = msgspec.structs.replace(ETH0, networks=())
    far = Heard("192.168.55.1", "eth0")
    assert causes(seen(links=(LO, vague), heard=(BOB, far))) == []
    own = Heard("10.9.0.1", "eth0")
    six = Heard("fe80::2", "eth0")
    assert causes(seen(heard=(BOB, own, six, Heard("10.9.0.3", "gone0")))) == []
