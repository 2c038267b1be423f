"""DNS-SD with its real counterparts, both ways and in both orders."""

from __future__ import annotations

import re

import pytest

from mcast.cli.formats import avahi_name
from tests import lab
from tests.lan import avahi

# 63 bytes, and cut to as many: a dot becomes its double, which takes three.
NAME = "we b; 2.0 ü🎉 " + "x" * 46
SHOWN = NAME.replace(".", "\u2024")[:-2]


@pytest.fixture
def hosts(lan: lab.MakeLan) -> list[lab.Host]:
    if lacking := avahi.missing():
        pytest.skip("needs " + ", ".join(lacking))
    return lan(hosts=3).hosts


def announcing(host: lab.Host, name: str, *words: str) -> lab.Process:
    process = host.mcast("announce", "-n", name, "--dnssd", *words)
    process.wait_for("announcing in", stream="stderr")
    return process


def test_avahi_sees_what_is_announced_and_its_end(hosts: list[lab.Host]) -> None:
    first, second, third = hosts
    daemon = avahi.Avahi(first)
    watching = daemon.browse("_http._tcp")
    web = announcing(second, NAME, "--service", "_http._tcp:80", "--tag", "a b=c;d", "--tag", "ü=ü")
    found = watching.wait_for(re.compile(r"^=;eth0;IPv4;(.*);_http\._tcp;local;.*$", re.MULTILINE))
    assert found[1] == avahi_name(SHOWN)
    assert found[0].split(";")[6:9] == [web_host(found[0]), "10.9.0.2", "80"]
    assert all(text in found[0] for text in ('"a b=c;d"', r'"\195\188=\195\188"', '"host=h2"', '"mcast=1.'))
    # A daemon that starts later, and one that has restarted.
    daemon.restart()
    lab.until(lambda: ";10.9.0.2;80;" in daemon.found("_http._tcp"))
    watching = daemon.browse("_http._tcp")
    watching.wait_for("=;eth0;IPv4")
    # The name of another is not taken, and the goodbye is said under the new one.
    publisher = daemon.publish("printer", "_ipp._tcp", 631)
    printers = daemon.browse("_ipp._tcp")
    mine = announcing(third, "printer", "--service", "_ipp._tcp:80")
    name = mine.wait_for(re.compile(r"announced as (printer·[0-9a-f]{4})"), stream="stderr")[1]
    lab.until(lambda: f";{avahi_name(name)};_ipp._tcp;local;" in daemon.found("_ipp._tcp"))
    assert mine.interrupt() == 0
    printers.wait_for(re.compile(rf"^-;eth0;IPv4;{re.escape(avahi_name(name))};", re.MULTILINE))
    assert ";printer;_ipp._tcp;local;h1.local;" in daemon.found("_ipp._tcp")
    # Avahi finds our name taken, too.
    other = daemon.publish(SHOWN, "_http._tcp", 81)
    assert "Name collision" in other.stderr
    assert web.interrupt() == 0
    watching.wait_for(re.compile(rf"^-;eth0;IPv4;{re.escape(avahi_name(SHOWN))};", re.MULTILINE))
    assert publisher.poll() is None


def web_host(line: str) -> str:
    """The host in the line, which is one of mcast's."""
    match = re.search(r";(h2-[0-9a-f]{8}\.local);", line)
    assert match
    return match[1]
