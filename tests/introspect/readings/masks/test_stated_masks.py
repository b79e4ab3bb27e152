"""What comments and docstrings say of a mask: its polarity, and how many axes it has."""

import pytest

from mhsa.introspect.readings.masks.comments import comments_on_masks
from mhsa.introspect.resolve import understand
from mhsa.records.errors import Question
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.docstrings.mask_shapes import is_of_samples, stated_axes
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


class ThreeAxesOfHeads(ThreeAxes):
    """Attends, each head by a mask of its own, where there are as many as heads; others raise.

    mask: bool (batch, queries, keys), or None
    """

    def forward(self, query, key, value, mask=None):
        q, k, v = (
            f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for f, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        s = q @ k.mT * self.scale
        s = s if mask is None else s.masked_fill(~mask[None], -1e9)
        return self.o((s.softmax(-1) @ v).transpose(1, 2).flatten(2))


class ThreeAxesAndOneMore(ThreeAxes):
    def forward(self, query, key, value, mask=None):
        return self.attend(query, key, value, None if mask is None else ~mask[:, 0])


def lets_through(mask):
    """Of nobody here but one class."""
    return mask == 0  # a "1" is for masked keys


def hides(mask):
    return mask.bool()  # a "1" is for masked keys


class UsesAFunction(Layers):
    def forward(self, query, key, value, mask=None):
        return self.attend(query, key, value, None if mask is None else hides(mask))


class SaysNothing(Layers):
    """Another class of this file has comments on its mask; see UsesAFunction."""

    def forward(self, query, key, value, mask=None):
        # unlike UsesAFunction, no mask of lets_through is meant
        return self.attend(query, key, value, None if mask is None else mask == 0)


class Blocked(Layers):
    def forward(self, query, key, value, blocked=None):
        return self.attend(query, key, value, blocked)


class BlockedAndTurnedRound(Layers):
    def forward(self, query, key, value, blocked=None):
        return self.attend(query, key, value, None if blocked is None else ~blocked)


def core_with_blocked(q, k, v, blocked=None):
    s = q @ k.mT * q.shape[-1] ** -0.5
    return (s if blocked is None else s.masked_fill(blocked, -1e9)).softmax(-1) @ v


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


def test_comments_of_others_say_nothing() -> None:
    assert list(comments_on_masks(ModuleAdapter(UsesAFunction, "x"))) == ['a "1" is for masked keys']
    assert understand(f"{__file__}:UsesAFunction").contract.mask == "blocked"
    assert understand(f"{__file__}:SaysNothing").contract.mask == "allowed"


@pytest.mark.parametrize("name", ["Blocked", "core_with_blocked"])
def test_a_mask_that_is_named_after_what_it_hides(name: str) -> None:
    assert understand(f"{__file__}:{name}").contract.mask == "blocked"
    assert not fails(f"{__file__}:{name}")


def test_what_contradicts_such_a_name_is_a_question() -> None:
    assert asked("BlockedAndTurnedRound").declaration == {"mask": "allowed"}


def test_a_mask_of_heads_where_a_docstring_says_one_of_samples_is_violated() -> None:
    assert is_of_samples(ModuleAdapter(ThreeAxes, "x"))
    assert not is_of_samples(ModuleAdapter(Commented, "x"))
    assert fails(f"{__file__}:ThreeAxesOfHeads")
