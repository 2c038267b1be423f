"""`mcast listen` on the plain wire, as scripts use it."""

from __future__ import annotations

import re
import signal
import sys

import pytest

from tests import lab
from tests.lan.plain import GROUP, GROUP6, PORT, SITE6, run, send, texts, until

PROGRAM = [sys.executable, "-m", "mcast"]


@pytest.mark.parametrize("ending", ["count", "timeout", "SIGINT", "SIGTERM", "SIGKILL"])
def test_exactly_what_was_asked_for_is_joined_and_nothing_after_the_end(
    lan: lab.MakeLan, ending: str
) -> None:
    h1, h2 = lan(2).hosts
    groups = (GROUP, "239.9.9.8", GROUP6, SITE6)
    limits = {"count": ["-C", "1"], "timeout": ["-W", "300ms"]}.get(ending, [])
    named = [word for group in groups for word in ("-g", group)]
    process = run(h2, "listen", *named, *limits)
    if ending != "timeout":
        assert h2.memberships() == {"eth0": set(groups)}
    if ending == "count":
        lab.Peer(h1, PORT).send(GROUP)
    elif ending != "timeout":
        process.signal(getattr(signal, ending))
    code = {"timeout": 4, "SIGKILL": -9}.get(ending, 0)
    assert process.wait() == code
    assert h2.memberships() == {}


def test_several_groups_and_ports_at_once_are_told_apart(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    process = run(h2, "listen", "-g", GROUP, "-g", f"{GROUP}:4000", "-g", f"[{GROUP6}]:5000", "--json")
    peer = lab.Peer(h1, PORT)
    for where, port in ((GROUP, 3000), (GROUP, 4000), (GROUP6, 5000), ("239.9.9.8", 3000)):
        peer.send(where, f"{where} {port}", port=port)
    peer.send(GROUP, "end", port=4000)
    until(lambda: "end" in texts(process))
    heard = {event["text"]: event["group"] for event in process.objects()}
    assert heard == {
        f"{GROUP} 3000": f"{GROUP}:3000",
        f"{GROUP} 4000": f"{GROUP}:4000",
        f"{GROUP6} 5000": f"[{GROUP6}]:5000",
        "end": f"{GROUP}:4000",
    }


def test_an_event_tells_who_where_and_when(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    process = run(h2, "listen", "-g", GROUP, "--json", "-C", "1")
    assert send(h1, "-g", GROUP, "hello").returncode == 0
    assert process.wait() == 0
    (event,) = process.objects()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event.pop("ts"))
    assert re.fullmatch(r"10\.9\.0\.1:\d+", event.pop("source"))
    assert event == {
        "v": 1,
        "type": "message",
        "group": f"{GROUP}:3000",
        "interface": "eth0",
        "text": "hello",
        "plain": True,
    }


@pytest.mark.parametrize(("group", "version"), [("232.9.9.9", 4), ("ff35::8000:9", 6)])
def test_a_source_specific_join_hears_its_source_only(lan: lab.MakeLan, group: str, version: int) -> None:
    h1, h2, h3 = lan(3).hosts
    source = h1.address() if version == 4 else h1.link_local()
    process = run(h2, "listen", "-g", group, "--source", source, "--json")
    assert h2.memberships() == {"eth0": {group}}
    for host in (h3, h1):
        lab.Peer(host, PORT).send(group, host.name)
    until(lambda: "h1" in texts(process))
    assert texts(process) == ["h1"]
    process.interrupt()
    assert h2.memberships() == {}


def test_a_source_specific_group_without_a_source_is_a_usage_error(lan: lab.MakeLan) -> None:
    refused = lan(1).hosts[0].run([*PROGRAM, "listen", "--plain", "-g", "232.9.9.9"])
    assert refused.returncode == 2
    assert "--source" in refused.stderr


def test_exit_codes_tell_what_came(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    peer = lab.Peer(h1, PORT)
    limits = {
        0: ("-W", "6"),
        27: ("-C", "5", "-W", "6"),
        130: ("-C", "5"),
        143: ("-C", "5"),
        -1: ("--idle", "5"),
    }
    runs = {}
    for number, (code, words) in enumerate(limits.items()):
        # A group each, and its lines at once: no limit may be over before they come, and each begins before
        # the sockets are open.
        runs[code] = run(h2, "listen", "-g", f"239.9.1.{number}", *words)
        peer.send(f"239.9.1.{number}", count=2)
    quiet = run(h2, "listen", "-g", GROUP6, "-W", "300ms")
    for process in runs.values():
        assert process.wait_lines(2) == ["hello", "hello"]
    runs[130].signal(signal.SIGINT)
    runs[143].signal(signal.SIGTERM)
    codes = {code: process.wait() for code, process in runs.items()}
    assert codes == {0: 0, 27: 27, 130: 130, 143: 143, -1: 0}
    assert quiet.wait() == 4


def test_a_script_reads_one_line(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    script = f'msg=$("$0" -m mcast listen --plain -q -g {GROUP} -C 1) && echo "<$msg>"'
    process = h2.spawn(["sh", "-c", script, sys.executable])
    until(lambda: h2.memberships() == {"eth0": {GROUP}})
    lab.Peer(h1, PORT).send(GROUP, "hello you")
    assert process.wait() == 0
    assert (process.stdout, process.stderr) == ("<hello you>\n", "")


def test_a_reader_that_has_had_enough_ends_it_quietly(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    script = f'("$0" -m mcast listen --plain -q -g {GROUP}; echo "code $?" >&2) | head -1'
    process = h2.spawn(["sh", "-c", script, sys.executable])
    until(lambda: h2.memberships() == {"eth0": {GROUP}})
    lab.Peer(h1, PORT).send(GROUP, "hello", count=3)
    assert process.wait() == 0
    assert (process.stdout, process.stderr) == ("hello\n", "code 0\n")


def test_commands_run_on_ready_and_on_a_message(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    ready, message = h2.home / "ready", h2.home / "message"
    tell = f"sh -c 'echo $MCAST_EVENT $MCAST_GROUP >{ready}'"
    keep = f"sh -c 'cat >{message}; echo \" from $MCAST_FROM\" >>{message}'"
    process = run(h2, "listen", "-g", GROUP, "-C", "1", "--on", f"ready={tell}", "--on", f"message={keep}")
    until(ready.exists)
    lab.Peer(h1, PORT).send(GROUP, "$(touch /tmp/x) `id`")
    assert process.wait() == 0
    assert ready.read_text() == f"ready {GROUP}:3000\n"
    assert message.read_text() == "$(touch /tmp/x) `id` from 10.9.0.1:3000\n"


RATE_PROGRAM = """
    import socket, sys
    from mcast import multicast
    from mcast.multicast import Sender
    group = multicast.parse_group(sys.argv[1], default_port=3000)
    with Sender(socket.if_nametoindex("eth0"), sys.argv[2]) as sender:
        for number in range(20_000):
            sender.send(b"%05d" % number + bytes(int(sys.argv[3])), group)
"""


@pytest.mark.parametrize("slow", [False, True])
def test_nothing_is_lost_at_full_speed_that_the_kernel_did_not_drop(lan: lab.MakeLan, slow: bool) -> None:
    """20,000 datagrams; the reader that is stopped meanwhile loses some, and says how many."""
    h1, h2 = lan(2).hosts
    process = run(h2, "listen", "-g", GROUP)
    padding = "1200" if slow else "0"
    if slow:
        process.signal(signal.SIGSTOP)
    with h1.python(RATE_PROGRAM, GROUP, h1.address(), padding) as sending:
        assert sending.wait(30) == 0
    kernel = dropped_by_kernel(h2)
    if slow:
        process.signal(signal.SIGCONT)
        assert kernel > 0, "the receive buffer holds less than that"
    until(lambda: process.stdout_bytes.count(b"\n") + dropped_by_kernel(h2) >= 20_000, 60.0)
    lines, kernel = process.lines(), dropped_by_kernel(h2)
    assert len(lines) + kernel == 20_000
    assert lines == sorted(set(lines)), "each once and in order"
    process.interrupt()
    told = re.findall(r"\((\d+) in all\)", process.stderr)
    assert int(told[-1] if told else 0) == kernel


def dropped_by_kernel(host: lab.Host) -> int:
    """The last column of /proc/net/udp, of all sockets together."""
    text = host.lan.namespaces.read(host.name, "/proc/net/udp")[0] or ""
    return sum(int(line.split()[-1]) for line in text.splitlines()[1:])


def test_no_network_to_join_ends_with_its_own_code(lan: lab.MakeLan) -> None:
    host = lan(1).hosts[0]
    host.unplug()
    host.ip("link set lo down")
    refused = host.run([*PROGRAM, "listen", "--plain"])
    assert refused.returncode == 3, refused
    assert "no usable network interface" in refused.stderr
    unknown = host.run([*PROGRAM, "send", "--plain", "-i", "eth9", "x"])
    assert unknown.returncode == 2
    assert "eth0" in unknown.stderr, "it lists those it knows"


DAMAGED = """
    import socket, struct, sys
    group, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    raw.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(sys.argv[4]))
    body = bytes(1000)
    for _ in range(count):
        raw.sendto(struct.pack("!4H", port, port, 8 + len(body), 0xBAD) + body, (group, 0))
"""


def test_datagrams_with_a_wrong_checksum_are_told_as_such(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    process = run(h2, "listen", "-g", GROUP)
    with h1.python(DAMAGED, GROUP, str(PORT), "7", h1.address()) as sending:
        assert sending.wait() == 0, sending.stderr
    until(lambda: dropped_by_kernel(h2) == 7)
    lab.Peer(h1, PORT).send(GROUP, "x")
    process.wait_for("x\n", stream="stdout")
    process.interrupt()
    (told,) = [line for line in process.stderr.splitlines() if "the kernel dropped" in line]
    assert told == (
        "mcast: the kernel dropped 7 datagrams with a wrong checksum (7 in all): "
        "check the cable, the Wi-Fi or the driver of the interface"
    )
