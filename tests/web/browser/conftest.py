from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.chromium import Browser, Page
from tests.running import ROOT
from tests.web.browser.scripted import Scripted

Enter = Callable[..., Page]

INSIDE = "document.querySelector('nav [aria-current]')"


@pytest.fixture(scope="session")
def chromium(needs: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Give the browser that all tests share; each page has a context of its own."""
    with Browser(needs("chromium"), tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def gateway() -> Iterator[Scripted]:
    with Scripted() as gateway:
        yield gateway


@pytest.fixture
def enter(chromium: Browser, gateway: Scripted) -> Iterator[Enter]:
    """Give a function that opens a page and comes in under a name, and check afterwards what the console says."""
    chromium.complaints.clear()
    pages: list[Page] = []

    def open_page(user: str | None, room: str = "General", width: int = 1280, inside: bool = True) -> Page:
        page = chromium.page(f"{gateway.url}#{quote(room)}", width)
        pages.append(page)
        page.until("!document.querySelector('#door').hidden")
        if user is None:
            return page
        page.type("#name", user)
        if inside:
            page.until(INSIDE)
        return page

    yield open_page
    for page in pages:
        page.close()
    lost = ("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_INTERNET_DISCONNECTED", "WebSocket connection to")
    assert [each for each in map(str, chromium.complaints) if not any(word in each for word in lost)] == []


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Give the folder for screenshots: ZCHAT_PICTURES, if they are to be kept."""
    folder = Path(os.environ.get("ZCHAT_PICTURES") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def axe() -> str:
    """Give the source of axe-core, once its package is there."""
    path = ROOT / "tests" / "web" / "node_modules" / "axe-core" / "axe.min.js"
    if not path.exists():
        reason = "tests/web has no packages: make test-browser installs them"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path.read_text(encoding="utf-8")
