from __future__ import annotations

from pathlib import Path

import pytest

from tests.broker.store.copying.driver import Places
from tests.redis_server import RedisServer


@pytest.fixture
def places(redis_server: RedisServer, tmp_path: Path) -> Places:
    redis_server.call("FLUSHALL")
    return Places(tmp_path, redis_server)
