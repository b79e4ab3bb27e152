"""What comments and docstrings say of a mask: its polarity, and how many axes it has."""

import pytest

from mhsa.introspect.readings.mask_comments import comments_on_masks
from mhsa.introspect.readings.masks.stated_mask_shape import stated_axes
from mhsa.introspect.resolve import understand
from mhsa.records.errors import Question
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from tests.helpers.layers import Layers, fails


class Commented(Layers):
    def forward(self, query, key, value, mask=None):
        # scores * 0 where the mask is 1 - mask
        if mask is not None:
            # here a "1" is for masked keys
            mask = mask.bool()
        return self.attend(query, key, value, mask)


class CommentedAndTurnedRound(Layers):
    def forward(self, query, key, value, mask=None):
        mask = None if mask is None else mask == 0  # a "1" is for masked keys
        return self.attend(query, key, value, mask)


class CommentedAndWrong(Layers):
    def forward(self, query, key, value, mask=None):
        mask = None if mask is None else mask.roll(1, -1)  # a "1" is for masked keys
        return self.attend(query, key, value, mask)


class ThreeAxes(Layers):
    """Attends.

    mask: bool (batch, queries, keys), or None
    """

    def forward(self, query, key, value, mask=None):
        return self.attend(query, key, value, None if mask is None else ~mask)


class ThreeAxesAndOneMore(ThreeAxes):
    def forward(self, query, key, value, mask=None):
        return self.attend(query, key, value, None if mask is None else ~mask[:, 0])


def asked(name: str) -> Question:
    with pytest.raises(Question) as raised:
        understand(f"{__file__}:{name}", ("float64",))
    return raised.value


def test_a_comment_says_what_a_mask_means() -> None:
    assert list(comments_on_masks(ModuleAdapter(Commented, "x"))) == ['here a "1" is for masked keys']
    subject = understand(f"{__file__}:Commented", ("float64",))
    assert subject.contract.mask == "blocked"
    assert not fails(f"{__file__}:Commented")


def test_what_contradicts_a_comment_is_a_question() -> None:
    assert asked("CommentedAndTurnedRound").declaration == {"mask": "allowed"}
    assert fails(f"{__file__}:CommentedAndWrong")


def test_more_axes_than_a_docstring_says_are_a_question() -> None:
    assert stated_axes(ModuleAdapter(ThreeAxes, "x")) == 3
    assert not fails(f"{__file__}:ThreeAxes")
    question = asked("ThreeAxesAndOneMore")
    assert question.declaration == {"mask_shape": "[B, 1, Tq, Tk]"}
    assert "where its docstring says 3 axes" in str(question)
    assert stated_axes(ModuleAdapter(Commented, "x")) is None
