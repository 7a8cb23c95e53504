"""Standard streams as others leave them: in non-blocking mode, closed, full, with a reader or writer who is late."""

from __future__ import annotations

import errno
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from subprocess import PIPE

import pytest

import zchat
from tests.cli.driver import bodies, say
from tests.cli.outside import command, members, pipes, read_all, terminal, until_full
from tests.closing import FULL_AT_THE_CLOSE, REASON
from tests.running import DEADLINE, Start, Zchat, eventually, read_now
from zchat.broker import Broker
from zchat.cli import streams

CTRL_S = b"\x13"

COUNT = 3_000
"""Messages: more than a pipe holds."""


@pytest.fixture
def long(broker: Broker) -> Broker:
    say(broker, "Long", *(f"a line of some length, number {number}" for number in range(COUNT)))
    return broker


def seqs(data: bytes) -> list[int]:
    """Return the seqs of the lines that are whole."""
    return [json.loads(line)["seq"] for line in data.split(b"\n")[:-1]]


@pytest.mark.parametrize("after", [["--after", "0"], ["-f", "--after", "0"]], ids=" ".join)
def test_a_late_reader_of_a_pipe_that_does_not_block_gets_everything(
    long: Broker, environment: dict[str, str], tmp_path: Path, after: list[str]
) -> None:
    resume = tmp_path / "seen"
    arguments = ("tail", *after, "--json", "--resume", str(resume), "Long")
    with pipes(1) as (out,), command(*arguments, environment=environment, stdout=out.into) as process:
        until_full(out)
        data = b""

        def complete() -> bool:
            nonlocal data
            data += out.read()
            return data.count(b"\n") == COUNT

        eventually(complete, "all has come")
        if "-f" in after:
            process.terminate()
        assert process.wait(DEADLINE) == (143 if "-f" in after else 0)
        assert seqs(data) == list(range(1, COUNT + 1))
        assert json.loads(resume.read_text())["seq"] == COUNT


def test_what_a_reader_left_in_the_pipe_is_written_and_no_more_is_recorded(
    long: Broker, environment: dict[str, str], zchat: Zchat, tmp_path: Path
) -> None:
    resume = tmp_path / "seen"
    arguments = ("tail", "--after", "0", "--json", "--resume", str(resume), "Long")
    with pipes(1) as (out,), command(*arguments, "-f", environment=environment, stdout=out.into) as process:
        until_full(out)
        process.terminate()
        assert process.wait(DEADLINE) == 143
        written = seqs(out.read())
    assert 0 < len(written) < COUNT
    assert json.loads(resume.read_text())["seq"] == len(written)
    rest = zchat(*arguments)
    assert written + seqs(rest.stdout.encode()) == list(range(1, COUNT + 1))


@pytest.mark.parametrize(
    "arguments",
    [
        ["tail", "--after", "0", "Long"],
        ["rooms"],
        ["members", "Long"],
        ["stats"],
        ["stats", "--json"],
        ["top", "-n", "1"],
        ["tail", "--help"],
        ["--version"],
        ["rooms", "--nonsense"],
        ["tail", "Nowhere"],
    ],
    ids=" ".join,
)
def test_whatever_a_command_writes_comes_whole_through_pipes_that_are_full_and_do_not_block(
    long: Broker, environment: dict[str, str], zchat: Zchat, arguments: list[str]
) -> None:
    def counted(out: bytes, errors: bytes) -> list[int]:
        if arguments == ["stats"]:  # it has more lines the more there is by then: the last that it always has
            return [out.count(b"\ncommit bytes: 99%"), errors.count(b"\n")]
        return [out.count(b"\n"), errors.count(b"\n")]

    expected = zchat(*arguments)
    lines = counted(expected.stdout.encode(), expected.stderr.encode())
    with pipes(2) as (out, errors):
        filled = [out.fill(), errors.fill()]
        with command(*arguments, environment=environment, stdout=out.into, stderr=errors.into) as process:
            with pytest.raises(Exception, match="timed out"):
                process.wait(1)
            found, told = read_all(out, process, errors)
            assert process.returncode == expected.returncode
        assert counted(found, told) == lines
        assert [found[: filled[0]].strip(b"x"), told[: filled[1]].strip(b"x")] == [b"", b""]


@pytest.mark.parametrize("arguments", [["send", "General"], ["client"]], ids=" ".join)
def test_a_late_writer_to_a_pipe_that_does_not_block_is_waited_for(
    broker: Broker, environment: dict[str, str], arguments: list[str]
) -> None:
    with (
        pipes(2) as (into, out),
        command(*arguments, environment=environment, stdin=into.out, stdout=out.into) as process,
    ):
        eventually(lambda: members(broker) == 1, "it is in the room")
        for text in ("late", "later"):
            time.sleep(0.2)  # nothing shows that it waits
            os.write(into.into, f"{text}\n".encode())
            eventually(lambda text=text: text in bodies(broker, "General"), "it is stored")  # type: ignore[misc]
        into.close_into()
        assert process.wait(DEADLINE) == 0
        assert bodies(broker, "General") == ["late", "later"]


@pytest.mark.parametrize("arguments", [["tail", "--after", "0", "Long"], ["client", "Long"]], ids=" ".join)
def test_a_terminal_that_does_not_block_loses_nothing(
    long: Broker, environment: dict[str, str], arguments: list[str]
) -> None:
    master, slave = pty.openpty()
    for end in (master, slave):
        os.set_blocking(end, False)
    variables = environment | {"TERM": "dumb"}
    try:
        with command(*arguments, environment=variables, stdin=slave, stdout=slave, stderr=slave) as process:
            data = b""

            def shown(text: bytes) -> bool:
                nonlocal data
                try:
                    data += os.read(master, 1 << 16)
                except BlockingIOError:
                    return text in data
                return False

            if arguments[0] == "client":
                eventually(lambda: shown(b"you are in Long"), "it has joined")
                os.write(master, b"/messages 1000\n")
            time.sleep(1)
            eventually(lambda: shown(b"number 2999"), "all has come")
            first = COUNT - 1000 if arguments[0] == "client" else 0
            assert re.findall(rb"number (\d+)\r\n", data) == [b"%d" % number for number in range(first, COUNT)]
            process.send_signal(signal.SIGHUP)
            process.wait(DEADLINE)
        assert not os.get_blocking(slave), "it is left as it was"
    finally:
        os.close(master)
        os.close(slave)


# -- what can't be written -----------------------------------------------------------------------------


@pytest.mark.parametrize("where", [">&-", ">/dev/full", ">&0"])
@pytest.mark.parametrize(
    "arguments", ["tail Long", "rooms", "members Long", "stats", "top -n 1", "client", "tail --json --after 0 -f Long"]
)
def test_an_output_that_takes_nothing_is_named_and_nothing_counts_as_shown(
    start: Start, long: Broker, arguments: str, where: str, tmp_path: Path
) -> None:
    resume = f"--resume {tmp_path / 'seen'}" if arguments.startswith("tail") else ""
    running = start(shell=f'echo hello | "$@" {arguments} {resume} {where}')
    assert running.end() == 1
    assert re.fullmatch(r"zchat: .*(No space left|Bad file).*standard output.*\n", running.errors)
    if resume:
        assert not (tmp_path / "seen").exists()


@pytest.mark.parametrize("where", [">&-", ">/dev/full", ">&0"])
@pytest.mark.parametrize("line", ['"$@" --help', '"$@" --version', '_ZCHAT_COMPLETE=bash_source "$@"'])
def test_so_is_one_for_what_is_no_command(start: Start, line: str, where: str) -> None:
    running = start(shell=f"echo hello | {line} {where}")
    assert running.end() == 1
    assert re.fullmatch(r"zchat: .*(No space left|Bad file).*standard output.*\n", running.errors)


@pytest.mark.parametrize(
    "arguments", ["tail --unread Long", "tail --json --after 0 -f --resume seen Long", "rooms", "client", "--version"]
)
def test_one_that_says_at_its_close_alone_that_it_is_full_is_named_too(
    long: Broker, environment: dict[str, str], tmp_path: Path, arguments: str
) -> None:
    line = [sys.executable, "-c", FULL_AT_THE_CLOSE, *arguments.split()]
    with (tmp_path / "out").open("wb") as out:
        done = subprocess.run(
            line, env=environment, cwd=tmp_path, input=b"", stdout=out, stderr=PIPE, timeout=DEADLINE, check=False
        )
    assert done.returncode == 1
    assert re.fullmatch(rf"zchat: .*{REASON}.*standard output.*\n", done.stderr.decode())
    assert not (tmp_path / "seen").exists()
    with zchat.Client(long.url, user="alice", timeout=DEADLINE) as client:
        assert [room.unread for room in client.rooms() if room.name == "Long"] == [None], "nothing counts as read"


def test_a_broker_that_is_stopped_and_a_command_without_descriptors_check_nothing(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = [sys.executable, "-c", FULL_AT_THE_CLOSE, "broker", "--insecure", "--store", "memory:", "--bind", "ipc://*"]
    with (
        (tmp_path / "out").open("wb") as out,
        subprocess.Popen(line, env=environment, stdout=out, stderr=PIPE) as broker,
    ):
        eventually(lambda: "names are claims" in (tmp_path / "out").read_text(), "it has begun")
        broker.terminate()
        assert broker.wait(DEADLINE) == 0

    def none(descriptor: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with (tmp_path / "out").open("wb") as out:
        written = streams.Writing(out.fileno(), "standard output")
        monkeypatch.setattr(os, "dup", none)
        written.check()


@pytest.mark.parametrize("arguments", [["send", "General"], ["client"]], ids=" ".join)
def test_an_input_that_is_the_other_end_of_a_pipe_is_named_and_not_waited_for(
    broker: Broker, environment: dict[str, str], arguments: list[str]
) -> None:
    with pipes(3) as (wrong, out, errors):
        with command(
            *arguments, environment=environment, stdin=wrong.into, stdout=out.into, stderr=errors.into
        ) as process:
            assert process.wait(DEADLINE) == 1
        assert re.fullmatch(rb"zchat: .*Bad file.*standard input.*\n", errors.read())
    eventually(lambda: members(broker) == 0, "it has left")


def test_a_terminal_that_can_only_be_written_has_no_keys_for_a_chat_which_says_so(
    broker: Broker, environment: dict[str, str]
) -> None:
    with terminal() as (_, slave), pipes(1) as (errors,):
        written = os.open(os.ttyname(slave), os.O_WRONLY | os.O_NOCTTY)
        before = termios.tcgetattr(slave)
        variables = environment | {"TERM": "xterm"}
        with command("client", environment=variables, stdin=written, stdout=slave, stderr=errors.into) as process:
            assert process.wait(DEADLINE) == 1
        assert re.fullmatch(rb"zchat: .*Bad file.*standard input.*\n", errors.read())
        assert termios.tcgetattr(slave) == before
        os.close(written)
        os.close(slave)


@pytest.mark.parametrize("where", ["2>&-", "2>/dev/full", "2>&0"])
@pytest.mark.parametrize(
    ("arguments", "code"), [("rooms", 0), ("tail Nowhere", 1), ("rooms --nonsense", 2), ("send Long hi", 0), ("", 2)]
)
def test_a_standard_error_that_takes_nothing_changes_no_exit_code(
    start: Start, long: Broker, arguments: str, code: int, where: str
) -> None:
    assert start(shell=f'echo hello | "$@" --log-level debug {arguments} {where}').end() == code


def test_a_broker_serves_though_its_greeting_can_not_be_written(start: Start, zchat: Zchat, tmp_path: Path) -> None:
    url = f"ipc://{tmp_path / 'zchat'}"
    running = start(shell=f'exec "$@" broker --bind {url} --store memory: >&-')
    eventually(lambda: zchat("rooms", "--connect", url).returncode == 0, "it answers")
    running.process.terminate()
    assert running.end() == 0
    assert re.search(
        r"WARNING zchat\.broker: what is printed at the start can't be written: .*standard output", running.errors
    )


@pytest.mark.parametrize("line", ["tail -f --after 0 Long", "tail --after 0 Long", "top --every 0.2"])
def test_the_reader_of_a_socket_may_go_as_that_of_a_pipe_may(
    long: Broker, environment: dict[str, str], line: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, pipes(1) as (errors,):
        reader = socket.create_connection(server.getsockname())
        writer, _ = server.accept()
        with (
            writer,
            command(*line.split(), environment=environment, stdout=writer.fileno(), stderr=errors.into) as process,
        ):
            assert reader.recv(10)
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # the system says "reset"
            reader.close()
            assert process.wait(DEADLINE) == 0
            assert errors.read() == b""


CHANGING = [
    *("utf-7", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp037", "cp500", "cp864", "idna", "punycode", "hz"),
    *("iso2022_jp", "iso2022_jp_2004", "iso2022_kr", "shift_jis_2004", "rot13", "hex", "nonsense"),
]
"""Encodings in which a line of ASCII isn't what it is elsewhere, or doesn't stay so after other characters."""

KEEPING = ["ascii", "utf-8", "latin-1", "cp437", "cp1252", "koi8-r", "shift_jis", "cp932", "euc_jp", "big5", "gb18030"]


@pytest.mark.parametrize("encoding", CHANGING)
def test_an_encoding_that_changes_ascii_is_none_for_lines(encoding: str) -> None:
    assert not streams._fits(encoding)


@pytest.mark.parametrize("encoding", KEEPING)
def test_one_that_keeps_ascii_is_taken(encoding: str) -> None:
    assert streams._fits(encoding)


@pytest.mark.parametrize(
    ("line", "encoding"),
    [("client", "utf-16"), ("send General", "hz"), ("tail General", "iso2022_jp"), ("--help", "utf-8-sig")],
)
def test_every_command_refuses_such_an_encoding_by_its_name(start: Start, line: str, encoding: str) -> None:
    running = start(shell=f'exec "$@" {line}', PYTHONIOENCODING=encoding)
    running.write("hi\n")
    assert running.end() == 1
    assert running.text == ""
    assert running.errors == (
        f"zchat: standard error has the encoding {encoding}, which changes ASCII: "
        "unset PYTHONIOENCODING, or set it to utf-8\n"
    )


@pytest.mark.parametrize("encoding", ["latin-1", "gb18030"])
def test_other_encodings_are_taken(start: Start, encoding: str) -> None:
    running = start(shell='exec "$@" send General', PYTHONIOENCODING=encoding)
    running.write("hi\n")
    assert running.end() == 0


def test_whatever_has_told_a_terminal_to_break_no_lines_tells_it_to_again_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "_changing", [])
    with terminal() as (own, other):
        log = streams.Writing(other, "standard error")
        log.write(b"plain")
        streams.restore_terminals()
        log.write(b"\x1b[?7lwide\x1b[?7h")
        streams.restore_terminals()
        read_through(own, b"plain\x1b[?7lwide\x1b[?7h\x1b[?7h")
        os.close(other)
        streams.restore_terminals()


def test_a_terminal_that_was_stopped_goes_on_to_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_changing", [])
    with terminal() as (own, other):
        log = streams.Writing(other, "standard error")
        log.write(b"\x1b[?7lwide")
        read_through(own, b"\x1b[?7lwide")
        os.write(own, CTRL_S)
        eventually(lambda: not select.select([], [other], [], 0)[1], "its output is stopped")
        streams.restore_terminals()
        assert not select.select([own], [], [], 0)[0]
        screen = streams.Writing(other, "standard output")
        streams._changing.insert(0, screen)
        screen._ends = [b"\x1b[?2004l"]
        log.given_up = screen.given_up = True  # as of what a signal has cut short
        streams.restore_terminals()
        read_through(own, b"\x1b[0m\x1b[?2004l\x1b[0m\x1b[?7h")


def read_through(descriptor: int, expected: bytes) -> None:
    """Read what is expected, and nothing else; it may come in parts."""
    found = b""

    def there() -> bool:
        nonlocal found
        found += read_now(descriptor)
        return len(found) >= len(expected)

    eventually(there, lambda: f"{expected!r}, and there is {found!r}")
    assert found == expected
