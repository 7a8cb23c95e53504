"""Text that others may send, however nasty."""

from __future__ import annotations

from hypothesis import strategies as st

from zchat.names import MAX_CHARACTERS

letters = st.one_of(
    st.characters(),
    st.sampled_from("\x1b\x9b\x07\x08\x7f\r\n\t\v\f\x85\u2028\u2029\u202e\u2066\ufeff\u00ad\u200b\u200d\u061c"),
)


nasty = st.text(letters)


nasty_names = st.text(letters, max_size=MAX_CHARACTERS)


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(1 << 63), (1 << 64) - 1), st.floats(), nasty, st.binary()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(nasty, st.integers(), st.binary()), inner, max_size=3)
    ),
    max_leaves=8,
)
