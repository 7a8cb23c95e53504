"""A broker's folder of keys: its own pair, and the users that it lets in, which may change at any time."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeAlias

from zchat import paths
from zchat.checks import shown
from zchat.errors import BadKey
from zchat.names import fold, is_same
from zchat.transport.keys import (
    HIDDEN,
    PUBLIC,
    SECRET,
    SERVER,
    USERS,
    Key,
    check_folders,
    named_by,
    read,
    read_public,
    read_secret,
)

_Stamp: TypeAlias = tuple[int, int, int]


class Users(NamedTuple):
    """The users of a broker, as its folder has them at one moment."""

    names: Mapping[str, str]
    """The users' names by public keys."""
    gateways: frozenset[str]
    """The public keys that are gateways'."""
    files: Mapping[str, str]
    """The names of the files by public keys."""
    troubles: tuple[str, ...]
    """What is wrong, a sentence a file; these files count as they did when they were last right."""
    notes: tuple[str, ...] = ()
    """What is to be noticed, a sentence a file: it lets in nobody, another than its name says, or more than one."""


class KeyFolder:
    """A broker's folder of keys, which is read again and again. One thread at a time.

    Raises:
        BadKey: the broker's own pair can't be used, or others may write to the folder.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.path = Path(folder)
        try:
            self.server = read_secret(self.path / f"{SERVER}{SECRET}")
        except BadKey as error:
            if not isinstance(error.__cause__, FileNotFoundError) or paths.leads_nowhere(self.path):
                raise
            raise BadKey(
                f"{shown(str(self.path))} has no {SERVER}{SECRET}: "
                f"make one with zchat keygen --server {shlex.quote(str(self.path))}"
            ) from error
        check_folders(self.path)
        self._known: dict[str, tuple[_Stamp, Key]] = {}  # by file names: as they were when they were last right
        self._wrong: dict[str, tuple[_Stamp, str]] = {}

    def secrets(self) -> list[str]:
        """Return the names of files among the users' that hold a secret half, which nobody but its owner may have.

        Raises:
            OSError: the folder can't be read.
        """
        found = []
        for path in sorted((self.path / USERS).iterdir()):
            if path.suffix in (PUBLIC, SECRET):
                with suppress(BadKey):
                    found += [path.name] if read(path).secret else []
        return found

    def read(self) -> Users:
        """Return the users that the folder has now.

        Raises:
            BadKey: the folder is gone or can't be read; the users that were let in still are.
        """
        folder = self.path / USERS
        there: set[str] = set()
        hidden: list[str] = []
        try:
            for name, stamp in _files(folder):
                if name.startswith(HIDDEN):
                    hidden.append(name)
                    continue
                there.add(name)
                self._look(folder / name, name, stamp)
        except OSError as error:
            raise BadKey(
                f"{shown(str(folder))} can't be read ({error.strerror}): nobody is added or removed"
            ) from error
        for gone in (self._known.keys() | self._wrong.keys()) - there:
            self._known.pop(gone, None)
            self._wrong.pop(gone, None)
        return self._users(hidden)

    def _look(self, path: Path, name: str, stamp: _Stamp) -> None:
        if (known := self._known.get(name)) is not None and known[0] == stamp:
            self._wrong.pop(name, None)
            return
        if (wrong := self._wrong.get(name)) is not None and wrong[0] == stamp:
            return
        try:
            self._known[name] = (stamp, read_public(path))
            self._wrong.pop(name, None)
        except BadKey as error:
            self._wrong[name] = (stamp, str(error))
        except Exception as error:  # one file keeps no other from being read, or from being found gone
            self._wrong[name] = (stamp, f"{shown(str(path))} can't be read ({type(error).__name__}: {error})")

    def _users(self, hidden: list[str]) -> Users:
        troubles = [text for _, text in self._wrong.values()]
        names: dict[str, str] = {}
        files: dict[str, str] = {}
        first: dict[str, Key] = {}
        spellings: dict[str, str] = {}
        twice: set[str] = set()
        notes = [
            f"{shown(name)} is hidden, and lets in nobody: have its name begin with another sign" for name in hidden
        ]
        for name, (_, key) in sorted(self._known.items()):
            if not is_same(named_by(name), key.user):
                notes.append(f"{shown(name)} lets in {shown(key.user)}, whom its name doesn't name")
            if key.gateway:
                notes.append(f"{shown(name)} is a gateway's: it lets in any user but operators")
            other = first.setdefault(key.public, key)
            if (fold(other.user), other.gateway) != (fold(key.user), key.gateway):
                twice.add(key.public)
                what = "different users" if fold(other.user) != fold(key.user) else "one has it as a gateway's"
                troubles.append(f"{name} and {files[key.public]} have the same key and {what}: neither is let in")
            names[key.public] = spellings.setdefault(fold(key.user), key.user)
            files[key.public] = name
        for public in twice:
            del names[public], files[public]
        gateways = frozenset(public for public in names if first[public].gateway)
        return Users(names, gateways, files, tuple(sorted(troubles)), tuple(notes))


def _files(folder: Path) -> Iterator[tuple[str, _Stamp]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(PUBLIC):
                try:
                    found = entry.stat()
                except FileNotFoundError:
                    continue
                except OSError:  # a link in a circle; reading it says so
                    yield entry.name, (0, 0, 0)
                else:
                    yield entry.name, (found.st_mtime_ns, found.st_size, found.st_ino)
