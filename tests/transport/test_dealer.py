"""One connection's sockets."""

from __future__ import annotations

import zmq

from tests.running import DEADLINE
from zchat.transport.dealer import HANDSHAKE_MS, Dealer


def test_a_connection_that_breaks_says_how_once() -> None:
    with zmq.Context[zmq.Socket[bytes]]() as context:
        with context.socket(zmq.ROUTER) as router:
            port = router.bind_to_random_port("tcp://127.0.0.1")
            dealer = Dealer(context, f"tcp://127.0.0.1:{port}", patient=False)
            assert dealer.send(b"frame")
            assert router.recv_multipart()[1] == b"frame"
            assert dealer.broken() == ""
        assert dealer.monitor.poll(int(DEADLINE * 1000))
        assert dealer.broken() == "the connection broke"
        dealer.close()


def test_a_connection_to_where_nothing_listens_says_so_and_is_not_tried_again() -> None:
    with zmq.Context[zmq.Socket[bytes]]() as context:
        dealer = Dealer(context, "tcp://127.0.0.1:1", patient=False)
        assert dealer.monitor.poll(int(DEADLINE * 1000))
        assert dealer.broken() == "no broker answers there"
        assert dealer.excess() == "", "nothing comes"
        assert not dealer.monitor.poll(200)
        dealer.close()


def test_it_takes_no_more_frames_than_may_wait() -> None:
    with zmq.Context[zmq.Socket[bytes]]() as context:
        dealer = Dealer(context, "tcp://127.0.0.1:1", patient=True)
        sent = 0
        while dealer.send(b"frame"):
            sent += 1
            assert sent < 10_000
        assert sent >= 1_000
        dealer.close()


def test_a_handshake_has_its_bound() -> None:
    with zmq.Context[zmq.Socket[bytes]]() as context:
        dealer = Dealer(context, "tcp://127.0.0.1:1", patient=False)
        assert dealer.socket.getsockopt(zmq.HANDSHAKE_IVL) == HANDSHAKE_MS
        dealer.close()
