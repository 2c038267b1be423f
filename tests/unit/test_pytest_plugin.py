"""The fixture that users of the library get for their own tests."""

from __future__ import annotations

import pytest

from mcast import simulation


@pytest.mark.mcast_lan(seed=7, loss=0.3)
def test_a_marker_has_the_arguments(mcast_lan: simulation.Lan) -> None:
    assert (mcast_lan.seed, mcast_lan.conditions.loss) == (7, 0.3)


def test_it_is_a_lan(mcast_lan: simulation.Lan) -> None:
    ada, bob = mcast_lan.join("ada"), mcast_lan.join("bob")
    ada.send("hello")
    mcast_lan.run(5.0)
    assert [message.text for message in bob.messages()] == ["hello"]
