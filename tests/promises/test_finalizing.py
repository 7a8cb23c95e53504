"""A program that ends with clients that are open: no call in a finalizer waits for threads that don't run any more."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from tests.promises.nested import AT_ONCE
from tests.promises.outliving import OBJECTS
from tests.running import ROOT
from zchat.broker import Broker


@pytest.mark.parametrize("cycle", [[], ["cycle"]], ids=["alone", "in a cycle"])
def test_a_finalizer_at_the_programs_end_is_refused_what_would_wait(cycle: list[str]) -> None:
    with Broker("tcp://127.0.0.1:*") as broker:
        command = [sys.executable, "-W", "ignore", "-m", "tests.promises.finalizing", broker.url, *cycle]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")
    begin, *lines = run.stdout.splitlines()
    assert begin == "the end"
    assert len(lines) == 27
    wrong = []
    for line in lines:
        name, came, seconds = line.split(" | ")
        expected = "returned" if name.endswith("returns") else "refused: this would wait, and the program is ending"
        if not came.startswith(expected) or float(seconds) > AT_ONCE / 4:
            wrong.append(line)
    assert wrong == []


@pytest.mark.parametrize("name", OBJECTS)
def test_a_finalizer_that_is_run_when_the_modules_are_gone_shows_no_error(name: str) -> None:
    with Broker("tcp://127.0.0.1:*") as broker:
        command = [sys.executable, "-W", "ignore", "-m", "tests.promises.outliving", broker.url, name]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")


AT_THE_END = """
import asyncio, atexit, sys, threading
import zchat
from zchat.broker import Broker

what, where, url = sys.argv[1:]

def client(**options):
    with zchat.Client(url, user="late", timeout=60, **options) as made:
        made.join("General").send(what)

async def in_a_loop():
    async with zchat.AsyncClient(url, user="late", timeout=60) as made:
        await (await made.join("General")).send(what)

def broker():
    with Broker("tcp://127.0.0.1:*") as made:
        assert made.url

ways = {
    "client": client,
    "handler": lambda: client(on_event=lambda event: None),
    "loop": lambda: asyncio.run(in_a_loop()),
    "broker": broker,
}

def late():
    try:
        ways[what]()
        print("it works")
    except zchat.ZchatError as error:
        print(type(error).__name__, error)

def when_the_main_thread_has_ended():
    threading.main_thread().join()
    late()

if where == "atexit":
    atexit.register(late)
else:
    threading.Thread(target=when_the_main_thread_has_ended).start()
"""

STARTS_NONE = (3, 12, 0) <= sys.version_info[:3] < (3, 12, 3)
"""True for those Pythons that start no thread once the main thread has ended."""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("where", ["atexit", "another thread"])
@pytest.mark.parametrize("what", ["client", "handler", "loop", "broker"])
def test_clients_and_brokers_are_made_after_the_main_threads_end_unless_python_starts_no_thread(
    what: str, where: str, host: str
) -> None:
    with Broker("tcp://127.0.0.1:*") as broker:
        command = [sys.executable, "-c", AT_THE_END, what, where, broker.url.replace("127.0.0.1", host)]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")
    begin = "UsageError no more threads can be started, as the interpreter is ending" if STARTS_NONE else "it works"
    assert run.stdout.startswith(begin)


def test_every_finalizer_is_silent_at_the_end() -> None:
    finalizers = [
        (path.name, [ast.unparse(each) for each in node.decorator_list])
        for path in sorted((ROOT / "zchat").rglob("*.py"))
        for parent in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(parent, ast.ClassDef)
        for node in parent.body
        if isinstance(node, ast.FunctionDef) and node.name == "__del__"
    ]
    assert len(finalizers) >= 5
    assert [each for each in finalizers if each[1] != ["silent_at_the_end"]] == []
