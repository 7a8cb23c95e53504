"""The README's promises, carried out."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

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
