"""How `zchat tail` reads: page by page, and gaps are reported."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

import zchat as library
from tests.cli.driver import masked, say
from tests.running import DEADLINE, Start, Zchat, eventually
from zchat.broker import Broker
from zchat.cli.commands import tail
from zchat.cli.tail import reading
from zchat.cli.tail.output import Output
from zchat.cli.tail.reading import arriving, follow


def test_tail_reads_a_long_history_page_by_page(zchat: Zchat, broker: Broker) -> None:
    say(broker, "Long", *range(2_500))
    lines = zchat("tail", "--after", "0", "--json", "Long").stdout.splitlines()
    assert [json.loads(line)["body"] for line in lines] == list(range(2_500))


@pytest.fixture
def trimmed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    """Give a broker that has kept the last 10 of 40 messages of General, all bob's, who has read the first 3."""
    monkeypatch.setattr("zchat.broker.rooms.retention.RETAIN_EVERY", 0.05)
    with Broker("tcp://127.0.0.1:*", store="memory:", retain_messages=10) as small:
        with library.Client(small.url, user="bob") as client:
            room = client.join("General")
            for number in range(1, 41):
                room.send(str(number))
                if number == 3:
                    client.mark_read("General", 3)
            general = (each for _ in iter(int, 1) for each in client.rooms() if each.name == "General")
            eventually(lambda: next(general).first == 31, "retention trims the room")
        yield small


def test_tail_tells_of_what_is_no_longer_kept(zchat: Zchat, trimmed: Broker) -> None:
    done = zchat("tail", "--after", "0", "General", ZCHAT_URL=trimmed.url)
    assert done.stderr == "zchat: General: messages 1 to 30 are no longer kept\n"
    assert masked(done.stdout) == "".join(f"[12:00:00] bob: {n}\n" for n in range(31, 41))
    assert zchat("tail", "-n", "99", "General", ZCHAT_URL=trimmed.url).stderr == ""


def test_tail_shows_all_pages_of_what_is_unread_in_a_direct_room(zchat: Zchat, broker: Broker) -> None:
    with library.Client(broker.url, user="bob") as bob:
        bob.direct("alice").send_many(map(str, range(1500)))
    lines = zchat("tail", "--unread", "--json", "@bob").stdout.splitlines()
    assert [json.loads(line)["body"] for line in lines] == list(map(str, range(1500)))
    assert zchat("tail", "--unread", "@bob").stdout == ""


def test_the_tail_of_several_rooms_shows_a_direct_message_with_both_names(zchat: Zchat, broker: Broker) -> None:
    say(broker, "General", "to all")
    with library.Client(broker.url, user="bob") as bob, library.Client(broker.url, user="alice") as alice:
        for text in ("from bob", "/me waves"):
            bob.direct("alice").send(text)
        for text in ("to bob", "/me nods"):
            alice.direct("bob").send(text)
    direct = ["bob → alice: from bob", "bob → alice: * waves", "alice → bob: to bob", "alice → bob: * nods"]
    shown = masked(zchat("tail", "General", "@bob").stdout).splitlines()
    assert shown == [f"[12:00:00] {line}" for line in ("#General bob: to all", *direct)]
    alone = masked(zchat("tail", "@bob").stdout).splitlines()
    assert alone == [f"[12:00:00] {line}" for line in ("bob: from bob", "* bob waves", "alice: to bob", "* alice nods")]


def test_tail_tells_a_gap_on_standard_error_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    class Gappy:
        """A client whose events begin with a gap."""

        def events(self, timeout: float) -> Iterator[library.Event]:
            yield library.Gap("General", 2, 7, "trimmed")
            yield library.Message("General", 8, 0, "bob", "hi")

    coming = arriving(cast(library.Client, Gappy()), Output(True))
    assert next(coming) is None
    assert next(coming) == library.Message("General", 8, 0, "bob", "hi")
    assert capsys.readouterr().err == "zchat: General: messages 3 to 7 are no longer kept\n"


def test_tail_ends_with_the_reason_if_its_user_is_removed_from_a_room() -> None:
    class Removing:
        """A client whose room ends after a message."""

        def events(self, timeout: float) -> Iterator[library.Event]:
            yield library.Message("General", 8, 0, "bob", "hi")
            yield library.Removed("General", "spam", "bob", None, "kicked")

    coming = arriving(cast(library.Client, Removing()), Output(True))
    assert next(coming) == library.Message("General", 8, 0, "bob", "hi")
    with pytest.raises(library.ZchatError, match=r"^bob has put you out of General: spam$"):
        next(coming)


class Ending:
    """A client with messages of two rooms, of which it is put out of one, or whose session is over for good."""

    def __init__(self, end: library.Removed | library.ZchatError) -> None:
        self._end = end
        self._turn = 0

    def events(self, timeout: float) -> Iterator[library.Event]:
        self._turn += 1
        if self._turn == 1:
            yield library.Message("General", 8, 0, "bob", "before")
            yield library.Disconnected("cut")
            yield library.Message("General", 9, 0, "bob", "after")
            if isinstance(self._end, library.Removed):
                yield self._end
            else:
                raise self._end
        yield library.Message("Sports", 1, 0, "bob", "elsewhere")


@pytest.mark.parametrize(
    "end",
    [library.Removed("General", "spam", "bob", None, "kicked"), library.KeyRemoved("this key is no longer bob's")],
    ids=["put out", "over"],
)
def test_what_has_come_before_an_end_or_a_notice_is_written_before_it(
    end: library.Removed | library.ZchatError, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    waiting: list[str] = []

    class Noted(Output):
        def write(self, message: library.Message) -> None:
            waiting.append(str(message.body))

        def flush(self) -> None:
            written.extend(waiting)
            waiting.clear()

    monkeypatch.setattr(reading, "report", written.append)
    monkeypatch.setattr(reading, "check_reader", lambda: None)
    with pytest.raises(library.ZchatError, match=r"spam|no longer"):
        follow(cast(library.Client, Ending(end)), Noted(True))
    assert [*written, *waiting] == ["before", "disconnected: cut; reconnecting", "after", "elsewhere"]


def test_what_has_come_is_written_whatever_ends_the_command(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fails(client: library.Client, output: Output) -> None:
        output.write(library.Message("General", 8, 0, "bob", "come"))
        raise library.KeyRemoved("this key is no longer bob's")

    say(broker, "General", "said")
    monkeypatch.setattr(tail, "follow", fails)
    with pytest.raises(library.KeyRemoved):
        tail._show(broker.url, "alice", ("General",), tail.Begin(0, None, None, False), True, True)
    assert json.loads(capfd.readouterr().out)["body"] == "come"


def test_what_was_unread_and_is_no_longer_kept_is_reported(zchat: Zchat, trimmed: Broker) -> None:
    done = zchat("tail", "--unread", "General", "--user", "bob", ZCHAT_URL=trimmed.url)
    assert done.stderr == "zchat: General: messages 4 to 30 are no longer kept\n"
    assert masked(done.stdout) == "".join(f"[12:00:00] bob: {n}\n" for n in range(31, 41))
    for user in ("bob", "alice"):  # who has read all, and who never has
        done = zchat("tail", "--unread", "General", "--user", user, ZCHAT_URL=trimmed.url)
        assert done.stderr == ""


def test_a_room_that_may_be_followed_and_not_read_is_followed_without_marks(start: Start, tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.write_text('[[rooms]]\nnames = ["Ops"]\nread = ["somebody"]\n')
    address, store = f"ipc://{tmp_path}/s", f"sqlite:{tmp_path}/db"
    with Broker(address, store=store) as broker:
        for name in ("Ops", "General", "Sports"):
            say(broker, name, "said")
    with Broker(address, store=store, logins=True, rules=rules) as broker, library.Client(address) as client:
        running = start(
            "tail", "-f", "--unread", "--json", "Ops", "General", "Sports", "--user", client.user, ZCHAT_URL=address
        )
        rooms = [client.join(name) for name in ("Ops", "General", "Sports")]
        eventually(lambda: broker.figures.counts["memberships"] == 6, lambda: f"it is there: {running.errors}")

        def told(words: str) -> None:
            for room in rooms:
                room.send(words)
                running.until(words)

        told("one")
        rules.write_text('[[rooms]]\nnames = ["Ops", "General"]\nread = ["somebody"]\n')
        eventually(lambda: not allowed(client, "General"), "the rules are read")
        for words in ("two", "three", "four"):
            told(words)
        eventually(lambda: {info.name: info.unread for info in client.rooms()}["Sports"] == 0, "Sports is marked")
        assert running.process.poll() is None
        running.process.terminate()
        assert running.process.wait(DEADLINE) == 143
    bodies = [(line["room"], line["body"]) for line in map(json.loads, running.text.splitlines())]
    assert [room for room, body in bodies if body == "four"] == ["Ops", "General", "Sports"]
    assert running.errors.count("Ops could not be marked") == 0
    assert running.errors.count("General could not be marked") == 1


def allowed(client: library.Client, room: str) -> bool:
    try:
        return bool(client.history(room, limit=1))
    except library.NotAllowed:
        return False
