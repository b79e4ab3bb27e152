"""Modules that take the lengths alone that their constructors are given: they are built for those of each call."""

from pathlib import Path

import pytest
import torch

from mhsa.introspect.questions import load_under
from mhsa.introspect.readings.fit import fits
from mhsa.introspect.resolve import understand
from mhsa.records.errors import Question, SubjectError
from mhsa.records.request import Request
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from tests.helpers.model_file import model_file

MODELS = """
import torch
from torch import nn


class Base(nn.Module):
    def make(self, width, heads, queries, keys):
        super().__init__()
        assert width % heads == 0
        self.h, self.d, self.lengths = heads, width // heads, (queries, keys)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))

    def split(self, y, length):
        return y.reshape(-1, length, self.h, self.d).transpose(1, 2)

    def attend(self, query, key, value, mask=None):
        q, k, v = self.q(query), self.k(key), self.v(value)
        q, k, v = (self.split(y, n) for y, n in zip((q, k, v), (*self.lengths, self.lengths[1])))
        s = self.scores(q @ k.mT / self.d**0.5)
        if mask is not None:
            s = s.masked_fill(~mask[:, None], torch.finfo(s.dtype).min)
        return self.o((s.softmax(-1) @ v).transpose(1, 2).flatten(2))

    def scores(self, s):
        return s


class Cross(Base):
    def __init__(self, d_model, heads, len_q, len_k):
        self.make(d_model, heads, len_q, len_k)

    def forward(self, query, key, value, mask=None):
        return self.attend(query, key, value, mask)


class ScaledByLength(Cross):
    def scores(self, s):
        return s * (self.d / self.lengths[1]) ** 0.5


class OneLength(Base):
    def __init__(self, config):
        self.make(config.hidden_size, config.num_attention_heads, config.seq_length, config.seq_length)

    def forward(self, query, key, value):
        assert query.shape == key.shape
        return self.attend(query, key, value)


class Patches(Base):
    def __init__(self, dim, num_heads=4, num_patches=49):
        self.make(dim, num_heads, num_patches, num_patches)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x, mask=None):
        y = self.norm(x)
        return x + self.attend(y, y, y, mask)


class Causal(Base):
    def __init__(self, d_model, heads, seq_len):
        self.make(d_model, heads, seq_len, seq_len)
        self.register_buffer("later", torch.full((seq_len, seq_len), -torch.inf).triu(1))

    def forward(self, x):
        return self.attend(x, x, x)

    def scores(self, s):
        return s + self.later


class LearnedBias(Causal):
    def __init__(self, d_model, heads, seq_len):
        super().__init__(d_model, heads, seq_len)
        self.later = nn.Parameter(self.later)


class TooFewPositions(Causal):
    def __init__(self, d_model, heads, max_len):
        super().__init__(d_model, heads, max_len)
"""
file = model_file(MODELS)


@pytest.mark.parametrize(("name", "words"), [("Cross", "len_q (queries), len_k (keys)"), ("Patches", "num_patches (keys)")])
def test_a_module_is_built_for_the_lengths_of_each_call(file: Path, name: str, words: str) -> None:
    subject = understand(f"{file}:{name}")
    assert fits(subject)
    assert f"built for the lengths of each call: {words}" in str(subject.understood)
    assert "num_patches" not in str(subject.not_judged)


@pytest.mark.parametrize(("name", "declaration"), [("OneLength", {"lengths": "equal"}), ("Causal", {"causal": "top-left"})])
def test_other_questions_are_asked_of_it(file: Path, name: str, declaration: dict[str, str]) -> None:
    loaded = load_under(Request.of(f"{file}:{name}"))
    assert loaded.question is not None
    assert loaded.question.declaration == declaration
    assert not isinstance(loaded.subject, SubjectError)
    assert fits(loaded.subject)


def test_a_bug_in_it_is_judged(file: Path) -> None:
    assert not fits(understand(f"{file}:ScaledByLength"))


@pytest.mark.parametrize("name", ["LearnedBias", "TooFewPositions"])
def test_a_parameter_of_one_length_and_a_maximum_are_questions(file: Path, name: str) -> None:
    with pytest.raises(Question, match="every call raises"):
        understand(f"{file}:{name}")


def test_all_lengths_share_the_parameters_and_the_mode(file: Path) -> None:
    adapter = understand(f"{file}:Cross").adapter
    assert isinstance(adapter, ModuleAdapter)
    module = adapter.build(2, 4).double()
    x, y = torch.ones(1, 3, 4, dtype=torch.float64), torch.ones(1, 5, 4, dtype=torch.float64)
    before = adapter.call(module, x, y, y, None)
    torch.nn.init.zeros_(module.get_parameter("o.weight"))
    after = adapter.call(module, x, y, y, None)
    after.sum().backward()
    assert not torch.equal(before, after)
    assert all(p.grad is not None for p in module.parameters())
