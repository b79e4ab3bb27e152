"""A module aligned bottom-right may refuse more queries than keys: no property gives it any."""

import torch
from torch import Tensor, nn

from mhsa.judge.verification import verify


class LastTokens(nn.Module):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__()
        assert d_model % num_heads == 0
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        queries, keys = query.size(1), key.size(1)
        if queries > keys:
            raise ValueError(f"{queries} queries are more than the {keys} keys")
        q, k, v = (
            f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for f, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        later = torch.ones(queries, keys, dtype=torch.bool, device=q.device).triu(keys - queries + 1)
        scores = (q @ k.mT / q.size(-1) ** 0.5).masked_fill(later, -torch.inf)
        return self.o((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def test_it_holds() -> None:
    found = verify(f"{__file__}:LastTokens", contract={"causal": "bottom-right"}, dtypes="float64")
    assert [p.id for p in found.failures] == []
    assert found.verdict == "holds"
