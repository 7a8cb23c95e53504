"""What systemd is notified of."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from zchat.broker.edge.systemd import Systemd


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


def heard(manager: socket.socket) -> list[bytes]:
    notices = []
    try:
        while True:
            notices.append(manager.recv(100))
    except BlockingIOError:
        return notices


def test_it_hears_of_the_start_and_of_the_end(manager: socket.socket) -> None:
    service = Systemd({"NOTIFY_SOCKET": manager.getsockname()})
    service.ready()
    service.turned(1, 100.0)
    service.stopping()
    assert heard(manager) == [b"READY=1", b"STOPPING=1"], "nobody asked for a watchdog"


def test_a_loop_that_turns_is_reported_four_times_in_its_time_and_one_that_hangs_is_not(
    manager: socket.socket,
) -> None:
    service = Systemd({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "60000000"})
    for second in range(60):
        service.turned(second, 1000.0 + second)
    assert heard(manager) == [b"WATCHDOG=1"] * 4
    for second in range(60, 180):
        service.turned(59, 1000.0 + second)
    assert len(heard(manager)) <= 1
    service.turned(60, 1200.0)
    assert heard(manager) == [b"WATCHDOG=1"]


def test_a_watchdog_of_another_process_is_not_fed(manager: socket.socket) -> None:
    place = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "60000000"}
    Systemd(place | {"WATCHDOG_PID": "1"}).turned(1, 0.0)
    assert heard(manager) == []
    Systemd(place | {"WATCHDOG_PID": str(os.getpid())}).turned(1, 0.0)
    assert heard(manager) == [b"WATCHDOG=1"]


def test_an_abstract_socket_is_one_too_and_nobody_there_is_no_fault(tmp_path: Path) -> None:
    name = f"zchat-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        listening.setblocking(False)
        Systemd({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert heard(listening) == [b"READY=1"]
    for environment in ({}, {"NOTIFY_SOCKET": str(tmp_path / "nobody")}, {"NOTIFY_SOCKET": "x", "WATCHDOG_USEC": "y"}):
        Systemd(environment).ready()
