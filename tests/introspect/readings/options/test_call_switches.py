"""Switches of a call that must be given: off, or on where only that is exactly attention."""

from typing import Any

import pytest
import torch
from torch import Tensor

from mhsa.introspect.resolve import understand
from mhsa.records.errors import Question
from mhsa.subject.forms.required_switches import is_switch
from tests.subject.constructed import Plain


def mixed(q: Tensor, k: Tensor, v: Tensor, hide_first: Any, normalise: Any) -> Tensor:
    weights = q @ k.mT / q.size(-1) ** 0.5
    if normalise is True:
        weights = weights.softmax(-1)
    if hide_first:
        weights = torch.cat((0 * weights[..., :1, :], weights[..., 1:, :]), -2)
    return weights @ v


class Switched(Plain):
    """Hands on one switch that plain attention has off, and one that it has on."""

    wrong = 1.0

    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__()
        self.prepare(num_heads, d_model)

    def forward(self, x, blank, softmaxed, cache=None):  # type: ignore[no-untyped-def]
        q, k, v = (self.maps[i](x).unflatten(-1, (self.count, -1)).transpose(1, 2) for i in range(3))
        return self.maps[3](self.wrong * self._mix(q, k, v, blank, flag=softmaxed).transpose(1, 2).flatten(2))

    def _mix(self, q, k, v, blank, flag):  # type: ignore[no-untyped-def]
        return mixed(q, k, v, normalise=flag, hide_first=not blank is False)  # noqa: E714


class SwitchedWrongly(Switched):
    wrong = 1.5


def test_the_position_that_is_exactly_attention_is_taken_and_the_other_is_named() -> None:
    subject = understand(f"{__file__}:Switched")
    assert dict(subject.notes)["call"].startswith("forward(x=query, blank=False, softmaxed=True)")
    assert {"argument blank", "argument softmaxed"} <= set(subject.not_judged)


def test_a_module_that_is_right_in_no_position_is_asked_about_its_nameless_maps() -> None:
    with pytest.raises(Question, match="queries, keys, values and the output in this order, which no name says"):
        understand(f"{__file__}:SwitchedWrongly")


class Kept(Switched):
    """Takes a policy of what to keep, or None."""

    def forward(self, x, policy):  # type: ignore[no-untyped-def]
        q, k, v = (self.maps[i](x).unflatten(-1, (self.count, -1)).transpose(1, 2) for i in range(3))
        weights = (q @ k.mT / q.size(-1) ** 0.5).softmax(-1)
        if policy is not None:
            weights = weights * policy.reshape(len(x), 1, 1, x.size(1))
        return self.maps[3]((weights @ v).transpose(1, 2).flatten(2))


def test_a_second_argument_that_may_be_none_is_none_and_named() -> None:
    subject = understand(f"{__file__}:Kept")
    assert dict(subject.notes)["call"] == "forward(x=query, policy=None)"
    assert "argument policy" in subject.not_judged


class Told(Plain):
    """Needs a switch that no name tells, and is right in neither position."""

    def __init__(self, num_heads: int, d_model: int, colourful) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.prepare(num_heads, d_model)
        self.colourful = colourful

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(2 * x if self.colourful else 3 * x)


def test_a_switch_of_a_constructor_that_is_right_in_neither_position_is_no_question() -> None:
    assert not understand(f"{__file__}:Told").not_judged


def _read(x: Any, policy: Any, cache: Any, causal: Any) -> Any:
    if policy is None or cache:
        return cache
    return x if causal else None


def test_what_is_read_or_compared_with_none_is_no_switch() -> None:
    assert [is_switch(_read, name) for name in ("x", "policy", "cache", "causal")] == [False, False, False, True]
