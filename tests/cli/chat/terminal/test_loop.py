"""Two people chat on real terminals: what they see is compared with screens that were looked at."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import zchat
from tests.cli.driver import say
from tests.cli.terminals import Terminal, Tmux
from tests.mortal import Mortal
from tests.running import eventually
from zchat.broker import Broker

HOSTILE = "\x1b[2J\x9b2J\x07\x08\x7f\u202eevil\r\n[12:00:00] alice: I never said that"


def test_two_people_chat_at_80_and_40_columns(tmux: Tmux, broker: Broker) -> None:
    alice, bob = (
        Terminal(tmux, name, columns, "--quiet", "--no-typing") for name, columns in (("alice", 80), ("bob", 40))
    )
    for terminal in (alice, bob):
        terminal.until("you are in General\n", "General>")

    bob.type("half a li")
    bob.until("General> half a li")
    alice.type("hello bob, this line is long enough to be wrapped at forty columns", "Enter")
    alice.until("forty\n    columns\n", "General>")
    bob.until("forty columns\n", "General> half a li")
    bob.compare("message-above-the-line-being-typed-40")
    alice.type("me t")
    alice.until("General> me t")
    bob.type("ne", "Enter")
    alice.until("bob: half a line\n", "General> me t")
    alice.compare("message-above-the-line-being-typed-80")
    alice.keys("C-u")
    alice.until("bob: half a line\n", "General>")
    bob.until("bob: half a line\n", "General>")

    with zchat.Client(broker.url, user="mallory") as client:
        client.join("General").send(HOSTILE)
    for terminal in (alice, bob):
        terminal.until("evil\n    [12:00:00] alice: I never said that\n", "General>")

    alice.type("/watch General", "Enter")
    alice.until("to end that: /hide General\n", "General>")
    alice.keys("/", "j", "o", "Tab", "S", "p", "Tab", "Enter")
    alice.until("you are in Sports\n", "Sports>")
    bob.type("for General only", "Enter")
    bob.until("bob: for General only\n", "General>")
    alice.until("#General bob: for General only\n", "Sports>")
    alice.type("/list", "Enter")
    alice.until("Technology", "Sports>")
    alice.type("/nonsense", "Enter")
    alice.until("unknown command /nonsense", "Sports>")
    alice.type("//slash", "Enter")
    alice.until("alice: /slash\n", "Sports>")
    bob.type("/messages 2", "Enter")
    bob.until("* the last 2 messages of General\n[12:00:00] mallory:", "bob: for General only\nGeneral>")
    bob.keys("Up", "Up")
    bob.until("General> for General only")
    alice.compare("chat-80")
    bob.compare("chat-40")

    alice.keys("C-d")
    alice.until("exit code 0")
    bob.keys("C-c", "C-c")
    bob.until("exit code 130")
    assert "> \n" not in alice.screen()


def test_the_status_line_says_who_is_here_who_types_and_what_is_new_elsewhere(tmux: Tmux, broker: Broker) -> None:
    alice = Terminal(tmux, "alice", 80, "General", "Sports")
    alice.until("you are also in Sports\n", "General>", status="online | General | 1 here")
    bob = Terminal(tmux, "bob", 40)
    bob.until("you are in General\n", "General>", status="online | General | 2 here")
    alice.until("* bob joined General\n", "General>", status="online | General | 2 here")

    alice.type("/members is a command")
    alice.until("General> /members is a command")
    alice.keys("C-u")
    bob.type("hal")
    alice.until("\nGeneral>", status="online | General | 2 here | bob is typing")
    bob.keys("C-u")
    alice.until("\nGeneral>", status="2 here")
    alice.type("hello")
    bob.until("\nGeneral>", status="General | 2 here | alice is typing")
    alice.keys("Enter")
    bob.until("alice: hello\n", "\nGeneral>", status="online | General | 2 here")

    with zchat.Client(broker.url, user="carol") as carol:
        carol.join("Sports").send("goal")
        carol.direct("alice").send("psst")
        alice.until("» carol → alice: psst\n", "\nGeneral>", status="General | 2 here | new: @carol »1, Sports 1")
        alice.type("x")
        alice.until("\nGeneral> x", status="online | General | 2 here | new: Sports 1")
        alice.keys("C-u")
        assert "goal" not in alice.screen()
        bob.type("/watch Movies", "Enter")
        bob.until("end that: /hide Movies\n", "\nGeneral>")
        bob.type("/hide Movies", "Enter")
        bob.until("you are elsewhere\n", "\nGeneral>")
        carol.join("Movies").send("seen it?")
        bob.until("\nGeneral>", status="General | 2 here | new: Movies 1")
        alice.type("/join Sports", "Enter")
        alice.until(
            "you are in Sports\n", "--- new ---\n[12:00:00] carol: goal\nSports>", status="online | Sports | 2 here"
        )
        eventually(lambda: "new:" not in alice.screen().splitlines()[-1], "nothing is new elsewhere")
    for terminal in (alice, bob):
        terminal.type("/quit", "Enter")
        terminal.until("exit code 0")


def once(terminal: Terminal) -> bool:
    texts = ("online", "General> a", "you are in General", "! unknown command /nonsense")
    shown = terminal.screen()
    return all(shown.count(text) == 1 for text in texts)


def test_the_foot_of_the_screen_survives_another_size(tmux: Tmux, broker: Broker) -> None:
    alice = Terminal(tmux, "alice", 80)
    alice.until("you are in General\n", "General>", status="online | General | 1 here")
    alice.type("/nonsense that is longer than forty columns are wide", "Enter")
    alice.until("to send it\n", "General>")
    alice.type("a text that is longer than forty columns are wide")
    alice.until("are wide", status="online")
    for columns, rows, typed in (
        (40, 12, "General> a text that is longer than fort\n    y columns are wide"),
        (90, 30, "General> a text that is longer than forty columns are wide"),
    ):
        alice.resize(columns, rows)
        alice.until(typed, status="online | General | 1 here")
        eventually(partial(once, alice), "it is drawn anew, after what the editor draws by itself")
        assert all(len(line) <= columns for line in alice.screen().split("\n"))
    alice.keys("Enter")
    alice.until("alice: a text that is longer than forty columns are wide\n", "\nGeneral>", status="online")
    assert alice.screen().count("General>") == 1


def test_a_name_has_a_colour_and_who_says_ones_own_is_marked(tmux: Tmux, broker: Broker) -> None:
    alice = Terminal(tmux, "alice", 80)
    plain = Terminal(tmux, "plain", 80, before="NO_COLOR=1 ")
    for terminal in (alice, plain):
        terminal.until("you are in General\n", "General>")
    with zchat.Client(broker.url, user="bob") as bob:
        bob.join("General").send("is Alice here? or malice, or plain?")
    alice.until("[12:00:00] » bob: is Alice here? or malice, or plain?\n", "General>")
    plain.until("[12:00:00] » bob: is Alice here? or malice, or plain?\n", "General>")
    painted = tmux("capture-pane", "-e", "-p", "-t", "alice")
    assert re.search(r"» \x1b\[38;5;\d+mbob\x1b\[39m: is \x1b\[1;7mAlice\x1b\[", painted)
    unpainted = tmux("capture-pane", "-e", "-p", "-t", "plain")
    assert re.search(r"» bob: is Alice here\? or malice, or \x1b\[1;7mplain\x1b\[", unpainted)
    assert "38;5" not in unpainted


def test_messages_pages_back_by_what_fits_the_screen(tmux: Tmux, broker: Broker) -> None:
    with zchat.Client(broker.url, user="bob") as bob:
        bob.join("General").send_many(f"line {number:02}" for number in range(50))
    alice = Terminal(tmux, "alice", 40)
    alice.until("you are in General\n[12:00:00] bob: line 39\n", "bob: line 49\nGeneral>")
    for first, last in ((19, 38), (0, 18)):
        alice.keys("C-l")
        alice.type("/messages", "Enter")
        heading = f"* earlier: messages {first + 1} to {last + 1} of General\n"
        alice.until(f"{heading}[12:00:00] bob: line {first:02}\n", f"bob: line {last:02}\nGeneral>")
    alice.type("/messages", "Enter")
    alice.until("* this is the beginning of General\n", "General>")


def test_direct_messages_and_the_lists_at_80_and_40_columns(tmux: Tmux, broker: Broker) -> None:
    alice = Terminal(tmux, "alice", 80)
    alice.until("you are in General\n", "General>")
    bob = Terminal(tmux, "bob", 40)
    bob.until("you are in General\n", "General>")
    alice.until("* bob joined General\n", "General>", status="2 here")
    bob.keys("C-l")
    alice.keys("C-l")
    alice.type("/msg b")
    alice.keys("Tab")
    alice.until("General> /msg bob")
    alice.type("psst", "Enter")
    alice.until("alice → bob: psst\n", "General>")
    bob.until(
        "* alice wrote to you; reply with /msg\n    alice TEXT\n", "alice → bob: psst\n", "General>", status="2 here"
    )
    bob.type("/msg alice", "Enter")
    bob.until("* you are in @alice\n", "@alice>")
    bob.type("/list", "Enter")
    bob.until("Technology", "@alice>")
    bob.compare("company-40")
    alice.compare("company-80")
    for terminal in (alice, bob):
        terminal.keys("C-l")
        terminal.type("/help", "Enter")
        terminal.until("  /list ", "  Tab, Up, Ctrl-R ", ">")
        terminal.compare(f"help-{80 if terminal is alice else 40}")
    bob.type("/quit", "Enter")
    bob.until("exit code 0")
    alice.until("* bob left General\n", "General>")
    alice.keys("C-d")
    alice.until("exit code 0")


def test_a_chat_can_keep_its_typing_to_itself(tmux: Tmux, broker: Broker) -> None:
    alice, bob = Terminal(tmux, "alice", 80, "--no-typing"), Terminal(tmux, "bob", 80)
    with zchat.Client(broker.url, user="carol") as carol:
        for terminal in (alice, bob):
            terminal.until("you are in General\n", "General>")
            terminal.type("half a li")
            terminal.until("General> half a li")
        told = {"alice": False, "bob": True}
        eventually(
            lambda: {member.user: member.typing for member in carol.members("General")} == told,
            "bob's typing is reported",
        )


def test_a_burst_appears_whole_and_in_order_above_the_line_being_typed(tmux: Tmux, broker: Broker) -> None:
    alice = Terminal(tmux, "alice", 80)
    alice.until("you are in General\n", "General>")
    tmux("set-option", "-g", "history-limit", "5000")
    alice.type("undisturbed")
    alice.until("General> undisturbed")
    with zchat.Client(broker.url, user="bob") as client:
        client.join("General").send_many(f"line {number}" for number in range(1500))
    alice.until("line 1499\n", "General> undisturbed")
    shown = re.findall(r"line (\d+)$", tmux("capture-pane", "-p", "-S", "-", "-t", "alice"), re.MULTILINE)
    assert [int(number) for number in shown] == list(range(int(shown[0]), 1500))
    assert len(shown) >= 24


def test_a_line_in_the_terminals_first_row_leaves_no_copy_among_what_has_gone_by(tmux: Tmux, broker: Broker) -> None:
    alice = Terminal(tmux, "alice", 80)
    alice.until("you are in General\n", "General>")
    alice.keys("C-l")
    eventually(lambda: "you are in" not in alice.screen(), "it is cleared")
    alice.type("a draft")
    alice.until("General> a draft")
    for number in range(3):
        alice.keys("C-l")
        eventually(lambda: "number" not in alice.screen(), "it is cleared")
        say(broker, "General", f"number {number}")
        alice.until(f"number {number}\n", "General> a draft")
    everything = tmux("capture-pane", "-p", "-S", "-", "-t", "alice")
    assert everything.count("General>") == 1, everything
    assert everything.count("number 2") == 1, everything
    assert "joining>" not in everything


def test_what_is_said_without_a_broker_waits_in_sight_until_it_is_stored(tmux: Tmux, tmp_path: Path) -> None:
    with Mortal(f"sqlite:{tmp_path / 'z.db'}") as mortal:
        alice = Terminal(tmux, "alice", 80, "--connect", mortal.url)
        alice.until("you are in General\n", "General>")
        alice.type("half a li")
        alice.until("General> half a li")
        mortal.kill()
        alice.until(
            "! disconnected: ", "reconnecting\n", "General> half a li", status="offline, reconnecting | General"
        )
        alice.type("ne", "Enter")
        alice.until("\n… #General: half a line\nGeneral>", status="offline")
        for text in ("two", "three", "four"):
            alice.type(text, "Enter")
        alice.until("… #General: three\n… and 1 more waiting\nGeneral>", status="offline")
        alice.type("I type on")
        mortal.start()
        said = "".join(f"[12:00:00] alice: {text}\n" for text in ("half a line", "two", "three", "four"))
        alice.until("* reconnected\n", said, "General> I type on", status="online | General | 1 here")
        assert "…" not in alice.screen()
        alice.keys("C-u")
        alice.type("/quit", "Enter")
        alice.until("exit code 0")
    assert "Traceback" not in alice.screen()


def test_what_is_typed_for_others_without_a_broker_waits_as_all_that_is_said(tmux: Tmux, tmp_path: Path) -> None:
    with Mortal(f"sqlite:{tmp_path / 'z.db'}") as mortal:
        with zchat.Client(mortal.url, user="erin") as erin:
            erin.join("General").send("I was here")
        alice = Terminal(tmux, "alice", 80, "--connect", mortal.url)
        alice.until("you are in General\n", "I was here\n", "General>")
        mortal.kill()
        alice.until("reconnecting\n", "General>", status="offline")
        alice.type("/list", "Enter")
        alice.until("! the broker is away: /list works once it is back\n", "General>", status="offline")
        alice.type("/msg erin secret", "Enter")
        alice.type("/msg erni nonsense", "Enter")
        alice.type("for all", "Enter")
        alice.type("/join Sports", "Enter")
        alice.type("for fans", "Enter")
        alice.until(
            "… @erin: secret\n… @erni: nonsense\n… #General: for all\n… and 2 more waiting\nGeneral>", status="offline"
        )
        mortal.start()
        alice.until(
            "* reconnected\n",
            "* you are in Sports\n",
            "[12:00:00] alice → erin: secret\n"
            "! not sent: /msg erni nonsense (no user erni was seen here; did you mean erin?\n"
            "    /msg! erni writes all the same)\n",
            " alice: for all\n",  # of General, which is named once alice is in Sports
            "[12:00:00] alice: for fans\nSports>",
            status="online",
        )
        with zchat.Client(mortal.url, user="erin") as erin:
            assert [message.body for message in erin.history("@alice")] == ["secret"]
        mortal.kill()
        alice.until("Sports>", status="offline")
        alice.type("/msg erin and this", "Enter")
        alice.until("… @erin: and this\nSports>")
        alice.keys("C-d")
        alice.until("zchat: 2 messages could not be stored", "exit code 1")
        assert "! not sent: /msg erin and this (you left before the broker" in alice.screen()


def test_who_comes_back_sees_what_was_seen_dimmed_and_what_is_new_under_a_line(tmux: Tmux, broker: Broker) -> None:
    with zchat.Client(broker.url, user="bob") as bob:
        room = bob.join("General")
        room.send_many(f"line {number:02}" for number in range(30))
        with zchat.Client(broker.url, user="alice") as looker:
            looker.mark_read("General", 26)
        alice, wide = Terminal(tmux, "alice", 40, "--quiet"), Terminal(tmux, "carol", 80, "--quiet")
        end = "line 25\n--- new ---\n[12:00:00] bob: line 26\n"
        alice.until("you are in General\n[12:00:00] bob: line 19\n", end, "bob: line 29\nGeneral>")
        wide.until("you are in General\n[12:00:00] bob: line 19\n", "bob: line 29\nGeneral>")
        assert "new" not in wide.screen()
        painted = tmux("capture-pane", "-e", "-p", "-t", "alice")
        assert re.search(r"\x1b\[2m\[[\d:]{8}\] bob: line 19", painted)
        assert re.search(r"1m[^\n]*--- new ---", painted)
        assert re.search(r"\[[\d:]{8}\] \x1b\[38;5;\d+mbob\x1b\[39m: line 26", painted)
        alice.type("/join Sports", "Enter")
        alice.until("you are in Sports\n", "Sports>")
        room.send_many(f"line {number}" for number in range(30, 330))
        alice.until("\nSports>", status="new: General 300")
        assert "line 3" not in alice.screen()
        alice.type("/join General", "Enter")
        alice.until("--- the last 11 of 300 new ---\n[12:00:00] bob: line 319\n", "bob: line 329\nGeneral>")


def test_the_list_of_commands_fits_a_small_terminal(tmux: Tmux, broker: Broker) -> None:
    alice = Terminal(tmux, "alice", 40)
    alice.until("you are in General\n", "General>")
    alice.resize(40, 20)
    alice.type("/help", "Enter")
    alice.until("  /list ", "  Tab, Up, Ctrl-R ", "General>", status="online")
    shown = alice.screen()
    assert not [line for line in shown[shown.index("  /list") :].splitlines() if line.startswith("    ")]


def test_a_screen_that_was_cleared_stays_so_and_another_size_leaves_hardly_a_copy(tmux: Tmux, broker: Broker) -> None:
    alice = Terminal(tmux, "alice", 80)
    alice.until("you are in General\n", "General>")
    alice.keys("C-l")
    eventually(lambda: "you are in" not in alice.screen(), "it is cleared")
    say(broker, "General", *(f"number {number:02} of some messages" for number in range(22)))
    alice.until("number 21 of some messages\n", "General>")
    sizes = ((60, 20), (100, 24), (80, 24))
    for columns, rows in sizes:
        alice.resize(columns, rows)
        eventually(lambda: alice.screen().count("number 21") == 1, "it is drawn again")
    assert "you are in" not in alice.screen()
    alice.type("/nonsense", "Enter")
    alice.until("number 21 of some messages\n", "to send it\n", "General>")
    everything = tmux("capture-pane", "-p", "-S", "-", "-t", "alice")
    assert everything.count("of some messages") <= 22 + len(sizes), "a terminal may keep what it has to wrap"
    alice.type("/clear", "Enter")
    eventually(lambda: "number" not in alice.screen(), "it is cleared")


def test_a_url_is_copied_in_one_piece(tmux: Tmux, broker: Broker) -> None:
    alice = Terminal(tmux, "alice", 40)
    alice.until("you are in General\n", "General>")
    url = "https://example.com/a/very/long/path/that/goes/on?and=on&on=really-long"
    say(broker, "General", f"look: {url} there")
    alice.until("there\n", "General>", status="online")
    assert url in tmux("capture-pane", "-J", "-p", "-t", "alice")
    assert f"bob: look: {url[:18]}\n{url[18:58]}\n{url[58:]}\n    there\n" in alice.screen()
