"""Standard input is lines, whatever bytes come."""

from __future__ import annotations

import pytest

from tests.cli.driver import bodies
from tests.running import Zchat
from zchat.broker import Broker


def test_send_breaks_lines_at_the_newline_only(zchat: Zchat, broker: Broker) -> None:
    zchat("send", "General", stdin="a\u2028b\x0cc\rd\x85e\r\nf")
    assert bodies(broker, "General") == ["a\u2028b\x0cc\rd\x85e\r", "f"]


@pytest.mark.parametrize("size", [(1 << 20) - 4, 1_100_000, 5_000_000])
@pytest.mark.parametrize("end", ["", "\n", "\nafter it\n"])
def test_a_line_over_the_limit_is_refused_with_its_true_size(zchat: Zchat, broker: Broker, size: int, end: str) -> None:
    done = zchat("send", "General", stdin="before\n" + "a" * (size - 2) + "\u00e9" + end)
    assert done.returncode == 1
    assert done.stderr == (
        f"zchat: a message has 1048576 bytes at most, this has {size + 5}; send it in parts; "
        "1 line stored (up to seq 1 in General), the rest not stored\n"
    )
    assert bodies(broker, "General") == ["before"]


def test_a_line_up_to_the_limit_is_sent_whole(zchat: Zchat, broker: Broker) -> None:
    line = "a" * ((1 << 20) - 5)
    assert zchat("send", "General", stdin=f"{line}\n").returncode == 0
    assert bodies(broker, "General") == [line]


def test_a_chat_by_lines_reports_a_line_over_the_limit_and_goes_on(zchat: Zchat, broker: Broker) -> None:
    done = zchat("client", stdin="b" * 3_000_000 + "\nhello\n")
    assert done.returncode == 1
    assert "! a message has 1048576 bytes at most, this has 3000005; send it in parts\n" in done.stdout
    assert bodies(broker, "General") == ["hello"]
