"""`mcast doctor` on a real LAN."""

from __future__ import annotations

from tests import lab
from tests.cli.test_schema import VALIDATOR


def causes(process: lab.Process) -> set[str]:
    """The causes in its JSON, which the schema describes."""
    objects = process.objects()
    for one in objects:
        VALIDATOR.validate(one)
    return {one["cause"] for one in objects if one["type"] == "diagnosis"}


def test_a_healthy_host_a_firewall_for_output_and_one_for_input(
    pair: tuple[lab.Host, lab.Host], group: str
) -> None:
    here, there = pair
    chat = there.mcast("chat", "--group", group, "--name", "bob")
    chat.wait_for("chatting in", stream="stderr")
    healthy = here.mcast("doctor", "--group", group, "--json")
    assert healthy.wait() == 0, healthy.stdout
    assert causes(healthy) == {"none"}
    assert any(one["text"].startswith("heard bob") for one in healthy.objects())
    output = here.firewall("ip daddr 224.0.0.0/4 drop", hook="output")
    refused = there.firewall(policy="drop")
    try:
        first = here.mcast("doctor", "--group", group, "--json", "-4")
        second = there.mcast("doctor", "--group", group)
        assert (first.wait(), second.wait()) == (1, 1)
    finally:
        output.remove()
        refused.remove()
    assert "sender-firewall" in causes(first)
    assert second.lines()[0].startswith("A firewall of this computer drops what arrives from the group")
    assert "→ allow incoming UDP" in second.stdout


def test_without_an_interface_it_says_why(here: lab.Host, group: str) -> None:
    here.unplug()
    try:
        process = here.mcast("doctor", "--group", group)
        assert process.wait() == 1
        assert process.lines()[0] == "The network interface is down or its cable is unplugged."
        assert "sudo ip link set eth0 up" in process.stdout
    finally:
        here.plug()
