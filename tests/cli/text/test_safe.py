"""What shows nothing is marked, wherever it stands for nothing; what people spell with stays."""

from __future__ import annotations

import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zchat.cli.text.safe import INDENT, named, safe, safe_lines, safe_name
from zchat.names import IGNORABLE

ignorable = re.findall(f"[{IGNORABLE}]", "".join(map(chr, range(0x110000))))
BLANK = "\u2800\ufffc\U00013441\U00013442\U00016fe4\U0001d159"


def test_whatever_shows_nothing_is_marked_after_a_letter() -> None:
    assert len(ignorable) > 4000
    for character in [*ignorable, *BLANK, "\ufdd0", "\uffff", "\U0010fffe"]:
        mark = f"<U+{ord(character):04X}>"
        assert safe(f"a{character}b") == f"a{mark}b"
        assert safe(character) == mark
        assert safe_lines(f"x\na{character}") == f"x\n{INDENT}a{mark}"
        assert safe_name(f"alice{character}") in (f"alice{mark}", f"“alice{mark}”")


@pytest.mark.parametrize(
    "text",
    [
        "a" + "".join(chr(0xE0100 + byte) for byte in b"meet me at eleven"),
        "葛" + "\U000e0100\U000e0101",
        "❤\ufe0f\ufe0f\ufe0e\ufe0f",
        "1\ufe0f2\ufe0f3\ufe0e",
        "ab\u200c\u200d\u200c\u200d",
        "ی\u200c\u200d\u200c\u200d",
        "\U0001f469\u200d\u200d\u200d",
        "\U0001f3f4" + "".join(chr(0xE0000 + ord(letter)) for letter in "hidden") + "\U000e007f",
        "go" + "".join(chr(0xE0000 + ord(letter)) for letter in "gbeng") + "\U000e007f",
        "\u2800\u3164\u2800",
    ],
    ids=ascii,
)
def test_no_more_than_one_character_hides_after_another(text: str) -> None:
    shown = safe(text)
    hidden = sum(character in ignorable for character in shown)
    assert hidden <= 1
    assert shown.count("<U+") == sum(character in ignorable or character in BLANK for character in text) - hidden


@pytest.mark.parametrize(
    "text",
    [
        "葛\U000e0100城市",  # a variant of an ideograph, as in a name
        "\u2229\ufe00 \u6d77\ufe00",
        "ᠠ\u180bᠠ",
        "می\u200cخواهم",
        "क\u094d\u200dष र\u200d\u094dय",
        "1\ufe0f\u20e3 #\ufe0f\u20e3 ©\ufe0f ❤\ufe0f ☎\ufe0e",
        "\U0001f575\U0001f3fb\u200d♂\ufe0f \U0001f3f3\ufe0f\u200d\U0001f308 \U0001f44d\ufe0f",
        "\U0001faf9\u200d\U0001faff",  # of a Unicode that is not there yet
        "\U0001f3f4\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f",
    ],
    ids=ascii,
)
def test_what_is_spelt_with_it_stays(text: str) -> None:
    assert safe(text) == text
    assert safe(f"{text}\x07{text}") == f"{text}␇{text}"


@given(st.text(st.one_of(st.characters(), st.sampled_from(ignorable), st.sampled_from("a❤葛ی\U0001f469\U0001f3f4"))))
def test_of_two_characters_that_show_nothing_one_is_marked(text: str) -> None:
    shown = safe(text)
    assert not any(unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") for each in shown)
    hiding = "".join("x" if each in ignorable else " " for each in shown)
    assert "xx" not in hiding.replace("x" * 6, " ")  # the tags of a flag


@pytest.mark.parametrize(
    "text",
    [
        "\n",
        " \n",
        "x\r\n",
        "\x1b",
        "\t",
        "\x9b",
        "\u200b",
        "\u2800",
        "❤\ufe0f",
        "\u0627\u200d",
        "\U0001f469\u200d",
        "日\n",
    ],
    ids=ascii,
)
def test_a_long_text_is_not_gone_through_step_by_step(text: str) -> None:
    steps = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal steps
        steps += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        safe_lines(text * 10_000)
    finally:
        sys.setprofile(before)
    assert steps < 1_000


def test_a_flag_may_be_joined_to_a_picture() -> None:
    flag = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
    assert safe(f"\U0001f469\u200d{flag}\U000e0067") == f"\U0001f469\u200d{flag}<U+E0067>"


def test_controls_are_shown_as_marks() -> None:
    assert safe("\x07\x08\x1b[2J\x7f") == "␇␈␛[2J␡"
    assert safe("\x9b2J\u202e\u2028\ufeff") == "<U+009B>2J<U+202E><U+2028><U+FEFF>"
    assert safe("a\tb") == "a    b"
    assert safe("a\nb") == "a␊b"
    assert safe_lines("a\r\nb\nc\rd") == f"a\n{INDENT}b\n{INDENT}c␍d"


@pytest.mark.parametrize(
    "text", ["می‌خواهم", "👩‍👩‍👧", "❤️", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "naïve 日本 ☃"]
)
def test_text_that_people_write_stays_as_it_is(text: str) -> None:
    assert safe(text) == text
    assert safe(text + "\x07") == text + "␇"


def test_tags_stay_in_a_flag_and_nowhere_else() -> None:
    flag = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
    assert safe(f"{flag}\x07{flag}") == f"{flag}␇{flag}"
    assert safe("go\U000e0067\U000e007f") == "go<U+E0067><U+E007F>"
    assert safe_lines(f"a\n{flag}\U000e0061") == f"a\n{INDENT}{flag}<U+E0061>"
    assert "\U000e0061" not in safe("\U0001f3f4" + "\U000e0061" * 40 + "\U000e007f")


def unquoted(name: str) -> str:
    return name.removeprefix("“").removesuffix("”")


def test_nothing_that_looks_like_a_colon_ends_a_name() -> None:
    assert safe_name("alice: yes") == "“alice<U+003A> yes”"
    assert safe_name("a:b") == "“a:b”"
    for character in "∶꞉ː։׃܃⦂᛬：﹕˸︓⁚፡።፣፤፥፦ꓽ":
        assert unquoted(safe_name(f"alice{character} yes")) == f"alice<U+{ord(character):04X}> yes"
        assert unquoted(safe_name(f"alice{character}yes")) == f"alice<U+{ord(character):04X}>yes"
    assert safe_name("रामः yes") == "राम<U+0903> yes"
    assert safe_name("रामः") == "रामः"


@pytest.mark.parametrize(
    "name", ["alice", "Bob Smith", "José O'Brien", "Kaʻiulani", "राम कुमार", "サーバー", "2nd-floor_1.b"]
)
def test_an_ordinary_name_stands_before_its_text_as_it_is(name: str) -> None:
    assert safe_name(name) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("alice -> bob", "“alice -> bob”"),
        ("alice ▶ bob", "“alice ▶ bob”"),
        ("♯General bob", "“♯General bob”"),
        ("⁎ alice resigns", "“⁎ alice resigns”"),
        ("≫ bob", "“≫ bob”"),
        ("... #General", "“... #General”"),
        ("alice·", "“alice·”"),
        ("a‐b", "“a‐b”"),
        ("bob''", "“bob<U+0027><U+0027>”"),
        ("two  blanks", "“two  blanks”"),
        ("Anna 🌸", "“Anna 🌸”"),
    ],
)
def test_a_name_with_signs_stands_in_quotation_marks_before_its_text_too(name: str, shown: str) -> None:
    assert safe_name(name) == named(name) == shown


def test_every_arrow_in_a_name_is_marked() -> None:
    arrows = [
        chr(code)
        for code in range(0x110000)
        if unicodedata.category(chr(code))[0] in "PS"
        and re.search(r"\bARROW\b", unicodedata.name(chr(code), "").split(" WITH ")[0].replace("BOW AND ARROW", ""))
    ]
    assert len(arrows) > 450
    assert set("→⟶➔⭢⇾🠒🡒🠚🠂") <= {*arrows}
    for arrow in arrows:
        mark = f"alice <U+{ord(arrow):04X}> bob"
        assert safe_name(f"alice {arrow} bob") == named(f"alice {arrow} bob") == f"“{mark}”"
    assert named("💘") == "“💘”", "a heart with an arrow is none"


def test_whatever_could_pass_for_a_quotation_mark_is_marked_within_them() -> None:
    marks = {chr(code) for code in range(0x110000) if "QUOTATION MARK" in unicodedata.name(chr(code), "")}
    marks |= {chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in ("Pi", "Pf")}
    marks -= {chr(code) for code in range(0xE0000, 0xE0080)}
    # Of Unicode's property Quotation_Mark what has another name, and what UTS 39 has for two of U+0027 or for one.
    marks |= set("\"'`´〃᳓״˝ʺ˶ˮ″‴‶‷⁗ʹʻʼʽˊˋ˴՚׳ߴߵꞋꞌ᾽῾`΄「」『』⹂❠🙶🙷🙸")
    for mark in marks:
        assert named(f"x{mark} joined G1, {mark}y").count(f"<U+{ord(mark):04X}>") == 2, ascii(mark)
        assert unquoted(named(f"x{mark} joined")).isascii()


def test_an_apostrophe_between_letters_is_spelling() -> None:
    assert named("Dwayne O’Neil's") == "“Dwayne O’Neil's”"
    assert named("x' joined 'y") == "“x<U+0027> joined <U+0027>y”"


@pytest.mark.parametrize("name", ["you", "Someone", "and", "others"])
def test_a_name_that_is_a_word_of_the_sentence_stands_in_quotation_marks(name: str) -> None:
    assert named(name) == f"“{name}”"


@pytest.mark.parametrize(
    "name", ["alice", "Bob_2", "a-b.c", "Zürich", "東京", "राम", "@alice", "@you", "x\u0302", "O'Brien"]
)
def test_an_ordinary_name_stands_in_a_sentence_as_it_is(name: str) -> None:
    assert named(name) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("alice left G1 and bob", "“alice left G1 and bob”"),
        ("bob,", "“bob,”"),
        ("a@b", "“a@b”"),
        ("@bob smith", "“@bob smith”"),
        ("x” joined G1, “y", "“x<U+201D> joined G1, <U+201C>y”"),
        ('x" y', "“x<U+0022> y”"),
        ("x: y\x07", "“x<U+003A> y␇”"),
    ],
)
def test_no_name_reads_like_a_part_of_the_sentence_that_it_stands_in(name: str, shown: str) -> None:
    assert named(name) == shown
    assert safe(shown) == shown
