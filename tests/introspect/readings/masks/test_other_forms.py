"""A mask of another number of axes, for which the source has a branch of its own, is tried; it is judged where it is wrong."""

from typing import Any

import pytest

from mhsa.introspect.readings.masks.other_forms import distinguished_axes
from mhsa.introspect.resolve import understand
from mhsa.subject.subject import Subject
from tests.helpers.layers import Layers, fails


def of_keys(mask):
    return mask[:, None, :]


class BothRight(Layers):
    def forward(self, query, key, value, mask=None):
        if mask is not None:
            mask = of_keys(mask) if mask.dim() == 2 else mask
        return self.attend(query, key, value, None if mask is None else ~mask)


class KeysOfTheWrongAxis(Layers):
    def forward(self, query, key, value, mask=None):
        if mask is not None and len(mask.shape) == 2:
            mask = mask[:, :, None]  # hides queries
        return self.attend(query, key, value, None if mask is None else ~mask)


class TransposesMatrices(Layers):
    def forward(self, query, key, value, mask=None):
        if mask is not None:
            mask = of_keys(mask) if mask.ndim == 2 else mask.mT
        return self.attend(query, key, value, None if mask is None else ~mask)

    def only_two_or_three(self, mask):
        if mask.ndim not in (2, 3):
            raise ValueError("a mask has two axes or three")


class KeysOfTheOtherMeaning(Layers):
    def forward(self, query, key, value, mask=None):
        if mask is not None:
            mask = ~of_keys(mask) if mask.dim() == 2 else mask
        return self.attend(query, key, value, None if mask is None else ~mask)


class RefusesTwoAxes(Layers):
    def forward(self, query, key, value, mask=None):
        if mask is not None and mask.dim() == 2:
            raise ValueError("not two axes")
        return self.attend(query, key, value, None if mask is None else ~mask)


class PairsOfTokens(Layers):
    """A mask of tokens hides keys, and makes of the queries that it marks what nobody looks at."""

    def forward(self, query, key, value, mask=None):
        if mask is not None and mask.dim() == 2:
            mask = mask[:, None, :] & mask[:, :, None]
        return self.attend(query, key, value, None if mask is None else ~mask)


def read(module: Any) -> Subject:
    return understand(f"{__file__}:{module.__name__}", ("float64",))


def said(subject: Subject) -> list[str]:
    return [each.text for each in subject.understood if each.part == "mask"]


def test_a_form_that_is_right_is_named() -> None:
    subject = read(BothRight)
    assert subject.contract.mask_shape == "[B, Tq, Tk]"
    assert "or [B, Tk]; tried 3 times" in said(subject)
    assert not any("axes" in each for each in subject.not_judged)
    assert not fails(f"{__file__}:BothRight")


@pytest.mark.parametrize(
    ("wrong", "shape", "axes"), [(KeysOfTheWrongAxis, "[B, Tk]", 2), (TransposesMatrices, "[B, Tq, Tk]", 3)]
)
def test_a_form_that_is_wrong_in_every_reading_is_judged(wrong: Any, shape: str, axes: int) -> None:
    subject = read(wrong)
    assert subject.contract.mask_shape == shape
    assert any(words.startswith(f"of {axes} axes it is right in no reading, and so is judged; ") for words in said(subject))
    assert fails(f"{__file__}:{wrong.__name__}")


def test_a_form_of_the_other_meaning_is_said() -> None:
    subject = read(KeysOfTheOtherMeaning)
    assert (subject.contract.mask_shape, subject.contract.mask) == ("[B, Tq, Tk]", "allowed")
    assert "masks [B, Tk]: with one it hides what the mask marks with True" in subject.not_judged


def test_a_form_that_raises_is_said() -> None:
    left = read(RefusesTwoAxes).not_judged
    assert "masks of 2 axes, which the source tells from others: none that mhsa gives is taken" in left


def test_queries_that_a_mask_of_tokens_marks_may_give_anything() -> None:
    subject = read(PairsOfTokens)
    assert subject.contract.mask_shape == "[B, Tq, Tk]"
    assert "masks of 2 axes, where there are as many queries as keys: else none is taken" in subject.not_judged


def test_the_axes_that_a_source_tells_apart() -> None:
    """By dim(), ndim and len(shape), in the class and in what it calls; of the mask alone."""
    assert distinguished_axes(read(TransposesMatrices).adapter) == {2, 3}
    assert distinguished_axes(read(KeysOfTheWrongAxis).adapter) == {2}
