"""`mcast send` on the plain wire: what leaves the computer, and what is refused before anything does."""

from __future__ import annotations

import re
import time

import pytest

from tests import lab
from tests.lan.plain import GROUP, GROUP6, PORT, run, send, texts, until


def test_every_way_to_give_a_message(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    process = run(h2, "listen", "-g", GROUP, "--json")
    file = h1.home / "note.txt"
    file.write_text("from\na file\n")
    to = ("-g", GROUP)
    runs = [
        send(h1, *to, "several", "words"),
        send(h1, *to, "-m", "first", "-m", "汉字 🎉"),
        send(h1, *to, "-l", input="one\r\n\ntwo"),
        send(h1, *to, "-f", str(file)),
        send(h1, *to, "-s", input="all\nof it\n"),
        send(h1, *to, "--", "-dash"),
    ]
    assert [(done.returncode, done.stdout) for done in runs] == [(0, "")] * len(runs)
    wanted = [
        "several words",
        "first",
        "汉字 🎉",
        "one",
        "",
        "two",
        "from\na file\n",
        "all\nof it\n",
        "-dash",
    ]
    until(lambda: len(texts(process)) >= len(wanted))
    assert texts(process) == wanted


def test_lines_leave_as_they_come(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    process = run(h2, "listen", "-g", GROUP, "--json")
    with h1.mcast("send", "--plain", "-g", GROUP, "-l") as sending:
        for number in range(3):
            sending.write(f"{number}\n")
            until(lambda: texts(process) == [str(n) for n in range(number + 1)])  # noqa: B023 - waited for here
        sending.close_stdin()
        assert sending.wait() == 0


def test_an_interval_lies_between_messages(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    process = run(h2, "listen", "-g", GROUP, "-C", "3")
    started = time.monotonic()
    assert send(h1, "-g", GROUP, "--interval", "300ms", "-m", "a", "-m", "b", "-m", "c").returncode == 0
    assert time.monotonic() - started >= 0.6
    assert process.wait() == 0
    assert process.lines() == ["a", "b", "c"]


@pytest.mark.parametrize("group", [GROUP, GROUP6])
def test_the_ttl_is_one_unless_told(lan: lab.MakeLan, group: str) -> None:
    h1, h2 = lan(2).hosts
    receiving = h2.python(
        f"""
        import socket
        from mcast import multicast
        with multicast.Receiver(multicast.parse_group({group!r}, default_port=3000)) as receiver:
            receiver.join(socket.if_nametoindex("eth0"))
            print("ready", flush=True)
            for _ in range(2):
                print(receiver.receive(10).ttl, flush=True)
        """
    )
    receiving.wait_for("ready")
    assert send(h1, "-g", group, "near").returncode == 0
    assert send(h1, "-g", group, "--ttl", "5", "far").returncode == 0
    assert receiving.wait_lines(3)[1:] == ["1", "5"]


def test_it_leaves_by_the_interface_asked_for(lan: lab.MakeLan) -> None:
    made = lan(2, switches=2)
    h1, h2 = made.hosts
    for host in (h1, h2):
        host.add_interface(made.switches[1])
    peer = lab.Peer(h2, PORT)
    for interface in ("eth0", "eth1"):
        peer.join(GROUP, interface)
    for choice, address in (("eth0", "10.9.0.1"), ("eth1", "10.10.0.1"), ("10.10.0.1", "10.10.0.1")):
        assert send(h1, "-g", GROUP, "-i", choice, "hello").returncode == 0
        peer.wait_count(1)
        assert peer.take() == [("hello", address)]


def test_what_is_too_large_is_refused_before_anything_is_sent(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    process = run(h2, "listen", "-g", GROUP, "--json")
    large = "x" * 1453
    for arguments, given in ((["-m", "small", "-m", large], ""), (["-s"], large), ([large], "")):
        refused = send(h1, "-g", GROUP, *arguments, input=given)
        assert refused.returncode == 2
        assert "1452" in refused.stderr
    assert send(h1, "-g", GROUP, large[:1452]).returncode == 0
    until(lambda: texts(process) != [])
    assert texts(process) == [large[:1452]]


def test_a_small_mtu_lowers_the_limit(lan: lab.MakeLan) -> None:
    h1 = lan(1).hosts[0]
    h1.mtu(1300)
    assert send(h1, "-g", GROUP, "x" * 1252).returncode == 0
    refused = send(h1, "-g", GROUP, "x" * 1253)
    assert refused.returncode == 2
    assert "1252" in refused.stderr


def test_what_goes_wrong_has_a_code_and_a_remedy(lan: lab.MakeLan) -> None:
    h1 = lan(1).hosts[0]
    unreadable = send(h1, "-g", GROUP, "-f", "/nowhere")
    assert unreadable.returncode == 1
    assert "cannot read /nowhere" in unreadable.stderr
    h1.down()
    h1.ip("link set lo down")
    for arguments, code, text in (
        (["-g", GROUP, "hello"], 3, "no usable network interface"),
        (["-g", "10.0.0.1", "hello"], 2, "224.0.0.0"),
        (["-g", GROUP, "-p", "99999", "hello"], 2, "1 to 65535"),
        (["-g", f"{GROUP}:1", "-p", "2", "hello"], 2, "port"),
        (["-g", GROUP], 2, "nothing to send"),
    ):
        refused = send(h1, *arguments)
        assert refused.returncode == code, (arguments, refused.stderr)
        assert re.search(text, refused.stderr), refused.stderr
        assert refused.stderr.count("\n") == 1, "one line"


def test_a_firewall_is_named(lan: lab.MakeLan) -> None:
    h1 = lan(1).hosts[0]
    h1.firewall("ip daddr 224.0.0.0/4 drop", hook="output")
    refused = send(h1, "-g", GROUP, "hello")
    assert refused.returncode == 3
    assert "firewall" in refused.stderr
