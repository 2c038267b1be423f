"""DNS-SD with its real counterparts, both ways and in both orders."""

from __future__ import annotations

import json
import re
import sys

import pytest

from mcast.cli.formats import avahi_name
from tests import lab
from tests.lan import avahi
from tests.lan.programs.hostile_dnssd import measure

# 63 bytes, and cut to as many: a dot becomes its double, which takes three.
NAME = "we b; 2.0 ü🎉 " + "x" * 46
SHOWN = NAME.replace(".", "\u2024")[:-2]
# The host is one of mcast's. Avahi shows any of its addresses.
WHERE = re.compile(r";h2-[0-9a-f]{8}\.local;(10\.9\.0\.2|fe80::9:ff:fe00:2);80;")


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
    assert WHERE.search(found[0])
    assert all(text in found[0] for text in ('"a b=c;d"', r'"\195\188=\195\188"', '"host=h2"', '"mcast=1.'))
    # A daemon that starts later, and one that has restarted.
    daemon.restart()
    lab.until(lambda: WHERE.search(daemon.found("_http._tcp")) is not None)
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


# python-zeroconf's own browser; then it offers what it has read of one peer of mcast, at a port of its own.
COPYING = """
import sys, time
from zeroconf import ServiceInfo, Zeroconf
found = None
with Zeroconf() as zeroconf:
    while found is None:
        found = zeroconf.get_service_info("_http._tcp.local.", "nas\\u2024box._http._tcp.local.", 1000)
    print(found.server, found.port, found.parsed_addresses()[0], found.properties[b"host"], flush=True)
    copy = ServiceInfo(found.type, "copy._http._tcp.local.", 81, properties=found.text, server=found.server,
                       parsed_addresses=found.parsed_addresses())
    zeroconf.register_service(copy)
    print("registered", flush=True)
    sys.stdin.read()
"""
# A device with UPnP. The description of the second is at somebody else's server.
ROUTER = """
import http.server, socket, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'''<root xmlns="urn:schemas-upnp-org:device-1-0"><device>
        <friendlyName>Router\\n+ fake</friendlyName>
        <deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType></device></root>'''
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)
server = http.server.HTTPServer(("", 5000), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.bind(("", 1900))
group = socket.inet_aton("239.255.255.250") + socket.inet_aton(sys.argv[1])
sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
print("ready", flush=True)
while True:
    data, source = sock.recvfrom(2000)
    if data.startswith(b"M-SEARCH"):
        for number, host in ((1, sys.argv[1]), (2, "10.9.0.2")):
            answer = f"HTTP/1.1 200 OK\\r\\nUSN: uuid:{number}::upnp:rootdevice\\r\\n"
            sock.sendto(f"{answer}LOCATION: http://{host}:5000/d.xml\\r\\n\\r\\n".encode(), source)
"""


def test_entries_of_avahi_and_zeroconf_and_devices_are_found(hosts: list[lab.Host]) -> None:
    first, second, third = hosts
    daemon = avahi.Avahi(first)
    before = daemon.publish("before", "_ipp._tcp", 631)
    watching = third.mcast("browse", "--dnssd", "--ssdp", "--json")
    watching.wait_for('"name":"before"', stream="stdout")
    name = "we b. 2;ü🎉\\\t" + "x" * 46
    after = daemon.publish(name, "_http._tcp", 80, "a=1", "flag", b"bin=\1\xff", "ü=ö", "e=")
    nas = announcing(second, "nas.box", "--service", "_http._tcp:8080")
    copying = second.spawn([sys.executable, "-c", COPYING])
    copying.wait_for("registered", stream="stdout")
    assert copying.lines()[0].split()[1:] == ["8080", "10.9.0.2", "b'h2'"]
    first.python(ROUTER, "10.9.0.1").wait_for("ready", stream="stdout")
    merged = watching.wait_for(
        re.compile(r'^.*"name":"nas\.box".*"origin":\["mcast","mdns"\].*$', re.MULTILINE)
    )
    assert json.loads(merged[0])["services"] == [{"type": "_http._tcp", "port": 8080}]

    def complete(process: lab.Process) -> bool:
        found = {one["from"]["name"]: one for one in process.objects()}
        return found.keys() >= {"before", name, "nas.box", "copy", "Router\n+ fake"}

    seen = lab.snapshot(third.mcast, "browse", "-t", "--dnssd", "--ssdp", "--json", complete=complete)
    found = {one["from"]["name"]: one for one in seen.objects()}
    assert len(seen.objects()) == len(found) == 6
    assert found["nas.box"]["origin"] == ["mcast", "mdns"]
    assert (found["copy"]["origin"], found["copy"]["verified"]) == (["mdns?"], False)
    assert found[name]["tags"] == {"a": "1", "flag": None, "bin": "\1\\xff", "ü": "ö", "e": ""}
    assert (found[name]["host"], found[name]["services"]) == (
        "h1.local",
        [{"type": "_http._tcp", "port": 80}],
    )
    assert found["Router\n+ fake"]["services"] == [{"type": "InternetGatewayDevice", "port": 5000}]
    assert found["10.9.0.1"]["services"] == []  # its description was not fetched
    words = ("browse", "-t", "--dnssd", "--service", "_ipp._tcp", "-F", "%n %o %p")
    lab.snapshot(third.mcast, *words, complete=lambda process: process.stdout == "before mdns 631\n")
    # What goes is told: a peer, an entry, and all of them when Avahi ends.
    assert nas.interrupt() == 0
    after.terminate()
    watching.wait_for(re.compile(r'^.*"type":"leave".*"name":"nas\.box".*$', re.MULTILINE))
    watching.wait_for(
        re.compile(r'^.*"type":"leave".*"name":"we b\. 2;.*"reason":"withdrawn".*$', re.MULTILINE)
    )
    assert before.poll() is None
    copying.close_stdin()
    assert watching.interrupt() == 0
    assert "internal error" not in watching.stderr + seen.stderr


def test_made_up_entries_and_devices_change_nothing_for_honest_ones() -> None:
    """Names full of escapes, long texts, addresses of others (programs/hostile_dnssd.py, shortened)."""
    found = measure(2000)
    assert found.honest
    assert found.rows > 0
    assert found.broken == 0
    assert found.after - found.before < 100 << 20
    assert "error" not in found.stderr
