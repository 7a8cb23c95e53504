"""Names that look like another: what a reader can't tell apart is said to be two users."""

from __future__ import annotations

import re
import unicodedata
from collections import OrderedDict

from zchat.names import IGNORABLE, fold

NAMES_KEPT = 1000
"""Names that a new one is compared with at most: those seen last."""

_ALIKE = str.maketrans(
    "01I|×ıƄƍƖƦƧƷƼƽǀȜȢȣɑɡɣɩɪɯʋʏͿΑΒΕΖΗΙΚΜΝΟΡΤΥΧαγηικνορστυχωϜϨϳϺЅІЈАВЕЗКМНОРСТУХЬабгекорсухьѕіјѡ"
    "ѴѵҮүһҽӀӏӠԁԌԛԜԝՍՏՕագզհոռսցքօ۱۵۷߀ߊ०০৪৭੦੧੪૦ଠ୦୨௦౦೦ഠ൦൭๐໐ဝ၀ყჿሀዐᎠᎡᎢᎥᎩᎪᎫᎬᎳᎷᎻᎽᏀᏂᏃᏎᏏᏒᏔᏕᏙᏚᏞᏟᏢᏦᏧᏮᏳᏴᐯᑌᑭ"
    "ᑯᑲᒍᒪᒿᕁᕼᕽᖇᖯᖴᗅᗞᗪᗰᗷ᙭᙮ᚷᛁᛕᛖᴄᴏᴑᴜᴠᴡᴢᴦᶃᶌẝỿ℮∣∨∪⊤⋁⋃⋿⍳⍴⍺⏽╳⟙⤫⤬⨯ⲅⲎⲒⲔⲘⲚⲞⲟⲢⲣⲤⲥⲦⲨⲬⳊⳌⳐⳒⴸⴹⵏⵔⵕⵝ〇ꓐꓑꓒꓓꓔꓖꓗꓙꓚꓜꓝꓟꓠ"
    "ꓡꓢꓣꓦꓧꓪꓫꓬꓮꓰꓲꓳꓴꙄꙇꛟꛯꜱꝚꝪꝮꞘꞙꞟꞫꞲꞳꞴꬲꬵꬽꭇꭈꭎꭒꭚꭵꮁꮃꮓꮩꮪꮯ𐊂𐊆𐊇𐊊𐊐𐊒𐊕𐊖𐊗𐊠𐊡𐊢𐊥𐊫𐊰𐊱𐊲𐊴𐋏𐋵𐌁𐌂𐌉𐌑𐌕𐌗𐌚𐌠𐌢𐐄𐐕𐐛𐐠𐐬𐐽𐑈𐒴𐓂𐓎𐓒𐓪𐓶𐔓𐔖𐔘𐔜𐔝"
    "𐔥𐔦𐔧𑓐𑜆𑜊𑜎𑜏𑢠𑢢𑢣𑢤𑢦𑢩𑢬𑢮𑢯𑢲𑢵𑢸𑢻𑢼𑣀𑣁𑣂𑣃𑣄𑣆𑣈𑣊𑣌𑣕𑣖𑣗𑣘𑣜𑣠𑣥𑣦𑣩𑣬𑣯𑣲𖼈𖼊𖼖𖼨𖼵𖼺𖼻𖽀𖽂𖽃𝈆𝈍𝈒𝈓𝈖𝈪🝌🝨",
    "olllxibglR235sl388agyiiwuyJABEZHlKMNOPTYXaynikvopotuxwF2jMSlJABE3KMHOPCTYXba6rekopcyxbsijw"
    "VvYyhell3dGqWwUSOwqqhnnugfoloVoloO89o98oOO9ooooo9ooooyoUODRTlYAJEWMHYGhZ4bRWSVSLCPKd6GBVUP"
    "dbJL2xHxRbFADDMBXxXlKMcoouvwzrgyfyelvUTvUEipalXTxxxrHlKMNOoPpCcTYX93L6VElOQXOBPdDTGKJCZFMN"
    "LSRVHWXYAElOU2iV2s239Ffu3JXBeforruuyirwzvscBEFlXOPSTABCFOMTYXHZBClMTX8lXOCLSocsROU7ouNOKCV"
    "FLXOvwwwVFLYEZ9E4LOU5TvsFiz7o3969ouyOZWCXWCVTLlRS3AUY3V7FRLCT",
)
"""What looks like a letter or digit of ASCII, with it: all confusables of UTS 39 that a new name may have."""

_UNSEEN = re.compile(f"[{IGNORABLE}\\s]")

_OVERLAY = 1
"""The combining class of marks that lie over the character before them, as a stroke does."""


def skeleton(name: str) -> str:
    """Return what is the same for names that look alike in some case, after UTS 39; never to be shown."""
    shown = _UNSEEN.sub("", unicodedata.normalize("NFKC", name))
    plain = "".join(map(_without_specks, shown)).translate(_ALIKE)
    folded = plain.casefold().translate(_ALIKE).casefold()  # again: Cherokee's small letters fold to its capitals
    return unicodedata.normalize("NFD", folded).replace("rn", "m").replace("vv", "w").replace("i", "l")


def _without_specks(character: str) -> str:
    """Return a character, `-` for any dash, and nothing for what is easily overlooked beside a letter."""
    category = unicodedata.category(character)
    if category == "Pd" or character == "\u2212":
        return "-"
    if character.isascii():
        return character
    speck = category in ("Pi", "Pf", "Po", "Sk") or unicodedata.combining(character) == _OVERLAY
    return (
        "" if speck or (category == "Lm" and unicodedata.name(character).startswith("MODIFIER LETTER")) else character
    )


class LookAlikes:
    """The names of the users that were seen, to find another's that looks like one of them. One thread at a time."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, str] = OrderedDict()
        """By skeleton: the first name seen that has it."""
        self._said: OrderedDict[str, None] = OrderedDict()
        """The names, folded, that were reported."""

    def add(self, name: str) -> str | None:
        """Return the other user's name that a name looks like, once; None if it looks like none."""
        alike = skeleton(name)
        other = self._names.setdefault(alike, name)
        self._names.move_to_end(alike)
        if len(self._names) > NAMES_KEPT:
            self._names.popitem(last=False)
        key = fold(name)
        if fold(other) == key or key in self._said:
            return None
        self._said[key] = None
        if len(self._said) > NAMES_KEPT:
            self._said.popitem(last=False)
        return other
