"""The tree of errors: who is whose child, what each says, and how they cross the wire."""

from __future__ import annotations

import ast
import copy
import pickle
import re

import pytest

import zchat
from tests.running import ROOT
from zchat import errors
from zchat.errors import REFUSALS, GapError, Refused, ZchatError, refusal

TREE = {
    "UsageError": "ZchatError",
    "AddressError": "UsageError",
    "BadKey": "UsageError",
    "BadRules": "UsageError",
    "BadAudit": "UsageError",
    "NotLetIn": "ZchatError",
    "KeyNeeded": "NotLetIn",
    "NoKeysThere": "NotLetIn",
    "ServerKeyWrong": "NotLetIn",
    "KeyRefused": "NotLetIn",
    "ProtocolError": "ZchatError",
    "ConnectionLost": "ZchatError",
    "DeadlineExceeded": "ZchatError",
    "OutcomeUnknown": "DeadlineExceeded",
    "StoreError": "ZchatError",
    "Refused": "ZchatError",
    "HandlerFailed": "ZchatError",
    "GapError": "ZchatError",
}
ALL = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, ZchatError)]
PLAIN = [kind for kind in ALL if not issubclass(kind, (Refused, GapError))]


def name(kind: type) -> str:
    return kind.__name__


def test_everything_raised_on_purpose_is_one_tree() -> None:
    parents = {kind.__name__: kind.__bases__[0].__name__ for kind in ALL if kind is not ZchatError}
    assert parents == TREE | {kind.__name__: "Refused" for kind in REFUSALS.values()}


def test_the_tree_at_the_top_of_the_module_shows_it() -> None:
    drawn: dict[str, str] = {}
    above: list[str] = ["ZchatError"]
    for line in (errors.__doc__ or "").splitlines():
        if "── " in line:
            depth, shown = line.index("── ") // 4, line.split("── ")[1].split()[0]
            above[depth + 1 :] = [shown]
            drawn[shown] = above[depth]
    assert drawn.pop("one") == "Refused"
    assert drawn == TREE


def test_a_deadline_is_also_a_timeout_of_python() -> None:
    assert issubclass(errors.DeadlineExceeded, TimeoutError)


@pytest.mark.parametrize("kind", PLAIN, ids=name)
def test_an_error_says_what_it_was_given(kind: type[ZchatError]) -> None:
    error = kind("no broker answered at tcp://127.0.0.1:5555 within 5 s")
    assert str(error) == "no broker answered at tcp://127.0.0.1:5555 within 5 s"
    assert error.stored == 0


def test_a_gap_says_where_it_is_and_why() -> None:
    error = GapError("General", 5, 9, "trimmed")
    assert (error.room, error.after, error.upto, error.reason) == ("General", 5, 9, "trimmed")
    assert str(error) == "General: messages after 5 up to 9 are not available (trimmed)"


@pytest.mark.parametrize("kind", REFUSALS.values(), ids=name)
def test_a_refusal_says_its_text_and_carries_its_code(kind: type[Refused]) -> None:
    error = kind("try this instead")
    assert str(error) == error.text == "try this instead"
    assert REFUSALS[error.code] is kind


@pytest.mark.parametrize("code", REFUSALS)
@pytest.mark.parametrize("retryable", [True, False])
def test_an_error_reply_becomes_the_error_of_its_code_and_believes_the_broker(code: str, retryable: bool) -> None:
    error = refusal(code, "the text", retryable)
    assert type(error) is REFUSALS[code]
    assert (error.code, error.text, error.retryable) == (code, "the text", retryable)


def test_a_code_of_a_later_version_becomes_a_plain_refusal_that_keeps_it() -> None:
    error = refusal("quota_exceeded", "too much for today", True)
    assert type(error) is Refused
    assert (error.code, str(error), error.retryable) == ("quota_exceeded", "too much for today", True)
    assert Refused.code == "refused"


@pytest.mark.parametrize(
    "error",
    [GapError("General", 5, 9, "reset"), refusal("busy", "wait", True), errors.ConnectionLost("gone")],
    ids=lambda error: type(error).__name__,
)
def test_an_error_survives_copying_and_another_process(error: ZchatError) -> None:
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert vars(twin) == vars(error)


def test_a_busy_broker_may_say_when_to_try_again() -> None:
    assert errors.Busy("full").retry_after is None
    assert errors.Busy("too fast", detail=1_500).retry_after == 1.5
    again = errors.refusal("busy", "too fast", True, 250)
    assert isinstance(again, errors.Busy)
    assert again.retry_after == 0.25


@pytest.mark.parametrize("kind", [errors.Banned, errors.Muted], ids=name)
def test_a_sanction_says_until_when_and_whether_it_ends_at_all(kind: type[errors.Banned] | type[errors.Muted]) -> None:
    assert kind("spam", detail=1_767_229_200).until == 1_767_229_200.0
    assert kind("spam", detail=0).until is None
    assert kind("spam").until is None


MODULE = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


def programs() -> list[tuple[str, ast.AST]]:
    """Return the programs in Python that the pages show, and the examples, each with where it stands."""
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    found = [
        (f"{page.name}:{text.count(chr(10), 0, piece.start())}", piece[1])
        for page in pages
        for text in [page.read_text(encoding="utf-8")]
        for piece in re.finditer(r"```python\n(.*?)```", text, re.DOTALL)
    ]
    found += [(path.name, path.read_text(encoding="utf-8")) for path in (ROOT / "examples").rglob("*.py")]
    assert len(found) > 10
    return [(place, compile(text, place, "exec", MODULE)) for place, text in found]


def test_no_program_that_is_shown_catches_an_error_after_a_wider_one() -> None:
    """A page caught DeadlineExceeded before OutcomeUnknown, a kind of it: what may be stored was to be sent again."""
    for place, program in programs():
        for tried in (node for node in ast.walk(program) if isinstance(node, ast.Try)):
            caught: list[type] = []
            for handler in tried.handlers:
                nodes = list(ast.walk(handler.type)) if handler.type else []
                named = [node.attr for node in nodes if isinstance(node, ast.Attribute)]
                named += [node.id for node in nodes if isinstance(node, ast.Name)]
                kinds = [kind for name in named if isinstance(kind := getattr(zchat, name, None), type)]
                assert not [kind for kind in kinds if issubclass(kind, tuple(caught))], place
                caught += kinds
