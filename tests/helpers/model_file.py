"""A file with the source of models, written once for all tests of a module."""

from collections.abc import Callable
from pathlib import Path

import pytest


def model_file(source: str, name: str = "model.py") -> Callable[[pytest.TempPathFactory], Path]:
    """Return the fixture of a file ``name`` with this source; its module is imported under that name."""

    def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
        path = tmp_path_factory.mktemp("source") / name
        path.write_text(source)
        return path

    return pytest.fixture(scope="module")(written)


# The source of a right attention, for files of which tests make layers and wrappers.
SELF_ATTENTION = """
import torch
from torch import nn

class SelfAttention(nn.Module):
    def __init__(self, num_heads, d_model):
        super().__init__()
        assert d_model % num_heads == 0
        self.num_heads = num_heads
        self.qkv, self.proj = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)

    def forward(self, x):
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, dim=-1))
        w = (q @ k.mT / q.size(-1) ** 0.5).softmax(-1)
        return self.proj((w @ v).transpose(1, 2).flatten(2))
"""
