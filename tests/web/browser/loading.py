"""How much the page is, and how soon it shows the first message: `python -m tests.web.browser.loading --loads 20`.

A broker, a gateway and Chromium run on this machine, beside each other.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import zchat
from tests.chromium import Browser, Page
from tests.running import OWN_HOST, ROOT
from zchat.broker import Broker

MESSAGES = 200

WATCH = """
    localStorage.setItem("zchat.user", "alice");
    new MutationObserver((changes, observer) => {
      if (!document.querySelector("#rows .message")) return;
      observer.disconnect();
      requestAnimationFrame(() => setTimeout(() => { window.shown = performance.now() }));
    }).observe(document, { childList: true, subtree: true });
"""
"""Come in as alice, and note when the frame is drawn that has the first message, in ms since the load began."""

SIZES = """
    Object.fromEntries([...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
      .map((each) => [new URL(each.name).pathname.slice(1), each.encodedBodySize]))
"""


@contextmanager
def gateway(url: str, *options: str, port: int | str = "*") -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run one for as long as the `with` block, or until it is killed; give it and the page's address."""
    line = [sys.executable, "-m", "zchat", "web", "--broker", url, "--listen", f"{OWN_HOST}:{port}", "--host", OWN_HOST]
    with subprocess.Popen([*line, *(options or ["--open"])], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first.startswith("zchat web at "), first
        try:
            yield process, first.removeprefix("zchat web at ").strip()
        finally:
            process.kill()


def load(browser: Browser, address: str) -> tuple[Page, float]:
    """Open the page as one who was there before; return it and the milliseconds until it shows the first message."""
    page = browser.page(f"{address}#General", before=WATCH)
    page.until("window.shown")
    return page, float(page.js("shown"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loads", type=int, default=20, metavar="N")
    loads = parser.parse_args().loads
    program = shutil.which("chromium")
    if program is None:
        sys.exit("Chromium is not installed")
    with tempfile.TemporaryDirectory() as folder, Broker("tcp://127.0.0.1:*") as broker:
        with zchat.Client(broker.url, user="bob") as bob:
            bob.join("General").send_many(f"message {number}" for number in range(MESSAGES))
        with gateway(broker.url) as (_, address), Browser(program, Path(folder)) as browser:
            took = []
            for _ in range(loads):
                page, ms = load(browser, address)
                took.append(ms)
                sizes = page.js(SIZES)
                page.close()
    print(f"{sum(sizes.values()):,} bytes in {len(sizes)} files: {sizes}")
    print(f"first message after {statistics.median(took):.0f} ms ({min(took):.0f} to {max(took):.0f}, {loads} loads)")


if __name__ == "__main__":
    main()
