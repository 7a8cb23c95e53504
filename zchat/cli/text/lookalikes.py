"""Names that look like another: what a reader can't tell apart is said to be two users."""

from __future__ import annotations

import re
import unicodedata
from collections import OrderedDict

from zchat.names import IGNORABLE, fold

NAMES_KEPT = 1000
"""Names that a new one is compared with at most: those seen last."""

_ALIKE = str.maketrans(
    "I1|ΙІӀ0АВЕЅІЈКМНОРСТУХаеѕіјкорсухһԁԛԝѵӏьΑΒΕΖΗΚΜΝΟΡΤΥΧαγηικνορτυχωօսհոցզıɑɡ"
    "ꓐꓑꓒꓓꓔꓖꓗꓙꓚꓜꓝꓟꓠꓡꓢꓣꓦꓧꓪꓫꓬꓮꓰꓲꓳꓴᎠᎡᎢᎥᎩᎪᎫᎬᎳᎷᎻᎽᏀᏂᏃᏔᏕᏙᏚᏞᏟᏢᏦᏧᏴⲞⲤⲢⲘⲎⲦⲬⲔⲚⲒⲟⲥⲣ߀ߊ",
    "lllllloABESlJKMHOPCTYXaesijkopcyxhdqwvlbABEZHKMNOPTYXaynikvoptuxwouhngqiag"
    "BPdDTGKJCZFMNLSRVHWXYAElOUDRTlYAJEWMHYGhZWSVSLCPKdBOCPMHTXKNlocpol",
)
"""Letters and digits with what they look like: the most frequent of Unicode's confusables (UTS 39), not all."""

_UNSEEN = re.compile(f"[{IGNORABLE}\\s]")


def skeleton(name: str) -> str:
    """Return what is the same for names that look alike in some case, after UTS 39; never to be shown."""
    plain = _UNSEEN.sub("", unicodedata.normalize("NFKC", name)).translate(_ALIKE)
    folded = plain.casefold().translate(_ALIKE).casefold()  # again: Cherokee's small letters fold to its capitals
    return unicodedata.normalize("NFD", folded).replace("rn", "m").replace("vv", "w").replace("i", "l")


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
