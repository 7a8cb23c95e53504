"""How the page looks, and that axe-core finds nothing against it, in each of its states."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.web.browser.scripted import Scripted
from tests.web.browser.states import STATES, Enter, State

VIOLATIONS = (
    "axe.run(document, {resultTypes: ['violations']}).then(found => found.violations"
    ".map(each => [each.id, each.nodes.map(node => node.html.slice(0, 120))]))"
)
SIZES = ((390, 844), (768, 1000), (1280, 800))
LOOKS = [(size, scheme) for size in SIZES for scheme in ("light", "dark")]


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_in_each_state_it_looks_as_on_the_pictures_and_axe_finds_no_violation(
    state: State, gateway: Scripted, enter: Enter, axe: str, pictures: Path
) -> None:
    """Look at a phone's size, at every other state in dark; or with ZCHAT_PICTURES at all sizes, in light and dark."""
    page = state(gateway, enter)
    name = state.__name__
    page.js(f"{axe};0")
    for (width, height), scheme in LOOKS if os.environ.get("ZCHAT_PICTURES") else [LOOKS[STATES.index(state) % 2]]:
        page.dark(scheme == "dark")
        page.size(width, height)
        page.until(f"innerWidth === {width}")
        page.js("Promise.all(document.getAnimations().map(each => each.finished))")
        page.picture(pictures / f"{name}-{width}-{scheme}.png")
        assert page.js(VIOLATIONS) == [], f"{name}-{width}-{scheme}"
        wider = "document.documentElement.scrollWidth > innerWidth"
        assert not page.js(wider), f"{name}-{width}-{scheme} is wider than the window"
