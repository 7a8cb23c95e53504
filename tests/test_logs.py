"""zchat's loggers: what logging raises ends no thread of zchat's own, and loses nothing but lines."""

from __future__ import annotations

import getpass
import logging
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import Event
from typing import NoReturn
from urllib.request import urlopen

import pytest

import zchat
from tests.running import DEADLINE, FORKING, ROOT, eventually
from zchat import errors
from zchat.broker import Broker
from zchat.broker.metrics import Metrics
from zchat.logs import FIELDS, Logger
from zchat.threads import RealThread, is_own


class Wrong(BaseException):
    """What a part of the log raises: no Exception, as of asyncio's CancelledError none is made."""


def _raise(*_: object, **__: object) -> NoReturn:
    raise Wrong("the log is full")


class Broken(logging.Handler):
    """A handler that raises."""

    def emit(self, record: logging.LogRecord) -> None:
        _raise()


class Kept(logging.Handler):
    """A handler that keeps records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def handled(handler: logging.Handler, name: str = "zchat", level: int = logging.DEBUG) -> Iterator[None]:
    """Give a logger a handler in the block, and everything from a level up."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


@contextmanager
def broken_handler() -> Iterator[None]:
    with handled(Broken()):
        yield


@contextmanager
def broken_filter() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("zchat.broker", "zchat.client")]
    for logger in loggers:
        logger.addFilter(_raise)
    try:
        with handled(Kept()):
            yield
    finally:
        for logger in loggers:
            logger.removeFilter(_raise)


@contextmanager
def broken_factory() -> Iterator[None]:
    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(_raise)
    try:
        with handled(Kept()):
            yield
    finally:
        logging.setLogRecordFactory(before)


@pytest.fixture(params=[broken_handler, broken_filter, broken_factory], ids=["handler", "filter", "factory"])
def broken(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have every line of the log raise an exception."""
    with request.param():
        yield


@pytest.fixture
def full() -> Iterator[None]:
    """Have every line of the log raise an exception in a handler."""
    with broken_handler():
        yield


def in_own_thread(call: Callable[[], object]) -> None:
    """Make a call in a thread of zchat's own, and see that it returns."""
    returned: list[bool] = []

    def run() -> None:
        call()
        returned.append(is_own())

    thread = RealThread(run, "test")
    thread.start()
    thread.join(DEADLINE)
    assert returned == [True]


# -- a logger ------------------------------------------------------------------------------------------


def test_a_line_has_its_level_its_place_its_values_and_the_fields_of_its_event() -> None:
    kept, log = Kept(), Logger("zchat.test")
    with handled(kept):
        log.debug("%d of %d", 1, 2)
        log.info("three", event="third", text="anything", level=5)
        log.warning("four")
        log.critical("five")
        try:
            raise KeyError("six")
        except KeyError:
            log.error("six", event="sixth")
            log.exception("seven")
    records = kept.records
    assert [record.getMessage() for record in records] == ["1 of 2", "three", "four", "five", "six", "seven"]
    assert [record.levelno // 10 for record in records] == [1, 2, 3, 5, 4, 4]
    assert records[1].__dict__[FIELDS] == {"event": "third", "text": "anything", "level": 5}
    assert records[4].__dict__[FIELDS] == {"event": "sixth"}
    assert [record.exc_info is not None for record in records[4:]] == [False, True]
    assert {record.funcName for record in records} == {
        "test_a_line_has_its_level_its_place_its_values_and_the_fields_of_its_event"
    }


def test_below_the_level_nothing_is_asked_of_the_log(broken: None) -> None:
    logging.getLogger("zchat.client").setLevel(logging.ERROR)
    try:
        Logger("zchat.client").info("nothing")
    finally:
        logging.getLogger("zchat.client").setLevel(logging.NOTSET)


def test_a_thread_of_the_programs_is_given_what_the_log_raises(broken: None) -> None:
    log = Logger("zchat.client")
    with pytest.raises(Wrong):
        log.error("lost")
    assert not is_own()
    assert log.dropped == 0


def test_a_thread_of_zchats_is_not_and_what_is_missing_is_reported_once_lines_are_taken_again(
    broken: None, capfd: pytest.CaptureFixture[str]
) -> None:
    log, kept = Logger("zchat.client"), Kept()
    for _ in range(3):
        in_own_thread(lambda: log.error("lost"))
    assert log.dropped == 3
    assert capfd.readouterr().err.count("Wrong: the log is full") == 1, "the first is on standard error"
    logging.setLogRecordFactory(logging.LogRecord)
    logging.getLogger("zchat.client").removeFilter(_raise)
    for handler in logging.getLogger("zchat").handlers:
        if isinstance(handler, Broken):
            logging.getLogger("zchat").removeHandler(handler)
    with handled(kept):
        in_own_thread(lambda: log.info("taken"))
        log.info("taken again")
    first, missing, last = kept.records
    assert [first.getMessage(), last.getMessage()] == ["taken", "taken again"]
    assert missing.levelno == logging.WARNING
    assert missing.__dict__[FIELDS] == {"event": "log_dropped", "count": 3}
    assert log.dropped == 3


def test_a_log_that_takes_some_lines_alone_has_no_line_counted_twice() -> None:
    log = Logger("zchat.test")

    class Picky(Kept):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.WARNING:
                _raise()
            super().emit(record)

    picky, kept = Picky(), Kept()
    with handled(picky):
        in_own_thread(lambda: log.warning("lost"))
        for _ in range(2):
            in_own_thread(lambda: log.info("taken"))
    assert len(picky.records) == 2
    assert log.dropped == 1
    with handled(kept):
        log.info("taken")
    assert kept.records[1].__dict__[FIELDS]["count"] == 1


# -- each thread ---------------------------------------------------------------------------------------


@pytest.mark.real
def test_a_broker_serves_on_and_counts_what_its_log_lacks(full: None, tmp_path: Path) -> None:
    store = tmp_path / "chat.db"
    with (
        Broker("tcp://127.0.0.1:*", store=f"sqlite:{store}") as broker,
        zchat.Client(broker.url, user="alice", timeout=DEADLINE) as alice,
        zchat.Client(broker.url, user="bob", timeout=DEADLINE) as bob,
    ):
        told, room = bob.join("General"), alice.join("General")
        assert room.send("acknowledged", timeout=DEADLINE).seq == 1
        assert next(told.messages(timeout=DEADLINE)).body == "acknowledged"
        store.rename(tmp_path / "elsewhere")
        for _ in range(3):  # what is lost is in the log
            with pytest.raises(errors.StoreFailed):
                room.send("refused", timeout=DEADLINE)
        assert not broker.wait(0)
        eventually(lambda: alice.stats().counts["log_dropped"] >= 2, "the start, and the trouble, are missing")


@pytest.mark.real
def test_a_broker_says_why_it_has_failed(full: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as stack:
        broker = stack.enter_context(Broker("tcp://127.0.0.1:*"))
        assert broker._loop is not None
        monkeypatch.setattr(broker._loop.core, "turn", _raise)
        broker._loop._ring()
        assert broker.wait(DEADLINE)
        with pytest.raises(Wrong):
            stack.close()


@contextmanager
def ruled(rules: Path, text: str) -> Iterator[tuple[Broker, zchat.Room]]:
    """Have a broker with such rules, and a room there to which the user has sent a message."""
    rules.write_text(text)
    with (
        Broker(f"ipc://{rules.parent}/s", logins=True, rules=rules) as broker,
        zchat.Client(broker.url, user=getpass.getuser(), timeout=DEADLINE) as client,
    ):
        room = client.join("General")
        assert room.send("allowed", timeout=DEADLINE).seq == 1
        yield broker, room


@pytest.mark.real
def test_rules_are_read_again_after_wrong_ones(full: None, tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    with ruled(rules, '[[rooms]]\nnames = ["*"]\n') as (broker, room):
        dropped = broker.counters.log_dropped
        rules.write_text("wrong")
        broker.read_again()
        eventually(lambda: broker.counters.log_dropped > dropped, "that is in the log")
        rules.write_text('makers_own = false\n[[rooms]]\nnames = ["*"]\nsend = ["nobody"]\n')
        broker.read_again()
        eventually(lambda: is_refused(room), "they are in force")


def is_refused(room: zchat.Room) -> bool:
    try:
        room.send("perhaps", timeout=DEADLINE)
    except errors.NotAllowed:
        return True
    return False


@pytest.mark.real
def test_metrics_are_served_on(full: None) -> None:
    logging.getLogger("zchat").setLevel(logging.CRITICAL)  # or entering, which the program does, would raise
    with Broker("tcp://127.0.0.1:*") as broker, Metrics(broker, "127.0.0.1:*") as served:
        logging.getLogger("zchat").setLevel(logging.DEBUG)
        for _ in range(2):
            with urlopen(served.url, timeout=DEADLINE) as answer:
                assert b"zchat_" in answer.read()


@pytest.mark.real
def test_a_handlers_failure_is_raised_and_the_rest_handled(full: None) -> None:
    class Unshowable(Exception):
        def __repr__(self) -> str:
            raise Wrong

    heard: list[object] = []
    last = Event()

    def handler(event: zchat.Event) -> None:
        if isinstance(event, zchat.Message):
            heard.append(event.body)
            if event.body == "last":
                last.set()
            raise Unshowable

    with Broker("tcp://127.0.0.1:*") as broker:
        client = zchat.Client(broker.url, user="alice", on_event=handler, timeout=DEADLINE)
        client.join("General", echo=True).send_many(["first", "second", "last"])
        assert last.wait(DEADLINE)
        with pytest.raises(errors.HandlerFailed, match="Unshowable") as failed:
            client.close()
        assert isinstance(failed.value.__cause__, Unshowable)
    assert heard == ["first", "second", "last"]


def failure(client: zchat.Client) -> str:
    try:
        client.wait(timeout=0)
    except errors.HandlerFailed as failed:
        return str(failed)
    return ""


@pytest.mark.real
def test_a_handlers_thread_that_fails_is_reported(full: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with Broker("tcp://127.0.0.1:*") as broker:
        client = zchat.Client(broker.url, user="alice", on_event=lambda _: None, timeout=DEADLINE)
        with closing(client):
            monkeypatch.setattr(client._link.events, "visit", _raise)
            client.join("General", echo=True).send("one", timeout=DEADLINE)
            eventually(lambda: "the log is full" in failure(client), "it is reported")


@pytest.mark.real
def test_a_read_mark_that_is_refused_ends_no_client(full: None, tmp_path: Path) -> None:
    text = 'makers_own = false\n[[rooms]]\nnames = ["*"]\nread = ["nobody"]\n'
    with ruled(tmp_path / "rules.toml", text) as (_, room):
        room.mark_read(1)

        def raises() -> bool:
            try:
                room.mark_read(1)
            except errors.NotAllowed:
                return True
            return False

        eventually(raises, "the refusal is known")
        assert room.send("two", timeout=DEADLINE).seq == 2


@pytest.mark.real
def test_callers_are_given_the_fault_of_the_receive_thread(full: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with Broker("tcp://127.0.0.1:*") as broker:
        client = zchat.Client(broker.url, user="alice", timeout=DEADLINE)
        with closing(client):
            room = client.join("General")
            monkeypatch.setattr(client._link.core, "receive", _raise)
            with pytest.raises((errors.ConnectionLost, errors.OutcomeUnknown), match="the log is full"):
                room.send("one", timeout=DEADLINE)
            with pytest.raises(errors.ConnectionLost, match="the log is full"):
                client.wait(timeout=DEADLINE)


# -- a closed standard error ---------------------------------------------------------------------------

CLOSED = """
import gc, os, sys, threading, zchat
from zchat.broker import Broker
from zchat.errors import HandlerFailed, StoreFailed

folder = sys.argv[1]
sys.stderr.close()

def waited(handler, texts):
    client = zchat.Client(broker.url, user="bob", on_event=handler, timeout=60)
    client.join("General", echo=True).send_many(texts)
    return client

def raising(event):
    if getattr(event, "body", None) == "first":
        raise ValueError("planted")
    if getattr(event, "body", None) == "last":
        last.set()

def leave_with(code):
    def leave():
        sys.exit(code)
    return leave

def wrong():
    raise ValueError("planted")

with Broker("tcp://127.0.0.1:*", store=f"sqlite:{folder}/chat.db") as broker:
    last = threading.Event()
    client = waited(raising, ["first", "last"])
    assert last.wait(60)
    try:
        client.close()
    except HandlerFailed:
        print("handler")
    for end in wrong, leave_with("text"), leave_with(3), leave_with(None), leave_with(2**40):
        forked = []
        done = threading.Event()
        def forking(event):
            if not forked:
                forked.append(0)
                pid = os.fork()
                if not pid:
                    end()
                print("child", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
                done.set()
        client = waited(forking, ["one"])
        assert done.wait(60)
        client.close()
    dropped = zchat.Client(broker.url, user="carol", timeout=60)
    del dropped
    gc.collect()
    with zchat.Client(broker.url, user="alice", timeout=60) as alice:
        room = alice.join("General")
        print("sent", room.send("one").seq > 0)
        os.rename(f"{folder}/chat.db", f"{folder}/moved")
        for _ in range(2):
            try:
                room.send("two")
            except StoreFailed:
                print("refused")
    print("ended", broker.wait(0))
"""


@pytest.mark.real
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_program_that_has_closed_standard_error_lacks_nothing_but_lines(tmp_path: Path) -> None:
    line = [sys.executable, "-W", "error", *FORKING, "-c", textwrap.dedent(CLOSED), str(tmp_path)]
    run = subprocess.run(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=DEADLINE)
    assert run.returncode == 0, run.stdout
    assert run.stdout.splitlines() == [
        "handler",
        *(f"child {code}" for code in (1, 1, 3, 0, 0)),
        "sent True",
        "refused",
        "refused",
        "ended False",
    ]
