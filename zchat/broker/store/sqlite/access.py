"""Who may use the files of a database: named where the system refuses, and given to their folder's owner."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform != "win32":
    import pwd

ENDS = ("", "-wal", "-shm", "-journal", ".lock")
"""What the names of a database's files end with, after its own."""


def trouble(path: Path, error: Exception) -> str:
    """Return why a database can't be used: what the error says, and what is known beside it."""
    return f"{getattr(error, 'strerror', None) or error}{why_not(path)}"


def why_not(path: Path) -> str:
    """Return what this user may not use of a database, and why, as the end of a sentence; "" if nothing is known."""
    if sys.platform == "win32":
        return ""
    needed = dict.fromkeys(reversed(path.parent.parents), os.X_OK)
    needed |= {path.with_name(path.name + end): os.R_OK | os.W_OK for end in ENDS}
    needed[path.parent] = os.W_OK | os.X_OK
    for each, use in needed.items():
        try:
            found = each.stat()
        except (OSError, ValueError):
            continue
        if os.access(each, use, effective_ids=os.access in os.supports_effective_ids):
            continue
        if found.st_uid != os.geteuid():
            return f" ({each} belongs to the user {_name(found.st_uid)}, and this is {_name(os.geteuid())})"
        if use & ~(found.st_mode >> 6):
            return f" ({each} has the mode {stat.S_IMODE(found.st_mode):04o})"
    return ""


@contextmanager
def acting_as_owner(folder: Path) -> Iterator[None]:
    """Have root be the owner of a folder while the block runs: what is made there is that user's.

    It also keeps the owner from leading root elsewhere by a link. All threads change along.

    Raises:
        OSError: root may not do that here, or there is no such folder.
    """
    if sys.platform == "win32" or os.geteuid() != 0 or not (found := folder.stat()).st_uid:
        yield
        return
    group, groups = os.getegid(), os.getgroups()
    with suppress(PermissionError):  # in a container that fixes them
        os.setgroups([found.st_gid])
    try:
        os.setegid(found.st_gid)
        os.seteuid(found.st_uid)
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        with suppress(PermissionError):
            os.setgroups(groups)


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
