"""`zchat keygen` and what it makes, from outside the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import DEADLINE, ROOT


def zchat(*args: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "zchat", *map(str, args)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(cwd)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=DEADLINE)


def test_a_pair_is_made_and_nothing_of_the_secret_is_shown(tmp_path: Path) -> None:
    done = zchat("keygen", "alice@phone", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(each.name for each in tmp_path.iterdir()) == ["alice@phone.key", "alice@phone.key_secret"]
    assert 'user = "alice"' in (tmp_path / "alice@phone.key").read_text()
    assert (tmp_path / "alice@phone.key_secret").stat().st_mode & 0o777 == 0o600
    secret = (tmp_path / "alice@phone.key_secret").read_text().rpartition('secret-key = "')[2].partition('"')[0]
    assert len(secret) == 40
    assert secret not in done.stdout
    assert "fingerprint: " in done.stdout


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    assert zchat("keygen", "alice", cwd=tmp_path).returncode == 0
    before = (tmp_path / "alice.key_secret").read_bytes()
    again = zchat("keygen", "alice", cwd=tmp_path)
    assert again.returncode == 2
    assert "is there already" in again.stderr
    assert (tmp_path / "alice.key_secret").read_bytes() == before


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ((), "one of the two"),
        (("alice", "--server", "x"), "one of the two"),
        (("a/b",), "is a path"),
        (("#lice",), "begins with #"),
        (("guest-1",), "names that begin with guest- are those of guests"),
        (("alice", "--out", "nowhere"), "can't be written"),
    ],
)
def test_what_cant_be_is_said_in_one_line(tmp_path: Path, args: tuple[str, ...], why: str) -> None:
    done = zchat("keygen", *args, cwd=tmp_path)
    assert done.returncode == 2
    assert why in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_from_nothing_to_two_users_who_talk(tmp_path: Path) -> None:
    for args in (("keygen", "--server", "keys"), ("keygen", "alice"), ("keygen", "bob")):
        assert zchat(*args, cwd=tmp_path).returncode == 0
    for user in ("alice", "bob"):
        (tmp_path / "keys" / "users" / f"{user}.key").write_bytes((tmp_path / f"{user}.key").read_bytes())
    broker = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "zchat",
            "broker",
            "--keys",
            "keys",
            "--store",
            "memory:",
            "--bind",
            "tcp://127.0.0.1:*",
        ],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert broker.stdout is not None
        url = broker.stdout.readline().split()[-1]
        given = ("--connect", url, "--server-key", "keys/server.key")
        assert zchat("send", *given, "--key", "alice.key_secret", "General", "hello", cwd=tmp_path).returncode == 0
        shown = zchat("tail", *given, "--key", "bob.key_secret", "General", cwd=tmp_path)
        assert shown.stdout.endswith("alice: hello\n"), shown.stderr
        shut_out = zchat("send", "--connect", url, "General", "hello", cwd=tmp_path)
        assert shut_out.returncode == 1
        assert "lets nobody in without a key" in " ".join(shut_out.stderr.split())
        assert zchat("ping", *given, "--key", "bob.key_secret", cwd=tmp_path).returncode == 0
    finally:
        broker.terminate()
        broker.wait(DEADLINE)
        broker.stdout.close()  # type: ignore[union-attr]
