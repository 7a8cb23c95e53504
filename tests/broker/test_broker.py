"""The running broker: starting, stopping, and who learns of it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import NoReturn

import pytest

import zchat
from tests.broker.raw import ANY, BIG, Dial, Talk
from tests.running import DEADLINE, FORKING, ROOT, eventually
from zchat.broker import Broker
from zchat.broker.core.core import Core
from zchat.broker.store.sqlite.committer import Committer
from zchat.threads import Flag, RealThread
from zchat.transport.keys import make_server
from zchat.wire.values import pack


def test_a_broker_runs_for_as_long_as_its_block(tmp_path: Path) -> None:
    broker = Broker(ANY, ANY, f"ipc://{tmp_path}/z")
    for not_yet in (lambda: broker.url, lambda: broker.counters, lambda: broker.wait(0)):
        with pytest.raises(zchat.UsageError):
            not_yet()
    broker.stop()
    with broker:
        assert len(set(broker.urls)) == 3
        assert broker.url == broker.urls[0]
        assert not broker.wait(0)
        for url in broker.urls:
            with zchat.Client(url, user="alice") as client:
                client.join("General").send(url)
        with zchat.Client(broker.url, user="bob") as client:
            assert [message.body for message in client.history("General")] == broker.urls
    assert broker.wait(0)
    with pytest.raises(zchat.UsageError, match="once"):
        broker.__enter__()


@pytest.mark.parametrize("url", ["", "nonsense", "tcp://127.0.0.1", "http://127.0.0.1:1", "tcp://192.0.2.1:*"])
def test_an_address_that_cannot_be_used_is_reported(url: str) -> None:
    with pytest.raises(zchat.AddressError), Broker(url):
        pass


def test_an_address_in_use_is_reported_and_its_owner_goes_on(broker: Broker) -> None:
    with pytest.raises(zchat.AddressError, match="in use"), Broker(broker.url):
        pass
    with Talk(broker) as talk:
        talk.goes_on()


def test_a_store_that_cannot_be_opened_is_reported(tmp_path: Path) -> None:
    with pytest.raises(zchat.StoreError), Broker(ANY, store=f"sqlite:{tmp_path}"):
        pass
    with pytest.raises(zchat.UsageError):
        Broker(ANY, store="nonsense:")


def test_a_failure_of_the_loop_is_logged_and_raised_where_the_block_is_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(core: Core, now: float) -> NoReturn:
        raise RuntimeError("a fault in the loop")

    def run(program: Callable[[], object]) -> None:
        with Broker(ANY) as broker, zchat.Client(broker.url, user="alice") as client:
            client.join("General")
            with monkeypatch.context() as patch:
                patch.setattr(Core, "turn", fail)
                assert broker.wait(DEADLINE)
            client.close(timeout=0)
            program()

    with pytest.raises(RuntimeError, match="a fault in the loop"):
        run(lambda: None)
    with pytest.raises(KeyError) as caught:  # what went wrong in the program itself is not hidden by it
        run(lambda: {"a": 1}["nothing"])
    assert "a fault in the loop" in caught.value.__notes__[0]
    logged = [str(record.exc_info[1]) for record in caplog.records if record.exc_info]
    assert logged == ["a fault in the loop"] * 2


def test_a_broker_that_is_broken_off_waits_for_no_thread_that_ended_with_the_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    joined: list[float | None] = []

    def end_the_program(flag: Flag, seconds: float | None) -> bool:
        patch.setattr("zchat.threads.is_finalizing", lambda: True)
        return False

    broker = Broker(ANY)
    with monkeypatch.context() as patch:
        patch.setattr(Flag, "wait", end_the_program)
        patch.setattr(RealThread, "join", lambda _, timeout=None: joined.append(timeout))
        with pytest.raises(zchat.ZchatError, match="did not start"):
            broker.__enter__()
    assert broker.wait(DEADLINE)
    assert joined == []


def test_clients_learn_at_once_of_a_broker_that_fails(monkeypatch: pytest.MonkeyPatch, dial: Dial) -> None:
    def fail(core: Core, now: float, drained: bool) -> NoReturn:
        raise RuntimeError("a fault in the loop")

    def run() -> None:
        with Broker(ANY) as broker:
            raw = dial(broker.url)
            assert raw.greet()[0] == "ok"
            monkeypatch.setattr(Core, "tick", fail)
            assert raw.hear()[:2] == ["end", "closing"]

    with pytest.raises(RuntimeError, match="a fault in the loop"):
        run()


def test_a_store_that_dies_ends_the_broker_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dial: Dial
) -> None:
    def fail(self: Committer, tasks: object) -> NoReturn:
        raise MemoryError("no place")

    def run() -> None:
        with Broker(ANY, store=f"sqlite:{tmp_path}/z.db") as broker:
            raw = dial(broker.url)
            assert raw.greet()[0] == "ok"
            assert raw.ask("join", 2, "Talk", 1, None, 0, True)[0] == "ok"
            monkeypatch.setattr(Committer, "_turn", fail)
            assert raw.ask("send", 3, "Talk", 1, b"\x91\x01")[:2] == ["end", "closing"]

    with pytest.raises(zchat.StoreError, match=r"MemoryError.*no place"):
        run()


def test_stopping_takes_less_than_two_seconds_with_a_disk_that_hangs_and_a_peer_that_reads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dial: Dial
) -> None:
    reached, go_on = Event(), Event()

    def hang(self: Committer, connection: object, tasks: object) -> None:
        reached.set()
        assert go_on.wait(DEADLINE)

    with Broker(ANY, store=f"sqlite:{tmp_path}/z.db") as broker:
        stuck, speaker = dial(broker.url, 1), dial(broker.url)
        assert stuck.greet()[0] == speaker.greet(2)[0] == "ok"
        assert speaker.ask("join", 2, "Talk", 1, None, 0, True)[0] == "ok"
        for number in range(1, 21):
            assert speaker.ask("send", 2 + number, "Talk", number, BIG)[0] == "ok"
        requests = count(2)

        def full() -> bool:
            stuck.say(pack(("history", next(requests), "Talk", 0, None, 1)))
            return broker.counters.retried > 0

        monkeypatch.setattr("zchat.broker.presence.state_frames.UNREAD_BYTES", 1 << 40)
        monkeypatch.setattr("zchat.broker.core.core.DEBT", 1e9)
        eventually(full, "the stuck peer's pipe is full")
        monkeypatch.setattr(Committer, "_commit", hang)
        speaker.say(pack(("send", 99, "Talk", 21, BIG)))
        assert reached.wait(DEADLINE)
        before = time.monotonic()
        broker.stop()
        took = time.monotonic() - before
        go_on.set()
    assert took < 2 + DEADLINE / 10


@pytest.mark.parametrize(
    ("logger", "thread"),
    [("zchat.broker", "zchat-broker"), ("zchat.broker", "zchat-watcher"), ("zchat.audit", "zchat-audit")],
)
def test_a_handler_of_its_logs_may_ask_it_to_stop_and_not_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, logger: str, thread: str
) -> None:
    make_server(tmp_path / "keys")
    caplog.set_level(logging.INFO, "zchat.broker")
    results: list[object] = []

    def handle(record: logging.LogRecord) -> None:
        if record.threadName != thread or results:
            return
        for call in (broker.wait, partial(broker.wait, 0), broker.stop):
            try:
                results.append(call())
            except zchat.UsageError as error:
                results.append(str(error)[:24])

    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", handle)
    log = logging.getLogger(logger)
    monkeypatch.setattr(log, "handlers", [*log.handlers, handler])
    broker = Broker(ANY, keys=tmp_path / "keys", audit=True)
    monkeypatch.setattr("zchat.broker.broker.JOIN_SECONDS", DEADLINE)
    with broker:
        (tmp_path / "keys" / "users" / "alice.key").touch()  # which is no key
        broker.read_again()
        assert broker.wait(DEADLINE)
    assert results == ["this would wait, and Pyt", False, None]
    assert not [record for record in caplog.records if "missing" in record.getMessage()]


def test_a_loop_that_never_ends_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    reached, go_on = Event(), Event()
    tick = Core.tick

    def hang(core: Core, now: float, drained: bool) -> None:
        reached.set()
        assert go_on.wait(DEADLINE)
        tick(core, now, drained)

    monkeypatch.setattr("zchat.broker.broker.JOIN_SECONDS", 0.05)
    broker = Broker(ANY)

    def run() -> None:
        with broker:
            monkeypatch.setattr(Core, "tick", hang)
            assert reached.wait(DEADLINE)

    with pytest.raises(zchat.ZchatError, match="did not end within"):
        run()
    go_on.set()
    assert broker.wait(DEADLINE)


FORKS = """
import os, sys
import zchat
from zchat.broker import Broker

with Broker("tcp://127.0.0.1:*") as broker:
    child = os.fork()
    if not child:
        try:
            broker.stop()
        except zchat.UsageError as error:
            assert "forked" in str(error)
            sys.exit(7)  # leaves the block
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    with zchat.Client(broker.url, user="alice") as client:
        print(client.join("General").send("still here").seq)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_that_leaves_the_block_does_not_touch_the_broker() -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", *FORKING, "-c", FORKS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "1\n", "")


def test_what_goes_wrong_stands_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, dial: Dial
) -> None:
    def fail(self: Committer, connection: object, tasks: object) -> NoReturn:
        raise OSError("the disk is broken")

    caplog.set_level("INFO", "zchat.broker")
    monkeypatch.setattr("zchat.broker.figures.log_lines.RECOVERED_AFTER", 0.05)
    with Broker(ANY, store=f"sqlite:{tmp_path}/z.db") as broker:
        raw = dial(broker.url)
        assert raw.greet()[0] == "ok"
        assert raw.ask("join", 2, "Talk", 1, None, 0, True)[0] == "ok"
        with monkeypatch.context() as patch:
            patch.setattr(Committer, "_commit", fail)
            for request in (3, 4):
                assert raw.ask("send", request, "Talk", 1, b"\x91\x01")[2] == "store_failed"
        assert raw.ask("send", 5, "Talk", 1, b"\x91\x01")[0] == "ok"
        eventually(lambda: "storing has recovered" in caplog.messages, "it has worked for a while")
        monkeypatch.setattr("zchat.broker.core.core.MAX_REQUESTS", 0)  # else it counts who is faster, client or store
        raw.say(pack(("history", 6, "Talk", 0, None, 1)))
        eventually(lambda: broker.counters.refused["too_many_requests"] > 0, "its session is ended")
    lines = [(record.levelname, record.message) for record in caplog.records]
    assert [level for level, text in lines if "storing fails" in text and "the disk is broken" in text] == ["ERROR"]
    assert ("INFO", "storing has recovered") in lines
    assert any(level == "INFO" and "'raw' was ended: too_many_requests" in text for level, text in lines)


@pytest.mark.parametrize("round", range(3))
def test_a_broker_that_stops_answers_what_it_accepted(tmp_path: Path, round: int) -> None:
    stored: list[int] = []
    lost: list[zchat.ZchatError] = []

    def say(room: zchat.Room) -> None:
        try:
            while True:
                stored.append(room.send("x", timeout=1).seq)
        except zchat.ZchatError as error:
            lost.append(error)

    with Broker(ANY, store=f"sqlite:{tmp_path}/z.db") as broker:
        client = zchat.Client(broker.url, user="alice")
        room = client.join("General")
        speakers = [Thread(target=say, args=(room,)) for _ in range(4)]
        for speaker in speakers:
            speaker.start()
        eventually(lambda: len(stored) > 20, "some are stored")
    for speaker in speakers:
        speaker.join(DEADLINE)
    client.close()
    assert all(isinstance(error, zchat.DeadlineExceeded) for error in lost)
    with Broker(ANY, store=f"sqlite:{tmp_path}/z.db") as again, zchat.Client(again.url, user="bob") as reader:
        seqs = {message.seq for message in reader.history("General", after=0, limit=10**6)}
    assert seqs >= set(stored), "what was acknowledged is there"
    assert len(seqs) <= len(stored) + len(lost), "and what was refused is not"


def test_a_start_that_an_exception_breaks_off_leaves_no_broker_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker("tcp://127.0.0.1:*")

    class Interrupted:
        """Be an event during whose wait a signal comes."""

        def set(self) -> None: ...

        def is_set(self) -> bool:
            return True

        def wait(self, seconds: float) -> bool:
            raise KeyboardInterrupt

    monkeypatch.setattr(broker, "_ready", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        broker.__enter__()
    assert broker._thread is not None
    broker._thread.join(DEADLINE)
    assert not broker._thread.is_alive()
