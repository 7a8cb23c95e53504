"""Where a message's time goes: the steps of its way from `send` to `messages()`, at one message a millisecond.

Broker, publisher and subscriber are the processes of `latency.py`. In each of them what is called between two steps is
wrapped, and notes the time, on the clock that all processes of a machine share; a message's steps are the first that
come after its sending. Beside them: CPU and wake-ups a message of each thread, as the system counts them, and what the
pieces of such a way take alone.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import Any

import zmq

import yardstick
import zchat.broker.core.core
import zchat.broker.loop
import zchat.transport.dealer
import zchat.transport.link
from _contenders import Contender, Yardstick, Zchat
from _run import DEADLINE, Failed, Pipe, machine, options, run, store_url, workers
from latency import PACE, READER, SILENCE, WARM_UP, WRITER
from zchat.transport.alarm import Alarm

Times = dict[str, list[int]]
"""When a step was taken, in nanoseconds, by the step's name."""

Change = tuple[Any, str, Callable[..., Any]]
"""What has a call, its name there, and what is called in its place."""

WAY = (
    ("the sender's thread hands the message over", "send", "sender woke"),
    ("the sender's receive thread packs it", "sender woke", "sender sent"),
    ("libzmq takes it, and the system brings it to the broker's loop", "sender sent", "broker woke"),
    ("the loop receives it", "broker woke", "broker began"),
    ("the core stores and numbers it", "broker began", "broker stored"),
    ("the core makes the reader's notification", "broker stored", "broker pushed"),
    ("libzmq takes it, and the system brings it to the reader's receive thread", "broker pushed", "reader woke"),
    ("the receive thread takes it in", "reader woke", "reader took"),
    ("the reader's own thread has it", "reader took", "had"),
)
"""What happens from one step to the next."""

YARDSTICK_WAY = (
    ("the sender's thread hands the message over", "send", "sender woke"),
    ("the sender's other thread takes it", "sender woke", "sender sent"),
    ("libzmq takes it, and the system brings it to the broker", "sender sent", "broker woke"),
    ("the broker takes it", "broker woke", "broker pushed"),
    ("libzmq takes it, and the system brings it to the reader's thread", "broker pushed", "reader woke"),
    ("the reader's own thread has it", "reader woke", "had"),
)

AFTERWARDS = (
    ("the core makes its answer", "broker pushed", "broker answered"),
    ("the loop sleeps again", "broker answered", "broker slept"),
    ("the answer is at the sender's receive thread", "broker answered", "sender woke again"),
    ("`send` returns", "sender woke again", "returned"),
)
"""What happens beside, or later."""

clock = time.perf_counter_ns


class Steps:
    """Note when steps are taken."""

    def __init__(self) -> None:
        self.times: Times = {}

    def before(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a call that notes when it begins."""
        note = self.times.setdefault(name, []).append

        def noting(*arguments: Any, **options: Any) -> Any:
            note(clock())
            return call(*arguments, **options)

        return noting

    def after(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a call that notes when it has ended."""
        note = self.times.setdefault(name, []).append

        def noting(*arguments: Any, **options: Any) -> Any:
            result = call(*arguments, **options)
            note(clock())
            return result

        return noting

    def around(self, before: str, after: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a call that notes when it begins and has ended."""
        return self.before(before, self.after(after, call))


@contextmanager
def replaced(*changes: Change) -> Iterator[None]:
    """Have other calls in place of these while the block lasts."""
    kept = [(place, name, getattr(place, name)) for place, name, _ in changes]
    for place, name, call in changes:
        setattr(place, name, call)
    try:
        yield
    finally:
        for place, name, call in kept:
            setattr(place, name, call)


def threads() -> dict[int, tuple[str, int, int]]:
    """Return the threads of this process by number: name, nanoseconds of CPU, and how often each has slept."""
    known = {each.native_id: each.name for each in threading.enumerate()}
    found = {}
    for task in Path("/proc/self/task").iterdir():
        number = int(task.name)
        status = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
        ran = int((task / "schedstat").read_text().split()[0])
        name = known.get(number) or status["Name"].strip()
        found[number] = name, ran, int(status["voluntary_ctxt_switches"])
    return found


def spent(before: dict[int, tuple[str, int, int]], messages: int) -> dict[str, tuple[float, float]]:
    """Return microseconds of CPU, and wake-ups, a message of each thread since then, by name."""
    found: dict[str, tuple[float, float]] = {}
    for number, (name, ran, slept) in threads().items():
        _, ran_before, slept_before = before.get(number, ("", 0, 0))
        cpu, waked = found.get(name, (0.0, 0.0))
        found[name] = cpu + (ran - ran_before) / 1000 / messages, waked + (slept - slept_before) / messages
    return found


class Calls:
    """Count the calls of Python functions and of C's by thread, if `wanted`, and name the most frequent."""

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted
        self._counts: dict[str, Counter[str]] = {}
        if wanted:
            threading.setprofile(self._count)

    def begin(self) -> None:
        """Count from now on, in this thread too."""
        if self.wanted:
            self._counts.clear()
            sys.setprofile(self._count)

    def _count(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            name = f"{Path(frame.f_code.co_filename).name} {frame.f_code.co_qualname}"
        elif event == "c_call":
            name = f"C {getattr(argument, '__qualname__', argument)}"
        else:
            return
        self._counts.setdefault(threading.current_thread().name, Counter())[name] += 1

    def said(self, messages: int) -> dict[str, dict[str, float]]:
        """Return the calls a message by function, by thread."""
        sys.setprofile(None)
        counts = {name: each.copy() for name, each in self._counts.items()}
        return {name: {what: count / messages for what, count in each.items()} for name, each in counts.items()}


def serve(pipe: Pipe, contender: Contender, store: str, messages: int, count: bool) -> None:
    """Run the broker, and say its steps once it is asked."""
    steps, calls = Steps(), Calls(count)
    loop, core = zchat.broker.loop, zchat.broker.core.core.Core
    changes: list[Change] = [
        (zmq, "zmq_poll", steps.around("broker slept", "broker woke", zmq.zmq_poll)),
        (core, "receive", steps.around("broker began", "broker stored", core.receive)),
        (loop.Loop, "send", steps.before("broker sent", loop.Loop.send)),
    ]
    if isinstance(contender, Yardstick):
        changes = [noting_sockets(steps, "broker slept", "broker woke", "broker sent")]
    if count:
        changes = []
    with replaced(*changes), contender.broker(store) as broker:
        pipe.say(broker.url)
        pipe.hear()
        began = threads()
        calls.begin()
        pipe.hear()
        pipe.say((steps.times, spent(began, messages), calls.said(messages)))
        pipe.wait_for_the_end()


def noting_sockets(steps: Steps, slept: str, woke: str, sent: str) -> Change:
    """Have the yardstick's sockets note when they wait, have something, and have sent."""
    make = yardstick._socket

    def made(*arguments: Any) -> Any:
        socket = make(*arguments)
        object.__setattr__(socket, "recv", steps.around(slept, woke, socket.recv))
        object.__setattr__(socket, "send", steps.before(sent, socket.send))
        return socket

    return yardstick, "_socket", made


def publish(pipe: Pipe, contender: Contender, url: str, size: int, messages: int, count: bool) -> None:
    """Send a message a millisecond, and say the steps."""
    steps, calls = Steps(), Calls(count)
    dealer: Any = zchat.transport.dealer
    changes: list[Change] = [
        (zmq, "zmq_poll", steps.after("sender woke", zmq.zmq_poll)),
        (dealer, "send_part", steps.before("sender sent", dealer.send_part)),
    ]
    if isinstance(contender, Yardstick):
        changes = [
            (zmq.Poller, "poll", steps.after("sender woke", zmq.Poller.poll)),
            noting_sockets(steps, "sender slept", "sender had", "sender sent"),
        ]
    if count:
        changes = []
    with replaced(*changes), contender.publisher(url, WRITER) as room:
        pipe.say()
        pipe.hear()
        began = threads()
        calls.begin()
        begun, returned = steps.times.setdefault("send", []), steps.times.setdefault("returned", [])
        due = clock()
        for _ in range(messages):
            while (early := due - clock()) > 0:
                time.sleep(early / 1e9)
            now = clock()
            begun.append(now)
            room.send(f"{now:0{size}}")
            returned.append(clock())
            due = max(due + PACE, clock())
        pipe.say((steps.times, spent(began, messages), calls.said(messages)))
        pipe.wait_for_the_end()


def subscribe(pipe: Pipe, contender: Contender, url: str, messages: int, count: bool) -> None:
    """Take all messages in a thread, and say the steps."""
    steps, calls = Steps(), Calls(count)
    link = zchat.transport.link.Link
    changes: list[Change] = [
        (zmq, "zmq_poll", steps.after("reader woke", zmq.zmq_poll)),
        (link, "_receive", steps.after("reader took", link._receive)),
    ]
    if isinstance(contender, Yardstick):
        changes = [noting_sockets(steps, "reader slept", "reader woke", "reader sent")]
    if count:
        changes = []
    with replaced(*changes), contender.subscriber(url, READER, messages) as room:
        had = steps.times.setdefault("had", [])
        began = threads()
        thread = Thread(target=_take, args=(room, messages, had), name="reader", daemon=True)
        thread.start()
        calls.begin()
        pipe.say()
        thread.join(DEADLINE)
        if len(had) != messages:
            raise Failed(f"{messages:,} messages were sent, {len(had):,} came")
        pipe.say((steps.times, spent(began, messages), calls.said(messages)))
        pipe.wait_for_the_end()


def _take(room: Any, messages: int, had: list[int]) -> None:
    for _ in room.messages(timeout=SILENCE):
        had.append(clock())
        if len(had) == messages:
            break


def once(contender: Contender, arguments: argparse.Namespace, *, count: bool = False) -> tuple[Any, ...]:
    """Return the microseconds of each step at the median, and by process what each thread spent, and what it called."""
    messages = arguments.messages + WARM_UP
    with workers() as start, store_url(contender.store) as store:
        broker = start(serve, contender, store, messages, count)
        url = broker.hear()
        reader = start(subscribe, contender, url, messages, count)
        reader.hear()
        writer = start(publish, contender, url, arguments.size, messages, count)
        writer.hear()
        broker.tell()
        answers = {"sender": writer.ask(), "reader": reader.hear(), "broker": broker.ask()}
        broker.stop()
    times = {name: each for said, *_ in answers.values() for name, each in said.items()}
    spent = {process: each[1] for process, each in answers.items()}
    called = {process: each[2] for process, each in answers.items()}
    return {} if count else medians(times, contender), spent, called


def medians(times: Times, contender: Contender) -> dict[str, float]:
    """Return the microseconds of each step at the median."""
    way = YARDSTICK_WAY if isinstance(contender, Yardstick) else WAY + AFTERWARDS
    sent = times["broker sent"]
    found: dict[str, list[float]] = {name: [] for name, *_ in way}
    found["in all"] = []
    for number, begun in enumerate(times["send"]):
        if number < WARM_UP:
            continue
        at = {"send": begun, "had": times["had"][number], "returned": times["returned"][number]}
        for name, after in (
            ("sender woke", "send"),
            ("sender sent", "sender woke"),
            ("broker woke", "sender sent"),
            ("broker began", "broker woke"),
            ("broker stored", "broker began"),
        ):
            if name in times:
                at[name] = _next(times[name], at[after])
        pushed = bisect_left(sent, at.get("broker stored", at["broker woke"]))
        if pushed + 1 >= len(sent):
            continue
        at["broker pushed"], at["broker answered"] = sent[pushed], sent[pushed + 1]
        at["reader woke"] = _next(times["reader woke"], at["broker pushed"])
        if "reader took" in times:
            at["reader took"] = _next(times["reader took"], at["reader woke"])
            at["broker slept"] = _next(times["broker slept"], at["broker answered"])
            at["sender woke again"] = _next(times["sender woke"], at["broker answered"])
        for name, before, after in way:
            found[name].append((at[after] - at[before]) / 1000)
        found["in all"].append((at["had"] - begun) / 1000)
    return {name: statistics.median(each) for name, each in found.items() if each}


def _next(times: list[int], after: int) -> int:
    """Return the first time that is not before another."""
    place = bisect_left(times, after)
    return times[place] if place < len(times) else after


def wake(pipe: Pipe, messages: int) -> None:
    """Say how long it takes, one a millisecond, to wake a thread that polls, and one that waits for a lock."""
    alarm, lock = Alarm(), threading.Lock()
    polled: list[int] = []
    acquired: list[int] = []
    begun: list[int] = []
    released: list[int] = []

    def poll() -> None:
        for _ in range(messages):
            zmq.zmq_poll([(alarm.fd, zmq.POLLIN)], -1)
            polled.append(clock())
            alarm.quiet()

    def acquire() -> None:
        for _ in range(messages):
            lock.acquire()
            acquired.append(clock())

    lock.acquire()
    for target, woken, note, signal in (
        (poll, polled, begun, alarm.ring),
        (acquire, acquired, released, lock.release),
    ):
        thread = Thread(target=target, daemon=True)
        thread.start()
        for number in range(messages):
            while len(woken) < number:  # of two rings that come together a sleeper hears one
                time.sleep(PACE / 1e9)
            time.sleep(PACE / 1e9)
            note.append(clock())
            signal()
        thread.join(DEADLINE)
    alarm.close()
    pipe.say((_median(begun, polled), _median(released, acquired)))
    pipe.wait_for_the_end()


def receive(pipe: Pipe, messages: int) -> None:
    """Say how long a frame is under way to a ROUTER, by the time that it holds."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        pipe.say(f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}")
        sent, came = [], []
        for _ in range(messages):
            router.recv()
            frame = router.recv()
            came.append(clock())
            sent.append(int(frame))
        pipe.say(_median(sent, came))
        pipe.wait_for_the_end()


def give(pipe: Pipe, url: str, size: int, messages: int) -> None:
    """Send a frame a millisecond, which holds the time."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.connect(url)
        for _ in range(messages):
            time.sleep(PACE / 1e9)
            dealer.send(f"{clock():0{size}}".encode())
        pipe.say()
        pipe.wait_for_the_end()


def _median(begun: list[int], ended: list[int]) -> float:
    """Return the microseconds between these times at the median, without those of the beginning."""
    return statistics.median(b - a for a, b in zip(begun[WARM_UP:], ended[WARM_UP:], strict=True)) / 1000


def pieces(arguments: argparse.Namespace) -> dict[str, float]:
    """Return the microseconds that the pieces of the way take alone, and all of them that it needs."""
    messages = arguments.messages + WARM_UP
    with workers() as start:
        polled, acquired = start(wake, messages).hear()
    with workers() as start:
        receiver = start(receive, messages)
        start(give, receiver.hear(), arguments.size, messages)
        carried = receiver.hear()
    return {
        "to wake a thread that polls": polled,
        "to wake a thread that waits for a lock": acquired,
        "a frame from one process to another by libzmq": carried,
        "in all, with two frames": polled + acquired + 2 * carried,
    }


def show_calls(contenders: list[Contender], arguments: argparse.Namespace) -> None:
    """Print what each thread calls for a message."""
    for contender in contenders:
        *_, called = once(contender, arguments, count=True)
        for process, by_thread in called.items():
            for thread, calls in by_thread.items():
                of_c = sum(each for name, each in calls.items() if name.startswith("C "))
                of_python = sum(calls.values()) - of_c
                print(f"{contender}: {process}, {thread}: {of_python:.1f} calls of Python, {of_c:.1f} of C")
                for name in sorted(calls, key=calls.__getitem__, reverse=True)[: arguments.calls]:
                    print(f"{calls[name]:10.2f} {name}")


def main() -> None:
    parser = options("Measure where the time of a message goes, at one message a millisecond.")
    parser.add_argument("--messages", type=int, default=2000, help="messages in a round (default 2000)")
    parser.add_argument(
        "--calls", type=int, default=0, metavar="N", help="count calls; show each thread's N most frequent"
    )
    parser.add_argument("--only", choices=["zchat", "yardstick"], help="leave the other out")
    arguments = parser.parse_args()
    contenders: list[Contender] = [Zchat(arguments.store), Yardstick()]
    contenders = [each for each in contenders if arguments.only is None or str(each).startswith(arguments.only)]
    if arguments.calls:
        show_calls(contenders, arguments)
        return
    results: dict[str, list[tuple[Any, ...]]] = {str(each): [] for each in contenders}
    for _ in range(arguments.rounds):
        for each in contenders:
            results[str(each)].append(once(each, arguments))
        if arguments.only is None:
            results.setdefault("the pieces alone", []).append((pieces(arguments), {}))
    print(machine())
    for name, rounds in results.items():
        print(f"\n{name}: microseconds of a message, medians")
        for step in rounds[0][0]:
            values = [each[step] for each, *_ in rounds if step in each]
            print(f"  {step:<66}{statistics.median(values):8.1f}")
        for process in rounds[0][1]:
            for thread in rounds[0][1][process]:
                figures = [each[process][thread] for _, each, *_ in rounds if thread in each[process]]
                cpu, waked = (statistics.median(column) for column in zip(*figures, strict=True))
                if waked >= 0.05 or cpu >= 1:
                    print(f"  {process + ', ' + thread:<50}{cpu:8.1f} us of CPU{waked:8.2f} wake-ups")


if __name__ == "__main__":
    run(main)
