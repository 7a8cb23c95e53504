from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.cli.terminals import Tmux
from tests.running import DEADLINE, ROOT, ZCHAT, Running, Start, Zchat
from zchat.broker import Broker
from zchat.transport import keys


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker("tcp://127.0.0.1:*", store="memory:") as running:
        yield running


@pytest.fixture
def environment(broker: Broker, tmp_path: Path) -> dict[str, str]:
    """Give the environment in which the command finds the broker, and nothing of the user who runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ZCHAT_", "LC_", "XDG_"))}
    return kept | {
        "ZCHAT_URL": broker.url,
        "ZCHAT_USER": "alice",
        "TZ": "UTC",
        "LANG": "C.UTF-8",
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "",
    }


@pytest.fixture
def zchat(environment: dict[str, str]) -> Zchat:
    """Give a function that runs the command to its end."""

    def run(*arguments: str, stdin: str | bytes = "", **extra: str) -> subprocess.CompletedProcess[str]:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        command = [*ZCHAT, *arguments]
        done = subprocess.run(
            command, input=data, capture_output=True, timeout=DEADLINE, env=environment | extra, check=False
        )
        return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Give a folder with keys, alice's among them and one that isn't let in, and the address of a broker with them."""
    folder = tmp_path / "keys"
    keys.make_server(folder)
    for user, place in (("alice", folder / "users"), ("eve", folder)):
        keys.write_pair(place, user, keys.make(user))
    with Broker("tcp://127.0.0.1:*", store="memory:", keys=folder) as broker:
        yield folder, broker.url


@pytest.fixture
def unshare(needs: Callable[[str], str]) -> Callable[..., tuple[str, ...]]:
    """Give a function that returns what runs a command in namespaces of its own; it skips the test if none are had."""

    def before(*namespaces: str) -> tuple[str, ...]:
        command = (needs("unshare"), "--user", "--map-root-user", *namespaces)
        if subprocess.run([*command, "true"], capture_output=True, timeout=DEADLINE, check=False).returncode:
            pytest.skip("namespaces are not permitted here")
        return command

    return before


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Start]:
    """Give a function that starts the command, or a line of bash, and goes on.

    Not `traced`, its coverage isn't measured: a signal whose handler raises an exception leaves the
    lock of coverage's own collector held if it comes within, and the program waits for it for ever.
    """
    with ExitStack() as stack:

        def run(*arguments: str, shell: str = "", traced: bool = True, **extra: str) -> Running:
            variables = environment | extra
            if not traced:
                variables = {name: value for name, value in variables.items() if not name.startswith("COVERAGE_")}
            command = ["bash", "-c", shell, "bash", *ZCHAT] if shell else [*ZCHAT, *arguments]
            pipe = subprocess.PIPE
            process = subprocess.Popen(
                command,
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                encoding="utf-8",
                env=variables,
                start_new_session=True,  # so that a whole pipeline can be ended
            )
            stack.callback(_close, process)
            return Running(process)

        yield run


def _close(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(DEADLINE)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream and not stream.closed:
            with suppress(BrokenPipeError):
                stream.close()


@pytest.fixture
def tmux(needs: Callable[[str], str], environment: dict[str, str]) -> Iterator[Tmux]:
    server = Tmux(needs("tmux"), environment)
    yield server
    server.end()


@pytest.fixture
def alone(unshare: Callable[..., tuple[str, ...]]) -> tuple[str, ...]:
    """Give what runs a command as process 1 of a namespace of its own."""
    return unshare("--pid", "--fork", "--kill-child", "--mount-proc")
