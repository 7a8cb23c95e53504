"""The names that programs may use. A name that changes here breaks somebody."""

from __future__ import annotations

import pickle

import zchat
import zchat.broker
import zchat.errors


def names(text: str) -> set[str]:
    return set(text.split())


TREE = {
    "ZchatError": names(
        "UsageError ProtocolError ConnectionLost DeadlineExceeded StoreError Refused HandlerFailed GapError"
    ),
    "UsageError": names("AddressError"),
    "DeadlineExceeded": names("OutcomeUnknown"),
    "Refused": names(
        "NoSession Malformed VersionRefused BadName NoSuchRoom NotAMember MessageTooLarge BadBlock Busy "
        "TooManyRequests LimitReached Superseded StoreFailed OutOfOrder Forgotten Closing Expired"
    ),
}
ERRORS = {"ZchatError"}.union(*TREE.values())


def test_zchat_offers_these_names() -> None:
    others = {"Client", "Room", "Message", "Position", "START", "RoomInfo", "Gap", "GapReason", "Event"}
    others |= {"Disconnected", "Reconnected"}
    assert set(zchat.__all__) == others | ERRORS
    assert all(hasattr(zchat, name) for name in zchat.__all__)


def test_the_broker_offers_these_names() -> None:
    assert set(zchat.broker.__all__) == {"Broker", "DEFAULT_ROOMS", "Settings"}
    assert zchat.broker.Broker.__name__ == "Broker"


def test_errors_form_this_tree() -> None:
    for name, expected in TREE.items():
        kind = getattr(zchat, name)
        below = {each.__name__ for each in kind.__subclasses__() if each.__module__ == zchat.errors.__name__}
        assert below == expected


def test_a_deadline_exceeded_is_also_pythons_timeout_error() -> None:
    assert issubclass(zchat.DeadlineExceeded, TimeoutError)


def test_errors_are_carried_from_process_to_process() -> None:
    gap = zchat.GapError("General", 1, 5, zchat.GapReason.TRIMMED)
    assert str(pickle.loads(pickle.dumps(gap))) == str(gap)
