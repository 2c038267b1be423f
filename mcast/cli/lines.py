"""How a line that came in is shown: as text, as text with time and sender, as JSON, to a program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from mcast.plain import Line

from .render import clock, escape, escape_bytes, payload, rfc3339


class Said(NamedTuple):
    """What a chat shows of a message: unix seconds, sender and text, both escaped."""

    seconds: float
    sender: str
    text: str


def said(line: Line) -> Said:
    """The line for a chat."""
    return Said(line.received, source_text(line.source), text_of(line))


def chat_text(said: Said) -> str:
    """Time, sender and text, as a chat in a pipe shows them."""
    return f"{clock(said.seconds)} {said.sender}: {said.text}"


def message_event(line: Line) -> Mapping[str, Any]:
    """The line as a JSON event."""
    return {
        "v": 1,
        "type": "message",
        "ts": rfc3339(line.received),
        "group": str(line.group),
        "interface": line.interface,
        "source": source_text(line.source),
        **payload(line.data, line.text),
        "plain": True,
    }


def text_of(line: Line) -> str:
    """The line's text, escaped; bytes that are not UTF-8 as `\\xNN`."""
    return escape(line.text) if line.text is not None else escape_bytes(line.data)


def verbose_text(line: Line) -> str:
    """Time, sender and text, separated by tabs."""
    return f"{clock(line.received)}\t{source_text(line.source)}\t{text_of(line)}"


def source_text(source: tuple[str, int]) -> str:
    """`address:port`, `[address%interface]:port`."""
    host, port = source
    return escape(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def variables(line: Line) -> dict[str, str]:
    """The environment of a command run for this line."""
    return {"MCAST_FROM": source_text(line.source), "MCAST_ID": "", "MCAST_GROUP": str(line.group)}
