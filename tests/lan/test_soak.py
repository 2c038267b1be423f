"""A minute of the soak, on a real LAN that goes wrong all the time: `scripts/soak` runs a longer one."""

from __future__ import annotations

import pytest

from tests.soak.schedule import Mix
from tests.soak.soak import soak

MIX = Mix(longest=8.0, pause=4.0, lines=60.0, sends=12.0)


@pytest.mark.usefixtures("lan")
@pytest.mark.timeout(240)
def test_every_promise_holds_on_a_bad_minute() -> None:
    result = soak(1, 24.0, MIX, patience=12.0)
    assert not result.wrong, "\n".join([*result.wrong, result.summary])
