"""What a moderator types, what the broker is asked for then, and what is shown of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import pytest

from tests.cli.chat.driver import Chat, half
from tests.running import DEADLINE, eventually
from zchat import Client, Room, Sanction
from zchat.broker import Broker
from zchat.cli.chat.moderation import SANCTIONS_SHOWN
from zchat.cli.chat.rooms import MeantElsewhere
from zchat.errors import Banned, Muted, NoSuchRoom, NotAllowed, NotAMember, RoomClosed, UsageError, ZchatError
from zchat.events import Removed
from zchat.transport import keys

UNTIL = datetime(2135, 6, 1, 12, 0, 30).timestamp()
END = "until 2135-06-01 12:00"
AS_A_WHOLE = "* bans from the broker as a whole: /bans --everywhere, for operators"


class Moderated:
    """A room, or with the name "" a client, whose broker does as it is asked, with the answers that it is given.

    `asked` records that.
    """

    user = "alice"

    def __init__(self, asked: list[tuple[Any, ...]], answers: list[Any], name: str = "") -> None:
        self.name = name
        self._asked = asked
        self._answers = answers

    def __getattr__(self, word: str) -> Callable[..., Any]:
        def ask(*arguments: Any, **options: Any) -> Any:
            if word == "history":
                raise NoSuchRoom("nobody has written to that user")
            if word == "rooms":
                return []
            self._asked.append((self.name, word, *arguments))
            answer = self._answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return ask


def moderator(*answers: Any) -> tuple[Chat, list[tuple[Any, ...]]]:
    """Return the chat of a moderator in Ops, who has seen bob, and what the broker is asked; `answers` are its own."""
    asked: list[tuple[Any, ...]] = []
    left = [*answers]
    chat = Chat(cast(Client, Moderated(asked, left)))
    chat.rooms.add(cast(Room, Moderated(asked, left, "Ops")))
    chat.rooms.go_on()
    chat.rooms._rooms.clear()  # or users would be looked for there
    for user in ("bob", "bob smith"):
        chat.people.saw(user)
    return chat, asked


@pytest.mark.parametrize(
    ("line", "answer", "asked", "shown"),
    [
        ("/kick bob", 1, ("Ops", "kick", "bob", ""), "* bob is out of Ops"),
        (
            "/KICK bob, spam and  more",
            2,
            ("Ops", "kick", "bob", "spam and  more"),
            "* bob is out of Ops: spam and  more",
        ),
        ("/kick bob", 0, ("Ops", "kick", "bob", ""), "* bob is not in Ops"),
        ("/ban bob", None, ("Ops", "ban", "bob", 0, ""), "* bob is banned from Ops for ever"),
        ("/ban bob spam", None, ("Ops", "ban", "bob", 0, "spam"), "* bob is banned from Ops for ever: spam"),
        ("/ban bob 1h30m", UNTIL, ("Ops", "ban", "bob", 5400, ""), f"* bob is banned from Ops {END}"),
        (
            '/ban "bob smith" 10m spam',
            UNTIL,
            ("Ops", "ban", "bob smith", 600, "spam"),
            f"* “bob smith” is banned from Ops {END}: spam",
        ),
        (
            "/ban --everywhere bob 2d spam",
            UNTIL,
            ("", "ban", "bob", 172_800, "spam"),
            f"* bob is banned from this broker {END}: spam",
        ),
        (
            "/ban bob --everywhere 1h spam",
            UNTIL,
            ("", "ban", "bob", 3600, "spam"),
            f"* bob is banned from this broker {END}: spam",
        ),
        ("/unban bob --everywhere", True, ("", "unban", "bob"), "* bob is no longer banned from this broker"),
        ("/unban bob", True, ("Ops", "unban", "bob"), "* bob is no longer banned from Ops"),
        ("/unban bob", False, ("Ops", "unban", "bob"), "* bob was not banned from Ops"),
        ("/unban --everywhere bob", True, ("", "unban", "bob"), "* bob is no longer banned from this broker"),
        ("/mute bob 10m", UNTIL, ("Ops", "mute", "bob", 600, ""), f"* bob is muted in Ops {END}"),
        ("/mute bob", None, ("Ops", "mute", "bob", 0, ""), "* bob is muted in Ops for ever"),
        ("/unmute bob", True, ("Ops", "unmute", "bob"), "* bob is no longer muted in Ops"),
        ("/unmute bob", False, ("Ops", "unmute", "bob"), "* bob was not muted in Ops"),
        (
            "/close spam",
            True,
            ("Ops", "close_room", "spam"),
            "* Ops is closed to all but owners and operators, until /open: spam",
        ),
        ("/close", False, ("Ops", "close_room", ""), "* Ops was closed already"),
        ("/open", True, ("Ops", "open_room"), "* Ops is open again"),
        ("/open", False, ("Ops", "open_room"), "* Ops was not closed"),
        ("/bans --everywhere", [], ("", "sanctions"), "* nobody is banned from this broker"),
    ],
)
def test_each_command_says_what_has_become_of_it(line: str, answer: Any, asked: tuple[Any, ...], shown: str) -> None:
    chat, heard = moderator(answer)
    assert chat.do(line)
    assert heard == [asked]
    assert chat.shown == [shown]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("/kick", "/kick requires a user: /kick USER"),
        ("/ban --everywhere", "/ban requires a user: /ban USER"),
        ("/ban bob 10", "10 is no time: write 30s, 10m, 1h, 2d or 1w, or begin the reason with a word"),
        ("/mute bob 10minutes of silence", "10minutes is no time: write"),
        ("/mute bob 0s", "0s is no time: write"),
        ("/unban bob smith", '/unban takes one user: /unban USER, or /unban "USER" if the name has spaces'),
        ("/unmute", "/unmute requires a user"),
        ("/mute --everywhere carol 1m", "/mute is about the room alone: /ban --everywhere USER"),
        ("/close --everywhere", "/close is about the room alone"),
        ("/kick bob --everywhere", "/kick is about the room alone"),
        ("/unmute --everywhere bob", "/unmute is about the room alone"),
        ("/open --everywhere", "/open is about the room alone"),
        ("/bans --all", "/bans has no option --all"),
        ("/ban bob spam 1h", "1h stands before the REASON: /ban bob 1h REASON"),
        ("/kick bob 10m", "/kick takes no TIME: /ban USER TIME keeps USER out so long"),
        ("/close for 1h", "/close takes no TIME: the room is closed until /open"),
        ("/open now", "/open takes no argument"),
        ("/bans bob", "/bans takes no argument"),
        ("/kick /x", "user name '/x' begins with /"),
    ],
)
def test_a_wrong_command_does_nothing_and_says_what_to_type(line: str, says: str) -> None:
    chat, heard = moderator()
    with pytest.raises(ZchatError) as caught:
        chat.do(line)
    assert says in str(caught.value)
    assert heard == []


def test_what_the_broker_does_not_allow_is_said_in_its_words() -> None:
    chat, _ = moderator(NotAllowed("'bob' owns 'Ops' too: ask an operator"))
    with pytest.raises(NotAllowed, match="ask an operator"):
        chat.do("/ban bob")
    assert chat.shown == []


def test_nobody_in_no_room_moderates() -> None:
    chat, heard = moderator()
    chat.rooms.go_to(None)
    for line in ("/kick bob", "/ban bob", "/close", "/open", "/bans", "/mute bob", "/unmute bob"):
        with pytest.raises(UsageError, match="you are not in a room"):
            chat.do(line)
    assert heard == []


def test_in_a_direct_room_nobody_moderates_and_what_helps_is_said() -> None:
    chat, heard = moderator()
    chat.rooms.add(cast(Room, Moderated(heard, [], "@bob smith")))
    chat.rooms.go_on()
    for line in ("/kick bob", "/ban bob", "/close", "/open", "/bans", "/mute bob", "/unmute bob", "/unban bob"):
        with pytest.raises(UsageError, match='a direct room: /ignore "bob smith" hides what “bob smith”'):
            chat.do(line)
    assert heard == []


def test_a_name_that_may_be_a_slip_is_said_to_be_one_and_how_to_undo_it() -> None:
    chat, heard = moderator(None, UNTIL, 0, None)
    chat.do("/ban bbo spam")
    assert chat.shown[1] == "! no user bbo was seen here; did you mean bob? /unban bbo undoes it"
    chat.do('/mute "zoe x" 1h')
    assert chat.shown[3] == '! no user “zoe x” was seen here; /unmute "zoe x" undoes it'
    chat.do("/kick bbo")
    assert chat.shown[5] == "! no user bbo was seen here; did you mean bob?"
    chat.do("/ban --everywhere bbo")
    assert chat.shown[7].endswith("/unban --everywhere bbo undoes it")
    assert len(heard) == 4


def test_what_is_in_force_is_listed_with_its_end_by_whom_since_when_and_why() -> None:
    at, made = "2025-01-02 03:04", datetime(2025, 1, 2, 3, 4).timestamp()
    chat, _ = moderator(
        [
            Sanction("Ops", "bob", "ban", UNTIL, "alice", made, "spam"),
            Sanction("Ops", "", "closed", None, "carol x", made, ""),
            Sanction("Ops", "bob smith", "mute", None, "alice", made, "bad\x9b"),
        ]
    )
    chat.do("/bans")
    assert chat.shown == [
        f"* Ops is closed by “carol x” at {at}",
        "* banned or muted in Ops:",
        f"  bob          banned {END}, by alice at {at}: spam\n"
        f"  “bob smith”  muted for ever, by alice at {at}: bad<U+009B>",
        AS_A_WHOLE,
    ]
    chat, _ = moderator([])
    chat.do("/bans")
    assert chat.shown == ["* nobody is banned or muted in Ops", AS_A_WHOLE]
    chat, _ = moderator([Sanction("", "bob", "ban", None, "alice", made, "")])
    chat.do("/bans --everywhere")
    assert chat.shown == ["* banned from this broker:", f"  bob  banned for ever, by alice at {at}"]


def test_of_a_long_list_the_latest_are_shown() -> None:
    many = [Sanction("Ops", f"user-{number}", "ban", None, "alice", 0.0, "") for number in range(1_234)]
    chat, _ = moderator(many)
    chat.do("/bans")
    assert chat.shown[0] == f"* banned or muted in Ops, the latest {SANCTIONS_SHOWN} of 1,234:"
    lines = chat.shown[1].splitlines()
    assert len(lines) == SANCTIONS_SHOWN
    assert lines[-1].startswith("  user-1233  banned for ever, by alice at ")


# -- on the other side -------------------------------------------------------------------------------------


KICKED = Removed("General", "spam", "bob", None, "kicked")


def test_who_is_put_out_is_shown_by_whom_and_why_and_goes_on_in_another_room(broker: Broker) -> None:
    with Client(broker.url, user="alice") as alice:
        chat = Chat(alice, ["Sports", "General"], fits=half)
        chat.do("/join General")
        chat.shown.clear()
        chat.conversation.take(KICKED)
        assert chat.shown == ["! bob has put you out of General: spam", "* you are in Sports"]
        assert chat.rooms.current_name == "Sports"
        assert chat.rooms.visited == ["Sports"]
        chat.conversation.take(Removed("Sports", "", "bob", None, "banned"))
        assert chat.shown[2:] == [
            "! bob has banned you from Sports for ever",
            "* you are in no room: go to one with /join ROOM",
        ]
        with pytest.raises(UsageError, match="you are not in a room"):
            chat.do("to nobody")
        chat.do("/join General")
        chat.do("here again")


def test_of_another_room_it_is_said_and_the_user_stays_where_it_is(broker: Broker) -> None:
    with Client(broker.url, user="alice") as alice:
        chat = Chat(alice, ["General", "Sports"], fits=half)
        chat.shown.clear()
        chat.conversation.take(Removed("Sports", "", "", None, "not_allowed"))
        chat.conversation.take(Removed("@eve", "new rules", "", None, "not_allowed"))
        assert chat.shown == ["! you are not in Sports any more", "! you are not in @eve any more: new rules"]
        assert chat.rooms.visited == ["General"]
        chat.do("still here")


@pytest.mark.parametrize("line", ["for General", "/close too much", "/ban eve 1h", "/leave", "/bans", "/me waves"])
def test_what_was_begun_in_the_room_is_neither_said_nor_done_in_the_next_one(broker: Broker, line: str) -> None:
    with Client(broker.url, user="alice") as alice:
        chat = Chat(alice, ["Sports", "General"], fits=half)
        chat.do("/join General")
        begun = chat.conversation.place
        chat.conversation.take(KICKED)
        for _ in range(3):  # as of a paste of several lines
            with pytest.raises(MeantElsewhere, match="you began it in General, and are in Sports now"):
                chat.do(line, begun)
        chat.do("/mentions", begun)
        assert chat.rooms.current_name == "Sports"
        assert alice.history("Sports") == []
        chat.do("for Sports", chat.conversation.place)
        assert [message.body for message in alice.history("Sports")] == ["for Sports"]


def test_what_was_entered_after_a_command_that_leads_to_a_room_is_said_there(broker: Broker) -> None:
    with Client(broker.url, user="alice") as alice:
        chat = Chat(alice, ["Sports", "General"], fits=half)
        chat.do("/join General")
        begun, coming = chat.conversation.place, chat.conversation.coming()
        chat.conversation.take(KICKED)
        chat.do("/join Crypto", begun, coming)
        chat.do("for Crypto", coming)
        assert [message.body for message in alice.history("Crypto")] == ["for Crypto"]
        chat.conversation.take(Removed("Crypto", "", "bob", None, "kicked"))
        with pytest.raises(MeantElsewhere, match="you began it in Crypto, and are in Sports now"):
            chat.do("for Crypto again", coming)
        here = chat.conversation.place
        chat.conversation.take(Removed("Movies", "", "bob", None, "kicked"))
        chat.do("for Sports", here)


def test_where_leave_leads_is_no_other_room_than_the_one_that_the_user_knew(broker: Broker) -> None:
    with Client(broker.url, user="alice") as alice:
        chat = Chat(alice, ["Sports", "General", "Movies"], fits=half)
        chat.do("/join Movies")
        coming = chat.conversation.coming()
        chat.conversation.take(KICKED)
        chat.do("/leave", chat.conversation.place, coming)
        assert chat.rooms.current_name == "Sports"
        with pytest.raises(MeantElsewhere):
            chat.do("for General", coming)
        coming = chat.conversation.coming()
        chat.do("/watch Crypto")
        chat.do("/leave Crypto", chat.conversation.place, coming)
        chat.do("still for Sports", coming)
        assert [message.body for message in alice.history("Sports")] == ["still for Sports"]


@pytest.mark.parametrize("taken", ["before the answer", "while it asks for the rooms"])
def test_who_is_put_out_while_a_room_is_joined_does_not_go_there(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, taken: str
) -> None:
    with Client(broker.url, user="alice") as alice:
        chat = Chat(alice, ["Sports"], fits=half)
        call = alice.join if taken == "before the answer" else alice.rooms

        def removed(*arguments: Any, **named: Any) -> Any:
            chat.conversation.take(KICKED)
            return call(*arguments, **named)

        monkeypatch.setattr(alice, call.__name__, removed)
        with pytest.raises(NotAMember, match=r"^you were put out of General at once$"):
            chat.do("/join General")
        assert chat.rooms.visited == ["Sports"]
        monkeypatch.undo()
        chat.do("/join General")
        assert chat.rooms.current_name == "General"
        call, chat = alice.join, Chat(alice, fits=half)
        monkeypatch.setattr(alice, "join", removed)
        chat.conversation.begin(["General"])
        assert chat.rooms.current is None


def test_a_script_says_nothing_in_another_room_than_the_one_that_it_was_put_out_of(broker: Broker) -> None:
    with Client(broker.url, user="alice") as alice:
        chat = Chat(alice, ["Sports", "General"])
        chat.do("/join General")
        chat.conversation.take(KICKED)
        with pytest.raises(UsageError, match="you are not in a room"):
            chat.do("for General alone")
        assert alice.history("Sports") == []


def test_two_chats_with_a_broker_in_which_one_moderates_the_other(tmp_path: Path) -> None:
    people = {user: keys.make(user) for user in ("bob", "eve")}
    server = keys.make_server(tmp_path / "keys")
    for user, key in people.items():
        keys.write_pair(tmp_path / "keys" / "users", user, key)
    with Broker("tcp://127.0.0.1:*", keys=tmp_path / "keys") as moderated:

        def connected(user: str) -> Client:
            return Client(moderated.url, key=people[user], server_key=server.public, timeout=DEADLINE)

        with Chat(connected("bob"), ["Ops"]) as bob, Chat(connected("eve"), ["General", "Ops"], fits=half) as eve:
            eve.do("/join Ops")
            bob.do("welcome")
            eventually(lambda: any(text.endswith("bob: welcome") for text in eve.shown), "eve has read it")
            bob.do("/mute eve 10m loud")
            with pytest.raises(Muted, match="loud"):
                eve.do("why?")
            bob.do("/unmute eve")
            bob.do("/close")
            with pytest.raises(RoomClosed):
                eve.do("hello?")
            bob.do("/open")
            bob.do("/ban eve spam")
            eventually(lambda: eve.rooms.is_current("General"), "eve goes on elsewhere")
            assert "! bob has banned you from Ops for ever: spam" in eve.shown
            with pytest.raises(Banned, match="spam"):
                eve.do("/join Ops")
            bob.do("eve can't read this")
            eve.do("/list")
            assert any(line.split() == ["Ops", "1", "member", "2", "messages"] for line in eve.shown[-1].splitlines())
            bob.do("/bans")
            assert any(text.startswith("  eve  banned for ever, by bob at ") for text in bob.shown)
            with pytest.raises(NotAllowed):
                eve.do("/kick bob")
            bob.do("/unban eve")
            eve.do("/join Ops")
            eve.do("back")
            eventually(lambda: any(text.endswith("eve: back") for text in bob.shown), "eve is back")
