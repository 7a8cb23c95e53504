"""The page, in Chromium: what people see, write and are asked."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable

import pytest

from tests.chromium import Browser, Page
from tests.web.browser.scripted import Scripted

Enter = Callable[..., Page]

INSIDE = "document.querySelector('nav [aria-current]')"
BODIES = "[...document.querySelectorAll('#rows .body')].map(each => each.textContent)"
SEQS = "[...document.querySelectorAll('#rows .message')].map(each => Number(each.dataset.seq))"
COUNT = "document.querySelectorAll('#rows .message').length"


def text(selector: str) -> str:
    return f"(document.querySelector({selector!r})?.innerText ?? '')"


def last(words: str) -> str:
    return f"{BODIES}.at(-1) === {words!r}"


def badge(room: str) -> str:
    """Return the expression for the count of unread messages of a room in the list."""
    entry = f"[...document.querySelectorAll('nav li')].find(each => each.querySelector('bdi').textContent === {room!r})"
    return f"({entry}?.querySelector('.count')?.firstChild.textContent ?? '')"


def test_two_people_talk_and_see_who_types_and_who_has_read(gateway: Scripted, enter: Enter) -> None:
    gateway.write("General", "carol", ["good morning", "who is there?"])
    alice, bob = enter("alice"), enter("bob")
    alice.until(f"{text('#memberlist')}.includes('bob')")
    alice.type("#text", "he", enter=False)
    bob.until(f"{text('#typing')} === 'alice is typing …'")
    alice.type("#text", "llo bob")
    bob.until(last("hello bob"))
    bob.until(f"{text('#typing')} === ''")
    assert bob.js("document.querySelector('#rows .message:last-child').classList.contains('mention')")
    alice.until(f"{text('.seen')}.includes('Seen by bob')")
    bob.type("#text", "hello\nalice")
    alice.until(last("hello\nalice"))
    assert alice.js(BODIES) == ["good morning", "who is there?", "hello bob", "hello\nalice"]


def test_messages_are_grouped_by_person_and_day(gateway: Scripted, enter: Enter) -> None:
    now = time.time()
    for user, ago in (("bob", 90_000), ("bob", 89_990), ("carol", 89_980), ("bob", 20), ("bob", 10), ("carol", 0)):
        gateway.write("General", user, [f"{ago} s ago"], now - ago)
    page = enter("alice")
    page.until(f"{COUNT} === 6")
    alone = "[...document.querySelectorAll('#rows .message')].map(each => each.classList.contains('alone'))"
    assert page.js(alone) == [True, False, True, True, False, True]
    days = page.js("[...document.querySelectorAll('.day')].map(each => each.textContent)")
    assert days[-1] == "Today"
    assert len(days) == 2


def test_what_is_said_and_names_stay_text(gateway: Scripted, enter: Enter) -> None:
    said = [
        "<img src=x onerror=document.title='x'> <script>alert(1)</script>",
        "see https://example.org/a_(b), javascript:alert(1) data:text/html,x http://[not http:// and ftp://x.example",
        "\u202egnp.exe \u2066x \x1b[31m http://a.example/\u202egpj.exe",
        "`<b>` and\n```\n<i>\n```",
    ]
    gateway.write("General", "<b>eve</b>", said)
    gateway.write("<i>room</i>", "\u202eeve", [{"html": "<b>"}])
    page = enter("alice")
    page.until(f"{COUNT} === 4")
    page.until(f"{text('#roomlist')}.includes('<i>room</i>')")
    assert page.js("document.querySelectorAll('#rows :is(img, script, i, b b)').length") == 0
    assert page.js(f"{BODIES}[0]") == said[0]
    links = page.js("[...document.querySelectorAll('#rows a')].map(each => [each.getAttribute('href'), each.rel])")
    assert links == [
        ["https://example.org/a_(b)", "noopener nofollow noreferrer"],
        ["http://a.example/", "noopener nofollow noreferrer"],
    ]
    assert page.js(f"{BODIES}[2]") == "\ufffdgnp.exe \ufffdx \ufffd[31m http://a.example/\ufffdgpj.exe"
    assert page.js("[...document.querySelectorAll('#rows :is(code, pre)')].map(e => e.textContent)") == ["<b>", "<i>"]
    page.click("#roomlist a")
    page.until(f'{BODIES}[0] === \'{{\\n "html": "<b>"\\n}}\'')


def test_older_messages_come_as_one_scrolls_up_and_the_place_is_kept(gateway: Scripted, enter: Enter) -> None:
    gateway.write("General", "bob", (f"number {n}" for n in range(1, 2001)))
    page = enter("alice")
    page.until(f"{COUNT} === 50")
    top = "document.querySelector('#log').getBoundingClientRect().top"
    for _ in range(12):
        first = page.js(f"{SEQS}[0]")
        page.js("document.querySelector('#log').scrollTop = 100")
        place = f"document.querySelector('[data-seq=\"{first}\"]').getBoundingClientRect().top - {top}"
        before = page.js(place)
        page.until(f"{SEQS}[0] < {first}")
        assert abs(page.js(place) - before) < 30  # the head that it had alone may be gone
    seqs = page.js(SEQS)
    assert len(seqs) == 500
    assert seqs == list(range(seqs[0], seqs[0] + 500))
    gateway.write("General", "bob", ["meanwhile"])
    page.until(f"{text('#newest')}.includes('1 new')")
    assert page.js(f"{SEQS}.at(-1)") < 2000
    for _ in range(30):
        page.js("document.querySelector('#log').scrollTop = 1e9")
        if page.js(last("meanwhile")):
            break
        time.sleep(0.05)
    page.until(last("meanwhile"))
    seqs = page.js(SEQS)
    assert seqs == list(range(seqs[0], 2002))
    page.until("document.querySelector('#newest').hidden")


def test_the_newest_message_stays_in_sight_when_the_window_gets_another_size(gateway: Scripted, enter: Enter) -> None:
    gateway.write("General", "bob", (f"number {n}, with words that take a second line on a phone" for n in range(50)))
    page = enter("alice")
    page.until(f"{COUNT} === 50")
    for width, height in ((390, 844), (390, 400), (768, 1000), (1280, 800)):
        page.size(width, height)
        page.until(f"innerWidth === {width} && innerHeight === {height}")
        page.js("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        below = "document.querySelector('#rows').lastChild.getBoundingClientRect().bottom"
        page.until(f"{below} <= document.querySelector('#foot').getBoundingClientRect().top")
        page.until("document.querySelector('#newest').hidden")


def test_a_room_that_is_not_shown_counts_what_is_unread_until_it_is(gateway: Scripted, enter: Enter) -> None:
    gateway.write("General", "bob", ["one"])
    gateway.write("Ops", "bob", [f"unread {n}" for n in range(120)])
    gateway.rooms["ops"].marks["alice"] = 118
    page = enter("alice")
    page.until(f"{badge('Ops')} === '2'")
    page.js("[...document.querySelectorAll('#roomlist a')].at(-1).click()")
    page.until(last("unread 119"))
    assert page.js("document.querySelector('.new').nextSibling.dataset.seq") == "119"
    page.until(f"{badge('Ops')} === ''")
    gateway.write("General", "bob", ["two", "alice, three"])
    page.until(f"{badge('General')} === '2'")
    assert page.js("document.title") == "(2) Ops – zchat"
    page.js("document.querySelector('#roomlist a').click()")
    page.until(last("alice, three"))
    page.until(f"{badge('General')} === ''")
    assert gateway.rooms["general"].marks["alice"] == 3


def test_what_is_written_while_the_gateway_is_gone_waits_and_is_stored_once_in_order(
    gateway: Scripted, enter: Enter
) -> None:
    alice, bob = enter("alice"), enter("bob")
    gateway.stop()
    alice.until(f"{text('#banner')}.includes('No connection')")
    for words in ("one", "two", "three"):
        alice.type("#text", words)
    alice.until("document.querySelectorAll('#waiting .waits').length === 3")
    assert "What you write is sent once it is back" in alice.js(text("#banner"))
    gateway.write("General", "carol", ["meanwhile"])
    gateway.start()
    for page in (alice, bob):
        page.until(f"{COUNT} === 4")
        assert page.js(BODIES) == ["meanwhile", "one", "two", "three"]
        assert page.js(text("#banner")) == ""
    assert alice.js("document.querySelector('#waiting').children.length") == 0


def test_whatever_cuts_connections_each_message_is_stored_once_and_in_order_or_asked_about(
    gateway: Scripted, enter: Enter
) -> None:
    """Cut CUTS=4 times, by the SEED that is printed; most sessions are known again, some are forgotten."""
    seed = int(os.environ.get("SEED") or time.time_ns() % 1_000_000)
    print(f"SEED={seed}")
    chance = random.Random(seed)
    page = enter("alice")
    written = 0
    for _ in range(int(os.environ.get("CUTS") or 4)):
        for _ in range(chance.randrange(1, 6)):
            page.type("#text", f"words {written}")
            written += 1
        forget = chance.random() < 0.3
        if chance.random() < 0.5:
            gateway.refusals.append({"op": "drop" if forget else "lose"})
            continue
        gateway.stop(forget=forget)
        page.type("#text", f"words {written}")
        written += 1
        gateway.start()
    page.until("[...document.querySelectorAll('#waiting > *')].every(each => each.classList.contains('failed'))")
    asked = page.js("[...document.querySelectorAll('.failed')].map(each => each.dataset.text)")
    stored = [row[3] for row in gateway.log("General")]
    assert sorted(stored, key=lambda words: int(words.split()[1])) == stored
    assert len(set(stored)) == len(stored)
    assert set(stored) | set(asked) == {f"words {number}" for number in range(written)}
    assert not set(stored) & set(asked)
    page.until(f"{BODIES}.length === {len(stored)}")
    assert page.js(BODIES) == stored


def test_a_message_that_its_gateway_took_to_the_grave_is_found_or_asked_about(gateway: Scripted, enter: Enter) -> None:
    page = enter("alice")
    gateway.refusals.append({"op": "drop"})  # stored, and the gateway is gone
    page.type("#text", "stored")
    page.until(last("stored"))
    page.until("document.querySelector('#waiting').children.length === 0")
    gateway.refusals.append({"op": "lose"})  # not stored
    page.type("#text", "lost")
    page.until("window.performance && document.querySelector('#banner').hidden === false")
    gateway.keys.clear()
    page.until("document.querySelector('.failed')")
    assert "nobody knows whether this was stored" in page.js(text(".failed"))
    assert len(gateway.log("General")) == 1
    page.click(".failed button")
    page.until(last("lost"))
    assert [row[3] for row in gateway.log("General")] == ["stored", "lost"]


def test_a_mute_a_rate_and_a_failure_are_shown_with_their_reasons(gateway: Scripted, enter: Enter) -> None:
    page = enter("alice")
    muted = "you are muted in 'General' until 2026-11-27 05:32:11 UTC, by bob: spam"
    gateway.refusals.append({"code": "muted", "text": muted, "until": 1_795_757_531})
    page.type("#text", "muted")
    page.until("document.querySelector('.failed')")
    shown = page.js("document.querySelector('.failed .note').firstChild.textContent")
    assert re.fullmatch(
        r"You are muted in 'General' until .* UTC, by bob: spam \(until .*\d\d:\d\d( [AP]M)? by your clock\)", shown
    )
    gateway.refusals.append({"code": "too_fast", "text": "too many messages", "retryable": True, "after": 300})
    page.type("#text", "fast")
    page.type("#text", "faster")
    page.until(f"{text('#waiting')}.includes('too many messages')")
    page.until(last("faster"))
    assert [row[3] for row in gateway.log("General")] == ["fast", "faster"]
    page.js("[...document.querySelectorAll('.failed button')].at(-1).click()")
    page.until("document.querySelector('#waiting').children.length === 0")


@pytest.mark.parametrize(
    ("code", "until", "words"),
    [
        ("kicked", None, "bob has put you out of General: spam"),
        ("banned", 3600, "bob has banned you from General until "),
    ],
)
def test_a_kick_and_a_ban_are_shown_with_reason_and_time(
    gateway: Scripted, enter: Enter, code: str, until: int | None, words: str
) -> None:
    page = enter("alice")
    end = None if until is None else int(time.time()) + until
    gateway.frame("alice", op="removed", room="General", code=code, reason="spam", by="bob", until=end)
    page.until(f"{text('#notice span')}.startsWith({words!r})")
    assert page.js(text("#notice span")).endswith("spam")
    assert page.js("document.querySelector('#compose').hidden")
    page.click("#notice button")
    page.until("!document.querySelector('#compose').hidden")
    page.type("#text", "back")
    page.until(last("back"))


def test_a_direct_message_is_shown_and_answered(gateway: Scripted, enter: Enter) -> None:
    gateway.write("@bob", "bob", ["psst"])
    gateway.rooms.clear()
    page = enter("alice")
    gateway.write("@bob", "bob", ["psst"])
    gateway.frame("alice", op="invited", room="@bob", user="bob")
    page.until(f"{badge('bob')} === '1'")
    page.js("document.querySelector('#directlist a').click()")
    page.until(last("psst"))
    page.type("#text", "yes?")
    page.until(last("yes?"))
    gateway.event("@bob", "MemberJoined", user="bob")
    page.type("#find", "@carol")
    page.until("document.querySelector('#title').textContent.endsWith('carol')")


def test_a_part_of_a_name_finds_the_room_and_another_name_starts_one(gateway: Scripted, enter: Enter) -> None:
    for name in ("Incidents", "inc", "Old incidents"):
        gateway.write(name, "bob", ["hello"])
    page = enter("alice")
    for words, title in (("incid", "#Incidents"), ("#INC", "#inc"), ("incid e", "#incid e"), ("@bo", "bo")):
        page.type("#find", words)
        page.until(f"document.querySelector('#title bdi').textContent === {title.removeprefix('#')!r}")
        assert page.js("document.querySelector('#find').value") == ""
    page.js("history.back()")
    page.until("document.querySelector('#title').textContent === '#incid e'")
    page.js("location.hash = '#100%'")  # no address of a room
    page.js("location.hash = '#Old%20incidents'")
    page.until("document.querySelector('#title').textContent === '#Old incidents'")


def test_a_draft_stays_in_its_room(gateway: Scripted, enter: Enter) -> None:
    gateway.write("Ops", "bob", ["hello"])
    page = enter("alice")
    page.type("#text", "for General", enter=False)
    page.key("ArrowDown", 40, modifiers=1)
    page.until("document.querySelector('#title').textContent === '#Ops'")
    assert page.js("document.querySelector('#text').value") == ""
    page.key("ArrowUp", 38, modifiers=1)
    page.until("document.querySelector('#text').value === 'for General'")


def test_keys_lead_past_rooms_that_are_not_drawn_yet(gateway: Scripted, enter: Enter) -> None:
    for name in ("Ops", "Überraschung 100%", "Zoo"):
        gateway.write(name, "bob", ["hello"])
    page = enter("alice")
    page.until("document.querySelectorAll('nav li a').length === 4")
    pressed = "dispatchEvent(new KeyboardEvent('keydown', {key: 'Arrow', altKey: true}));"
    down, up = (pressed.replace("Arrow", f"Arrow{way}") for way in ("Down", "Up"))
    page.js(4 * down + up)
    page.until("document.querySelector('#title').textContent === '#Überraschung 100%'")
    page.js(up + up)
    page.until("document.querySelector('#title').textContent === '#General'")


def test_a_mention_is_notified_once_one_has_asked_for_it(gateway: Scripted, enter: Enter) -> None:
    gateway.write("Ops", "bob", ["hello"])
    page = enter("guest-1 (x")
    page.js(
        "window.Notification = class { constructor(...args) { (window.shown ??= []).push(args) } "
        "static permission = 'default'; "
        "static async requestPermission() { return Notification.permission = 'granted' } }"
    )
    page.js("document.querySelectorAll('#roomlist a')[1].click()")
    page.until("document.querySelector('#title').textContent === '#Ops'")
    gateway.write("General", "bob", ["guest-1 (x: before"])
    page.until(f"{badge('General')} === '1'")
    page.click("#bell")
    page.until("document.querySelector('#bell').ariaPressed === 'true'")
    gateway.write("General", "bob", ["aguest-1 (x is another", "over to GUEST-1 (X!"])
    page.until("window.shown")
    assert page.js("shown.map(([title, { body }]) => [title, body])") == [["bob in General", "over to GUEST-1 (X!"]]


def test_twenty_thousand_messages_at_once_are_drawn_once_a_frame_and_500_are_kept(
    gateway: Scripted, enter: Enter
) -> None:
    page = enter("alice")
    begun = time.monotonic()
    gateway.write("General", "bob", (f"fast {n}" for n in range(20_000)))
    page.until(last("fast 19999"))
    print(f"20,000 messages in {time.monotonic() - begun:.2f} s")
    assert page.js(COUNT) == 500
    assert page.js("document.querySelector('#log').scrollTop") > 1_000
    assert page.js(SEQS) == list(range(19_501, 20_001))


def test_names_that_are_not_let_in_are_told_why_and_one_can_try_another(gateway: Scripted, enter: Enter) -> None:
    page = enter("nobody", inside=False)
    page.until(f"{text('#refused')} === \"'nobody' is not let in\"")
    page.type("#name", "alice")
    page.until(INSIDE)
    page.type("#text", "somebody")
    page.until(last("somebody"))


def test_a_token_that_has_expired_meanwhile_is_named_and_what_was_written_then_is_not_lost_from_sight(
    gateway: Scripted, chromium: Browser
) -> None:
    page = chromium.page(f"{gateway.url}#token=alice")
    page.until(INSIDE)
    gateway.closed = "the token has expired"
    gateway.frame("alice", op="bye", text="the token has expired", retry=0)
    gateway.stop()
    page.type("#text", "too late")
    gateway.start()
    page.until(f"{text('#banner')} === 'The token has expired'")
    page.until(f"{text('.failed')}.includes('too late')")
    page.close()


def test_a_page_that_finds_no_gateway_says_so_and_comes_in_once_there_is_one(
    gateway: Scripted, chromium: Browser
) -> None:
    page = chromium.page(gateway.url)
    page.until("!document.querySelector('#door').hidden")
    gateway.stop()
    page.type("#name", "alice")
    page.until(f"{text('#refused')} === 'No connection: trying again.'")
    gateway.start()
    page.until(INSIDE)
    page.close()


def test_the_keyboard_reaches_everything(gateway: Scripted, enter: Enter) -> None:
    gateway.write("Ops", "bob", ["hello"])
    page = enter("alice", width=390)
    page.js("document.activeElement.blur()")
    page.key("Tab", 9)
    assert page.js("document.activeElement.hash") == "#text"
    page.key("Enter", 13, text="\r")
    assert page.js("document.activeElement.id") == "text"
    assert page.js("location.hash") == "#General", "that is a room's"
    page.key("k", 75, modifiers=2)
    assert page.js("document.activeElement.id") == "find"
    page.until("getComputedStyle(document.querySelector('#rooms')).display !== 'none'")
    page.key("Escape", 27)
    assert page.js("document.activeElement.id") == "menu"
    page.click("#people")
    page.until("document.querySelector('#people').getAttribute('aria-expanded') === 'true'")
