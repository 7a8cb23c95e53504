"""The command as a whole: its help, its manual, wrong usage, and no broker."""

from __future__ import annotations

import re

import click
import pytest
from click.testing import CliRunner

from tests.cli.driver import MANUAL
from zchat.cli.program import program


@pytest.mark.parametrize("command", sorted(program.commands))
def test_every_command_teaches_by_example_and_has_its_options_in_the_manual(command: str) -> None:
    shown = CliRunner().invoke(program, [command, "--help"])
    assert shown.exit_code == 0
    assert f"Examples:\n    zchat {command}" in shown.output
    for option in program.commands[command].params:
        if isinstance(option, click.Option):
            assert any(name in MANUAL for name in option.opts), option.opts


def test_without_a_command_it_shows_its_help_and_fails() -> None:
    shown = CliRunner().invoke(program, [])
    assert shown.exit_code == 2
    assert "Examples:" in shown.output


def test_the_version_is_told() -> None:
    assert re.match(r"zchat ", CliRunner().invoke(program, ["--version"]).output)
