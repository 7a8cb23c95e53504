"""Pages that come through a proxy, configured as docs/web.md has it."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.running import ROOT, eventually
from tests.web.driver import Page, gateway
from zchat.broker import Broker
from zchat.web.core import limits
from zchat.web.doors import letting_in

NAME = "localhost"
NGINX = """
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/client;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        {location}
    }}
}}
"""


class Nginx:
    """One that serves https before a gateway; `prefix` is where it has it."""

    def __init__(self, program: str, folder: Path, certificate: tuple[Path, Path], at: str, prefix: str) -> None:
        (location,) = re.findall(r"```nginx\n(.*?)```", (ROOT / "docs" / "web.md").read_text(encoding="utf-8"), re.S)
        location = location.replace("location /", f"location {prefix}").replace("http://127.0.0.1:8080/", at)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port: int = listener.getsockname()[1]
        names = {"folder": folder, "port": self.port, "certificate": certificate[0], "key": certificate[1]}
        file = folder / "nginx.conf"
        file.write_text(NGINX.format(location=location, **names))
        line = [program, "-p", str(folder), "-c", str(file), "-e", str(folder / "error.log")]
        self.process = subprocess.Popen(line)
        self.prefix = prefix
        self._trusting = ssl.create_default_context(cafile=str(certificate[0]))
        eventually(self._listens, "nginx listens")

    def _listens(self) -> bool:
        assert self.process.poll() is None
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @asynccontextmanager
    async def page(self, origin: str | None = None, **headers: str) -> AsyncIterator[Page]:
        """Connect a page, of another site if an origin is given."""
        at = f"{NAME}:{self.port}"
        options: dict[str, Any] = {"compression": None, "additional_headers": headers, "ssl": self._trusting}
        async with connect(f"wss://{at}{self.prefix}ws", origin=origin or f"https://{at}", **options) as socket:  # type: ignore[arg-type]
            yield Page(socket)


@pytest.mark.parametrize("prefix", ["/", "/chat/"])
async def test_pages_come_through_nginx_which_serves_https_at_any_port_and_place(
    broker: Broker, needs: Callable[[str], str], certificate: tuple[Path, Path], tmp_path: Path, prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    program = needs("nginx")
    monkeypatch.setattr(limits, "CONNECTIONS_AN_ADDRESS", 2)
    doors = letting_in(open_to_all=True, proxies=["127.0.0.1"])
    async with gateway(broker.url, doors) as place:
        nginx = Nginx(program, tmp_path, certificate, place.url, prefix)
        try:
            async with nginx.page() as page:
                assert (await page.ask("hello", version=1, user="alice"))["op"] == "ok"
                assert (await page.ask("join", room="General"))["op"] == "ok"
                assert (await page.ask("send", room="General", body="hi", key="k"))["op"] == "ok"
                assert await page.bodies(1) == ["hi"]
            with pytest.raises(InvalidStatus, match="403"):
                async with nginx.page("https://evil.example"):
                    pass
            far = {"X-Forwarded-For": "203.0.113.7"}
            async with nginx.page(**far), nginx.page(**far), nginx.page(**{"X-Forwarded-For": "203.0.113.8"}):
                with pytest.raises(InvalidStatus, match="503"):
                    async with nginx.page(**far):
                        pass
        finally:
            nginx.process.terminate()
            nginx.process.wait()
