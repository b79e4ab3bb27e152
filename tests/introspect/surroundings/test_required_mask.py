"""A norm and a residual around attention whose mask must be given, hides what it marks, and has a dropout in its core."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor, nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question
from mhsa.records.request import Request


class Core(nn.Module):
    def __init__(self, attn_dropout: float = 0.2) -> None:
        super().__init__()
        self.dropout = nn.Dropout(attn_dropout)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        scores = (q @ k.mT / q.size(-1) ** 0.5).masked_fill(mask.unsqueeze(1), float("-inf"))
        out: Tensor = self.dropout(scores.softmax(-1)) @ v
        return out


class Block(nn.Module):
    def __init__(self, n_head: int, d_model: int, dropout: float = 0.1) -> None:
        super().__init__()
        assert d_model % n_head == 0
        self.n_head, self.core = n_head, Core()
        self.w_q, self.w_k, self.w_v, self.fc = (nn.Linear(d_model, d_model) for _ in range(4))
        self.layer_norm, self.dropout = nn.LayerNorm(d_model), nn.Dropout(dropout)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        assert mask is not None
        heads = [w(x).unflatten(-1, (self.n_head, -1)).transpose(1, 2) for w, x in self.pairs(q, k, v)]
        z = self.core(*heads, mask).transpose(1, 2).flatten(2)
        out: Tensor = self.layer_norm(self.dropout(self.fc(z)) + q)
        return out

    def pairs(self, q: Tensor, k: Tensor, v: Tensor) -> Any:
        return (self.w_q, q), (self.w_k, k), (self.w_v, v)


class KeysForValues(Block):
    def pairs(self, q: Tensor, k: Tensor, v: Tensor) -> Any:
        return (self.w_q, q), (self.w_k, k), (self.w_v, k)


class DropsAtItsOwnRate(nn.Module):
    """The rate that is given reaches no dropout."""

    def __init__(self, n_head: int, d_model: int, dropout: float = 0.1) -> None:
        super().__init__()
        assert d_model % n_head == 0
        self.block = Block(n_head, d_model, 0.1)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        out: Tensor = self.block(q, k, v, mask)
        return out


DECLARED = {"mask": "blocked", "fully_masked_row": "nan", "reason": "a test"}


def test_surroundings_are_found_where_a_mask_of_true_hides_everything() -> None:
    with pytest.raises(Question) as raised:
        understand(f"{__file__}:Block")
    assert (raised.value.declaration["mask"], raised.value.declaration["fully_masked_row"]) == ("blocked", "nan")
    subject = understand(Request.of(f"{__file__}:Block", contract=DECLARED))
    assert {"residual", "LayerNorm"} <= set(subject.not_judged)
    assert "the rate of core.dropout, which the constructor does not set" in subject.not_judged


@pytest.mark.parametrize(
    ("name", "properties", "holds"),
    [
        ("Block", "dropout.what_is_kept_is_scaled_up", True),
        ("DropsAtItsOwnRate", "dropout.what_is_kept_is_scaled_up", False),
        ("KeysForValues", "oracle.output_without_mask", False),
    ],
)
def test_a_dropout_next_to_one_that_is_set_has_its_rate_and_bugs_stay(name: str, properties: str, holds: bool) -> None:
    found = verify(f"{__file__}:{name}", contract=DECLARED, dtypes="float64", properties=properties)
    assert bool(found) is holds, str(found)
