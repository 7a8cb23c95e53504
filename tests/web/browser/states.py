"""The states in which the page is looked at, and how it comes into each."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from tests.chromium import Page
from tests.web.browser.scripted import Scripted

Enter = Callable[..., Page]


class State(Protocol):
    """A function that brings a page into a state."""

    __name__: str

    def __call__(self, gateway: Scripted, enter: Enter, /) -> Page: ...


COUNT = "document.querySelectorAll('#rows .message').length"
LONG_NAME = "Maximiliane-Wolfeschlegelsteinhausenbergerdorff von und zu Alten"


def first_visit(gateway: Scripted, enter: Enter) -> Page:
    return enter(None)


def refused_name(gateway: Scripted, enter: Enter) -> Page:
    page = enter("nobody", inside=False)
    page.until("document.querySelector('#refused').textContent")
    return page


def empty_room(gateway: Scripted, enter: Enter) -> Page:
    return enter("alice")


def busy_room(gateway: Scripted, enter: Enter) -> Page:
    _a_day_of_talk(gateway)
    page = enter("alice")
    page.until(f"{COUNT} >= 15")
    page.until("document.querySelector('.seen')")
    gateway.event("General", "Typing", user="carol", active=True)
    page.until("document.querySelector('#typing').textContent")
    return page


def rooms_open(gateway: Scripted, enter: Enter) -> Page:
    page = busy_room(gateway, enter)
    page.click("#menu")
    return page


def people_open(gateway: Scripted, enter: Enter) -> Page:
    page = busy_room(gateway, enter)
    page.click("#people")
    return page


def direct(gateway: Scripted, enter: Enter) -> Page:
    for user, said in (("Dana Ortiz", "Have you a minute?"), ("alice", "Sure, what is it?"), ("Dana Ortiz", "🙏")):
        gateway.write("@Dana Ortiz", user, [said], time.time() - 120)
    return enter("alice", room="@Dana Ortiz")


def lost_connection(gateway: Scripted, enter: Enter) -> Page:
    page = busy_room(gateway, enter)
    gateway.stop()
    page.until("!document.querySelector('#banner').hidden")
    page.type("#text", "I write this without a connection, and it waits.")
    page.until("document.querySelector('#waiting .waits')")
    return page


def errors(gateway: Scripted, enter: Enter) -> Page:
    page = busy_room(gateway, enter)
    muted = "you are muted in 'General' until 2026-11-27 05:32:11 UTC, by bob: spam"
    gateway.refusals.append({"code": "muted", "text": muted, "until": 1_795_757_531})
    page.type("#text", "one more thing")
    page.until("document.querySelector('.failed')")
    gateway.refusals.append({"op": "lose"})
    page.type("#text", "was this stored?")
    page.until("!document.querySelector('#banner').hidden")
    gateway.keys.clear()
    page.until("document.querySelectorAll('.failed').length === 2")
    page.until("document.querySelector('#banner').hidden")
    return page


def strange(gateway: Scripted, enter: Enter) -> Page:
    for user, said in (
        (LONG_NAME, "A long name, and " + "aWordWithoutAnEnd" * 20 + " in between."),
        ("x", "https://example.org/" + "a-long-path/" * 30 + " is long too"),
        ("👩‍👩‍👧‍👦 family", "🎉"),
        ("مريم", "صباح الخير، هل نجحت الترجمة؟ (build 1815)"),
        ("שרה", "בוקר טוב! see https://example.org/a?b=c"),
        ("Zalgo", "Z̷̧͖̺̯̎̐̎͝a̴̡̛̰̗̅l̶̨̛̪͇̈́g̸̢͖͚̽̚ȏ̸̢̱̳̓ comes"),
        ("data", {"build": 1814, "state": "failed", "a very long key " * 8: [1, 2, 3]}),
        ("code", "`" + "x" * 200 + "` and\n```\n" + "y = f(x) " * 40 + "\n```"),
        ("日本語の長い名前の利用者", "改行のない長い文章です。" * 20),
        ("x", "\n".join(f"line {number}" for number in range(5))),
    ):
        gateway.write(LONG_NAME, user, [said])
        gateway.rooms[LONG_NAME.lower()].present[user] = 1
    return enter("alice", room=LONG_NAME)


def hundred_rooms(gateway: Scripted, enter: Enter) -> Page:
    for number in range(100):
        name = f"project {number:02} {'with a name that is long' if number % 7 == 0 else ''}".strip()
        gateway.write(name, "bob", [f"message {each}" for each in range(number % 5 * 30 + 1)])
        gateway.rooms[name].marks["alice"] = 1 if number % 3 else 0
    page = busy_room(gateway, enter)
    page.click("#menu")
    return page


def three_hundred_people(gateway: Scripted, enter: Enter) -> Page:
    _a_day_of_talk(gateway)
    room = gateway.rooms["general"]
    for number in range(300):
        room.present[f"user {number:03}"] = 1
        room.marks[f"user {number:03}"] = number % 17
    page = enter("alice")
    page.until("document.querySelectorAll('#memberlist li').length >= 300")
    page.click("#people")
    return page


def banned(gateway: Scripted, enter: Enter) -> Page:
    page = busy_room(gateway, enter)
    end = int(time.time()) + 90_000
    gateway.frame("alice", op="removed", room="General", code="banned", reason="spam", by="bob", until=end)
    page.until("!document.querySelector('#notice').hidden")
    return page


STATES: tuple[State, ...] = (
    first_visit,
    refused_name,
    empty_room,
    busy_room,
    rooms_open,
    people_open,
    direct,
    lost_connection,
    errors,
    strange,
    hundred_rooms,
    three_hundred_people,
    banned,
)


def _a_day_of_talk(gateway: Scripted) -> None:
    now = time.time()
    for user, ago, said in (
        ("bob", 26 * 3600, "Morning! The staging broker moved to the new machine last night."),
        ("bob", 26 * 3600 - 60, "Everything came over with its log: 4.2 million messages, no gap."),
        ("carol", 26 * 3600 - 200, "Nice. How long was it away?"),
        ("bob", 26 * 3600 - 260, "9 seconds. https://example.org/runs/4711 has the graph."),
        ("Dana Ortiz", 3 * 3600, "In the runbook now, see `make soak` and then:\n```\nzchat tail General | wc -l\n```"),
        ("carol", 3 * 3600 - 50, "👍🎉"),
        ("ci", 2 * 3600, "build 1812 is green"),
        ("ci", 2 * 3600 - 100, {"build": 1814, "state": "failed", "seconds": 412.5}),
        ("bob", 3600, "alice, that one is yours, I think: the test of the gap after `tail_lost`."),
        ("alice", 3000, "Looking. It is the clock in the fixture, not the code. Mended in ten minutes."),
        ("alice", 2900, "Pushed."),
        ("مريم", 2500, "صباح الخير، هل نجحت؟ (see build 1815)"),
        ("ci", 2400, "build 1815 is green"),
        ("bob", 600, "Lunch at twelve? The new place by the river has a table for six."),
        ("Dana Ortiz", 500, "Count me in."),
        ("bob", 400, "Great, so it’s alice, carol, Dana and me."),
    ):
        gateway.write("General", user, [said], now - ago)
    for name, count, read in (("Incidents", 130, 0), ("Releases", 12, 10), ("Water cooler", 44, 44), ("@carol", 2, 0)):
        gateway.write(name, "carol", [f"{name} {n}" for n in range(count)])
        gateway.rooms[name.lower()].marks["alice"] = read
    room = gateway.rooms["general"]
    room.marks["alice"] = 13
    for user, mark in (("bob", 16), ("carol", 15), ("Dana Ortiz", 16), ("مريم", 13), ("ci", 0)):
        room.present[user] = 1
        room.marks[user] = mark
