"""The page for those who operate a broker, the unit for systemd and the image: what they call works."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import click
import pytest

from tests.machine import Machine
from tests.running import DEADLINE, ROOT, ZCHAT, eventually
from zchat.broker.edge.audit import AuditLog
from zchat.cli.program import COMMANDS, program

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
PACKAGING = ROOT / "packaging"
UNIT = (PACKAGING / "zchat.service").read_text(encoding="utf-8")
IMAGE = (PACKAGING / "Dockerfile").read_text(encoding="utf-8")


def unit(key: str) -> str:
    (value,) = re.findall(rf"^{key}=(.+)$", UNIT, re.MULTILINE)
    return str(value)


def image(key: str) -> list[str]:
    (value,) = re.findall(rf"^{key} (\[.+\])$", IMAGE, re.MULTILINE)
    words: list[str] = json.loads(value)
    return words


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    for each in ("var/lib/zchat", "var/backups", "run/zchat", "etc"):
        (tmp_path / each).mkdir(parents=True)
    (tmp_path / "packaging").symlink_to(PACKAGING)
    machine.add("systemctl", f'echo "$@" >> {tmp_path}/systemctl')
    machine.add("runuser", 'shift 3; exec "$@"')
    machine.add("install", 'exec /usr/bin/install $(sed -E "s/-[og] zchat//g" <<< "$*")')
    return machine


def called(machine: Machine) -> list[str]:
    """Return what systemctl was called with."""
    calls = machine.folder / "systemctl"
    return calls.read_text().splitlines() if calls.exists() else []


def database(machine: Machine) -> Path:
    return machine.folder / "var/lib/zchat/zchat.db"


def blocks(heading: str) -> list[str]:
    """Return what stands in the console under a heading of the page."""
    section = re.split(r"\n##+ ", PAGE.partition(f"# {heading}\n")[2])[0]
    assert section, heading
    return re.findall(r"```console\n(.*?)```", section, re.DOTALL)


def calls() -> list[list[str]]:
    """Return the words of each call of `zchat` on the page and in what belongs to it."""
    lines = [line for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    found = [shlex.split(line.split(" 2>>")[0].removesuffix(" &&")) for line in lines]
    found += [shlex.split(unit("ExecStart")), image("ENTRYPOINT") + image("CMD"), image(r"HEALTHCHECK .*CMD")]
    found += [words[each:] for words in found if words[0] == "docker" for each in within_docker(words)]
    starts = [[Path(word).name for word in words] for words in found]
    return [words[names.index("zchat") + 1 :] for words, names in zip(found, starts, strict=True) if calls_it(names)]


def within_docker(words: list[str]) -> list[int]:
    """Return where in a call of docker the command begins that it runs."""
    return [each for each in range(len(words) - 1) if words[each] == "zchat" and words[each + 1] in COMMANDS]


def calls_it(names: list[str]) -> bool:
    return names[0] == "zchat" or names[:4] == ["runuser", "-u", "zchat", "--"]


def arguments(words: list[str]) -> list[str]:
    return words[words.index("--") + 2 :] if "--" in words else words


@pytest.mark.parametrize("words", calls(), ids=" ".join)
def test_the_command_takes_every_call_as_it_is_written(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zchat.cli.logs.begin", lambda *arguments: None)
    name, *rest = arguments(words)
    command = program.get_command(click.Context(program), name)
    assert command
    command.make_context(name, rest)


def test_every_command_of_the_page_is_among_them() -> None:
    assert {arguments(words)[0] for words in calls()} == {
        "ping",
        "broker",
        "backup",
        "restore",
        "client",
        "keygen",
        "keys",
    }
    assert len(calls()) > 20


def test_systemd_takes_the_units(tmp_path: Path, needs: Callable[[str], str]) -> None:
    analyze = needs("systemd-analyze")
    for name in ("zchat.service", "zchat-backup.service", "zchat-backup.timer"):
        text = (PACKAGING / name).read_text().replace("/opt/zchat/bin/zchat", sys.executable)
        (tmp_path / name).write_text(re.sub("^(User|Group)=zchat$", r"\1=daemon", text, flags=re.MULTILINE))
    for name in ("zchat.service", "zchat-backup.timer"):
        line = [analyze, "verify", str(tmp_path / name)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=DEADLINE, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_unit_leaves_its_broker_little(tmp_path: Path, needs: Callable[[str], str]) -> None:
    copy = tmp_path / "zchat.service"
    copy.write_text(UNIT)
    line = [needs("systemd-analyze"), "security", "--offline=true", "--threshold=20", str(copy)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stdout


def test_the_pages_line_finds_the_brokers_events_among_the_other_lines_of_the_journal(
    needs: Callable[[str], str],
) -> None:
    (line,) = re.findall(r"^journalctl -u zchat -o cat \| jq (.+)$", PAGE, re.MULTILINE)
    journal = "Started zchat.service - zchat broker.\n" + '{"event": "listening", "urls": []}\n' + "store: memory:\n"
    jq = [needs("jq"), *shlex.split(line)]
    done = subprocess.run(jq, input=journal, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "listening\n", "")


def test_the_pages_lines_find_what_they_say_in_an_audit_log(tmp_path: Path, needs: Callable[[str], str]) -> None:
    lines = re.findall(r"^(jq -c .+) /var/log/zchat/audit\.jsonl(.*)$", PAGE, re.MULTILINE)
    path = tmp_path / "audit.jsonl"
    log = AuditLog(str(path), lambda: 0)
    log.start()
    log.record("ban", by="alice", user="bob", reason="spam")
    for _ in range(2):
        log.record("turned_away", address="192.0.2.7")
    log.close(DEADLINE)
    found = []
    for line, rest in lines:
        shell = ["/bin/sh", "-c", line.replace("jq", shlex.quote(needs("jq")), 1) + f" {path}{rest}"]
        found.append(subprocess.run(shell, capture_output=True, text=True, timeout=DEADLINE, check=True).stdout)
    assert json.loads(found[0])["by"] == "alice"
    assert json.loads(found[1]) == ["1970-01-01T00:00:00.000000Z", "alice", None, "bob", None, "spam"]
    assert found[2].split() == ["2", '"192.0.2.7"']


@pytest.fixture
def etc(machine: Machine) -> Path:
    """Give the example of a configuration, where the page puts it, with the broker at a free port."""
    text = (PACKAGING / "zchat.toml").read_text()
    options = tomllib.loads(text)["broker"]
    assert options["bind"] == ["tcp://127.0.0.1:5555", f"ipc:///run/{unit('RuntimeDirectory')}/socket"]
    assert options["store"] == f"sqlite:/var/lib/{unit('StateDirectory')}/zchat.db"
    assert (options["keys"], options["logins"]) == ("/etc/zchat/keys", True)
    path = machine.folder / "etc/zchat/zchat.toml"
    assert unit("Environment") == "ZCHAT_CONFIG=/etc/zchat/zchat.toml"
    lines = [line for line in blocks("As a service of systemd")[0].splitlines() if "/etc/zchat" in line]
    done = machine.run("\n".join(lines))
    assert (done.returncode, done.stderr) == (0, "")
    assert path.read_text() == text
    path.write_text(machine.placed(text.replace("tcp://127.0.0.1:5555", "tcp://127.0.0.1:*")))
    return path


def test_the_units_broker_takes_the_example_tells_systemd_how_it_is_and_ends_at_its_signal(
    etc: Path, machine: Machine, tmp_path: Path
) -> None:
    words = shlex.split(unit("ExecStart"))[1:]
    assert unit("Type") == "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(DEADLINE)
        environment = {"ZCHAT_CONFIG": str(etc), "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"}
        broker = subprocess.Popen(
            [*ZCHAT, *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )
        assert [systemd.recv(99) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
        pinged = machine.run(blocks("As a service of systemd")[0].splitlines()[-1])
        assert (pinged.returncode, pinged.stderr) == (0, "")
        broker.send_signal(getattr(signal, unit("KillSignal")))
        out, log = broker.communicate(timeout=float(unit("TimeoutStopSec")))
        assert broker.returncode == 0
        systemd.settimeout(0)
        assert systemd.recv(99) in (b"WATCHDOG=1", b"STOPPING=1")
    assert out == ""
    events = [json.loads(line) for line in log.splitlines()]
    assert [event["event"] for event in events if event["event"] != "files"] == ["listening", "stopped"]
    assert database(machine).exists()


def test_a_loop_that_hangs_is_not_reported_to_turn(tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from zchat.broker.core.core import Core\n"
        "turn = Core.turn\n"
        "def hang(self, now):\n    turn(self, now)\n    if self.counters.turns > 3: time.sleep(60)\n"
        "Core.turn = hang\n"
        "from zchat.cli.main import main\n"
        "main(['broker', '--bind', 'tcp://127.0.0.1:*', '--store', 'memory:'])"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(DEADLINE)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
        broker = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=os.environ | environment)
        try:
            assert systemd.recv(99) == b"READY=1"
            systemd.settimeout(4)
            notices: list[bytes] = []
            with suppress(TimeoutError):
                while len(notices) < 20:
                    notices.append(systemd.recv(99))
            assert len(notices) < 20
        finally:
            broker.kill()
            broker.wait(DEADLINE)


def test_a_backup_and_a_restore_are_made_as_the_page_says(machine: Machine) -> None:
    database(machine).write_bytes((ROOT / "tests" / "data" / "store-0.1.0.db").read_bytes())
    back_up, _, _, restore = blocks("Backup and restore")
    done = machine.run(back_up)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list((machine.folder / "var/backups/zchat").iterdir())) == 1
    for count in (1, 2):
        done = machine.run(restore)
        assert (done.returncode, done.stderr) == (0, "")
        old = [
            each
            for each in database(machine).parent.glob("zchat.db.before-*")
            if not each.name.endswith(("-wal", "-shm"))
        ]
        assert len(old) == count, "no old database is overwritten"
        time.sleep(1.1)  # they are dated by the second
    assert called(machine) == ["stop zchat", "start zchat"] * 2


def test_the_keys_are_copied_as_the_page_says(etc: Path, machine: Machine) -> None:
    (machine.folder / "var/backups/zchat").mkdir()
    done = machine.run(blocks("Backup and restore")[1])
    assert (done.returncode, done.stderr) == (0, "")
    done = machine.run("tar -tf /var/backups/zchat/etc-zchat.tar")
    assert "zchat/keys/server.key_secret\n" in done.stdout


def test_a_restore_that_fails_leaves_the_old_database_and_starts_no_broker(machine: Machine) -> None:
    database(machine).write_bytes(b"the old one")
    done = machine.run(blocks("Backup and restore")[3])
    assert done.returncode == 1
    assert "there is no file" in done.stderr
    assert database(machine).read_bytes() == b"the old one"
    assert called(machine) == ["stop zchat"]


def test_the_nightly_backup_is_made_and_old_ones_go(machine: Machine, etc: Path) -> None:
    text = (PACKAGING / "zchat-backup.service").read_text()
    lines = re.findall(r"^ExecStart(?:Post)?=(.+)$", text, re.MULTILINE)
    database(machine).write_bytes((ROOT / "tests" / "data" / "store-0.1.0.db").read_bytes())
    etc.write_text(f'[broker]\nstore = "sqlite:{database(machine)}"\n')
    folder = machine.folder / "var/backups/zchat"
    folder.mkdir()
    for name in ("zchat-old.db", "of-another"):
        (folder / name).touch()
        os.utime(folder / name, (0, 0))
    for line in lines:
        text = line.replace("%%", "%").replace("/opt/zchat/bin/", "").replace("/etc/zchat/zchat.toml", str(etc))
        done = machine.run(text)
        assert (done.returncode, done.stderr) == (0, "")
    assert sorted(each.name[:8] for each in folder.iterdir()) == ["of-anoth", "zchat-20"]


def test_the_page_sets_what_systemctl_edit_is_given(tmp_path: Path) -> None:
    (drop_in,) = re.findall(r"```ini\n(\[Service\]\nEnvironment=.*?)```", PAGE, re.DOTALL)
    for name, value in re.findall(r"(ZCHAT_\w+)=(\S+)", drop_in):
        command = program.get_command(click.Context(program), "broker")
        assert command
        assert name in {option.envvar for option in command.params if isinstance(option, click.Option)}
        assert value


def test_the_image_runs_as_a_user_of_its_own_with_what_it_needs() -> None:
    assert re.findall(r"^USER (.+)$", IMAGE, re.MULTILINE) == ["10001:10001"]
    assert re.findall(r"^VOLUME (.+)$", IMAGE, re.MULTILINE) == ["/var/lib/zchat"]
    copied = re.findall(r"^COPY (?!--)(.+) /\S+$", IMAGE, re.MULTILINE)
    taken = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert sorted(taken) == sorted(name for names in copied for name in names.split())
    assert all((ROOT / name).exists() for name in taken)


def test_the_image_has_keys_and_its_health_check_needs_none(machine: Machine) -> None:
    (text,) = re.findall(r"^ENV ((?:.*\\\n)*.*)$", IMAGE, re.MULTILINE)
    variables = dict(word.split("=", 1) for word in shlex.split(text.replace("\\\n", " ")))
    assert variables["ZCHAT_BROKER_BIND"].startswith("tcp://0.0.0.0:5555,"), "what -p publishes"
    machine.variables |= {name: machine.placed(value).replace(":5555", ":*") for name, value in variables.items()}
    volume = machine.placed("/var/lib/zchat")
    broker, check = shlex.join(image("ENTRYPOINT") + image("CMD")), shlex.join(image(r"HEALTHCHECK .*CMD"))
    without = machine.run(broker)
    assert without.returncode == 2
    assert "make one with zchat keygen --server" in " ".join(without.stderr.split())
    done = machine.run(f"cd {volume} && {in_docker('keygen')}")
    assert done.returncode == 0, done.stderr
    with machine.start(broker) as running:
        running.until("clients: about")
        done = machine.run(check)
        assert (done.returncode, done.stderr) == (0, "")
        done = machine.run(f"cd {volume} && {in_docker('backup')}")
        assert (done.returncode, done.stderr) == (0, "")
        assert (Path(volume) / "backup-1.db").exists()


def in_docker(name: str) -> str:
    """Return a command that the page has run in a container."""
    lines = [line for block in blocks("In a container") for line in block.splitlines()]
    (command,) = {line[line.index(f"zchat {name} ") :] for line in lines if f"zchat {name} " in line}
    return command


def test_five_people_have_keys_and_talk_as_the_page_says(etc: Path, machine: Machine) -> None:
    make, add, chat, remember = blocks("With keys")
    people = re.findall(r"(\w+)\.key\b", add)
    assert len(people) == 5
    with machine.start(shlex.join(["zchat", *shlex.split(unit("ExecStart"))[1:]]), ZCHAT_CONFIG=str(etc)) as broker:
        eventually(lambda: "listening" in broker.errors, lambda: broker.errors)
        url = json.loads(next(line for line in broker.errors.splitlines() if "listening" in line))["urls"][0]
        shown = [machine.run(make.replace("alice", each)).stdout for each in people]
        prints = [re.findall(r"fingerprint: (\S+)", text)[0] for text in shown]
        done = machine.run(add)
        assert (done.returncode, done.stderr) == (0, "")
        assert all(each in done.stdout for each in prints), "what is compared by telephone"
        broker.process.send_signal(signal.SIGHUP)
        eventually(lambda: "keys_read" in broker.errors, lambda: broker.errors)
        (machine.folder / "server.key").write_bytes((etc.parent / "keys" / "server.key").read_bytes())
        at = "tcp://chat.example.org:5555"
        assert at in chat
        done = machine.run(f"echo hello | {chat.strip().replace(at, url)} General")
        assert (done.returncode, done.stderr) == (0, "")
        variables = remember.strip().replace(at, url).replace("alice", "erin").replace("~", str(machine.folder))
        done = machine.run(f"{variables}; zchat tail General")
        assert done.stdout.endswith("alice: hello\n"), done.stderr
