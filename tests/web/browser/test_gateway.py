"""The page over a real gateway and a real broker, which are killed meanwhile."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import zchat
from tests.chromium import Browser, Page
from tests.mortal import Mortal
from tests.running import DEADLINE, OWN_HOST, ROOT
from tests.web.browser.loading import SIZES, gateway, load
from zchat.broker import Broker

BODIES = "[...document.querySelectorAll('#rows .body')].map(each => each.textContent)"
SEQS = "[...document.querySelectorAll('#rows .message')].map(each => Number(each.dataset.seq))"
BANNER = "document.querySelector('#banner')"


def come_in(browser: Browser, address: str, user: str) -> Page:
    page = browser.page(f"{address}#General")
    page.until("!document.querySelector('#door').hidden")
    page.type("#name", user)
    page.until("document.querySelector('nav [aria-current]')")
    return page


def test_two_people_and_a_program_talk_on_through_the_death_of_gateway_and_broker(
    chromium: Browser, tmp_path: Path
) -> None:
    with socket.create_server((OWN_HOST, 0)) as listener:
        port = listener.getsockname()[1]
    with Mortal(f"sqlite:{tmp_path / 'log'}") as broker, zchat.Client(broker.url, user="ci") as client:
        room = client.join("General")
        room.send_many(f"build {n} is green" for n in range(100))
        with gateway(broker.url, port=port) as (first, address):
            alice, bob = come_in(chromium, address, "alice"), come_in(chromium, address, "bob")
            for page in (alice, bob):
                page.until(f"{BODIES}.at(-1) === 'build 99 is green'")
            alice.type("#text", "hello <b>bob</b>")
            bob.until(f"{BODIES}.at(-1) === 'hello <b>bob</b>'")
            alice.until("document.querySelector('.seen')?.textContent.includes('bob')")
            first.kill()
            alice.until(f"{BANNER}.textContent.startsWith('No connection')")
            alice.type("#text", "written without a gateway")
            room.send("said meanwhile")
        with gateway(broker.url, port=port):
            for page in (alice, bob):
                page.until(f"{BODIES}.includes('written without a gateway') && {BODIES}.includes('said meanwhile')")
            broker.kill()
            alice.until(f"{BANNER}.textContent.startsWith('The broker is away')")
            for number in range(3):
                alice.type("#text", f"written without a broker, {number}")
            broker.start()
            for page in (alice, bob):
                page.until(f"{BODIES}.at(-1) === 'written without a broker, 2'")
                page.until(f"{BANNER}.hidden")
                seqs = page.js(SEQS)
                assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
            room.send_many(f"fast {n}" for n in range(5_000))
            alice.until(f"{BODIES}.at(-1) === 'fast 4999'")
            written = [each.body for each in room.history(after=101, limit=5)]
            assert sorted(written[:2]) == ["said meanwhile", "written without a gateway"]
            assert written[2:] == [f"written without a broker, {number}" for number in range(3)]
            for page in (alice, bob):
                page.close()


def test_the_page_of_ones_own_that_docs_web_has_in_30_lines_talks(chromium: Browser, tmp_path: Path) -> None:
    section = (ROOT / "docs" / "web.md").read_text(encoding="utf-8").partition("## zchat.js\n")[2]
    (html,), (script,) = (re.findall(rf"```{kind}\n(.*?)```", section, re.DOTALL) for kind in ("html", "js"))
    assert len((html + script).splitlines()) <= 30
    (tmp_path / "index.html").write_text(html, encoding="utf-8")
    (tmp_path / "talk.js").write_text(script, encoding="utf-8")
    lines = "[...document.querySelectorAll('#log li')].map(each => each.textContent)"
    with Broker("tcp://127.0.0.1:*") as broker, zchat.Client(broker.url, user="bob") as client:
        room = client.join("General")
        room.send("before")
        with gateway(broker.url, "--open", "--page", str(tmp_path)) as (process, address):
            page = chromium.page(address)
            page.until(f"{lines}.includes('bob: before')")
            page.type("#text", "hello <b>bob</b>")
            page.until(f"{lines}.at(-1) === 'alice: hello <b>bob</b>'")
            room.send("since")
            page.until(f"{lines}.at(-1) === 'bob: since'")
            process.kill()
            page.until("document.querySelector('#state').textContent === 'lost'")
            page.type("#text", "later")
        with gateway(broker.url, "--open", "--page", str(tmp_path), port=int(address.rsplit(":", 1)[1].strip("/"))):
            page.until(f"{lines}.at(-1) === 'alice: later'")
            page.until("document.querySelector('#state').textContent === ''")
            page.close()


WRONG = """
import('./zchat.js').then(async ({ Client }) => {
  const client = new Client({ user: 'carol' });
  const told = [];
  client.on('error', ({ code }) => told.push(code));
  const room = await client.join('General');
  const deep = (levels) => levels ? [deep(levels - 1)] : 'x';
  const calls = [room.send(deep(65)), room.send(deep(1000)), room.send(undefined), room.send({ '\\ud83d': 1 })];
  calls.push(room.send(-1e20), room.history({ limit: 500 }), client.join('Ops', { history: 1.5 }));
  const found = await Promise.allSettled(calls);
  room.markRead(1.5);
  await room.send('aaaaaaaaa😀 rest'.slice(0, 10));
  const state = client.state;
  client.close();
  return [...found.map(({ reason }) => reason?.code), ...told, state];
})
"""


def test_what_no_gateway_takes_fails_alone_and_half_an_emoji_is_said_as_browsers_say_it(chromium: Browser) -> None:
    with Broker("tcp://127.0.0.1:*") as broker, zchat.Client(broker.url, user="bob") as client:
        room = client.join("General")
        with gateway(broker.url) as (_, address):
            page = come_in(chromium, address, "alice")
            page.js("document.querySelector('#text').value = '😀 typed'.slice(1)")
            page.js("document.querySelector('#compose').requestSubmit()")
            said = room.messages(timeout=DEADLINE)
            assert next(said).body == "\ufffd typed"
            assert page.js(WRONG) == ["malformed"] * 8 + ["open"]
            assert next(said).body == "aaaaaaaaa\ufffd"
            page.close()


SPELLED = """
import('./zchat.js').then(async ({ Client }) => {
  const client = new Client({ user: 'dora' });
  const found = [];
  for (const [one, other] of [['Straße', 'STRASSE'], ['@Straße', '@STRASSE'], ['ΛΌΓΟΣ', 'λόγοσ']]) {
    const room = await client.join(one);
    const heard = [];
    room.on('message', ({ body }) => heard.push(body));
    await room.send('before');
    const same = await client.join(other);
    await same.send('after');
    for (let turn = 0; turn < 200 && heard.length < 2; turn++) await new Promise((done) => setTimeout(done, 20));
    found.push([same === room, ...heard]);
  }
  client.close();
  return found;
})
"""


def test_a_room_that_is_joined_under_two_spellings_is_one_room_and_hears_all(chromium: Browser) -> None:
    with (
        Broker("tcp://127.0.0.1:*") as broker,
        zchat.Client(broker.url, user="Straße"),
        gateway(broker.url) as (_, address),
    ):
        page = come_in(chromium, address, "alice")
        assert page.js(SPELLED) == [[True, "before", "after"]] * 3
        page.close()


def test_the_page_is_under_15_kb_and_zchat_js_under_5_as_chromium_receives_them(chromium: Browser) -> None:
    with Broker("tcp://127.0.0.1:*") as broker, zchat.Client(broker.url, user="bob") as client:
        client.join("General").send("the first message")
        with gateway(broker.url) as (_, address):
            page, took = load(chromium, address)
            assert page.js(f"{BODIES}") == ["the first message"]
            sizes = page.js(SIZES)
            page.close()
    print(f"{sum(sizes.values())} bytes: {sizes}; first message after {took:.0f} ms")
    assert {"", "style.css", "chat.js", "zchat.js"} < set(sizes)
    assert all(sizes.values()), "each is loaded by the page"
    assert sum(sizes.values()) < 15_000
    assert sizes["zchat.js"] < 5_000
