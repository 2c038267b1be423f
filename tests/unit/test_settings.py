"""Settings that cannot work are refused where they are made."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mcast.errors import UsageError
from mcast.settings import lan, wifi

REFUSED: list[dict[str, Any]] = [
    {"payload": 100},
    {"payload": 65_508},
    {"floor_rate": 0},
    {"start_rate": 0},
    {"start_rate": 1024},
    {"burst": 10},
    {"burst": 1000},
    {"gap_timeout": -1.0},
    {"grtt_min": 0.0},
    {"grtt_min": 2.0},
    {"grtt_initial": 5.0},
    {"unread_bytes": 1000},
    {"held_bytes": 4 * 1452 - 1},
    {"sent_bytes": 0},
    {"history_bytes": -1},
    {"sent_records": -1},
    {"window": 0},
    {"peers": 0},
]


@pytest.mark.parametrize("changes", REFUSED, ids=str)
def test_what_cannot_work_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        msgspec.structs.replace(lan(), **changes)


def test_the_least_that_works_is_taken() -> None:
    small = {"unread_bytes": 1452, "held_bytes": 4 * 1452, "sent_bytes": 1452, "history_bytes": 1452}
    assert msgspec.structs.replace(wifi(), **small).held_bytes == 5808


def test_wifi_starts_slower_than_a_wired_lan() -> None:
    assert wifi().start_rate < lan().start_rate
