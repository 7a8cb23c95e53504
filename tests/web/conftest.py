from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.aio.conftest import name, pytest_pyfunc_call
from zchat.broker import Broker

__all__ = ["name", "pytest_pyfunc_call"]


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker("tcp://127.0.0.1:*") as broker:
        yield broker


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory, needs: Callable[[str], str]) -> tuple[Path, Path]:
    """Give a certificate of localhost and its key, made by openssl."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            needs("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(folder / "key"),
            "-out", str(folder / "cert"),
        ],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return folder / "cert", folder / "key"
