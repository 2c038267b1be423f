"""What must hold in a soak, judged from what was sent and what each command printed.

Every message published while a member was joined arrives once and in order, or a gap is told. Confirmations
are true. All times are seconds of the machine's one clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Span = tuple[float, float]
# The author's identity, and the number of the record.
Number = tuple[str, int]
# From the confirmation of a message to the line in the member's output, on a busy machine.
PRINTING = 1.0
# A member that is joined for so long, unhindered, knows the others and is known to them.
ACQUAINTED = 10.0


@dataclass(frozen=True)
class Said:
    """A message: the `number`-th of its author, published at this time or later."""

    author: str
    number: int
    text: str
    at: float


@dataclass
class Life:
    """One process, from the time it had joined to its end.

    `hindered`: when it could not run, or could not reach everybody. `lost`: when its network was taken away.
    `objects`: the JSON it printed, None if it prints no messages.
    """

    name: str
    joined: float
    ended: float
    killed: bool = False
    hindered: list[Span] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)
    objects: list[dict[str, Any]] | None = None
    said: list[Said] = field(default_factory=list)

    def free(self, start: float, end: float) -> list[Span]:
        """The parts of a span in which it lived, unhindered."""
        start, end = max(start, self.joined), min(end, self.ended)
        spans = []
        for begin, until in sorted(self.hindered):
            if begin > start:
                spans.append((start, min(begin, end)))
            start = max(start, until)
        return [span for span in [*spans, (start, end)] if span[0] < span[1]]


@dataclass(frozen=True)
class Confirmed:
    """What `send --wait-acks` claims with exit code 0: all members have it, or at least `count`."""

    said: Said
    started: float
    ended: float
    count: int | None


def judge(lives: Sequence[Life], claims: Iterable[Confirmed], patience: float) -> list[str]:
    """Everything that was not as promised, a line each.

    Whoever could reach a holder of a message for `patience` seconds must have it, or have told a gap.
    """
    said = {message.text: message for life in lives for message in life.said}
    readers = [_Reader(life, said) for life in lives if life.objects is not None]
    numbers = {text: number for reader in readers for text, number in reader.numbers.items()}
    wrong = [line for reader in readers for line in reader.printed_wrongly(numbers)]
    wrong += _missed(lives, readers, numbers, patience)
    wrong += [line for claim in claims for line in _false(claim, lives, readers)]
    return wrong


class _Reader:
    """What one process printed, in order."""

    def __init__(self, life: Life, said: dict[str, Said]) -> None:
        self.life = life
        self.said = said
        self.printed: dict[str, float] = {}
        self.numbers: dict[str, Number] = {}
        self.twice: list[str] = []
        self.strange: list[str] = []
        self.gaps: list[dict[str, Any]] = []
        self.order: list[tuple[Said, bool, int]] = []
        for item in life.objects or ():
            if item["type"] == "gap" and item["state"] == "abandoned":
                self.gaps.append(item)
            if item["type"] == "message":
                self._message(item)

    def _message(self, item: dict[str, Any]) -> None:
        message = self.said.get(item.get("text", ""))
        if message is None:
            self.strange.append(str(item.get("text", item))[:80])
        elif message.text in self.printed:
            self.twice.append(_name(message))
        else:
            self.printed[message.text] = datetime.fromisoformat(item["ts"]).timestamp()
            self.numbers[message.text] = (item["from"]["id"], item["seq"])
            aside = bool(item.get("history") or item.get("late"))
            self.order.append((message, aside, len(self.gaps)))

    def told(self, message: Said, numbers: dict[str, Number], until: int | None = None) -> bool:
        """Whether a gap was told that has this message, among the first `until` gaps.

        A gap has the name that its identity used last. If nobody printed the message its number is not known.
        """
        identity, number = numbers.get(message.text, ("", None))
        return any(
            gap["from"]["name"] == message.author
            if number is None
            else gap["from"]["id"] == identity and gap["first"] <= number <= gap["last"]
            for gap in self.gaps[:until]
        )

    def printed_wrongly(self, numbers: dict[str, Number]) -> Iterator[str]:
        """What it should not have printed, or not in this order."""
        me = self.life.name
        yield from (f"{me} printed {name} twice" for name in self.twice)
        yield from (f"{me} printed what nobody said: {text!r}" for text in self.strange)
        done: dict[str, set[int]] = {}
        newest: dict[str, int] = {}
        of_author: dict[str, list[Said]] = {}
        for message in self.said.values():
            of_author.setdefault(message.author, []).append(message)
        for message, aside, gaps in self.order:
            before = done.setdefault(message.author, set())
            if not aside:
                if newest.get(message.author, -1) > message.number:
                    yield f"{me} printed {_name(message)} after number {newest[message.author]}"
                newest[message.author] = message.number
                for other in of_author[message.author]:
                    due = other.number < message.number and other.at >= self.life.joined
                    if due and other.number not in before and not self.told(other, numbers, gaps):
                        yield f"{me} printed {_name(message)} before {_name(other)}, without a gap"
            before.add(message.number)


def _missed(
    lives: Sequence[Life], readers: Sequence[_Reader], numbers: dict[str, Number], patience: float
) -> Iterator[str]:
    for author in lives:
        for message in author.said:
            holds = [span for reader in readers for span in _holding(reader, message)]
            if author.objects is not None:
                # A chat has published what was typed. A `send` may take long to start, and ends soon after.
                holds += author.free(message.at, author.ended)
            for reader in readers:
                if reader.life is author or reader.life.joined > message.at or message.text in reader.printed:
                    continue
                able = reader.life.free(message.at, reader.life.ended)
                time = max((_common(mine, theirs) for mine in able for theirs in holds), default=0.0)
                if time >= patience and not reader.told(message, numbers):
                    yield f"{reader.life.name} missed {_name(message)} in silence ({time:.0f} s within reach)"


def _holding(reader: _Reader, message: Said) -> list[Span]:
    """When somebody who printed a message could hand it on."""
    since = reader.printed.get(message.text)
    if since is None:
        return []
    lost = min((when for when in reader.life.lost if when > since), default=reader.life.ended)
    return reader.life.free(since, lost)


def _common(one: Span, other: Span) -> float:
    return min(one[1], other[1]) - max(one[0], other[0])


def _false(claim: Confirmed, lives: Sequence[Life], readers: Sequence[_Reader]) -> Iterator[str]:
    name = _name(claim.said)
    if claim.count is None:
        author = next(life for life in lives if life.name == claim.said.author)
        if author.free(claim.started, claim.ended) != [(claim.started, claim.ended)]:
            return
        start, end = claim.started - ACQUAINTED, claim.ended + PRINTING
        for reader in readers:
            here = (start, end) in reader.life.free(start, end) and reader.life.name != claim.said.author
            when = reader.printed.get(claim.said.text)
            if here and (when is None or when > end):
                late = "never had it" if when is None else f"had it {when - claim.ended:.1f} s later"
                yield f"all confirmed {name}, but {reader.life.name} {late}"
        return
    had = sum(
        reader.printed.get(claim.said.text, claim.ended + PRINTING) < claim.ended + PRINTING
        for reader in readers
    )
    # Whoever prints nothing, or was killed since, may have confirmed it all the same.
    may = sum(
        life.joined < claim.ended and life.ended > claim.started and not life.said and life.objects is None
        for life in lives
    ) + sum(
        reader.life.killed and claim.started < reader.life.ended < claim.ended + PRINTING
        for reader in readers
    )
    if had + may < claim.count:
        yield f"{claim.count} confirmed {name}, but only {had} had it"


def _name(message: Said) -> str:
    return f"{message.author} {message.number}"
