"""The README's promises, carried out."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.machine import Machine
from tests.running import eventually

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def _fenced(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found, f"the README has no {language} block"
    return found[1]


def test_the_embedding_example_prints_what_the_readme_says(tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(_fenced("python"), encoding="utf-8")
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=30, check=False)
    assert run.stderr == ""
    assert run.stdout == _fenced("text")


def test_from_nothing_to_two_users_who_talk_it_is_three_commands_a_person(tmp_path: Path) -> None:
    section = README.partition("For other machines there are keys:")[2].partition("\n[SECURITY")[0]
    brokers, alices = re.findall(r"\n\n((?:    .+\n)+)", section)
    serve, run, add = (line.partition("  #")[0].strip() for line in brokers.splitlines())
    make, chat = (line.partition("  #")[0].strip() for line in alices.splitlines())
    here = "--bind tcp://127.0.0.1:* --store memory:"
    assert "--bind tcp://0.0.0.0:5555" in run
    machine = Machine(tmp_path)
    for line in (serve, make, make.replace("alice", "bob")):
        done = machine.run(line)
        assert (done.returncode, done.stderr) == (0, "")
    with machine.start(run.replace("--bind tcp://0.0.0.0:5555", here)) as broker:
        url = broker.until("clients: about").splitlines()[0].split()[-1]
        assert f"client --connect {url} --key NAME.key_secret --server-key server.key\n" in broker.text
        shut_out = machine.run(f"zchat send --connect {url} General hello")
        assert shut_out.returncode == 1
        assert "lets nobody in without a key" in " ".join(shut_out.stderr.split())
        done = machine.run(f"{add} && cp keys/server.key .")
        assert (done.returncode, done.stderr) == (0, "")
        broker.process.send_signal(signal.SIGHUP)  # it would read them within a second
        chat = chat.replace("tcp://HOST:5555", url)
        eventually(lambda: machine.run(chat.replace("client", "ping")).returncode == 0, "alice is let in")
        done = machine.run(f"echo hello | {chat} General")
        assert (done.returncode, done.stderr) == (0, "")
        done = machine.run(chat.replace("client", "tail").replace("alice", "bob") + " General")
        assert done.stdout.endswith("alice: hello\n"), done.stderr


def test_it_says_what_pip_installs_and_that_another_project_has_the_shorter_name() -> None:
    installing = README.partition("## Installing\n")[2].partition("\n## ")[0]
    assert "`zchat` on PyPI is a different project" in " ".join(installing.split())
    assert {"pip install .", "pip install ./zchat_zmq-*.whl", "pip install zchat-zmq"} <= {
        line.partition("  #")[0].strip() for line in installing.splitlines()
    }


def test_every_file_that_the_readme_links_to_is_there() -> None:
    root = Path(__file__).parent.parent
    links = re.findall(r"\]\(((?!https?:)[^)]+)\)", README)
    assert links
    assert [link for link in links if not (root / link).exists()] == []
