"""Rules as text: what they say, and what is wrong with them by its line."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.broker.guard.driver import ROOMS, USERS, files, fits, judged, printed
from zchat.broker.guard import rules, rules_text
from zchat.broker.guard.rules import NOBODY, Rate, Rules
from zchat.broker.guard.rules_text import _Covered, parse
from zchat.errors import BadRules
from zchat.names import fold
from zchat.wire.commands import Right

EXAMPLE = """\
operators = ["Alice"]
stats = ["@staff"]

[groups]
staff = ["alice", "bob"]
bots = ["ci", "alerts"]

[limits]
messages = 20_000
bytes = "16 MiB"

[[rooms]]
names = ["Announcements"]
send = ["@staff"]
owners = ["bob"]

[[rooms]]
names = ["ops", "ops-*"]
see = ["@staff", "@bots"]
read = ["@staff"]
rate = { messages = 50, bytes = "1 MiB" }
most = 40
max_message = "64kib"

[[rooms]]
names = ["*"]
create = ["@staff"]
guests = ["see", "join"]

[direct]
allow = ["@staff"]
"""


def parsed(value: dict[str, Any], text: str) -> Rules:
    """Return the rules of a text; the example is passed over if one of its names is never reached."""
    try:
        return parse(text)
    except BadRules as error:
        assume("never reached" not in str(error))
        raise


def test_a_file_of_rules_says_who_may_what() -> None:
    rules = parse(EXAMPLE)
    assert rules.operators == {"alice"}
    staff = frozenset(("alice", "bob"))
    assert rules.stats == rules.direct == staff
    assert rules.makers_own
    assert rules.limits == Rate(20_000, 16 << 20)
    first, ops, others = rules.tables
    assert (first.names, first.line, first.see) == (("announcements",), 12, None)
    assert first.send == first.create == staff
    assert first.owners == {"bob"}
    assert ops.read == ops.create == staff
    assert ops.send == staff | {"ci", "alerts"}
    assert ops.line == 17
    assert (ops.rate, ops.most, ops.max_message) == (Rate(50, 1 << 20), 40, 64 << 10)
    assert others.create == staff
    assert others.guests == Right.SEE | Right.JOIN


def test_an_empty_file_has_the_defaults() -> None:
    rules = parse("")
    assert (rules.tables, rules.operators, rules.stats, rules.direct) == ((), NOBODY, NOBODY, None)
    assert (rules.makers_own, rules.limits) == (True, Rate())
    assert parse('[[rooms]]\nnames = ["x"]\nsee = []').tables[0].members == NOBODY
    assert parse('stats = ["everybody"]\n[direct]\nallow = ["nobody"]').stats is None


@given(st.data(), st.sampled_from(USERS), st.sampled_from(ROOMS), st.booleans())
def test_whatever_a_file_says_is_what_the_rules_give(data: st.DataObject, user: str, room: str, made: bool) -> None:
    value = data.draw(files())
    rules = parsed(value, data.draw(printed(value))[0])
    rights = rules.rights(fold(user), fold(room), made)
    given = {right.name.lower() for right in Right if rights & right}
    assert given == judged(value, user, room, made=made)


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("a = 1\nb = = 2\n", 2, "Invalid value"),
        ('a = 1\nb = """x\n\n', 2, "Unterminated|Expected"),
        ("x = " + "[" * 5_000, 1, "."),
        ("\noperatos = []", 2, "no key 'operatos' here; did you mean 'operators'"),
        ("rooms = 3", 1, "tables"),
        ("rooms = [\n1]", 1, "tables"),
        ("groups = 3", 1, "groups is a table"),
        ("[groups]\n'' = []", 2, "no name of a group"),
        ("[groups]\n'@x' = []", 2, "no name of a group"),
        ("[groups]\nstaff = [\n'a',\n'@b'\n]", 4, "a group has users"),
        ("[groups]\nstaff = 'a'", 2, "staff is a list"),
        ("[groups]\nstaff = ['a', 3]", 2, "names in quotation marks, not 3"),
        ('[groups]\nstaff = ["a", "b\\n"]\n', 2, "a control character"),
        ('[groups]\nstaff = ["a",\n "b\\u200b"]\n', 3, "an invisible"),
        ("[groups]\nstaff = ['Guest-12']", 2, "a guest's name"),
        ("operators = ['everybody']", 1, "operators are users and groups, not everybody"),
        ("[groups]\nstaff=[]\n[[rooms]]\nnames=['x']\nsee = [\n'a',\n'@stuff',\n]", 7, "no group 'stuff'.*'staff'"),
        ("[[rooms]]\nnames=['x']\nsee = ['a', 'everybody']", 3, "'everybody' stands alone"),
        ("[[rooms]]\nnames=['x']\nsee = ['nobody', 'a']", 3, "'nobody' stands alone"),
        ("[[rooms]]\nnames=['x']\n[[rooms]]\nsee=[]", 3, "a table of rooms has names"),
        ("[[rooms]]\nnames=[]", 2, "names is empty"),
        ("[[rooms]]\nnames=['a',\n'@bob']", 3, r"reserved.*\[direct\] is about direct rooms"),
        ("[[rooms]]\nnames=['a', 'b ']", 2, "white space"),
        ("[[rooms]]\nnames=['a']\nsned = []", 3, "'sned' here; did you mean 'send'"),
        ("[[rooms]]\nnames=['a']\nowners=['everybody']", 3, "owners are users"),
        (
            "[[rooms]]\nnames=['a*']\n[[rooms]]\nnames=[\n'b',\n'A?c'\n]",
            6,
            "'A.c' is never reached.*line 1 comes first",
        ),
        ("[[rooms]]\nnames=['*']\n[[rooms]]\nnames=['b']", 4, "never reached"),
        ("[[rooms]]\nnames=['a']\nguests=['create']", 3, "guests have rights of see, join"),
        ("[[rooms]]\nnames=['a']\nguests=['see', 'read']", 3, "may read have to be given 'join' too"),
        ("[[rooms]]\nnames=['a']\nguests=['join']", 3, "may join have to be given 'see' too"),
        ("[[rooms]]\nnames=['a']\nrate = 3", 3, "rate is a table"),
        ("[[rooms]]\nnames=['a']\nrate = { message = 3 }", 3, "'messages'"),
        ("[[rooms]]\nnames=['a']\n[rooms.rate]\nbytes = '3 PiB'", 4, "a size such as"),
        ("[[rooms]]\nnames=['a']\nmost = -1", 3, "from 0"),
        ("[[rooms]]\nnames=['a']\nmost = true", 3, "from 0"),
        ("[[rooms]]\nnames=['a']\nmax_message = '2 MiB'", 3, "1,048,576"),
        ("[limits]\nmessages = 2000000000", 2, "1,000,000,000"),
        ("[limits]\nburst = 1", 2, "no key 'burst'"),
        ("makers_own = 'yes'", 1, "true or false"),
        ("[direct]\nalow = []", 2, "did you mean 'allow'"),
        ("stats = 3", 1, "stats is a list"),
    ],
)
def test_what_is_wrong_is_reported_by_its_line(text: str, line: int, why: str) -> None:
    with pytest.raises(BadRules) as error:
        parse(text)
    found = re.fullmatch(r"line (\d+): (.*)", str(error.value), re.DOTALL)
    assert found is not None, str(error.value)
    assert int(found[1]) == line
    assert re.search(why, found[2], re.DOTALL), found[2]


def test_the_names_of_rooms_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules_text, "RULES_NAMES", 3)
    text = "[[rooms]]\nnames=['a', 'b']\n[[rooms]]\nnames=['c']\n"
    assert len(parse(text).tables) == 2
    with pytest.raises(BadRules, match="line 6: there are more than 3 names"):
        parse(f"{text}[[rooms]]\nnames=['d']")


PATTERNS = sorted({"".join(each) for length in (1, 2, 3) for each in product("ab*?", repeat=length)})
WORDS = ["".join(each) for length in range(5) for each in product("abc", repeat=length)]


def test_a_name_covers_another_if_it_fits_all_that_the_other_fits() -> None:
    fitted = {pattern: {word for word in WORDS if fits(pattern, word)} for pattern in PATTERNS}
    for wide in PATTERNS[::3]:
        covered = _Covered()
        covered.add([wide], 7)
        for narrow in PATTERNS:
            assert covered.line(narrow) == (7 if fitted[narrow] <= fitted[wide] else 0), (wide, narrow)


def test_each_name_is_made_a_pattern_once_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, ...]] = []

    def pattern_of(names: tuple[str, ...]) -> str:
        made.append(names)
        return rules.pattern_of(names)

    monkeypatch.setattr(rules_text, "pattern_of", pattern_of)
    names = [f"room-{number}-*" for number in range(100)]
    parse("".join(f'[[rooms]]\nnames = ["{name}"]\n' for name in names))
    assert sorted(made) == sorted((name,) for name in names)
