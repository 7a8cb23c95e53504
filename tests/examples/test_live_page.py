"""The page that shows a room live, in a browser."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import zchat
from tests.chromium import Browser
from tests.running import OWN_HOST, ROOT
from zchat.broker import Broker

SHOWN = "[...document.querySelectorAll('li')].map(line => line.textContent).join()"


@contextmanager
def served(url: str, listener: socket.socket) -> Iterator[subprocess.Popen[bytes]]:
    """Serve the page at a socket that outlives the server: a browser that connects meanwhile waits for the next one."""
    descriptor = listener.fileno()
    line = [sys.executable, "-m", "uvicorn", "--app-dir", "examples", "--fd", str(descriptor), "live_page:app"]
    environment = {**os.environ, "ZCHAT_URL": url}
    with subprocess.Popen(line, cwd=ROOT, env=environment, pass_fds=[descriptor], stderr=subprocess.DEVNULL) as server:
        try:
            yield server
        finally:
            server.kill()


def faults(browser: Browser) -> str:
    """Return what the page complains of, but for the server that is gone and for what a browser asks for by itself."""
    missing = ("ERR_", "favicon")
    return "".join(text for text in map(str, browser.complaints) if not any(word in text for word in missing))


def test_a_page_shows_what_is_sent_and_goes_on_where_it_was_once_its_server_is_back(
    needs: Callable[[str], str], tmp_path: Path
) -> None:
    with (
        Broker("tcp://127.0.0.1:*") as broker,
        zchat.Client(broker.url, user="alice") as alice,
        socket.create_server((OWN_HOST, 0)) as listener,
        served(broker.url, listener) as server,  # which starts while the browser does
        Browser(needs("chromium"), tmp_path) as browser,
    ):
        general = alice.join("General")
        page = browser.page(f"http://{OWN_HOST}:{listener.getsockname()[1]}/")
        page.until("document.querySelector('ul')")
        general.send("<b>hello</b>")
        page.until(f"{SHOWN} == 'alice: <b>hello</b>'")
        server.kill()
        server.wait()
        general.send("meanwhile")
        with served(broker.url, listener):
            page.until(f"{SHOWN} == 'alice: <b>hello</b>,alice: meanwhile'")
            general.send("after")
            page.until(f"{SHOWN} == 'alice: <b>hello</b>,alice: meanwhile,alice: after'")
        assert not faults(browser), faults(browser)
        page.js("new Promise(resolve => { setTimeout(resolve, 1); throw Error('planted') }).catch(console.error)")
        assert "planted" in faults(browser), "a fault of the page would have been reported"
