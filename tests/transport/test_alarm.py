"""Waking a thread that polls sockets."""

from __future__ import annotations

import os
from threading import Thread

import zmq

from tests.running import DEADLINE
from zchat.transport.alarm import Alarm


def rung(alarm: Alarm, seconds: float) -> bool:
    return bool(zmq.zmq_poll([(alarm.fd, zmq.POLLIN)], int(seconds * 1000)))


def test_however_often_it_rings_the_owner_wakes_once() -> None:
    alarm = Alarm()
    threads = [Thread(target=alarm.ring) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert rung(alarm, DEADLINE)
    for thread in threads:
        thread.join()
    alarm.quiet()
    assert not rung(alarm, 0)
    alarm.ring()
    assert rung(alarm, DEADLINE)
    alarm.close()


def test_more_rings_than_it_holds_wake_the_owner_all_the_same() -> None:
    alarm = Alarm()
    for _ in range(100_000):
        alarm.ring()
    assert rung(alarm, 0)
    alarm.close()


def test_to_ring_after_the_owner_has_closed_it_does_nothing() -> None:
    alarm = Alarm()
    descriptor = alarm.fd
    alarm.quiet()
    alarm.close()
    alarm.ring()
    try:
        os.fstat(descriptor)
    except OSError:
        return
    raise AssertionError("its descriptor is still open")
