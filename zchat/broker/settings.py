"""The settings of a broker: the one list from which its options, their checks, help and documentation follow; and who
is let in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields
from typing import Any, NamedTuple

from zchat.broker.limits import HIGH_WATER_MARK, MAX_MESSAGE, MAX_NAMES, NAMES
from zchat.checks import check_flag, check_text, shown
from zchat.errors import UsageError
from zchat.names import check_held_name
from zchat.wire.limits import MAX_BLOCK_BYTES, MAX_WINDOW

DEFAULT_ROOMS = ("General", "Technology", "Crypto", "Sports", "Movies")
"""The rooms of a broker that is not given any."""

MAX_RETAIN_MESSAGES = 1_000_000_000
"""The most messages that a room can be set to keep: more than a store on one machine holds."""

MAX_RETAIN_DAYS = 36_500
"""The most days that messages can be set to be kept: a hundred years."""


class Option(NamedTuple):
    """The option of `zchat broker` for a setting, and the values that the setting takes."""

    name: str
    """The option as it is typed."""
    help: str
    """What the setting means, as one sentence."""
    metavar: str = ""
    """What the option's value is called; "" if it takes none."""
    least: int = 0
    """The lowest value of a number."""
    most: int = 0
    """The highest value of a number."""
    unit: str = ""
    """What a number counts."""
    zero: str = ""
    """What 0 means, if that is more than none."""


def _option(name: str, help: str, metavar: str = "", **values: Any) -> dict[str, Option]:
    return {"option": Option(name, help, metavar, **values)}


@dataclass(frozen=True, slots=True)
class Settings:
    """A broker's settings; the help text of each says what it means.

    Raises:
        UsageError: a value is out of its range, or rooms are fixed and there are none.
        BadName: a room's name breaks the rules.
    """

    high_water_mark: int = field(
        default=HIGH_WATER_MARK,
        metadata=_option(
            "--high-water-mark",
            "Notifications of a room that a member may hold unread before the broker waits for it.",
            "N",
            least=1,
            most=MAX_WINDOW,
            unit="notifications",
        ),
    )
    rooms: tuple[str, ...] = field(
        default=DEFAULT_ROOMS, metadata=_option("--room", "A room that always exists; may be repeated.", "NAME")
    )
    fixed_rooms: bool = field(
        default=False, metadata=_option("--fixed-rooms", "Don't create a room when another name is joined.")
    )
    retain_messages: int = field(
        default=0,
        metadata=_option(
            "--retain-messages",
            "Number of newest messages that each room keeps at least.",
            "N",
            most=MAX_RETAIN_MESSAGES,
            unit="messages",
            zero="all",
        ),
    )
    retain_days: float = field(
        default=0,
        metadata=_option(
            "--retain-days", "Days that messages are kept.", "D", most=MAX_RETAIN_DAYS, unit="days", zero="for ever"
        ),
    )
    max_message: int = field(
        default=MAX_MESSAGE,
        metadata=_option(
            "--max-message",
            "Size of the largest message accepted.",
            "BYTES",
            least=1,
            most=MAX_BLOCK_BYTES,
            unit="bytes",
        ),
    )
    names: int = field(
        default=NAMES,
        metadata=_option(
            "--names",
            "Number of members up to which a room's members are named; beyond it they are counted.",
            "N",
            most=MAX_NAMES,
            unit="members",
            zero="always counted",
        ),
    )

    def __post_init__(self) -> None:
        for setting, option in options():
            value = getattr(self, setting.name)
            if setting.type == "bool":
                check_flag(setting.name, value)
            elif option.unit and not _is_between(value, option, whole=setting.type == "int"):
                raise UsageError(
                    f"{setting.name} is {option.least} to {option.most:,} {option.unit}, not {shown(value)}"
                )
        rooms: object = self.rooms
        if not isinstance(rooms, tuple | list):
            raise UsageError(f"rooms is a list of names, not {shown(rooms)}")
        object.__setattr__(self, "rooms", tuple(rooms))
        if self.fixed_rooms and not self.rooms:
            raise UsageError("fixed_rooms requires at least one room")
        for room in self.rooms:
            check_text("the name of a room", room)
            check_held_name("room", room)


def _is_between(value: object, option: Option, *, whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return False
    return option.least <= value <= option.most


def options() -> Iterator[tuple[Field[Any], Option]]:
    """Yield each setting with its option, in the order of the help. Any thread."""
    for setting in fields(Settings):
        yield setting, setting.metadata["option"]


class Security(NamedTuple):
    """Who may come in, and do what, as chosen at the start."""

    keys: str | None = None
    """The folder with the broker's keys, None for none."""
    guests: bool = False
    """True if keys that aren't in it are let in, as guests."""
    logins: bool = False
    """True if over ipc a login is the name, without a key."""
    rules: str | None = None
    """The file of rules, None for none."""
    audit: str | bool = False
    """The file of the audit log; True for its logger alone, False for none."""
