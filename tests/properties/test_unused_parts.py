"""A rate and parameters that nothing uses are questions where nothing else is wrong, or violations by the contract."""

from typing import Any

import pytest
from torch import Tensor, nn

from mhsa.judge.verification import Verification, verify
from tests.helpers.layers import Layers

TRIED = ("construction.*", "dropout.*", "oracle.output_without_mask")


class NeverDrops(Layers):
    def __init__(self, num_heads: int, d_model: int, dropout: float = 0.1) -> None:
        super().__init__(num_heads, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Any:
        return self.attend(x, x, x)


class DropsInputs(NeverDrops):
    def forward(self, x: Tensor) -> Any:
        return self.attend(x, x, self.dropout(x)) if self.training else self.attend(x, x, x)


class DropsOutputOfSeveralHeads(NeverDrops):
    def forward(self, x: Tensor) -> Any:
        output = self.attend(x, x, x)
        return output if self.num_heads == 1 else self.dropout(output)


class NeverDropsNorScales(NeverDrops):
    def __init__(self, num_heads: int, d_model: int, dropout: float = 0.1) -> None:
        super().__init__(num_heads, d_model, dropout)
        self.scale = 1.0


class Spare(Layers):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__(num_heads, d_model)
        self.spare = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor) -> Any:
        return self.attend(x, x, x)


def judged(kind: Any, **contract: str) -> Verification:
    return verify(f"{__file__}:{kind.__name__}", profile="quick", dtypes="float64", properties=TRIED, contract=contract or None)


@pytest.mark.parametrize(
    ("kind", "declaration", "strict"),
    [
        (NeverDrops, {"dropout": "never"}, {"dropout": "applied"}),
        (Spare, {"spare_parameters": "any"}, {"spare_parameters": "none"}),
    ],
)
def test_what_nothing_uses_is_a_question(kind: Any, declaration: dict[str, str], strict: dict[str, str]) -> None:
    asked = judged(kind)
    assert (asked.verdict, asked.declaration) == ("question", declaration)
    assert judged(kind, **declaration).verdict == "holds"
    assert judged(kind, **strict).verdict == "violated"


def test_a_rate_that_is_used_with_several_heads_is_no_question() -> None:
    assert judged(DropsOutputOfSeveralHeads).verdict == "holds"


def test_the_spare_parameters_are_named() -> None:
    assert "change nothing (spare.weight, spare.bias)" in judged(Spare).reason


def test_a_bug_is_a_violation_all_the_same() -> None:
    assert judged(NeverDropsNorScales).verdict == "violated"


def test_dropout_that_is_declared_never_to_come_must_not() -> None:
    assert judged(DropsInputs, dropout="never").verdict == "violated"
