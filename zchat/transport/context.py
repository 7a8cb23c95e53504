"""The contexts of ZeroMQ: the one place where they are made."""

from __future__ import annotations

import os

import zmq

from zchat.errors import ZchatError

MAX_SOCKETS = 65_536
"""Sockets that a context may hold: the system's limit on open files is the one that counts."""

_contexts: dict[int, zmq.Context[zmq.Socket[bytes]]] = {}


def new_context() -> zmq.Context[zmq.Socket[bytes]]:
    """Return a context of the caller's own, which the caller terminates. Any thread.

    Raises:
        ZchatError: there is no file descriptor left.
    """
    try:
        context = zmq.Context()
        context.set(zmq.MAX_SOCKETS, min(MAX_SOCKETS, context.get(zmq.SOCKET_LIMIT)))
    except zmq.ZMQError as error:
        raise no_sockets(error) from error
    return context


def context_of_this_process() -> zmq.Context[zmq.Socket[bytes]]:
    """Return the context that this process's clients share; a forked child gets another. Any thread.

    Raises:
        ZchatError: there is no file descriptor left.
    """
    context = _contexts.get(os.getpid())
    if context is None:
        made = new_context()
        context = _contexts.setdefault(os.getpid(), made)  # without a lock, which a fork could leave taken
        if context is not made:
            made.term()
    return context


def no_sockets(error: OSError | zmq.ZMQError) -> ZchatError:
    """Return the error of a program for which the system has no more sockets."""
    return ZchatError(
        f"no more sockets can be opened ({error.strerror}): close clients that aren't used, "
        "or raise the limit on open files (ulimit -n)"
    )
