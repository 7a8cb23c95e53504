"""The contexts of ZeroMQ: the one place where they are made."""

from __future__ import annotations

import os
import threading

import zmq

MAX_SOCKETS = 65_536
"""Sockets that a context may hold: the system's limit on open files is the one that counts."""

_contexts: dict[int, zmq.Context[zmq.Socket[bytes]]] = {}
_contexts_lock = threading.Lock()


def new_context() -> zmq.Context[zmq.Socket[bytes]]:
    """Return a context of the caller's own, which the caller terminates. Any thread."""
    context = zmq.Context()
    context.set(zmq.MAX_SOCKETS, min(MAX_SOCKETS, context.get(zmq.SOCKET_LIMIT)))
    return context


def context_of_this_process() -> zmq.Context[zmq.Socket[bytes]]:
    """Return the context that this process's clients share; a forked child gets another. Any thread."""
    with _contexts_lock:
        context = _contexts.get(os.getpid())
        if context is None:
            context = _contexts[os.getpid()] = new_context()
        return context
