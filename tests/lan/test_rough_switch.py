"""The lab's switch in user space: what it should do to the frames of a host, it does, and to no other."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests import lab
from tests.lab.rough_switch import Cable, RoughSwitch

GROUP = "239.1.2.3"
COUNT = 400


@pytest.mark.parametrize(
    ("cable", "expected"),
    [
        (Cable(), lambda texts: texts == sorted(texts) and len(texts) == COUNT),
        (Cable(loss=0.3), lambda texts: 0.5 * COUNT < len(texts) < 0.9 * COUNT),
        (Cable(duplicates=0.3), lambda texts: 1.1 * COUNT < len(texts) < 1.5 * COUNT),
        (Cable(delay=0.2), lambda texts: sorted(texts) != texts and len(texts) == COUNT),
        (Cable(island=1), lambda texts: not texts),
    ],
    ids=["good", "loss", "duplicates", "delay", "island"],
)
def test_a_cable_does_what_it_should(
    lan: lab.MakeLan, cable: Cable, expected: Callable[[list[str]], bool]
) -> None:
    made = lan(3)
    switch = RoughSwitch(made)
    sender, bad, good = (lab.Peer(host) for host in made.hosts)
    for peer in (bad, good):
        peer.join(GROUP)
    switch.set(made.hosts[1], cable)
    for number in range(COUNT):
        sender.send(GROUP, f"{number:03}")
    assert good.wait_count(COUNT) == COUNT
    time.sleep(2 * cable.delay)
    switch.set(made.hosts[1], Cable())
    sender.send(GROUP, "end")
    texts: list[str] = []
    while "end" not in texts:
        bad.wait_count(1)
        texts += [text for text, _ in bad.take()]
    assert expected(texts[:-1]), texts


def test_a_cable_that_was_unplugged_works_again(lan: lab.MakeLan) -> None:
    made = lan(2)
    RoughSwitch(made)
    here, there = made.hosts
    sender, receiver = lab.Peer(here), lab.Peer(there)
    assert lab.arrives(sender, receiver, there.address())
    there.unplug()
    assert lab.lost(sender, receiver, there.address())
    there.plug()
    assert lab.arrives(sender, receiver, there.address(), size=4000)
