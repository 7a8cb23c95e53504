"""A broker with keys and rules, before which a gateway stands with a key of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from tests.running import DEADLINE
from tests.web.driver import Place, gateway
from zchat import AsyncClient
from zchat.broker import Broker
from zchat.transport import keys
from zchat.web.core.letting_in import LettingIn, Patterns

OPEN = LettingIn(open_to_all=True, public=Patterns(["*"]))

RULES = """\
operators = ["root"]
makers_own = false

[[rooms]]
names = ["secret"]
see = ["alice", "carol", "web"]

[[rooms]]
names = ["hush"]
see = ["alice", "carol"]

[[rooms]]
names = ["quiet"]
members = ["alice", "carol", "web"]

[[rooms]]
names = ["news"]
read = ["alice", "web"]

[[rooms]]
names = ["*"]
owners = ["anna"]
"""


class Keyed:
    """A broker that lets in root, alice and the gateway web with keys, and where its files are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rules = folder / "rules.toml"
        self.audit = folder / "audit.jsonl"
        self.rules.write_text(RULES)
        keys.make_server(folder / "server")
        for user in ("root", "alice", "web"):
            self.let_in(user, gateway=user == "web")

    @contextmanager
    def running(self) -> Iterator[None]:
        given = {"rooms": (), "keys": self.folder / "server", "rules": self.rules, "audit": self.audit}
        with Broker("tcp://127.0.0.1:*", **given) as self.broker:  # type: ignore[arg-type]
            self.url = self.broker.url
            yield

    def let_in(self, user: str, *, gateway: bool = False) -> None:
        public, _ = keys.write_pair(self.folder, user, keys.make(user, gateway=gateway))
        public.rename(self.file(user))

    def file(self, user: str) -> Path:
        """Return the file that lets a user in."""
        return self.folder / "server" / "users" / f"{user}.key"

    def rule(self, rules: str) -> None:
        """Have other rules, at once."""
        self.rules.write_text(rules)
        self.broker.read_again()

    def given(self, user: str) -> dict[str, Any]:
        """Return what a client or a gateway shows as a user."""
        server = keys.server_keys(self.folder / "server" / "server.key")
        return {"key": self.folder / f"{user}.key_secret", "server_key": server}

    def client(self, user: str) -> AsyncClient:
        return AsyncClient(self.url, timeout=DEADLINE, **self.given(user))

    @asynccontextmanager
    async def gateway(
        self, letting_in: LettingIn = OPEN, url: str | None = None, **options: Any
    ) -> AsyncIterator[Place]:
        """Run a gateway; `url`: by which way it comes to the broker, None for directly."""
        async with gateway(url or self.url, letting_in, **self.given("web"), **options) as place:
            yield place
