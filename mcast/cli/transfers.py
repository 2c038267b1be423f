"""What commands show of transfers of files: a bar on a terminal, lines in a pipe, JSON."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO, cast

from mcast.core.events import PeerId
from mcast.events import TransferOffered
from mcast.runtime.bulk.views import Progress, ReceiverProgress, State

from .items import GroupContext, author_field, offer_fields
from .offers import gets_on, offer_text, share_text, size_text, standing, stuck_text
from .output import Output, OutputClosed, escape
from .session import GroupSession, Reporter
from .streams import ROOM, Writer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

ROWS = 8
"""Receivers that have a bar of their own. Of more, only the number is said."""
REPORT = 1.0
"""Seconds between two lines of JSON about the progress."""
PACE_STEP, PACE_SPAN = 1.0, 10.0
"""Seconds between two looks at what a receiver has, and over which its pace is the mean."""
READING = "reading"
"""What stands for a transfer while its files are read: no transfer has this id."""
FINISH = 0.5
"""Seconds that the last bar may take to be written."""

_WORDS = {
    State.ACCEPTED: "takes it",
    State.RECEIVING: "takes it",
    State.WHOLE: "has it whole",
    State.FAILED: "cannot take it",
}
KEPT = "; what it has is kept there"


def current(receivers: Iterable[ReceiverProgress]) -> list[ReceiverProgress]:
    """Those that count: who gave up or went silent and was started again counts once."""
    receivers = list(receivers)
    latest: dict[bytes, int] = {}
    for one in receivers:
        peer_id = one.peer_id
        latest[peer_id.origin] = max(peer_id.incarnation, latest.get(peer_id.origin, 0))
    return [
        one
        for one in receivers
        if one.state not in (State.FAILED, State.SILENT)
        or one.peer_id.incarnation == latest[one.peer_id.origin]
    ]


async def follow(session: GroupSession, reporter: Reporter) -> None:
    """Take what happens in the group, so that nobody waits for us, and tell what concerns the network."""
    async for changes, items in session.batches():
        for change in changes:
            reporter.changed(change)
        for item in items:
            if item.type == "alarm":
                reporter.notice(item)
        reporter.drops()


class TransferView:
    """Shows transfers while they run: what happens to their receivers, and how far they are.

    bars: where there is a terminal. say: what tells the user something. json: where to print JSON, if wanted.
    getting: they come to us, and have no receivers here.
    """

    def __init__(
        self,
        context: GroupContext,
        bars: TerminalBars | None,
        say: Callable[[str], None],
        json: Output | None,
        *,
        getting: bool = False,
    ) -> None:
        self.say = say
        self._getting = getting
        self._context, self._bars, self._json = context, bars, json
        self._states: dict[tuple[str, PeerId], tuple[State, str]] = {}
        self._told: dict[tuple[str, PeerId], set[str]] = {}
        self._whole: set[tuple[str, bytes, str]] = set()
        self._reported: dict[str, float] = {}
        self._began: dict[str, float] = {}

    def label(self, receiver: ReceiverProgress) -> str:
        """The label of a receiver, escaped."""
        return self._context.labels.label(receiver.peer_id, receiver.name)

    def reading(self, title: str, done: int, size: int) -> None:
        """Show how far files are read before they can be offered; without a title, not any more."""
        if self._bars:
            self._bars.reading(title, done, size)

    def begin(self, offer: TransferOffered, words: str) -> None:
        """A transfer begins: say so."""
        self._began[offer.id] = time.monotonic()
        self.say(words)
        self._print("offer", offer_fields(offer))

    def look(self, offer: TransferOffered, progress: Progress, have: int) -> None:
        """Show how a transfer stands; `have` is how much of it there is where it matters."""
        for receiver in progress.receivers:
            key = offer.id, receiver.peer_id
            state = receiver.state, receiver.reason
            if self._states.get(key) != state:
                self._states[key] = state
                self._changed(offer, receiver, progress.total)
        now = time.monotonic()
        if now >= self._reported.get(offer.id, 0.0) + REPORT:
            self._reported[offer.id] = now
            self._print("progress", {"id": offer.id, **_amounts(progress, have)})
        if self._bars:
            self._bars.show(offer, have, progress, None if self._getting else self.label)

    def end(
        self, offer: TransferOffered, progress: Progress, have: int, state: str, *, reason: str, **more: Any
    ) -> None:
        """A transfer has ended."""
        seconds = round(self.seconds(offer), 3)
        fields = {"state": state, **_amounts(progress, have), "seconds": seconds, **more}
        self._print("transfer", offer_fields(offer) | fields | ({"reason": reason} if reason else {}))
        if self._bars:
            self._bars.forget(offer)

    def seconds(self, offer: TransferOffered) -> float:
        """How long it has taken until now."""
        return time.monotonic() - self._began[offer.id]

    def _print(self, kind: str, fields: Mapping[str, Any]) -> None:
        if self._json:
            with contextlib.suppress(OutputClosed):  # the command ends, and tells what is not whole
                self._json.events([{**self._context.head(kind, time.time()), **fields}])

    def _changed(self, offer: TransferOffered, receiver: ReceiverProgress, total: int) -> None:
        text = self._text(receiver, total)
        if not self._was_told(offer, receiver, text):
            self.say(text)
        fields = {"state": str(receiver.state), "have": receiver.have, "total": total, "way": receiver.way}
        author = author_field(receiver.peer_id, receiver.name)
        reasons = {"reason": receiver.reason} if receiver.reason else {}
        self._print("receiver", {"id": offer.id, **author, **fields, **reasons})

    def _text(self, receiver: ReceiverProgress, total: int) -> str:
        """How a receiver stands, for people."""
        label, share = self.label(receiver), share_text(receiver.have, total)
        if standing(receiver) == "stopped":
            return f"{label} stopped at {share}" + (KEPT if receiver.have else "")
        if stuck := stuck_text(receiver, label, total):
            return stuck
        if receiver.state == State.SILENT:
            return f"{label} is silent at {share}"
        reason = f": {escape(receiver.reason)}" if receiver.reason else ""
        return f"{label} {_WORDS[receiver.state]}{reason}"

    def _was_told(self, offer: TransferOffered, receiver: ReceiverProgress, text: str) -> bool:
        """Whether this was told before: of who is silent now and then, once for each time that it has got
        further. Who has it whole and gets it again is not told of again."""
        whole = offer.id, receiver.peer_id.origin, self.label(receiver)
        told = self._told.setdefault((offer.id, receiver.peer_id), set())
        again = whole in self._whole and (receiver.state == State.WHOLE or gets_on(receiver))
        known = again or text in told
        told.add(text)
        if receiver.state == State.WHOLE:
            self._whole.add(whole)
        return known


def _amounts(progress: Progress, have: int) -> dict[str, Any]:
    return {
        "have": have,
        "total": progress.total,
        "bytes_sent": progress.sent,
        "bytes_received": progress.received,
        "rate": round(progress.rate),
    }


class Paces:
    """How fast each receiver gets on, by what it had in the last seconds."""

    def __init__(self) -> None:
        self._seen: dict[PeerId, deque[tuple[float, int]]] = {}

    def note(self, receivers: Iterable[ReceiverProgress], now: float) -> None:
        """Remember what each has now. Those that are not among them are forgotten."""
        before, self._seen = self._seen, {}
        for one in receivers:
            seen = self._seen[one.peer_id] = before.get(one.peer_id, deque())
            if not seen or now - seen[-1][0] >= PACE_STEP:
                seen.append((now, one.have))
            while len(seen) > 1 and now - seen[1][0] >= PACE_SPAN:
                seen.popleft()

    def seconds_left(self, receivers: Iterable[ReceiverProgress], total: int, now: float) -> float | None:
        """Until the last of those that get on has everything; None if one of them does not say yet."""
        longest = 0.0
        for one in receivers:
            if not gets_on(one) or one.have >= total:
                continue
            since, had = self._seen[one.peer_id][0]
            if now - since < PACE_STEP or one.have <= had:
                return None
            longest = max(longest, (total - one.have) * (now - since) / (one.have - had))
        return longest or None


class TerminalBars:
    """Bars on a terminal: one for each transfer, and one for each receiver of it."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column

        self._writer = Writer(stream)
        # rich only asks these of a file. Whatever it writes goes out in the background.
        file = cast(TextIO, _Background(self._writer))
        self.console = Console(
            file=file, force_terminal=True, markup=False, highlight=False, emoji=False, soft_wrap=True
        )
        self._bars: Bars = Progress(
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[detail]}", markup=False, table_column=Column(no_wrap=True)),
            console=self.console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._tasks: dict[tuple[str, PeerId | None], TaskID] = {}
        self._paces = Paces()

    def reading(self, title: str, done: int, size: int) -> None:
        """Draw how far files are read; without a title, not any more."""
        if title:
            self._show(READING, None, f"reading {escape(title)} …", done, size, share_text(done, size))
            self._draw()
        else:
            self._remove(READING)

    def show(
        self,
        offer: TransferOffered,
        have: int,
        progress: Progress,
        label: Callable[[ReceiverProgress], str] | None,
    ) -> None:
        """Draw the bars anew, unless the terminal is stopped. Without `label`, the files come to us."""
        title, total = offer_text(offer), progress.total
        if label is None:
            self._show(offer.id, None, title, have, total, _stands(have, progress, _seconds(have, progress)))
            self._draw()
            return
        receivers = current(progress.receivers)
        self._show(offer.id, None, title, have, total, self._sent(have, progress, receivers))
        for receiver in receivers[:ROWS]:
            detail = f"{share_text(receiver.have, progress.total)}, {standing(receiver)}"
            if receiver.way != "multicast":
                detail += f", by {receiver.way}"
            self._show(
                offer.id, receiver.peer_id, f"  {label(receiver)}", receiver.have, progress.total, detail
            )
        self._draw()

    def _sent(self, have: int, progress: Progress, receivers: Sequence[ReceiverProgress]) -> str:
        """How a transfer to these stands."""
        now = time.monotonic()
        self._paces.note(receivers, now)
        if not receivers:
            return "nobody has accepted it yet"
        whole = sum(receiver.state == State.WHOLE for receiver in receivers)
        detail = share_text(have, progress.total)
        if any(map(gets_on, receivers)):
            left = self._paces.seconds_left(receivers, progress.total, now)
            detail = _stands(have, progress, left)
        return f"{detail}; {whole} of {len(receivers)} whole"

    def _draw(self) -> None:
        if self._writer.waiting <= ROOM:
            self._bars.refresh()

    def forget(self, offer: TransferOffered) -> None:
        """Take the bars of a transfer away."""
        self._remove(offer.id)

    def _remove(self, transfer: str) -> None:
        gone = [key for key in self._tasks if key[0] == transfer]
        for key in gone:
            self._bars.remove_task(self._tasks.pop(key))
        if gone:
            self._draw()

    def _show(
        self, transfer: str, peer: PeerId | None, title: str, have: int, total: int, detail: str
    ) -> None:
        task = self._tasks.get((transfer, peer))
        if task is None:
            task = self._tasks[transfer, peer] = self._bars.add_task(title, detail=detail)
        self._bars.update(task, completed=have, total=max(total, 1), detail=detail)

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        """Show them. What is noted meanwhile is printed above them."""
        before, sys.stderr = sys.stderr, _Above(self.console)
        try:
            with self._bars:
                yield
        finally:
            sys.stderr = before
            self._writer.finish(FINISH)


@contextlib.contextmanager
def terminal_bars(wanted: bool) -> Iterator[TerminalBars | None]:
    """The bars, if they are wanted and standard error is a terminal that can show them."""
    if not wanted or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield None
        return
    bars = TerminalBars(sys.stderr)
    with bars.on():
        yield bars


class _Background:
    """A file for rich, which writes in the background."""

    def __init__(self, writer: Writer) -> None:
        self.encoding = writer.encoding
        self.write = writer.put

    def flush(self) -> None:
        """Nothing: what is written is flushed."""

    def isatty(self) -> bool:
        return True


class _Above(io.TextIOBase):
    """Standard error while there are bars."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._line = ""

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._console.print(line)
        return len(text)

    def isatty(self) -> bool:
        return True


def _seconds(have: int, progress: Progress) -> float | None:
    """Until all that comes to us is here; None if that is not known, or it is."""
    return (progress.total - have) / progress.rate if progress.rate and have < progress.total else None


def _stands(have: int, progress: Progress, left: float | None) -> str:
    """How far a transfer is, how fast it is, and how long it will take."""
    time_left = f", {_time_text(left)} left" if left is not None else ""
    return f"{share_text(have, progress.total)}, {size_text(progress.rate)}/s{time_left}"


def _time_text(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
