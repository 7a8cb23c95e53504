"""The broker as a thread: the face that starts it and stops it."""

from __future__ import annotations

import os
import threading
from sys import is_finalizing
from types import TracebackType

from zchat import paths
from zchat.address import DEFAULT_URL, IPC, check_address, is_this_machines
from zchat.broker.figures.counters import Counters
from zchat.broker.figures.lag import Lag
from zchat.broker.limits import HIGH_WATER_MARK, MAX_MESSAGE, NAMES
from zchat.broker.loop import Found, Loop
from zchat.broker.settings import DEFAULT_ROOMS, Security, Settings
from zchat.broker.store import open_store, shown_url
from zchat.checks import check_flag, check_timeout
from zchat.errors import AddressError, BadAudit, BadKey, BadRules, StoreError, UsageError, ZchatError
from zchat.logs import broker_log
from zchat.threads import (
    Flag,
    RealThread,
    awaited,
    awaited_by_callers,
    check_real_threads,
    get_ident,
    join_briefly,
    refuse_to_wait,
    start,
)
from zchat.wire.replies import Figures

START_SECONDS = 60.0
"""How long opening the store and the addresses may take: a large file that is upgraded takes its time."""

JOIN_SECONDS = 10.0
"""How long the thread may take to end: far more than a stop takes, so that a fault shows as one."""


class Broker:
    """A broker in a thread of this program, for as long as a `with` block lasts.

    Args:
        bind: the addresses to listen on, `tcp://HOST:PORT` (`*` as port: any free one) or
            `ipc://PATH`; none for tcp://127.0.0.1:5555.
        store: `memory:`, `sqlite:PATH`, or the URL of a Redis, `redis://HOST`.
        high_water_mark: notifications of a room that a member may hold unread, 1 to 10,000.
        rooms: rooms that always exist.
        fixed_rooms: True if no others may be created.
        retain_messages: number of newest messages that each room keeps at least; 0 for all.
        retain_days: days that messages are kept; 0 for ever.
        max_message: size of the largest message accepted, in bytes.
        names: number of members up to which a room's members are named, 0 to 1,000; beyond it
            they are counted.
        keys: the folder with the broker's key and those of its users, as `zchat keygen --server`
            makes it; names are then bound to keys. None for no keys: names are claims.
        guests: True if keys that are not in the folder are let in as well, under the name
            `guest-` and eight digits of their fingerprint.
        logins: True if over ipc users need no key, and have their login as their name.
        rules: the file that says who may do what in which rooms; None allows everyone everything. It
            requires keys or logins.
        insecure: True if addresses that other machines can reach may be listened at without keys.
        audit: the file that who comes in, and what is done to whom, is appended to, a JSON object a
            line. The same lines go to the handlers of the logger `zchat.audit`, which hands them on to
            no other; True for these alone. False for no audit log.

    Entering returns once clients can connect. Leaving answers what was accepted, notifies the
    clients, and raises what ended the loop if something did (if the block raises as well, its
    error carries a note of it). Any thread may call; a forked child may not, and leaving the block
    there does nothing. A start that is broken off, as by Ctrl-C, stops the broker, waits half a second at most for it
    to end, mostly some milliseconds, and raises what broke it off.

    Raises:
        UsageError: an argument is wrong; BadName: a room's name is.
        AddressError: an address is malformed, in use, not this machine's, or one that other machines
            can reach although there are no keys.
        BadKey: the folder of keys, or a file in it, is wrong.
        BadRules: the file of rules is wrong; BadAudit: that of the audit log can't be used.
        StoreError: the store can't be opened, or failed for good.
        ZchatError: the broker does not start, or end, in time.
    """

    def __init__(
        self,
        *bind: str,
        store: str = "memory:",
        high_water_mark: int = HIGH_WATER_MARK,
        rooms: tuple[str, ...] | list[str] = DEFAULT_ROOMS,
        fixed_rooms: bool = False,
        retain_messages: int = 0,
        retain_days: float = 0,
        max_message: int = MAX_MESSAGE,
        names: int = NAMES,
        keys: str | os.PathLike[str] | None = None,
        guests: bool = False,
        logins: bool = False,
        rules: str | os.PathLike[str] | None = None,
        insecure: bool = False,
        audit: str | os.PathLike[str] | bool = False,
    ) -> None:
        self._settings = Settings(
            high_water_mark=high_water_mark,
            rooms=rooms,  # type: ignore[arg-type]
            fixed_rooms=fixed_rooms,
            retain_messages=retain_messages,
            retain_days=retain_days,
            max_message=max_message,
            names=names,
        )
        self._bind = bind or (DEFAULT_URL,)
        for url in self._bind:
            check_address(url, listening=True)
        self._security = Security(
            None if keys is None else paths.given("keys is the path of a folder", keys, BadKey),
            guests,
            logins,
            None if rules is None else paths.given("rules is the path of a file", rules, BadRules),
            audit
            if isinstance(audit, bool)
            else paths.given("audit is the path of a file, or a bool", audit, BadAudit),
        )
        for name, value in {"guests": guests, "logins": logins, "insecure": insecure}.items():
            check_flag(name, value)
        _check_security(self._bind, self._security, insecure=insecure)
        self._store = open_store(store)
        self._place = shown_url(store)
        self._loop: Loop | None = None
        self._thread: RealThread | None = None
        self._error: BaseException | None = None
        self._ready = Flag()
        self._pid = 0

    @property
    def urls(self) -> list[str]:
        """Return the addresses that clients can connect to."""
        if self._loop is None or not self._loop.urls:
            raise UsageError("the broker is not running: use it within its `with` block")
        return list(self._loop.urls)

    @property
    def url(self) -> str:
        """Return the first of the addresses."""
        return self.urls[0]

    @property
    def found(self) -> Found:
        """Return what the broker found at its start, in its store and in its folder of keys."""
        if self._loop is None or not self._loop.urls:
            raise UsageError("the broker is not running: use it within its `with` block")
        return self._loop.found

    @property
    def counters(self) -> Counters:
        """Return what the broker has counted; read only."""
        if self._loop is None or self._loop.core is None:
            raise UsageError("the broker is not running: use it within its `with` block")
        return self._loop.core.counters

    @property
    def lagging(self) -> tuple[Lag, ...]:
        """Return the members furthest behind, ten at most, as sampled in the last five seconds. Any thread."""
        if self._loop is None or self._loop.core is None:
            raise UsageError("the broker is not running: use it within its `with` block")
        return self._loop.core.lag.furthest

    @property
    def figures(self) -> Figures:
        """Return the broker's figures, as `Client.stats` has them, of rooms that everybody may see. Any thread."""
        if self._loop is None or self._loop.core is None:
            raise UsageError("the broker is not running: use it within its `with` block")
        return self._loop.core.figures()

    def __enter__(self) -> Broker:
        if self._thread is not None:
            raise UsageError("a broker runs once: make another one")
        check_real_threads("a broker")
        self._pid = os.getpid()
        self._loop = Loop(self._bind, self._store, self._settings, self._place, self._security)
        self._thread = RealThread(self._run, "zchat-broker")
        try:
            start(self._thread)
            if not self._ready.wait(START_SECONDS):
                raise ZchatError(f"the broker did not start within {START_SECONDS:g} s")
            if not self._loop.urls and self._error is not None:
                raise self._error
            return self
        except BaseException:  # of a signal, perhaps: nobody could stop it later
            self._give_up()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._pid != os.getpid():
                return
            self.stop()
        except BaseException:  # as above
            self._give_up()
            raise
        if self._error is not None:
            if error is None:
                raise self._error
            error.add_note(f"The broker had failed before: {self._error!r}")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the broker has ended, for `timeout` seconds at most (None: for ever); True if it has.

        Raises:
            UsageError: this is a thread of zchat's own that others or the broker's end wait for, as in a handler of log
                records.
        """
        if self._thread is None:
            raise UsageError("the broker is not running: use it within its `with` block")
        self._check_process()
        seconds = check_timeout(timeout)
        if seconds != 0 and self._may_not_wait():
            raise refuse_to_wait()
        self._thread.join(None if seconds is None else min(seconds, threading.TIMEOUT_MAX))
        return not self._thread.is_alive()

    def read_again(self) -> None:
        """Have the keys and the rules read, and the audit log begun anew if its file was moved. Any thread.

        That happens at once, not within the next second; without any of them nothing does.
        """
        if self._loop is not None:
            self._loop.read_again()

    def stop(self) -> None:
        """Stop the broker and wait for it; what went wrong in it is raised where the block is left. Any thread.

        In a thread of zchat's own that others or the broker's end wait for, as in a handler of log records, it only
        asks the broker to end.
        """
        if self._loop is not None and self._thread is not None:
            self._check_process()
            self._loop.stop()
            self._join()

    def _give_up(self) -> None:
        """Have it end, and wait a moment, as an exception has broken its start or its stop off."""
        if self._loop is not None and self._thread is not None:
            self._loop.stop()
            join_briefly(self._thread)

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            raise UsageError("the broker runs in the process that started it, not in one forked from it")

    def _join(self) -> None:
        assert self._thread is not None
        if self._may_not_wait():
            return
        self._thread.join(JOIN_SECONDS)
        if self._thread.is_alive():
            raise ZchatError(f"the broker did not end within {JOIN_SECONDS:g} s; it continues until the program ends")

    def _may_not_wait(self) -> bool:
        """Return whether the broker has ended with the program, or ends only once the calling thread goes on."""
        assert self._loop is not None
        return is_finalizing() or get_ident() in awaited or self._loop.waits_for(get_ident())

    @awaited_by_callers()
    def _run(self) -> None:
        assert self._loop is not None
        try:
            self._loop.run(self._ready.set)
        except BaseException as error:
            self._error = error
            if self._ready.is_set():  # else the thread that waits for the start raises it
                self._log_failure(error)
        finally:
            self._ready.set()

    def _log_failure(self, error: BaseException) -> None:
        if isinstance(error, StoreError) and error.__cause__ is None:  # its text says it all
            broker_log.error("the broker has failed: %s", error, event="failed")
        else:
            broker_log.exception("the broker has failed", event="failed")


def _check_security(bind: tuple[str, ...], security: Security, *, insecure: bool) -> None:
    """Raise an error if strangers could come in by one of the addresses, or names be claimed that are bound."""
    if security.rules is not None and security.keys is None and not security.logins:
        raise UsageError(
            "rules are about users, and without keys anybody can use any name: give keys (--keys DIR) or logins "
            "(--logins) as well"
        )
    if security.keys is not None:
        if insecure:
            raise UsageError("insecure is for a broker without keys: give one of the two")
        return
    if security.guests:
        raise UsageError("guests are let in beside users with keys: give keys as well")
    for url in bind:
        if security.logins and not url.startswith(IPC):
            raise UsageError(f"logins are known over ipc alone: for {url} give keys as well, or leave it out")
        if security.logins or insecure:
            continue
        if url.startswith(f"{IPC}@"):
            raise AddressError(
                f"every user of this machine can reach {url}, and there are no keys: use ipc://PATH in a folder of "
                "your own, or give keys (--keys DIR) or logins (--logins), or insecure (--insecure) if you trust them"
            )
        if not url.startswith(IPC) and not is_this_machines(url):
            raise AddressError(
                f"{url} can be reached from other machines, and there are no keys: give keys (--keys DIR), or "
                "insecure (--insecure) if you trust all who reach it"
            )
