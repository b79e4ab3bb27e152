"""A layer around an attention with rotary positions, declared together; one that is not understood is a question, no charge."""

from pathlib import Path

import pytest

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question
from mhsa.records.request import Request
from tests.introspect.layers.test_layers_of_file import PRE_NORM, file_of

ROTARY = {"base": 10000.0, "layout": "half"}
FILE = """
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        assert d_model % num_heads == 0
        self.heads, d = num_heads, d_model // num_heads
        self.qkv, self.out = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)
        self.register_buffer("rates", 10000.0 ** (-torch.arange(0, d, 2).double() / d), persistent=False)

    def turned(self, x):
        angles = torch.arange(x.size(-2)).double()[:, None] * self.rates
        cos, sin = angles.cos().float().to(x.dtype), angles.sin().float().to(x.dtype)
        a, b = x.chunk(2, -1)
        return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = self.turned(q), self.turned(k)
        return self.out(((q @ k.mT / q.size(-1) ** 0.5).softmax(-1) @ v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.attention, self.norm1, self.norm2 = Attention(d_model, num_heads), nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.mlp = nn.Sequential(nn.Linear(d_model, 2 * d_model), nn.GELU(), nn.Linear(2 * d_model, d_model))

    def forward(self, x):
        BODY
"""


def test_a_layer_around_rotary_positions_is_read(tmp_path: Path) -> None:
    declared = {"rotary": ROTARY, "layer": PRE_NORM}
    some = ["layers.*", "oracle.output_*"]
    found = verify(file_of(tmp_path, "usual", FILE), contract=declared, dtypes="float64", properties=some)
    assert found, str(found)
    wrong = verify(file_of(tmp_path, "unusual", FILE), contract=declared, dtypes="float64", properties=some)
    assert [p.id for p in wrong.properties if p.outcome == "fail"] == ["layers.residuals_are_in_their_places"]


def test_a_declared_layer_that_is_not_understood_is_a_question(tmp_path: Path) -> None:
    path = file_of(tmp_path, "unknown", FILE)
    with pytest.raises(Question, match="what is built of it is not understood as a layer: Block, which is built of it"):
        understand(Request("a", path, dtypes=("float64",), contract={"rotary": ROTARY, "layer": PRE_NORM}))
    alone = Request("a", path, dtypes=("float64",), contract={"rotary": ROTARY, "layer": "attention(x)"})
    assert "Block, which is built of it" in understand(alone).not_judged
