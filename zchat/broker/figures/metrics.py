"""The broker's figures for Prometheus, over HTTP. It requires the extra `metrics`."""

from __future__ import annotations

import errno
import io
import socket
import time
from socketserver import TCPServer
from sys import is_finalizing
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from zchat.address import host_and_port, is_ip, is_this_machines
from zchat.broker.forks import forget, keep_from_children
from zchat.checks import shown
from zchat.errors import AddressError, UsageError, ZchatError
from zchat.logs import broker_log
from zchat.threads import RealThread, start
from zchat.wire.replies import Figures

try:
    from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app

    from zchat.broker.figures.prometheus import FigureCollector
except ImportError as error:
    raise ZchatError("metrics require the package prometheus-client: pip install prometheus-client") from error

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

REQUEST_SECONDS = 2.0
"""Seconds for a whole request and its answer: there is one at a time, and the next one waits for it. A scrape takes
some milliseconds."""

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
    There is no access control: all who reach the place can read the names of rooms and users. But web pages may not:
    a request with an `Origin` is refused, and at a loopback address one whose `Host` is a name other than `localhost`
    and that of `place`.

    The figures are read when they are asked for; between two scrapes this costs the broker nothing.
    One request at a time is answered, and given up after 2 s. Use it within the broker's own block. Any thread.

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
            keep_from_children(self._server.fileno())
            self._server.set_app(_in_the_log(make_wsgi_app(registry)))
            start(self._thread)
            broker_log.info("metrics are served at %s", self.url, event="metrics", url=self.url)
            return self
        except BaseException:  # of a signal, perhaps: nobody could end it later
            self._end()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._end()
        except BaseException:  # as above
            self._end()
            raise

    def _end(self) -> None:
        self._ending = True
        try:
            if not is_finalizing():  # else it has ended with the program
                self._thread.join(END_SECONDS)
        finally:
            if self._server is not None:
                forget(self._server.fileno())
                self._server.server_close()

    def _serve(self) -> None:
        assert self._server is not None
        while not self._ending:
            try:
                self._server.handle_request()
            except BaseException:  # closed beneath a request that took too long, perhaps
                if not self._ending:
                    broker_log.exception("metrics are no longer served")
                return


class _Timed(io.RawIOBase):
    """The bytes of a connection, until a moment by the monotonic clock; then a read or write raises an OSError."""

    def __init__(self, connection: socket.socket, end: float) -> None:
        self._connection = connection
        self._end = end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._limit()
        return self._connection.recv_into(buffer)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        try:
            self._limit()
            self._connection.sendall(data)
        except TimeoutError as error:  # as if the client had gone, of which wsgiref makes no traceback
            raise ConnectionAbortedError(*error.args) from error
        return len(data)

    def _limit(self) -> None:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"a request took more than {REQUEST_SECONDS:g} s")
        self._connection.settimeout(left)


class _Handler(WSGIRequestHandler):
    server: _Server

    def setup(self) -> None:
        """Bound the whole request: a timeout of the socket would begin anew with each byte."""
        super().setup()
        self.rfile.close()
        timed = _Timed(self.connection, time.monotonic() + REQUEST_SECONDS)
        self.rfile, self.wfile = io.BufferedReader(timed), timed  # type: ignore[assignment]

    def parse_request(self) -> bool:
        """Refuse what a web page has a browser ask for; True if the request is to be answered."""
        if not super().parse_request():
            return False
        if self.headers.get("Origin") is not None:
            self.send_error(403, explain="These figures are not for web pages: ask without an Origin.")
            return False
        hosts = self.server.hosts
        asked = map(_without_port, self.headers.get_all("Host", []))
        if hosts and not all(host in hosts or is_ip(host) for host in asked):
            self.send_error(403, explain="Ask for an address of this machine, or for localhost, in place of a name.")
            return False
        return True

    def log_message(self, format: str, *args: Any) -> None:
        broker_log.debug("metrics: %s: " + format, self.address_string(), *args)


class _Server(WSGIServer):
    request_queue_size = BACKLOG
    timeout = POLL_SECONDS
    hosts: frozenset[str] = frozenset()
    """The names that a request may be for, besides all addresses; none: any name."""

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
        broker_log.debug("metrics: a request of %s failed", client_address, exc_info=True)


class _Server6(_Server):
    address_family = socket.AF_INET6


def _in_the_log(app: WSGIApplication) -> WSGIApplication:
    """Return an application whose errors are lines for developers, and no tracebacks on standard error.

    That of prometheus-client raises at headers that a stranger has made up.
    """

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            return app(environ, start_response)
        except Exception:
            broker_log.debug("metrics: a request failed", exc_info=True)
            start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
            return [b"the request can't be answered\n"]

    return answer


def _without_port(host: str) -> str:
    """Return the host of an HTTP Host header, without brackets."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _listen(place: str, host: str, port: int) -> _Server:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        server = (_Server6 if family == socket.AF_INET6 else _Server)((str(address[0]), port), _Handler)
        if is_this_machines(f"tcp://{address[0]}:{port}"):  # else a name of the machine's may be how it is reached
            server.hosts = frozenset(("localhost", host.lower()))
        return server
    except (OSError, UnicodeError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise AddressError(f"{place} is in use, so metrics can't be served there; choose another port") from error
        reason = getattr(error, "strerror", None) or error
        if isinstance(error, PermissionError):
            raise AddressError(f"metrics can't be served at {place} ({reason}); choose a port above 1023") from error
        raise AddressError(f"metrics can't be served at {place} ({reason}); use an address of this machine") from error
