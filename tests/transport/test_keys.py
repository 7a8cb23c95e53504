"""Keys and the files that hold them: what is made, what is read, and what is refused by name."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import zmq.auth

import zchat
from tests.closing import REASON, failing, still_open
from zchat.transport import keys
from zchat.transport.keys import Key


@pytest.fixture
def alice(tmp_path: Path) -> Key:
    key = keys.make("Alice")
    keys.write_pair(tmp_path, "alice", key)
    return key


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
    keys.make_server(tmp_path / "server")
    assert (tmp_path / "server").stat().st_mode & 0o777 == 0o700
    with pytest.raises(zchat.BadKey, match="is there already"):
        keys.make_server(tmp_path / "server")


def test_a_gateways_key_says_so_in_both_files_and_is_read_as_it_was_made(tmp_path: Path) -> None:
    web = keys.make("web", gateway=True)
    public, secret = keys.write_pair(tmp_path, "web", web)
    assert keys.read_secret(secret) == web
    assert keys.read_public(public) == Key(web.public, "", "web", True)
    assert zmq.auth.load_certificate(secret) == (web.public.encode(), web.secret.encode())


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
    "other characters": (
        f'curve\n    public-key = "{"~" * 40}"\n',
        "line 2: a key has 40 characters of Z85, this has others",
    ),
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


PAIR, OTHER = keys.make("bob"), keys.make()

NO_PAIRS: dict[str, tuple[Any, Any, str]] = {
    "numbers": (5, 6, "key's public half: a key is text of 40 characters of Z85, not int"),
    "bytes": (PAIR.public.encode(), PAIR.secret.encode(), "key's public half: a key is text .*, not bytes"),
    "nothing": (None, PAIR.secret, "key's public half: a key is text .*, not NoneType"),
    "a short half": ("abc", "def", "key's public half: a key has 40 characters of Z85, this has 3$"),
    "spaces": (" " * 40, " " * 40, "key's public half: a key has 40 characters of Z85"),
    "beyond ASCII": ("é" * 40, "é" * 40, "key's public half: a key has 40 characters of Z85, this has others"),
    "half pairs of surrogates": ("\ud800" * 40, "\ud800" * 40, "key's public half: a key has 40 characters of Z85"),
    "beyond 32 bits": ("#" * 40, PAIR.secret, "key's public half: a key has 40 characters of Z85"),
    "a secret of bytes": (PAIR.public, PAIR.secret.encode(), "key's secret half: a key is text .*, not bytes"),
    "a short secret": (PAIR.public, PAIR.secret[:39], "key's secret half: a key has .* this has 39"),
    "no secret": (PAIR.public, "", "key is a public half"),
    "another's secret": (PAIR.public, OTHER.secret, "key's two halves don't fit each other"),
}


@pytest.mark.parametrize(("public", "secret", "why"), NO_PAIRS.values(), ids=NO_PAIRS)
def test_a_pair_that_a_program_has_made_is_checked_as_a_file_is(public: Any, secret: Any, why: str) -> None:
    with pytest.raises(zchat.BadKey, match=why) as failed:
        keys.credentials(Key(public, secret), PAIR.public)
    assert not secret or str(secret) not in str(failed.value)


def test_whose_a_key_is_is_text() -> None:
    user: Any = 5
    with pytest.raises(zchat.BadKey, match="key's user is text, not 5"):
        keys.credentials(Key(PAIR.public, PAIR.secret, user), PAIR.public)


@pytest.mark.parametrize("what", [what for what, (*_, why) in NO_PAIRS.items() if "public half:" in why])
def test_what_is_no_key_has_no_fingerprint(what: str) -> None:
    public = NO_PAIRS[what][0]
    with pytest.raises(zchat.BadKey, match="a public key: a key "):
        _ = Key(public).fingerprint
    with pytest.raises(zchat.BadKey):
        keys.guest_name(public)


def test_one_of_the_two_alone_is_a_usage_error(alice: Key) -> None:
    with pytest.raises(zchat.UsageError, match="key is given without server_key"):
        keys.credentials(alice, None)
    with pytest.raises(zchat.UsageError, match="server_key is given without key"):
        keys.credentials(None, alice.public)
    assert keys.credentials(None, None) == keys.NO_KEYS


def test_a_pair_whose_close_fails_is_not_left(tmp_path: Path) -> None:
    with (
        failing(),
        pytest.raises(zchat.ZchatError, match=rf"alice.key_secret' can't be written \({REASON}\)") as refused,
    ):
        keys.write_pair(tmp_path, "alice", keys.make("alice"))
    assert not isinstance(refused.value, zchat.UsageError), "nothing is wrong with the name"
    with failing(), pytest.raises(zchat.ZchatError, match=rf"server.key_secret' can't be written \({REASON}\)"):
        keys.make_server(tmp_path / "there")
    seen: list[int] = []

    def second(descriptor: int) -> bool:
        seen.append(descriptor)
        return len(seen) == 2

    with failing(second), pytest.raises(zchat.ZchatError, match=rf"alice.key' can't be written \({REASON}\)"):
        keys.write_pair(tmp_path, "alice", keys.make("alice"))
    assert [*tmp_path.iterdir(), *still_open(tmp_path)] == []
    keys.write_pair(tmp_path, "alice", keys.make("alice"))


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        (errno.EDQUOT, "; choose another folder"),
        (errno.EFBIG, "; raise the limit on its size (ulimit -f)"),
        (errno.EMFILE, ""),
        (errno.ENOMEM, ""),
    ],
)
def test_another_folder_is_advised_where_it_helps_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: int, hint: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(reason, os.strerror(reason))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(zchat.ZchatError) as refused:
            keys.write_pair(tmp_path, "alice", keys.make("alice"))
    assert str(refused.value).endswith(f"can't be written ({os.strerror(reason)}){hint}")
