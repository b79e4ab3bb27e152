"""Up to three dropouts follow on each other: of weights, of what each head gives, of the output; each scales what is kept."""

from typing import Any

import pytest
from torch import Tensor, nn

from mhsa.judge.verification import verify
from tests.helpers.layers import Layers


class Three(Layers):
    def __init__(self, num_heads: int, d_model: int, dropout: float = 0.1) -> None:
        super().__init__(num_heads, d_model)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Any:
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        heads = self.drop(self.dropped((q @ k.mT * self.scale).softmax(-1)) @ v)
        return self.drop(self.o(heads.transpose(1, 2).flatten(2)))

    def dropped(self, weights: Tensor) -> Tensor:
        return self.drop(weights)


class WideQueries(Layers):
    """Queries and keys of a head are as wide as the model, values are not."""

    def __init__(self, num_heads: int, d_model: int, dropout: float = 0.1) -> None:
        super().__init__(num_heads, d_model)
        self.q, self.k = (nn.Linear(d_model, num_heads * d_model) for _ in range(2))
        self.scale, self.drop = d_model**-0.5, nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Any:
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        return self.o((self.drop((q @ k.mT * self.scale).softmax(-1)) @ v).transpose(1, 2).flatten(2))


class ScalesOneOfThemTwice(Three):
    def dropped(self, weights: Tensor) -> Tensor:
        return self.drop(weights) / (1 - self.drop.p if self.training else 1)


@pytest.mark.parametrize(("kind", "verdict"), [(Three, "holds"), (ScalesOneOfThemTwice, "violated")])
def test_each_dropout_is_counted(kind: Any, verdict: str) -> None:
    properties = ("dropout.what_is_kept_is_scaled_up", "dropout.the_share_that_is_dropped")
    found = verify(f"{__file__}:{kind.__name__}", profile="quick", dtypes="float64", properties=properties)
    assert found.verdict == verdict, str(found)


def test_the_gradient_of_scores_is_judged_where_heads_of_queries_are_wider_than_those_of_values() -> None:
    properties = "dropout.the_gradient_of_the_scores_drops_the_same"
    found = verify(f"{__file__}:WideQueries", profile="quick", dtypes="float64", properties=properties)
    assert found.verdict == "holds", str(found)
