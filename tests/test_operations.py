"""The page for those who operate a broker, the unit for systemd and the image: what they call works."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.running import DEADLINE, ROOT, ZCHAT
from zchat.cli.program import program

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
UNIT = (ROOT / "packaging" / "zchat.service").read_text(encoding="utf-8")
IMAGE = (ROOT / "packaging" / "Dockerfile").read_text(encoding="utf-8")


def unit(key: str) -> str:
    (value,) = re.findall(rf"^{key}=(.+)$", UNIT, re.MULTILINE)
    return str(value)


def image(key: str) -> list[str]:
    (value,) = re.findall(rf"^{key} (\[.+\])$", IMAGE, re.MULTILINE)
    words: list[str] = json.loads(value)
    return words


def installed(program: str) -> str:
    """Return a program of the operator's machine, which nobody needs to run zchat; skip the test if it is missing."""
    return shutil.which(program) or pytest.skip(f"{program} is not installed")


def calls() -> list[list[str]]:
    """Return the words of each call of `zchat` on the page and in what belongs to it."""
    lines = [line for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    found = [shlex.split(line.split(" 2>>")[0].removesuffix(" &&")) for line in lines]
    found += [shlex.split(unit("ExecStart")), image("ENTRYPOINT") + image("CMD"), image(r"HEALTHCHECK .*CMD")]
    found += [words[-words[::-1].index("zchat") - 1 :] for words in found if words[0] == "docker" and "broker" in words]
    starts = [[Path(word).name for word in words] for words in found]
    return [words[names.index("zchat") + 1 :] for words, names in zip(found, starts, strict=True) if calls_it(names)]


def calls_it(names: list[str]) -> bool:
    return names[0] == "zchat" or names[:4] == ["runuser", "-u", "zchat", "--"]


def arguments(words: list[str]) -> list[str]:
    return words[words.index("--") + 2 :] if "--" in words else words


@pytest.mark.parametrize("words", calls(), ids=" ".join)
def test_the_command_takes_every_call_as_it_is_written(words: list[str]) -> None:
    name, *rest = arguments(words)
    command = program.get_command(click.Context(program), name)
    assert command
    command.make_context(name, rest)


def test_every_command_of_the_page_is_among_them() -> None:
    assert {arguments(words)[0] for words in calls()} == {"ping", "broker", "backup", "restore", "client"}
    assert len(calls()) > 10


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    copy = tmp_path / "zchat.service"
    copy.write_text(UNIT.replace("/opt/zchat/bin/zchat", sys.executable).replace("User=zchat", "User=daemon"))
    done = subprocess.run(
        [installed("systemd-analyze"), "verify", copy], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_unit_leaves_its_broker_little(tmp_path: Path) -> None:
    copy = tmp_path / "zchat.service"
    copy.write_text(UNIT)
    line = [installed("systemd-analyze"), "security", "--offline=true", "--threshold=20", str(copy)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stdout


def test_the_pages_line_finds_the_brokers_events_among_the_other_lines_of_the_journal() -> None:
    (line,) = re.findall(r"^journalctl -u zchat -o cat \| jq (.+)$", PAGE, re.MULTILINE)
    journal = "Started zchat.service - zchat broker.\n" + '{"event": "listening", "urls": []}\n' + "store: memory:\n"
    jq = [installed("jq"), *shlex.split(line)]
    done = subprocess.run(jq, input=journal, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "listening\n", "")


def test_the_units_broker_is_on_loopback_keeps_its_rooms_in_the_units_folder_and_ends_at_its_signal(
    tmp_path: Path,
) -> None:
    words = shlex.split(unit("ExecStart"))[1:]
    assert words[words.index("--bind") + 1] == "tcp://127.0.0.1:5555"
    store = words[words.index("--store") + 1]
    assert store == f"sqlite:/var/lib/{unit('StateDirectory')}/zchat.db"
    words[words.index("--bind") + 1] = "tcp://127.0.0.1:*"
    words[words.index("--store") + 1] = f"sqlite:{tmp_path / 'zchat.db'}"
    broker = subprocess.Popen([*ZCHAT, *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert broker.stdout
    assert re.match(r"zchat broker at tcp://127\.0\.0\.1:\d+$", broker.stdout.readline())
    broker.send_signal(getattr(signal, unit("KillSignal")))
    _, log = broker.communicate(timeout=float(unit("TimeoutStopSec")))
    assert broker.returncode == 0
    assert [json.loads(line)["event"] for line in log.splitlines()][-1] == "stopped"


def test_the_image_runs_as_a_user_of_its_own_and_binds_to_nothing_by_itself() -> None:
    assert re.findall(r"^USER (.+)$", IMAGE, re.MULTILINE) == ["10001:10001"]
    assert "--bind" not in image("CMD")
    assert image("CMD")[-1] == "sqlite:/var/lib/zchat/zchat.db"
    assert re.findall(r"^VOLUME (.+)$", IMAGE, re.MULTILINE) == ["/var/lib/zchat"]
    copied = re.findall(r"^COPY (?!--)(.+) /\S+$", IMAGE, re.MULTILINE)
    assert all((ROOT / name).exists() for names in copied for name in names.split())
