"""`mcast listen`: print what arrives, for scripts."""

from __future__ import annotations

from mcast.links import Change
from mcast.plain import Line, PlainGroup

from . import exits, options
from .hooks import Hooks, On
from .lines import message_event, text_of, variables, verbose_text
from .render import Output
from .report import Reporter, interface_events
from .run import Ending, run


def listen(
    group: options.Groups = None,
    port: options.Port = None,
    interface: options.Interfaces = None,
    source: options.Sources = None,
    only4: options.Only4 = False,
    only6: options.Only6 = False,
    count: options.Count = None,
    timeout: options.Timeout = None,
    idle: options.Idle = None,
    on: On = None,
    plain: options.Plain = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Print what arrives in a group, a line each.

    Exit codes: 0 done or something came, 4 nothing came, 27 fewer than -C asked for, 3 no usable interface.
    """
    plan = options.make_plan(group, port, interface, only4, only6, sources=source or [])
    hooks = Hooks(on)

    async def command(ending: Ending, output: Output) -> int:
        async with PlainGroup(plan, wait=bool(plan.requested)) as joined:
            reporter = Reporter(joined, quiet=quiet, verbose=verbose)
            reporter.joined("listening to")
            listener = _Listener(joined, ending, output, reporter, hooks, count, json, verbose)
            complete = await ending.during(listener.work())
            reporter.drops(now=True)
            return _exit_code(ending, complete, listener.printed, count)

    return run(command, timeout=timeout, idle=idle)


def _exit_code(ending: Ending, complete: bool, printed: int, count: int | None) -> int:
    if complete or ending.reason == "closed" or printed == count:
        return exits.DONE
    if ending.reason == "signal":
        return exits.INTERRUPTED + ending.signal if count else exits.DONE
    if count:
        return exits.TIMED_OUT
    return exits.DONE if printed else exits.NOTHING_FOUND


class _Listener:
    """Prints and hands on every line; done when `count` are."""

    def __init__(
        self,
        group: PlainGroup,
        ending: Ending,
        output: Output,
        reporter: Reporter,
        hooks: Hooks,
        count: int | None,
        json: bool,
        verbose: bool,
    ) -> None:
        self.printed = 0
        self._group = group
        self._ending = ending
        self._output = output
        self._reporter = reporter
        self._hooks = hooks
        self._count = count
        self._json = json
        self._verbose = verbose

    async def work(self) -> None:
        await self._hooks.ready(str(self._group.plan.groups[0]))
        async for batch in self._group.batches():
            for event in batch:
                if isinstance(event, Change):
                    self._changed(event)
            lines = [event for event in batch if isinstance(event, Line)]
            if self._count is not None:
                lines = lines[: self._count - self.printed]
            await self._lines(lines)
            self._reporter.drops()
            if self.printed == self._count:
                return

    async def _lines(self, lines: list[Line]) -> None:
        if not lines:
            return
        self._ending.touch()
        if not self._hooks.wants("message"):
            self._print(lines)
            return
        for line in lines:
            self._print([line])
            await self._hooks.run("message", variables(line), line.data)

    def _print(self, lines: list[Line]) -> None:
        if self._json:
            self._output.events(map(message_event, lines))
        else:
            self._output.lines(verbose_text(line) if self._verbose else text_of(line) for line in lines)
        self.printed += len(lines)

    def _changed(self, change: Change) -> None:
        self._reporter.changed(change)
        if self._json:
            self._output.events(interface_events(change))
