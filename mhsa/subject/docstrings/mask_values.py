"""Which values a mask may have, as docstrings say it: dtypes, any number but zero, and that each row keeps a key."""

from __future__ import annotations

import re

from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.docstrings.added_masks import may_be_added
from mhsa.subject.docstrings.passages import about_masks, about_the_mask, lines_of

# What a docstring or an annotation says where it promises a form: any dtype by its name, any shape by the word.
_FORMS = {
    "shape": r"broadcast|\[1, ?\w+, ?\w+\]|\(1, ?\w+, ?\w+\)",
    "integers": r"\b(u?int(8|16|32|64)?|integers?|ByteTensor|LongTensor|IntTensor)\b",
    "floating": r"\b(float(16|32|64)?|floating|FloatTensor|HalfTensor|additive)\b",
}

# Every number but zero.
_NONZERO = r"\bnon-?\s?zeros?\b|\b(other than|unequal to|different from|not equal to) (0|zero)\b|!= ?0\b|\btruthy\b"
_COUNTED = (
    r"\bat least\b|\b(has|have|keep|keeps|contain|contains|need|needs)\b.{0,20}\bnon-?\s?zero|\bno\b.{0,12}\bnon-?\s?zero|\b1\b"
)
_FLOATS = r"\bfloat(16|32|64|ing|s)?\b|\bany (numeric )?(dtype|type)\b"
_NO_FLOATS = (
    r"\bfloat\w*( masks?| ones?| tensors?| numbers?)? (are |is |must |may )?(not|unsupported|never|refused|no\b)"
    r"|\b(no|not|never|without) (a )?float"
)
_KEEPS_A_KEY = (
    r"at least (one|1)\b|(each|every|a) (row|query) (always |must )?(keeps?|has|have|sees?) (a|one|some)\b"
    r"|never (all|fully|entirely|completely) (masked|hidden|blocked|padding|padded|False)"
    r"|must not be (fully|entirely|completely) (masked|hidden|blocked|padding|padded)"
)


def promises(adapter: Adapter, form: str) -> bool:
    """Whether docstrings speak of a mask in words that promise such forms: of any "shape", of "integers", "floating" ones."""
    return any(re.search(_FORMS[form], line, re.IGNORECASE) for line in lines_of(adapter) if "mask" in line.lower())


def says_nonzero(adapter: Adapter) -> bool:
    """Whether docstrings say of the mask that every number but zero means the same: "nonzero entries may be attended".

    A sentence that counts such entries, or names 1 for them, says nothing of other numbers.
    """
    sentences = re.split(r"(?<=[.;])\s", about_masks(adapter))
    return any(re.search(_NONZERO, x, re.IGNORECASE) and not re.search(_COUNTED, x, re.IGNORECASE) for x in sentences)


def says_nonzero_floats(adapter: Adapter) -> bool:
    """Whether they say so of floating masks, too, and not that such a mask is added."""
    text = about_masks(adapter)
    if re.search(_NO_FLOATS, text, re.IGNORECASE) or may_be_added(text):
        return False
    return says_nonzero(adapter) and re.search(_FLOATS, text, re.IGNORECASE) is not None


def keeps_a_key(adapter: Adapter) -> str:
    """Return the words that ask for a key in each row of the mask; empty where there are none."""
    return next((text for text in about_the_mask(adapter) if re.search(_KEEPS_A_KEY, text, re.IGNORECASE)), "")
