"""docs/protocol.md says what the code does: its tables, its limits, its exchange in bytes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.vectors.load import frame_of, value_of, vectors
from zchat import names
from zchat.broker import limits
from zchat.broker.core.core import Core
from zchat.broker.port import Cut, Sent
from zchat.broker.port import Peer as PeerAtBroker
from zchat.broker.rooms.roster import Roster
from zchat.broker.settings import Settings
from zchat.broker.store import contract, epochs, ledger
from zchat.broker.store.memory import MemoryStore
from zchat.errors import REFUSALS
from zchat.messages import GapReason
from zchat.wire import commands, notices, values
from zchat.wire import limits as wire_limits
from zchat.wire.replies import Joined, Welcome

ROOT = Path(__file__).parent.parent
CONVERSATIONS = sorted((ROOT / "tests" / "vectors" / "conversations").glob("*.json"))
DOCUMENT = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
EXCHANGE = DOCUMENT[DOCUMENT.index("<!-- exchange -->") : DOCUMENT.index("<!-- /exchange -->")]
STEPS = re.findall(r"^([^\n]+) to ([^\n,]+), `(\w+)\.json` ([\w-]+):\n\n```text\n(.*?)```$", EXCHANGE, re.M | re.S)

LIMITS = {
    "frame": wire_limits.MAX_FRAME,
    "bodies of a block, without the array's header": wire_limits.MAX_BLOCK_BYTES,
    "messages of a block": wire_limits.MAX_BLOCK_MESSAGES,
    "nesting of a body": wire_limits.MAX_DEPTH,
    "keys of a map that are neither text nor binary": wire_limits.MAX_NUMBER_KEYS,
    "arrays, maps, keys and ext values in a block's bodies": wire_limits.MAX_NESTED,
    "frame of a connection without a session": limits.STRANGER_BYTES,
    "producer, token": wire_limits.ID_BYTES,
    "name": names.MAX_CHARACTERS,
    "integer": wire_limits.MAX_INT,
    "unanswered requests of a session": limits.MAX_REQUESTS,
    "stored blocks of a producer and room that are known as duplicates": limits.MAX_REQUESTS,
    "window": wire_limits.MAX_WINDOW,
    "blocks in a push, if more than one": limits.NOTIFICATION_BYTES,
    "blocks in a page of history, if more than one": limits.HISTORY_BYTES,
    "messages in a page of history": limits.HISTORY_MESSAGES,
    "rooms in a page": limits.ROOMS_PAGE,
    "users in a page of members": limits.MEMBERS_PAGE,
    "sanctions in a page": limits.SANCTIONS_PAGE,
    "sanctions of a broker": contract.MAX_SANCTIONS,
    "sanctions of a room": contract.ROOM_SANCTIONS,
    "sanctions by one moderator": limits.USER_SANCTIONS,
    "reason of a sanction": names.MAX_REASON,
    "time of a ban or a mute that isn't for ever": wire_limits.MAX_SANCTION,
    "updates and invitations in a state frame, if more than one of each": limits.STATE_BYTES,
    "users of a room up to which names are sent, unless set otherwise": limits.NAMES,
    "what that can be set to": limits.MAX_NAMES,
    "read marks of a broker": contract.MAX_READ_MARKS,
    "time between two `typing` of a user in a room": int(wire_limits.TYPING_EVERY * 1000),
    "time for which a user counts as typing after one": int(wire_limits.TYPING_FOR * 1000),
    "time to join rooms again after a greeting": int(limits.REJOIN_SECONDS * 1000),
    "time between two updates of a room": int(limits.STATE_EVERY * 1000),
    "rooms of a session": limits.MAX_MEMBERSHIPS,
    "rooms of a broker": limits.MAX_ROOMS,
    "sessions of a broker": limits.MAX_SESSIONS,
    "silence before a ping (`ping_ms`)": int(limits.PING_AFTER * 1000),
    "silence of the broker (`lost_ms`)": int(limits.LOST_AFTER * 1000),
    "silence of a client (`expire_ms`)": int(limits.EXPIRE_AFTER * 1000),
}


def section(title: str) -> str:
    """Return what stands under a heading, up to the next one of its kind."""
    marks = title.split()[0]
    return DOCUMENT.split(f"\n{title}\n", 1)[1].split(f"\n{marks} ", 1)[0]


def tables(text: str) -> list[list[list[str]]]:
    """Return the tables of a text, each as its rows of cells, without the heading."""
    found = re.findall(r"(?:^\|.*\|\n)+", text, re.M)
    return [[[cell.strip() for cell in row.strip("|").split(" | ")] for row in t.splitlines()[2:]] for t in found]


def yes(word: str) -> bool:
    return {"yes": True, "no": False}[word]


def test_the_table_of_commands_is_the_codes() -> None:
    rows = {name: (yes(answered), yes(session)) for name, answered, session in tables(section("## Commands"))[0]}
    assert rows == {name: (spec.answered, spec.needs_session) for name, spec in commands.COMMANDS.items()}


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_a_commands_fields_are_the_codes(name: str) -> None:
    found = tables(section(f"### {name}"))
    fields = [(field, kind) for field, kind, _ in found[0]] if found else []
    spec = commands.COMMANDS[name]
    assert fields == [tuple(field) for field in spec.fields]
    left_out = [field for field, _, what in found[0] if what.startswith("may be left out")] if found else []
    assert left_out == [field.name for field in spec.fields[spec.shape.needed :]]


def test_the_bits_of_a_joins_flags_are_the_codes() -> None:
    bits = [(int(bit), int(value)) for bit, value, *_ in tables(section("### join"))[1]]
    assert bits == [(0, wire_limits.LOG), (1, wire_limits.PRESENT), (2, wire_limits.OWN)]
    assert f"may be left out: then they are {wire_limits.JOIN_FLAGS} |" in section("### join")


def test_there_is_a_section_for_each_command_and_no_other() -> None:
    assert re.findall(r"^### (\w+)$", section("## Commands"), re.M) == list(commands.COMMANDS)


def test_an_update_has_the_elements_that_the_broker_packs() -> None:
    update, entry = ([(name, kind) for name, kind, _ in table] for table in tables(section("### state")))
    assert f"`[{', '.join(name for name, _ in update)}]`:" in section("### state")
    assert f"`[{', '.join(name for name, _ in entry)}]`:" in section("### state")
    roster = Roster("General", 1)
    for user, crowd in (("alice", False), ("bob", True)):
        roster.enter(user, user, 5, 0, False)
        made = values.unpack(roster.update(0))
        assert (made[3] is None) == crowd
        assert values.Shape(*(kind for _, kind in update)).wrong(made) is None
        assert len(made) == len(update)
        if not crowd:
            assert values.Shape(*(kind for _, kind in entry)).wrong(made[3][0]) is None
            assert len(made[3][0]) == len(entry)


def test_the_welcome_has_the_elements_that_the_client_takes() -> None:
    assert [row[0] for row in tables(section("### hello"))[1]] == list(Welcome._fields)


def test_the_answer_to_a_join_has_the_elements_that_the_client_takes() -> None:
    *fields, flags = Joined._fields
    assert f'Answer: `["ok", request, {", ".join(fields)}]`, followed by the {flags}' in section("### join")


def test_what_the_broker_sends_has_the_shapes_that_the_client_checks() -> None:
    rows = tables(section("## What the broker sends"))[0]
    shapes = {word: tuple(re.findall(r": (uint or nil|uint|str|bool|array)", shape)) for word, shape in rows}
    assert shapes == {word: shape.kinds for word, shape in notices.SHAPES.items()}


def test_the_table_of_errors_is_the_codes() -> None:
    rows = {code: yes(again) for code, _, again in tables(section("## Errors"))[0]}
    assert rows == {code: kind.retryable for code, kind in REFUSALS.items()}


def test_what_follows_from_an_error_for_a_block_is_there_for_each_that_a_block_or_its_session_can_have() -> None:
    rows = tables(section("## Sending"))[1]
    codes = {code for row in rows for code in re.findall(r"`(\w+)`", row[0])} - {"detail", "end"}
    # Of a greeting, of a join, retryable in an end.
    elsewhere = {"version", "wrong_name", "limit_reached", "expired", "kicked"}
    assert codes == REFUSALS.keys() - elsewhere
    for row in rows:  # a code that isn't retryable stands in no row of those that are
        found = {REFUSALS[code].retryable for code in re.findall(r"`(\w+)`", row[0]) if code in REFUSALS}
        assert len(found) <= 1, row[0]


def test_the_reasons_of_gaps_are_the_codes() -> None:
    reasons = {value for name, value in vars(GapReason).items() if not name.startswith("_")}
    assert {row[0] for row in tables(section("### gap"))[0]} == reasons


def test_the_limits_are_the_codes() -> None:
    assert {row[0]: int(row[1]) for row in tables(section("## Limits"))[0]} == LIMITS


@pytest.mark.parametrize(
    ("sentence", "value"),
    [
        (r"(\S+) bytes at most \(1 MiB and 4,096", wire_limits.MAX_FRAME),
        (r"names of 1 to (\S+) characters", names.MAX_CHARACTERS),
        (r"A session may have (\S+) requests unanswered", limits.MAX_REQUESTS),
        (r"one array of 1 to (\S+) elements", wire_limits.MAX_BLOCK_MESSAGES),
        (r"no map has more than (\S+) keys", wire_limits.MAX_NUMBER_KEYS),
        (r"header included, have more than (\S+) bytes", wire_limits.MAX_BLOCK_BYTES + 5),
        (r"there are (\S+) arrays, maps", wire_limits.MAX_NESTED),
        (r"frame of more than (\S+) bytes", limits.STRANGER_BYTES),
        (r"nest (\S+) levels deep", wire_limits.MAX_DEPTH),
        (r"one of the last (\S+) stored", limits.MAX_REQUESTS),
        (r"its memory of (\S+) producers", contract.MAX_PRODUCERS),
        (r"remembers the last (\S+) epochs", epochs.MAX_EPOCHS),
        (r"for 1 at least and (\S+) at most", limits.ROOMS_PAGE),
        (r"taken for 1 to (\S+), as that", limits.MEMBERS_PAGE),
        (r"counts as typing for (\S+) s,", wire_limits.TYPING_FOR),
        (r"not within (\S+) s of the last", wire_limits.TYPING_EVERY),
        (r"how many at most; the broker takes it for 1 to (\S+) ", limits.SANCTIONS_PAGE),
        (r"At most (\S+) sanctions are kept", contract.MAX_SANCTIONS),
        (r"sanctions are kept, and (\S+) of a room", contract.ROOM_SANCTIONS),
        (r"of a room, and (\S+) by one moderator", limits.USER_SANCTIONS),
        (r"The last (\S+) places", limits.OPERATORS_SANCTIONS),
        (r"and the last (\S+) of a room", limits.OPERATORS_ROOM_SANCTIONS),
        (r"refused above (\S+) of their own", limits.MAKER_SANCTIONS),
        (r"and above (\S+) in all", limits.MAKERS_SANCTIONS),
        (r"keeps (\S+) read marks", contract.MAX_READ_MARKS),
        (r"from its next greeting on it has (\S+) s", limits.REJOIN_SECONDS),
        (r"sends names of \((\S+) unless", limits.NAMES),
        (r"otherwise (\S+) ms after the last", limits.STATE_EVERY * 1000),
        (r"make (\S+) state frames a second", limits.STATE_FRAMES_A_SECOND),
        (r"invitations of (\S+) KiB together", limits.STATE_BYTES / 1024),
        (r"A page has (\S+) messages at most", limits.HISTORY_MESSAGES),
        (r"`limit_reached` \((\S+) rooms a session", limits.MAX_MEMBERSHIPS),
    ],
)
def test_a_number_in_the_text_is_the_codes(sentence: str, value: float) -> None:
    assert [int(found.replace(",", "")) for found in re.findall(sentence, DOCUMENT)] == [value]


def test_an_epochs_greatest_number_and_a_producers_day_are_the_codes() -> None:
    assert ledger.MAX_EPOCH == 2**53 - 1
    assert "from 1 to 2⁵³ − 1" in DOCUMENT
    assert contract.PRODUCER_DAY == 24 * 60 * 60 * 1_000_000
    assert "a day after its last block" in DOCUMENT


def test_the_minimal_client_on_the_page_is_the_one_that_is_tested() -> None:
    (shown,) = re.findall(r"^```js\n(.*?)^```$", section("## A minimal client"), re.M | re.S)
    assert shown == (ROOT / "examples" / "node" / "minimal.mjs").read_text(encoding="utf-8")


def test_the_files_of_vectors_and_the_steps_of_conversations_are_all_on_the_page() -> None:
    files, values, steps, forms = tables(section("## Test vectors"))
    there = {path.name for path in (ROOT / "tests" / "vectors").glob("*.json")}
    assert {row[0].strip("`") for row in files} == there - {"web.json"}, "that is between pages and their gateway"
    scripts = [json.loads(path.read_text(encoding="ascii")) for path in CONVERSATIONS]
    assert {row[0].strip("`") for row in steps} == {
        kind for script in scripts for step in script["steps"] for kind in step
    }
    shown = {re.findall(r'"(\w+)"', row[0])[0] for row in (*values, *forms)}
    frames = [step.get("client", step.get("broker")) for script in scripts for step in script["steps"]]
    assert {key for frame in frames for key in keys(frame)} <= shown
    assert all(script["about"] and type(script["minimal"]) is bool for script in scripts)


def test_every_vector_says_what_it_is_for_and_the_page_has_all_of_its_keys() -> None:
    for file, _, further in tables(section("## Test vectors"))[0]:
        entries = vectors(file.strip("`").removesuffix(".json"))
        assert [entry["name"] for entry in entries if not entry.get("about")] == []
        further_keys = {key for entry in entries for key in entry} - {"name", "about", "hex", "pieces"}
        assert further_keys <= set(re.findall(r"`(\w+)`", further)), file


def keys(value: Any) -> set[str]:
    """Return the words by which a frame's values are written that JSON doesn't have."""
    if isinstance(value, list):
        return {key for each in value for key in keys(each)}
    return set(value) if isinstance(value, dict) else set()


# -- the exchange ----------------------------------------------------------------------------------


def test_the_exchange_is_all_there() -> None:
    assert len(STEPS) == EXCHANGE.count("```text") == 23
    assert {value_of(found["value"])[0] for found in map(vector, STEPS)} >= {
        "hello",
        "join",
        "send",
        "push",
        "credit",
        "state",
    }


def vector(step: tuple[str, ...]) -> dict[str, Any]:
    (found,) = (entry for entry in vectors(step[2]) if entry["name"] == step[3])
    return found


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step[3])
def test_the_exchange_in_bytes_is_the_vectors(step: tuple[str, ...]) -> None:
    shown = "".join(line.split("#")[0] for line in step[4].splitlines())
    assert bytes.fromhex(shown) == frame_of(vector(step))


class Peers:
    """Keep what the broker sends to each peer."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, bytes]] = []

    def send(self, routing_id: bytes, frame: bytes) -> int:
        self.sent.append((routing_id, frame))
        return Sent.SENT

    def cut(self, peer: PeerAtBroker, why: Cut) -> None:
        pass


def test_a_broker_says_in_the_exchange_what_the_document_says(monkeypatch: pytest.MonkeyPatch) -> None:
    ((_, _, timestamp, epoch),) = (value_of(e["value"])[1:] for e in vectors("notices") if e["name"] == "stored-two")
    monkeypatch.setattr(ledger._random, "randint", lambda low, high: epoch)
    peers = Peers()
    core = Core(peers, MemoryStore(clock=lambda: timestamp), [], Settings(), 0.0, lambda: timestamp)
    expected = []
    now = 0.0
    for step in STEPS:
        frame = frame_of(vector(step))
        if step[2] == "commands":
            now += limits.STATE_EVERY  # so that what has changed goes out with each
            core.receive(step[0].encode(), [frame], now)
            core.tick(now, True)
            core.turn(now)
        else:
            expected.append((step[1].encode(), frame))
    assert peers.sent == expected
