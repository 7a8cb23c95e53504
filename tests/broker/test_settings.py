"""`Settings` is the one list of a broker's options: signature, command and page are compared with it."""

from __future__ import annotations

import inspect
from dataclasses import Field
from math import nextafter
from typing import Any

import click
import pytest

from tests.running import ROOT
from zchat.broker import Broker, Settings
from zchat.broker.settings import Option, options
from zchat.cli.commands.broker import broker
from zchat.errors import BadName, UsageError

ALL = list(options())
NUMBERS = [(setting, option) for setting, option in ALL if option.unit]
PAGE = (ROOT / "docs" / "command.md").read_text(encoding="utf-8")


NO_SETTINGS = {"store", "keys", "guests", "logins", "rules", "insecure", "audit"}
"""Arguments of a broker that its core doesn't know: where it keeps the rooms, and who is let in."""


def name(value: object) -> str:
    return value.name if isinstance(value, Field) else ""


def test_a_broker_in_a_program_takes_every_setting_by_its_name_and_with_its_default() -> None:
    taken = inspect.signature(Broker).parameters.values()
    defaults = {
        each.name: each.default for each in taken if each.kind is each.KEYWORD_ONLY and each.name not in NO_SETTINGS
    }
    assert defaults == {setting.name: setting.default for setting, _ in ALL}


def test_the_command_takes_every_setting_by_its_option_and_with_its_default() -> None:
    taken = {each.name: each for each in broker.params if isinstance(each, click.Option)}
    for setting, option in ALL:
        assert taken[setting.name].opts == [option.name]
        assert taken[setting.name].default == setting.default


@pytest.mark.parametrize(("setting", "option"), NUMBERS, ids=name)
def test_a_number_out_of_its_range_is_refused_with_the_range(setting: Field[Any], option: Option) -> None:
    make: Any = Settings
    least, most = option.least, option.most
    for value in (least, most):
        assert getattr(make(**{setting.name: value}), setting.name) == value
    for beyond in (least - 1, most + 1, nextafter(least, -1), nextafter(most, 1e18), float("nan")):
        with pytest.raises(UsageError) as caught:
            make(**{setting.name: beyond})
        assert str(caught.value) == f"{setting.name} is {least} to {most:,} {option.unit}, not {beyond}"


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"high_water_mark": 0}, UsageError),
        ({"high_water_mark": 10_001}, UsageError),
        ({"retain_messages": -1}, UsageError),
        ({"retain_days": -0.5}, UsageError),
        ({"retain_days": float("nan")}, UsageError),
        ({"retain_days": float("inf")}, UsageError),
        ({"max_message": 0}, UsageError),
        ({"max_message": (1 << 20) + 1}, UsageError),
        ({"names": -1}, UsageError),
        ({"names": 1_001}, UsageError),
        ({"rooms": (), "fixed_rooms": True}, UsageError),
        ({"rooms": ("#no",)}, BadName),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        Settings(**wrong)  # type: ignore[arg-type]


def row(setting: Field[Any], option: Option) -> str:
    """Return the row that the page of the command has for a setting."""
    values = []
    if option.unit:
        values.append(f"{option.least} to {option.most:,}" + (f" (0: {option.zero})" if option.zero else ""))
    if option.metavar:
        default = setting.default
        values.append(f"default {', '.join(default) if isinstance(default, tuple) else f'{default:,}'}")
    meaning = option.help[0].lower() + option.help[1:].removesuffix(".")
    return f"| `{f'{option.name} {option.metavar}'.rstrip()}` | {meaning} | {'; '.join(values)} |"


@pytest.mark.parametrize(("setting", "option"), ALL, ids=name)
def test_the_manual_has_a_row_for_each(setting: Field[Any], option: Option) -> None:
    assert row(setting, option) in PAGE.splitlines(), "docs/command.md, the table of zchat broker"
