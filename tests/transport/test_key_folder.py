"""A broker's folder of keys: whom it lets in, and what becomes of files that are wrong or change."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import zchat
from zchat.transport import keys
from zchat.transport.key_folder import KeyFolder
from zchat.transport.keys import Key


def server(tmp_path: Path, *users: Key) -> KeyFolder:
    """Make a broker's folder with some users."""
    keys.make_server(tmp_path / "server")
    for number, user in enumerate(users):
        add(tmp_path, f"user{number}", user)
    return KeyFolder(tmp_path / "server")


def add(tmp_path: Path, name: str, key: Key) -> Path:
    public, secret = keys.write_pair(tmp_path / "server" / "users", name, key)
    secret.unlink()
    return public


def test_users_are_those_that_the_files_name_else_the_files_own_names(tmp_path: Path) -> None:
    alice, nameless = keys.make("Alice"), keys.make()
    folder = server(tmp_path, alice)
    add(tmp_path, "bob@phone", nameless)
    users = folder.read()
    assert users.names == {alice.public: "Alice", nameless.public: "bob"}
    assert users.troubles == ()


def test_a_user_has_as_many_keys_as_devices_and_one_spelling(tmp_path: Path) -> None:
    one, two = keys.make("alice"), keys.make("ALICE")
    assert set(server(tmp_path, one, two).read().names.values()) == {"alice"}


def test_a_file_that_lets_in_somebody_else_than_its_name_says_is_to_be_noticed(tmp_path: Path) -> None:
    folder = server(tmp_path)
    for name, user in (("alice", "Alice"), ("alice@phone", "alice"), ("mallory", "alice")):
        add(tmp_path, name, keys.make(user))
    users = folder.read()
    assert users.notes == ("'mallory.key' lets in 'alice', whom its name doesn't name",)


def test_a_hidden_file_lets_in_nobody_which_is_to_be_noticed(tmp_path: Path) -> None:
    folder = server(tmp_path)
    add(tmp_path, "alice", keys.make("alice"))
    for name in (".x.key", "._alice.key", ".key", ".alice.key.swp"):
        (tmp_path / "server" / "users" / name).write_text("anything")
    users = folder.read()
    assert sorted(users.names.values()) == ["alice"]
    assert users.troubles == ()
    assert sorted(note.partition(" is hidden, and lets in nobody")[0] for note in users.notes) == [
        "'._alice.key'",
        "'.key'",
        "'.x.key'",
    ]
    (tmp_path / "server" / "users" / ".x.key").unlink()
    assert len(folder.read().notes) == 2


# -- gateways ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "gateway"), [("gateway = true", True), ('gateway = "true"', True), ("gateway = false", False), ("", False)]
)
def test_a_key_is_a_gateways_if_its_file_says_so(tmp_path: Path, line: str, gateway: bool) -> None:
    folder, web = server(tmp_path), keys.make("web")
    path = add(tmp_path, "web", web)
    path.write_text(path.read_text().replace("curve", f"    {line}\ncurve"))
    users = folder.read()
    assert users.names == {web.public: "web"}
    assert users.gateways == ({web.public} if gateway else set())
    notes = ("'web.key' is a gateway's: it lets in any user but operators",)
    assert users.notes == (notes if gateway else ())


def test_of_one_key_in_two_files_both_say_that_it_is_a_gateways_or_it_is_let_in_as_nobodys(tmp_path: Path) -> None:
    folder, web = server(tmp_path), keys.make("web", gateway=True)
    add(tmp_path, "web", web)
    add(tmp_path, "web@2", web)
    assert folder.read().gateways == {web.public}
    add(tmp_path, "web@3", Key(web.public, web.secret, "web"))
    users = folder.read()
    assert not users.names
    assert not users.gateways
    text = "web@3.key and web@2.key have the same key and one has it as a gateway's: neither is let in"
    assert users.troubles == (text,)


# -- files that are wrong, or change -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["e" * 65, "é" * 100, "@" + "e" * 200], ids=ascii)
def test_a_file_with_a_longer_name_than_any_users_keeps_no_other_from_being_read(tmp_path: Path, name: str) -> None:
    folder = server(tmp_path)
    for file, user in (("bob", "bob"), (name, "eve")):
        add(tmp_path, file, keys.make(user))
    users = folder.read()
    assert sorted(users.names.values()) == ["bob", "eve"]
    assert len(users.notes) == 1
    (folder.path / "users" / "bob.key").unlink()
    assert list(folder.read().names.values()) == ["eve"]
    assert users.troubles == ()


def test_the_same_key_of_two_users_is_neithers(tmp_path: Path) -> None:
    alice = keys.make("alice")
    folder = server(tmp_path, alice, Key(alice.public, alice.secret, "bob"))
    users = folder.read()
    assert users.names == {}
    assert "neither is let in" in users.troubles[0]
    (tmp_path / "server" / "users" / "user1.key").unlink()
    assert folder.read().names == {alice.public: "alice"}


def test_a_file_that_becomes_wrong_counts_as_it_did_and_one_that_is_gone_is_out(tmp_path: Path) -> None:
    alice, bob = keys.make("alice"), keys.make("bob")
    folder = server(tmp_path, alice, bob)
    folder.read()
    (tmp_path / "server" / "users" / "user0.key").write_text("nonsense here\n")
    users = folder.read()
    assert users.names == {alice.public: "alice", bob.public: "bob"}
    assert "user0.key" in users.troubles[0]
    (tmp_path / "server" / "users" / "user0.key").unlink()
    users = folder.read()
    assert users.names == {bob.public: "bob"}
    assert users.troubles == ()


def test_a_file_that_is_rewritten_in_place_is_read_again(tmp_path: Path) -> None:
    alice, other = keys.make("alice"), keys.make("alice")
    folder = server(tmp_path, alice)
    folder.read()
    path = tmp_path / "server" / "users" / "user0.key"
    path.write_text(path.read_text().replace(alice.public, other.public))
    os.utime(path, ns=(1, 1))
    assert folder.read().names == {other.public: "alice"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_file_that_can_t_be_read_keeps_nobody_in_or_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = keys.make("alice"), keys.make("bob")
    folder = server(tmp_path, alice, bob)
    users = tmp_path / "server" / "users"
    folder.read()
    os.mkfifo(users / "pipe.key")
    (users / "circle.key").symlink_to("circle.key")
    (users / "fault.key").write_text("")
    read = keys.read_public

    def faulty(path: Path) -> Key:
        if path.name == "fault.key":
            raise RuntimeError("of all things")
        return read(path)

    monkeypatch.setattr("zchat.transport.key_folder.read_public", faulty)
    (users / "user1.key").unlink()
    for _ in range(2):
        found = folder.read()
        assert found.names == {alice.public: "alice"}
        circle, fault, pipe = found.troubles
        assert "circle.key' can't be read (Too many levels" in circle
        assert "fault.key' can't be read (RuntimeError: of all things)" in fault
        assert "pipe.key' can't be read (it is no regular file)" in pipe
    assert folder.secrets() == []


def test_a_folder_that_is_gone_is_an_error_and_an_empty_one_lets_nobody_in(tmp_path: Path) -> None:
    folder = server(tmp_path)
    assert folder.read().names == {}
    (tmp_path / "server" / "users").rmdir()
    with pytest.raises(zchat.BadKey, match="nobody is added or removed"):
        folder.read()


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o1777])
@pytest.mark.parametrize("name", [".", "users"])
def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path, name: str, mode: int) -> None:
    keys.make_server(tmp_path / "server")
    (tmp_path / "server" / name).chmod(0o755)
    KeyFolder(tmp_path / "server")
    (tmp_path / "server" / name).chmod(mode)
    with pytest.raises(zchat.BadKey, match=r"can be written by others .*: chmod go-w"):
        KeyFolder(tmp_path / "server")
    for each in (tmp_path / "server").glob("server.*"):
        each.unlink()
    with pytest.raises(zchat.BadKey, match=r"can be written by others .*: chmod go-w"):
        keys.make_server(tmp_path / "server")
    assert not list((tmp_path / "server").glob("server.*"))


def test_a_folder_without_the_brokers_pair_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(zchat.BadKey, match="zchat keygen --server"):
        KeyFolder(tmp_path)


def test_a_command_that_is_named_can_be_copied_whatever_the_path(tmp_path: Path) -> None:
    folder = tmp_path / "my folder"
    keys.make_server(folder)
    secret, users = folder / "server.key_secret", folder / "users"
    secret.chmod(0o644)
    with pytest.raises(zchat.BadKey, match=re.escape(f"chmod 600 '{secret}', and")):
        KeyFolder(folder)
    secret.unlink()
    with pytest.raises(zchat.BadKey, match=re.escape(f"zchat keygen --server '{folder}'")):
        KeyFolder(folder)
    (folder / "server.key").unlink()
    keys.make_server(folder)
    users.chmod(0o777)
    with pytest.raises(zchat.BadKey, match=re.escape(f"chmod go-w '{users}', and")):
        KeyFolder(folder)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be somebody else")
def test_what_the_system_refuses_says_how_to_mend_it(tmp_path: Path) -> None:
    keys.make_server(tmp_path)
    tmp_path.chmod(0o700)
    os.seteuid(65534)
    try:
        with pytest.raises(zchat.BadKey, match=r"server\.key_secret' can't be read \(.*\); chown or chmod"):
            KeyFolder(tmp_path)
        with pytest.raises(zchat.ZchatError, match=r"can't be written \(Permission denied\)"):
            keys.write_pair(tmp_path, "alice", keys.make("alice"))
    finally:
        os.seteuid(0)
