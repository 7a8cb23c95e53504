"""What every benchmark needs: processes that report, rounds in turn, medians, tables."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

import zmq

DEADLINE = 60.0
"""Seconds that any one step may take: far longer than the slowest honest run."""

TRIES = 3
"""How often a run is begun that is disturbed."""

_SPAWN = multiprocessing.get_context("spawn")

Row: TypeAlias = dict[str, Any]


class Failed(Exception):
    """Tell that a run went wrong: a message lost, a process dead, a step too slow."""


class Disturbed(Failed):
    """Tell that a run could not keep its pace, as it happens beside other programs: it may be done again."""


class Worker:
    """Run `target(pipe, *arguments)` in a process of its own, and talk to it through the pipe."""

    def __init__(self, target: Callable[..., None], *arguments: Any) -> None:
        self._pipe, child = _SPAWN.Pipe()
        self._name = target.__name__
        self._process = _SPAWN.Process(target=_work, args=(child, target, arguments), daemon=True)
        self._process.start()
        child.close()

    def tell(self, value: Any = None) -> None:
        """Send the worker a value; it waits in `hear`."""
        self._pipe.send(value)

    def ask(self, value: Any = None) -> Any:
        """Send the worker a value and return what it says next."""
        self.tell(value)
        return self.hear()

    def hear(self) -> Any:
        """Return what the worker says next.

        Raises:
            Failed: it failed, died, or said nothing for `DEADLINE` seconds.
        """
        if not self._pipe.poll(DEADLINE):
            raise Failed(f"{self._name} said nothing for {DEADLINE:.0f} s")
        try:
            right, value = self._pipe.recv()
        except EOFError:
            raise Failed(f"{self._name} died") from None
        if not right:
            raise Failed(f"{self._name} failed: {value}")
        return value

    def cpu(self) -> int:
        """Return the nanoseconds of CPU that the worker and the processes below it have taken."""
        number = self._process.pid
        return sum(map(_cpu, (number, *below(number)))) if number else 0

    def kill(self) -> None:
        """Kill the worker (SIGKILL), and return once it is gone."""
        self._process.kill()
        self._process.join()

    def stop(self) -> None:
        """End the worker, whatever it does."""
        self._pipe.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


class Pipe:
    """Talk, in a worker, to the one who started it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def say(self, value: Any = None) -> None:
        """Send a value."""
        self._connection.send((True, value))

    def hear(self) -> Any:
        """Wait for a value."""
        return self._connection.recv()

    def waiting(self) -> bool:
        """Tell whether `hear` would return at once."""
        return self._connection.poll()

    def wait_for_the_end(self) -> None:
        """Return when the other side is gone."""
        try:
            while True:
                self._connection.recv()
        except (EOFError, OSError):
            pass


def _work(connection: Connection, target: Callable[..., None], arguments: Sequence[Any]) -> None:
    try:
        target(Pipe(connection), *arguments)
    except (EOFError, KeyboardInterrupt, BrokenPipeError):
        pass  # the one who started it is gone and has said why
    except Exception as error:
        with suppress(BrokenPipeError):
            connection.send((False, str(error) if isinstance(error, Failed) else traceback.format_exc()))


class Workers:
    """Start workers, of which the first is a server and the others its clients."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._started: list[Worker] = []

    def __call__(self, target: Callable[..., None], *arguments: Any) -> Worker:
        worker = Worker(target, *arguments)
        self._stack.callback(worker.stop)
        self._started.append(worker)
        return worker

    def cpu(self) -> tuple[int, int, int]:
        """Return the nanoseconds of CPU that the server with its store, a Redis of that store, and the clients of the
        server have taken; they must run."""
        clients = sum(client.cpu() for client in self._started[1:])
        processes = below(os.getpid())
        return sum(map(_cpu, processes)) - clients, sum(_cpu(each) for each in processes if _is_store(each)), clients

    def spent(self, before: tuple[int, int, int], messages: int) -> dict[str, float]:
        """Return the microseconds of CPU a message since `before`; `store µs` is part of the server's, if it is one."""
        server, store, clients = (now - then for now, then in zip(self.cpu(), before, strict=True))
        figures = {"server µs": server, "clients µs": clients} | ({"store µs": store} if store else {})
        return {name: nanoseconds / messages / 1000 for name, nanoseconds in figures.items()}


def _is_store(process: int) -> bool:
    """Return whether a process is the Redis of a store, which this one has started, and none that is compared."""
    with suppress(OSError):
        name, _, rest = Path(f"/proc/{process}/stat").read_text().partition("(")[2].rpartition(")")
        return name == "redis-server" and int(rest.split()[1]) == os.getpid()
    return False


@contextmanager
def workers() -> Iterator[Workers]:
    """Give what starts a `Worker`; at the end all are stopped, the first started last."""
    with ExitStack() as stack:
        yield Workers(stack)


def below(process: int) -> list[int]:
    """Return the processes that a process has started and that those have (Linux: none elsewhere)."""
    parents: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            parents.setdefault(int(status.read_text().rpartition(")")[2].split()[1]), []).append(
                int(status.parent.name)
            )
    found = list(parents.get(process, ()))
    for each in found:
        found += parents.get(each, ())
    return found


def _cpu(process: int) -> int:
    """Return the nanoseconds of CPU that a process has taken, 0 where the system doesn't say or it has ended."""
    try:
        return time.clock_gettime_ns((~process << 3) | 2)  # what clock_getcpuclockid() returns on Linux
    except OSError:
        return 0


STORES = {"memory:": "", "sqlite": "", "redis": "always", "redis-everysec": "everysec"}
"""The kinds of stores, and of a Redis when it flushes its disk: before it answers, as SQLite does, or every second."""


@contextmanager
def store_url(kind: str) -> Iterator[str]:
    """Give the URL of a fresh store: `memory:`, a file for `sqlite`, a server of its own for the others."""
    if kind == "memory:":
        yield kind
        return
    with tempfile.TemporaryDirectory(prefix="zchat-benchmark-") as folder:
        if kind == "sqlite":
            yield f"sqlite:{Path(folder) / 'log.sqlite'}"
            return
        with _redis(Path(folder), STORES[kind]) as path:
            yield f"redis+unix://{path}?acknowledge={'disk' if STORES[kind] == 'always' else 'memory'}"


@contextmanager
def _redis(folder: Path, flushes: str) -> Iterator[Path]:
    """Give the socket of a Redis that answers."""
    path = folder / "socket"
    line = ["redis-server", "--port", "0", "--unixsocket", str(path), "--dir", str(folder), "--save", ""]
    server = subprocess.Popen([*line, "--appendonly", "yes", "--appendfsync", flushes], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + DEADLINE
        while not path.exists():
            if server.poll() is not None or time.monotonic() > deadline:
                raise Failed("redis-server does not start")
            time.sleep(0.01)
        yield path
    finally:
        server.kill()
        server.wait()


def free_port() -> int:
    """Return a port of this machine at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def reached(port: int) -> None:
    """Return once something listens at a port of this machine.

    Raises:
        Failed: nothing does.
    """
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise Failed(f"nothing listens at port {port}")


def in_turn(contenders: dict[str, Callable[[], dict[str, float]]], rounds: int) -> list[Row]:
    """Run every contender once a round, one after the other, and return a row for each.

    A row has the medians of its figures; of the first figure also the least, the most, and the
    ratio to the last contender's median. A contender that fails runs no further, and its row says why.
    """
    results: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
    failed: dict[str, str] = {}
    for number in range(rounds):
        for name, measure in contenders.items():
            if name in failed:
                continue
            try:
                results[name].append(_undisturbed(measure))
            except Failed as error:
                failed[name] = str(error)
            _progress(f"round {number + 1} of {rounds}: {name} {failed.get(name) or results[name][-1]}")
    _progress("")
    rows: list[Row] = [
        {"contender": name, "failed": failed[name]} if name in failed else _row(name, results[name]) for name in results
    ]
    last = rows[-1]
    if "failed" not in last:
        main = list(last)[1]
        rows = [row if "failed" in row else {**row, "ratio": row[main] / last[main]} for row in rows]
    return rows


def _undisturbed(measure: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Return the figures of a run, of a further one where something else disturbed it."""
    for _ in range(TRIES - 1):
        with suppress(Disturbed):
            return measure()
    return measure()


def _row(name: str, figures: list[dict[str, float]]) -> Row:
    first, *_ = figures[0]
    main = [each[first] for each in figures]
    medians = {key: statistics.median(each[key] for each in figures) for key in figures[0]}
    return {"contender": name, **medians, "least": min(main), "most": max(main)}


def percentiles(delays: list[int]) -> dict[str, float]:
    """Return p50, p99 and p99.9 of delays in nanoseconds, in microseconds."""
    ordered = sorted(delays)
    return {f"p{part} µs": ordered[int(len(ordered) * part / 100)] / 1000 for part in (50, 99, 99.9)}


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def options(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=5, help="rounds, each with every contender in turn (default 5)")
    parser.add_argument("--store", choices=list(STORES), default="memory:", help="of zchat's broker")
    parser.add_argument("--size", type=int, default=80, help="bytes of text in a message (default 80)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    return parser


def machine() -> str:
    """Say what the figures were measured on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    python = f"Python {platform.python_version()}"
    return f"{cores} cores, {python}, pyzmq {zmq.__version__}, libzmq {zmq.zmq_version()}"


def report(title: str, rows: list[Row], as_json: bool) -> None:
    """Print the rows, as a table or as one JSON object.

    Raises:
        Failed: a contender has.
    """
    if as_json:
        print(json.dumps({"benchmark": title, "machine": machine(), "rows": rows}), flush=True)
    else:
        _print(title, rows)
    if failed := [f"{row['contender']}: {row['failed']}" for row in rows if "failed" in row]:
        raise Failed("\n".join(failed))


def _print(title: str, rows: list[Row]) -> None:
    print(f"{title} ({machine()})")
    heads = list(dict.fromkeys(head for row in rows for head in row if head != "failed"))
    cells = [heads, *([_cell(row.get(head)) for head in heads] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        first, *others = (text.ljust(widths[0]) if not index else text for index, text in enumerate(line))
        print(first, *(text.rjust(width) for text, width in zip(others, widths[1:], strict=True)), sep="  ")


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def run(main: Callable[[], None]) -> None:
    """Run a benchmark's main function; a failure is one line and exit code 1.

    A signal that ends it ends its workers and their servers first, so that nothing writes any more to the stores that
    it removes.
    """

    def end(number: int, frame: FrameType | None) -> None:
        servers = [below(child.pid) for child in multiprocessing.active_children() if child.pid]
        for child in multiprocessing.active_children():
            child.kill()
            child.join()
        for server in (found for each in servers for found in each):
            with suppress(ProcessLookupError):
                os.kill(server, signal.SIGKILL)
        sys.exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)
    try:
        main()
    except Failed as error:
        sys.exit(f"failed: {error}")
