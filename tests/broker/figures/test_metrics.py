"""What Prometheus finds: real scrapes over HTTP, compared with what clients receive."""

from __future__ import annotations

import errno
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import accumulate, pairwise
from pathlib import Path
from socketserver import TCPServer
from types import SimpleNamespace
from typing import NoReturn
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

import zchat
from tests.running import DEADLINE, ROOT, eventually
from zchat.broker import Broker
from zchat.broker.figures import metrics
from zchat.broker.figures.counters import Kind
from zchat.broker.figures.metrics import Metrics
from zchat.broker.figures.prometheus import MEASURED
from zchat.broker.figures.stats import METRICS

pytestmark = pytest.mark.real

PAGE = (ROOT / "docs" / "watching.md").read_text(encoding="utf-8")


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker("tcp://127.0.0.1:*") as broker:
        yield broker


@pytest.fixture
def served(broker: Broker) -> Iterator[Metrics]:
    with Metrics(broker, "127.0.0.1:*") as served:
        yield served


def scrape(served: Metrics) -> list[Sample]:
    with urlopen(served.url, timeout=DEADLINE) as answer:
        text = answer.read().decode()
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def value(samples: list[Sample], name: str, **labels: str) -> float:
    (found,) = (sample.value for sample in samples if (sample.name, sample.labels) == (name, labels))
    return found


def test_a_scrape_tells_what_clients_are_reported(tmp_path: Path) -> None:
    with (
        Broker("tcp://127.0.0.1:*", store=f"sqlite:{tmp_path / 'z.db'}") as broker,
        Metrics(broker, "127.0.0.1:*") as served,
        zchat.Client(broker.url, user="alice") as alice,
        zchat.Client(broker.url, user="bob") as bob,
    ):
        bob.join("General")
        alice.join("General").send_many(["one", "two", "three"])
        with pytest.raises(zchat.NoSuchRoom):
            bob.history("Nowhere")
        alice.close()
        eventually(lambda: bob.stats().counts["sessions"] == 1, "alice is gone")
        looks: list[tuple[zchat.Stats, list[Sample], zchat.Stats]] = []

        def undisturbed() -> bool:
            looks.append((bob.stats(), scrape(served), bob.stats()))
            return looks[-1][0].times["commit"] == looks[-1][2].times["commit"]

        eventually(undisturbed, "a scrape with no commit beside it: what alice leaves behind is forgotten in one")
        _, samples, told = looks[-1]
    for name in ("messages", "blocks", "deliveries", "pushes", "greeted", "gaps", "marks"):
        assert value(samples, f"zchat_{name}_total") == told.counts[name]
    for name, metric in METRICS.items():
        if metric.kind is Kind.GAUGE and name not in ("waiting", "in_flight"):
            assert value(samples, f"zchat_{metric.name}") == told.counts[name]
    for name, size in (("messages", 3), ("deliveries", 3), ("commits", told.times["commit"].total)):
        assert told.counts[name] == size > 0
    assert value(samples, "zchat_sessions") == 1
    assert value(samples, "zchat_refused_total", code="no_such_room") == told.refused["no_such_room"] == 1
    assert value(samples, "zchat_refused_total", code="busy") == 0
    assert value(samples, "zchat_build_info", version=zchat.__version__) == 1
    assert value(samples, "zchat_start_time_seconds") == pytest.approx(time.time(), abs=DEADLINE)
    assert value(samples, "process_resident_memory_bytes") > 1_000_000
    for name in ("commit", "commit_bytes"):
        histogram, unit, _ = MEASURED[name]
        bounds, counts, total = told.times[name]
        assert value(samples, f"zchat_{histogram}_count") == sum(counts) > 0
        assert value(samples, f"zchat_{histogram}_sum") == total / unit > 0
        upto = {s.labels["le"]: s.value for s in samples if s.name == f"zchat_{histogram}_bucket"}
        assert [float(bound) * unit for bound in upto] == [*map(pytest.approx, bounds), float("inf")]
        assert list(upto.values()) == list(accumulate(counts))


def test_every_count_is_reported_and_every_metric_is_in_the_manual(broker: Broker, served: Metrics) -> None:
    samples = scrape(served)
    assert set(broker.figures.counts) == set(METRICS)
    assert set(broker.figures.times) == set(MEASURED)
    told = {re.sub(r"_(bucket|sum|count)$", "", sample.name) for sample in samples} | {"zchat_lag_messages"}
    described = re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`(?:zchat|process)_[^|]+) \|", PAGE, re.MULTILINE)))
    assert sorted(described) == sorted(told)


def test_a_place_that_is_in_use_or_elsewhere_or_none_is_reported(broker: Broker, served: Metrics) -> None:
    taken = served.url.removeprefix("http://").removesuffix("/metrics")
    for place, why in [
        (taken, f"{taken} is in use, so metrics can't be served there; choose another port"),
        ("192.0.2.1:9556", "metrics can't be served at 192.0.2.1:9556 .* use an address of this machine"),
        ("host.invalid:9556", "metrics can't be served at host.invalid:9556 .* use an address of this machine"),
    ]:
        with pytest.raises(zchat.AddressError, match=why), Metrics(broker, place):
            pass
    with pytest.raises(zchat.AddressError, match="is not HOST:PORT"):
        Metrics(broker, "9556")


def test_metrics_are_served_within_their_block_and_once(broker: Broker) -> None:
    served = Metrics(broker, "127.0.0.1:0")
    with pytest.raises(zchat.UsageError, match="within"):
        _ = served.url
    with served:
        url = served.url
        assert scrape(served)
    with pytest.raises(OSError, match="refused"):
        urlopen(url, timeout=DEADLINE)
    with pytest.raises(zchat.UsageError, match="served once"), served:
        pass


def test_a_request_is_given_up_at_its_end_however_much_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(metrics, "time", SimpleNamespace(monotonic=lambda: now))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        timed = metrics._Timed(ours, now + metrics.REQUEST_SECONDS)
        for _ in range(4):
            theirs.sendall(b"x")
            assert timed.read(10) == b"x"
            assert timed.write(b"y") == 1
            now += metrics.REQUEST_SECONDS / 4
        theirs.sendall(b"x")
        with pytest.raises(TimeoutError):
            timed.read(10)
        with pytest.raises(ConnectionAbortedError):
            timed.write(b"y")


def asked(served: Metrics, *headers: str) -> tuple[int, str]:
    host, _, port = served.url.removeprefix("http://").removesuffix("/metrics").rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), DEADLINE) as client:
        client.sendall("\r\n".join(("GET /metrics HTTP/1.1", *headers, "", "")).encode())
        answer = b"".join(iter(lambda: client.recv(65536), b"")).decode()
    return int(answer.split()[1]), answer


def test_at_loopback_a_web_page_reads_nothing_by_a_name_of_its_own(served: Metrics) -> None:
    for host in ("evil.example", "evil.example:9556", "localhost.evil.example", "", "127.0.0.1.evil.example"):
        status, answer = asked(served, f"Host: {host}")
        assert (status, "zchat_" in answer) == (403, False), host
        assert "Ask for an address of this machine, or for localhost" in answer
    for host in ("127.0.0.1", "127.0.0.1:9556", "[::1]:9556", "localhost", "LocalHost:9556", "192.0.2.1:80"):
        assert asked(served, f"Host: {host}")[0] == 200, host
    assert asked(served, "Host: localhost", "Host: evil.example")[0] == 403
    assert asked(served)[0] == 200, "no browser leaves it out"


def test_what_has_an_origin_is_a_web_page_and_reads_nothing(served: Metrics) -> None:
    for origin in ("http://evil.example", "null", "http://localhost"):
        status, answer = asked(served, "Host: localhost", f"Origin: {origin}")
        assert (status, "zchat_" in answer) == (403, False)
        assert "not for web pages" in answer


def test_headers_that_are_made_up_make_no_traceback(served: Metrics, capfd: pytest.CaptureFixture[str]) -> None:
    for header in ("Accept: application/openmetrics-text; version=x", "Accept: ;;=,", "Content-Length: x"):
        assert asked(served, "Host: localhost", header)[0] in (200, 500)
    assert capfd.readouterr().err == ""


def test_at_other_addresses_any_name_may_be_asked_for(broker: Broker) -> None:
    with Metrics(broker, "0.0.0.0:*") as served:
        assert asked(served, "Host: zchat.internal:9556")[0] == 200
        assert asked(served, "Host: zchat.internal:9556", "Origin: http://zchat.internal")[0] == 403


def test_who_connects_and_says_nothing_holds_the_next_up_for_a_bounded_time(
    served: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "REQUEST_SECONDS", 1.0)
    host, port = served.url.removeprefix("http://").removesuffix("/metrics").split(":")
    with socket.create_connection((host, int(port)), DEADLINE) as silent:
        assert scrape(served)
        assert silent.recv(1) == b""


def test_closing_is_not_held_up_by_who_says_nothing(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "REQUEST_SECONDS", DEADLINE)
    with Metrics(broker, "127.0.0.1:*") as served:
        host, port = served.url.removeprefix("http://").removesuffix("/metrics").split(":")
        with socket.create_connection((host, int(port)), DEADLINE):
            began = time.monotonic()
            served.__exit__(None, None, None)
            took = time.monotonic() - began
    assert took < DEADLINE / 2


def test_metrics_have_their_bounds(served: Metrics) -> None:
    assert metrics._Server.request_queue_size == metrics.BACKLOG
    host, port = served.url.removeprefix("http://").removesuffix("/metrics").split(":")
    with ExitStack() as stack:
        for _ in range(metrics.BACKLOG // 2):  # they wait; nobody is turned away
            stack.enter_context(socket.create_connection((host, int(port)), DEADLINE))
    assert scrape(served)


def test_without_a_descriptor_for_a_scrape_it_is_tried_again_after_a_pause(
    served: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[float] = []

    def accept(self: TCPServer) -> NoReturn:
        tried.append(time.monotonic())
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(TCPServer, "get_request", accept)
        host, port = served.url.removeprefix("http://").removesuffix("/metrics").split(":")
        with socket.create_connection((host, int(port)), DEADLINE):
            eventually(lambda: len(tried) > 3, "it is tried")
    assert min(after - before for before, after in pairwise(tried)) > metrics.POLL_SECONDS * 0.9
    assert scrape(served)
