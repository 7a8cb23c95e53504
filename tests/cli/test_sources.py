"""Where options come from: the command line, then the environment, then a file; and what is wrong with one."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from tests.cli.driver import MANUAL
from tests.running import Start, Zchat
from zchat.broker import Broker
from zchat.broker.settings import options
from zchat.cli.program import COMMANDS, program
from zchat.cli.sources import SHARED, Listed, key_of, read
from zchat.errors import UsageError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "zchat.toml"


def seen(file: Path, name: str, *arguments: str, **environment: str) -> str:
    """Return the options that a command takes, sorted, or what is wrong with them."""
    command = program.get_command(click.Context(program), name)
    assert command
    before = command.callback

    def show(**values: object) -> None:
        click.echo(" ".join(f"{key}={value}" for key, value in sorted(values.items())))

    command.callback = show
    try:
        done: Result = CliRunner().invoke(
            program, [name, "--config", str(file), *arguments], prog_name="zchat", env=environment
        )
    finally:
        command.callback = before
    if done.exit_code:
        assert done.exit_code == 2
        assert done.stdout == ""
        assert re.fullmatch(r"zchat: .*\n", done.stderr)
        return done.stderr.removeprefix("zchat: ").replace(str(file), "FILE").strip()
    assert done.stderr == ""
    return done.stdout


def option_of(seen: str, name: str) -> str:
    (value,) = re.findall(rf"\b{name}=(\(.*?\)|\S+)", seen)
    return str(value)


def test_the_command_line_comes_first_then_the_environment_then_the_file(file: Path) -> None:
    variable = {"ZCHAT_BROKER_HIGH_WATER_MARK": "3"}
    file.write_text("")
    assert option_of(seen(file, "broker"), "high_water_mark") == "10"
    file.write_text("[broker]\nhigh-water-mark = 4\n")
    assert option_of(seen(file, "broker"), "high_water_mark") == "4"
    assert option_of(seen(file, "broker", **variable), "high_water_mark") == "3"
    assert option_of(seen(file, "broker", "--high-water-mark", "2", **variable), "high_water_mark") == "2"


def test_every_setting_of_a_broker_has_a_variable_and_a_key(file: Path) -> None:
    values = {"int": ("7", "7"), "float": ("7", "7.0"), "bool": ("true", "True"), "tuple[str, ...]": ('["Ops"]', "")}
    for setting, option in options():
        text, shown = values[str(setting.type)]
        shown = shown or "('Ops',)"
        file.write_text(f"[broker]\n{option.name.lstrip('-')} = {text}\n")
        assert option_of(seen(file, "broker"), setting.name) == shown
        variable = f"ZCHAT_BROKER_{option.name.lstrip('-').upper().replace('-', '_')}"
        file.write_text("")
        assert option_of(seen(file, "broker", **{variable: text.strip('["]')}), setting.name) == shown


def test_every_option_of_every_command_has_a_variable_of_its_own() -> None:
    found: dict[object, str] = {}
    for name in COMMANDS:
        command = program.get_command(click.Context(program), name)
        assert command
        for option in command.params:
            if isinstance(option, click.Option) and option.name not in ("config", "help"):
                shared = key_of(option) in SHARED and key_of(option) != "log-level"
                assert option.envvar
                assert str(option.envvar).startswith("ZCHAT_")
                assert shared or found.setdefault(option.envvar, name) == name or name == "backup"


def test_lists_are_lists_in_a_file_and_have_commas_in_a_variable(file: Path) -> None:
    file.write_text('[broker]\nroom = ["Big Room", "Ops"]\nbind = ["tcp://127.0.0.1:1", "tcp://127.0.0.1:2"]\n')
    shown = seen(file, "broker")
    assert option_of(shown, "rooms") == "('Big Room', 'Ops')"
    assert option_of(shown, "bind") == "('tcp://127.0.0.1:1', 'tcp://127.0.0.1:2')"
    shown = seen(file, "broker", ZCHAT_BROKER_ROOM="A Room, B,", ZCHAT_BROKER_BIND="tcp://127.0.0.1:3")
    assert option_of(shown, "rooms") == "('A Room', 'B')"
    assert option_of(shown, "bind") == "('tcp://127.0.0.1:3',)"
    assert Listed().split_envvar_value("") == []


def test_what_all_commands_share_may_stand_before_the_tables(file: Path) -> None:
    file.write_text('connect = "tcp://127.0.0.1:1"\nuser = "carol"\nlog-level = "error"\n[tail]\nuser = "dave"\n')
    assert option_of(seen(file, "rooms"), "url") == "tcp://127.0.0.1:1"
    assert option_of(seen(file, "rooms"), "user") == "carol"
    assert option_of(seen(file, "tail", "General"), "user") == "dave"
    assert option_of(seen(file, "rooms", ZCHAT_USER="erin"), "user") == "erin"
    assert "user" not in seen(file, "ping")


def test_a_backup_is_of_the_brokers_store(file: Path) -> None:
    file.write_text('[broker]\nstore = "sqlite:a"\n')
    assert option_of(seen(file, "backup", "to"), "store") == "sqlite:a"
    assert option_of(seen(file, "backup", "to", ZCHAT_BROKER_STORE="sqlite:b"), "store") == "sqlite:b"
    file.write_text('[broker]\nstore = "sqlite:a"\n[backup]\nstore = "sqlite:c"\n')
    assert option_of(seen(file, "backup", "to"), "store") == "sqlite:c"


def test_the_file_of_the_program_or_of_a_variable_is_for_any_command(file: Path, zchat: Zchat, broker: Broker) -> None:
    file.write_text("[rooms]\njson = true\n")
    for arguments, environment in ((["--config", str(file)], {}), ([], {"ZCHAT_CONFIG": str(file)})):
        done = zchat(*arguments, "rooms", **environment)
        assert done.stdout.startswith('{"name": ')
    other = file.with_name("other.toml")
    other.write_text("")
    assert zchat("rooms", "--config", str(other), ZCHAT_CONFIG=str(file)).stdout.startswith("ROOM")
    assert zchat("rooms", ZCHAT_ROOMS_JSON="1").stdout.startswith('{"name": ')


@pytest.mark.parametrize(("given", "logs"), [(["--log-level", "info"], True), ([], False)])
def test_a_level_of_the_command_line_is_not_changed_by_a_file(
    file: Path, start: Start, given: list[str], logs: bool
) -> None:
    file.write_text('[broker]\nlog-level = "error"\nbind = ["tcp://127.0.0.1:*"]\nstore = "memory:"\n')
    running = start(*given, "broker", "--config", str(file), ZCHAT_LOG_LEVEL="debug")
    running.until("clients: ")
    running.process.terminate()
    assert running.end() == 0
    assert ("listening at" in running.errors) == logs


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[broker]\nhigh-watermark = 1\n", "FILE, line 2: there is no option 'high-watermark' of zchat broker; did you "
         "mean high-water-mark?"),
        ("[broker]\n\nretain_days = 1\n", "FILE, line 3: there is no option 'retain_days' of zchat broker; did you "
         "mean retain-days?"),
        ("[broker]\nxyz = 1\n", "FILE, line 2: there is no option 'xyz' of zchat broker; there are bind, store, "),
        ("[broker]\nnumber = 1\n", "FILE, line 2: there is no option 'number' of zchat broker; there are bind, "),
        ("[brokr]\n", "FILE, line 1: there is no option or command 'brokr'; did you mean broker?"),
        ('# mine\nusr = "a"\n', "FILE, line 2: there is no option or command 'usr'; did you mean user?"),
        ("broker = 1\n", "FILE, line 1: broker is a command; its options stand in a table, [broker]"),
        ("[broker]\nhigh-water-mark = true\n", "FILE, line 2: high-water-mark is a whole number, not True"),
        ("[broker]\nhigh-water-mark = 1.5\n", "FILE, line 2: high-water-mark is a whole number, not 1.5"),
        ('[broker]\nretain-days = "1"\n', "FILE, line 2: retain-days is a number, not '1'"),
        ('[broker]\nfixed-rooms = "yes"\n', "FILE, line 2: fixed-rooms is true or false, not 'yes'"),
        ("[broker]\nroom = 7\n", "FILE, line 2: room is a list of texts"),
        ("[broker]\nstore = 1\n", 'FILE, line 2: store is a text, "…", not 1'),
        ('[broker]\nkeys = "a\\u0000b"\n', "FILE, line 2: keys is without NUL characters, as on the command line, not"),
        ('[broker]\nroom = ["a\\u0000b"]\n', "FILE, line 2: room is without NUL characters"),
        ("[broker]\nhigh-water-mark = 0\n", "Invalid value for '--high-water-mark': 0 is not in the range "
         "1<=x<=10000 (from FILE, line 2)"),
        ('[broker]\nroom = ["/Ops"]\n', "choose another first character (from FILE, line 2)"),
        ("x = \n", "FILE, line 1, is not TOML: 'x =' (invalid value)"),
        (
            "[broker]\nbind = tcp://127.0.0.1:1\n",
            "FILE, line 2, is not TOML: 'bind = tcp://127.0.0.1:1' (invalid value; a text needs quotes)",
        ),
        ("[broker]\nnames = 1\nnames = 2\n", "FILE, line 3, is not TOML: 'names = 2' (cannot overwrite a value)"),
        ("[broker\n", "FILE, line 1, is not TOML: '[broker' (expected ']' at the end of a table declaration)"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_file_is_said_with_its_line(file: Path, text: str, why: str) -> None:
    file.write_text(text)
    assert why in seen(file, "broker")


def test_a_file_that_can_not_be_read_is_wrong_usage(file: Path) -> None:
    with pytest.raises(UsageError, match=r"can't be read \(No such file or directory\); name another with --config"):
        read(str(file))
    file.write_bytes(b"\xff")
    with pytest.raises(UsageError, match="is not TOML"):
        read(str(file))
    with pytest.raises(UsageError, match="can't be read"):
        read(str(file.parent))


def test_a_wrong_value_of_a_variable_is_said_with_its_name(file: Path) -> None:
    file.write_text("")
    told = seen(file, "broker", ZCHAT_BROKER_HIGH_WATER_MARK="many")
    assert "--high-water-mark" in told
    assert "(from the variable ZCHAT_BROKER_HIGH_WATER_MARK)" in told
    assert "(from" not in seen(file, "broker", "--high-water-mark", "many")


def test_variables_of_no_option_are_passed_over(file: Path) -> None:
    """Kubernetes makes some for each of its services, ZCHAT_BROKER_SERVICE_HOST for zchat-broker."""
    file.write_text("")
    assert option_of(seen(file, "broker", ZCHAT_BROKER_SERVICE_HOST="10.0.0.1"), "store") == "None"


def test_the_manual_has_an_example_that_is_taken(file: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", MANUAL, re.DOTALL)
    file.write_text(example)
    arguments = {
        "send": ["General"],
        "tail": ["General"],
        "members": ["General"],
        "backup": ["a"],
        "restore": ["a", "b"],
        "copy": ["a", "b"],
    }
    arguments["rules"] = ["a", "alice", "General"]
    for name in COMMANDS:
        assert "FILE" not in seen(file, name, *arguments.get(name, []))


def test_a_text_alone_is_a_list_of_one(file: Path) -> None:
    file.write_text('[broker]\nroom = "Ops"\nbind = "tcp://127.0.0.1:9"\n')
    assert option_of(seen(file, "broker"), "rooms") == "('Ops',)"
    assert option_of(seen(file, "broker"), "bind") == "('tcp://127.0.0.1:9',)"


def test_a_variable_that_is_misspelt_is_reported_and_those_of_kubernetes_are_not(zchat: Zchat, tmp_path: Path) -> None:
    done = zchat(
        "rooms",
        ZCHAT_ROOMS_JSN="1",
        ZCHAT_USR="bob",
        ZCHAT_TAIL_ALL="1",
        ZCHAT_ROOMS_SERVICE_PORT_CHAT="5555",
        ZCHAT_PORT="tcp://10.0.0.1:5555",
        ZCHAT_PORT_5555_TCP_ADDR="10.0.0.1",
        ZCHAT_ARCHIVE_FOLDER="of a script",
    )
    assert done.returncode == 0
    told = re.findall(r"WARNING zchat\.cli: (.*)", done.stderr)
    assert told == [
        "the variable ZCHAT_ROOMS_JSN belongs to no option; did you mean ZCHAT_ROOMS_JSON?",
        "the variable ZCHAT_USR belongs to no option; did you mean ZCHAT_USER?",
    ]


def test_a_key_for_an_option_of_one_letter_is_led_to_it(zchat: Zchat, tmp_path: Path) -> None:
    file = tmp_path / "zchat.toml"
    file.write_text("[tail]\nnumber = 5\n")
    told = zchat("tail", "General", "--config", str(file)).stderr
    assert "line 2: there is no option 'number' of zchat tail; did you mean n?" in told


def test_the_values_that_a_switch_takes_are_reported(zchat: Zchat) -> None:
    told = zchat("tail", "General", ZCHAT_TAIL_JSON="maybe").stderr
    assert "'maybe' is not a valid boolean. Recognized values: 0, 1, f, false," in told


@pytest.mark.parametrize("content", ["room = " + "[" * 1_990, "a." * 20_000 + "a = 1", "# comment\n" * 7_000])
def test_a_file_that_is_nested_too_deeply_or_too_large_is_refused_soon(
    zchat: Zchat, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "zchat.toml"
    file.write_text(content)
    done = zchat("rooms", "--config", str(file))
    assert done.returncode == 2
    assert re.fullmatch(rf"zchat: {file} is no file of options: .*\n", done.stderr)
