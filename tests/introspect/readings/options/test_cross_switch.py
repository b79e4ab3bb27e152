"""A module that attends to another sequence only with a switch of its constructor on is judged so; no bug is explained away."""

from typing import Any

import pytest

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from tests.helpers.layers import Layers, fails


class Crosses(Layers):
    def __init__(self, num_heads: int, d_model: int, is_cross: bool = False) -> None:
        super().__init__(num_heads, d_model)
        self.is_cross = is_cross

    def other(self, x, context):
        return context if self.is_cross and context is not None else x

    def forward(self, x, context=None, mask=None):
        other = self.other(x, context)
        return self.attend(x, other, other, None if mask is None else ~mask)


class ForgetsItsValues(Crosses):
    def forward(self, x, context=None, mask=None):
        other = self.other(x, context)
        return self.attend(x, other, other * 0.5, None if mask is None else ~mask)


class NeverCrosses(Crosses):
    def other(self, x, context):
        return x


class HasNoSwitch(Layers):
    def forward(self, x, context=None, mask=None):
        return self.attend(x, x, x, None if mask is None else ~mask)


def test_the_switch_is_on() -> None:
    subject = understand(f"{__file__}:Crosses", ("float64",))
    assert "constructor argument is_cross that is off" in subject.not_judged
    assert any(part.text == "is_cross is on, without which there is no other sequence" for part in subject.understood)
    assert verify(f"{__file__}:Crosses", dtypes="float64", properties="oracle.output_*").verdict == "holds"


@pytest.mark.parametrize("wrong", [ForgetsItsValues, NeverCrosses, HasNoSwitch])
def test_no_switch_explains_a_bug(wrong: Any) -> None:
    assert fails(f"{__file__}:{wrong.__name__}")
