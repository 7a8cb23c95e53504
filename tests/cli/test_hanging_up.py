"""Commands whose terminal is gone: closed, or its connection lost, also where no signal says so."""

from __future__ import annotations

import os
import re
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import zchat as library
from tests.cli.driver import bodies, say
from tests.cli.outside import command, members, pipes
from tests.running import DEADLINE, eventually, read_now
from zchat.broker import Broker
from zchat.cli.streams import READER_SECONDS

IGNORING = ("env", "--ignore-signal=HUP")

STAYING = [
    *(("client", "xterm", b"you are in General"), ("top", "xterm", b"per second")),
    *(("client", "dumb", b"you are in General"), ("top", "dumb", b"per second"), ("tail -f General", "dumb", b"hi")),
]
"""Commands that stay, with the kind of their terminal, and what they show once they do."""


class Ends:
    """Both ends of a terminal, each of which is closed once."""

    def __init__(self) -> None:
        self.master, self.slave = os.openpty()

    def close(self) -> None:
        """Close what is open."""
        for name in ("slave", "master"):
            end = getattr(self, name)
            setattr(self, name, -1)
            if end >= 0:
                os.close(end)


@contextmanager
def terminals(count: int) -> Iterator[list[Ends]]:
    """Give so many terminals."""
    made = [Ends() for _ in range(count)]
    try:
        yield made
    finally:
        for each in made:
            each.close()


def shows(output: Ends, text: bytes) -> bytes:
    """Return what a terminal shows, once that has a text in it."""
    shown = b""

    def there() -> bool:
        nonlocal shown
        shown += read_now(output.master)
        return text in shown

    eventually(there, lambda: f"{text!r} in {shown!r}")
    return shown


@pytest.fixture
def spoken(broker: Broker) -> Broker:
    """Give a broker with a message, and nobody in a room."""
    say(broker, "General", "hi")
    eventually(lambda: members(broker) == 0, "who has spoken is gone")
    return broker


@pytest.mark.parametrize(("line", "term", "ready"), STAYING)
def test_a_terminal_that_is_gone_ends_a_command_that_has_nothing_to_write(
    spoken: Broker, environment: dict[str, str], line: str, term: str, ready: bytes
) -> None:
    variables = environment | {"TERM": term}
    with terminals(3) as (own, into, output), ExitStack() as stack:
        processes = [
            stack.enter_context(
                command(
                    *line.split(),
                    environment=variables,
                    before=IGNORING,
                    stdin=stdin.slave,
                    stdout=stdout.slave,
                    stderr=stdout.slave,
                )
            )
            for stdin, stdout in ((own, own), (into, output))
        ]
        for each in (own, output):
            shows(each, ready)
            each.close()
        assert [process.wait(DEADLINE) for process in processes] == [129, 129]
    eventually(lambda: members(spoken) == 0, "they have left")


@pytest.mark.parametrize("line", ["tail --after 0 Long", "tail -f --after 0 Long", "client Long"])
def test_one_that_goes_away_ends_a_command_that_writes_to_it(
    broker: Broker, environment: dict[str, str], line: str
) -> None:
    say(broker, "Long", *("a line of some length" * 10 for _ in range(3_000)))
    with terminals(1) as (own,):
        variables = environment | {"TERM": "dumb"}
        with command(
            *line.split(), environment=variables, before=IGNORING, stdin=own.slave, stdout=own.slave, stderr=own.slave
        ) as process:
            if line.startswith("client"):
                shows(own, b"you are in Long")
                os.write(own.master, b"/messages 1000\n")
            shows(own, b"a line of some length")
            time.sleep(0.5)  # nothing shows that it waits, as nobody reads on
            own.close()
            assert process.wait(DEADLINE) == 129
    eventually(lambda: members(broker) == 0, "it has left")


def test_lines_that_a_terminal_gave_before_are_stored_and_send_says_so(
    spoken: Broker, environment: dict[str, str]
) -> None:
    with terminals(1) as (own,), pipes(1) as (errors,):
        with command(
            "send", "General", environment=environment, before=IGNORING, stdin=own.slave, stderr=errors.into
        ) as process:
            eventually(lambda: members(spoken) == 1, "it is there")
            os.write(own.master, b"typed\n")
            eventually(lambda: bodies(spoken, "General") == ["hi", "typed"], "it is stored")
            own.close()
            assert process.wait(DEADLINE) == 129
        told = errors.read()
        assert re.fullmatch(
            rb"zchat: interrupted: 1 line stored \(up to seq 2 in General\), the rest not stored\n", told
        )


def test_a_command_goes_on_without_a_terminal_that_it_does_not_use(spoken: Broker, environment: dict[str, str]) -> None:
    with (
        terminals(1) as (own,),
        pipes(1) as (out,),
        command(
            *("tail", "-f", "General"),
            environment=environment,
            before=IGNORING,
            stdin=own.slave,
            stdout=out.into,
            stderr=own.slave,
        ) as process,
    ):
        shown = b""

        def comes(text: bytes) -> bool:
            nonlocal shown
            shown += out.read()
            return text in shown

        eventually(lambda: comes(b"hi"), "it is there")
        own.close()
        time.sleep(2 * READER_SECONDS)  # by then it would have noticed
        say(spoken, "General", "it goes on")
        eventually(lambda: comes(b"it goes on"), "it is shown")
        process.terminate()
        assert process.wait(DEADLINE) == 143


def test_a_broker_goes_on_without_its_terminal_though_it_logs(environment: dict[str, str], tmp_path: Path) -> None:
    url = f"ipc://{tmp_path / 'zchat'}"
    with terminals(1) as (own,):
        arguments = ("broker", "--bind", url, "--store", "memory:", "--log-level", "info")
        with command(
            *arguments, environment=environment, stdin=own.slave, stdout=own.slave, stderr=own.slave
        ) as process:
            shows(own, b"clients: about")
            own.close()
            with library.Client(url, user="bob") as bob:
                bob.join("General").send("it serves")
            process.terminate()
            assert process.wait(DEADLINE) == 0


def test_a_gateway_goes_on_without_its_terminal(environment: dict[str, str]) -> None:
    with terminals(1) as (own,):
        arguments = ("web", "--open", "--listen", "127.0.0.1:*")
        with command(
            *arguments, environment=environment, stdin=own.slave, stdout=own.slave, stderr=own.slave
        ) as process:
            found = re.search(rb"http://127\.0\.0\.1:\d+/", shows(own, b"names are claims"))
            assert found
            own.close()
            with urllib.request.urlopen(found[0].decode(), timeout=DEADLINE) as answer:
                assert answer.status == 200
            process.terminate()
            assert process.wait(DEADLINE) == 0
