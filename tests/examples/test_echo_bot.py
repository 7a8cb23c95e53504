"""The bot that repeats what is said to it."""

from __future__ import annotations

import signal
from pathlib import Path

import zchat
from tests.examples.conftest import Example
from tests.mortal import Mortal
from tests.running import DEADLINE


def test_it_answers_in_its_room_and_in_a_direct_one_also_once_the_broker_is_back_and_ends_with_ctrl_c(
    example: Example, tmp_path: Path
) -> None:
    with Mortal(f"sqlite:{tmp_path / 'log'}") as broker:
        bot = example("echo_bot", broker.url)
        bot.until("listening in General\n")
        with zchat.Client(broker.url, user="alice") as alice:
            general, direct = alice.join("General"), alice.direct("echo")
            general.send("not to the bot")
            general.send("echo: hello")
            assert next(general.messages(DEADLINE)).body == "alice: hello"
            for words in ("one", "two"):
                direct.send(words, timeout=DEADLINE)
                assert next(direct.messages(DEADLINE))[3:] == ("echo", words)
                broker.kill()
                broker.start()
            bot.until("Disconnected")
            bot.process.send_signal(signal.SIGINT)
            assert (bot.process.wait(DEADLINE), bot.errors) == (0, "")
        bot.until("bye\n")
