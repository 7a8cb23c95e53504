"""The contexts of ZeroMQ: the one place where they are made."""

from __future__ import annotations

import errno
import os

import zmq
import zmq.backend

from zchat import threads
from zchat.errors import ZchatError

MAX_SOCKETS = 65_536
"""Sockets that a context may hold: the system's limit on open files is the one that counts."""

CONTEXT_FILES = 14
"""File descriptors that have to be free for a context and its first connection: 5 for its threads, and the others."""

CONNECTION_FILES = 8
"""File descriptors that have to be free for a connection: 3 for its sockets, its own, and some for another thread."""

CONTEXT_THREADS = 3
"""Threads that have to be free for a context: 2 of its own, and the one that is to use it."""

send_part = zmq.backend.Socket.send
"""What pyzmq's `Socket.send` calls, with the socket, the bytes and flags, after a look for arguments of drafts."""

_contexts: dict[int, zmq.Context[zmq.Socket[bytes]]] = {}


def new_context(files: int = CONTEXT_FILES) -> zmq.Context[zmq.Socket[bytes]]:
    """Return a context of the caller's own, which the caller terminates. Any thread.

    Raises:
        ZchatError: not as many as `files` file descriptors are free, or too few threads.
    """
    check_free(files)
    threads.check_free(CONTEXT_THREADS)
    try:
        context = zmq.Context()
        context.set(zmq.MAX_SOCKETS, min(MAX_SOCKETS, context.get(zmq.SOCKET_LIMIT)))
        context.socket(zmq.PAIR).close(0)  # the first one starts its threads: now, for there are descriptors
    except zmq.ZMQError as error:
        raise no_sockets(error) from error
    return context


def context_of_this_process() -> zmq.Context[zmq.Socket[bytes]]:
    """Return the context that this process's clients share; a forked child gets another. Any thread.

    Raises:
        ZchatError: there is no file descriptor left, or no thread.
    """
    context = _contexts.get(os.getpid())
    if context is None:
        made = new_context()
        context = _contexts.setdefault(os.getpid(), made)  # without a lock, which a fork could leave taken
        if context is not made:
            made.term()
    return context


def check_free(files: int) -> None:
    """See that as many file descriptors as `files` are free. Any thread.

    libzmq ends the process if it gets none for the threads of a context, and is silent if it gets none for a
    connection.

    Raises:
        ZchatError: they are not.
    """
    taken: list[int] = []
    try:
        while len(taken) < files:
            taken += os.pipe()
    except OSError as error:
        raise no_sockets(error) from error
    finally:
        for each in taken:
            os.close(each)


def no_sockets(error: OSError | zmq.ZMQError) -> ZchatError:
    """Return the error of a program for which the system has no more sockets."""
    limit = "memory (ulimit -v)" if error.errno == errno.ENOMEM else "open files (ulimit -n)"
    return ZchatError(
        f"no more sockets can be opened ({error.strerror}): close clients that aren't used, "
        f"or raise the limit on {limit}"
    )
