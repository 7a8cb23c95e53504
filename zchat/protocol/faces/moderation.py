"""What a moderator asks of a broker, as steps for every face; `zchat.protocol.faces.steps` says what these are.

Where a room is named, None stands for the broker as a whole.
"""

from __future__ import annotations

from zchat.checks import check_text
from zchat.errors import Malformed, UsageError
from zchat.messages import Sanction
from zchat.names import check_reason, shown_name
from zchat.protocol.faces.arguments import check_room, check_sanction_seconds, check_user
from zchat.protocol.faces.face import FaceLink
from zchat.protocol.faces.outcomes import Limit
from zchat.protocol.faces.steps import Steps, ask, check_page
from zchat.protocol.rooms.removal import until_of
from zchat.wire.replies import Changed, KickedOut, Sanctioned, SanctionRow, SanctionsPage

SANCTIONS_PAGE = 100
"""Sanctions asked for at a time."""


def kick(link: FaceLink, room: str, user: str, reason: str, limit: Limit) -> Steps[int]:
    """Put a user out of a room; return how many of the user's sessions were there."""
    link.check()
    fields = (_room(link, room), check_user(user), _reason(reason))
    kicked: KickedOut = yield from ask(link, "kick", fields, None, limit, f"putting {user!r} out of {room!r}")
    return kicked.sessions


def sanction(
    link: FaceLink, word: str, room: str | None, user: str, seconds: int, reason: str, limit: Limit
) -> Steps[float | None]:
    """Ban or mute a user (`word` is `ban` or `mute`); return when that ends, None if it doesn't."""
    link.check()
    fields = (_room(link, room), check_user(user), check_sanction_seconds(seconds), _reason(reason))
    made: Sanctioned = yield from ask(link, word, fields, None, limit, f"the {word} of {user!r}")
    return until_of(made.until)


def lift(link: FaceLink, word: str, room: str | None, user: str, limit: Limit) -> Steps[bool]:
    """End a ban or a mute (`word` is `unban` or `unmute`); return whether there was one."""
    link.check()
    fields = (_room(link, room), check_user(user))
    changed: Changed = yield from ask(link, word, fields, None, limit, f"the {word} of {user!r}")
    return changed.changed


def close_room(link: FaceLink, room: str, reason: str, limit: Limit) -> Steps[bool]:
    """Close a room; return whether it was open."""
    link.check()
    fields = (_room(link, room), _reason(reason))
    changed: Changed = yield from ask(link, "close", fields, None, limit, f"closing {room!r}")
    return changed.changed


def open_room(link: FaceLink, room: str, limit: Limit) -> Steps[bool]:
    """Open a room; return whether it was closed."""
    link.check()
    fields = (_room(link, room),)
    changed: Changed = yield from ask(link, "open", fields, None, limit, f"opening {room!r}")
    return changed.changed


def sanctions(link: FaceLink, room: str | None, limit: Limit) -> Steps[list[Sanction]]:
    """Return what is in force, page by page."""
    link.check()
    wire = _room(link, room)
    found: list[Sanction] = []
    last: int | None = None
    what = "the sanctions" if room is None else f"the sanctions of {room!r}"
    while True:
        fields = (wire, last, SANCTIONS_PAGE)
        page: SanctionsPage = yield from ask(link, "sanctions", fields, None, limit, what)
        check_page(len(page.sanctions), SANCTIONS_PAGE, len(found), "sanctions")
        found += [_sanction(link.user, row) for row in page.sanctions]
        if not page.more or not page.sanctions:
            return found
        last = page.sanctions[-1].number
        link.check()


def _room(link: FaceLink, name: str | None) -> str | None:
    return None if name is None else check_room(link.user, name)


def _reason(reason: str) -> str:
    check_text("a reason", reason)
    try:
        return check_reason(reason)
    except Malformed as error:
        raise UsageError(str(error)) from None


def _sanction(user: str, row: SanctionRow) -> Sanction:
    room = None if row.room is None else shown_name(user, row.room)
    return Sanction(room, row.user, row.kind, until_of(row.until), row.by, row.at / 1e6, row.reason)
