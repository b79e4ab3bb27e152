"""A function that cannot be called with a dropout here is judged without one, and the argument is named."""

import pytest

from mhsa.introspect.resolve import understand
from mhsa.records.understood import Understood
from tests.helpers.layers import fails

LEFT_OUT = Understood("call", "attention_dropout is left out: calls with it raise", "fitted")


def attend(q, k, v, mask, dropout, scale=None):
    s = q @ k.mT * (q.size(-1) ** -0.5 if scale is None else scale)
    if mask is not None:
        s = s.masked_fill(~mask, -1e9)
    w = s.softmax(-1)
    return (w if dropout is None else dropout(w)) @ v


def needs_its_tracker(query_layer, key_layer, value_layer, attention_mask, attention_dropout=None):
    if attention_dropout is not None:
        raise NameError("the tracker of random numbers is not there")
    return attend(query_layer, key_layer, value_layer, attention_mask, None)


def needs_its_tracker_and_no_mask(query, key, value, attention_dropout=None):
    return needs_its_tracker(query, key, value, None, attention_dropout)


def heads_after_time(q, k, v, attention_mask, attention_dropout=None):
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return needs_its_tracker(q, k, v, attention_mask, attention_dropout).transpose(1, 2)


def unscaled(query, key, value, attention_dropout=None):
    if attention_dropout is not None:
        raise NameError("the tracker of random numbers is not there")
    return attend(query, key, value, None, None, scale=1.0)


def drops(query, key, value, attention_dropout=None):
    return attend(query, key, value, None, attention_dropout)


@pytest.mark.parametrize("name", ["needs_its_tracker", "needs_its_tracker_and_no_mask", "heads_after_time"])
def test_it_is_judged_without_dropout(name: str) -> None:
    subject = understand(f"{__file__}:{name}")
    assert LEFT_OUT in subject.understood
    assert "argument attention_dropout" in subject.not_judged
    assert not fails(f"{__file__}:{name}")


def test_no_bug_is_explained_away() -> None:
    assert fails(f"{__file__}:unscaled")


def test_dropout_that_can_be_given_is_given() -> None:
    subject = understand(f"{__file__}:drops")
    assert LEFT_OUT not in subject.understood
    assert subject.adapter.takes_dropout
