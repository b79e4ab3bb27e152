"""Behind a norm, with maps that have their names, the attention is judged whatever comes after it: green only if declared."""

from typing import Any

import pytest
from torch import Tensor, nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question
from tests.helpers.layers import Layers

OUTPUT = "oracle.output_without_mask"


class ActivatedBlock(Layers):
    """Its sum is activated, which no plain block does."""

    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__(num_heads, d_model)
        self.norm = nn.LayerNorm(d_model)
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = self.q, self.k, self.v, self.o
        del self.q, self.k, self.v, self.o

    def forward(self, x: Tensor) -> Any:
        h = self.norm(x)
        q, k, v = (f(h).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f in (self.q_proj, self.k_proj, self.v_proj))
        z = self.merged((q @ k.mT * self.scale).softmax(-1) @ v)
        return (x + self.out_proj(z)).relu()

    def merged(self, z: Tensor) -> Tensor:
        return z.transpose(1, 2).flatten(2)


class MergedAsItLies(ActivatedBlock):
    def merged(self, z: Tensor) -> Tensor:
        return z.reshape(z.size(0), z.size(2), -1)


def test_a_right_attention_is_a_question_about_what_comes_after_it() -> None:
    with pytest.raises(Question, match="the attention in it is exactly right") as asked:
        understand(f"{__file__}:ActivatedBlock", ("float64",))
    assert asked.value.declaration == {"surroundings": "left-out"}
    found = verify(f"{__file__}:ActivatedBlock", dtypes="float64", properties=OUTPUT, contract={"surroundings": "left-out"})
    assert found.verdict == "holds"
    assert "block around the attention" in found.not_judged


def test_a_wrong_attention_is_violated() -> None:
    assert verify(f"{__file__}:MergedAsItLies", dtypes="float64", properties=OUTPUT).verdict == "violated"
