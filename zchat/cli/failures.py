"""How failures are reported: one line on standard error, and an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import click

from zchat.cli.text.columns import terminal_width, wrapped
from zchat.cli.text.safe import safe
from zchat.errors import AddressError, NoSuchRoom, UsageError, ZchatError

FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130
TERMINATED = 143
"""What a shell reports for a program that SIGTERM ended, as 130 is for Ctrl-C."""


class Interrupted(KeyboardInterrupt):
    """An interruption by Ctrl-C or SIGTERM; `text` is what to report to the user, "" for nothing."""

    def __init__(self, code: int = INTERRUPTED, text: str = "") -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text

    def with_text(self, text: str) -> Interrupted:
        """Return the same with something to report."""
        return Interrupted(self.code, text)


@contextmanager
def interruptible() -> Iterator[None]:
    """Have Ctrl-C and SIGTERM raise `Interrupted` within the block. The main thread's."""

    def raise_it(number: int, frame: object) -> NoReturn:
        raise Interrupted(TERMINATED if number == signal.SIGTERM else INTERRUPTED)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in numbers:
            if before[number] is not signal.SIG_IGN:  # nohup and shells' background jobs mean it
                signal.signal(number, raise_it)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def report(text: str) -> None:
    """Write one line to standard error, if it is still there."""
    with suppress(OSError):
        line = safe(f"zchat: {' '.join(text.splitlines())}")
        click.echo("\n".join(wrapped([line], terminal_width(sys.stderr))), err=True)


@contextmanager
def reported_in_one_line() -> Iterator[None]:
    """Turn errors that a user can cause into one line and an exit code; a closed pipe ends quietly."""
    try:
        yield
        sys.stdout.flush()
    except Interrupted as interrupted:
        if interrupted.text:
            report(interrupted.text)
        _leave(interrupted.code)
    except KeyboardInterrupt:
        _leave(INTERRUPTED)
    except BrokenPipeError:
        _leave(0)
    except (ZchatError, OSError) as error:
        if isinstance(error, OSError) and error.strerror and not error.filename:  # files are named: it is a stream
            error.filename = "standard output"
        report(str(error) or type(error).__name__)
        wrong_usage = isinstance(error, UsageError) and not isinstance(error, AddressError)
        _leave(WRONG_USAGE if wrong_usage else FAILED)


@contextmanager
def room_named(name: str) -> Iterator[None]:
    """Add to the error of a room that doesn't exist how to find those that do."""
    try:
        yield
    except NoSuchRoom as error:
        raise NoSuchRoom(f"there is no room {name}; zchat rooms lists the rooms that exist") from error


def _leave(code: int) -> NoReturn:
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        _drop_output()
    raise click.exceptions.Exit(code)


def _drop_output() -> None:
    """Discard what is still buffered, or the interpreter complains about it when it ends."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class Program(click.Group):
    """The command with its subcommands; every error is one line."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the arguments, and carry out `--help` and `--version`."""
        with reported_in_one_line():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        with reported_in_one_line():
            return super().invoke(ctx)

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run the command with its arguments, and exit unless `standalone_mode` is off."""
        run: Any = super().main
        if not standalone_mode:
            return run(*args, standalone_mode=False, **extra)
        try:
            code = run(*args, standalone_mode=False, **extra)
        except click.ClickException as error:
            report(f"{error.format_message()}{_hint(error)}")
            code = error.exit_code
        except click.Abort:
            code = INTERRUPTED
        sys.exit(code if isinstance(code, int) else 0)


def _hint(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    stop = "" if error.format_message().endswith((".", "?", "!")) else "."
    return f"{stop} Try: {context.command_path} --help" if context else ""
