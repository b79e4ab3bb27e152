"""Classes of the Set Transformer around its blocks: a question names the block, and a norm may be all that follows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question


class Block(nn.Module):
    def __init__(self, d_model: int, num_heads: int) -> None:
        super().__init__()
        assert d_model % num_heads == 0
        self.num_heads = num_heads
        self.q, self.k, self.v, self.fc = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in (self.q(x), self.k(y), self.v(y)))
        heads = torch.softmax(q @ k.mT / q.size(-1) ** 0.5, -1) @ v
        z = (q + heads).transpose(1, 2).flatten(2)
        return z + torch.relu(self.fc(z))


class Induced(nn.Module):
    def __init__(self, d_model: int, num_heads: int, num_inducing: int = 7) -> None:
        super().__init__()
        self.points = nn.Parameter(torch.randn(1, num_inducing, d_model))
        self.first, self.second = Block(d_model, num_heads), Block(d_model, num_heads)

    def forward(self, x: Tensor) -> Any:
        return self.second(x, self.first(self.points.expand(x.size(0), -1, -1), x))


class WithTorchs(nn.Module):
    """Its feed-forward is one map, activated by a function."""

    def __init__(self, d_model: int, num_heads: int) -> None:
        super().__init__()
        self.multihead = nn.MultiheadAttention(d_model, num_heads, batch_first=True)
        self.norm1, self.norm2, self.fc = nn.LayerNorm(d_model), nn.LayerNorm(d_model), nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, y: Tensor) -> Any:
        h = self.norm1(x + self.multihead(x, y, y)[0])
        return self.norm2(h + self.fc(h).relu())


def test_the_block_is_named() -> None:
    with pytest.raises(Question, match=r"It is built of Block, judged by itself as .*:Block"):
        understand(f"{__file__}:Induced")


@pytest.mark.parametrize("name", ["Block", "WithTorchs"])
def test_the_blocks_hold(name: str) -> None:
    assert verify(f"{__file__}:{name}", dtypes="float64", properties="oracle.output_without_mask")


MATCHER = """
import torch
from torch import nn

class HeadsOfPoints(nn.Module):
    def __init__(self, num_heads, d_model):
        super().__init__()
        assert d_model % num_heads == 0
        self.num_heads = num_heads
        self.q, self.k, self.v, self.out = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query, key, value):
        q, k, v = (
            f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for f, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        w = (q @ k.mT / FACTOR).softmax(-1)
        return self.out((w @ v).transpose(1, 2).flatten(2))

class AttentionBetweenPoints(nn.Module):
    def __init__(self, num_heads, d_model):
        super().__init__()
        self.heads = HeadsOfPoints(num_heads, d_model)
        self.first, self.last = nn.Linear(2 * d_model, 2 * d_model), nn.Linear(2 * d_model, d_model)

    def forward(self, x, source):
        return self.last(self.first(torch.cat([x, self.heads(x, source, source)], dim=-1)).relu())
"""


def test_the_one_attention_of_a_class_that_nobody_named_is_judged(tmp_path: Path) -> None:
    path = tmp_path / "points.py"
    path.write_text(MATCHER.replace("FACTOR", "q.size(-1) ** 0.5"))
    subject = understand(str(path), ("float64",))
    assert "HeadsOfPoints, of which AttentionBetweenPoints is built" in " ".join(part.text for part in subject.understood)
    assert "AttentionBetweenPoints, which is built of it" in subject.not_judged
    assert verify(str(path), dtypes="float64", properties="oracle.output_without_mask")
    with pytest.raises(Question, match="It is built of HeadsOfPoints, judged by itself as"):
        understand(f"{path}:AttentionBetweenPoints", ("float64",))
    wrong = tmp_path / "wrong.py"
    wrong.write_text(MATCHER.replace("FACTOR", "q.size(-1)"))
    assert verify(str(wrong), dtypes="float64", properties="oracle.output_without_mask").verdict == "violated"
