"""`zchat web`: run a gateway for browsers."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

import click

from zchat.address import host_and_port, is_this_machines
from zchat.cli import ending, logs
from zchat.cli.connection import HINTS
from zchat.cli.failures import hinting_at
from zchat.cli.greeting import greet
from zchat.cli.options import addresses, addressing, check_place, given_keys
from zchat.cli.screen import event_loop
from zchat.cli.sources import Listed, NotEmpty
from zchat.cli.text.safe import safe
from zchat.errors import AddressError, UsageError
from zchat.files import limit, raise_limit
from zchat.logs import web_log
from zchat.threads import RealThread, start

HELP = """Let browsers take part, until Ctrl-C or SIGTERM. It runs beside a broker, and serves a page for it.

\b
Examples:
  zchat web --open
  zchat web --open --listen 127.0.0.1:9000 --connect tcp://127.0.0.1:5556
  zchat web --token-key /etc/zchat/token.key --host chat.example.org
  zchat web --user-header X-Forwarded-User --trusted-proxy 127.0.0.1 --host chat.example.org

Users are let in in one of three ways, one of which must be given. With --open names are claims: so only this machine
can reach it then.
"""
"""What `zchat web --help` says: no docstring, as `python -OO` leaves those out."""

MOST_CONNECTIONS = 100_000
"""More connections than one process serves."""


@click.command(help=HELP)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default="127.0.0.1:8080",
    show_default=True,
    callback=check_place,
    help="Where pages reach it; the port * takes any free one.",
)
@click.option("--open", "open_to_all", is_flag=True, help="Let everyone in: names are claims.")
@click.option(
    "--token-key",
    type=NotEmpty("file"),
    metavar="FILE",
    help="The key of the tokens that a site makes for its users (JWT, HS256).",
)
@click.option("--user-header", metavar="NAME", help="The header in which a trusted proxy says who the user is.")
@click.option(
    "--trusted-proxy",
    multiple=True,
    type=Listed(),
    metavar="CIDR",
    help="Addresses of proxies whose headers count; may be repeated.",
)
@click.option(
    "--host",
    "hosts",
    multiple=True,
    type=Listed(),
    metavar="NAME",
    help="A name under which pages reach it, beside those of this machine; may be repeated.",
)
@click.option(
    "--origin",
    "origins",
    multiple=True,
    type=Listed(),
    metavar="URL",
    help="A site elsewhere whose pages may connect; may be repeated.",
)
@click.option(
    "--public",
    multiple=True,
    type=Listed(),
    metavar="PATTERN",
    help="Rooms that may be watched without a name; may be repeated.",
)
@click.option(
    "--page", type=NotEmpty("folder"), metavar="DIR", help="The folder of a page of one's own.  [default: zchat's]"
)
@click.option("--no-page", is_flag=True, help="Serve no page.")
@click.option(
    "--tls-cert", type=NotEmpty("file"), metavar="FILE", help="The certificate, with its chain, to serve https with."
)
@click.option("--tls-key", type=NotEmpty("file"), metavar="FILE", help="Its key.")
@click.option(
    "--metrics",
    metavar="HOST:PORT",
    callback=check_place,
    help="Where Prometheus fetches the gateway's figures, without access control.  [default: nowhere]",
)
@click.option(
    "--max-connections",
    type=click.IntRange(1, MOST_CONNECTIONS),
    default=8000,
    show_default=True,
    metavar="COUNT",
    help="Browsers at once.",
)
@partial(addressing, names=("--connect", "--broker"))
def web(
    url: str,
    listen: str,
    open_to_all: bool,
    token_key: str | None,
    user_header: str | None,
    trusted_proxy: tuple[str, ...],
    hosts: tuple[str, ...],
    origins: tuple[str, ...],
    public: tuple[str, ...],
    page: str | None,
    no_page: bool,
    tls_cert: str | None,
    tls_key: str | None,
    metrics: str | None,
    max_connections: int,
) -> None:
    """Carry out `zchat web`."""
    ending.serve()
    # Here, as they require what only zchat-zmq[web] installs.
    from zchat.web.doors import letting_in
    from zchat.web.pages import files_of
    from zchat.web.serving import Settings
    from zchat.web.tls import tls_context

    host, port = host_and_port(listen)
    if open_to_all and not is_this_machines(listen):
        raise UsageError(
            f"with --open names are claims, so it listens at an address of this machine alone, not at {listen}: "
            "--token-key or --user-header lets others in"
        )
    if page is not None and no_page:
        raise UsageError("--page and --no-page exclude each other")
    if (tls_cert is None) is not (tls_key is None):
        raise UsageError("--tls-cert and --tls-key belong together")
    doors = letting_in(
        open_to_all=open_to_all,
        token_key=token_key,
        user_header=user_header,
        proxies=trusted_proxy,
        public=public,
        hosts=hosts,
        origins=origins,
    )
    settings = Settings(
        addresses(url),
        host,
        port,
        doors,
        {} if no_page else files_of(page),
        **given_keys(),
        tls=None if tls_cert is None or tls_key is None else tls_context(tls_cert, tls_key),
        metrics=None if metrics is None else host_and_port(metrics),
        max_connections=max_connections,
    )
    raise_limit()
    logs.load()
    event_loop.run(_serve(settings, url, open_to_all))


async def _serve(settings: object, url: str, open_to_all: bool) -> None:
    from zchat.web.descriptors import browsers
    from zchat.web.serving import Settings, serve

    assert isinstance(settings, Settings)
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def end() -> None:
        with suppress(RuntimeError):  # it has ended by itself
            loop.call_soon_threadsafe(stop.set)

    def started(page: str, figures: str | None) -> None:
        """Print where it serves, in a thread that may wait for a reader as long as there is none."""
        lines = [f"zchat web at {page}", f"broker: {url}"]
        if open_to_all:
            lines.append("names are claims: anyone on this machine can use any name")
        found = browsers(settings.max_connections)
        if found < settings.max_connections:
            lines.append(f"browsers: about {found} at once, each another user's (open files, ulimit -n: {limit()})")
        if figures is not None:
            lines.append(f"metrics: {figures} (no access control)")
        start(RealThread(partial(greet, "\n".join(map(safe, lines)), web_log), "zchat-greeting"))

    with ending.notifying(end), hinting_at({**HINTS, AddressError: "--listen HOST:PORT, --connect URL"}):
        await serve(settings, started, stop)
