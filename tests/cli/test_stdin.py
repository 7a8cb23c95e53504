"""Standard input is lines, whatever bytes come."""

from __future__ import annotations

from tests.cli.driver import bodies
from tests.running import Zchat
from zchat.broker import Broker


def test_send_breaks_lines_at_the_newline_only(zchat: Zchat, broker: Broker) -> None:
    zchat("send", "General", stdin="a\u2028b\x0cc\rd\x85e\r\nf")
    assert bodies(broker, "General") == ["a\u2028b\x0cc\rd\x85e\r", "f"]
