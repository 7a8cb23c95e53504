"""The names that programs may use. A name that changes here breaks somebody."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable

import pytest

import zchat
import zchat.broker
from tests.running import DEADLINE


def names(text: str) -> set[str]:
    return set(text.split())


ERRORS = names(
    "ZchatError UsageError AddressError ProtocolError ConnectionLost DeadlineExceeded OutcomeUnknown StoreError "
    "Refused HandlerFailed GapError BadKey NotLetIn KeyNeeded NoKeysThere ServerKeyWrong KeyRefused "
    "NoSession Malformed VersionRefused BadName NoSuchRoom NotAMember MessageTooLarge BadBlock Busy "
    "TooManyRequests LimitReached Superseded StoreFailed OutOfOrder Forgotten Closing Expired "
    "WrongName KeyRemoved BadRules NotAllowed"
)
"""Their tree is held by tests/test_errors.py."""


def test_zchat_offers_these_names() -> None:
    others = {
        "Client",
        "Room",
        "Message",
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
        "BusyRoom",
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
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=DEADLINE, check=True)
    assert run.stdout == "module 'zchat' has no attribute 'Nothing'\n"


def test_the_broker_offers_these_names() -> None:
    assert set(zchat.broker.__all__) == {"Broker", "DEFAULT_ROOMS", "Lag", "Settings"}
    assert all(hasattr(zchat.broker, name) for name in zchat.broker.__all__)


def surface(kind: type) -> dict[str, str]:
    """Return a class's public methods with their parameters, "property" for properties; of a base class too."""
    found = {name: each for base in reversed(kind.__mro__[:-1]) for name, each in vars(base).items()}
    return {
        name: "property" if isinstance(each, property) else parameters(each)
        for name, each in found.items()
        if not name.startswith("_") or (name == "__init__" and kind not in MADE_BY_OTHERS)
    }


def parameters(function: Callable[..., object]) -> str:
    signature = inspect.signature(function)
    bare = [each.replace(annotation=each.empty) for each in signature.parameters.values() if each.name != "self"]
    return str(signature.replace(parameters=bare, return_annotation=signature.empty))


MADE_BY_OTHERS = {zchat.Room}
"""Classes that programs don't make: what their constructors take isn't promised."""

METHODS = {
    zchat.Client: {
        "__init__": "(url='tcp://127.0.0.1:5555', *, user=None, timeout=5.0, on_event=None, high_water_mark=0, "
        "invitations=True, key=None, server_key=None)",
        "url": "property",
        "max_message": "property",
        "join": "(name, *, after=None, create=True, echo=False, timeout=5.0)",
        "direct": "(user, *, timeout=5.0)",
        "leave": "(room, *, timeout=5.0)",
        "rooms": "(*, timeout=5.0)",
        "members": "(name, *, timeout=5.0)",
        "stats": "(*, timeout=5.0)",
        "mark_read": "(name, seq, *, timeout=5.0)",
        "history": "(name, *, after=None, before=None, limit=100, timeout=5.0)",
        "events": "(timeout=None)",
        "wait": "(timeout=None)",
        "close": "(timeout=5.0)",
    },
    zchat.Room: {
        "name": "property",
        "position": "property",
        "member_count": "property",
        "send": "(body, *, timeout=5.0)",
        "send_many": "(bodies, *, timeout=5.0, progress=None)",
        "messages": "(timeout=None)",
        "history": "(*, after=None, before=None, limit=100, timeout=5.0)",
        "members": "(*, timeout=5.0)",
        "typing": "(active=True)",
        "mark_read": "(seq=None)",
        "leave": "(*, timeout=5.0)",
    },
    zchat.broker.Broker: {
        "__init__": "(*bind, store='memory:', high_water_mark=10, "
        f"rooms={zchat.broker.DEFAULT_ROOMS}, fixed_rooms=False, retain_messages=0, retain_days=0, "
        f"max_message={1 << 20}, names=200, keys=None, guests=False, logins=False, rules=None, "
        "insecure=False)",
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
