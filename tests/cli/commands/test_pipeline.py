"""The command in shell pipelines, and what signals do to it."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from threading import Thread

import pytest

import zchat
from tests.cli.driver import say
from tests.mortal import Mortal
from tests.running import DEADLINE, Start, Zchat, eventually
from zchat.broker import Broker


def said(broker: Broker, room: str) -> list[object]:
    with zchat.Client(broker.url, user="reader") as client:
        return [message.body for message in client.history(room)]


def test_a_pipeline_reads_and_writes_rooms(start: Start, broker: Broker) -> None:
    line = 'printf "one\\ntwo FAIL\\nthree\\n" | "$@" send Builds && "$@" tail Builds | grep FAIL | "$@" send Alerts'
    assert start(shell=line).end() == 0
    (alert,) = said(broker, "Alerts")
    assert re.fullmatch(r"\[\d\d:\d\d:\d\d\] alice: two FAIL", str(alert))


def test_tail_passes_on_each_message_at_once(start: Start, broker: Broker) -> None:
    say(broker, "Builds", "first")
    reader = start(shell='"$@" tail -f Builds | while read -r line; do echo "got $line"; done')
    reader.until("bob: first\n")
    say(broker, "Builds", "second")
    reader.until("bob: second\n")
    say(broker, "Builds", "third", "fourth")
    assert re.sub(r"\[.*?\] ", "", reader.until("fourth\n")) == (
        "got bob: first\ngot bob: second\ngot bob: third\ngot bob: fourth\n"
    )


def test_send_passes_on_each_line_at_once(start: Start, broker: Broker) -> None:
    writer = start("send", "Log")
    writer.write("one\n")
    eventually(
        lambda: "Log" in {room.name for room in rooms(broker)} and said(broker, "Log") == ["one"], "one is there"
    )
    writer.write("two\n")
    eventually(lambda: said(broker, "Log") == ["one", "two"], "two is there")
    assert writer.end() == 0


def rooms(broker: Broker) -> list[zchat.RoomInfo]:
    with zchat.Client(broker.url, user="reader") as client:
        return client.rooms()


def test_no_message_is_missed_or_comes_twice_between_history_and_following(start: Start, broker: Broker) -> None:
    say(broker, "Busy", *map(str, range(1, 2001)))
    stop = False

    def speak() -> None:
        with zchat.Client(broker.url, user="carol") as client:
            room = client.join("Busy")
            while not stop:
                room.send("again")
            room.send("the end")

    speaker = Thread(target=speak)
    speaker.start()
    try:
        reader = start("tail", "-f", "-n", "1500", "--json", "Busy")
        reader.until('"body": "again"')
    finally:
        stop = True
        speaker.join(DEADLINE)
    lines = [json.loads(line) for line in reader.until('"body": "the end"}\n').splitlines()]
    numbers = [line["seq"] for line in lines]
    assert numbers[0] > 500
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def unread(broker: Broker, room: str) -> int | None:
    with zchat.Client(broker.url, user="alice") as client:
        return next(info.unread for info in client.rooms() if info.name == room)


def test_tail_goes_on_marking_as_read_what_it_shows(start: Start, broker: Broker) -> None:
    say(broker, "Builds", "first")
    reader = start("tail", "--unread", "-f", "Builds")
    reader.until("bob: first\n")
    eventually(lambda: unread(broker, "Builds") == 0, "it is marked")
    say(broker, "Builds", "second")
    reader.until("bob: second\n")
    eventually(lambda: unread(broker, "Builds") == 0, "the next is marked too")
    reader.process.send_signal(signal.SIGINT)
    assert reader.end() == 130
    say(broker, "Builds", "third")
    assert unread(broker, "Builds") == 1


def test_what_could_not_be_written_stays_unread(start: Start, broker: Broker) -> None:
    say(broker, "Builds", "first")
    assert start(shell='"$@" tail --unread Builds >/dev/full').end() == 1
    assert unread(broker, "Builds") is None


@pytest.mark.parametrize("arguments", [["client"], ["tail", "-f", "General"]], ids=" ".join)
def test_ctrl_c_is_silent_and_has_exit_code_130(start: Start, broker: Broker, arguments: list[str]) -> None:
    running = start(*arguments)
    eventually(lambda: any(room.members for room in rooms(broker)), "it has joined")
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(DEADLINE) == 130
    assert running.end() == 130
    assert running.errors == ""


def test_what_was_said_is_there_after_the_broker_was_killed(start: Start, zchat: Zchat, tmp_path: Path) -> None:
    options = ("broker", "--bind", "tcp://127.0.0.1:*", "--store", f"sqlite:{tmp_path / 'chat.db'}")
    for expected in (1, 2):
        running = start(*options)
        url = re.search(r"tcp://\S+", running.until("clients: about"))
        assert url
        assert zchat("send", "General", f"number {expected}", ZCHAT_URL=url[0]).returncode == 0
        lines = zchat("tail", "--json", "General", ZCHAT_URL=url[0]).stdout.splitlines()
        assert [json.loads(line)["body"] for line in lines] == [f"number {n}" for n in range(1, expected + 1)]
        running.process.kill()
        assert running.process.wait(DEADLINE) == -signal.SIGKILL


def test_commands_tell_of_a_lost_broker_and_go_on_when_it_is_back(start: Start, tmp_path: Path) -> None:
    with Mortal(f"sqlite:{tmp_path / 'z.db'}") as mortal:
        tail = start("tail", "-f", "-n", "1", "General", ZCHAT_URL=mortal.url)
        chat = start("client", ZCHAT_URL=mortal.url)
        chat.until("you are in General")
        chat.write("before\n")
        tail.until("alice: before")
        mortal.kill()
        chat.until("! disconnected: ")
        mortal.start()
        chat.until("* reconnected")
        chat.write("after it\n")
        tail.until("alice: after it")
        assert chat.end() == 0
        tail.process.send_signal(signal.SIGINT)
        assert tail.end() == 130
    assert re.search(r"zchat: disconnected: .*; reconnecting\nzchat: reconnected\n", tail.errors)


def test_send_waits_for_a_broker_that_is_started_again(start: Start, tmp_path: Path) -> None:
    with Mortal(f"sqlite:{tmp_path / 'z.db'}") as mortal:
        send = start("send", "General", ZCHAT_URL=mortal.url)
        send.write("one\n")
        with zchat.Client(mortal.url, user="looker") as looker:
            eventually(lambda: len(looker.history("General")) == 1, "it is stored")
            mortal.kill()
            send.write("two\n")
            mortal.start()
            assert send.end() == 0
            assert [message.body for message in looker.history("General", timeout=DEADLINE)] == ["one", "two"]


@pytest.mark.parametrize(
    ("shell", "words", "completed"),
    [
        ("bash", {"COMP_TYPED": "zchat ta", "COMP_PART": "ta"}, "plain,tail\n"),
        ("bash", {"COMP_WORDS": "zchat ta", "COMP_CWORD": "1"}, "plain,tail\n"),  # as zchat 0.1.0 asked
        (
            "zsh",
            {"COMP_WORDS": "zchat ta", "COMP_CWORD": "1"},
            "plain\ntail\nShow the latest messages of a room, and follow it.\n",
        ),
        (
            "fish",
            {"COMP_WORDS": "zchat ta", "COMP_CWORD": "ta"},
            "plain,tail\tShow the latest messages of a room, and follow it.\n",
        ),
    ],
)
def test_completion_is_there_for_three_shells(start: Start, shell: str, words: dict[str, str], completed: str) -> None:
    script = start(_ZCHAT_COMPLETE=f"{shell}_source")
    assert script.end() == 0
    assert f"_ZCHAT_COMPLETE={shell}_complete" in script.text
    answer = start(_ZCHAT_COMPLETE=f"{shell}_complete", **words)
    answer.end()
    assert answer.text == completed
