"""`zchat copy`: what is copied, what is refused, and what an interrupted copy leaves."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.mortal import Mortal
from tests.redis_server import RedisServer
from tests.running import Start, Zchat

SLOWLY = """
import os, signal, sys, time
from zchat.broker.store.copying import records
add = records.Tally.add
def added(self, record):
    add(self, record)
    if self.messages == 2: os.kill(os.getpid(), signal.{name}); time.sleep(0.5)
records.Tally.add = added
from zchat.cli.main import main; main(sys.argv[1:])
"""
"""A program that runs the command, and is sent a signal once two messages are copied."""


@pytest.fixture(scope="module")
def redis_server(needs: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(needs("redis-server"), tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(redis_server: RedisServer) -> RedisServer:
    redis_server.call("FLUSHALL")
    return redis_server


@pytest.fixture
def source(zchat: Zchat, tmp_path: Path) -> str:
    """Give the URL of a store with three messages."""
    url = f"sqlite:{tmp_path}/chat.db"
    with Mortal(url) as broker:
        for text in "abc":
            assert zchat("send", "General", text, ZCHAT_URL=broker.url).returncode == 0
        broker.stop()
    return url


def messages(zchat: Zchat, store: str) -> list[str]:
    """Return what a broker on a store has."""
    with Mortal(store) as broker:
        texts = [line[-1] for line in zchat("tail", "General", ZCHAT_URL=broker.url).stdout.splitlines()]
        broker.stop()
    return texts


def refusal(zchat: Zchat, store: str) -> str:
    """Return why a broker does not start on a store."""
    done = zchat("broker", "--store", store, "--bind", "tcp://127.0.0.1:*")
    assert done.returncode == 1
    return done.stderr.splitlines()[-1]


def test_a_store_goes_to_a_server_and_back(zchat: Zchat, source: str, server: RedisServer, tmp_path: Path) -> None:
    back = f"sqlite:{tmp_path}/back.db"
    for first, second in ((source, server.url), (server.url, back)):
        done = zchat("copy", first, second)
        assert (done.returncode, done.stderr) == (0, "")
        place = re.escape(second.removeprefix("sqlite:"))
        assert re.fullmatch(
            rf"{place}: 3 messages in 1 room, the newest of [-\d]+ [:\d]+; 1 read mark, 0 sanctions and 0 producers\n",
            done.stdout,
        ), done.stdout
    assert messages(zchat, server.url) == messages(zchat, back) == [*"abc"]


def test_the_stores_may_be_named_by_variables_and_no_password_is_shown(
    zchat: Zchat, source: str, server: RedisServer
) -> None:
    url = server.url.replace("///", "//default:secret@/", 1)
    for arguments in ([source], []):
        server.call("FLUSHALL")
        done = zchat("copy", *arguments, ZCHAT_COPY_FROM=source, ZCHAT_COPY_TO=url)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"{url.replace('secret', '***')}: 3 messages")


def test_what_can_not_be_copied_is_wrong_usage_or_fails(
    zchat: Zchat, source: str, server: RedisServer, tmp_path: Path
) -> None:
    new = f"sqlite:{tmp_path}/new.db"
    wrong = {
        (): "Missing argument 'FROM'",
        (source,): "Missing argument 'TO'",
        ("memory:", new): "memory: keeps nothing",
        ("papyrus:scroll", new): "is not a store",
        (source, source): "can't be copied into itself",
        (source, "redis://bob:secret@"): "is not the URL of a Redis",
    }
    failing = {
        (f"sqlite:{tmp_path}/none.db", new): "there is no file",
        (server.url, new): "there is no store under the prefix zchat",
        (source, f"sqlite:{tmp_path}/../{tmp_path.name}/chat.db"): "can't be copied into itself",
        (source, f"sqlite:{tmp_path}/none/new.db"): "can't be made",
        (source, f"redis+unix://{tmp_path}/nobody"): "start it, or name another server",
    }
    before = set(tmp_path.iterdir())
    for lines, code in ((wrong, 2), (failing, 1)):
        for line, why in lines.items():
            done = zchat("copy", *line)
            assert (done.returncode, done.stdout) == (code, ""), line
            assert why in done.stderr
            assert done.stderr.count("\n") == 1
            assert "secret" not in done.stderr
    assert {each for each in tmp_path.iterdir() if not each.name.startswith("chat.db-")} == before
    assert server.keys() == {}


def test_a_store_that_a_broker_has_open_is_not_copied(zchat: Zchat, source: str, server: RedisServer) -> None:
    with Mortal(source):
        done = zchat("copy", source, server.url)
        assert (done.returncode, "a broker has" in done.stderr) == (1, True)
    assert zchat("copy", source, server.url).returncode == 0
    with Mortal(server.url):
        done = zchat("copy", server.url, f"{source}2")
        assert (done.returncode, "is in use by 1 broker" in done.stderr) == (1, True)


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130), ("SIGHUP", 129)])
@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_signal_ends_it_and_leaves_nothing(
    start: Start, source: str, server: RedisServer, tmp_path: Path, kind: str, name: str, code: int
) -> None:
    before = {each for each in tmp_path.iterdir() if not each.name.startswith("chat.db-")}
    target = server.url if kind == "redis" else f"sqlite:{tmp_path}/new.db"
    running = start(shell=f'exec "$1" -c "$PROGRAM" copy {source} {target}', PROGRAM=SLOWLY.format(name=name))
    assert running.end() == code
    assert (running.text, running.errors) == ("", "")
    assert {each for each in tmp_path.iterdir() if not each.name.startswith("chat.db-")} == before
    assert server.keys() == {}


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_what_a_killed_copy_has_left_is_no_store_and_another_copy_takes_its_place(
    start: Start, zchat: Zchat, source: str, server: RedisServer, tmp_path: Path, kind: str
) -> None:
    target = server.url if kind == "redis" else f"sqlite:{tmp_path}/new.db"
    running = start(
        shell=f'exec "$1" -c "$PROGRAM" copy {source} {target}', traced=False, PROGRAM=SLOWLY.format(name="SIGKILL")
    )
    assert running.end() == -signal.SIGKILL
    if kind == "redis":
        assert "is a copy that is not complete" in refusal(zchat, target)
        done = zchat("copy", source, target)
        assert (done.returncode, done.stdout) == (1, "")
        assert "(zchat copy --again removes what is there first)" in done.stderr
        assert zchat("copy", "--again", source, target).returncode == 0
    else:
        assert not (tmp_path / "new.db").exists()
        assert zchat("copy", source, target).returncode == 0
    assert messages(zchat, target) == [*"abc"]


def test_a_signal_once_it_is_there_changes_nothing(
    start: Start, zchat: Zchat, source: str, server: RedisServer
) -> None:
    program = (
        "import os, signal, sys, click; before = click.echo\n"
        "def echo(*a, **k): os.kill(os.getpid(), signal.SIGTERM); before(*a, **k)\n"
        "click.echo = echo\nfrom zchat.cli.main import main; main(sys.argv[1:])"
    )
    running = start(shell=f'exec "$1" -c "$PROGRAM" copy {source} {server.url}', PROGRAM=program)
    assert running.end() == 0
    assert running.errors == ""
    assert messages(zchat, server.url) == [*"abc"]


def test_an_output_that_takes_nothing_is_reported_and_the_copy_is_there(
    start: Start, zchat: Zchat, source: str, server: RedisServer
) -> None:
    running = start(shell=f'"$@" copy {source} {server.url} >/dev/full')
    assert running.end() == 1
    assert "standard output" in running.errors
    assert messages(zchat, server.url) == [*"abc"]
