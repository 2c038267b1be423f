"""An extra that is not installed: one line that says what to do."""

from __future__ import annotations

import pytest

from mcast.cli import extras
from mcast.errors import UsageError


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    extras.require("dnssd")
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"^--dnssd needs the package zeroconf: .*'mcast-lan\[dnssd\]'$"):
        extras.require("dnssd")
