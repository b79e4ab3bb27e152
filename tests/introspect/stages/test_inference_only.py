"""A module that says that it is for inference alone promises no gradients; one that has none and does not say so is wrong."""

from pathlib import Path

import pytest

from mhsa.judge.verification import verify

ATTENTION = '''
import torch
from torch import nn


class Attention(nn.Module):
    """Attention. SAID"""

    def __init__(self, dim, heads):
        super().__init__()
        assert dim % heads == 0
        self.heads = heads
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    @torch.no_grad()
    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.out(((q @ k.mT / q.size(-1) ** 0.5).softmax(DIM) @ v).transpose(1, 2).flatten(2))
'''


@pytest.mark.parametrize(
    ("said", "dim", "expected"),
    [
        ("Inference only: runs under no_grad.", "-1", "holds"),
        ("Only for inference.", "-2", "violated"),
        ("For training and inference.", "-1", "violated"),
        ("No training is needed for its places.", "-1", "violated"),
    ],
)
def test_what_is_for_inference_alone(tmp_path: Path, said: str, dim: str, expected: str) -> None:
    (tmp_path / "attention.py").write_text(ATTENTION.replace("SAID", said).replace("DIM", dim))
    result = verify(str(tmp_path / "attention.py"), dtypes="float64", properties=["oracle.*", "gradients.*"])
    assert result.verdict == expected
    assert any("inference alone" in words for words in result.not_judged) == ("nly" in said)
