"""The search for garbage, while a broker starts."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from zchat.broker import Broker
from zchat.broker.collection import collected_later
from zchat.broker.store.memory import MemoryStore


def test_garbage_is_not_searched_for_within_it_and_is_again_afterwards() -> None:
    with collected_later():
        assert not gc.isenabled()
        with collected_later():
            assert not gc.isenabled()
        assert not gc.isenabled(), "a program that has put it off itself keeps it so"
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), collected_later():
        raise ZeroDivisionError
    assert gc.isenabled()


def test_a_broker_opens_its_store_so_and_serves_as_the_program_had_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[bool] = []
    opened = MemoryStore.open

    def noted(self: MemoryStore, *given: Any, **named: Any) -> Any:
        found.append(gc.isenabled())
        return opened(self, *given, **named)

    monkeypatch.setattr(MemoryStore, "open", noted)
    with Broker("tcp://127.0.0.1:*"):
        assert gc.isenabled()
    assert found == [False]
