"""What people read of offered files: what they are called, how large they are, how much of them is here."""

from __future__ import annotations

from collections.abc import Sequence

from mcast.events import TransferOffered
from mcast.runtime.bulk.views import CANCELLED, Progress, ReceiverProgress, State

from .output import escape

NAMED = 10
"""Files and peers that are named; the others are only counted."""

QUIET = 10.0
"""Seconds without anything new of a transfer after which that is told."""


def size_text(size: float) -> str:
    """A number of bytes for people: `512 B`, `4.2 kB`, `268 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 99.95 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def share_text(have: int, total: int) -> str:
    """A share in percent. 100 % is all."""
    return f"{100 * have // total if total else 100} %"


def offer_text(offer: TransferOffered) -> str:
    """An offer in a few words, escaped: `photos/ (12 files, 268 MB)`."""
    files = f"{offer.count:,} files, " if offer.count != 1 else ""
    private = ", private" if offer.to else ""
    return f"{escape(offer.title)} ({files}{size_text(offer.size)}{private})"


def standing(receiver: ReceiverProgress) -> str:
    """How a receiver stands, in a word or two."""
    if receiver.state == State.RECEIVING and receiver.reason:
        return "gets nothing"
    stopped = receiver.state == State.FAILED and receiver.reason == CANCELLED
    return "stopped" if stopped else str(receiver.state)


def is_stuck(receiver: ReceiverProgress) -> bool:
    """Whether nothing is heard of a receiver, or nothing reaches it."""
    return receiver.state == State.SILENT or (receiver.state == State.RECEIVING and receiver.reason != "")


def gets_on(receiver: ReceiverProgress) -> bool:
    """Whether more can arrive there now, as far as is known."""
    return receiver.state in (State.ACCEPTED, State.RECEIVING) and not is_stuck(receiver)


def stuck_text(receiver: ReceiverProgress, label: str, total: int) -> str:
    """Why a receiver does not get on, if that is known."""
    if not is_stuck(receiver) or not receiver.reason:
        return ""
    silent = receiver.state == State.SILENT
    doctor = f"; run mcast doctor {'here' if silent else 'there'}" if "firewall" in receiver.reason else ""
    share = share_text(receiver.have, total)
    return f"{label} {'is silent' if silent else 'stays'} at {share}: {receiver.reason}{doctor}"


def listed(texts: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = [f"{len(texts) - NAMED:,} more"] if len(texts) > NAMED else []
    return ", ".join([*texts[:NAMED], *more])


def why_nothing_comes(offer: TransferOffered, label: str, progress: Progress) -> str:
    """What to tell somebody who waits for more of a transfer of the peer `label`."""
    silence = f"nothing of {offer_text(offer)} has come for {QUIET:.0f} s"
    if progress.received:
        return f"{silence}: is {label} still there?"
    return f"{silence}: a firewall may keep it out, mcast doctor tells more"
