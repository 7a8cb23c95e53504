"""What the core reports to the operator."""

from __future__ import annotations

from tests.broker.driver import Peer, World
from zchat.broker.figures.log_lines import MAX_LINES, RECOVERED_AFTER, LogLine, LogLines
from zchat.broker.limits import FAILED_NOTED_EVERY


def test_trouble_is_reported_once_and_so_is_its_end() -> None:
    notes = LogLines()
    notes.well("storing")
    assert not notes.kept
    for _ in range(3):
        notes.trouble("storing", "the disk is full")
    notes.trouble("retention", "the disk is full")
    assert notes.kept
    for _ in range(3):
        notes.well("storing")
        notes.tick(1.0)
    notes.tick(1.0 + RECOVERED_AFTER)
    assert notes.take() == [
        LogLine(
            "storing fails: the disk is full",
            True,
            {"event": "trouble", "what": "storing", "reason": "the disk is full"},
        ),
        LogLine(
            "retention fails: the disk is full",
            True,
            {"event": "trouble", "what": "retention", "reason": "the disk is full"},
        ),
        LogLine("storing has recovered", False, {"event": "well", "what": "storing"}),
    ]
    notes.trouble("storing", "again")
    assert [note.text for note in notes.take()] == ["storing fails: again"]
    assert notes.take() == []


def test_a_disk_that_takes_one_message_and_not_the_next_is_one_trouble_until_it_takes_all_for_a_while() -> None:
    notes = LogLines()
    for second in range(0, 60, 2):
        notes.trouble("storing", "the disk is full")
        notes.tick(second)
        notes.well("storing")
        notes.tick(second + 1)
    assert [note.text for note in notes.take()] == ["storing fails: the disk is full"]
    assert "storing" in notes.troubles
    for second in range(60, 80):
        notes.well("storing")
        notes.tick(second)
    assert [note.text for note in notes.take()] == ["storing has recovered"]
    assert not notes.troubles


def test_a_damaged_store_has_not_recovered_because_another_page_can_be_read() -> None:
    notes = LogLines()
    notes.trouble("reading history", "malformed", damaged=True)
    for second in range(100):
        notes.well("reading history")
        notes.tick(second)
    assert [note.text for note in notes.take()] == ["reading history fails: malformed"]
    assert notes.damaged


def test_very_many_notes_are_counted() -> None:
    notes = LogLines()
    for number in range(MAX_LINES + 5):
        notes.add("counted", f"{number}", room="", count=number)
    taken = notes.take()
    assert len(taken) == MAX_LINES + 1
    assert taken[0] == LogLine("0", False, {"event": "counted", "count": 0}), "without what is empty"
    assert taken[-1] == LogLine(
        "5 more lines at the same moment were not logged", False, {"event": "passed_over", "count": 5}
    )
    notes.add("well", "fine")
    assert notes.take() == [LogLine("fine", False, {"event": "well"})]


def failures(world: World) -> list[dict[str, str | int]]:
    """Return the fields of the notes about what couldn't be sent, and forget all notes."""
    return [note.fields for note in world.core.log_lines.take() if note.fields["event"] == "send_failed"]


def test_a_notification_that_finds_its_reader_gone_is_reported_with_room_user_and_reason() -> None:
    world = World()
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    for peer in (alice, bob):
        peer.join("General")
    world.port.gone.add(bob.id)
    alice.send("General", "hi")
    (note,) = world.core.log_lines.take()
    assert note.text == "sending to 'bob' in 'General' failed: peer gone"
    assert not note.grave, "clients come and go"
    assert note.fields == {
        "event": "send_failed",
        "room": "General",
        "user": "bob",
        "reason": "peer gone",
        "count": 1,
    }
    alice.send("General", "hi")
    assert failures(world) == [], "nothing more is sent there"


def test_what_cant_be_sent_to_a_session_is_reported_once_a_second_with_how_often_it_happened() -> None:
    world = World()
    alice, bob, carol = (Peer(world, name) for name in ("alice", "bob", "carol"))
    for peer in (alice, bob, carol):
        peer.join("General")
    world.port.full |= {bob.id, carol.id}
    alice.send("General", "hi")
    told = failures(world)
    assert [(each["user"], each["reason"], each["count"]) for each in told] == [
        ("bob", "full pipe", 1),
        ("carol", "full pipe", 1),
    ]
    before = world.core.counters.retried
    bob.ask("rooms", None, 1)
    world.pass_time(FAILED_NOTED_EVERY / 2, 0.01)
    world.core.log_lines.take()
    world.pass_time(FAILED_NOTED_EVERY / 4, 0.01)
    assert failures(world) == []
    world.pass_time(FAILED_NOTED_EVERY, 0.01)
    (told_of_bob,) = (each for each in failures(world) if each["user"] == "bob")
    assert int(told_of_bob["count"]) > 10
    assert "room" not in told_of_bob, "it was an answer"
    world.port.full.clear()
    world.pass_time(FAILED_NOTED_EVERY, 0.01)
    world.core.log_lines.take()
    assert world.core.counters.retried > before
    world.pass_time(FAILED_NOTED_EVERY, 0.01)
    assert failures(world) == [], "what works is not told"


def test_what_was_not_reported_of_a_session_is_reported_at_its_end() -> None:
    world = World()
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    for peer in (alice, bob):
        peer.join("General")
    world.port.full.add(bob.id)
    alice.send("General", "hi")
    bob.ask("rooms", None, 1)
    world.pass_time(FAILED_NOTED_EVERY / 2, 0.01)
    world.port.full.clear()
    world.pass_time(0.2, 0.01)
    world.core.log_lines.take()
    missed = world.core.counters.retried - 1
    bob.do("bye")
    (told,) = failures(world)
    assert (told["user"], told["count"]) == ("bob", missed)
