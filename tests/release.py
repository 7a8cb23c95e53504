"""Check what would be released, as those who install it will find it: `make release-check`.

The archives are built from the last commit, in a temporary folder. Each is installed into an empty virtual
environment and has to run a chat there, far from the checkout. What passes is put into `dist/`.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.running import Running

ROOT = Path(__file__).parent.parent
NAME = "zchat-zmq"
TIMEOUT = 600

UNRELEASED = "Not released yet"
"""The first heading of the changelog as long as the version is one of development."""

NOT_PACKED = {".gitignore", "broker", "cli"}
"""What git knows and the source archive doesn't hold: what is for git, and the two links for finding one's way."""

MADE = re.compile(r"PKG-INFO|zchat_zmq\.egg-info/.*")
"""What the source archive holds beside what git knows."""

SOURCES_TESTS = ["tests/test_*.py", "tests/wire", "tests/protocol"]
"""The tests that are run from the unpacked source archive: those that read the project's files, and some others."""


class Unfit(Exception):
    """What must not be released, with the reason."""


def changelog_problem(version: str, changelog: str) -> str:
    """Return what keeps the changelog from being that of a version; an empty text if nothing does.

    A release is the first heading, with something below it. Before a development version (`1.2.0.dev0`) it is
    "Not released yet".
    """
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    heading, _, changes = sections[0].partition("\n") if sections else ("", "", "")
    wanted = UNRELEASED if ".dev" in version else version
    if heading.strip() != wanted:
        return f"CHANGELOG.md begins with {heading.strip()!r}, and version {version} with {wanted!r}"
    return "" if changes.strip() else f"CHANGELOG.md has nothing under {wanted!r}"


def repeated_version(version: str, files: dict[str, str]) -> list[str]:
    """Return the files that give the version, other than the one where it belongs."""
    given = re.compile(rf"""(?:["']|=\s*){re.escape(version)}(?![\w.])""")
    return [place for place, text in files.items() if place != "zchat/version.py" and given.search(text)]


def stray(packed: set[str], committed: set[str]) -> list[str]:
    """Return what a source archive lacks and what it holds too much, by git's list."""
    lacking = [f"lacks {place}" for place in sorted(committed - NOT_PACKED - packed)]
    return lacking + [f"holds {place}" for place in sorted(packed - committed) if not MADE.fullmatch(place)]


def say(text: str) -> None:
    """Print what was found."""
    print(f"release-check: {text}", flush=True)


def surroundings(home: Path) -> dict[str, str]:
    """Return an environment in which nothing of this checkout, its Python, its make or its user's settings is found."""
    dropped = ("PYTHON", "ZCHAT", "MAKE", "MFLAGS", "COVERAGE", "XDG", "VIRTUAL_ENV", "PYENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return kept | {"HOME": str(home)}


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """Run a command to its end and return what it printed."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if done.returncode:
        raise Unfit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def exported(folder: Path) -> set[str]:
    """Put the last commit's files into a folder and return their names."""
    if changed := run("git", "status", "--porcelain", cwd=ROOT).splitlines():
        say(f"{len(changed)} changes are not committed, and so not in it")
    packed = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, timeout=TIMEOUT, check=True)
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="tar")
        return {member.name for member in archive if not member.isdir()}


def virtual_environment(folder: Path, *packages: str | Path) -> Path:
    """Make a virtual environment, install packages into it and return the folder of its programs."""
    run(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", *packages, cwd=folder.parent)
    run(folder / "bin" / "python", "-m", "pip", "check", cwd=folder.parent)
    return folder / "bin"


def built(source: Path, folder: Path) -> tuple[Path, Path]:
    """Build both archives, the wheel from the unpacked source archive, and return them."""
    tools = virtual_environment(folder / "tools", "build", "twine")
    run(tools / "python", "-m", "build", "--outdir", folder / "built", source, cwd=folder)
    archives = sorted((folder / "built").iterdir())
    run(tools / "python", "-m", "twine", "check", "--strict", *archives, cwd=folder)
    wheel, sdist = sorted(archives, key=lambda path: path.suffix != ".whl")
    return wheel, sdist


def contents(archive: Path) -> dict[str, bytes]:
    """Return the files of an archive; of a source archive without the folder that holds them all."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return {name: wheel.read(name) for name in wheel.namelist()}
    found = {}
    with tarfile.open(archive) as sdist:
        for member in sdist:
            if {member.uname, member.gname} - {"", "root"}:
                raise Unfit(f"{archive.name} names {member.uname}:{member.gname} as the owner of {member.name}")
            if (file := sdist.extractfile(member)) is not None:
                found[member.name.partition("/")[2]] = file.read()
    return found


def check_contents(wheel: Path, sdist: Path, version: str, committed: set[str], machine: list[Path]) -> None:
    """Check that the archives hold what they should, and nothing that names a folder of this machine."""
    release = f"zchat_zmq-{version}"
    if (names := [wheel.name, sdist.name]) != [f"{release}-py3-none-any.whl", f"{release}.tar.gz"]:
        raise Unfit(f"the archives are called {names}")
    in_wheel, in_sdist = contents(wheel), contents(sdist)
    if problems := stray(set(in_sdist), committed):
        raise Unfit(f"{sdist.name} {', '.join(problems)}")
    package = {place for place in in_wheel if not place.startswith(f"{release}.dist-info/")}
    if different := package ^ {place for place in committed if place.startswith("zchat/")}:
        raise Unfit(f"{wheel.name} and git differ in {sorted(different)}")
    if "zchat/version.py" not in package or "PKG-INFO" not in in_sdist:
        raise Unfit("the archives have no version")
    for metadata in (in_sdist["PKG-INFO"], in_wheel[f"{release}.dist-info/METADATA"]):
        if not {f"Name: {NAME}", f"Version: {version}"} <= set(metadata.decode().splitlines()):
            raise Unfit(f"the archives are not of {NAME} {version}:\n{metadata.decode()[:200]}")
    for place, data in (in_wheel | in_sdist).items():
        if told := [path for path in machine if os.fsencode(f"{path}/") in data]:
            raise Unfit(f"{place} tells of {told[0]}")


@contextmanager
def started(program: Path, *arguments: str, home: Path) -> Iterator[Running]:
    """Start a command, and end it."""
    process = subprocess.Popen(
        [program, *arguments],
        cwd=home,
        env=surroundings(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        yield Running(process)
    finally:
        process.kill()
        process.wait()


def check_chat(programs: Path, version: str, home: Path, metrics: bool) -> None:
    """Run a broker and two clients of an installation, and let one hear what the other says."""
    zchat = programs / "zchat"
    if (said := run(zchat, "--version", cwd=home, env=surroundings(home))) != f"zchat {version}\n":
        raise Unfit(f"zchat --version says {said!r}")
    where = "import json, zchat; print(json.dumps([zchat.__file__, zchat.__version__]))"
    file, library = json.loads(run(programs / "python", "-c", where, cwd=home, env=surroundings(home)))
    if not Path(file).is_relative_to(programs.parent) or library != version:
        raise Unfit(f"zchat {library} was imported from {file}")
    store = f"sqlite:{home / 'chat.db'}"
    options = ["--bind", "tcp://127.0.0.1:*", "--store", store, *(["--metrics", "127.0.0.1:0"] if metrics else [])]
    with started(zchat, "broker", *options, home=home) as broker:
        (url,) = re.findall(r"^zchat broker at (\S+)$", broker.until("chat with: "), re.MULTILINE)
        clients = [("client", "--connect", url, "--user", user) for user in ("alice", "bob")]
        with (
            started(zchat, *clients[0], home=home) as alice,
            started(zchat, *clients[1], home=home) as bob,
        ):
            alice.until("you are in General")
            bob.until("you are in General")
            alice.write("is this what was released?\n")
            bob.until("alice: is this what was released?")
            bob.write("it is\n")
            alice.until("bob: it is")
            if codes := [code for code in (alice.end(), bob.end()) if code]:
                raise Unfit(f"a client ended with {codes[0]}: {alice.errors}{bob.errors}")
        tail = run(zchat, "tail", "--connect", url, "General", "-n", "2", cwd=home, env=surroundings(home))
        if "bob: it is" not in tail:
            raise Unfit(f"zchat tail shows {tail!r}")
        if metrics:
            (page,) = re.findall(r"^metrics: (\S+)", broker.text, re.MULTILINE)
            with urllib.request.urlopen(page, timeout=30) as answer:
                figures = answer.read().decode()
            if f'zchat_build_info{{version="{version}"}} 1.0' not in figures:
                raise Unfit(f"{page} says\n{figures}")
        broker.process.terminate()
        if (code := broker.end()) or broker.errors:
            raise Unfit(f"the broker ended with {code}: {broker.errors}")


def check_without_metrics(programs: Path, home: Path) -> None:
    """Check that a broker that lacks the extra says what to install."""
    with started(programs / "zchat", "broker", "--store", "memory:", "--metrics", "127.0.0.1:0", home=home) as broker:
        if broker.end() != 1 or f"'{NAME}[metrics]'" not in broker.errors:
            raise Unfit(f"a broker without the extra metrics says {broker.text}{broker.errors}")


def check_sources_tests(sdist: Path, folder: Path) -> str:
    """Run tests from the unpacked source archive, as its README says; return pytest's last line."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (unpacked,) = folder.iterdir()
    tests = [str(place.relative_to(unpacked)) for pattern in SOURCES_TESTS for place in sorted(unpacked.glob(pattern))]
    call = ["make", "test", f"PYTHON={sys.executable}", "WORKERS=2", f"TESTS={' '.join(tests)}"]
    return run(*call, cwd=unpacked, env=surroundings(folder)).strip().splitlines()[-1].strip("= ")


def check(folder: Path) -> None:
    """Check everything, in a folder that is empty; raise Unfit at the first thing that is wrong."""
    committed = exported(source := folder / "source")
    read = {place: source / place for place in committed if re.search(r"\.(py|cfg|toml)$|^Makefile$", place)}
    texts = {place: path.read_text(encoding="utf-8") for place, path in read.items() if not place.startswith("tests/")}
    found = re.findall(r'^__version__ = "(.+)"$', texts["zchat/version.py"], re.MULTILINE)
    if len(found) != 1:
        raise Unfit("zchat/version.py has no version")
    version = found[0]
    if again := repeated_version(version, texts):
        raise Unfit(f"the version stands in {', '.join(again)} too, and belongs in zchat/version.py alone")
    if problem := changelog_problem(version, (source / "CHANGELOG.md").read_text(encoding="utf-8")):
        raise Unfit(problem)
    say(f"version {version}: in one place, and in the changelog")
    wheel, sdist = built(source, folder)
    check_contents(wheel, sdist, version, committed, [ROOT, folder, Path.home()])
    say(f"{wheel.name} and {sdist.name}: built, and hold what they should")
    for archive, extra in ((wheel, "[metrics]"), (sdist, "")):
        home = folder / f"home-{archive.suffix[1:]}"
        home.mkdir()
        programs = virtual_environment(folder / f"venv-{archive.suffix[1:]}", f"{NAME}{extra} @ {archive.as_uri()}")
        check_chat(programs, version, home, metrics=bool(extra))
        if not extra:
            check_without_metrics(programs, home)
        say(f"{archive.name}{extra}: installed, and a chat runs with it")
    (tests := folder / "tests").mkdir()
    say(f"{sdist.name}: its own tests: {check_sources_tests(sdist, tests)}")
    (ROOT / "dist").mkdir(exist_ok=True)
    for archive in (wheel, sdist):
        shutil.copy2(archive, ROOT / "dist")
    say(f"passed; see dist/{wheel.name} and dist/{sdist.name}")


def main() -> int:
    """Check everything, and return 1 if something must not be released."""
    with TemporaryDirectory(prefix="zchat-release-") as temporary:
        try:
            check(Path(temporary).resolve())
        except (Unfit, AssertionError, subprocess.SubprocessError) as error:
            print(f"release-check: FAILED: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
