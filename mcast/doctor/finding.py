"""What a check finds."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Status(StrEnum):
    """How a check ended."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"
    UNKNOWN = "UNKNOWN"


class Finding(msgspec.Struct, frozen=True):
    """What one check found: `cause` is a stable id, `seen` the evidence, `remedy` what to do, with
    `commands`. `where`: the address of the computer that it is about, if that is not this one."""

    status: Status
    cause: str
    seen: str
    remedy: str = ""
    commands: tuple[str, ...] = ()
    where: str = ""
