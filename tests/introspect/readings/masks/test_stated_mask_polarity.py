"""The polarity of a mask as the code states it."""

from typing import Any

import pytest

from mhsa.introspect.choose_adapter import as_adapter
from mhsa.introspect.readings.masks.stated_polarity import stated_meaning
from tests.helpers.plain_attention import Plain


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        ("mask: True for tokens, False for padding.", "allowed"),
        ("mask: 1/True = masked", "blocked"),
        ("mask: [B, T], 0 for padding", "allowed"),
        ("mask: True means to keep, False means to mask out", "allowed"),
        ("mask: positions with True are not allowed to attend while False values will be unchanged", "blocked"),
        ("mask: 1 for tokens that are not masked, 0 for masked tokens", "allowed"),
        ("mask: where invalid positions are indicated by `True` values", "blocked"),
        ("mask: valid positions are marked with 1", "allowed"),
        ("mask: additive", "additive"),
        ("mask: 0 where allowed and -inf where not, added to the scores", "additive"),
        ("mask: shape [B, Tq, Tk]", None),
        ("mask: True may attend; a floating mask is added to the scores", None),
    ],
)
def test_what_docstrings_say_of_a_mask(words: str, meaning: str | None) -> None:
    def forward(self: Any, query: Any, key: Any, value: Any, mask: Any = None) -> Any:
        return self.attend(query, key, value, mask)

    forward.__doc__ = words
    kind = type("Documented", (Plain,), {"forward": forward})
    stated = stated_meaning(as_adapter(kind, "x"))
    assert (stated and stated.meaning) == meaning


@pytest.mark.parametrize(
    ("name", "words", "twice"),
    [
        ("key_padding_mask", "[B, Tk], True positions are ignored.", True),
        ("key_padding_mask", "[B, Tk], True may be attended to.", False),
        ("key_padding_mask", "[B, Tk].", False),
        ("mask", "[B, Tk], True positions are ignored.", False),
        ("mask", "[B, Tk], True = attend.", True),
        ("mask", "[B, Tk], False for padding.", False),
    ],
)
def test_what_a_docstring_and_the_name_say_leaves_no_other_meaning(name: str, words: str, twice: bool) -> None:
    def forward(self: Any, query: Any, key: Any, value: Any, mask: Any = None) -> Any:
        return self.attend(query, key, value, mask)

    named = {"mask": forward, "key_padding_mask": lambda self, query, key, value, key_padding_mask=None: None}[name]
    named.__doc__ = f"{name}: {words}"
    stated = stated_meaning(as_adapter(type("Documented", (Plain,), {"forward": named}), "x"))
    assert (stated is not None and stated.twice) == twice
