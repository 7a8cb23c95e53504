"""The commands of the chat."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from tests.cli.driver import MANUAL, bodies, masked, say
from tests.running import Zchat
from zchat.broker import Broker
from zchat.cli.chat.slash import COMMANDS, NOT_THERE
from zchat.cli.chat.syntax import ALIASES
from zchat.cli.program import program
from zchat.cli.text.safe import safe


def test_the_manual_has_every_slash_command_and_no_other() -> None:
    described = re.findall(r"^\| `(/\w+)( [^`]+)?` \|", MANUAL, re.MULTILINE)
    assert {(word, argument.strip()) for word, argument in described} == {
        (command.word, command.argument) for command in COMMANDS.values()
    }
    helped = CliRunner().invoke(program, ["client", "--help"]).output
    for each in COMMANDS.values():
        words = [each.word, *(alias for alias, word in ALIASES.items() if word == each.word)]
        usage = f"{', '.join(words)} {each.argument}".strip()
        assert re.search(rf"  {re.escape(usage)}\s", helped), each


def test_every_slash_command_works(zchat: Zchat, broker: Broker) -> None:
    say(broker, "Sports", "old one", "old two")
    typed = ["/list", "/join sports", "/messages", "/messages", "/messages 1", "mine", "/join General", "/leave"]
    typed += ["/leave", "/leave", "lost", "/messages", "/list", "/help", "/quit", "never"]
    done = zchat("client", stdin="\n".join(typed))
    assert (done.returncode, done.stderr) == (1, "zchat: 3 lines of the input failed, as reported above\n")
    lines = masked(done.stdout).splitlines()
    rooms = lines[2:7]
    assert "  > General     1 member   0 messages" in rooms
    assert "    Sports      0 members  2 messages" in rooms
    assert lines[7:20] == [
        "* you are in Sports",
        "[12:00:00] bob: old one",
        "[12:00:00] bob: old two",
        "* this is the beginning of Sports",
        "* the last message of Sports",
        "[12:00:00] bob: old two",
        "[12:00:00] alice: mine",
        "* you are in General",
        "* you left General and are now in Sports",
        "* you left Sports",
        "! you are not in a room: go to one with /join ROOM",
        "! you are not in a room: go to one with /join ROOM",
        "! you are not in a room: go to one with /join ROOM",
    ]
    listed = "\n".join(lines[24:])
    first = [command.word for command in COMMANDS.values() if not command.topic]
    assert all(re.search(rf"^  (/\w+, )?{word}\b", listed, re.MULTILINE) for word in first)
    assert bodies(broker, "General") == []


def test_wrong_commands_are_reported_and_never_sent(zchat: Zchat, broker: Broker) -> None:
    typed = ["/msg alice hi", "/msg #x hi", "/members now"]
    typed += ["/nonsense text", "/messages x", "/list x", "/ x", "x" * (2 << 20), "still here"]
    done = zchat("client", stdin="\n".join(typed))
    assert done.returncode == 1
    assert done.stderr == f"zchat: {len(typed) - 1} lines of the input failed, as reported above\n"
    lines = done.stdout.splitlines()[2:]
    assert lines[3] == "! unknown command /nonsense: see /help, or type //nonsense text to send it"
    assert all(line.startswith("! ") for line in lines[:-1])
    assert len(lines) == len(typed)
    assert bodies(broker, "General") == ["still here"]


@pytest.mark.parametrize(
    "join",
    [
        "/join",
        "/join /bad",
        "/JOIN\t/bad",
        "/msg",
        "/Msg\u00a0#bad",
        '/msg "bob psst',
        "/leave now",
        "/next",
        "/msg! #bad",
    ],
)
def test_nothing_is_said_in_another_room_than_the_one_meant(zchat: Zchat, broker: Broker, join: str) -> None:
    done = zchat("client", stdin=f"before\n{join}\nfor the other room")
    assert done.returncode == 1
    assert re.fullmatch(rf"zchat: {safe(join)}: .*; the lines after it are not sent\n", done.stderr)
    assert bodies(broker, "General") == ["before"]


def test_lines_that_end_as_in_a_file_of_windows_are_those_lines(zchat: Zchat, broker: Broker) -> None:
    typed = "\ufeff/join Sports\r\nhello\r\n\r\n/messages 1\r\n//slash\r\n/msg bob psst\r\n/quit\r\nsaid to nobody\r\n"
    done = zchat("client", stdin=typed)
    assert (done.returncode, done.stderr) == (0, "")
    assert bodies(broker, "Sports") == ["hello", "/slash"]
    assert bodies(broker, "General") == []
    assert done.stdout.count("alice → bob: psst") == 1


@pytest.mark.parametrize("blank", [" ", "\t", "\u00a0", "\u3000", " \t "])
def test_any_blank_separates_and_case_makes_no_difference(zchat: Zchat, broker: Broker, blank: str) -> None:
    typed = [f"/Join{blank}Sports", "hello", f"/MSG{blank}bob{blank}a{blank}b", f"/Messages{blank}1", f"/List{blank}"]
    done = zchat("client", stdin="\n".join([*typed, f"/QUIT{blank}", "never"]))
    assert (done.returncode, done.stderr) == (0, "")
    assert bodies(broker, "Sports") == ["hello"]
    assert bodies(broker, "General") == []


def test_words_of_other_chats_do_the_same_or_say_what_to_do_instead(zchat: Zchat, broker: Broker) -> None:
    typed = [
        "/who",
        "/NAMES",
        "/PART",
        *(f"{word} x" for word in NOT_THERE),
        "/jion x",
        "to Sports",
        "/j Movies",
        "/exit",
    ]
    done = zchat("client", "General", "Sports", stdin="\n".join(typed))
    assert done.returncode == 1
    lines = done.stdout.splitlines()[3:]
    assert lines[0] == lines[2] == "* General has 1 member"
    assert lines[4] == "* you left General and are now in Sports"
    assert lines[5:-3] == [f"! {told}" for told in NOT_THERE.values()]
    assert lines[-3] == "! unknown command /jion: did you mean /join? or type //jion x to send it"
    assert lines[-1] == "* you are in Movies"
    assert bodies(broker, "Sports") == ["to Sports"]


def test_a_reason_to_leave_is_passed_over_and_nothing_is_said_after_it(zchat: Zchat, broker: Broker) -> None:
    done = zchat("client", stdin="/quit bye now\nnever")
    assert (done.returncode, done.stderr) == (0, "")
    assert bodies(broker, "General") == []


def test_help_tells_of_one_command_what_it_does(zchat: Zchat, broker: Broker) -> None:
    done = zchat("client", stdin="/help join\n/help /HIDE\n/help jion\n")
    assert done.stdout.splitlines()[2:] == [
        "  /join, /j ROOM  go to a room",
        "  /hide ROOM  count a room",
        "! unknown command /jion: did you mean /join? or type //jion to send it",
    ]


def test_help_tells_of_one_command_what_it_does_without_the_others_in_its_line(zchat: Zchat, broker: Broker) -> None:
    done = zchat("client", stdin="/help watch\n/help unread\n/help quit\n/help help\n/help close\n")
    assert [line for line in done.stdout.splitlines()[2:] if not line.startswith("    ")] == [
        "  /watch ROOM  always show a room",
        "  /unread  show what is new",
        "  /quit, /exit  leave the chat",
        "  /help [COMMAND]  list the commands",
        "  /close [REASON]  close it to others",
    ]


def test_help_lists_what_moderators_have_by_itself(zchat: Zchat, broker: Broker) -> None:
    done = zchat("client", stdin="/help moderation\n/help ban\n/help bans\n/help mute\n")
    lines = done.stdout.splitlines()[2:]
    moderating = [command.word for command in COMMANDS.values() if command.topic]
    assert all(any(re.search(rf"^  (/\w+, )?{word}\b", line) for line in lines) for word in moderating)
    end = next(number for number, line in enumerate(lines) if line.startswith("  /ban ["))
    assert all(len(line) <= 40 for line in lines[:end]), "it fits a small terminal"
    everywhere = "--everywhere  about the broker as a whole; for operators"
    time = "TIME          30s, 10m, 1h, 2d, 1w, 1h30m; without it: for ever"
    reason = "REASON        for the user and the other moderators to see"
    assert lines[end:] == [
        "  /ban [--everywhere] USER [TIME] [REASON]  put out, keep out",
        *(f"    {line}" for line in (everywhere, time, reason)),
        "  /bans [--everywhere]  who is banned, muted",
        f"    {everywhere}",
        "  /mute USER [TIME] [REASON]  silence a user",
        *(f"    {line.replace('        ', '  ', 1)}" for line in (time, reason)),
    ]


def test_nothing_is_said_in_a_room_that_one_could_not_part_from(zchat: Zchat, broker: Broker) -> None:
    done = zchat("client", stdin="/part now\nfor the other room")
    assert "the lines after it are not sent" in done.stderr
    assert bodies(broker, "General") == []


def test_what_one_does_is_a_message_and_clearing_is_for_screens(zchat: Zchat, broker: Broker) -> None:
    done = zchat("client", stdin="/me waves\n/clear\n/show 1\t #General")
    assert done.returncode == 0
    assert masked(done.stdout).splitlines()[2:] == ["[12:00:00] * alice waves"] * 2
    assert bodies(broker, "General") == ["/me waves"]
