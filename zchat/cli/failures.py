"""How failures are reported: one line on standard error, and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import click

from zchat.cli import ending, logs
from zchat.cli.sources import origin
from zchat.cli.streams import HungUp, check_written, restore_terminals
from zchat.cli.text.safe import named, safe
from zchat.errors import AddressError, BadName, NoSuchRoom, UsageError, ZchatError
from zchat.logs import cli_log

FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130
"""What a shell reports for a program that Ctrl-C ended."""
HUNG_UP = 129
"""The same for one whose terminal is gone, as SIGHUP says."""


class Interrupted(KeyboardInterrupt):
    """The end of a command that a key or a signal asked for; `text` is what to report to the user, "" for nothing."""

    def __init__(self, code: int = INTERRUPTED, text: str = "") -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text


def report(text: str) -> None:
    """Write one line to standard error, if it is still there: of a log in JSON it is an event."""
    if logs.is_json():
        cli_log.error("%s", " ".join(text.splitlines()), event="error")
        return
    from zchat.cli.text.columns import terminal_text, terminal_width, wrapped  # takes long to load

    with suppress(OSError):
        line = safe(f"zchat: {' '.join(text.splitlines())}")
        width = terminal_width(sys.stderr)
        click.echo(terminal_text(wrapped([line], width), width), err=True)


@contextmanager
def reported_in_one_line() -> Iterator[None]:
    """Turn errors that a user can cause into one line and an exit code; a closed pipe or terminal ends quietly.

    A command that a signal has asked to end exits with the signal's code, whatever error that has caused.
    """
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
    except HungUp:
        ending.hang_up()
        _leave(0)
    except (ZchatError, OSError) as error:
        if ending.exit_code() or isinstance(error, ending.Ended):  # by the end: a client closed, a stream given up
            _leave(0)
        from zchat.cli.text.phrases import error_text  # takes long to load

        report(str(error) if logs.is_json() else error_text(error) or type(error).__name__)
        wrong_usage = isinstance(error, UsageError | BadName) and not isinstance(error, AddressError)
        _leave(WRONG_USAGE if wrong_usage else FAILED)


@contextmanager
def hinting_at(options: Mapping[type[ZchatError], str]) -> Iterator[None]:
    """Add to an error of one of these kinds the option that names something else; the first kind counts."""
    try:
        yield
    except tuple(options) as error:
        option = next(option for kind, option in options.items() if isinstance(error, kind))
        raise type(error)(f"{error} ({option})") from error


@contextmanager
def hinting_at_rooms(name: str) -> Iterator[None]:
    """Add to the error of a room that doesn't exist how to find those that do."""
    try:
        yield
    except NoSuchRoom as error:
        raise NoSuchRoom(f"there is no room {named(name)}; zchat rooms lists the rooms that exist") from error


def _leave(code: int) -> NoReturn:
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    raise click.exceptions.Exit(ending.exit_code() or code)


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
            with reported_in_one_line():
                code = run(*args, standalone_mode=False, **extra)
                if not (code or ending.asked()):
                    check_written()
            code = ending.exit_code() or code
        except click.exceptions.Exit as leaving:  # of what is no command: the script of a shell's completion
            code = leaving.exit_code
        except click.ClickException as error:
            place = origin(error) if isinstance(error, click.UsageError) else ""
            if isinstance(error, click.BadParameter) and isinstance(error.param, click.Argument):
                error.param_hint = f"'{error.param.human_readable_name.strip('[].')}'"  # without the usage's brackets
            text = error.format_message().replace("Recognized values: , ", "Recognized values: ")  # "" is one to click
            report(f"{text.removesuffix('.') if place else text}{place}{_hint(error)}")
            code = ending.exit_code() or error.exit_code
        except click.Abort:
            code = INTERRUPTED
        if ending.asked():
            restore_terminals()
        sys.exit(code if isinstance(code, int) else 0)


def _hint(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    stop = "" if error.format_message().endswith((".", "?", "!")) else "."
    return f"{stop} Try: {context.command_path} --help" if context else ""
