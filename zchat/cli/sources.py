"""Where an option's value comes from if it isn't on the command line: a variable of the environment, then a file.

The options themselves are the only list: each has a variable, `ZCHAT_COMMAND_OPTION`, and a key, its own name, in the
table of its command in a TOML file. Those of `SHARED` have one variable and one key for all commands.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from zchat.errors import UsageError
from zchat.files import read_bounded
from zchat.logs import cli_log
from zchat.paths import why

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

SHARED = ("connect", "user", "log-level", "key", "server-key")
"""The keys that may also stand before all tables of a file, for every command that has the option."""

BORROWED = {("backup", "store"): "broker"}
"""The options that, without a value of their own, have that of another command."""

OF_SERVICES = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$")
"""How a variable ends that Kubernetes makes for a service, whose name it begins with."""

NEAR = 0.7
"""How much of two keys is the same if one is taken for a slip of the other, after `difflib`."""

MOST = 64 << 10
"""Bytes of a file of options at most: with every option there are some thousand, and to read one takes no second."""

LONGEST_LINE = 2000
"""Characters of a line of it: a key of many parts takes long to read, the square of their number."""

_META = "zchat.config"
"""Where the contexts of the program and a command share the file."""


class Config(NamedTuple):
    """A file of options."""

    path: str
    text: str
    content: Mapping[str, Any]

    def place(self, table: str, key: str) -> str:
        """Return where a key is, or a table for the key "": the file, and the line if it can be found."""
        inside = ""
        for number, line in enumerate(self.text.splitlines(), 1):
            header = re.match(r"\s*\[\s*[\"']?([^\]\"']*?)[\"']?\s*\]", line)
            inside = header[1] if header else inside
            if inside == table and (
                bool(header) if not key else re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line)
            ):
                return f"{self.path}, line {number}"
        return self.path


class Listed(click.types.StringParamType):
    """Text of which a variable of the environment may hold several, with commas between them."""

    def split_envvar_value(self, rv: str) -> list[str]:
        """Return the several."""
        return [each.strip() for each in rv.split(",") if each.strip()]


class NotEmpty(click.types.StringParamType):
    """The name of a file, a folder or a store, which can't be empty: `--resume "$FILE"` is that without the variable.

    Args:
        what: "file", "folder" or "store".
    """

    def __init__(self, what: str) -> None:
        self._what = what

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the name, after a check that it has one character at least."""
        name = super().convert(value, param, ctx)
        if name == "":
            self.fail(f"the name of the {self._what} is empty", param, ctx)
        return name

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return what has the shell complete it: a file's name or a folder's, and nothing for a store."""
        from click.shell_completion import CompletionItem  # takes long to load

        kinds = {"file": "file", "folder": "dir"}
        return [CompletionItem(incomplete, type=kinds[self._what])] if self._what in kinds else []


def key_of(option: click.Option) -> str:
    """Return an option's name in a file: the longest that it has on the command line, without dashes."""
    return max(option.opts, key=len).lstrip("-")


def add_sources(command: click.Command) -> None:
    """Give each option of a command its variable, and the command the option `--config`; once."""
    if any(option.name == "config" for option in command.params):
        return
    for option in _options(command):
        if option.envvar is None:
            option.envvar = f"ZCHAT_{command.name}_{key_of(option)}".upper().replace("-", "_")
    command.params.append(_config_option(_take))
    callback = command.callback
    assert callback

    def run(**values: Any) -> Any:
        root = click.get_current_context().find_root()
        _warn_of_unknown_variables(
            command, root.command.list_commands(root) if isinstance(root.command, click.Group) else ()
        )
        return callback(**values)

    command.callback = run


def add_program_sources(program: click.Group) -> None:
    """Give the options of the program itself their variables, and the program the option `--config`."""

    def take(context: click.Context, parameter: click.Parameter, path: str | None) -> None:
        if path is not None:
            config = _read_for(context, path)
            context.default_map = _values(config, "", _options(program))

    for option in _options(program):
        option.envvar = f"ZCHAT_{key_of(option)}".upper().replace("-", "_")
    program.params.append(_config_option(take, envvar="ZCHAT_CONFIG", show_envvar=True))


def read(path: str) -> Config:
    """Return a file of options.

    Raises:
        UsageError: it can't be read, or isn't TOML.
    """
    import tomllib  # no command without such a file needs it

    text = ""
    try:
        data = read_bounded(path, MOST)
        text = data.decode().replace("\r\n", "\n").replace("\r", "\n")
        if len(data) > MOST or max(map(len, text.splitlines()), default=0) > LONGEST_LINE:
            raise UsageError(
                f"{path} is no file of options: it has {MOST >> 10} KiB at most, "
                f"and {LONGEST_LINE:,} characters in a line; name another with --config"
            )
        return Config(path, text, tomllib.loads(text))
    except RecursionError as error:
        raise UsageError(f"{path} is no file of options: its values are nested too deeply") from error
    except OSError as error:
        raise UsageError(f"{path} can't be read ({why(error, path)}); name another with --config") from error
    except ValueError as error:
        raise UsageError(_not_toml(path, text, str(error))) from error


def _not_toml(path: str, text: str, reason: str) -> str:
    """Return what is wrong with a file that isn't TOML, and in which line."""
    found = re.search(r" \(at line (\d+), column \d+\)$", reason)
    if found is None:
        return f"{path} is not TOML: {reason}"
    line = text.splitlines()[int(found[1]) - 1 :][:1]
    shown = "".join(line).strip()
    hint = "; a text needs quotes" if re.match(r"[\w-]+ *= *[^ \"'\[{\d+-]", shown) else ""
    return f"{path}, line {found[1]}, is not TOML: {shown!a} ({reason[: found.start()].lower()}{hint})"


def _warn_of_unknown_variables(command: click.Command, commands: Iterable[str]) -> None:
    """Log the variables that are named almost like one of `command`, and belong to no option or argument.

    Those of other `commands` are not checked, and those that Kubernetes makes for a service, zchat-broker for
    instance, are passed over.
    """
    known = [each.envvar for each in command.params if isinstance(each.envvar, str)]
    known += ["ZCHAT_CONFIG", *(f"ZCHAT_{name}" for name in ("URL", "USER", "LOG_LEVEL"))]
    own = f"ZCHAT_{command.name}_".upper()
    others = tuple(f"ZCHAT_{name}_".upper() for name in commands if name != command.name)
    for name in sorted(os.environ):
        if name.startswith("ZCHAT_") and not (name in known or name.startswith(others) or OF_SERVICES.search(name)):
            from difflib import get_close_matches

            near = get_close_matches(name, known, 1, 0.8)
            if near or name.startswith(own):
                hint = f"; did you mean {near[0]}?" if near else ""
                cli_log.warning("the variable %s belongs to no option%s", name, hint, event="variable", name=name)


def origin(error: click.UsageError) -> str:
    """Return where a wrong value comes from, as the end of a sentence; "" for the command line."""
    option = getattr(error, "param", None)
    if error.ctx is None or not isinstance(option, click.Option) or option.name is None:
        return ""
    source = error.ctx.get_parameter_source(option.name)
    if source is ParameterSource.ENVIRONMENT and not option.show_envvar:
        return f" (from the variable {option.envvar})"
    if source is ParameterSource.DEFAULT_MAP:
        config: Config = error.ctx.meta[_META]
        key, table = key_of(option), error.ctx.info_name or ""
        if key not in config.content.get(table, {}):
            table = BORROWED.get((table, key), "")
        return f" (from {config.place(table, key)})"
    return ""


def _config_option(callback: Any, **extra: Any) -> click.Option:
    return click.Option(
        ["--config"],
        metavar="FILE",
        type=NotEmpty("file"),
        is_eager=True,
        expose_value=False,
        callback=callback,
        help="Take options that are not given here from a TOML file.",
        **extra,
    )


def _read_for(context: click.Context, path: str) -> Config:
    """Return a file, kept for the contexts of the program and a command."""
    config = context.meta[_META] = read(path)
    root = context.find_root()
    assert isinstance(root.command, click.Group)
    _check_names(config, "", config.content, [*SHARED, *root.command.list_commands(root)], "option or command")
    return config


def _take(context: click.Context, parameter: click.Parameter, path: str | None) -> None:
    """Have a command's options default to what its table in the file says (a click callback)."""
    if path is not None:
        _read_for(context, path)
    config: Config | None = context.meta.get(_META)
    if config is None:
        return
    name, options = context.info_name or "", list(_options(context.command))
    table = config.content.get(name, {})
    if not isinstance(table, dict):
        raise UsageError(f"{config.place('', name)}: {name} is a command; its options stand in a table, [{name}]")
    _check_names(config, name, table, [key_of(option) for option in options], "option")
    context.default_map = {}
    for option in options:
        borrowed = BORROWED.get((name, key_of(option)))
        if borrowed is not None:
            context.default_map |= _values(config, borrowed, [option])
    context.default_map |= _values(config, "", [option for option in options if key_of(option) in SHARED])
    context.default_map |= _values(config, name, options)


def _options(command: click.Command) -> Iterable[click.Option]:
    for option in command.params:
        if isinstance(option, click.Option) and option.name not in ("config", "help", "version"):
            yield option


def _values(config: Config, table: str, options: Iterable[click.Option]) -> dict[str, Any]:
    """Return what a table has of some options, by the names of click's parameters."""
    found = config.content.get(table, {}) if table else config.content
    values = {}
    for option in options:
        key = key_of(option)
        if key in found:
            kind = _kind(option, found[key])
            if kind:
                raise UsageError(f"{config.place(table, key)}: {key} is {kind}, not {found[key]!r}")
            alone = option.multiple and isinstance(found[key], str)
            values[option.name or ""] = [found[key]] if alone else found[key]
    return values


def _kind(option: click.Option, value: Any) -> str:
    """Return what an option's value has to be if a value is something else."""
    if any("\0" in each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)):
        return "without NUL characters, as on the command line"
    if option.is_flag:
        return "" if isinstance(value, bool) else "true or false"
    if option.multiple:
        fits = isinstance(value, str) or (isinstance(value, list) and all(isinstance(each, str) for each in value))
        return "" if fits else 'a list of texts, ["…", "…"]'
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(option.type, click.types.IntParamType):
        return "" if number and isinstance(value, int) else "a whole number"
    if isinstance(option.type, click.types.FloatParamType):
        return "" if number else "a number"
    return "" if isinstance(value, str) else 'a text, "…"'


def _check_names(config: Config, table: str, found: Iterable[str], known: list[str], what: str) -> None:
    for key in found:
        if key not in known:
            from difflib import get_close_matches

            place = config.place(table, key)
            if place == config.path and not table:
                place = config.place(key, "")
            near = get_close_matches(key.replace("_", "-"), known, 1, NEAR)
            near = near or [each for each in known if len(each) == 1 and key.startswith(each)]  # number: n
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
            raise UsageError(f"{place}: there is no {what} {key!a}{f' of zchat {table}' if table else ''}{hint}")
