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


def test_a_gateways_pair_says_what_it_is(tmp_path: Path) -> None:
    done = zchat("keygen", "--gateway", "web", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "web's key, a gateway's, with which one can be any user but operators; keep it to yourself" in done.stdout
    assert "gateway = true" in (tmp_path / "web.key").read_text()


def test_how_to_run_a_broker_can_be_copied_whatever_the_folder(tmp_path: Path) -> None:
    done = zchat("keygen", "--server", "my keys; rm", cwd=tmp_path)
    assert "\nrun it with: zchat broker --keys 'my keys; rm'\n" in done.stdout


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
        ((".x",), "would be hidden, and no broker reads that; choose another first sign"),
        ((".x@phone",), "would be hidden"),
        (("guest-1",), "names that begin with guest- are those of guests"),
        (("alice", "--out", "nowhere"), "can't be written"),
        (("--gateway", "--server", "x"), "--gateway is for the key of a NAME"),
    ],
)
def test_what_cant_be_is_said_in_one_line(tmp_path: Path, args: tuple[str, ...], why: str) -> None:
    done = zchat("keygen", *args, cwd=tmp_path)
    assert done.returncode == 2
    assert why in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
@pytest.mark.parametrize("line", ["alice", "--server a/keys"])
def test_what_the_system_refuses_to_write_is_a_failure_and_leaves_nothing(tmp_path: Path, line: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'ulimit -f 0; exec "$@" -m zchat keygen {line}', "sh", sys.executable],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert done.returncode == 1
    assert "can't be written (File too large); raise the limit on its size (ulimit -f)" in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_a_hidden_file_among_the_users_keys_is_named(tmp_path: Path) -> None:
    assert zchat("keygen", "--server", "keys", cwd=tmp_path).returncode == 0
    assert zchat("keygen", "x", "--out", "keys/users", cwd=tmp_path).returncode == 0
    (tmp_path / "keys" / "users" / "x.key").rename(tmp_path / "keys" / "users" / ".x.key")
    (tmp_path / "keys" / "users" / "x.key_secret").unlink()
    done = zchat("keys", "keys", cwd=tmp_path)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2), "the title and the broker"
    assert done.stderr == "zchat: '.x.key' is hidden, and lets in nobody: have its name begin with another sign\n"


def test_nothing_is_made_once_a_signal_has_come(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from zchat.cli.commands import keygen; before = keygen.asked\n"
        "def asked(): os.kill(os.getpid(), signal.SIGTERM); return before()\n"
        "keygen.asked = asked\nfrom zchat.cli.main import main; main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", program, "keygen", "alice", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE)
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "")
    assert list(tmp_path.iterdir()) == []
