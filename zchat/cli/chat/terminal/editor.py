"""The foot of a chat's screen: what is not stored yet, the line being typed, the status line."""

from __future__ import annotations

import asyncio
import time

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, get_common_complete_suffix
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition, has_focus
from prompt_toolkit.history import History
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import BufferControl, ConditionalContainer, FormattedTextControl, HSplit, Layout, Window
from prompt_toolkit.layout.dimension import Dimension
from prompt_toolkit.output import Output
from prompt_toolkit.selection import SelectionType
from prompt_toolkit.widgets import SearchToolbar

from zchat.cli.chat.conversation import Conversation
from zchat.cli.chat.rooms import Place
from zchat.cli.chat.status import SEPARATOR, status_line
from zchat.cli.chat.syntax import is_quit, leads
from zchat.cli.chat.terminal.outbox import Outbox
from zchat.cli.chat.terminal.typed_lines import TypedLine, TypedLines
from zchat.cli.failures import INTERRUPTED
from zchat.cli.screen.suspending import suspend
from zchat.cli.screen.terminal_output import Escapes, draw_whole_rows, drawn_by_cells
from zchat.cli.screen.typed_ahead import TypedAhead
from zchat.cli.text.columns import beginning, cells, cut
from zchat.cli.text.phrases import counted
from zchat.cli.text.safe import INDENT, named, safe
from zchat.names import DIRECT

LINES_WAITING = 100
"""Lines that may wait to be done before Enter takes no more: for instance while a broker doesn't answer."""

LINES_PASTED = 1_000
"""Lines of a paste that are sent as messages of their own at most; for more there is `zchat send`."""

ROWS = 8
"""Rows of the text being typed that are shown: most of a small screen stays for the messages."""

WAITING_SHOWN = 3
"""Messages shown that are not stored yet; of more only the number is shown."""

NOTICE_SECONDS = 4.0
"""Seconds that a notice takes the place of the status line: long enough to be read."""

REFRESH_SECONDS = 1.0
"""Seconds after which the status line is drawn again: not every change of who is here brings an event."""

KEYS = (
    ("Alt-Enter", "start a new line"),
    ("Tab, Up, Ctrl-R", "complete, recall"),
)
"""Keys with what they do, for the list of commands."""


class Editor:
    """The foot of the screen. The event loop's thread.

    Args:
        conversation: whose status is shown, and which is notified of typing.
        outbox: whose drafts are shown.
        completer: what Tab completes.
        history: the lines of before.
        keyboard: what the keys come from.
        ahead: the keys that are held until there is `room`.
        output: the terminal.
    """

    def __init__(
        self,
        conversation: Conversation,
        outbox: Outbox,
        completer: Completer,
        history: History,
        keyboard: Input,
        ahead: TypedAhead,
        output: Output,
    ) -> None:
        self._completer = completer
        self._choices: list[Completion] = []
        """What Tab goes through."""
        self._completed = Document()
        """The line that Tab began with."""
        self._chosen: Document | None = None
        """The line as Tab left it last; None before it."""
        self._conversation = conversation
        self._outbox = outbox
        self._pasted = ""
        """Pasted lines that the user is being asked about."""
        self._meant: list[Place] = []
        """Where the line being typed, or pasted, is meant for: where it was begun, then where keys lead it; empty
        for an empty line."""
        self._ahead = ahead
        self._typed_at: Place | None = None
        """Where what is being taken was meant for when it came; None before anything has come."""
        self._notice = ""
        self._noticed_at = 0.0
        self.lines = TypedLines()
        """The lines that the user has typed."""
        self.left: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """The code that the program exits with, once Ctrl-C or a signal has ended the chat."""
        self._buffer = _Typed(history=history, multiline=True, on_text_changed=self._changed)
        search = SearchToolbar(_Typed(), text_if_not_searching="")
        waiting = Window(FormattedTextControl(self._waiting), dont_extend_height=True)
        self._text = text = Window(
            BufferControl(
                self._buffer,
                [Escapes(output.encoding())],
                search_buffer_control=search.control,
                preview_search=True,
            ),
            height=Dimension(min=1, max=ROWS),
            get_line_prefix=self._prefix,
            wrap_lines=True,
            dont_extend_height=True,
        )
        status = Window(FormattedTextControl(self._status), height=1, style="reverse")
        some_wait = Condition(lambda: bool(outbox.unseen or self.lines.waiting))
        self.app: Application[None] = Application(
            Layout(HSplit([ConditionalContainer(waiting, some_wait), text, search, status]), text),
            key_bindings=self._keys(),
            erase_when_done=True,
            refresh_interval=REFRESH_SECONDS,
            input=keyboard,
            output=drawn_by_cells(output),
        )
        draw_whole_rows(self.app)

        self.app.key_processor.before_key_press += lambda processor: conversation.key()

    @property
    def _width(self) -> int:
        return self.app.output.get_size().columns

    # -- what is shown ------------------------------------------------------------------------------

    def _waiting(self) -> str:
        drafts, typed = self._outbox.unseen, self.lines.waiting
        width = self._width
        lines = [
            f"… {'' if draft.room.startswith(DIRECT) else '#'}{named(draft.room)}: {beginning(draft.text, width)}"
            for draft in drafts[:WAITING_SHOWN]
        ]
        lines += [f"… {beginning(line, width)}" for line in typed[: WAITING_SHOWN - len(lines)]]
        more = len(drafts) + len(typed) - len(lines)
        if more:
            lines.append(f"… and {more:,} more waiting")
        return "\n".join(cut(safe(line), width) for line in lines)

    def _prefix(self, line: int, part: int) -> str:
        if line or part:
            return INDENT
        return f"{self._conversation.status.place}> "

    def _status(self) -> str:
        if self._pasted and not self._ahead.holds:
            return self._question()
        status = self._conversation.status
        if self._notice and status.connected and time.monotonic() - self._noticed_at < NOTICE_SECONDS:
            return cut(safe(beginning(self._notice, self._width)), self._width)
        hidden = cut(self._hidden(), self._width)
        return hidden + status_line(status, self._width - cells(hidden))

    def _hidden(self) -> str:
        """Return, as the status line says it, that keys are held, or the text's beginning is above its window."""
        if self._ahead.holds:
            return f"typed ahead: Ctrl-C drops it{SEPARATOR}"
        shown = self._text.render_info
        hidden = shown is not None and (shown.vertical_scroll or self._text.vertical_scroll_2)
        return f"↑ more above{SEPARATOR}" if hidden else ""

    def _show_notice(self, text: str) -> None:
        self._notice = text
        self._noticed_at = time.monotonic()

    def _question(self) -> str:
        lines = counted(len(self._pasted_lines()), "line")
        long = f"{lines} pasted. Enter: send as one, Tab: edit, Ctrl-L: send each, Esc: discard"
        return long if len(long) <= self._width else cut(f"{lines}: Enter sends, Tab edits, ^L each", self._width)

    # -- what is typed -----------------------------------------------------------------------------

    def _changed(self, buffer: Buffer) -> None:
        self._notice = ""
        self._note_begin()
        self._conversation.typed(buffer.text)

    def _note_begin(self) -> None:
        """Record where the line was begun, if it is not empty any more; or that it is empty."""
        if not self._buffer.text.strip() and not self._pasted:
            self._meant.clear()
        elif not self._meant:
            self._meant.append(self._place)

    @property
    def _place(self) -> Place:
        """Return where the user is, or will be once the lines that wait are done; of what was held, was or would be."""
        return self._typed_at or self.lines.leads_to or self._conversation.place

    @property
    def asks(self) -> bool:
        """Return True while no text that comes is typed into the line: pasted lines are asked about, or keys held."""
        return bool(self._pasted) or self._ahead.holds

    def room(self) -> int:
        """Return how many lines can be taken. Called before each time that keys are."""
        if not self._ahead.holds:
            self._typed_at = None
            self._typed_at = self._place
        waiting = len(self.lines.waiting)
        return max(0 if waiting else 1, LINES_WAITING - waiting)

    def withdraw(self) -> list[str]:
        """Return the lines that are not being done yet, those of keys that are held too, and forget them."""
        held = self._ahead.forget()
        *lines, _ = (self._buffer.text + held).split("\n") if "\n" in held else [""]
        return [*self.lines.withdraw(), *filter(str.strip, lines)]

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        asking = Condition(lambda: bool(self._pasted))
        writing = has_focus(self._buffer) & ~asking
        empty = Condition(lambda: not self._buffer.text)

        @keys.add("enter", filter=writing)
        def _(event: KeyPressEvent) -> None:
            self._enter()

        @keys.add("escape", "enter", filter=writing)
        def _(event: KeyPressEvent) -> None:
            self._buffer.insert_text("\n")

        @keys.add("tab", filter=writing)
        def _(event: KeyPressEvent) -> None:
            self._complete()

        @keys.add("c-c", filter=empty & writing)
        @keys.add("<sigint>")
        def _(event: KeyPressEvent) -> None:
            self.leave(INTERRUPTED)

        @keys.add("c-c", filter=~empty & writing)
        def _(event: KeyPressEvent) -> None:
            self._buffer.append_to_history()
            self._buffer.reset()
            self._note_begin()
            self._conversation.typed("")
            self._show_notice("Up brings the line back; Ctrl-C again leaves")

        @keys.add("c-l", filter=writing)
        def _(event: KeyPressEvent) -> None:
            self._conversation.clear()

        @keys.add("pageup", filter=writing)
        def _(event: KeyPressEvent) -> None:
            self._do("/messages")

        @keys.add("escape", "a", filter=writing)
        def _(event: KeyPressEvent) -> None:
            self._do("/next")

        @keys.add("c-d", filter=empty & writing)
        def _(event: KeyPressEvent) -> None:
            self.lines.end()

        @keys.add("c-z")
        def _(event: KeyPressEvent) -> None:
            suspend()

        @keys.add("c-o", filter=writing)
        @keys.add("escape", "#", filter=writing)
        @keys.add("c-q")
        @keys.add("c-x", eager=True)
        @keys.add("c-]", eager=True)
        @keys.add("escape", "c-]", eager=True)
        def _(event: KeyPressEvent) -> None:
            """Do nothing: in other programs these keys remove the line, or take the next key for something else."""

        def digit(event: KeyPressEvent) -> None:
            """Type it: in other programs it begins a number, which the digits that follow go into unseen."""
            self._buffer.insert_text(event.data)

        for each in "0123456789-":
            keys.add("escape", each, filter=writing)(digit)

        @keys.add(Keys.BracketedPaste, filter=writing | asking)
        def _(event: KeyPressEvent) -> None:
            self._paste(event.data)

        @keys.add("enter", filter=asking)
        def _(event: KeyPressEvent) -> None:
            self._insert_pasted()
            self._enter()

        @keys.add("tab", filter=asking)
        def _(event: KeyPressEvent) -> None:
            self._insert_pasted()

        @keys.add("c-l", filter=asking)  # no letter, or who types on without looking sends many messages
        def _(event: KeyPressEvent) -> None:
            self._send_each()

        @keys.add("escape", filter=asking, eager=True)
        @keys.add("c-c", filter=asking)
        @keys.add("c-g", filter=asking)
        def _(event: KeyPressEvent) -> None:
            self._ask_about("")

        @keys.add(Keys.Any, filter=asking)
        def _(event: KeyPressEvent) -> None:
            event.app.output.bell()

        return keys

    def _complete(self) -> None:
        """Complete the line as far as it goes; then go through the choices, which the status line shows."""
        buffer = self._buffer
        if self._chosen != buffer.document:
            self._completed = buffer.document
            self._choices = list(self._completer.get_completions(self._completed, CompleteEvent()))
            suffix = get_common_complete_suffix(self._completed, self._choices)
            if len(self._choices) > 1:
                if suffix:
                    buffer.insert_text(suffix)
                    self._completed = buffer.document
                    self._choices = list(self._completer.get_completions(self._completed, CompleteEvent()))
                self._chosen = buffer.document
                self._show_choices("")
                return
        if self._choices:
            choice = self._choices.pop(0)
            self._choices.append(choice)
            buffer.document = self._completed
            buffer.delete_before_cursor(-choice.start_position)
            buffer.insert_text(choice.text)
            self._chosen = None
            if len(self._choices) > 1:
                self._chosen = buffer.document
                self._show_choices(choice.text)

    def _show_choices(self, chosen: str) -> None:
        texts = [choice.text.strip() for choice in self._choices if choice.text != chosen]
        self._show_notice("  ".join(texts))

    def leave(self, code: int) -> None:
        """End the chat at once; the program exits with `code`."""
        if not self.left.done():
            self.left.set_result(code)

    def _enter(self) -> None:
        """Take the line; if too many are waiting, which `room` prevents on most systems, begin another in the text."""
        line = self._buffer.text
        if not line.strip():
            self._buffer.reset()
        elif self._has_space(1):
            self._buffer.append_to_history()
            self._put(line)
            self._buffer.reset()
            self._note_begin()
            if is_quit(line):
                self.lines.end()
        else:
            self._buffer.insert_text("\n")
            self._has_space(1)  # says why: a change of the text takes a notice away

    def _do(self, command: str) -> None:
        """Carry out a command that stands for a key; the line being typed stays, and goes along."""
        if self._has_space(1):
            meant, leads_to = self._place, self._led_to(command)
            self._line(TypedLine(command, meant, leads_to))
            if leads_to and meant in self._meant:
                self._meant.append(leads_to)

    def _put(self, line: str) -> None:
        """Have a line carried out that was typed or pasted."""
        meant = self._place
        if self._meant and meant not in self._meant:  # the user was removed since, and may not have seen it
            meant = self._meant[0]
        self._line(TypedLine(line, meant, self._led_to(line)))

    def _line(self, line: TypedLine) -> None:
        self.lines.put(line)
        if line.leads_to and self._typed_at:
            self._typed_at = line.leads_to

    def _led_to(self, line: str) -> Place | None:
        return self._conversation.coming() if leads(line) else None

    def _ask_about(self, pasted: str) -> None:
        """Ask what is to be done with pasted lines; "" to ask no longer."""
        self._pasted = pasted
        self._note_begin()

    def _insert_pasted(self) -> None:
        self._buffer.insert_text(self._pasted.rstrip("\n"))
        self._pasted = ""

    def _has_space(self, lines: int) -> bool:
        waiting = len(self.lines.waiting)
        if waiting and waiting + lines > LINES_WAITING:
            self._show_notice(f"{counted(waiting, 'line')} of yours still waiting: try again later")
            return False
        self._notice = ""
        return True

    def _paste(self, text: str) -> None:
        """Insert pasted text; ask first if it has several lines, together with those that are being asked about."""
        text = self._pasted + text.replace("\r\n", "\n").replace("\r", "\n")
        if not self._buffer.text:
            text = text.lstrip("\n")
        if "\n" in text.rstrip("\n"):
            self._ask_about(text)
        else:
            self._buffer.insert_text(text.rstrip("\n"))

    def _pasted_lines(self) -> list[str]:
        return [line for line in self._pasted.split("\n") if line.strip()]

    def _send_each(self) -> None:
        """Send each line of a paste as a message of its own; one that begins with / is no command."""
        lines = self._pasted_lines()
        if len(lines) > LINES_PASTED:
            self._ask_about("")
            self._show_notice(f"more than {LINES_PASTED:,} lines: use zchat send ROOM < FILE")
        elif self._has_space(len(lines)):
            for line in lines:
                self._put(f"/{line}" if line.startswith("/") else line)
            self._ask_about("")


class _Typed(Buffer):
    """A text without selections: while there is one, keys that are typed would be passed over unseen."""

    def start_selection(self, selection_type: SelectionType = SelectionType.CHARACTERS) -> None:
        """Do nothing: a key that begins a selection moves the cursor at most."""
