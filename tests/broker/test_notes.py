"""What the core says to whoever runs the broker."""

from __future__ import annotations

from zchat.broker.notes import MAX_NOTES, Note, Notes


def test_trouble_is_told_once_and_so_is_its_end() -> None:
    notes = Notes()
    notes.well("storing")
    assert not notes
    for _ in range(3):
        notes.trouble("storing", "the disk is full")
    notes.trouble("retention", "the disk is full")
    assert notes
    for _ in range(3):
        notes.well("storing")
    assert notes.take() == [
        Note("storing goes wrong: the disk is full", True),
        Note("retention goes wrong: the disk is full", True),
        Note("storing works again", False),
    ]
    notes.trouble("storing", "again")
    assert notes.take() == [Note("storing goes wrong: again", True)]
    assert notes.take() == []


def test_very_many_notes_are_counted() -> None:
    notes = Notes()
    for number in range(MAX_NOTES + 5):
        notes.add(f"{number}")
    taken = notes.take()
    assert len(taken) == MAX_NOTES + 1
    assert taken[-1].text == "5 more notes in the same moment"
    notes.add("fine")
    assert notes.take() == [Note("fine", False)]
