"""`zchat web`: what it says at the start, what keeps it from starting, and how it ends."""

from __future__ import annotations

import json
import re
import signal
import socket
import sys
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

import zchat
from tests.cli.outside import command, pipes
from tests.running import DEADLINE, Start, Zchat, eventually
from tests.web.core.test_tokens import KEY, token
from tests.web.keyed import Keyed
from zchat.broker import Broker


@pytest.fixture
def page(tmp_path: Path) -> str:
    folder = tmp_path / "page"
    folder.mkdir()
    (folder / "index.html").write_text("<p>mine</p>")
    return str(folder)


def test_a_page_is_served_and_chats_until_a_signal_ends_it(start: Start, broker: Broker, page: str) -> None:
    running = start("web", "--open", "--listen", "127.0.0.1:*", "--page", page, "--metrics", "127.0.0.1:*")
    text = running.until("metrics: ")
    found = re.search(r"zchat web at (http://127\.0\.0\.1:\d+/)\nbroker: (\S+)\nnames are claims: .*\n", text)
    assert found is not None
    assert found[2] == broker.url
    with urllib.request.urlopen(found[1], timeout=DEADLINE) as answer:
        assert answer.read() == b"<p>mine</p>"
    with connect(found[1].replace("http", "ws", 1) + "ws") as socket:
        socket.send('{"op":"hello","id":1,"version":1,"user":"alice"}')
        assert '"user":"alice"' in str(socket.recv(DEADLINE))
        running.process.send_signal(signal.SIGTERM)
        assert '"op":"bye"' in str(socket.recv(DEADLINE))
    assert running.end() == 0
    assert running.errors == ""


def test_with_a_key_of_its_own_its_users_are_kicked_and_banned_as_themselves(start: Start, tmp_path: Path) -> None:
    keyed = Keyed(tmp_path)
    (tmp_path / "token.key").write_bytes(KEY)
    (tmp_path / "token.key").chmod(0o600)
    with keyed.running(), zchat.Client(keyed.url, timeout=DEADLINE, **keyed.given("root")) as root:
        running = start(
            *("web", "--broker", keyed.url, "--key", tmp_path / "web.key_secret", "--listen", "127.0.0.1:*"),
            *("--server-key", tmp_path / "server" / "server.key", "--token-key", tmp_path / "token.key", "--no-page"),
        )
        found = re.search(r"http://(127\.0\.0\.1:\d+)/", running.until("broker: "))
        assert found is not None
        with connect(f"ws://{found[1]}/ws") as eve, connect(f"ws://{found[1]}/ws") as dora:
            for page, user in ((eve, "eve"), (dora, "dora")):
                claims = token({"sub": user, "exp": int(time.time()) + 600})
                page.send(json.dumps({"op": "hello", "id": 1, "version": 1, "token": claims}))
                assert f'"user":"{user}"' in str(page.recv(DEADLINE))
                page.send('{"op":"join","id":2,"room":"open"}')
                assert '"ok"' in str(page.recv(DEADLINE))
            room = root.join("open")
            room.kick("eve", reason="calm down")
            assert {"op": "removed", "code": "kicked", "reason": "calm down"}.items() <= until(eve, "removed").items()
            root.ban("dora", reason="go away")
            error = until(dora, "error")
            assert error["code"] == "banned"
            assert "go away" in error["text"]
            eve.send('{"op":"join","id":3,"room":"open"}')
            assert until(eve, "ok")["id"] == 3
        running.process.send_signal(signal.SIGTERM)
        assert running.end() == 0
        assert running.errors == ""


def until(page: ClientConnection, op: str) -> dict[str, Any]:
    """Return the next frame of a kind."""
    while True:
        frame: dict[str, Any] = json.loads(page.recv(DEADLINE))
        if frame["op"] == op:
            return frame


def test_without_a_way_of_letting_in_it_says_which_there_are_and_does_not_start(zchat: Zchat) -> None:
    done = zchat("web", "--no-page")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--open (names are claims), --token-key FILE (a site's tokens), or --user-header NAME --trusted-proxy" in (
        " ".join(done.stderr.split())
    )


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        (["--open", "--listen", "0.0.0.0:8080"], 2, "at an address of this machine alone, not at 0.0.0.0:8080"),
        (["--open", "--listen", "nowhere"], 2, "HOST:PORT"),
        (["--open", "--user-header", "X-User", "--trusted-proxy", "127.0.0.1"], 2, "in one way"),
        (["--open", "--page", "/nowhere"], 2, "index.html"),
        (["--open", "--page", "x", "--no-page"], 2, "exclude each other"),
        (["--open", "--no-page", "--tls-cert", "x"], 2, "belong together"),
        (["--open", "--no-page", "--tls-cert", "/nowhere", "--tls-key", "/nowhere"], 2, "can't be read: No such file"),
        (["--open", "--no-page", "--max-connections", "0"], 2, "--max-connections"),
        (["--open", "--no-page", "--broker", "tcp://127.0.0.1:1", "--listen", "127.0.0.1:*"], 1, "--connect URL"),
        (["--open", "--no-page", "--listen", "192.0.2.1:8080"], 2, "this machine alone"),
        (["--user-header", "X Y", "--trusted-proxy", "127.0.0.1"], 2, "'X Y' is the name of no header"),
        (["--user-header", "", "--trusted-proxy", "127.0.0.1"], 2, "'' is the name of no header"),
        (["--open", "--no-page", "--host", "a\nb"], 2, "is no host: chat.example.org, for instance"),
        (["--open", "--no-page", "--public", ""], 2, "'' is no pattern of rooms, as news or ops-* are"),
        (["--open", "--no-page", "--origin", "https://a\nb"], 2, "is no origin: https://www.example.org"),
    ],
)
def test_what_can_not_be_is_reported_in_a_line(zchat: Zchat, options: list[str], code: int, reason: str) -> None:
    done = zchat("web", *options)
    assert (done.returncode, done.stdout) == (code, "")
    assert reason in " ".join(done.stderr.split())


def test_without_its_extra_it_says_what_to_install(zchat: Zchat, tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "websockets").mkdir()
    (tmp_path / "websockets" / "__init__.py").write_text("raise ModuleNotFoundError('no websockets')")
    done = zchat("web", "--open", PYTHONPATH=f"{tmp_path}:{environment['PYTHONPATH']}")
    assert done.returncode == 1
    assert done.stderr.endswith("pip install 'zchat-zmq[web]'\n")


def test_a_gateway_whose_output_nobody_reads_serves_and_ends(environment: dict[str, str], broker: Broker) -> None:
    where = ("--listen", "127.0.0.1:*", "--broker", broker.url, "--log-level", "info")
    with pipes(2) as (out, errors):
        out.fill()
        arguments = ("web", "--open", "--no-page", *where)
        with command(*arguments, environment=environment, stdout=out.into, stderr=errors.into) as process:
            log = ""

            def serving() -> re.Match[str] | None:
                nonlocal log
                log += errors.read().decode()
                return re.search(r"served at (http://127.0.0.1:[0-9]+/)", log)

            eventually(lambda: serving() is not None, "it serves")
            found = serving()
            assert found is not None
            with urllib.request.urlopen(f"{found[1]}healthz", timeout=DEADLINE) as answer:
                assert answer.status == 200
            process.terminate()
            assert process.wait(DEADLINE) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_strangers_use_up_no_descriptor_that_it_needs(environment: dict[str, str], broker: Broker) -> None:
    few = ("sh", "-c", 'ulimit -n 64; exec "$0" "$@"')
    arguments = ("web", "--open", "--no-page", "--listen", "127.0.0.1:*", "--broker", broker.url)
    with (
        pipes(2) as (out, errors),
        command(*arguments, environment=environment, before=few, stdout=out.into, stderr=errors.into) as process,
        ExitStack() as strangers,
    ):
        text = log = ""

        def greeted() -> bool:
            nonlocal text
            text += out.read().decode()
            return "browsers: " in text

        eventually(greeted, "it serves")
        assert "browsers: about 4 at once, each another user's (open files, ulimit -n: 64)" in text
        found = re.search(r"http://127.0.0.1:([0-9]+)/", text)
        assert found is not None
        with connect(f"ws://127.0.0.1:{found[1]}/ws") as page:
            page.send('{"op":"hello","id":1,"version":1,"user":"alice"}')
            assert '"user":"alice"' in str(page.recv(DEADLINE))
            for _ in range(100):
                strangers.enter_context(socket.create_connection(("127.0.0.1", int(found[1])), DEADLINE))

            def said() -> bool:
                nonlocal log
                log += errors.read().decode()
                return "accepting connections fails: the limit of 64 open files" in " ".join(log.split())

            eventually(said, "the log says so")
            page.send('{"op":"join","id":2,"room":"General"}')
            assert until(page, "ok")["id"] == 2
        strangers.close()
        process.terminate()
        assert process.wait(DEADLINE) == 0
        assert (log + errors.read().decode()).count("zchat.web") == 1


def test_a_port_in_use_names_the_option(start: Start, zchat: Zchat, page: str) -> None:
    running = start("web", "--open", "--listen", "127.0.0.1:*", "--page", page)
    found = re.search(r"http://(127\.0\.0\.1:\d+)/", running.until("broker: "))
    assert found is not None
    done = zchat("web", "--open", "--listen", found[1], "--page", page)
    assert done.returncode == 1
    assert "--listen HOST:PORT" in done.stderr
