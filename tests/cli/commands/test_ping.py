"""`zchat ping`: a health check."""

from __future__ import annotations

import re
import time

import zchat as library
from tests.mortal import Mortal
from tests.running import Zchat
from zchat.broker import Broker


def test_a_broker_that_answers_is_0_and_says_where_and_how_soon(zchat: Zchat, broker: Broker) -> None:
    done = zchat("ping")
    assert re.fullmatch(rf"{re.escape(broker.url)} answered in \d+ ms\n", done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    done = zchat("ping", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_none_is_1_and_takes_no_longer_than_asked_for(zchat: Zchat) -> None:
    began = time.monotonic()
    done = zchat("ping", "--timeout", "0.2", "--connect", "tcp://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"zchat: no broker answered at tcp://127.0.0.1:1 within 0.2 s; .*\n", done.stderr)
    assert time.monotonic() - began < 30, "as long as a busy machine may take to start it"


def test_a_broker_that_stands_still_is_1(zchat: Zchat) -> None:
    with Mortal() as mortal:
        mortal.freeze()
        done = zchat("ping", "--timeout", "0.3", "--connect", mortal.url)
        mortal.thaw()
        assert done.returncode == 1
        assert zchat("ping", "--timeout", "30", "--connect", mortal.url).returncode == 0


def test_wrong_usage_is_2(zchat: Zchat) -> None:
    for arguments in (["--connect", "nowhere"], ["--timeout", "0"], ["--timeout", "nan"], ["--user", "alice"]):
        assert zchat("ping", *arguments).returncode == 2


def test_it_works_for_a_user_id_without_a_name_and_joins_nothing(zchat: Zchat, broker: Broker) -> None:
    assert zchat("ping", USER="", LOGNAME="", ZCHAT_USER="").returncode == 0
    with library.Client(broker.url, user="alice") as client:
        assert [room.members for room in client.rooms()] == [0] * 5
