"""What events look like to a reader."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from mcast.cli.items import GroupContext, item_of
from mcast.core.events import GapAbandoned, GapFilled, GapOpened, GapStalled, PeerId
from mcast.runtime.group import Group

ADA = PeerId(bytes.fromhex("a1b2") + bytes(14), 1)


@pytest.mark.parametrize(
    ("event", "state", "notice"),
    [
        (GapOpened(ADA, 3, 3, "ada"), "opened", ""),
        (
            GapStalled(ADA, 3, 3, "ada"),
            "stalled",
            "waiting for 1 record of ada·a1b2: what came after waits, too",
        ),
        (GapFilled(ADA, 3, 4, "ada"), "filled", ""),
        (GapAbandoned(ADA, 3, 4, "{ada}"), "abandoned", "gave up waiting for 2 records of {ada}·a1b2"),
    ],
)
def test_a_gap_says_whose_records_are_missing(
    event: GapOpened | GapStalled | GapFilled | GapAbandoned, state: str, notice: str
) -> None:
    context = GroupContext(cast("Group", SimpleNamespace(groups=["230.0.0.1:28003"])), "")
    item = item_of(event, context, 0.0)
    assert item.json()["state"] == state
    assert item.notice() == notice
