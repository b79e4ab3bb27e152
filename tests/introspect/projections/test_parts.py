"""Four projections in one parameter: in whatever order and way round, with their biases; wrong ones are not explained away."""

from pathlib import Path

import pytest
import torch
from torch import nn

from mhsa.introspect.readings.fit import fits
from mhsa.introspect.resolve import understand
from mhsa.subject.parameter_layout import Sizes
from tests.helpers.model_file import model_file

MODELS = """
import torch
import torch.nn.functional as F
from torch import nn


class Base(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        assert dim % heads == 0
        self.h = heads
        self.make(dim)

    def heads(self, q, k, v, mask):
        q, k, v = (y.unflatten(-1, (self.h, -1)).transpose(1, 2) for y in (q, k, v))
        s = q @ k.mT / q.size(-1) ** 0.5
        if mask is not None:
            s = s.masked_fill(~mask[:, None], torch.finfo(s.dtype).min)
        return (s.softmax(-1) @ v).transpose(1, 2).flatten(2)


class Stacked(Base):
    def make(self, dim):
        self.kernel, self.shift = nn.Parameter(torch.randn(4, dim, dim)), nn.Parameter(torch.zeros(4, dim))

    def forward(self, query, key, value, mask=None):
        q, k, v = (x @ w + b for x, w, b in zip((query, key, value), self.kernel, self.shift))
        return self.heads(q, k, v, mask) @ self.kernel[3] + self.shift[3]


class OutFirst(Base):
    def make(self, dim):
        self.w = nn.Parameter(torch.randn(4 * dim, dim))

    def forward(self, x, mask=None):
        out, k, v, q = self.w.chunk(4)
        return F.linear(self.heads(*(F.linear(x, w) for w in (q, k, v)), mask), out)


class KeysForValues(OutFirst):
    def heads(self, q, k, v, mask):
        return super().heads(q, k, k, mask)


class Columns(Base):
    def make(self, dim):
        self.packed, self.bias = nn.Parameter(torch.randn(dim, 4 * dim)), nn.Parameter(torch.zeros(4 * dim))

    def forward(self, x, mask=None):
        n = 3 * x.size(-1)
        q, k, v = (x @ self.packed[:, :n] + self.bias[:n]).chunk(3, -1)
        return self.heads(q, k, v, mask) @ self.packed[:, n:] + self.bias[n:]


class Unscaled(Columns):
    def heads(self, q, k, v, mask):
        return super().heads(q * (q.size(-1) / self.h) ** 0.5, k, v, mask)
"""
file = model_file(MODELS)


@pytest.mark.parametrize(("name", "first"), [("Stacked", "query"), ("OutFirst", "out"), ("Columns", "query")])
def test_four_projections_in_one_parameter(file: Path, name: str, first: str) -> None:
    subject = understand(f"{file}:{name}")
    assert fits(subject)
    assert f"{first} from " in str(subject.notes)
    assert "[first]" in str(subject.notes)
    module = subject.adapter.build(2, 4)
    views = dict(subject.bind(module, Sizes(2, 2)).views())
    before: dict[str, nn.Parameter] = dict(module.named_parameters())
    views["out.weight"].write(torch.ones(4, 4))
    assert sum(int((p == 1).sum()) for p in before.values()) == 16
    assert len(views) == (4 if name == "OutFirst" else 8)


@pytest.mark.parametrize("name", ["KeysForValues", "Unscaled"])
def test_what_is_wrong_with_four_projections_in_one_parameter_is_judged(file: Path, name: str) -> None:
    assert not fits(understand(f"{file}:{name}"))
