"""`mcast listen`: print what arrives, for scripts."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from mcast.events import InterfacesChanged
from mcast.net.links import Change

from . import exits, options, who
from .hooks import Hooks, On
from .items import Item, foreign_text, text_of, verbose_text
from .opening import Network
from .render import Output
from .report import Reporter, interface_events
from .run import Ending, run
from .wires import Wire

URGENT = ("alarm", "overflow", "gap", "slow", "sending")  # told unasked

Passive = Annotated[
    bool, typer.Option("--passive", help="Never send anything, so nothing that was lost is asked for.")
]


def listen(
    context: typer.Context,
    group: options.Groups = None,
    port: options.Port = None,
    room: who.Room = "",
    key_file: who.KeyFile = None,
    name: who.Name = None,
    profile: who.ProfileName = "default",
    interface: options.Interfaces = None,
    source: options.Sources = None,
    only4: options.Only4 = False,
    only6: options.Only6 = False,
    peer: options.Peers = None,
    count: options.Count = None,
    timeout: options.Timeout = None,
    idle: options.Idle = None,
    last: options.Last = None,
    since: options.Since = None,
    on: On = None,
    passive: Passive = False,
    plain: options.Plain = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Print the messages that arrive in a group, a line each.

    Exit codes: 0 done or something came, 4 nothing came, 27 fewer than -C asked for, 3 no usable interface.
    """
    network = Network(context, group, port, interface, only4, only6, sources=tuple(source or ()))
    me = who.Who(profile, name, room, key_file)
    hooks = Hooks(on)

    async def command(ending: Ending, output: Output) -> int:
        silent = passive or bool(source)
        # Who asks for what was said before speaks up; others keep still until they have heard somebody.
        asked = {"last": last, "since": since}
        manners: dict[str, Any] = {
            "several": True,
            "quiet": last is None and since is None,
            "passive": silent,
            "peers": peer or (),
            **asked,
        }
        wire = network.plain(sends=False) if plain else network.protocol(me, **manners)
        async with wire as joined, hooks:
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
    """Prints and hands on what happens; done when `count` messages were printed."""

    def __init__(
        self,
        wire: Wire,
        ending: Ending,
        output: Output,
        reporter: Reporter,
        hooks: Hooks,
        count: int | None,
        json: bool,
        verbose: bool,
    ) -> None:
        self.printed = 0
        self._wire = wire
        self._ending = ending
        self._output = output
        self._reporter = reporter
        self._hooks = hooks
        self._count = count
        self._json = json
        self._verbose = verbose

    async def work(self) -> None:
        await self._hooks.ready(str(self._wire.plan.groups[0]))
        async for batch in self._wire.batches():
            items: list[Item] = []
            for happening in batch:
                if isinstance(happening, Change | InterfacesChanged):
                    self._changed(happening)
                else:
                    items.append(happening)
            await self._show(self._wanted(items))
            self._reporter.drops()
            if self.printed == self._count:
                await self._hooks.done()
                return

    def _wanted(self, items: list[Item]) -> list[Item]:
        """Those up to the last message that -C asked for."""
        if self._count is None:
            return items
        left = self._count - self.printed
        for place, item in enumerate(items):
            left -= item.type == "message" and not item.foreign
            if left == 0:
                return items[: place + 1]
        return items

    async def _show(self, items: Sequence[Item]) -> None:
        self._print(items)
        for item in items if self._hooks.wants_any() else ():
            await self._hooks.hand(item.type, item.variables(), item.data)

    def _print(self, items: Sequence[Item]) -> None:
        messages = [item for item in items if item.type == "message" and not item.foreign]
        if messages:
            self._ending.touch()
        if self._json and items:
            self._output.events(item.event() for item in items)
        elif messages:
            self._output.lines(map(verbose_text if self._verbose else text_of, messages))
        for item in items:
            if item.foreign and not self._json:
                self._reporter.say(foreign_text(item))
            elif item.type != "message" and (self._verbose or item.type in URGENT):
                self._reporter.say(item.news())
        self.printed += len(messages)

    def _changed(self, change: Change | InterfacesChanged) -> None:
        self._reporter.changed(change)
        if self._json:
            self._output.events(interface_events(change))
