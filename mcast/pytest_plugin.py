"""The fixture `mcast_lan` for pytest, which finds this module by itself. Nothing else imports it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mcast.simulation import Lan


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers", "mcast_lan(**options): arguments of mcast.simulation.Lan for the fixture mcast_lan"
    )


@pytest.fixture
def mcast_lan(request: pytest.FixtureRequest) -> Lan:
    """A simulated LAN: mcast.simulation.Lan() with the arguments of the marker `mcast_lan`, if any."""
    # Imported here because pytest imports this module for tests that do not use it, too.
    from mcast.simulation import Lan

    marker = request.node.get_closest_marker("mcast_lan")
    return Lan(*marker.args, **marker.kwargs) if marker else Lan()
