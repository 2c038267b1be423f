"""Two hosts on a LAN, shared by the tests of commands: each test takes a port of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests import lab

_ports = itertools.count(4000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "network" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.lan)


@pytest.fixture(scope="package")
def network() -> Iterator[lab.Lan]:
    """A LAN of two hosts. Tests change nothing of it but what they put right again."""
    if lacking := lab.missing():
        pytest.skip("a LAN in namespaces needs " + ", ".join(lacking))
    with lab.Lan(2) as made:
        yield made


@pytest.fixture
def pair(network: lab.Lan) -> Iterator[tuple[lab.Host, lab.Host]]:
    """Its hosts; whatever the test started there ends with it."""
    before = len(network.running)
    yield network.hosts[0], network.hosts[1]
    for process in network.running[before:]:
        process.close()
    del network.running[before:]


@pytest.fixture
def here(pair: tuple[lab.Host, lab.Host]) -> lab.Host:
    """One of the hosts, for what needs no other."""
    return pair[0]


@pytest.fixture
def group() -> str:
    """A group and port that no other test uses."""
    return f"230.0.0.1:{next(_ports)}"
