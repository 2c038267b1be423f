"""The simulated LAN."""

from __future__ import annotations

import pytest

from mcast import simulation

from .core.support import drops


def test_a_failing_seed_names_itself() -> None:
    def scenario(seed: int) -> simulation.Lan:
        raise AssertionError("broken")

    with pytest.raises(AssertionError) as caught:
        simulation.replayable(42, scenario)
    assert "seed 42" in caught.value.__notes__[0]


def test_partitions_may_leave_a_member_alone() -> None:
    lan = simulation.Lan(20, burst=simulation.Burst(loss_bad=1.0), corrupt=0.2)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.partition([ada], [bob])
    lan.run(5.0)
    assert ada.peers() == bob.peers() == []
    lan.heal()
    lan.transmit(b"to nobody", ada.address, ("10.255.255.255", 1))
    lan.run(12.0)
    assert len(ada.peers()) == len(bob.peers()) == 1
    assert drops(ada, "unsealed") + drops(bob, "unsealed") > 0
