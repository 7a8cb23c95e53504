"""Connecting: what is at a path, and why nobody answers, there or over TCP."""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
from pathlib import Path
from threading import Thread

import pytest

import zchat
from tests.running import DEADLINE
from zchat.broker import Broker
from zchat.transport.trouble import trouble_at

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no sockets with a path")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "z"


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_is_no_socket_is_reported_at_once_and_left_as_it_is(path: Path, what: str) -> None:
    if what == "folder":
        path.mkdir()
    else:
        path.write_text("a letter")
    with pytest.raises(zchat.AddressError, match=rf"{path} is a {what} and no broker's socket"):
        zchat.Client(f"ipc://{path}", user="alice", timeout=DEADLINE)
    assert what == "folder" or path.read_text() == "a letter"


def test_a_path_where_nothing_is_is_reported_when_the_time_is_over(path: Path) -> None:
    with pytest.raises(zchat.ConnectionLost, match=rf"{path} within 0.2 s: there is no such socket"):
        zchat.Client(f"ipc://{path}", user="alice", timeout=0.2)


def test_a_socket_where_nobody_listens_any_more_is_reported(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
    with pytest.raises(zchat.ConnectionLost, match=r"within 0.2 s: nobody listens there any more"):
        zchat.Client(f"ipc://{path}", user="alice", timeout=0.2)


@pytest.mark.skipif(sys.platform != "linux", reason="names without a file are Linux's")
def test_a_name_without_a_file_that_nobody_has_is_reported() -> None:
    with pytest.raises(zchat.ConnectionLost, match=r"within 0\.2 s: nobody listens there"):
        zchat.Client("ipc://@zchat-nobody", user="alice", timeout=0.2)


@pytest.mark.parametrize("name", ["ipc://*", "ipc://@", "ipc://" + "x" * 108, "ipc://a\0b", "ipc://\ud800"])
def test_a_path_that_no_socket_can_have_is_reported(name: str) -> None:
    with pytest.raises(zchat.AddressError, match="ipc://"):
        zchat.Client(name, user="alice", timeout=DEADLINE)


def test_a_broker_that_starts_later_is_found(path: Path) -> None:
    found: list[zchat.Client] = []
    coming = Thread(target=lambda: found.append(zchat.Client(f"ipc://{path}", user="alice", timeout=DEADLINE)))
    coming.start()
    with Broker(f"ipc://{path}"):
        coming.join(DEADLINE)
        assert found[0].join("General").send("here").seq == 1
        found[0].close()


def test_a_client_finds_its_broker_again_wherever_its_program_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    with Broker("ipc://z") as broker, zchat.Client("ipc://z", user="alice") as client:
        room = client.join("General")
        monkeypatch.chdir(tmp_path / "below")
        client._link.do(client._link.core.lost, "cut")
        assert room.send("here", timeout=DEADLINE).seq == 1
        assert client.url == broker.url


def test_a_path_that_is_not_text_is_reached(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "zchat")  # what is captured goes to another process as UTF-8, which this isn't
    url = f"ipc://{os.fsdecode(os.fsencode(tmp_path) + bytes([47, 233]))}"
    with Broker(url), zchat.Client(url, user="alice") as client:
        assert client.join("General").send("here").seq == 1


def test_where_somebody_listens_nothing_is_known_to_be_wrong(path: Path) -> None:
    with Broker(f"ipc://{path}") as broker:
        assert trouble_at(broker.url) == ""


NOWHERE = "255.255.255.255"
"""Where no system begins a connection of TCP."""


def refusal(family: socket.AddressFamily, *place: object) -> str:
    """Return what the system says at once of a connection."""
    with socket.socket(family) as caller, pytest.raises(OSError, match=r"\w") as refused:
        caller.connect(place)
    return str(refused.value.strerror)


def test_that_the_machine_reaches_no_such_address_is_reported() -> None:
    why = refusal(socket.AF_INET, NOWHERE, 5555)
    assert trouble_at(f"tcp://{NOWHERE}:5555") == why
    with pytest.raises(zchat.ConnectionLost) as lost:
        zchat.Client(f"tcp://{NOWHERE}:5555", user="alice", timeout=0.2)
    assert str(lost.value) == f"no broker answered at tcp://{NOWHERE}:5555 within 0.2 s: {why}"
    several = [f"tcp://{NOWHERE}:{port}" for port in (5555, 5556)]
    with pytest.raises(zchat.ConnectionLost, match=rf"within 0.2 s: {why}$"):  # once
        zchat.Client(several, user="alice", timeout=0.2)


def test_a_host_whose_address_the_machine_does_not_reach_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = (socket.AF_INET, socket.SOCK_STREAM, 6, "", (NOWHERE, 0))
    monkeypatch.setattr("socket.getaddrinfo", lambda *arguments, **options: [entry])
    why = refusal(socket.AF_INET, NOWHERE, 5555)
    with pytest.raises(zchat.ConnectionLost, match=rf"tcp://chat.example:5555 within 0.5 s: {why}$"):
        zchat.Client("tcp://chat.example:5555", user="alice", timeout=0.5)


def test_where_nobody_listens_or_answers_or_a_host_is_named_nothing_is_known() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        assert trouble_at(url) == ""
        assert trouble_at("tcp://localhost:1") == ""
        silent.accept()[0].close()
        with pytest.raises(zchat.ConnectionLost, match=r"within 0.5 s; is one running there\?$"):
            zchat.Client(url, user="alice", timeout=0.5)
        silent.accept()[0].close()
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):  # the one that was there is not asked again
            silent.accept()
    assert trouble_at(url) == ""


def test_without_a_socket_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*arguments: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("_socket.socket", none)
    assert [trouble_at(url) for url in (f"tcp://{NOWHERE}:1", "ipc:///nowhere")] == ["", ""]
