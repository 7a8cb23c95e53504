"""The keys of a terminal: it is set in the foreground alone, and a paste whose end never comes ends all the same."""

from __future__ import annotations

import asyncio
import math
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from prompt_toolkit.input import Input

from zchat.cli.foreground import in_foreground
from zchat.cli.screen.late_paste import PASTE_BEGIN, PASTE_END, LatePaste
from zchat.cli.screen.typed_ahead import TypedAhead

PASTE_SECONDS = 1.0
"""Seconds of silence after which a paste is taken as complete: its end was lost, with a connection for example."""

ESCAPE_SECONDS = 0.1
"""Seconds after which Esc is a key of its own: a key or an answer of which it is the first character comes at once."""

ALONE_SECONDS = 0.1
"""Seconds of silence after which a key was typed that may be of a paste whose end is late: that is sent in one go."""

HELD_EVERY = 0.05
"""Seconds between two tries to have keys taken that are held."""

INTERRUPT = "\x03"
"""Ctrl-C, as a terminal sends it."""

END = "\x04"
"""Ctrl-D, as a terminal sends it."""

LINUX_END = "\0"
"""What Linux makes of a Ctrl-D that was typed at a terminal which took lines, and is read once it gives each key."""

if sys.platform == "win32":
    from prompt_toolkit.input import create_input

    def terminal_input(ahead: TypedAhead | None = None, asked: Callable[[], bool] = lambda: False) -> Input:
        """Return what the keys come from."""
        return create_input()

else:
    import termios

    from prompt_toolkit.input.posix_utils import PosixStdinReader
    from prompt_toolkit.input.vt100 import Vt100Input, cooked_mode, raw_mode
    from prompt_toolkit.key_binding import KeyPress

    from zchat.cli.screen.key_parser import KeyParser

    def terminal_input(ahead: TypedAhead | None = None, asked: Callable[[], bool] = lambda: False) -> Input:
        """Return what the keys come from.

        Args:
            ahead: what holds the keys that can't be taken yet, None if all can be.
            asked: returns whether a question about pasted text is open, at which no text is an answer.
        """
        return TerminalInput(sys.stdin, ahead, asked)

    def _has_input(terminal: int) -> bool:
        poll = select.poll()
        poll.register(terminal, select.POLLIN)
        return bool(poll.poll(0))

    class _Raw(raw_mode):
        """A terminal's raw mode while the block runs, unless another job has the terminal.

        `early` is called if something was typed before, which the system has taken as of lines.
        """

        def __init__(self, terminal: int, early: Callable[[], object] = lambda: None) -> None:
            super().__init__(terminal)
            self._early = early

        def __enter__(self) -> None:
            self._entered = in_foreground(self.fileno)
            if self._entered:
                super().__enter__()
                modes = 0 if self.attrs_before is None else self.attrs_before[3]
                if isinstance(modes, int) and modes & termios.ICANON and _has_input(self.fileno):
                    self._early()

        def __exit__(self, *error: object) -> None:
            if self._entered and in_foreground(self.fileno):
                super().__exit__(*error)

    class _Cooked(_Raw, cooked_mode):
        """Likewise the mode that other programs use it in."""

    class TerminalInput(Vt100Input):
        """The keys of standard input. The event loop's thread.

        A paste that a terminal marks ends with its end mark; or, as that may be lost, after a second of silence, or
        with a Ctrl-C that comes by itself. What has come of it until then is pasted. What comes later of the same
        paste isn't typed either: it is pasted too (`LatePaste`), up to its end mark or the next second of silence.

        Bytes that are no text in the terminal's encoding become U+FFFD, typed or pasted, as they do in every input.

        Keys that can't be taken yet are held. While they are too many the terminal isn't read.

        What a terminal sends that is no key is passed over. One that has no end is over after half a second of silence
        (prompt_toolkit's `flush_keys`), or with Enter, Ctrl-C or any other control character.
        """

        def __init__(
            self, stdin: Any, ahead: TypedAhead | None = None, asked: Callable[[], bool] = lambda: False
        ) -> None:
            super().__init__(stdin)
            self._asked = asked
            self._ahead = ahead or TypedAhead(lambda: math.inf)
            self.stdin_reader = PosixStdinReader(self.fileno(), errors="replace", encoding=stdin.encoding)
            self._keys = self.vt100_parser = KeyParser(lambda key: self._buffer.append(key))
            self._ready: Callable[[], None] = lambda: None
            """What is called once there are keys."""
            self._silence: asyncio.TimerHandle | None = None
            """What ends a paste, or the wait for what comes after Esc, after a time of silence."""
            self._late: LatePaste | None = None
            """What takes what comes after a paste that ended without its end mark; None after any other."""
            self._cut = ""
            """What had come of a sequence when the wait for the rest of it was over, until something else comes."""
            self._retry: asyncio.TimerHandle | None = None
            """What has keys taken that are held."""
            self._reads = True
            """False while the terminal isn't read, as too many keys are held."""
            self._early = False
            """True until what was typed before the terminal gave each key has been read."""
            self.given_back = False
            """True while other programs have the terminal, or soon will."""

        def raw_mode(self) -> AbstractContextManager[None]:
            """Have the terminal give each key while the block runs."""
            return _Raw(self.fileno(), self._note_early)

        def _note_early(self) -> None:
            self._early = True

        def cooked_mode(self) -> AbstractContextManager[None]:
            """Have the terminal as other programs use it while the block runs, if it is given back to them.

            To write what comes while a line is edited is no reason: what is typed then would be echoed by the system.
            """
            return _Cooked(self.fileno()) if self.given_back else nullcontext()

        @contextmanager
        def attach(self, input_ready_callback: Callable[[], None]) -> Iterator[None]:
            """Have `input_ready_callback` called whenever there are keys, while the block runs."""
            self._ready = input_ready_callback
            try:
                with super().attach(input_ready_callback):
                    yield
            finally:
                self._wait(None)
                if self._retry is not None:
                    self._retry.cancel()

        def read_keys(self) -> list[KeyPress]:
            """Return the keys that have come, and can be taken."""
            if not self._ahead.is_full and (data := self.stdin_reader.read()):
                if self._early:
                    self._early = False
                    data = data.replace(LINUX_END, END)
                self._take(data)
            return self._taken()

        def flush_keys(self) -> list[KeyPress]:
            """Return the keys for the end of which there was a wait, if they can be taken."""
            self._flush()
            return self._taken()

        def _taken(self) -> list[KeyPress]:
            keys, self._buffer = self._buffer, []
            taken = self._ahead.take(keys)
            loop = asyncio.get_running_loop()
            if self._ahead.is_full is self._reads:
                self._reads = not self._reads
                if self._reads:
                    loop.add_reader(self.fileno(), self._ready)
            if not self._reads:  # each time: prompt_toolkit has it read again whenever it has drawn
                loop.remove_reader(self.fileno())
            if self._retry is not None:
                self._retry.cancel()
            self._retry = loop.call_later(HELD_EVERY, self._try_again) if self._ahead.holds else None
            return taken

        def _try_again(self) -> None:
            if self.given_back:
                self._retry = asyncio.get_running_loop().call_later(HELD_EVERY, self._try_again)
            else:
                self._ready()

        def _take(self, data: str) -> None:
            parser = self._keys
            if (self._cut + data).startswith((PASTE_BEGIN, PASTE_END)):
                data = self._cut + data
            self._cut = ""
            if parser.pasting and not data.strip(INTERRUPT):
                self._give_up()
            elif self._late is not None:
                data = self._late.take(data, self._asked())
            self._feed(data)

        def _feed(self, data: str) -> None:
            parser = self._keys
            if data.startswith(PASTE_BEGIN):
                self._late = None
            parser.feed(data)
            if parser.pasting:
                self._wait(PASTE_SECONDS)
            elif self._late is not None and self._late.waits:
                self._wait(ALONE_SECONDS)
            else:
                self._wait(ESCAPE_SECONDS if parser.may_be_key else None)

        def _wait(self, seconds: float | None) -> None:
            """Wait from now on for so long a silence; None: no longer."""
            if self._silence is not None:
                self._silence.cancel()
            loop = asyncio.get_running_loop()
            self._silence = None if seconds is None else loop.call_later(seconds, self._silent)

        def _silent(self) -> None:
            if self._keys.pasting:
                self._give_up()
            elif self._late is not None and self._late.waits:
                self._feed(self._late.alone())
            else:
                self._flush()
            self._ready()

        def _flush(self) -> None:
            self._cut = self._keys.begun or self._cut
            self._keys.flush()

        def _give_up(self) -> None:
            """End the paste with what has come."""
            self._late = self._keys.break_off()
