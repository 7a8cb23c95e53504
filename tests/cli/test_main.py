"""Each command does what its help says, against a real broker."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from typing import NoReturn, cast

import click
import msgpack
import pytest
from click.testing import CliRunner

import zchat as library
from tests.mortal import Mortal, refusing
from tests.running import DEADLINE, ROOT, Start, Zchat, eventually
from zchat.broker import Broker
from zchat.cli import connection
from zchat.cli.chat.conversation import Chat
from zchat.cli.chat.slash import COMMANDS
from zchat.cli.commands import tail
from zchat.cli.commands.stats import shown
from zchat.cli.main import program
from zchat.messages import BusyRoom, Histogram, Stats

MANUAL = (ROOT / "docs" / "command.md").read_text(encoding="utf-8")


def bodies(broker: Broker, room: str, limit: int = 1000) -> list[object]:
    with library.Client(broker.url, user="reader") as client:
        return [message.body for message in client.history(room, limit=limit)]


def say(broker: Broker, room: str, *texts: object, user: str = "bob") -> None:
    with library.Client(broker.url, user=user) as client:
        client.join(room).send_many(texts)


def masked(text: str) -> str:
    return re.sub(r"\[\d\d:\d\d:\d\d]", "[12:00:00]", text)


# -- all of them -------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", sorted(program.commands))
def test_every_command_teaches_by_example_and_has_its_options_in_the_manual(command: str) -> None:
    shown = CliRunner().invoke(program, [command, "--help"])
    assert shown.exit_code == 0
    assert f"Examples:\n    zchat {command}" in shown.output
    for option in program.commands[command].params:
        if isinstance(option, click.Option):
            assert any(name in MANUAL for name in option.opts), option.opts


def test_the_manual_has_every_slash_command_and_no_other() -> None:
    described = re.findall(r"^\| `(/\w+)( [^`]+)?` \|", MANUAL, re.MULTILINE)
    assert {(word, argument.strip()) for word, argument in described} == {
        (command.word, command.argument) for command in COMMANDS.values()
    }
    helped = CliRunner().invoke(program, ["client", "--help"]).output
    assert all(
        re.search(rf"  {re.escape(f'{each.word} {each.argument}'.strip())} ", helped) for each in COMMANDS.values()
    )


def test_without_a_command_it_shows_its_help_and_fails() -> None:
    shown = CliRunner().invoke(program, [])
    assert shown.exit_code == 2
    assert "Examples:" in shown.output


def test_the_version_is_told() -> None:
    assert re.match(r"zchat ", CliRunner().invoke(program, ["--version"]).output)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["send", "--frobnicate"], "--frobnicate"),
        (["nonsense"], "nonsense"),
        (["send"], "ROOM"),
        (["rooms", "--connect", "nowhere"], "tcp://127.0.0.1:5555"),
        (["rooms", "--connect", "inproc://broker"], "tcp://127.0.0.1:5555"),
        (["rooms", "--connect", "tcp://:5555"], "names no host"),
        (["rooms", "--connect", "tcp://127.0.0.1:99999"], "ports are 1 to 65535"),
        (["rooms", "--connect", "tcp://127.0.0.1:0"], "ports are 1 to 65535"),
        (["rooms", "--connect", "tcp://127.0.0.1:*"], "ports are 1 to 65535"),
        (["broker", "--bind", "tcp://127.0.0.1:99999"], "ports are 1 to 65535"),
        (["broker", "--store", ""], "names no store"),
        (["broker", "--room", "#Ops"], "reserved"),
        (["rooms", "--user", "@alice"], "reserved"),
        (["send", "/etc", "hi"], "'/etc' begins with /, which is reserved"),
        (["tail", "x" * 65], "has 65"),
        (["members", "@"], "has 0"),
        (["members"], "ROOM"),
        (["client", "General", "a\tb"], "control character"),
        (["broker", "--bind", "nowhere"], "tcp://127.0.0.1:5555"),
        (["broker", "--high-water-mark", "0"], "high-water-mark"),
        (["broker", "--high-water-mark", "10001"], "high-water-mark"),
        (["broker", "--store", "papyrus:scroll"], "papyrus"),
        (["broker", "--max-message", "1048577"], "max-message"),
        (["broker", "--retain-days", "nan"], "retain-days"),
        (["tail", "General", "--after", str(1 << 63)], "--after"),
        (["tail", "General", "-n", "1", "--after", "1"], "leave all but one out. Try: zchat tail --help"),
        (["tail", "General", "--unread", "--after", "1"], "leave all but one out. Try: zchat tail --help"),
        (["tail", "General", "--unread", "-n", "1"], "leave all but one out. Try: zchat tail --help"),
    ],
)
def test_wrong_usage_is_told_in_one_line_with_exit_code_2(arguments: list[str], what: str) -> None:
    told = CliRunner().invoke(program, arguments, prog_name="zchat")
    assert told.exit_code == 2
    assert told.stderr.startswith("zchat: ")
    assert told.stderr.count("\n") == 1
    assert what in told.stderr
    assert told.stdout == ""


def test_without_a_broker_it_says_so_in_one_line_with_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "TIMEOUT", 0.3)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        told = CliRunner().invoke(program, ["rooms", "--connect", url])
    assert told.exit_code == 1
    assert told.stderr.startswith("zchat: ")
    assert told.stderr.count("\n") == 1
    assert url in told.stderr


def test_a_host_that_isnt_known_is_told_before_anything_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*arguments: object, **extra: object) -> NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
    monkeypatch.setattr(connection, "Client", None)
    told = CliRunner().invoke(program, ["rooms", "--connect", "tcp://nowhere.example:5555"])
    assert told.exit_code == 1
    assert re.fullmatch(r"zchat: the host 'nowhere.example' can't be found \(Name or .*\); .*--connect\n", told.stderr)


# -- send --------------------------------------------------------------------------------------------


def test_send_joins_its_words_to_one_message_and_prints_nothing(zchat: Zchat, broker: Broker) -> None:
    done = zchat("send", "Kitchen", "tea", "is", "ready")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert bodies(broker, "Kitchen") == ["tea is ready"]


def test_send_makes_every_line_of_its_input_a_message(zchat: Zchat, broker: Broker) -> None:
    done = zchat("send", "General", stdin=b"one\n\ntwo\n\xff\xc3\xa9\nlast")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert bodies(broker, "General") == ["one", "", "two", "\ufffdé", "last"]


def test_send_breaks_lines_at_the_newline_only(zchat: Zchat, broker: Broker) -> None:
    zchat("send", "General", stdin="a\u2028b\x0cc\rd\x85e\r\nf")
    assert bodies(broker, "General") == ["a\u2028b\x0cc\rd\x85e\r", "f"]


def test_send_sends_many_lines_in_order(zchat: Zchat, broker: Broker) -> None:
    lines = [f"line {number}" for number in range(20_000)]
    assert zchat("send", "Log", stdin="\n".join(lines) + "\n").returncode == 0
    found: list[object] = []
    with library.Client(broker.url, user="reader") as client:
        while len(found) < 20_000:
            found += [message.body for message in client.history("Log", after=len(found), limit=1000)]
    assert found == lines


def test_send_tells_how_many_were_stored_when_it_fails(zchat: Zchat, broker: Broker) -> None:
    done = zchat("send", "General", stdin="one\ntwo\n" + "x" * (3 << 20) + "\nfour\n")
    assert done.returncode == 1
    assert done.stderr.startswith("zchat: ")
    assert done.stderr.endswith("; 2 lines stored (up to seq 2 in General), the rest not\n")
    assert bodies(broker, "General") == ["one", "two"]


def test_send_takes_arguments_that_are_no_text(zchat: Zchat, broker: Broker) -> None:
    assert zchat("send", "General", "caf\udce9").returncode == 0
    assert bodies(broker, "General") == ["caf\ufffd"]


# -- tail --------------------------------------------------------------------------------------------


def test_tail_shows_the_last_messages(zchat: Zchat, broker: Broker) -> None:
    say(broker, "General", *map(str, range(1, 16)))
    assert masked(zchat("tail", "General").stdout) == "".join(f"[12:00:00] bob: {n}\n" for n in range(6, 16))
    assert masked(zchat("tail", "-n", "1", "General").stdout) == "[12:00:00] bob: 15\n"
    assert masked(zchat("tail", "--after", "13", "General").stdout) == "[12:00:00] bob: 14\n[12:00:00] bob: 15\n"
    assert zchat("tail", "-n", "0", "General").stdout == ""
    assert zchat("tail", "--after", "99", "General").stdout == ""


def test_tail_of_an_empty_room_is_empty(zchat: Zchat) -> None:
    done = zchat("tail", "General")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_tail_reads_a_long_history_page_by_page(zchat: Zchat, broker: Broker) -> None:
    say(broker, "Long", *range(2_500))
    lines = zchat("tail", "--after", "0", "--json", "Long").stdout.splitlines()
    assert [json.loads(line)["body"] for line in lines] == list(range(2_500))


def test_tail_gives_json_with_five_fields(zchat: Zchat, broker: Broker) -> None:
    say(broker, "General", {"a": b"\x00", "z": "\x9b\x7f"}, msgpack.Timestamp(1, 5), user="bo\u00e9")
    first, second = (json.loads(line) for line in zchat("tail", "General", "--json").stdout.splitlines())
    assert list(first) == ["room", "seq", "timestamp", "user", "body"]
    assert first["timestamp"] > 1_700_000_000_000_000
    del first["timestamp"]
    assert first == {
        "room": "General",
        "seq": 1,
        "user": "bo\u00e9",
        "body": {"a": {"$bytes": "AA=="}, "z": "\x9b\x7f"},
    }
    assert second["body"] == {"$timestamp": 1_000_000_005}


def test_tail_never_makes_a_room(zchat: Zchat) -> None:
    for arguments in (["tail", "Nowhere"], ["tail", "-f", "Nowhere"]):
        done = zchat(*arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "zchat: there is no room Nowhere; zchat rooms lists those that there are\n"
    assert "Nowhere" not in zchat("rooms").stdout


def test_tail_tells_of_what_is_no_longer_kept(zchat: Zchat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zchat.broker.rooms.retention.RETAIN_EVERY", 0.05)
    with Broker("tcp://127.0.0.1:*", store="memory:", retain_messages=10) as small:
        with library.Client(small.url, user="bob") as client:
            room = client.join("General")
            for number in range(1, 41):
                room.send(str(number))
            general = (each for _ in iter(int, 1) for each in client.rooms() if each.name == "General")
            eventually(lambda: next(general).first == 31, "retention trims the room")
        done = zchat("tail", "--after", "0", "General", ZCHAT_URL=small.url)
        assert done.stderr == "zchat: General: messages 1 to 30 are no longer kept\n"
        assert masked(done.stdout) == "".join(f"[12:00:00] bob: {n}\n" for n in range(31, 41))
        assert zchat("tail", "-n", "99", "General", ZCHAT_URL=small.url).stderr == ""


def test_tail_shows_what_is_unread_and_marks_it_as_read(zchat: Zchat, broker: Broker) -> None:
    say(broker, "General", "one", "two", "three")
    shown = "".join(f"[12:00:00] bob: {text}\n" for text in ("one", "two", "three"))
    assert masked(zchat("tail", "--unread", "general").stdout) == shown
    done = zchat("tail", "--unread", "General")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    say(broker, "General", "four")
    assert zchat("tail", "General").returncode == 0  # which marks nothing
    assert masked(zchat("tail", "--unread", "General").stdout) == "[12:00:00] bob: four\n"
    with library.Client(broker.url, user="carol") as client:
        assert {room.name: room.unread for room in client.rooms()}["General"] is None
    with library.Client(broker.url, user="alice") as client:
        assert {room.name: room.unread for room in client.rooms()}["General"] == 0


def test_tail_shows_all_pages_of_what_is_unread_in_a_direct_room(zchat: Zchat, broker: Broker) -> None:
    with library.Client(broker.url, user="bob") as bob:
        bob.direct("alice").send_many(map(str, range(1500)))
    lines = zchat("tail", "--unread", "--json", "@bob").stdout.splitlines()
    assert [json.loads(line)["body"] for line in lines] == list(map(str, range(1500)))
    assert zchat("tail", "--unread", "@bob").stdout == ""


# -- rooms -------------------------------------------------------------------------------------------


def test_rooms_lists_rooms_members_and_messages(zchat: Zchat, broker: Broker) -> None:
    say(broker, "Movies", "one", "two")
    with library.Client(broker.url, user="carol") as client:
        client.join("Movies")
        lines = zchat("rooms").stdout.splitlines()
        assert re.fullmatch(r"ROOM +MEMBERS +MESSAGES +UNREAD", lines[0])
        assert sorted(line.split()[0] for line in lines[1:]) == ["Crypto", "General", "Movies", "Sports", "Technology"]
        assert any(re.fullmatch(r"Movies +1 +2", line) for line in lines)
        listed = [json.loads(line) for line in zchat("rooms", "--json").stdout.splitlines()]
    assert {"name": "Movies", "members": 1, "first": 1, "last": 2, "unread": None} in listed


def test_rooms_tells_what_is_unread_where_there_is_something(zchat: Zchat, broker: Broker) -> None:
    say(broker, "Movies", "one", "two", "three")
    say(broker, "Sports", "one")
    with library.Client(broker.url, user="alice") as client:
        client.mark_read("Movies", 1)
        client.mark_read("Sports", 1)
    lines = zchat("rooms").stdout.splitlines()
    assert any(re.fullmatch(r"Movies +0 +3 +2", line) for line in lines)
    assert any(re.fullmatch(r"Sports +0 +1", line) for line in lines)
    listed = {each["name"]: each["unread"] for each in map(json.loads, zchat("rooms", "--json").stdout.splitlines())}
    assert (listed["Movies"], listed["Sports"], listed["General"]) == (2, 0, None)


# -- members -----------------------------------------------------------------------------------------


def test_members_lists_who_is_in_a_room_and_since_when(zchat: Zchat, broker: Broker) -> None:
    with library.Client(broker.url, user="bob smith") as bob, library.Client(broker.url, user="carol") as carol:
        room = bob.join("General")
        carol.join("General")
        room.typing()
        eventually(lambda: any(each.typing for each in room.members()), "bob types")
        lines = zchat("members", "General").stdout.splitlines()
        listed = [json.loads(line) for line in zchat("members", "general", "--json").stdout.splitlines()]
        assert [each.user for each in room.members()] == ["bob smith", "carol"]  # and nobody who asked
    assert re.fullmatch(r"USER +SINCE", lines[0])
    assert re.fullmatch(r"bob smith +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", lines[1])
    assert re.fullmatch(r"carol +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", lines[2])
    assert [list(each) for each in listed] == [["user", "since", "typing"]] * 2
    assert [(each["user"], each["typing"]) for each in listed] == [("bob smith", True), ("carol", False)]
    assert all(each["since"] > 1_700_000_000_000_000 for each in listed)


def test_members_never_makes_a_room(zchat: Zchat) -> None:
    for name in ("Nowhere", "@bob"):
        done = zchat("members", name)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"zchat: there is no room {name}; zchat rooms lists those that there are\n"
    assert "Nowhere" not in zchat("rooms").stdout
    assert zchat("members", "General").stdout == "USER  SINCE\n"
    assert zchat("members", "General", "--json").stdout == ""


def test_direct_rooms_are_named_by_the_other_user(zchat: Zchat, broker: Broker) -> None:
    with library.Client(broker.url, user="bob") as bob:
        assert zchat("send", "@bob", "psst").returncode == 0
        bob.direct("alice")
        assert zchat("members", "@bob").stdout.splitlines()[1].split()[0] == "bob"
    assert masked(zchat("tail", "@bob").stdout) == "[12:00:00] alice: psst\n"
    assert "@bob" in zchat("rooms").stdout
    assert "@" not in zchat("rooms", ZCHAT_USER="carol").stdout


# -- stats -------------------------------------------------------------------------------------------


def test_stats_shows_what_the_broker_counts(zchat: Zchat, broker: Broker) -> None:
    say(broker, "Movies", "one", "two")
    zchat("members", "Nowhere")
    lines = zchat("stats").stdout.splitlines()
    assert any(re.fullmatch(r"messages +2", line) for line in lines)
    assert any(re.fullmatch(r"refused: no_such_room +1", line) for line in lines)
    (line,) = zchat("stats", "--json").stdout.splitlines()
    found = json.loads(line)
    assert found.keys() == {"counts", "refused", "lagging", "times", "busiest"}
    assert found["counts"]["messages"] == 2
    assert found["counts"]["sessions"] == 1
    assert found["refused"] == {"no_such_room": 1}
    assert found["lagging"] == found["busiest"] == []
    assert found["times"].keys() == {"turn", "commit", "commit_bytes"}
    turn = found["times"]["turn"]
    assert turn.keys() == {"bounds", "counts", "sum"}
    assert len(turn["counts"]) == len(turn["bounds"]) + 1
    assert sum(turn["counts"]) > 0, "the loop has turned"
    assert not sum(found["times"]["commit"]["counts"]), "memory needs no commit"


@pytest.mark.parametrize("columns", [80, 40])
def test_stats_fit_the_terminal(columns: int) -> None:
    times = {"turn": Histogram([100, 250_000], [3, 1, 0], 300_000), "commit_bytes": Histogram([256], [0, 1], 999)}
    figures = Stats(
        {"messages": 1_234_567_890, "started": 1_700_000_000_000_000, "uptime": 90_000_000, "interval": 5_000_000},
        {"no_such_room": 1},
        [("r" * 64, "u" * 64, 5)],
        times,
        [BusyRoom("\x1b[2Jhostile " + "r" * 50, 1_000, 50_000, 5_000_000), BusyRoom("General", 2, 1, 0)],
    )
    lines = shown(figures, columns)
    assert max(map(len, lines)) <= columns
    text = "\n".join(lines)
    assert re.search(r"^messages +1,234,567,890$", text, re.MULTILINE)
    assert re.search(r"^turn: 50% up to +100 µs$", text, re.MULTILINE)
    assert re.search(r"^commit bytes: 99% up to +over 256$", text, re.MULTILINE)
    assert re.search(r"^General +2 +0.2 +0.0$", text, re.MULTILINE)
    assert re.search(r"1,000 +10,000.0 +1,000,000.0$", text, re.MULTILINE)
    assert "\x1b" not in text
    assert any("r" * 64 in line for line in shown(figures, 0)), "nothing is cut where there is no terminal"


# -- client, in a pipe -------------------------------------------------------------------------------


def test_the_client_sends_what_it_reads_and_shows_what_is_stored(zchat: Zchat, broker: Broker) -> None:
    done = zchat("client", stdin="hello\n\n//slash\nlast line")
    assert done.returncode == 0
    assert masked(done.stdout) == (
        f"* alice at {broker.url}; /help lists the commands\n"
        "* you are in General\n"
        "[12:00:00] alice: hello\n"
        "[12:00:00] alice: /slash\n"
        "[12:00:00] alice: last line\n"
    )
    assert bodies(broker, "General") == ["hello", "/slash", "last line"]


def test_the_client_shows_what_others_say_at_once(start: Start, broker: Broker) -> None:
    running = start("client", "--quiet", "General", "Sports")
    running.until("* you are in Sports as well\n")
    say(broker, "General", "hi alice", "a\n[12:00:00] alice: fake\x9b2J")
    running.until("fake<U+009B>2J\n")
    say(broker, "Sports", "goal", user="carol")
    running.until("carol: goal\n")
    running.write("/quit\n")
    assert running.end() == 0
    assert masked(running.text).splitlines()[3:] == [
        "[12:00:00] bob: hi alice",
        "[12:00:00] bob: a",
        "    [12:00:00] alice: fake<U+009B>2J",
        "[12:00:00] #Sports carol: goal",
    ]


def test_every_slash_command_works(zchat: Zchat, broker: Broker) -> None:
    say(broker, "Sports", "old one", "old two")
    typed = ["/list", "/join sports", "/messages", "/messages", "/messages 1", "mine", "/join General", "/leave"]
    typed += ["/leave", "/leave", "lost", "/messages", "/list", "/help", "/quit", "never"]
    done = zchat("client", stdin="\n".join(typed))
    assert (done.returncode, done.stderr) == (1, "zchat: 3 lines of the input could not be done, as told above\n")
    lines = masked(done.stdout).splitlines()
    rooms = lines[2:7]
    assert "  > General     1 in it  0 messages" in rooms
    assert "    Sports      0 in it  2 messages" in rooms
    assert lines[7:19] == [
        "* you are in Sports",
        "[12:00:00] bob: old one",
        "[12:00:00] bob: old two",
        "* that is the beginning of Sports",
        "[12:00:00] bob: old two",
        "[12:00:00] alice: mine",
        "* you are in General",
        "* you left General and are in Sports",
        "* you left Sports",
        "! you are in no room; /join ROOM brings you into one",
        "! you are in no room; /join ROOM brings you into one",
        "! you are in no room; /join ROOM brings you into one",
    ]
    assert all(any(line.startswith(f"* {word} ") for line in lines[24:]) for word in COMMANDS)
    assert bodies(broker, "General") == []


def test_messages_shows_what_was_missed_and_again_what_was_before_it(start: Start, broker: Broker) -> None:
    say(broker, "General", *map(str, range(12)))
    running = start("client", "--quiet", "General")
    running.until("* you are in General\n")
    say(broker, "General", "before")
    running.until("bob: before\n")
    running.write("/join Sports\n")
    running.until("* you are in Sports\n")
    say(broker, "General", "meanwhile", "and this")
    running.until("#General bob: and this\n")
    running.write("/join General\n/messages\n/messages\n/messages\n/messages\n/list\n/messages 1\n/messages\n/quit\n")
    assert running.end() == 0
    lines = masked(running.text).splitlines()
    lines = lines[lines.index("* you are in General", 2) :]
    assert [line.removeprefix("[12:00:00] bob: ") for line in lines if not line.startswith("  ")] == [
        "* you are in General",
        *("meanwhile", "and this"),
        *map(str, range(3, 12)), "before",
        *map(str, range(3)),
        "* that is the beginning of General",
        "and this",
        *map(str, range(4, 12)), "before", "meanwhile",
    ]  # fmt: skip


def test_messages_shows_the_end_of_the_room_after_something_else_was_typed(start: Start, broker: Broker) -> None:
    say(broker, "General", "old")
    running = start("client", "--quiet", "General")
    running.until("* you are in General\n")
    running.write("/messages\n")
    running.until("bob: old\n")
    running.write("mine\n/messages\n/quit\n")
    assert running.end() == 0
    assert masked(running.text).splitlines()[2:] == [
        "[12:00:00] bob: old",
        "[12:00:00] alice: mine",
        "[12:00:00] bob: old",
        "[12:00:00] alice: mine",
    ]


def test_messages_of_a_long_absence_are_the_newest_thousand_of_it(broker: Broker) -> None:
    with library.Client(broker.url, user="bob") as bob:
        alice = Chat((shown := list[str]()).append)
        with library.Client(broker.url, user="alice", on_event=lambda event: None) as client:
            alice.begin(client, ["General"])
            alice.enter("/join Sports")
            last = bob.join("General").send_many(map(str, range(1500)))
            general = client.join("General")
            eventually(lambda: general.position.seq == last, "all of it has come")
            alice.enter("/join General")
            bob.join("General").send("live")
            shown.clear()
            alice.enter("/messages")
    assert shown[0] == "* the last 1000; zchat tail shows more"
    lines = shown[1].splitlines()
    assert (len(lines), lines[0].split()[-1], lines[-1].split()[-1]) == (1000, "500", "1499")


def test_wrong_commands_are_told_and_never_sent(zchat: Zchat, broker: Broker) -> None:
    typed = ["/msg alice hi", "/msg #x hi", "/members now"]
    typed += ["/nonsense text", "/messages x", "/leave now", "/ x", "x" * (2 << 20), "still here"]
    done = zchat("client", stdin="\n".join(typed))
    assert done.returncode == 1
    assert done.stderr == f"zchat: {len(typed) - 1} lines of the input could not be done, as told above\n"
    lines = done.stdout.splitlines()[2:]
    assert lines[3] == "! there is no /nonsense; /help lists the commands, //nonsense text says it"
    assert all(line.startswith("! ") for line in lines[:-1])
    assert len(lines) == len(typed)
    assert bodies(broker, "General") == ["still here"]


@pytest.mark.parametrize("join", ["/join", "/join /bad", "/msg", "/msg #bad", '/msg "bob psst'])
def test_nothing_is_said_in_another_room_than_the_one_meant(zchat: Zchat, broker: Broker, join: str) -> None:
    done = zchat("client", stdin=f"before\n{join}\nfor the other room")
    assert done.returncode == 1
    assert re.fullmatch(rf"zchat: {join}: .*; the lines behind it are not sent\n", done.stderr)
    assert bodies(broker, "General") == ["before"]


def test_one_message_is_counted_as_one(zchat: Zchat, broker: Broker) -> None:
    say(broker, "Sports", "only")
    assert re.search(r"Sports +0 in it +1 message$", zchat("client", stdin="/list").stdout, re.MULTILINE)


def test_a_line_that_is_lost_with_the_broker_is_told_once_with_the_reason() -> None:
    class Lost:
        """Be a room whose broker goes while it takes a message."""

        def send(self, text: str) -> NoReturn:
            raise library.OutcomeUnknown("1 message was on its way: it is gone") from library.ConnectionLost("gone")

    shown: list[str] = []
    chat = Chat(shown.append)
    chat._current = cast(library.Room, Lost())
    with pytest.raises(library.OutcomeUnknown):
        chat.enter("hello")
    assert shown == []


def test_a_client_that_is_refused_for_good_ends(start: Start) -> None:
    with Mortal() as mortal:
        running = start("client", ZCHAT_URL=mortal.url)
        running.until("* you are in General\n")
        mortal.kill()
        with refusing(mortal.url):
            assert running.process.wait(DEADLINE) == 1
    assert running.end() == 1
    assert re.fullmatch(r"zchat: .+\n", running.errors)


# -- gaps --------------------------------------------------------------------------------------------


def test_a_gap_is_told_in_the_chat() -> None:
    shown: list[str] = []
    Chat(shown.append).on_event(library.Gap("General", 2, 7, "trimmed"))
    assert shown == ["! General: messages 3 to 7 are no longer kept"]


def test_tail_tells_a_gap_on_standard_error_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    class Gappy:
        """Be a client whose events begin with a gap."""

        def events(self, timeout: float) -> Iterator[library.Event]:
            yield library.Gap("General", 2, 7, "trimmed")
            yield library.Message("General", 8, 0, "bob", "hi")

    coming = tail._coming(cast(library.Client, Gappy()))
    assert next(coming) is None
    assert next(coming) == library.Message("General", 8, 0, "bob", "hi")
    assert capsys.readouterr().err == "zchat: General: messages 3 to 7 are no longer kept\n"
