"""What comes to the broker's port: clients that read slowly or not at all, and anything that is no client."""

from __future__ import annotations

import random
import socket
from itertools import count, islice

import pytest
import zmq

import zchat
from tests.broker.raw import ANY, Dial, Talk
from tests.running import DEADLINE, eventually
from zchat.broker import Broker
from zchat.broker.limits import UNGREETED_BYTES
from zchat.wire.values import pack

# -- credit over real sockets ----------------------------------------------------------------------


@pytest.mark.parametrize("mark", [1, 2, 10])
def test_a_slow_reader_holds_up_nobody_and_loses_nothing(mark: int) -> None:
    with (
        Broker(ANY, high_water_mark=mark) as broker,
        Talk(broker) as talk,
        zchat.Client(broker.url, user="slow") as client,
    ):
        slow = client.join("Talk")
        for _ in range(10):
            talk.goes_on()
        assert client.history("Talk", limit=1)[0].seq == 200, "and its questions are answered"
        assert broker.counters.deferred > 0
        heard = []
        for message in slow.messages(timeout=DEADLINE):
            heard.append(message.seq)
            if len(heard) == 200:
                break
        assert heard == list(range(1, 201))


def test_a_client_that_reads_nothing_at_all_holds_up_nobody(broker: Broker, dial: Dial) -> None:
    raw = dial(broker.url)
    assert raw.greet()[0] == "ok"
    assert raw.ask("join", 2, "Talk", 1, None, 0, True)[0] == "ok"
    for _ in range(500):
        raw.say(pack(("credit", "Talk", 1, 0)))
    with Talk(broker) as talk:
        for _ in range(20):
            talk.goes_on()
        upto = 0
        for _ in range(10):
            kind, _, _, after, upto_now, _ = raw.hear()
            assert (kind, after) == ("push", upto)
            upto = upto_now
        assert raw.ask("rooms", 3, None, 10)[:2] == ["ok", 3], "nothing was sent beyond the mark"


# -- anything at the port --------------------------------------------------------------------------


def test_garbage_in_zeromq_frames_is_refused_counted_and_disturbs_nobody(broker: Broker, dial: Dial) -> None:
    chance = random.Random(7)
    garbage: list[tuple[bytes, ...]] = [(b"",), (b"\xc1",), (b"\xdd\xff\xff\xff\xff",), (b"\x91" * 5_000,), (b"", b"")]
    garbage += [(chance.randbytes(chance.randrange(1, 200)),) for _ in range(150)]
    garbage += [tuple(chance.randbytes(3) for _ in range(chance.randrange(2, 40))) for _ in range(50)]
    garbage += [(pack(("send", 1, "Talk", 1, b"\x91" * 10_000)),), (pack({"a": 1}),), (pack(("hello",)),)]
    with Talk(broker) as talk:
        raw = dial(broker.url)
        assert raw.greet()[0] == "ok"
        before = broker.counters.refused.total()
        for frames in garbage:
            raw.say(*frames)
            assert raw.hear()[0] == "error"
        assert broker.counters.refused.total() - before == len(garbage)
        talk.goes_on()


def test_garbage_of_a_stranger_is_refused_once_and_the_stranger_is_cut(broker: Broker, dial: Dial) -> None:
    chance = random.Random(7)
    garbage: list[tuple[bytes, ...]] = [(b"",), (b"\xc1",), (b"\xdd\xff\xff\xff\xff",), (b"\x91" * 5_000,), (b"", b"")]
    garbage += [(chance.randbytes(chance.randrange(1, 200)),) for _ in range(5)]
    garbage += [(pack(("send", 1, "Talk", 1, b"\x91" * 10_000)),), (pack({"a": 1}),), (pack(("hello",)),)]
    garbage += [(pack(("rooms", 1, None, 10)),), (pack(("ping",)),)]
    with Talk(broker) as talk:
        before = broker.counters.refused.total()
        for frames in garbage:
            raw = dial(broker.url)
            few = 10 * sum(map(len, frames)) < UNGREETED_BYTES // 2
            for _ in range(10 if few else 1):
                raw.say(*frames)
            if few:  # else its connection may be cut for its bytes before it is read, or for more than may wait
                assert raw.hear()[0] == "error"
        eventually(
            lambda: len(garbage) - 2 <= broker.counters.refused.total() - before <= len(garbage), "they are refused"
        )
        cuts = broker.counters
        eventually(lambda: cuts.cut_no_greeting + cuts.cut_too_many_bytes == len(garbage), "they are cut")
        assert cuts.cut_no_greeting > len(garbage) / 2
        assert len(garbage) - 2 <= cuts.refused.total() - before <= len(garbage)
        talk.goes_on()


def test_greetings_of_other_versions_are_refused(broker: Broker, dial: Dial) -> None:
    raw = dial(broker.url)
    for oldest, newest in ((0, 0), (3, 3), (7, 2**63 - 1), (5, 1)):
        answer = raw.ask("hello", 1, oldest, newest, "raw", b"p" * 16, b"t" * 16, 0, 1)
        assert answer[:3] == ["error", 1, "version"]
    assert raw.ask("hello", 1, 0, 99, "raw", b"p" * 16, b"t" * 16, 0, 1)[:3] == ["ok", 1, 2]


def test_a_message_of_very_many_frames_is_read_away(broker: Broker, dial: Dial) -> None:
    raw = dial(broker.url)
    with Talk(broker) as talk:
        assert raw.greet()[0] == "ok"
        raw.say(*[b"x"] * 20_000)
        assert raw.hear()[:3] == ["error", None, "malformed"]
        talk.goes_on()


def test_a_message_that_never_ends_reaches_nobody(broker: Broker, dial: Dial) -> None:
    raw = dial(broker.url)
    with Talk(broker) as talk:
        for _ in range(2_000):
            raw.socket.send(b"x" * 100, zmq.SNDMORE)
        talk.goes_on()
        raw.socket.close(0)
        talk.goes_on()


def test_a_frame_over_the_limit_cuts_its_sender_off_and_nobody_else(broker: Broker, dial: Dial) -> None:
    raw = dial(broker.url)
    assert raw.greet()[0] == "ok"
    with Talk(broker) as talk:
        raw.say(b"x" * (3 << 20))
        talk.goes_on()


def test_raw_tcp_of_any_kind_disturbs_nobody(broker: Broker) -> None:
    chance = random.Random(11)
    host, port = broker.url.removeprefix("tcp://").split(":")
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48)
    openings = [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 100, greeting[:5], greeting[:12], greeting]
    openings += [greeting + chance.randbytes(40), greeting + b"\x04\xff" + b"\xff" * 30]
    openings += [chance.randbytes(chance.randrange(1, 300)) for _ in range(30)]
    connections = []
    with Talk(broker) as talk:
        for opening in openings:
            connection = socket.create_connection((host, int(port)), DEADLINE)
            connection.sendall(opening)
            connections.append(connection)
        talk.goes_on()
        for connection in connections:
            connection.close()
        talk.goes_on()


def test_a_peer_that_asks_and_asks_without_reading_is_ended(broker: Broker, dial: Dial) -> None:
    raw = dial(broker.url)
    assert raw.greet()[0] == "ok"
    assert raw.ask("join", 2, "Talk", 1, None, 0, True)[0] == "ok"
    with Talk(broker) as talk:
        speaker = talk.alice.join("Talk")
        speaker.send_many("x" * 100_000 for _ in range(100))  # so that history is long
        requests = count(3)

        def ended() -> bool:
            for request in islice(requests, 20):
                raw.say(pack(("history", request, "Talk", 0, None, 1_000)))
            return broker.counters.refused["too_many_requests"] > 0

        eventually(ended, "its session is ended")
        assert next(talk.bob.join("Talk").messages(timeout=DEADLINE)).body[0] == "x"
