"""What the page shows of what a real gateway and a broker with keys and rules refuse: why, and until when."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest

import zchat
from tests.chromium import Browser, Page
from tests.mortal import Mortal
from tests.running import DEADLINE, eventually
from tests.web.browser.loading import gateway
from tests.web.core.test_tokens import KEY, token
from tests.web.keyed import Keyed
from zchat.broker import Broker

Come = Callable[..., Page]

INSIDE = "document.querySelector('nav [aria-current]')"
BODIES = "[...document.querySelectorAll('#rows .body')].map(each => each.textContent)"


def text(selector: str) -> str:
    return f"(document.querySelector({selector!r})?.innerText ?? '')"


def write(words: str) -> str:
    """Return what writes in the message box, without sending it."""
    box = "document.querySelector('#text')"
    return f"{box}.value = {words!r}; {box}.dispatchEvent(new Event('input'))"


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    keyed = Keyed(tmp_path_factory.mktemp("keyed"))
    with keyed.running():
        yield keyed


@pytest.fixture(scope="module")
def address(keyed: Keyed) -> Iterator[str]:
    keys = keyed.given("web")
    options = ["--open", "--key", str(keys["key"]), "--server-key", str(keyed.folder / "server" / "server.key")]
    with gateway(keyed.url, *options) as (_, address):
        yield address


@pytest.fixture
def come(chromium: Browser, address: str) -> Iterator[Come]:
    """Give a function that comes in under a name, into a room."""
    with ExitStack() as stack:

        def come(user: str, room: str = "General", inside: bool = True) -> Page:
            page = chromium.page(f"{address}#{quote(room)}")
            stack.callback(page.close)
            page.until("!document.querySelector('#door').hidden")
            page.type("#name", user)
            if inside:
                page.until(INSIDE)
            return page

        yield come


@pytest.fixture
def root(keyed: Keyed) -> Iterator[zchat.Client]:
    with zchat.Client(keyed.url, timeout=DEADLINE, **keyed.given("root")) as client:
        yield client


def test_a_kick_a_ban_and_a_mute_are_shown_with_who_why_and_until_when(come: Come, root: zchat.Client) -> None:
    page = come("eve")
    room = root.join("General")
    eventually(lambda: "eve" in {member.user for member in room.members()}, "eve is there")
    page.js(write("half written"))
    room.kick("eve", "off topic")
    page.until(f"{text('#notice span')} === 'root has put you out of General: off topic'")
    page.click("#notice button")
    page.until("document.querySelector('#notice').hidden")
    assert page.js("document.querySelector('#text').value") == "half written"
    page.js(write(""))
    room.ban("eve", 3600, "a flood")
    page.until(f"{text('#notice span')}.startsWith('root has banned you from General until ')")
    assert page.js(text("#notice span")).endswith(": a flood")
    assert page.js("document.querySelector('#compose').hidden")
    page.click("#notice button")
    page.until(f"{text('#banner')}.startsWith(\"You are banned from 'General' until \")")
    assert "by root: a flood (until " in page.js(text("#banner"))
    room.unban("eve")
    page.click("#notice button")
    page.until("document.querySelector('#notice').hidden && document.querySelector('#banner').hidden")
    room.mute("eve", 3600, "cool down")
    page.type("#text", "but")
    page.until(f"{text('.failed .note')}.includes(', by root: cool down (until ')")
    room.unmute("eve")
    page.click(".failed button")
    page.until(f"{BODIES}.includes('but')")


def test_what_is_written_faster_than_the_rate_waits_until_the_time_that_is_shown(come: Come) -> None:
    page = come("alice", "fast")
    write = "document.querySelector('#text').value = `line ${n}`; document.querySelector('#compose').requestSubmit()"
    page.js(f"for (let n = 0; n < 25; n++) {{ {write} }}")
    page.until(f"{text('#waiting')}.includes(' – sent at ') || {BODIES}.length === 25")  # if the machine is slower
    page.until(f"{BODIES}.length === 25 && document.querySelector('#waiting').children.length === 0")
    assert page.js(BODIES) == [f"line {number}" for number in range(25)]


def test_names_of_others_and_bad_ones_are_refused_at_the_door_with_the_reason(come: Come) -> None:
    page = come("root", inside=False)
    page.until(f"{text('#refused')}.startsWith('Root is an operator here, and no operator comes in through a gateway')")
    page.type("#name", "@bob")
    page.until(f"{text('#refused')}.includes('@')")
    page.type("#name", "bob")
    page.until(INSIDE)


def test_a_room_that_one_may_not_enter_says_so_and_one_stays_where_one_was(come: Come, root: zchat.Client) -> None:
    root.join("news").send("for alice alone")
    page = come("eve", "news", inside=False)
    page.until(f"{text('#banner')}.startsWith(\"You may not read what was said before in 'news'\")")
    assert page.js("document.querySelector('#compose').hidden")
    page.type("#find", "open")
    page.until(f"document.querySelector('#title').textContent === '#open' && {text('#banner')} === ''")
    page.js("document.querySelector('#find').maxLength = 100")
    page.type("#find", "x" * 65)
    page.until(f"{text('#banner')} === 'A room\\'s name has at most 64 characters, this one has 65'")
    page.type("#find", "quiet")
    page.until(f"{text('#banner')}.includes('quiet')")
    assert page.js("[document.querySelector('#title').textContent, decodeURIComponent(location.hash)]") == [
        "#open",
        "#open",
    ]
    page.type("#text", "still here")
    page.until(f"{BODIES}.at(-1) === 'still here'")


def test_a_direct_message_reaches_who_does_not_know_of_the_room_and_is_answered(come: Come) -> None:
    alice, bob = come("alice"), come("bob")
    alice.type("#find", "@bob")
    alice.until("document.querySelector('#title').textContent.endsWith('bob')")
    alice.type("#text", "psst")
    bob.until("document.querySelector('#directlist .loud')?.textContent === '1 unread'")
    assert bob.js("document.title").startswith("(1) ")
    bob.click("#directlist a")
    bob.until(f"{BODIES}.at(-1) === 'psst'")
    bob.type("#text", "yes?")
    alice.until(f"{BODIES}.at(-1) === 'yes?'")
    bob.until("!document.querySelector('#directlist .loud')")


def test_a_token_lets_in_and_is_kept_nowhere(chromium: Browser, tmp_path: Path) -> None:
    file = tmp_path / "token.key"
    file.write_bytes(KEY)
    file.chmod(0o600)
    with Broker("tcp://127.0.0.1:*") as broker, gateway(broker.url, "--token-key", str(file)) as (_, address):
        page = chromium.page(f"{address}#token={token({'sub': 'alice', 'exp': int(time.time()) + 3600})}")
        page.until(INSIDE)
        assert page.js("document.querySelector('#me').textContent") == "alice"
        assert "token" not in page.js("location.href + JSON.stringify(localStorage)")
        page.close()
        for claims, words in (({"exp": 1}, "The token has expired"), ({"sub": 7}, "The token has no sub")):
            payload = {"sub": "alice", "exp": int(time.time()) + 3600, **claims}
            page = chromium.page(f"{address}#token={token(payload)}")
            page.until(f"{text('#refused')}.startsWith({words!r})")
            page.close()


def test_a_proxys_header_lets_in_and_without_it_the_page_says_that_there_is_no_connection(chromium: Browser) -> None:
    options = ["--user-header", "X-User", "--trusted-proxy", "127.0.0.0/8"]
    with Broker("tcp://127.0.0.1:*") as broker, gateway(broker.url, *options) as (_, address):
        page = chromium.page(address)
        page.until(f"{text('#refused')} === 'No connection: trying again.'")
        page.call("Network.setExtraHTTPHeaders", headers={"X-User": "alice"})
        page.until(INSIDE)
        assert page.js("document.querySelector('#me').textContent") == "alice"
        page.close()


def test_a_message_that_a_killed_gateway_had_is_asked_about_if_the_log_does_not_have_it(
    chromium: Browser, tmp_path: Path
) -> None:
    with Mortal(f"sqlite:{tmp_path / 'log'}") as broker:
        with gateway(broker.url) as (first, address):
            page = chromium.page(f"{address}#General")
            page.until("!document.querySelector('#door').hidden")
            page.type("#name", "alice")
            page.until(INSIDE)
            page.type("#text", "stored")
            page.until(f"{BODIES}.at(-1) === 'stored'")
            broker.freeze()
            page.type("#text", "is it?")
            page.until("document.querySelector('#waiting .waits')")
            first.kill()
            broker.kill()
        page.until(f"{text('#banner')}.startsWith('No connection')")
        broker.start()
        with gateway(broker.url, port=int(address.rsplit(":", 1)[1].strip("/"))):
            page.until("document.querySelector('.failed')")
            assert "nobody knows whether this was stored" in page.js(text(".failed .note"))
            page.click(".failed button")
            page.until(f"{BODIES}.at(-1) === 'is it?'")
            assert page.js(BODIES) == ["stored", "is it?"]
            page.close()
