"""Which object of a file is the subject."""

from pathlib import Path

import pytest

from mhsa.introspect.load import load
from mhsa.records.errors import Question

CORE = """
import torch
from torch import nn
class ScaledDotProductAttention(nn.Module):
    def forward(self, q, k, v, mask=None):
        return torch.softmax(q @ k.transpose(-1, -2), -1) @ v
class PositionalEncoding(nn.Module):
    def __init__(self, heads, dim): super().__init__()
    def forward(self, x): return x
"""
MULTI = """
class MultiHeadAttention(nn.Module):
    def __init__(self, heads, dim):
        super().__init__()
        self.core = ScaledDotProductAttention()
    def forward(self, q, k, v, mask=None): return self.core(q, k, v, mask)
"""
LAYER = """
class EncoderLayer(nn.Module):
    def __init__(self, heads, dim):
        super().__init__()
        self.attention = MultiHeadAttention(heads, dim)
    def forward(self, x): return self.attention(x, x, x)
"""
OTHER = "class CrossAttention(MultiHeadAttention): pass\n"


@pytest.mark.parametrize("source", [CORE + MULTI, CORE + MULTI + LAYER])
def test_the_attention_that_contains_the_others_is_the_subject(tmp_path: Path, source: str) -> None:
    file = tmp_path / "several.py"
    file.write_text(source)
    assert load(str(file)).__name__ == "MultiHeadAttention"


def test_two_attentions_are_a_question_with_what_to_type(tmp_path: Path) -> None:
    file = tmp_path / "two.py"
    file.write_text(CORE + MULTI + OTHER)
    with pytest.raises(Question, match=f"name one of {file}:MultiHeadAttention, {file}:CrossAttention"):
        load(str(file))
