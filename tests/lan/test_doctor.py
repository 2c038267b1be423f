"""`mcast doctor --with` names faults of a LAN. All of them: `python -m tests.lan.programs.doctor_matrix`."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests import lab
from tests.cli.test_schema import VALIDATOR
from tests.lan.programs.doctor_matrix import is_right, run

FAULTS = ("healthy", "switch drops multicast")


def test_it_names_the_fault_and_shows_every_way() -> None:
    if lacking := lab.missing():
        pytest.skip("a LAN in namespaces needs " + ", ".join(lacking))
    with ThreadPoolExecutor(len(FAULTS)) as pool:
        results = dict(zip(FAULTS, pool.map(run, FAULTS), strict=True))
    for name, (found, output, _) in results.items():
        assert is_right(name, found), (name, found, output)
        objects = [json.loads(line) for line in output.splitlines()]
        for one in objects:
            VALIDATOR.validate(one)
        ways = [one for one in objects if one["type"] == "way" and one["version"] == 4]
        assert len(ways) == 2 * 3 * 5, "each direction, in three sizes, by five ways"
        lost = {one["path"] for one in ways if not one["passed"] and one["direction"] == "to"}
        assert lost == (set() if name == "healthy" else {"group", "scoped", "local"})
        assert all(one["passed"] for one in ways if one["direction"] == "from")
