"""A module that says that it takes powers of two alone as its number of heads is judged with these."""

from pathlib import Path

import pytest

from mhsa.judge.verification import verify

ATTENTION = '''
import torch
from torch import nn


class Attention(nn.Module):
    """Attention. SAID"""

    def __init__(self, dim, num_heads):
        super().__init__()
        assert dim % num_heads == 0 and num_heads & (num_heads - 1) == 0
        self.num_heads = num_heads
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return self.out(((q @ k.mT / q.size(-1) ** 0.5).softmax(DIM) @ v).transpose(1, 2).flatten(2))
'''


@pytest.mark.parametrize(
    ("said", "dim", "expected"),
    [
        ("The number of heads is a power of two.", "-1", "holds"),
        ("The number of heads is a power of two.", "-2", "violated"),
        ("Any number of heads.", "-1", "violated"),
    ],
)
def test_other_numbers_are_named_as_not_judged(tmp_path: Path, said: str, dim: str, expected: str) -> None:
    (tmp_path / "attention.py").write_text(ATTENTION.replace("SAID", said).replace("DIM", dim))
    some = ["oracle.*", "heads.*", "numbers.*", "edges.*", "construction.*"]
    result = verify(str(tmp_path / "attention.py"), dtypes="float64", properties=some)
    assert result.verdict == expected
    assert any("no power of two" in words for words in result.not_judged) == ("power" in said)
