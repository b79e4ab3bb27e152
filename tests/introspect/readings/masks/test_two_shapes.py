"""Masks [Tq, Tk] and [B, Tk] that sizes alone tell apart: as many samples as queries are a coincidence nobody can resolve."""

from pathlib import Path

import pytest

from mhsa.judge.verification import verify

ATTENTION = '''
import torch
from torch import nn


class Attention(nn.Module):
    """Attention.

    Args:
        mask: True may be attended to, SHAPES.
    """

    def __init__(self, d_model, num_heads):
        super().__init__()
        assert d_model % num_heads == 0
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        q, k, v = (
            f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for f, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        s = q @ k.mT / q.size(-1) ** 0.5
        if mask is not None:
            assert mask.dim() == 2
            shared = mask.size(0) == q.size(2)
            s = s.masked_fill(~(mask[None, None] if shared else mask[:, None, None]), FILL)
        return self.o((s.softmax(-1) @ v).transpose(1, 2).flatten(2))
'''
SOME = ["oracle.*", "edges.*", "masks.*", "symmetry.*", "half_formats.*", "weights.*"]


@pytest.mark.parametrize(
    ("shapes", "fill", "expected"),
    [
        ("(Tq, Tk) or (B, Tk)", "-1e9", "holds"),
        ("(Tq, Tk) or (B, Tk)", "-5.0", "violated"),
        ("(B, Tk)", "-1e9", "violated"),
    ],
)
def test_a_coincidence_that_a_docstring_allows_is_not_judged(tmp_path: Path, shapes: str, fill: str, expected: str) -> None:
    (tmp_path / "attention.py").write_text(ATTENTION.replace("SHAPES", shapes).replace("FILL", fill))
    result = verify(str(tmp_path / "attention.py"), dtypes="float64", properties=SOME)
    assert result.verdict == expected
    left = "masks of as many samples as queries, which its docstring allows in two shapes"
    assert (left in result.not_judged) == ("or" in shapes)
