"""Keys and the files that hold them: what is made, what is read, and what is refused by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import zmq.auth

import zchat
from zchat.transport import keys
from zchat.transport.keys import Key, KeyFolder


@pytest.fixture
def alice(tmp_path: Path) -> Key:
    key = keys.make("Alice")
    keys.write_pair(tmp_path, "alice", key)
    return key


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


# -- what is made --------------------------------------------------------------------------------------


def test_a_pair_is_read_as_it_was_made(tmp_path: Path, alice: Key) -> None:
    assert keys.read_secret(tmp_path / "alice.key_secret") == alice
    assert keys.read_public(tmp_path / "alice.key") == Key(alice.public, "", "Alice")


def test_the_files_are_certificates_that_pyzmq_reads(tmp_path: Path, alice: Key) -> None:
    assert zmq.auth.load_certificate(tmp_path / "alice.key") == (alice.public.encode(), None)
    halves = (alice.public.encode(), alice.secret.encode())
    assert zmq.auth.load_certificate(tmp_path / "alice.key_secret") == halves


def test_a_secret_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        public, secret = keys.write_pair(tmp_path, "bob", keys.make("bob"))
    finally:
        os.umask(before)
    assert secret.stat().st_mode & 0o777 == 0o600
    assert public.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["alice.key", "alice.key_secret"])
def test_nothing_is_overwritten_and_nothing_left_half_made(tmp_path: Path, name: str) -> None:
    there = tmp_path / name
    there.write_text("mine")
    with pytest.raises(zchat.BadKey, match="is there already"):
        keys.write_pair(tmp_path, "alice", keys.make("alice"))
    assert [each.name for each in tmp_path.iterdir()] == [name]
    assert there.read_text() == "mine"


def test_a_secret_is_not_shown_by_accident(alice: Key) -> None:
    assert alice.secret not in repr(alice)
    assert len(alice.fingerprint) == 19


def test_a_folder_of_a_broker_is_made_once(tmp_path: Path) -> None:
    server(tmp_path)
    assert (tmp_path / "server").stat().st_mode & 0o777 == 0o700
    with pytest.raises(zchat.BadKey, match="is there already"):
        keys.make_server(tmp_path / "server")


def test_a_name_that_the_file_could_not_say_is_refused() -> None:
    with pytest.raises(zchat.BadKey, match="has no quotation mark"):
        keys.make('a"b')


def test_what_can_t_be_written_whole_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(zchat.ZchatError, match="can't be written \\(No space left") as refused:
        keys.write_pair(tmp_path, "alice", keys.make("alice"))
    assert not isinstance(refused.value, zchat.UsageError), "nothing is wrong with the name"
    assert not list(tmp_path.iterdir())
    (tmp_path / "there").mkdir()
    for folder in (tmp_path / "there", tmp_path / "there" / "a" / "b"):
        with pytest.raises(zchat.ZchatError, match="can't be written \\(No space left"):
            keys.make_server(folder)
    assert list(tmp_path.rglob("*")) == [tmp_path / "there"]


def test_a_folder_that_a_file_stands_in_the_way_of_is_a_wrong_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "a"):
        with pytest.raises(zchat.BadKey, match="file' can't be made \\("):
            keys.make_server(folder)
    with pytest.raises(zchat.BadKey, match="can't be written \\(Not a directory"):
        keys.write_pair(tmp_path / "file", "alice", keys.make("alice"))


def test_what_is_written_in_parts_is_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:50]))
    alice = keys.make("alice")
    keys.write_pair(tmp_path, "alice", alice)
    monkeypatch.undo()
    assert keys.read_secret(tmp_path / "alice.key_secret") == alice


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


def test_no_broker_s_folder_is_made_with_its_users_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "users").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(zchat.BadKey, match="is a link"):
        keys.make_server(tmp_path / "server")
    assert [each.name for each in (tmp_path / "server").iterdir()] == ["users"]


# -- what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_secret_that_others_can_read_is_refused(tmp_path: Path, alice: Key, mode: int) -> None:
    path = tmp_path / "alice.key_secret"
    path.chmod(mode)
    with pytest.raises(zchat.BadKey, match=r"can be read by others .*chmod 600"):
        keys.read_secret(path)


def test_halves_that_dont_fit_are_refused(tmp_path: Path, alice: Key) -> None:
    path = tmp_path / "alice.key_secret"
    path.write_text(path.read_text().replace(alice.public, keys.make().public))
    with pytest.raises(zchat.BadKey, match="don't fit each other"):
        keys.read_secret(path)


WRONG = {
    "nothing": ("", "it has no public-key"),
    "text": ("metadata\nhello\n", "line 2: this is no line of a key"),
    "a short key": ('curve\n    public-key = "abcde"\n', "line 2: a key has 40 characters of Z85, this has 5"),
    "other characters": (f'curve\n    public-key = "{"~" * 40}"\n', "line 2: a key has 40 characters of Z85"),
    "beyond 32 bits": (f'curve\n    public-key = "{"#" * 40}"\n', "line 2: a key has 40 characters of Z85"),
    "a name that breaks the rules": ('metadata\n    user = "@lice"\n', "line 2: "),
    "a user in a comment, by a line separator": ("# nice\u2028 user = 'alice'\n", "line 1: a key has no control"),
    "a user in a comment, by a carriage return": ("# nice\r user = 'alice'\n", "line 1: a key has no control"),
    "a user in a comment, by a form feed": ("# nice\f user = 'alice'\n", "line 1: a key has no control"),
    "two users": ("metadata\n user = 'carol'\n user = 'alice'\n", "line 3: there is a second user"),
    "two keys": (f"public-key = '{'0' * 40}'\n" * 2, "line 2: there is a second public-key"),
    "a quotation mark": ("metadata\n user = 'a\"b'\n", "line 2: a user with a key has no quotation mark"),
    "a guest's name": ('metadata\n    user = "Guest-12"\n', "line 2: names that begin with guest- are those of guests"),
    "too large": ("#" * 70_000, "it is too large"),
    "half a gateway": ("metadata\n gateway = yes\n", "line 2: gateway is true or false, not 'yes'"),
    "a gateway twice": ("metadata\n gateway = true\n gateway = false\n", "line 3: there is a second gateway"),
}


@pytest.mark.parametrize(("text", "why"), WRONG.values(), ids=WRONG)
def test_what_is_no_key_is_named_with_its_line(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "carol.key"
    path.write_text(text)
    with pytest.raises(zchat.BadKey, match=why) as error:
        keys.read_public(path)
    assert "carol.key" in str(error.value)


def test_what_can_t_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(zchat.BadKey, match="can't be read"):
        keys.read_public(tmp_path / "nobody.key")
    with pytest.raises(zchat.BadKey, match="can't be read"):
        keys.read_public(tmp_path)
    (tmp_path / "bytes.key").write_bytes(b"\xff\xfe")
    with pytest.raises(zchat.BadKey, match="it is no text"):
        keys.read_public(tmp_path / "bytes.key")


def test_a_public_half_is_no_pair(tmp_path: Path, alice: Key) -> None:
    with pytest.raises(zchat.BadKey, match=r"the secret half is in alice\.key_secret"):
        keys.read_secret(tmp_path / "alice.key")
    with pytest.raises(zchat.BadKey, match="key is a public half"):
        keys.credentials(keys.read_public(tmp_path / "alice.key"), alice.public)


def test_a_brokers_key_is_a_file_or_its_characters_or_several(tmp_path: Path, alice: Key) -> None:
    assert keys.server_keys(alice.public) == (alice.public,)
    assert keys.server_keys([str(tmp_path / "alice.key"), alice.public]) == (alice.public, alice.public)
    assert keys.server_keys(tmp_path / "alice.key") == (alice.public,)
    with pytest.raises(zchat.BadKey, match=r"alice\.key_secret' has a secret half, which its owner alone may have"):
        keys.server_keys(tmp_path / "alice.key_secret")
    with pytest.raises(zchat.BadKey, match="is no file, and no key: that has 40 characters, not 12"):
        keys.server_keys("missing.keys")
    with pytest.raises(zchat.BadKey, match="no key of the broker's is given"):
        keys.server_keys([])


def test_one_of_the_two_alone_is_a_usage_error(alice: Key) -> None:
    with pytest.raises(zchat.UsageError, match="key is given without server_key"):
        keys.credentials(alice, None)
    with pytest.raises(zchat.UsageError, match="server_key is given without key"):
        keys.credentials(None, alice.public)
    assert keys.credentials(None, None) == keys.NO_KEYS


# -- a broker's folder ---------------------------------------------------------------------------------


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


# -- gateways ------------------------------------------------------------------------------------------


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


def test_a_gateways_key_says_so_in_both_files_and_is_read_as_it_was_made(tmp_path: Path) -> None:
    web = keys.make("web", gateway=True)
    public, secret = keys.write_pair(tmp_path, "web", web)
    assert keys.read_secret(secret) == web
    assert keys.read_public(public) == Key(web.public, "", "web", True)
    assert zmq.auth.load_certificate(secret) == (web.public.encode(), web.secret.encode())


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

    monkeypatch.setattr(keys, "read_public", faulty)
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


def test_a_folder_without_the_brokers_pair_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(zchat.BadKey, match="zchat keygen --server"):
        KeyFolder(tmp_path)


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
