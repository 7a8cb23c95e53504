"""Who may use a database's files: root makes them for the owner of their folder, and a refusal names both users."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import DEADLINE, ROOT, ZCHAT
from zchat.broker.store.sqlite.access import acting_as_owner, why_not

pytestmark = pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root has several users")

SERVICE = 65534
"""The user whose folder it is: nobody."""


def command(*arguments: object, user: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command as another user, who may read nothing of the checkout by itself."""
    program = (
        "import os, sys\n"
        "from zchat.cli.commands import backup, broker, restore\n"  # loaded before it becomes that user
        "from zchat.cli import completion, copying, logs, main, program\n"
        "import zmq, platformdirs, zchat.cli.text.columns, zchat.broker.store\n"
        f"user = {user}\n"
        "if user: os.setgroups([]); os.setgid(user); os.setuid(user)\n"
        "main.main(sys.argv[1:])"
    )
    line = [*ZCHAT[:1], "-c", program, *map(str, arguments)]
    # Nobody may write what measures coverage either, or load what a hint about an unknown variable takes.
    env = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE_", "ZCHAT_"))}
    return subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True, timeout=DEADLINE, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a service's folder, which everyone may reach and the service alone may use."""
    for each in (tmp_path, *tmp_path.parents):
        if each.stat().st_uid == os.geteuid() and each != Path("/"):
            each.chmod(each.stat().st_mode | 0o011)
    made = tmp_path / "service"
    made.mkdir(0o700)
    os.chown(made, SERVICE, SERVICE)
    return made


RELEASED = ROOT / "tests" / "data" / "store-0.1.0.db"


def test_what_root_restores_belongs_to_the_owner_of_its_folder(folder: Path, tmp_path: Path) -> None:
    target = folder / "z.db"
    backup = tmp_path / "backup"
    backup.write_bytes(RELEASED.read_bytes())
    backup.chmod(0o600)  # as root makes it
    done = command("restore", backup, target)
    assert (done.returncode, done.stderr) == (0, "")
    assert {each.name: (each.stat().st_uid, each.stat().st_gid) for each in folder.iterdir()} == {
        "z.db": (SERVICE, SERVICE),
        "z.db.lock": (SERVICE, SERVICE),
    }
    done = command("restore", "--aside", backup, target)
    assert (done.returncode, done.stderr) == (0, "")
    assert {each.stat().st_uid for each in folder.iterdir()} == {SERVICE}
    assert len(list(folder.iterdir())) == 3


def test_root_is_root_again_afterwards(folder: Path) -> None:
    groups = os.getgroups()
    with acting_as_owner(folder):
        assert (os.geteuid(), os.getegid()) == (SERVICE, SERVICE)
    assert (os.geteuid(), os.getegid(), os.getgroups()) == (0, 0, groups)


def test_a_broker_that_may_not_use_a_file_names_its_owner_and_itself(folder: Path) -> None:
    target = folder / "z.db"
    target.write_bytes(RELEASED.read_bytes())
    target.chmod(0o600)
    done = command("broker", "--bind", "tcp://127.0.0.1:*", "--store", f"sqlite:{target}", user=SERVICE)
    assert done.returncode == 1
    assert f"({target} belongs to the user root, and this is nobody)" in done.stderr


def test_a_backup_that_may_not_be_read_and_a_folder_that_may_not_be_written_are_named(
    folder: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(RELEASED.read_bytes())
    secret.chmod(0o600)
    done = command("restore", secret, folder / "z.db", user=SERVICE)
    assert done.returncode == 1
    assert f"({secret} belongs to the user root, and this is nobody)" in done.stderr
    mine = tmp_path / "mine"
    mine.mkdir(0o755)
    done = command("backup", "--store", f"sqlite:{secret}", mine / "b", user=SERVICE)
    assert done.returncode == 1
    assert "belongs to the user root" in done.stderr


def test_nothing_is_said_of_what_may_be_used(tmp_path: Path) -> None:
    assert why_not(tmp_path / "z.db") == ""


def test_of_what_its_owner_may_not_use_the_mode_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "z.db"
    monkeypatch.setattr(os, "access", lambda *_, **__: False)  # as for root without its rights, or another owner
    monkeypatch.setattr(os, "supports_effective_ids", {os.access})
    tmp_path.chmod(0o500)
    assert why_not(path) == f" ({tmp_path} has the mode 0500)"
    tmp_path.chmod(0o300)
    path.touch(0o400)
    assert why_not(path) == f" ({path} has the mode 0400)"
    path.chmod(0o600)
    assert why_not(path) == "", "a file system that is read-only, for example, why_not error says so"
