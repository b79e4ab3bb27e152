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


class Layer(Layers):
    """A post-norm layer with a feed-forward."""

    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__(num_heads, d_model)
        self.norm1, self.norm2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.linear1, self.linear2 = nn.Linear(d_model, 2 * d_model), nn.Linear(2 * d_model, d_model)

    def forward(self, x: Tensor) -> Any:
        attended = self.attend(x, x, x)
        h = self.norm1(self.summed(x, attended))
        return self.norm2(self.again(h, attended) + self.linear2(self.linear1(h).relu()))

    def summed(self, x: Tensor, attended: Tensor) -> Tensor:
        return x + attended

    def again(self, h: Tensor, attended: Tensor) -> Tensor:
        return h


class AddsTwice(Layer):
    def summed(self, x: Tensor, attended: Tensor) -> Tensor:
        return x + attended + x


class StartsFromTheAttention(Layer):
    def again(self, h: Tensor, attended: Tensor) -> Tensor:
        return attended


def test_a_usual_layer_is_no_question() -> None:
    assert "block around the attention" in understand(f"{__file__}:Layer", ("float64",)).not_judged


@pytest.mark.parametrize("unusual", ["AddsTwice", "StartsFromTheAttention"])
def test_a_layer_whose_residuals_are_in_no_usual_place_is_a_question(unusual: str) -> None:
    with pytest.raises(Question, match="what comes after the attention, in no usual form"):
        understand(f"{__file__}:{unusual}", ("float64",))


def test_a_right_attention_is_a_question_about_what_comes_after_it() -> None:
    with pytest.raises(Question, match="the attention in it is exactly right") as asked:
        understand(f"{__file__}:ActivatedBlock", ("float64",))
    assert asked.value.declaration == {"surroundings": "left-out"}
    found = verify(f"{__file__}:ActivatedBlock", dtypes="float64", properties=OUTPUT, contract={"surroundings": "left-out"})
    assert found.verdict == "holds"
    assert "block around the attention" in found.not_judged


def test_a_wrong_attention_is_violated() -> None:
    assert verify(f"{__file__}:MergedAsItLies", dtypes="float64", properties=OUTPUT).verdict == "violated"
