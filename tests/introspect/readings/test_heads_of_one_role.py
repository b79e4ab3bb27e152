"""Maps that are split into heads in an order of their own: one of them has the number of heads last, the others first."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question


class HeadsLastForKeys(nn.Module):
    def __init__(self, n_heads: int, d_model: int) -> None:
        super().__init__()
        assert d_model % n_heads == 0
        self.n_heads, self.d_k = n_heads, d_model // n_heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.n_heads, self.d_k).transpose(1, 2)

    def split_other(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.d_k, self.n_heads).permute(0, 3, 1, 2)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return self.attend(self.split(self.q(query)), self.split_other(self.k(key)), self.split(self.v(value)))

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        z: Tensor = (q @ k.mT / self.d_k**0.5).softmax(-1) @ v
        out: Tensor = self.o(z.transpose(1, 2).flatten(2))
        return out


class HeadsLastForQueriesAndKeys(HeadsLastForKeys):
    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return self.attend(self.split_other(self.q(query)), self.split_other(self.k(key)), self.split(self.v(value)))


class HeadsLastForValues(HeadsLastForKeys):
    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        q, k = self.split(self.q(query)), self.split(self.k(key))
        v = self.v(value).unflatten(-1, (self.d_k, self.n_heads))
        weights = (q @ k.mT / self.d_k**0.5).softmax(-1)
        out: Tensor = self.o(torch.einsum("bhqk,bkdh->bqdh", weights, v).flatten(2))
        return out


class KeysForValues(HeadsLastForKeys):
    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return self.attend(self.split(self.q(query)), self.split_other(self.k(key)), self.split(self.k(value)))


class MixesTokens(HeadsLastForKeys):
    def split_other(self, x: Tensor) -> Tensor:
        return x.view(x.size(0), self.n_heads, x.size(1), self.d_k)


@pytest.mark.parametrize(
    ("name", "heads"),
    [
        ("HeadsLastForKeys", "interleaved-keys"),
        ("HeadsLastForQueriesAndKeys", "interleaved-queries-and-keys"),
        ("HeadsLastForValues", "interleaved-values"),
    ],
)
def test_a_role_in_an_order_of_its_own_is_a_question_and_is_right_as_declared(name: str, heads: str) -> None:
    with pytest.raises(Question) as raised:
        understand(f"{__file__}:{name}")
    assert raised.value.declaration == {"heads": heads}
    found = verify(f"{__file__}:{name}", contract={"heads": heads}, dtypes="float64", properties="heads.each_head_alone")
    assert found, str(found)


@pytest.mark.parametrize("name", ["KeysForValues", "MixesTokens"])
def test_no_order_explains_another_bug_away(name: str) -> None:
    assert understand(f"{__file__}:{name}").contract.heads is None
