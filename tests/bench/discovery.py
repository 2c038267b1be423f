"""How soon a newcomer is known by all, and knows all."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.options import Options, say
from tests.bench.rows import Row
from tests.lan.programs import discovery

TARGETS = {10: (10.0, 20.0), 50: (30.0, 80.0)}
"""ms until the median old member sees it, and until it knows all, by hosts."""


def measure(options: Options) -> Iterator[Row]:
    """Newcomers among hosts that have been there for a while."""
    for hosts in options.hosts:
        say(f"discovery among {hosts} hosts")
        found = discovery.measure(hosts, max(3, options.rounds))
        seen, last, knows = zip(*found, strict=True)
        target = TARGETS.get(hosts, (None, None))
        figures = (
            ("an old member sees it (median one)", seen, target[0]),
            ("the last old member sees it", last, None),
            ("it knows all", knows, target[1]),
        )
        for what, samples, most in figures:
            case = f"a newcomer among {hosts}: {what}"
            yield Row("discovery", case, "mcast", samples, "ms", target=most, at_most=True)
