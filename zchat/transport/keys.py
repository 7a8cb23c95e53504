"""Keys: pairs of CurveZMQ, the files that hold them, and the folder of a broker with the users that it lets in.

The files are certificates as czmq writes them and pyzmq reads them (https://rfc.zeromq.org/spec/4/): a section
`metadata`, whose `user` decides whose key it is and whose `gateway = true` makes it a gateway's, and a section `curve`
with the halves of 40 characters (Z85).
"""

from __future__ import annotations

import errno
import os
import re
import shlex
import stat
import struct
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import zmq
from zmq.utils import z85

from zchat import paths
from zchat.checks import shown
from zchat.errors import BadKey, BadName, ZchatError
from zchat.files import read_bounded, write_new
from zchat.names import GUEST, check_name, fold

KEY_CHARACTERS = 40
"""Characters of one half of a pair: 32 bytes in Z85."""

MAX_FILE_BYTES = 64 * 1024
"""Of a file that is read as a key: what is larger is something else."""

SERVER = "server"
"""The name of the broker's own files in its folder."""

USERS = "users"
"""The folder within it that has a file for each key that is let in."""

PUBLIC, SECRET = ".key", ".key_secret"
"""How the names of the files end."""

HIDDEN = "."
"""What the names of files begin with that nobody sees, and no broker reads: editors and copying programs make such."""

_WRONG_NAME = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL}
"""The system's errors that say that a file or folder is none: another has to be named."""

_ANYWHERE = dict.fromkeys((errno.EMFILE, errno.ENFILE, errno.ENOMEM), "") | {
    errno.EFBIG: "; raise the limit on its size (ulimit -f)"
}
"""What is to be done about those that hold for files in any other folder, too."""

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")

_LINE = re.compile(r"""\s*([\w-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|(\S.*?))\s*$""")


@dataclass(frozen=True, slots=True)
class Key:
    """One pair of keys, or its public half alone."""

    public: str
    """The public half, 40 characters."""
    secret: str = field(default="", repr=False)
    """The secret half; "" if it isn't known here."""
    user: str = ""
    """Whose key it is; "" if nothing says so."""
    gateway: bool = False
    """True if a broker that has it so in its folder lets it in as any user but operators."""

    @property
    def fingerprint(self) -> str:
        """Return what a person can compare: 16 hexadecimal digits in fours; raises BadKey if `public` is no key."""
        return fingerprint(self.public)


class Credentials(NamedTuple):
    """What a client shows at a broker's door, and by what it knows the broker."""

    key: Key | None = None
    """Its pair; None without keys."""
    servers: tuple[str, ...] = ()
    """The broker's public key, or several that are tried in turn."""


NO_KEYS = Credentials()
"""What a client shows that has none."""


def credentials(
    key: Key | str | os.PathLike[str] | None,
    server_key: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None,
) -> Credentials:
    """Return what a client was given: a pair or its file, and the broker's public key as `server_keys` takes it.

    Raises:
        BadKey: one of them can't be used, or is given without the other.
    """
    if key is None and server_key is None:
        return Credentials()
    if key is None:
        raise BadKey("server_key is given without key: a broker with keys lets nobody in without one")
    if server_key is None:
        raise BadKey("key is given without server_key: give the broker's server.key, or its 40 characters")
    if isinstance(key, Key):
        _check_pair(key)
    else:
        key = read_secret(paths.given("key is a pair of keys, or the path of its file", key, BadKey))
    return Credentials(key, server_keys(server_key))


def _check_pair(key: Key) -> None:
    """Check a pair that a program has made, as those in files are; none of the secret half is in an error's text."""
    _half(key.public, "key's public half")
    if not key.secret:
        raise BadKey("key is a public half: give the pair, as in NAME.key_secret")
    _half(key.secret, "key's secret half")
    if not _fit(key):
        raise BadKey("key's two halves don't fit each other: give both of one pair, as zchat keygen made them")
    if not isinstance(key.user, str):
        raise BadKey(f"key's user is text, not {shown(key.user)}")


def fingerprint(public: str) -> str:
    """Return the fingerprint of a public key: BLAKE2b with 8 bytes, in hexadecimal digits, in fours. Any thread.

    Raises:
        BadKey: it is none.
    """
    digits = _digits(public)
    return "-".join(digits[at : at + 4] for at in range(0, 16, 4))


def guest_name(public: str) -> str:
    """Return the name that the owner of a public key has as a guest; raises BadKey if it is none. Any thread."""
    return GUEST + _digits(public)[:8]


def _digits(public: str) -> str:
    return blake2b(z85.decode(_half(public, "a public key")), digest_size=8).hexdigest()


def make(user: str = "", *, gateway: bool = False) -> Key:
    """Return a new pair for a user, or a `gateway`; raises BadKey if the name breaks the rules, or is a guest's."""
    if user:
        _user(user, "a new key")
    public, secret = zmq.curve_keypair()
    return Key(public.decode(), secret.decode(), user, gateway)


# -- writing -------------------------------------------------------------------------------------------


def write_pair(folder: Path, name: str, key: Key) -> tuple[Path, Path]:
    """Write a pair as NAME.key, for everybody, and NAME.key_secret, for the owner alone; return the two paths.

    Raises:
        BadKey: one of them is there already, or the folder isn't; neither is changed or left then.
        ZchatError: the system refuses to write them, as a full disk; likewise.
    """
    public, secret = folder / f"{name}{PUBLIC}", folder / f"{name}{SECRET}"
    for path in (public, secret):
        if os.path.lexists(path):
            raise BadKey(f"{shown(str(path))} is there already, and may be in use; choose another name, or remove it")
    _write(secret, _certificate(key, with_secret=True), 0o600)
    try:
        _write(public, _certificate(key, with_secret=False), 0o644)
    except BaseException:
        with suppress(OSError):
            secret.unlink()
        raise
    return public, secret


def make_server(folder: Path) -> Key:
    """Make a broker's folder: its pair, and an empty folder for its users; return the pair.

    Raises:
        BadKey: it has a pair already, can't be a folder, or others may write to it; no folder is left that wasn't
            there.
        ZchatError: the system refuses to write it, as a full disk; likewise.
    """
    made: list[Path] = []
    try:
        for each in (*reversed(folder.parents), folder, folder / USERS):
            try:
                if not each.is_dir():
                    each.mkdir(mode=0o777 if each in folder.parents else 0o700)
                    made.append(each)
            except OSError as error:
                raise _refusal(each, "made", error) from error
        if (folder / USERS).is_symlink():
            raise BadKey(f"{shown(str(folder / USERS))} is a link; remove it, or name another folder")
        check_folders(folder)
        key = make()
        write_pair(folder, SERVER, key)
    except BaseException:
        with suppress(OSError):
            for each in reversed(made):
                each.rmdir()
        raise
    return key


def check_folders(folder: Path) -> None:
    """Check that only its owner may write to a broker's folder: anyone who can may let in any key under any name.

    Raises:
        BadKey: others may.
    """
    if sys.platform == "win32":
        return
    for each in (folder, folder / USERS):
        with suppress(FileNotFoundError):  # what reads the folder reports that
            mode = each.stat().st_mode
            if mode & (stat.S_IWGRP | stat.S_IWOTH) and not os.statvfs(each).f_flag & os.ST_RDONLY:
                raise BadKey(
                    f"{shown(str(each))} can be written by others (mode {stat.S_IMODE(mode):03o}), who can let in any "
                    f"key: chmod go-w {shlex.quote(str(each))}, and see with zchat keys whom it lets in"
                )


def _certificate(key: Key, *, with_secret: bool) -> str:
    what = "SECRET: with this file anyone can act in its owner's name" if with_secret else "public: give it away"
    lines = [f"#   A key of zchat, {what}.", "metadata"]
    if key.user:
        lines.append(f'    user = "{key.user}"')
    if key.gateway:
        lines.append("    gateway = true")
    lines += ["curve", f'    public-key = "{key.public}"']
    if with_secret:
        lines.append(f'    secret-key = "{key.secret}"')
    return "\n".join(lines) + "\n"


def _write(path: Path, text: str, mode: int) -> None:
    try:
        write_new(path, text.encode(), mode)
    except OSError as error:
        raise _refusal(path, "written", error) from error


def _refusal(path: Path, what: str, error: OSError) -> ZchatError:
    """Return the error for a file or folder that can't be made or written: a wrong name, or the system's refusal."""
    kind = BadKey if error.errno in _WRONG_NAME and not paths.leads_nowhere(path) else ZchatError
    hint = _ANYWHERE.get(error.errno or 0, "; choose another folder")
    return kind(f"{shown(str(path))} can't be {what} ({paths.why(error, path)}){hint}")


# -- reading -------------------------------------------------------------------------------------------


def read_secret(path: str | os.PathLike[str]) -> Key:
    """Return the pair in a file NAME.key_secret, whose user is `user` within, else what stands before `@` or `.`.

    Raises:
        BadKey: there is no such file, it is no key, its halves don't fit, or others can read it.
    """
    place = Path(path)
    key = read(place)
    if not key.secret:
        hint = f"; the secret half is in {place.stem}{SECRET}" if place.suffix == PUBLIC else ""
        raise BadKey(f"{shown(str(place))} has no secret-key{hint}")
    if sys.platform != "win32":
        mode = place.stat().st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise BadKey(
                f"{shown(str(place))} can be read by others (mode {stat.S_IMODE(mode):03o}): "
                f"chmod 600 {shlex.quote(str(place))}, and make a new key if they may have read it"
            )
    if not _fit(key):
        raise BadKey(f"{shown(str(place))}: the two halves don't fit each other; take the file as it was made")
    return key


def read_public(path: str | os.PathLike[str]) -> Key:
    """Return the public half in a file NAME.key; raises BadKey if there is none."""
    key = read(Path(path))
    return Key(key.public, "", key.user, key.gateway)


def server_keys(given: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> tuple[str, ...]:
    """Return the public keys of a broker: each is given as a file, or as its 40 characters.

    Raises:
        BadKey: one is neither, or there is none.
    """
    several = [given] if isinstance(given, str | os.PathLike) or not isinstance(given, Iterable) else list(given)
    if not several:
        raise BadKey("no key of the broker's is given: name its server.key, or its 40 characters")
    return tuple(map(_server_key, several))


def _server_key(given: str | os.PathLike[str]) -> str:
    text = paths.given("a broker's key is its 40 characters, or the path of its file", given, BadKey)
    if isinstance(given, os.PathLike) or os.path.exists(text):
        key = read(Path(text))
        if key.secret:
            raise BadKey(
                f"{shown(text)} has a secret half, which its owner alone may have: ask who runs the broker for "
                f"its {SERVER}{PUBLIC}, and tell them if it was sent to you"
            )
        return key.public
    if len(text) != KEY_CHARACTERS:
        raise BadKey(f"{shown(text)} is no file, and no key: that has {KEY_CHARACTERS} characters, not {len(text)}")
    return _half(text, shown(text))


def read(place: Path) -> Key:
    """Return the key in a file, with the halves that it has; raises BadKey if there is none."""
    try:
        content = read_bounded(place, MAX_FILE_BYTES)
    except OSError as error:
        mend = "chown or chmod it for the user who reads it"
        if not isinstance(error, PermissionError):
            mend = "name a file that zchat keygen made"
        raise BadKey(f"{shown(str(place))} can't be read ({paths.why(error, place)}); {mend}") from error
    if len(content) > MAX_FILE_BYTES:
        raise BadKey(f"{shown(str(place))} is no key: it is too large; name a file that zchat keygen made")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise BadKey(f"{shown(str(place))} is no key: it is no text; name a file that zchat keygen made") from error
    found: dict[str, str] = {}
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if _CONTROL.search(line):
            raise BadKey(f"{shown(str(place))}, line {number}: a key has no control characters")
        if not line.strip() or line.lstrip().startswith("#") or line.strip() in ("metadata", "curve"):
            continue
        match = _LINE.match(line)
        if match is None:
            raise BadKey(f"{shown(str(place))}, line {number}: this is no line of a key")
        name, *values = match.groups()
        if name in found:
            raise BadKey(f"{shown(str(place))}, line {number}: there is a second {name}")
        value = next((each for each in values if each is not None), "")
        if name in ("public-key", "secret-key"):
            value = _half(value, f"{shown(str(place))}, line {number}")
        elif name == "user":
            value = _user(value, f"{shown(str(place))}, line {number}")
        elif name == "gateway" and value not in ("true", "false"):
            raise BadKey(f"{shown(str(place))}, line {number}: gateway is true or false, not {shown(value)}")
        found[name] = value
    if "public-key" not in found:
        raise BadKey(f"{shown(str(place))} is no key: it has no public-key; name a file that zchat keygen made")
    user = found.get("user")
    if user is None and place.name not in (SERVER + PUBLIC, SERVER + SECRET):
        user = _user(named_by(place.name), f"{shown(str(place))}: it names no user, and its own name")
    return Key(found["public-key"], found.get("secret-key", ""), user or "", found.get("gateway") == "true")


def named_by(name: str) -> str:
    """Return the user that a file's name names."""
    return name.removesuffix(SECRET).removesuffix(PUBLIC).partition("@")[0]


def _fit(key: Key) -> bool:
    return zmq.curve_public(key.secret.encode()).decode() == key.public


def _half(value: str, where: str) -> str:
    if not isinstance(value, str):
        raise BadKey(f"{where}: a key is text of {KEY_CHARACTERS} characters of Z85, not {type(value).__name__}")
    try:
        if len(value) == KEY_CHARACTERS and len(z85.decode(value)) == 32:
            return value
    except (ValueError, KeyError, UnicodeError, struct.error):
        pass
    has = "others" if len(value) == KEY_CHARACTERS else len(value)
    raise BadKey(f"{where}: a key has {KEY_CHARACTERS} characters of Z85, this has {has}")


def _user(value: str, where: str) -> str:
    try:
        name = check_name("user", value)
    except BadName as error:
        raise BadKey(f"{where}: {error}") from error
    if '"' in name:
        raise BadKey(f"{where}: a user with a key has no quotation mark in its name; choose another")
    if fold(name).startswith(GUEST):
        raise BadKey(f"{where}: names that begin with {GUEST} are those of guests; choose another")
    return name
