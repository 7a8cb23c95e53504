"""Who is let in, and from where."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from tests.web.core.test_tokens import GOOD, KEY, NOW, token
from zchat.web.core.letting_in import Caller, LettingIn, Patterns
from zchat.web.core.refusals import Turned

NOBODY = Caller("192.0.2.1", True, None)
PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("host", "origin", "refused"),
    [
        ("localhost:8080", None, None),
        ("127.0.0.1:8080", "http://127.0.0.1:8080", None),
        ("LOCALHOST:8080", "http://localhost:8080", None),
        ("[::1]:8080", "http://[::1]:8080", None),
        ("localhost", "https://localhost", None),
        ("localhost:8080", "https://site.example", None),
        ("localhost:8080", "http://localhost:9090", "origin"),
        ("localhost:8080", "http://evil.example", "origin"),
        ("localhost:8080", "null", "origin"),
        ("localhost:8080", "", "origin"),
        ("localhost:8080", "http://localhost:8080,http://evil.example", "origin"),
        ("localhost:8080", "http://evil.example@localhost:8080", "origin"),
        ("localhost:8080", "ftp://localhost:8080", "origin"),
        ("localhost:8080", "http://[", "origin"),
        ("[", "http://[", "host"),
        ("localhost:8080", "http://lo\xfcalhost:8080", "origin"),
        ("evil.example:8080", "http://evil.example:8080", "host"),
        ("localhost.evil.example", None, "host"),
        ("[::1", None, None),
        ("", None, "host"),
        (None, None, "host"),
    ],
)
def test_another_sites_page_and_another_hosts_name_are_refused(
    host: str | None, origin: str | None, refused: str | None
) -> None:
    assert LettingIn(origins=frozenset({"https://site.example"})).place(host, origin) == refused


def headers(**given: str) -> dict[str, list[str]]:
    return {name.replace("_", "-"): [value] for name, value in given.items()}


def caller(letting_in: LettingIn, peer: str, **given: str) -> Caller:
    return letting_in.caller(peer, lambda name: headers(**given).get(name, []))


def test_the_address_of_a_browser_is_the_nearest_that_is_no_trusted_proxys() -> None:
    letting_in = LettingIn(proxies=PROXIES)
    assert caller(letting_in, "192.0.2.7", X_Forwarded_For="203.0.113.9") == Caller("192.0.2.7", True, None)
    assert caller(letting_in, "10.1.1.1", X_Forwarded_For="1.1.1.1, 203.0.113.9") == Caller("203.0.113.9", True, None)
    assert caller(letting_in, "10.1.1.1", X_Forwarded_For="203.0.113.9, 10.2.2.2").address == "203.0.113.9"
    assert caller(letting_in, "10.1.1.1", X_Forwarded_For="nonsense") == Caller("10.1.1.1", False, None)
    assert caller(letting_in, "10.1.1.1") == Caller("10.1.1.1", False, None)
    assert caller(letting_in, "::ffff:10.1.1.1", X_Forwarded_For="2001:db8::1").address == "2001:db8::1"
    assert not caller(letting_in, "127.0.0.1").counted
    assert not caller(letting_in, "::1").counted


def test_a_users_header_counts_from_a_trusted_proxy_alone() -> None:
    letting_in = LettingIn(user_header="X-User", proxies=PROXIES)
    assert caller(letting_in, "10.1.1.1", X_User="alice").user == "alice"
    assert caller(letting_in, "10.1.1.1", X_User="Gr\xc3\xbc\xc3\x9fe").user == "Grüße"
    for peer, given in (("192.0.2.7", {"X_User": "alice"}), ("10.1.1.1", {}), ("10.1.1.1", {"X_User": ""})):
        with pytest.raises(Turned):
            caller(letting_in, peer, **given)
    with pytest.raises(Turned, match="UTF-8"):
        caller(letting_in, "10.1.1.1", X_User="\xff")
    with pytest.raises(Turned, match="did not say"):
        letting_in.caller("10.1.1.1", lambda name: ["alice", "eve"])


def test_names_are_claims_where_the_door_is_open() -> None:
    letting_in = LettingIn(open_to_all=True)
    found = letting_in.login(NOBODY, "alice", None, NOW)
    assert found is not None
    assert found.user == "alice"
    with pytest.raises(Turned, match="a user's name"):
        letting_in.login(NOBODY, None, None, NOW)


def test_a_token_is_needed_where_there_is_a_key() -> None:
    letting_in = LettingIn(token_key=KEY)
    found = letting_in.login(NOBODY, None, token(), NOW)
    assert found is not None
    assert (found.user, found.until) == ("alice", GOOD["exp"])
    assert letting_in.login(NOBODY, "alice", token(), NOW) == found
    limited = letting_in.login(NOBODY, None, token(GOOD | {"rooms": ["Ops*"]}), NOW)
    assert limited is not None
    assert limited.rooms is not None
    assert "ops-1" in limited.rooms
    assert "@bob" not in limited.rooms
    with pytest.raises(Turned, match="another one than the login"):
        letting_in.login(NOBODY, "eve", token(), NOW)
    with pytest.raises(Turned, match="a token is needed"):
        letting_in.login(NOBODY, "alice", None, NOW)


def test_the_proxys_user_is_the_user_whatever_the_page_claims() -> None:
    letting_in = LettingIn(user_header="X-User", proxies=PROXIES)
    found = letting_in.login(Caller("203.0.113.9", True, "alice"), None, None, NOW)
    assert found is not None
    assert found.user == "alice"
    with pytest.raises(Turned, match="another one"):
        letting_in.login(Caller("203.0.113.9", True, "alice"), "eve", None, NOW)


def test_without_a_name_one_watches_where_there_is_something_public() -> None:
    public = Patterns(["general"])
    assert LettingIn(public=public).login(NOBODY, None, None, NOW) is None
    assert LettingIn(token_key=KEY, public=public).login(NOBODY, None, None, NOW) is None
    with pytest.raises(Turned, match="nobody is let in"):
        LettingIn(public=public).login(NOBODY, "alice", None, NOW)


def test_stars_stand_for_anything_but_direct_rooms() -> None:
    patterns = Patterns(["*"])
    assert "General" in patterns
    assert "@bob" not in patterns
    assert "@bob" in Patterns(["@*"])
    assert "General" not in Patterns(["@*"])


def test_case_does_not_matter_and_nothing_but_stars_and_question_marks_is_special() -> None:
    assert "OPS-1" in Patterns(["ops-?"])
    assert "ops-12" not in Patterns(["ops-?"])
    assert "[a]" in Patterns(["[a]"])
    assert "a" not in Patterns(["[a]"])
    assert "opsx" not in Patterns(["ops"])


def test_no_patterns_are_no_rooms() -> None:
    assert not Patterns([])
    assert Patterns(["x"])
    assert "" not in Patterns([])
    assert 7 not in Patterns(["*"])
