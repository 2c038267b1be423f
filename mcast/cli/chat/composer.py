"""What is being typed on a terminal: keys, pastes of several lines, and the line below."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from prompt_toolkit import PromptSession
from prompt_toolkit.clipboard import ClipboardData
from prompt_toolkit.completion import CompleteEvent, Completer
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import Condition, has_completions, has_focus
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input.typeahead import store_typeahead
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.key_binding.key_processor import KeyPress
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import HSplit, Layout, Window
from prompt_toolkit.layout.controls import FormattedTextControl
from prompt_toolkit.layout.processors import ConditionalProcessor, PasswordProcessor, TabsProcessor
from prompt_toolkit.output import Output
from prompt_toolkit.styles import Style

from mcast.wire.limits import MESSAGE_MAX

from .render import ALERT, DIM, Parts, lines_of

PREVIEW = 3
"""Lines of a paste that are shown in the question whether to send it."""
STYLE = Style([("completion-menu.completion.current", "reverse"), ("completion-menu", "noinherit")])


class Composer:
    """Reads one message or command after the other. `prompt` and `status` are asked for what to show.

    moved: called when what was printed before is not where it was any more.
    """

    def __init__(
        self,
        output: Output,
        completer: Completer,
        prompt: Callable[[], Parts],
        status: Callable[[], Parts],
        moved: Callable[[], None],
    ) -> None:
        self._pasted = ""
        self._hint = ""
        self._secret = ""  # the question for it
        self._completer = completer
        self._status, self._prompt, self._moved = status, prompt, moved
        self._session: PromptSession[str] = PromptSession(
            self._message,
            erase_when_done=True,
            multiline=True,
            completer=completer,
            complete_while_typing=False,
            enable_suspend=True,
            key_bindings=self._bindings(),
            prompt_continuation=lambda width, *_: [("", " " * width)],
            history=_History(lambda: not self._secret),
            input_processors=[
                ConditionalProcessor(PasswordProcessor(), Condition(lambda: bool(self._secret))),
                TabsProcessor(char1=" ", char2=" ", tabstop=8),
            ],
            style=STYLE,
            output=output,
        )
        self.app = self._session.app
        # Not the toolbar of the session, which waits for a terminal to say where its cursor is.
        line = Window(FormattedTextControl(self._below), height=1, dont_extend_height=True, wrap_lines=False)
        layout = HSplit([self._session.layout.container, line])
        self.app.layout = Layout(layout, self._session.default_buffer)
        self.app.before_render += lambda _: self._shrink()
        self._session.default_buffer.on_text_changed += lambda _: self._forget_hint()

    def typed_before(self, text: str) -> None:
        """Take what was typed before the terminal was in raw mode, in which Enter is another character."""
        keys: list[KeyPress] = []
        parser = Vt100Parser(keys.append)
        parser.feed(text.replace("\n", "\r"))
        parser.flush()
        store_typeahead(self.app.input, keys)

    async def read(self) -> str | None:
        """What was typed or pasted, up to Enter; None after Ctrl-D or Ctrl-C."""
        try:
            text = await self._session.prompt_async(handle_sigint=False, set_exception_handler=False)
        except (EOFError, KeyboardInterrupt):
            return None
        # What is typed is UTF-8, even in a locale with another encoding.
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

    async def read_secret(self, question: str) -> str | None:
        """What was typed as the answer: it is not shown, nor brought back later. None if nothing was."""
        self._secret = question
        try:
            text = await self.read()
        finally:
            self._secret = ""
            self.app.clipboard.set_data(ClipboardData())  # what Ctrl-U took
        return " ".join((text or "").split()) or None

    def _message(self) -> StyleAndTextTuples:
        if self._secret:
            return [("bold", self._secret)]
        if not self._pasted:
            return [*self._prompt()]
        lines = lines_of(self._pasted.encode("utf-8", "replace"))
        shown: StyleAndTextTuples = [
            (DIM, f"  {line[: self.app.output.get_size().columns - 3]}\n") for line in lines[:PREVIEW]
        ]
        if len(lines) > PREVIEW:
            shown.append((DIM, f"  … {len(lines) - PREVIEW:,} more\n"))
        return [*shown, ("bold", f"send {len(lines):,} lines as one message? [Enter/edit/Esc] ")]

    def _below(self) -> StyleAndTextTuples:
        return [(ALERT, self._hint)] if self._hint else [*self._status()]

    def _shrink(self) -> None:
        """Give back the rows that a menu or a longer text needed: they would stay empty."""
        size, screen = self.app.output.get_size(), self.app.renderer.last_rendered_screen
        wanted = self.app.layout.container.preferred_height(size.columns, size.rows).preferred
        if screen is not None and wanted < screen.height:
            self.app.renderer.erase()

    def _forget_hint(self) -> None:
        self._hint = ""

    def _bindings(self) -> KeyBindings:
        keys = KeyBindings()
        asking = Condition(lambda: bool(self._pasted))
        typing = has_focus(DEFAULT_BUFFER) & ~asking
        secret = Condition(lambda: bool(self._secret))
        for key, call in (
            ("enter", lambda event: event.current_buffer.validate_and_handle()),
            ("c-j", _new_line),
            ("c-c", self._clear),
            ("c-l", self._clear_screen),
            ("c-z", self._suspend),
            (Keys.BracketedPaste, self._paste),
        ):
            keys.add(key, filter=typing)(call)
        keys.add("escape", "enter", filter=typing)(_new_line)
        keys.add("tab", filter=typing & ~has_completions & ~secret)(self._complete)
        for key, call in (
            (Keys.Any, self._ask_again),
            (Keys.BracketedPaste, self._ask_again),
            ("enter", self._send_paste),
            ("e", self._take),
            ("E", self._take),
            ("escape", self._drop),
            ("c-c", self._drop),
        ):
            keys.add(key, filter=asking, eager=True)(call)
        return keys

    def _clear(self, event: KeyPressEvent) -> None:
        """Clear what is typed; if nothing is, leave."""
        buffer = event.current_buffer
        if not buffer.text:
            event.app.exit(exception=KeyboardInterrupt())
            return
        buffer.append_to_history()  # the arrow up brings it back
        buffer.reset()
        self._hint = "cleared; Ctrl-C again leaves"

    def _clear_screen(self, event: KeyPressEvent) -> None:
        event.app.renderer.clear()
        self._moved()

    def _suspend(self, event: KeyPressEvent) -> None:
        self._moved()
        event.app.suspend_to_background()

    def _complete(self, event: KeyPressEvent) -> None:
        """Take the only completion at once: Enter may follow. Show a menu of several."""
        buffer = event.current_buffer
        found = list(islice(self._completer.get_completions(buffer.document, CompleteEvent()), 2))
        if len(found) == 1:
            buffer.apply_completion(found[0])
        elif found:
            buffer.start_completion(insert_common_part=True)

    def _send_paste(self, event: KeyPressEvent) -> None:
        self._take(event)
        event.current_buffer.validate_and_handle()

    def _drop(self, _: KeyPressEvent) -> None:
        self._pasted, self._hint = "", "the paste was not sent"

    def _ask_again(self, _: KeyPressEvent) -> None:
        self._hint = "Enter sends the paste, e edits it, Esc drops it"

    def _paste(self, event: KeyPressEvent) -> None:
        """A paste of one line is typed; of several, the user is asked whether they are one message."""
        text = event.data.replace("\r\n", "\n").replace("\r", "\n")
        if self._secret:
            event.current_buffer.insert_text(" ".join(text.split()))
        elif "\n" not in text.strip("\n"):
            event.current_buffer.insert_text(text.strip("\n"))
        elif (size := len(text.encode("utf-8", "replace"))) > MESSAGE_MAX:
            most = MESSAGE_MAX // 1024
            self._hint = f"this paste has {size // 1024} KiB, a message at most {most}: mcast send -f FILE"
        else:
            self._pasted = text.rstrip("\n")

    def _take(self, event: KeyPressEvent) -> None:
        """The paste becomes part of what is typed."""
        text, self._pasted, self._hint = self._pasted, "", ""
        event.current_buffer.insert_text(text)


class _History(InMemoryHistory):
    """What the arrow up brings back, but for what is typed while `keeps` says no."""

    def __init__(self, keeps: Callable[[], bool]) -> None:
        super().__init__()
        self._keeps = keeps

    def append_string(self, string: str) -> None:
        if self._keeps():
            super().append_string(string)


def _new_line(event: KeyPressEvent) -> None:
    event.current_buffer.newline(copy_margin=False)
