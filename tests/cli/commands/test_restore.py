"""`zchat restore`; that a restored backup is read is in `test_backup.py`."""

from __future__ import annotations

from pathlib import Path

from tests.running import ROOT, Zchat

RELEASED = ROOT / "tests" / "data" / "store-0.1.0.db"


def test_a_file_that_is_there_stays(zchat: Zchat, tmp_path: Path) -> None:
    target = tmp_path / "there.db"
    target.write_text("mine")
    done = zchat("restore", str(RELEASED), str(target))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"zchat: {target} exists, and nothing is overwritten: name another file, or move it away\n"
    assert target.read_text() == "mine"
    assert [each.name for each in tmp_path.iterdir()] == ["there.db"]


def test_what_is_no_backup_is_named(zchat: Zchat, tmp_path: Path) -> None:
    done = zchat("restore", "/etc/passwd", str(tmp_path / "new.db"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "zchat: /etc/passwd can't be read as a database of zchat (file is not a database)\n"
    assert list(tmp_path.iterdir()) == []


def test_what_a_link_leads_to_is_moved_aside_in_its_own_folder(zchat: Zchat, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    (disk / "real.db").write_bytes(RELEASED.read_bytes())
    link = tmp_path / "link.db"
    link.symlink_to(disk / "real.db")
    done = zchat("restore", "--aside", str(RELEASED), str(link))
    assert (done.returncode, done.stderr) == (0, "")
    [aside] = [each for each in disk.iterdir() if each.name.startswith("real.db.before-")]
    assert aside.read_bytes() == RELEASED.read_bytes()
    assert done.stdout.splitlines()[-1] == f"{aside}: what was there before"
    assert link.readlink() == disk / "real.db"
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith("link")] == ["link.db"]
