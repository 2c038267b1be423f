"""An extra that is not installed: one line that says what to do."""

from __future__ import annotations

import pytest

from mcast.cli import extras
from mcast.errors import UsageError


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ("dnssd", r"^--dnssd needs the package zeroconf: .*'mcast-lan\[dnssd\]'$"),
        ("web", r"^the web page needs the package aiohttp: .*'mcast-lan\[web\]'$"),
        ("qr", r"^--qr needs the package segno: .*'mcast-lan\[qr\]'$"),
    ],
)
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, extra: str, says: str) -> None:
    extras.require(extra)
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=says):
        extras.require(extra)
