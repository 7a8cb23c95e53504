"""The jobs in several processes, and the bar of what they have done."""

from __future__ import annotations

import multiprocessing
import runpy
from multiprocessing.pool import ThreadPool
from types import SimpleNamespace

import pytest

import zchat
from tests.examples.conftest import Example
from tests.running import DEADLINE, ROOT
from zchat.broker import Broker


def test_every_job_of_every_process_is_seen_to_be_done(example: Example) -> None:
    with Broker("tcp://127.0.0.1:*") as broker:
        shown = example("job_progress", broker.url)
        assert (shown.process.wait(DEADLINE), shown.end(), shown.errors) == (0, 0, "")
        assert shown.text.endswith(f"[{'#' * 40}] 100%\n20 jobs are done\n")
        with zchat.Client(broker.url, user="alice") as alice:
            said = [message.body for message in alice.history("jobs", limit=1_000)]
            assert {each["job"] for each in said if each["done"] == 1} == set(range(20))


def test_a_job_that_fails_ends_it_with_what_it_has_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = runpy.run_path(str(ROOT / "examples" / "job_progress.py"))

    def work(job: int) -> None:
        raise ZeroDivisionError(job)

    with Broker("tcp://127.0.0.1:*") as broker:
        monkeypatch.setattr(multiprocessing, "get_context", lambda kind: SimpleNamespace(Pool=ThreadPool))
        jobs["main"].__globals__.update(URL=broker.url, work=work, JOBS=2)
        with pytest.raises(ZeroDivisionError):
            jobs["main"]()
