"""Tests on a real LAN: each gets its own, and it is gone when the test ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import lab

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.lan)


@pytest.fixture
def lan() -> Iterator[lab.MakeLan]:
    """Make LANs: `lan(hosts=3, …)` takes what `lab.Lan` takes. All are closed when the test ends."""
    if lacking := lab.missing():
        pytest.skip("a LAN in namespaces needs " + ", ".join(lacking))
    with contextlib.ExitStack() as open_labs:

        def make(hosts: int = 3, **options: Any) -> lab.Lan:
            return open_labs.enter_context(lab.Lan(hosts, **options))

        yield make
