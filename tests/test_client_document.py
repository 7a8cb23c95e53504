"""The page of the library: its tables have every argument, method and error, with what is true of them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable

import pytest

import zchat
from tests.running import ROOT
from zchat import errors
from zchat.broker import Broker

PAGE = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(text: str) -> dict[str, list[str]]:
    """Return the rows of tables by each word in backticks of their first cells."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\\\)\|", line)[1:-1]]
            for word in re.findall(r"`(\w+)[^`]*`", cells[0]):
                found.setdefault(word, cells)
    return found


@pytest.mark.parametrize(("title", "make"), [("`Client`", zchat.Client), ("`Broker`", Broker)])
def test_every_argument_has_a_row_with_its_default(title: str, make: Callable[..., object]) -> None:
    found = rows(section(title))
    for name, parameter in inspect.signature(make).parameters.items():
        default = parameter.default
        if parameter.kind is parameter.VAR_POSITIONAL or isinstance(default, tuple):
            assert name in found
        else:
            assert found[name][1] == f"`{default}`", name


@pytest.mark.parametrize(("title", "kind"), [("`Client`", zchat.Client), ("`Room`", zchat.Room), ("`Broker`", Broker)])
def test_every_method_has_a_row_with_its_arguments(title: str, kind: type) -> None:
    found = rows(section(title))
    for name, member in inspect.getmembers(kind):
        if name.startswith("_"):
            continue
        assert name in found, name
        if callable(member):
            for argument in inspect.signature(member).parameters:
                assert argument in ("self", "timeout") or re.search(rf"\b{argument}\b", found[name][0]), argument


def test_every_error_has_a_row_that_says_whether_trying_again_helps() -> None:
    found = rows(section("Errors"))
    kinds = [each for each in vars(errors).values() if inspect.isclass(each) and issubclass(each, errors.ZchatError)]
    for kind in kinds:
        if kind not in (errors.ZchatError, errors.Refused):
            assert kind.__name__ in found, kind
            if issubclass(kind, errors.Refused):
                assert kind.retryable == found[kind.__name__][2].startswith("yes"), kind
