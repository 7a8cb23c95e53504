"""Waking a thread that polls sockets."""

from __future__ import annotations

from threading import Thread

import zmq

from tests.running import DEADLINE
from zchat.transport.alarm import Alarm


def test_however_often_it_rings_the_owner_wakes_once() -> None:
    with zmq.Context[zmq.Socket[bytes]]() as context:
        alarm = Alarm(context)
        threads = [Thread(target=alarm.ring) for _ in range(5)]
        for thread in threads:
            thread.start()
        assert alarm.socket.poll(int(DEADLINE * 1000))
        for thread in threads:
            thread.join()
        alarm.quiet()
        assert not alarm.socket.poll(0)
        alarm.ring()
        assert alarm.socket.poll(int(DEADLINE * 1000))
        alarm.close()


def test_to_ring_after_the_owner_has_closed_it_does_nothing() -> None:
    with zmq.Context[zmq.Socket[bytes]]() as context:
        alarm = Alarm(context)
        alarm.quiet()
        alarm.close()
        alarm.ring()
