"""Ways of letting in that somebody has written down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zchat.errors import UsageError
from zchat.web.doors import connections_of, letting_in, read_token_key


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "--open .* --token-key FILE .* or --user-header NAME"),
        ({"open_to_all": True, "user_header": "X", "proxies": ["10.0.0.1"]}, "in one way"),
        ({"user_header": "X-User"}, "--trusted-proxy"),
        ({"user_header": "X-User", "proxies": ["10.0.0.1/8"]}, "no network"),
        ({"open_to_all": True, "hosts": ["chat.example.org:80"]}, "no host"),
        ({"open_to_all": True, "hosts": ["http://x"]}, "no host"),
        ({"open_to_all": True, "origins": ["chat.example.org"]}, "no origin"),
        ({"open_to_all": True, "origins": ["https://x/path"]}, "no origin"),
        ({"open_to_all": True, "origins": ["http://["]}, "no origin"),
        ({"token_key": "/nowhere/key"}, "can't be read: No such file"),
        ({"token_key": "a\0b"}, r"a key for tokens is the path of a file, not 'a\\x00b'"),
        ({"user_header": "X-User", "proxies": "10.0.0.1"}, "proxies is a list of networks, not '10.0.0.1'"),
        *(
            ({"open_to_all": True, name: "x"}, f"{name} is a list of {kind}, not 'x'")
            for name, kind in (("public", "patterns"), ("hosts", "names"), ("origins", "origins"))
        ),
        *(
            ({"user_header": name, "proxies": ["10.0.0.1"]}, "is the name of no header: X-Forwarded-User, for instance")
            for name in ("", " ", "X Y", "é", "X-A\r\nB", "X-User:", "X-User\n")
        ),
        *(
            ({"open_to_all": True, "hosts": [host]}, "is no host: .* in ASCII")
            for host in (
                "",
                " ",
                "a\nb",
                "a b",
                "a..b",
                "*",
                "*.example.org",
                "é.example.org",
                "::x",
                "fe80::1%eth0",
                "a\n",
            )
        ),
        *(
            ({"open_to_all": True, "origins": [origin]}, "no origin")
            for origin in (
                *("", "https://", "https://a\nb", "https://a b", "https://u@a", "https://a?", "https://a#", "ftp://a"),
                *("https://a:x", "https://a:99999", "https://é", "https://[::x]", " https://a", "https://a\n", "null"),
            )
        ),
        *(
            ({"open_to_all": True, "public": [pattern]}, "is no pattern of rooms, as news or ops-\\* are: ")
            for pattern in ("", " ", "a\nb", " news", "news ", "#news", "@*", "/x", "x" * 65, "x\u200b*")
        ),
    ],
)
def test_what_can_not_be_meant_is_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        letting_in(**options)


def test_names_are_taken_in_any_case() -> None:
    found = letting_in(
        open_to_all=True,
        hosts=["Chat.Example.org", "[0::2]"],
        origins=["HTTPS://Site.example/", "https://a.example:443", "http://[0:0::3]:8080"],
        public=["News*", "?", "*"],
    )
    assert found.origins == {"https://site.example", "https://a.example", "http://[::3]:8080"}
    assert found.place("chat.example.org:443", "https://site.example") is None
    assert found.place("[::2]:8080", None) is None
    assert "news today" in found.public


def test_there_is_a_place_for_one_browser_at_least() -> None:
    assert connections_of(1) == 1
    for wrong in (0, -1, True, None, "5", 1.5, float("nan")):
        with pytest.raises(UsageError, match="max_connections is a whole number of browsers from 1, not "):
            connections_of(wrong)  # type: ignore[arg-type]


def test_a_key_for_tokens_is_secret_and_long(tmp_path: Path) -> None:
    file = tmp_path / "token's key"
    file.write_bytes(b"k" * 40 + b"\n")
    file.chmod(0o600)
    assert read_token_key(str(file)) == b"k" * 40
    file.chmod(0o640)
    with pytest.raises(UsageError, match=r"read by others \(mode 640\): chmod 600 '.*token'\"'\"'s key'"):
        read_token_key(str(file))
    file.chmod(0o600)
    for content, reason in ((b"short\n", "32 bytes or more"), (b"k" * 5000, "more than 4096")):
        file.write_bytes(content)
        with pytest.raises(UsageError, match=reason):
            read_token_key(str(file))
    with pytest.raises(UsageError, match="can't be read"):
        read_token_key(str(tmp_path))
