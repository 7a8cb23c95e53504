"""What `make release-check` lets pass, and what it stops."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.release import changelog_problem, repeated_version, stray
from zchat.version import __version__

ROOT = Path(__file__).parent.parent

UNRELEASED = "# Changelog\n\n## Not released yet\n\n- This.\n\n## 1.0.0\n\n- That.\n"
RELEASED = "# Changelog\n\n## 1.0.0\n\n- That.\n"


def test_the_changelog_belongs_to_the_version() -> None:
    assert changelog_problem(__version__, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")) == ""


@pytest.mark.parametrize(("version", "changelog"), [("1.0.0", RELEASED), ("1.1.0.dev0", UNRELEASED)])
def test_a_release_has_its_heading_and_what_is_being_developed_has_none_yet(version: str, changelog: str) -> None:
    assert changelog_problem(version, changelog) == ""


@pytest.mark.parametrize(
    ("version", "changelog"),
    [
        ("1.1.0", UNRELEASED),
        ("1.0.0", UNRELEASED),
        ("1.1.0.dev0", RELEASED),
        ("1.0.0", "# Changelog\n\n## 1.0.0\n\n## 0.9.0\n\n- Older.\n"),
        ("1.0.0", "# Changelog\n"),
    ],
)
def test_a_changelog_of_another_version_is_a_problem(version: str, changelog: str) -> None:
    assert "CHANGELOG.md" in changelog_problem(version, changelog)


def test_a_version_in_a_second_place_is_found() -> None:
    files = {
        "zchat/version.py": '__version__ = "1.0.0"\n',
        "setup.cfg": "version = 1.0.0\n",
        "zchat/other.py": 'VERSION = "1.0.0"\n',
        "zchat/messages.py": "# pickles of version 1.0.0\n",
        "pyproject.toml": 'requires = ["something >= 1.0.0.1"]\n',
    }
    assert repeated_version("1.0.0", files) == ["setup.cfg", "zchat/other.py"]


def test_a_source_archive_lacks_nothing_that_git_knows_and_holds_nothing_else() -> None:
    committed = {"README.md", "zchat/client/link.py", ".gitignore", "broker", "cli"}
    made = {"PKG-INFO", "zchat_zmq.egg-info/SOURCES.txt"}
    assert stray({"README.md", "zchat/client/link.py"} | made, committed) == []
    assert stray({"README.md", "notes.txt"} | made, committed) == ["lacks zchat/client/link.py", "holds notes.txt"]
