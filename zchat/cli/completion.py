"""Completion in shells: of names that only the broker knows, inserted whole and as names alone."""

from __future__ import annotations

import logging
import os
import re
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    add_completion_class,
    split_arg_string,
)

from zchat.cli.options import addresses, given_keys
from zchat.cli.text.phrases import room_named
from zchat.errors import ZchatError
from zchat.names import DIRECT, fold
from zchat.threads import RealThread, start

if TYPE_CHECKING:
    from collections.abc import Callable

    from zchat import Client

SECONDS = 1.0
"""Seconds after which completion gives up asking the broker: as long as somebody who has pressed Tab waits."""

USER = "zchat completion"
"""The user that asks for rooms if the one who types has given neither a name nor a key."""

ROOMS = 20
"""Rooms whose members are asked for when a user is completed."""

UNSAFE = {'"': '"\\$`!', "'": "'"}
"""What does more in quotation marks than stand for itself, in a name that others have chosen."""


def complete_rooms(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the rooms that begin with what was typed; after an `@` the users (click's shell_complete)."""
    url, user, keys = context.params.get("url"), context.params.get("user"), given_keys(context)
    if url is None:  # what was given is no address: another broker's names are no answer
        return []
    if user is None and not keys["key"]:  # a key says whose it is
        user = USER
    typed = room_named(incomplete)
    before = incomplete.removesuffix(typed)
    opening = partial(_client, url, user, keys)
    found = _within(SECONDS, lambda: _users(opening) if typed.startswith(DIRECT) else _rooms(opening))
    names = [name for name in found if fold(name).startswith(fold(typed))]
    if len(names) > 1:
        names = [_as_typed(name, typed) for name in names]
    return [CompletionItem(before + name) for name in names]


def _as_typed(name: str, typed: str) -> str:
    """Return one of several names, as they are found whatever their case, so that it begins with what is typed.

    bash and zsh put what all of them begin with in its place: that would be less than what was typed.
    """
    return typed + name[len(typed) :] if fold(name[: len(typed)]) == fold(typed) else name


def _client(url: str, user: str | None, keys: dict[str, Any]) -> Client:
    from zchat import Client  # takes long to load

    return Client(addresses(url), user=user, timeout=SECONDS, invitations=False, **keys)


def _rooms(opening: Callable[[], Client]) -> list[str]:
    with opening() as client:
        return [room.name for room in client.rooms(timeout=SECONDS)]


def _users(opening: Callable[[], Client]) -> list[str]:
    with opening() as client:
        rooms = client.rooms(timeout=SECONDS)
        users = {room.name for room in rooms if room.name.startswith(DIRECT)}
        open_rooms = sorted((room for room in rooms if room.name not in users), key=lambda room: -room.members)
        for room in open_rooms[:ROOMS]:
            if room.members:
                users |= {DIRECT + member.user for member in client.members(room.name, timeout=SECONDS)}
    return sorted(users - {f"{DIRECT}{client.user}"})


def _within(seconds: float, ask: Callable[[], list[str]]) -> list[str]:
    """Return what a call returns, nothing if it fails or takes longer; its thread is left to itself then."""
    answers: SimpleQueue[list[str]] = SimpleQueue()

    def run() -> None:
        with suppress(Exception):  # a completion can report nothing
            answers.put(ask())
        answers.put([])

    with suppress(Empty, ZchatError):  # without a thread to ask in nothing is completed
        start(RealThread(run, "zchat-completion"))
        return answers.get(timeout=seconds)
    return []


class SafeBashComplete(BashComplete):
    """Completion in bash, which inserts what it is given as it is.

    A name is quoted, because everybody who can make a room chooses what is inserted into the command line. What is
    typed is taken from the line itself: bash divides words at a colon, for instance, and completes the part after it.
    """

    source_template = """\
%(complete_func)s() {
    local IFS=$'\\n' reply
    COMPREPLY=()
    while IFS= read -r reply; do
        case $reply in
            plain,*) COMPREPLY+=("${reply#plain,}") ;;
            file,*) compopt -o default ;;
            dir,*) compopt -o dirnames ;;
        esac
    done < <(env COMP_TYPED="${COMP_LINE:0:COMP_POINT}" COMP_PART="$2" %(complete_var)s=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def source(self) -> str:
        """Return the function for the shell, which works in bash 4.4 and later."""
        return self.source_template % self.source_vars()

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one that is completed, and that one."""
        typed = os.environ.get("COMP_TYPED")
        if typed is None:  # a function of zchat 0.1.0, in a file or in a shell that has been open since then
            return super().get_completion_args()
        words = split_arg_string(typed)
        if _is_within_word(typed):
            return words[1:-1], words[-1] if words else ""
        return words[1:], ""

    def format_completion(self, item: CompletionItem) -> str:
        """Return an item as the function of the shell reads it."""
        typed, part, value = os.environ.get("COMP_TYPED"), os.environ.get("COMP_PART", ""), str(item.value)
        word = _for_bash(value, part if typed is None else typed, part)
        return "none," if word is None or (typed is None and word != value) else f"{item.type},{word}"


class WholeFishComplete(FishComplete):
    """Completion in fish that inserts names with commas whole: click's function takes what stands before the second."""

    source_template = """\
function %(complete_func)s
    for reply in (env COMP_WHOLE=1 COMP_WORDS=(commandline -cp) COMP_CWORD=(commandline -t) \
%(complete_var)s=fish_complete %(prog_name)s)
        set -l found (string split --max 1 "," -- $reply)
        switch $found[1]
            case plain
                echo -- $found[2]
            case file
                __fish_complete_path $found[2]
            case dir
                __fish_complete_directories $found[2]
        end
    end
end
complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""

    def format_completion(self, item: CompletionItem) -> str:
        """Return an item as the function of the shell reads it."""
        whole = "," not in str(item.value) or "COMP_WHOLE" in os.environ
        return super().format_completion(item) if whole else "none,"  # a function of before, in a file for instance


def _for_bash(value: str, typed: str, part: str) -> str | None:
    """Return what bash is to insert for a word in the place of `part`, the end of it; None if that can't be done."""
    quote, start = _open_quote(typed)
    if quote:
        whole = typed[start - 1].isspace() and not set(value) & set(UNSAFE[quote])
        return value if whole else None
    last = re.search(r"(?:[^\s\\]|\\.)*$", typed) if _is_within_word(typed) else None
    before = last[0].removesuffix(part) if last else ""
    quoted = re.sub(r"([^\w@%+=:,./-])", r"\\\1", value)
    return quoted[len(before) :] if fold(quoted).startswith(fold(before)) else None


def _is_within_word(typed: str) -> bool:
    """Return whether what is typed ends in a word, or in nothing: a blank that is quoted or escaped ends none."""
    before = typed[:-1]
    escaped = (len(before) - len(before.rstrip("\\"))) % 2 == 1
    return not typed[-1:].isspace() or escaped or _open_quote(typed)[0] != ""


def _open_quote(typed: str) -> tuple[str, int]:
    """Return the quotation mark that is open at the end of what is typed, "" if none is, and where it stands."""
    quote, start, escaped = "", 0, False
    for index, character in enumerate(typed):
        if escaped:
            escaped = False
        elif character == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote, start = character, index
    return quote, start


def install() -> None:
    """Have click use what is here, and no log disturb what is on the screen."""
    logging.disable()
    for each in (SafeBashComplete, WholeFishComplete):
        add_completion_class(each)
