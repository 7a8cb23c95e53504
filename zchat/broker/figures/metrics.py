"""The broker's figures for Prometheus, over HTTP. It requires the extra `metrics`."""

from __future__ import annotations

import errno
import logging
import socket
import time
from socketserver import TCPServer
from sys import is_finalizing
from types import TracebackType
from typing import Any, Protocol
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from zchat.address import host_and_port
from zchat.checks import shown
from zchat.errors import AddressError, UsageError, ZchatError
from zchat.log_fields import FIELDS
from zchat.threads import RealThread, start
from zchat.wire.replies import Figures

try:
    from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app

    from zchat.broker.figures.prometheus import FigureCollector
except ImportError as error:
    raise ZchatError("metrics require the package prometheus-client: pip install prometheus-client") from error

log = logging.getLogger("zchat.broker")

SILENT_SECONDS = 2.0
"""How long a connection may say nothing before it is closed: there is one at a time, and the next one waits for it."""

BACKLOG = 16
"""Connections that may wait for their turn: a few Prometheus servers and a curious person."""

POLL_SECONDS = 0.2
"""Seconds after which the thread checks whether it is to end: well within the 2 s that stopping a broker may take."""

END_SECONDS = 0.4
"""How long closing waits for the thread: a check, and an answer that is on its way. What hangs is left behind."""


class Source(Protocol):
    """What has figures to show: a running `Broker`."""

    @property
    def figures(self) -> Figures:
        """Return the figures of this moment. Any thread."""


class Metrics:
    """The server of a broker's figures to Prometheus, in a thread of its own, for as long as a `with` block lasts.

    `place`: where to listen, `HOST:PORT` (the port `*` or 0: any free one). Any HTTP path answers.
    There is no access control: all who reach the place can read the names of rooms and users.

    The figures are read when they are asked for; between two scrapes this costs the broker nothing.
    One request at a time is answered. Use it within the broker's own block. Any thread.

    Raises:
        AddressError: the place is malformed, in use, or not this machine's.
    """

    def __init__(self, broker: Source, place: str) -> None:
        if not hasattr(type(broker), "figures"):
            raise UsageError(f"metrics are those of a Broker, not of {shown(broker)}")
        self._broker = broker
        self._place = place
        self._host, self._port = host_and_port(place)
        self._server: _Server | None = None
        self._thread = RealThread(self._serve, "zchat-metrics")
        self._ending = False

    @property
    def url(self) -> str:
        """Return where the figures can be fetched."""
        if self._server is None:
            raise UsageError("nothing is served: use the metrics within their `with` block")
        host, port = self._server.server_address[:2]
        return f"http://[{host!s}]:{port}/metrics" if ":" in str(host) else f"http://{host!s}:{port}/metrics"

    def __enter__(self) -> Metrics:
        if self._server is not None:
            raise UsageError("metrics are served once: make others")
        registry = CollectorRegistry()
        registry.register(FigureCollector(lambda: self._broker.figures))
        ProcessCollector(registry=registry)
        try:
            self._server = _listen(self._place, self._host, self._port)
            self._server.set_app(make_wsgi_app(registry))
            start(self._thread)
            log.info("metrics are served at %s", self.url, extra={FIELDS: {"event": "metrics", "url": self.url}})
            return self
        except BaseException:  # of a signal, perhaps: nobody could end it later
            self._end()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._ending = True
        try:
            if not is_finalizing():  # else it has ended with the program
                self._thread.join(END_SECONDS)
        finally:
            if self._server is not None:
                self._server.server_close()

    def _serve(self) -> None:
        assert self._server is not None
        while not self._ending:
            try:
                self._server.handle_request()
            except (OSError, ValueError):  # closed beneath a request that took too long
                if not self._ending:
                    log.exception("metrics are no longer served")
                return


class _Handler(WSGIRequestHandler):
    timeout = SILENT_SECONDS

    def log_message(self, format: str, *args: Any) -> None:
        log.debug("metrics: %s: " + format, self.address_string(), *args)


class _Server(WSGIServer):
    request_queue_size = BACKLOG
    timeout = POLL_SECONDS

    def get_request(self) -> Any:
        """Accept a connection; without a descriptor for it wait a moment, or it would be tried without a pause."""
        try:
            return super().get_request()
        except OSError:
            time.sleep(POLL_SECONDS)
            raise

    def server_bind(self) -> None:
        """Bind without asking the name service who this is, as the base does: that can take long."""
        TCPServer.server_bind(self)
        host, port = self.server_address[:2]
        self.server_name, self.server_port = str(host), int(port)
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("metrics: a request of %s failed", client_address, exc_info=True)


class _Server6(_Server):
    address_family = socket.AF_INET6


def _listen(place: str, host: str, port: int) -> _Server:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return (_Server6 if family == socket.AF_INET6 else _Server)((str(address[0]), port), _Handler)
    except (OSError, UnicodeError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise AddressError(f"{place} is in use, so metrics can't be served there; choose another port") from error
        reason = getattr(error, "strerror", None) or error
        if isinstance(error, PermissionError):
            raise AddressError(f"metrics can't be served at {place} ({reason}); choose a port above 1023") from error
        raise AddressError(f"metrics can't be served at {place} ({reason}); use an address of this machine") from error
