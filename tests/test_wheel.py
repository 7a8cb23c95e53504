"""What others install: the wheel, built from a clean copy, beside the tree."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.release import NOT_PACKED
from zchat.version import __version__

ROOT = Path(__file__).parent.parent
TIMEOUT = 120

COMMAND_THAT_INSTALLS = re.compile(
    r"\b(?:pip3?|pipx|uv|uvx|poetry|pdm|conda)\b[^\n`|;&]*\b(?:install|add|download|run)\b([^\n`|;&]*)"
)
WITH_EXTRA = re.compile(r"(?<![\w.-])zchat\[[a-z]")
WITH_VERSION = re.compile(r"(?<![\w.-])zchat *(?:[=~>]=|@) *[\w:]")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory, tracked: list[str]) -> Path:
    """Give a copy of what git knows, and nothing else."""
    folder = tmp_path_factory.mktemp("copy")
    for place in tracked:
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / place, target, follow_symlinks=False)
    return folder


def run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    folder = tmp_path_factory.mktemp("wheel")
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "wheel", *offline, "--wheel-dir", str(folder), ".", cwd=copy)
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        yield archive


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile, tracked: list[str]) -> None:
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == {place for place in tracked if place.startswith("zchat/")}
    assert "zchat/py.typed" in packed
    assert {name.split("/")[0] for name in packed} == {"zchat"}


def test_the_wheel_brings_the_command_and_the_license(wheel: zipfile.ZipFile) -> None:
    information = {name.partition(".dist-info/")[2]: wheel.read(name).decode() for name in wheel.namelist()}
    assert "\nName: zchat-zmq\n" in information["METADATA"]
    assert "\nProvides-Extra: metrics\n" in information["METADATA"]
    assert "zchat = zchat.cli.main:main" in information["entry_points.txt"]
    assert "Requires-Python: >=3.11" in information["METADATA"]
    assert f"\nVersion: {__version__}\n" in information["METADATA"]
    assert any(name.endswith("LICENSE") for name in information)


def test_the_source_archive_holds_everything_that_make_check_needs(
    copy: Path, tmp_path: Path, tracked: list[str]
) -> None:
    build = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"
    run(sys.executable, "-c", build, str(tmp_path), cwd=copy)
    (built,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(built) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert set(tracked) - NOT_PACKED <= packed


def installs_another(text: str) -> list[str]:
    """Return where a text names the distribution `zchat`, which on PyPI is another project's."""
    words = [word.strip("'\"") for command in COMMAND_THAT_INSTALLS.findall(text) for word in command.split()]
    return [word for word in words if word == "zchat"] + WITH_EXTRA.findall(text) + WITH_VERSION.findall(text)


def test_nothing_tells_anyone_to_install_the_zchat_of_others(tracked: list[str]) -> None:
    read = [place for place in tracked if (ROOT / place).is_file() and not place.startswith("tests/data/")]
    assert {"README.md", "Makefile", "setup.cfg", "docs/watching.md", "zchat/broker/figures/metrics.py"} <= set(read)
    assert [place for place in read if installs_another((ROOT / place).read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("extra", ["", "[metrics]"])
def test_a_name_that_pip_would_take_for_another_project_is_found(extra: str) -> None:
    name, ours = "zchat" + extra, "zchat-zmq" + extra
    assert installs_another(f"    pip install '{name}'\n")
    assert installs_another(f"`python -m pip install --upgrade {name}`")
    assert installs_another(f"requires = [{name} >= 0.1]")
    assert not installs_another(f"pip install {ours}; then zchat broker")
    assert not installs_another("`pip install .` brings the command zchat")


def test_tracked_links_are_relative(tracked: list[str]) -> None:
    links = [place for place in tracked if (ROOT / place).is_symlink()]
    assert sorted(links) == ["broker", "cli"]
    assert not [place for place in links if os.path.isabs(os.readlink(ROOT / place))]
