"""`zchat broker`: what it tells, what it keeps, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import stat
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.request import urlopen

import pytest
import zmq
from click.testing import CliRunner

import zchat as library
from tests.frames import decode_notice
from tests.running import DEADLINE, Running, Start, Zchat, eventually
from zchat.broker import Broker, Settings
from zchat.cli.commands import broker as command
from zchat.cli.ending import LAST_SECONDS
from zchat.cli.program import program
from zchat.transport import keys
from zchat.wire.notices import STATE
from zchat.wire.values import pack

DAY = 86_400_000_000
"""Microseconds."""


def address(running: Running) -> str:
    """Return where a broker that was started listens, once it does."""
    found = re.search(r"^zchat broker at (tcp://127\.0\.0\.1:\d+)$", running.until("clients: about"), re.MULTILINE)
    assert found
    return found[1]


def kept(url: str) -> range:
    """Return the seqs that can be read in General."""
    with library.Client(url, user="reader") as client:
        (general,) = (room for room in client.rooms() if room.name == "General")
    return range(general.first, general.last + 1)


def test_a_log_goes_to_standard_error(start: Start) -> None:
    running = start("broker", "--bind", "tcp://127.0.0.1:*", "--store", "memory:", "--log-level", "debug")
    running.until("clients: about")
    running.process.terminate()
    assert running.end() == 0
    assert re.search(r"INFO zchat\.broker: listening at tcp", running.errors)


def test_the_broker_tells_where_it_is_and_how_to_chat(start: Start, tmp_path: Path) -> None:
    store = f"sqlite:{tmp_path / 'chat.db'}"
    running = start("broker", "--bind", "tcp://127.0.0.1:*", "--store", store, "--room", "Only", "--fixed-rooms")
    text = running.until("clients: about")
    url = re.search(r"^zchat broker at (tcp://127\.0\.0\.1:\d+)$", text, re.MULTILINE)
    assert url
    assert f"store: {store} (kept: everything)\n  a new store: there was none\n" in text
    assert re.search(
        rf"^chat with: (zchat|\S+ -m zchat) client --connect {re.escape(url[1])} --user NAME$", text, re.MULTILINE
    )
    assert "names are claims: there are no keys" in text
    assert "including its direct rooms and read marks" in text
    told = CliRunner().invoke(program, ["rooms", "--connect", url[1], "--user", "alice"])
    assert [line.split()[0] for line in told.stdout.splitlines()] == ["ROOM", "Only"]
    told = CliRunner().invoke(program, ["send", "--connect", url[1], "--user", "alice", "Other", "hi"])
    assert told.exit_code == 1
    assert "Other" in told.stderr
    running.process.terminate()
    assert running.end() == 0
    assert running.errors == ""


def test_with_keys_and_logins_it_tells_how_to_come_in_by_each(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    keys.make_server(folder)
    ipc, tcp = f"ipc://{tmp_path / 'a socket'}", "tcp://127.0.0.1:*"
    for bind, who in (
        ((ipc, tcp), f" --connect '{re.escape(ipc)}'"),
        ((tcp, ipc), r" --connect tcp://127\.0\.0\.1:\d+ --key NAME\.key_secret --server-key server\.key"),
    ):
        running = start(
            *("broker", "--keys", str(folder), "--logins", "--store", "memory:"), *(f"--bind={url}" for url in bind)
        )
        text = running.until("clients: about")
        assert re.search(rf"^chat with: .* client{who}$", text, re.MULTILINE), text
        assert (
            f"(0 users yet: put each one's NAME.key into {folder / 'users'}); its own is {folder / 'server.key'}\n"
            in text
        )
        assert "over ipc names are the logins of this machine's users\n" in text
        running.process.terminate()
        assert running.end() == 0


def test_a_store_in_memory_is_not_said_to_keep_everything(start: Start) -> None:
    options = ("--bind", "tcp://127.0.0.1:*", "--store", "memory:")
    for more, kept in (
        ((), "nothing once the broker ends"),
        (("--retain-messages", "9"), "at least the last 9 messages of a room; nothing once the broker ends"),
    ):
        running = start("broker", *options, *more)
        assert f"store: memory: (kept: {kept})\n" in running.until("clients: about")
        running.process.terminate()
        assert running.end() == 0


def test_metrics_are_served_where_the_broker_says(start: Start) -> None:
    running = start("broker", "--bind", "tcp://127.0.0.1:*", "--store", "memory:", "--metrics", "127.0.0.1:*")
    found = re.search(
        r"^metrics: (http://127\.0\.0\.1:\d+/metrics) \(no access control; .*\)$", running.until("clients: about"), re.M
    )
    assert found
    with urlopen(found[1], timeout=DEADLINE) as answer:
        assert b"\nzchat_sessions 0.0\n" in answer.read()
    running.process.terminate()
    assert running.end() == 0
    assert running.errors == ""


def test_without_prometheus_client_metrics_say_what_to_install(start: Start) -> None:
    program = "import sys; sys.modules['prometheus_client'] = None; from zchat.cli.main import main; main(sys.argv[1:])"
    options = "broker --bind tcp://127.0.0.1:* --store memory:"
    running = start(shell=f'"$1" -c "{program}" {options} --metrics 127.0.0.1:0')
    assert running.end() == 1
    assert running.text == ""
    assert running.errors == "zchat: metrics require the package prometheus-client: pip install prometheus-client\n"
    running = start(shell=f'exec "$1" -c "{program}" {options}')
    running.until("clients: about")
    running.process.terminate()
    assert running.end() == 0


@pytest.mark.parametrize(
    ("place", "code", "why"),
    [
        ("9556", 2, "'9556' is not HOST:PORT, as in 127.0.0.1:9556"),
        ("127.0.0.1:65536", 2, "has the port '65536': ports are 1 to 65535, or \\* for any free one"),
        ("192.0.2.1:9556", 1, r"at 192.0.2.1:9556 .* use an address of this machine \(--metrics HOST:PORT\)"),
    ],
)
def test_a_place_where_metrics_cant_be_served_is_reported_in_one_line(
    zchat: Zchat, place: str, code: int, why: str
) -> None:
    done = zchat("broker", "--bind", "tcp://127.0.0.1:*", "--store", "memory:", "--metrics", place)
    assert (done.returncode, done.stdout) == (code, "")
    assert re.fullmatch(rf"zchat: .*{why}.*\n", done.stderr)


def test_a_broker_that_can_not_serve_its_metrics_leaves_nothing_behind(zchat: Zchat, tmp_path: Path) -> None:
    metrics = ("--metrics", "192.0.2.1:9556")
    for options in (("--store", f"sqlite:{tmp_path}/z.db"), ()):  # the default place is in the user's data folder
        done = zchat("broker", "--bind", "tcp://127.0.0.1:*", *options, *metrics, XDG_DATA_HOME=str(tmp_path / "data"))
        assert (done.returncode, done.stdout) == (1, "")
    assert list(tmp_path.iterdir()) == []


def test_a_room_tells_names_up_to_the_number_asked_for(start: Start) -> None:
    url = address(start("broker", "--bind", "tcp://127.0.0.1:*", "--store", "memory:", "--names", "0"))
    told = None
    with zmq.Context() as context, context.socket(zmq.DEALER) as alice:
        alice.linger = 0
        alice.connect(url)
        alice.send(pack(("hello", 1, 1, 1, "alice", b"p" * 16, b"t" * 16, 0, 1)))
        alice.send(pack(("join", 2, "General", 1, None, 0, True)))
        while told is None and alice.poll(int(DEADLINE * 1000)):
            notice = decode_notice(alice.recv())
            told = notice[2] if notice[0] == STATE else None
    assert told == [["General", True, 1, None, 0, 0]]


def test_the_default_store_is_in_the_users_data_folder(start: Start, tmp_path: Path) -> None:
    options = {"XDG_DATA_HOME": str(tmp_path / "data")}
    running = start("broker", "--bind", "tcp://127.0.0.1:*", **options)
    with library.Client(address(running), user="bob") as bob:
        bob.join("General").send_many(["a", "b", "c"])
    assert "\n  a new store: there was none\n" in running.text
    running.process.terminate()
    assert running.end() == 0
    assert (tmp_path / "data" / "zchat" / "zchat.db").exists()
    assert stat.S_IMODE((tmp_path / "data" / "zchat").stat().st_mode) == 0o700
    assert running.text.endswith("\nstopped; 3 messages stored since the start\n")
    running = start("broker", "--bind", "tcp://127.0.0.1:*", **options)
    assert "\n  it holds 3 messages in 1 room\n" in running.until("clients: about")


def test_the_default_folder_goes_again_if_the_broker_does_not_start(
    zchat: Zchat, broker: Broker, tmp_path: Path
) -> None:
    assert zchat("broker", "--bind", broker.url, XDG_DATA_HOME=str(tmp_path / "data")).returncode == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "option"),
    [
        ("tcp://127.0.0.1:5555", ""),
        ("tcp://127.0.0.1:9", " --connect tcp://127.0.0.1:9"),
        ("tcp://0.0.0.0:5555", " --connect tcp://HOST:5555"),
        ("tcp://[::]:9", " --connect tcp://HOST:9"),
        ("ipc:///run/zchat/socket", " --connect ipc:///run/zchat/socket"),
    ],
)
def test_the_command_to_chat_with_names_an_address_that_can_be_reached(url: str, option: str) -> None:
    assert command._connect(url) == option


def test_what_is_said_of_keys_was_read_by_the_broker() -> None:
    (line,) = command._names("no/such/folder", False, 2)
    assert line == "keys: no/such/folder (2 users); its own is no/such/folder/server.key"


def shopping_list(path: Path) -> None:
    path.write_text("this is a shopping list and no database at all " * 100)


def database_of_another(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE purchases (what, price)")


def file_of_a_newer_zchat(path: Path) -> None:
    with Broker("tcp://127.0.0.1:*", store=f"sqlite:{path}"):
        pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 1000")


@pytest.mark.parametrize(
    ("make", "store", "why"),
    [
        (Path.mkdir, "chat.db", "is a folder"),
        (shopping_list, "chat.db/below.db", "Not a directory"),
        (
            Path.mkdir,
            "mounted/chat.db",
            r"there is no folder .*/mounted \(is it mounted\?\); make it, or name another file \(--store URL\)",
        ),
        (shopping_list, "chat.db", "file is not a database"),
        (database_of_another, "chat.db", "is a database of another program; give the store a file of its own"),
        (file_of_a_newer_zchat, "chat.db", "was written by a newer zchat .* upgrade zchat or use another file"),
    ],
)
def test_a_store_that_cant_be_opened_is_reported_in_one_line_and_left_alone(
    zchat: Zchat, tmp_path: Path, make: Callable[[Path], object], store: str, why: str
) -> None:
    path = tmp_path / "chat.db"
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    done = zchat("broker", "--bind", "tcp://127.0.0.1:*", "--store", f"sqlite:{tmp_path / store}")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(rf"zchat: .*{why}.*\n", done.stderr)
    assert not path.is_file() or path.read_bytes() == before


def test_the_command_to_chat_with_is_one_that_the_shell_finds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.argv", [".venv/bin/zchat", "broker"])
    assert command._program() == ".venv/bin/zchat"
    monkeypatch.setattr("sys.argv", ["/somewhere/zchat/__main__.py", "broker"])
    monkeypatch.setattr("sys.executable", "/my tools/python")
    assert command._program() == "'/my tools/python' -m zchat"
    (tmp_path / "zchat").touch(0o755)
    assert command._program() == "zchat"


@pytest.mark.parametrize("data", [Path("/dev/null"), Path("/proc")], ids=str)
def test_a_data_folder_that_cant_be_made_is_named_with_the_option_that_helps(zchat: Zchat, data: Path) -> None:
    done = zchat("broker", "--bind", "tcp://127.0.0.1:*", XDG_DATA_HOME=str(data))
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(
        rf"zchat: {data}/zchat/zchat.db can't be used .* name another file \(--store URL\)\n", done.stderr
    )


def test_a_store_that_is_no_ordinary_file_is_refused_and_nothing_is_left_beside_it(
    zchat: Zchat, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    done = zchat("broker", "--bind", "tcp://127.0.0.1:*", "--store", f"sqlite:{pipe}")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(rf"zchat: {pipe} is not a regular file.*\n", done.stderr)
    assert list(tmp_path.iterdir()) == [pipe]


def test_an_address_where_it_cant_listen_is_reported_with_the_option_for_another(
    zchat: Zchat, broker: Broker, tmp_path: Path
) -> None:
    for bind in (broker.url, "tcp://192.0.2.1:5555", f"ipc://{tmp_path}", f"ipc://{tmp_path}/nowhere/socket"):
        done = zchat("broker", "--bind", "tcp://127.0.0.1:*", "--bind", bind, "--store", "memory:", "--insecure")
        assert (done.returncode, done.stdout) == (1, "")
        assert re.fullmatch(rf"zchat: (can't listen at )?{re.escape(bind)}\b.* \(--bind URL\)\n", done.stderr)


def test_a_port_for_metrics_that_is_in_use_is_reported_with_the_option_for_another(
    zchat: Zchat, broker: Broker
) -> None:
    place = broker.url.removeprefix("tcp://")
    done = zchat("broker", "--bind", "tcp://127.0.0.1:*", "--store", "memory:", "--metrics", place)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(rf"zchat: {place} is in use.* another port \(--metrics HOST:PORT\)\n", done.stderr)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the limits from /proc")
def test_the_limit_of_open_files_is_raised_as_far_as_it_may_be(start: Start) -> None:
    options = "broker --bind tcp://127.0.0.1:* --store memory: --log-level info"
    running = start(shell=f'ulimit -Sn 100; ulimit -Hn 3000; exec "$@" {options}')
    assert "clients: about 2960 at once (open files, ulimit -n: 3000)\n" in running.until("clients: about")
    limits = Path(f"/proc/{running.process.pid}/limits").read_text()
    assert re.search(r"^Max open files +3000 +3000 ", limits, re.MULTILINE)
    running.process.terminate()
    assert running.end() == 0
    assert "INFO zchat.broker: the limit of open files is raised from 100 to 3000\n" in running.errors


def test_a_broker_says_how_many_clients_its_open_files_are_enough_for(start: Start, tmp_path: Path) -> None:
    options = "broker --store memory: --bind"
    running = start(shell=f'ulimit -n 64; exec "$@" {options} ipc://{tmp_path}/z')
    assert "clients: about 24 at once (open files, ulimit -n: 64)\n" in running.until("clients: about")
    running.process.terminate()
    assert running.end() == 0


# -- retention ---------------------------------------------------------------------------------------


def test_retain_messages_keeps_the_newest(start: Start, tmp_path: Path) -> None:
    store = f"sqlite:{tmp_path / 'chat.db'}"
    running = start("broker", "--bind", "tcp://127.0.0.1:*", "--store", store, "--retain-messages", "10")
    url = address(running)
    assert f"store: {store} (kept: at least the last 10 messages of a room)\n" in running.text
    with library.Client(url, user="bob") as client:
        general = client.join("General")
        for number in range(1, 41):
            general.send(number)
        eventually(lambda: kept(url) == range(31, 41), "thirty are gone")
        assert [message.body for message in client.history("General")] == list(range(31, 41))


def test_with_both_limits_it_says_that_each_of_them_ends_what_is_kept(start: Start) -> None:
    limits = ("--retain-messages", "10", "--retain-days", "7")
    running = start("broker", "--bind", "tcp://127.0.0.1:*", "--store", "memory:", *limits)
    address(running)
    assert (
        "(kept: at least the last 10 messages of a room, and none for more than 7 days; nothing once the broker ends)\n"
        in running.text
    )


def test_retain_days_keeps_what_is_younger(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    store = f"sqlite:{path}"
    with Broker("tcp://127.0.0.1:*", store=store) as broker, library.Client(broker.url, user="bob") as client:
        general = client.join("General")
        for number in range(1, 5):
            general.send(number)
    with closing(sqlite3.connect(path)) as connection, connection:  # two of them were said days ago
        connection.execute("UPDATE blocks SET timestamp = timestamp - ? WHERE first <= 2", (3 * DAY,))
    options = ("--bind", "tcp://127.0.0.1:*", "--store", store)
    week = start("broker", *options, "--retain-days", "7")
    url = address(week)
    assert "(kept: 7 days)\n" in week.text
    assert command._kept("sqlite:z.db", Settings(retain_days=1)) == "1 day"
    assert kept(url) == range(1, 5)
    week.process.terminate()
    assert week.end() == 0
    url = address(start("broker", *options, "--retain-days", "2.5"))
    eventually(lambda: kept(url) == range(3, 5), "what is older is gone")


WRONG_CLOCK = """
import sys, time, types
from pathlib import Path
from zchat.broker.rooms import retention, wall_clock
from zchat.broker.store import ledger
from zchat.cli.main import main

shift = Path(sys.argv.pop(1))
ledger.time = types.SimpleNamespace(time_ns=lambda: time.time_ns() + int(shift.read_text()) * 10**9)
wall_clock.START_SETTLING = retention.RETAIN_EVERY = 0.3
main(sys.argv[1:])
"""


@pytest.mark.parametrize("days", [60, -60])
def test_some_seconds_of_a_clock_that_is_far_off_remove_nothing_and_date_nothing_later(
    start: Start, tmp_path: Path, days: int
) -> None:
    script, shift = tmp_path / "wrong_clock.py", tmp_path / "shift"
    script.write_text(WRONG_CLOCK)
    shift.write_text("0")
    options = f"broker --bind tcp://127.0.0.1:* --store sqlite:{tmp_path / 'chat.db'} --retain-days 30"
    running = start(shell=f'exec "$1" {script} {shift} {options}')
    with library.Client(address(running), user="bob") as client:
        general = client.join("General")
        times = [general.send("before").timestamp]
        for seconds, text in ((days * 86_400, "meanwhile"), (0, "after")):
            lines = running.errors.count("the wall clock is")
            new = shift.with_name("new")
            new.write_text(str(seconds))
            new.replace(shift)
            eventually(lambda lines=lines: running.errors.count("the wall clock is") > lines, "a line in the log")  # type: ignore[misc]
            time.sleep(1)  # of retention's rounds
            times.append(general.send(text).timestamp)
        assert [message.body for message in client.history("General")] == ["before", "meanwhile", "after"]
    assert abs(times[1] - times[0] - days * DAY) < 60_000_000
    assert 0 < times[2] - times[0] < 60_000_000
    jumps = re.findall(r"the wall clock is ([\d,.]+) s further (ahead|back)", running.errors)
    assert [way for _, way in jumps] == (["ahead", "back"] if days > 0 else ["back", "ahead"])
    assert [float(jump.replace(",", "")) for jump, _ in jumps] == [pytest.approx(60 * 86_400, abs=DEADLINE)] * 2


# -- signals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("store", ["memory:", "sqlite:{}/chat.db"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_broker_within_two_seconds(
    start: Start, tmp_path: Path, number: signal.Signals, store: str
) -> None:
    running = start("broker", "--bind", "tcp://127.0.0.1:*", "--store", store.format(tmp_path))
    url = address(running)
    with ExitStack() as stack:
        clients = [stack.enter_context(library.Client(url, user=f"bob{each}")) for each in range(20)]
        for client in clients:
            client.join("General")
        clients[0].join("General").send_many(["x" * 1000] * 5000)
        began = time.monotonic()
        running.process.send_signal(number)
        assert running.process.wait(DEADLINE) == 0
        assert time.monotonic() - began < LAST_SECONDS - 1, "two, and as many as a busy machine takes"
        assert running.end() == 0
        assert running.errors == ""
        for client in clients:
            events = client.events(timeout=DEADLINE)
            assert any(isinstance(event, library.Disconnected) for event in events)  # not after a silence, but told
            client.close(timeout=0)


def test_an_audit_log_is_begun_anew_at_a_hangup_once_it_was_moved_and_survives_a_kill(
    start: Start, tmp_path: Path
) -> None:
    path = tmp_path / "audit.jsonl"
    (tmp_path / "zchat.toml").write_text(f'[broker]\naudit = "{path}"\n')
    place = ("--bind", "tcp://127.0.0.1:*", "--store", "memory:", "--log-level", "info")
    running = start("--config", str(tmp_path / "zchat.toml"), "broker", *place)
    url = address(running)
    assert f"audit log: {path}\n" in running.text
    eventually(lambda: "started" in path.read_text(), "its beginning is recorded")
    path.rename(path.with_suffix(".1"))
    running.process.send_signal(signal.SIGHUP)
    eventually(path.exists, "it is begun anew")
    eventually(lambda: "the audit log is begun anew if it was moved" in running.errors, "it is logged")
    with library.Client(url, user="alice"):
        eventually(lambda: "let_in" in path.read_text(), "it is recorded")
        running.process.kill()
        running.process.wait(DEADLINE)
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == ["reopened", "let_in"]
    assert "started" in path.with_suffix(".1").read_text()


def test_an_audit_log_that_cant_be_is_reported_in_one_line_with_the_option_for_another(
    zchat: Zchat, tmp_path: Path
) -> None:
    done = zchat("broker", "--bind", "tcp://127.0.0.1:*", "--store", "memory:", "--audit", str(tmp_path))
    assert done.returncode == 2
    told = f"zchat: the audit log {str(tmp_path)!r} can't be opened: Is a directory (--audit FILE)\n"
    assert done.stderr == told
