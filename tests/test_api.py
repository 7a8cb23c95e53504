"""The names that programs may use. A name that changes here breaks somebody."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import MemberDescriptorType

import pytest

import zchat
import zchat.broker
from tests.running import output_of


def names(text: str) -> set[str]:
    return set(text.split())


ERRORS = names(
    "ZchatError UsageError AddressError ProtocolError ConnectionLost DeadlineExceeded OutcomeUnknown StoreError "
    "Refused HandlerFailed GapError BadKey NotLetIn KeyNeeded NoKeysThere ServerKeyWrong KeyRefused "
    "NoSession Malformed VersionRefused BadName NoSuchRoom NotAMember MessageTooLarge BadBlock Busy "
    "TooManyRequests LimitReached Superseded StoreFailed OutOfOrder Forgotten Closing Expired "
    "WrongName KeyRemoved BadRules BadAudit NotAllowed Banned Muted Kicked RoomClosed"
)
"""Their tree is held by tests/test_errors.py."""


def test_zchat_offers_these_names() -> None:
    others = {
        "AsyncClient",
        "AsyncRoom",
        "Client",
        "Room",
        "Message",
        "Batch",
        "Position",
        "START",
        "RoomInfo",
        "Stats",
        "Progress",
        "Key",
        "Gap",
        "GapReason",
        "Event",
    }
    others |= {
        "Disconnected",
        "Reconnected",
        "Member",
        "MemberJoined",
        "MemberLeft",
        "Typing",
        "ReadMark",
        "Crowd",
        "Invited",
        "Histogram",
        "BrokerStats",
        "BusyRoom",
        "OverallStats",
        "Removed",
        "Sanction",
    }
    assert set(zchat.__all__) == others | ERRORS
    assert all(hasattr(zchat, name) for name in zchat.__all__)


@pytest.mark.real
def test_what_takes_long_to_load_is_there_when_it_is_asked_for() -> None:
    program = (
        "import sys, zchat\n"
        "assert 'zmq' not in sys.modules\n"
        "assert {'Client', 'Room', 'Progress', 'client'} <= set(dir(zchat))\n"
        "assert zchat.client.Client is zchat.Client\n"
        "from zchat import *\n"
        "assert Room is zchat.Room and Progress is zchat.Progress\n"
        "try:\n zchat.Nothing\nexcept AttributeError as error:\n print(error)"
    )
    assert output_of(program) == "module 'zchat' has no attribute 'Nothing'\n"


@pytest.mark.real
def test_it_can_be_imported_by_another_interpreter_of_the_process() -> None:
    program = (
        "try: import _interpreters as interpreters\n"
        "except ImportError: import _xxsubinterpreters as interpreters\n"
        "number = interpreters.create()\n"
        "interpreters.run_string(number, 'import zchat; print(zchat.Gap.__name__, flush=True)')\n"
        "interpreters.destroy(number); print('over')"
    )
    assert output_of(program) == "Gap\nover\n"


def test_the_broker_offers_these_names() -> None:
    assert set(zchat.broker.__all__) == {"Broker", "DEFAULT_ROOMS", "Lag", "Settings"}
    assert all(hasattr(zchat.broker, name) for name in zchat.broker.__all__)


def surface(kind: type) -> dict[str, str]:
    """Return a class's public methods with their parameters, "property" for properties; of a base class too."""
    found = {name: each for base in reversed(kind.__mro__[:-1]) for name, each in vars(base).items()}
    return {
        name: "property" if isinstance(each, property | MemberDescriptorType) else parameters(each)
        for name, each in found.items()
        if not name.startswith("_") or (name == "__init__" and kind not in MADE_BY_OTHERS)
    }


def parameters(function: Callable[..., object]) -> str:
    signature = inspect.signature(function)
    bare = [each.replace(annotation=each.empty) for each in signature.parameters.values() if each.name != "self"]
    return str(signature.replace(parameters=bare, return_annotation=signature.empty))


MADE_BY_OTHERS = {zchat.Room, zchat.AsyncRoom, zchat.Batch}
"""Classes that programs don't make: what their constructors take isn't promised."""

METHODS = {
    zchat.Client: {
        "__init__": "(url='tcp://127.0.0.1:5555', *, user=None, timeout=5.0, on_event=None, high_water_mark=0, "
        "invitations=True, key=None, server_key=None)",
        "url": "property",
        "user": "property",
        "max_message": "property",
        "join": "(name, *, after=None, create=True, echo=False, reads=True, present=True, timeout=5.0)",
        "direct": "(user, *, timeout=5.0)",
        "leave": "(room, *, timeout=5.0)",
        "rooms": "(*, after=None, limit=None, timeout=5.0)",
        "members": "(name, *, after=None, limit=None, timeout=5.0)",
        "stats": "(*, timeout=5.0)",
        "overall_stats": "(*, timeout=5.0)",
        "mark_read": "(name, seq, *, timeout=5.0)",
        "history": "(name, *, after=None, before=None, limit=100, timeout=5.0)",
        "history_batch": "(name, *, after=None, before=None, limit=1000, timeout=5.0)",
        "ban": "(user, seconds=0, reason='', *, timeout=5.0)",
        "unban": "(user, *, timeout=5.0)",
        "sanctions": "(*, timeout=5.0)",
        "events": "(timeout=None, *, batches=False)",
        "wait": "(timeout=None)",
        "close": "(timeout=5.0)",
    },
    zchat.Room: {
        "name": "property",
        "position": "property",
        "joined": "property",
        "member_count": "property",
        "began": "property",
        "crowded": "property",
        "send": "(body, *, timeout=5.0)",
        "send_many": "(bodies, *, timeout=5.0, progress=None)",
        "messages": "(timeout=None)",
        "batches": "(timeout=None)",
        "history": "(*, after=None, before=None, limit=100, timeout=5.0)",
        "members": "(*, timeout=5.0)",
        "typing": "(active=True)",
        "mark_read": "(seq=None)",
        "kick": "(user, reason='', *, timeout=5.0)",
        "ban": "(user, seconds=0, reason='', *, timeout=5.0)",
        "unban": "(user, *, timeout=5.0)",
        "mute": "(user, seconds=0, reason='', *, timeout=5.0)",
        "unmute": "(user, *, timeout=5.0)",
        "close_room": "(reason='', *, timeout=5.0)",
        "open_room": "(*, timeout=5.0)",
        "sanctions": "(*, timeout=5.0)",
        "leave": "(*, timeout=5.0)",
    },
    zchat.Batch: {
        **dict.fromkeys(["room", "position", "first", "last", "bodies", "seqs", "users", "timestamps"], "property"),
    },
    zchat.broker.Broker: {
        "__init__": "(*bind, store='memory:', high_water_mark=10, "
        f"rooms={zchat.broker.DEFAULT_ROOMS}, fixed_rooms=False, retain_messages=0, retain_days=0, "
        f"max_message={1 << 20}, names=200, keys=None, guests=False, logins=False, rules=None, "
        "insecure=False, audit=False)",
        "urls": "property",
        "url": "property",
        "counters": "property",
        "figures": "property",
        "lagging": "property",
        "wait": "(timeout=None)",
        "stop": "()",
        "read_again": "()",
        "found": "property",
    },
}


@pytest.mark.parametrize("kind", METHODS)
def test_classes_have_these_public_methods_and_parameters(kind: type) -> None:
    assert surface(kind) == METHODS[kind]


# -- the two faces --------------------------------------------------------------------------------------

FACES = [(zchat.Client, zchat.AsyncClient), (zchat.Room, zchat.AsyncRoom)]

AWAITED = {
    zchat.AsyncClient: names(
        "connect close aclose join direct leave rooms members stats overall_stats mark_read history history_batch "
        "ban unban sanctions wait"
    ),
    zchat.AsyncRoom: names(
        "send send_many history members leave kick ban unban mute unmute close_room open_room sanctions"
    ),
}
"""The calls of the face for event loops that are awaited; all others return at once."""

ONLY_THERE = {zchat.AsyncClient: {"connect": "()", "aclose": "(timeout=5.0)"}, zchat.AsyncRoom: {}}
"""What the face with threads doesn't have."""


@pytest.mark.parametrize(("threads", "loops"), FACES)
def test_the_faces_have_the_same_calls_with_the_same_parameters_and_defaults(threads: type, loops: type) -> None:
    expected = surface(threads) | ONLY_THERE[loops]
    if loops is zchat.AsyncClient:
        expected["__init__"] = expected["__init__"].replace("on_event=None, ", "")  # a task that takes events() is that
    assert surface(loops) == expected


@pytest.mark.parametrize("loops", AWAITED)
def test_exactly_those_calls_are_awaited_that_may_wait(loops: type) -> None:
    found = {name for name in surface(loops) if inspect.iscoroutinefunction(getattr(loops, name))}
    assert found - {"__init__"} == AWAITED[loops]


@pytest.mark.parametrize(("threads", "loops"), FACES)
def test_the_faces_return_and_take_the_same_types(threads: type, loops: type) -> None:
    def hints(kind: type, name: str) -> dict[str, str]:
        annotations = dict(getattr(getattr(kind, name), "__annotations__", {}))
        return {key: str(value).replace("Async", "") for key, value in annotations.items()}

    different = {name for name in surface(threads) if hints(threads, name) != hints(loops, name)}
    assert different <= {"__init__", "send_many"}, "send_many takes asynchronous iterables too"


@pytest.mark.parametrize("loops", AWAITED)
def test_both_ends_of_a_face_say_what_they_do(loops: type) -> None:
    assert not [name for name in surface(loops) if name != "__init__" and not inspect.getdoc(getattr(loops, name))]
