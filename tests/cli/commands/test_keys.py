"""`zchat keys`: the keys that a broker lets in, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from zchat.cli.program import program
from zchat.transport import keys


def test_keys_are_listed_by_users_with_fingerprints_and_what_is_wrong_is_said(tmp_path: Path) -> None:
    server = keys.make_server(tmp_path / "server")
    alice = keys.make("alice")
    keys.write_pair(tmp_path / "server" / "users", "alice@phone", alice)
    runner = CliRunner()
    done = runner.invoke(program, ["keys", str(tmp_path / "server")])
    assert done.exit_code == 1, done.output
    assert server.fingerprint in done.output
    assert f"alice         {alice.fingerprint}  users/alice@phone.key" in done.output
    assert alice.public not in done.output
    assert done.stderr.startswith("zchat: users/alice@phone.key_secret has a secret half, which only its")
    (tmp_path / "server" / "users" / "alice@phone.key_secret").unlink()
    done = runner.invoke(program, ["keys", str(tmp_path / "server")])
    assert (done.exit_code, done.stderr) == (0, "")
    keys.write_pair(tmp_path, "web", keys.make("web", gateway=True))
    (tmp_path / "web.key").rename(tmp_path / "server" / "users" / "web.key")
    done = runner.invoke(program, ["keys", str(tmp_path / "server")])
    assert done.exit_code == 0
    [line] = [line.split() for line in done.stdout.splitlines() if line.startswith("web")]
    assert line[-2:] == ["users/web.key", "gateway"]
    assert done.stderr == "zchat: 'web.key' is a gateway's: it lets in any user but operators\n"
    (tmp_path / "server" / "users" / "bob.key").write_text("nonsense\n")
    done = runner.invoke(program, ["keys", str(tmp_path / "server")])
    assert done.exit_code == 1
    assert "bob.key', line 1" in " ".join(done.output.split())
    (tmp_path / "server" / "users" / "bob.key").unlink()
    keys.write_pair(tmp_path, "carol", keys.make("carol"))
    text = (tmp_path / "carol.key").read_bytes()
    (tmp_path / "server" / "users" / "carol@x\nalice  aaaa-bbbb  \x1b[2Kz.key").write_bytes(text)
    done = runner.invoke(program, ["keys", str(tmp_path / "server")])
    assert "\x1b" not in done.stdout
    assert len(done.stdout.splitlines()) == 5, "the title, the broker, and a line for each user"
