"""`zchat ping`: a health check."""

from __future__ import annotations

import re
import socket
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Thread

import pytest

import zchat as library
from tests.mortal import Mortal
from tests.running import DEADLINE, Start, Zchat
from zchat.broker import Broker
from zchat.transport import keys


def test_a_broker_that_answers_is_0_and_says_where_and_how_soon(zchat: Zchat, broker: Broker) -> None:
    done = zchat("ping")
    assert re.fullmatch(rf"{re.escape(broker.url)} answered in \d+ ms\n", done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    done = zchat("ping", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_none_is_1_and_takes_no_longer_than_asked_for(zchat: Zchat) -> None:
    began = time.monotonic()
    done = zchat("ping", "--timeout", "1", "--connect", "tcp://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "zchat: no broker answered at tcp://127.0.0.1:1 within 1 s: nobody listens there (--connect URL)\n"
    )
    assert time.monotonic() - began < 30, "as long as a busy machine may take to start it"


def test_a_broker_that_stands_still_is_1(zchat: Zchat) -> None:
    with Mortal() as mortal:
        mortal.freeze()
        done = zchat("ping", "--timeout", "0.3", "--connect", mortal.url)
        mortal.thaw()
        assert done.returncode == 1
        assert "takes connections and says nothing: a broker that hangs" in done.stderr
        assert zchat("ping", "--timeout", "30", "--connect", mortal.url).returncode == 0


def test_wrong_usage_is_2(zchat: Zchat) -> None:
    for arguments in (["--connect", "nowhere"], ["--timeout", "0"], ["--timeout", "nan"], ["--user", "alice"]):
        assert zchat("ping", *arguments).returncode == 2


def test_it_works_for_a_user_id_without_a_name_and_joins_nothing(zchat: Zchat, broker: Broker) -> None:
    assert zchat("ping", USER="", LOGNAME="", ZCHAT_USER="").returncode == 0
    with library.Client(broker.url, user="alice") as client:
        assert [room.members for room in client.rooms()] == [0] * 5


def test_of_several_addresses_the_first_that_answers_is_used(zchat: Zchat, broker: Broker) -> None:
    done = zchat("ping", "--connect", f"tcp://127.0.0.1:1,{broker.url}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{broker.url} answered")
    done = zchat("rooms", ZCHAT_URL=f"tcp://127.0.0.1:1, {broker.url}")
    assert (done.returncode, done.stderr) == (0, "")
    assert zchat("ping", "--connect", f"{broker.url},nowhere").returncode == 2


def test_with_keys_it_is_a_user_of_its_own(zchat: Zchat, keyed: tuple[Path, str]) -> None:
    folder, url = keyed
    known = {"ZCHAT_URL": url, "ZCHAT_SERVER_KEY": str(folder / "server.key")}
    assert zchat("ping", **known, ZCHAT_KEY=str(folder / "users" / "alice.key_secret")).returncode == 0
    done = zchat("ping", **known, ZCHAT_KEY=str(folder / "eve.key_secret"))
    assert done.returncode == 3, "it is alive, and a restart would not let the key in"
    assert "let in this key" in done.stderr
    done = zchat("ping", ZCHAT_URL=url)
    assert done.returncode == 1
    assert "lets nobody in without a key" in done.stderr


def test_a_broker_that_has_banned_the_user_is_alive(zchat: Zchat, keyed: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = keyed
    pair, server = {name: tmp_path / f"{name}.key_secret" for name in ("carol", "dave")}, folder / "server.key"
    for name in pair:
        public, _ = keys.write_pair(tmp_path, name, keys.make(name))
        (folder / "users" / public.name).write_bytes(public.read_bytes())
    rules = tmp_path / "rules.toml"
    rules.write_text('operators = ["carol"]', encoding="utf-8")
    with Broker("tcp://127.0.0.1:*", keys=folder, rules=rules) as broker:
        with library.Client(broker.url, key=pair["carol"], server_key=server, timeout=DEADLINE) as carol:
            carol.ban("dave", reason="spam")
        done = zchat("ping", ZCHAT_URL=broker.url, ZCHAT_KEY=str(pair["dave"]), ZCHAT_SERVER_KEY=str(server))
    assert done.returncode == 3
    assert "spam" in done.stderr


@pytest.mark.parametrize("user", ["alice", ""])
def test_where_logins_are_names_it_needs_no_key(zchat: Zchat, user: str) -> None:
    with Broker("ipc://*", store="memory:", logins=True) as broker:
        done = zchat("ping", "--connect", broker.url, USER=user, LOGNAME=user, ZCHAT_USER=user)
        assert (done.returncode, done.stderr) == (0, "")
        assert broker.counters.refused.total() == 0, "nothing that an operator would wonder about"


@pytest.mark.parametrize(
    ("says", "code", "why"),
    [
        (b"", 3, "takes connections and closes them: a broker that has no room for another client"),
        (b"SSH-2.0-OpenSSH_9.2", 1, r"another service is there, which says b'SSH-2\.0-OpenSSH"),
        (b"\xff\0\0\0\0\0\0\0\1\x7f", 1, "ZeroMQ is there, but no broker answers"),
    ],
)
def test_what_is_there_instead_is_reported(zchat: Zchat, says: bytes, code: int, why: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with ExitStack() as kept, suppress(OSError):
                while True:
                    peer, _ = server.accept()
                    peer.sendall(says)
                    if says:
                        kept.enter_context(peer)
                    else:
                        peer.close()

        serving = Thread(target=serve, daemon=True)
        serving.start()
        done = zchat("ping", "--timeout", "0.5", "--connect", f"tcp://127.0.0.1:{server.getsockname()[1]}")
        server.shutdown(socket.SHUT_RDWR)
        serving.join(DEADLINE)
    assert (done.returncode, done.stdout) == (code, "")
    assert re.fullmatch(rf"zchat: no broker answered at .*{why}.*\n", done.stderr)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody is turned away")
def test_a_broker_whose_descriptors_have_run_out_is_alive(zchat: Zchat, start: Start) -> None:
    running = start(shell='ulimit -n 40; exec "$@" broker --store memory: --bind "tcp://127.0.0.1:*"')
    running.until("clients: about")
    url = re.search(r"tcp://[\d.:]+", running.text)
    assert url
    with ExitStack() as stack:
        for number in range(40):
            with suppress(library.ConnectionLost):
                stack.enter_context(library.Client(url[0], user=f"user{number}", timeout=4))
                continue
            break
        done = zchat("ping", "--timeout", "1", "--connect", url[0])
    assert done.returncode == 3
    assert "a broker that has no room for another client" in done.stderr


def test_a_broker_that_says_that_it_is_full_is_alive(
    zchat: Zchat, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zchat.broker.limits.MAX_SESSIONS", 1)
    with library.Client(broker.url, user="alice"):
        done = zchat("ping")
    assert done.returncode == 3
    assert "has 1 sessions, the most it may have" in done.stderr
