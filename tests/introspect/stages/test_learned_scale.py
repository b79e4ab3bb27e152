"""A learned factor of the scores is kept at its initial value: the usual scale, or one that is asked about."""

from pathlib import Path
from typing import Any

import pytest

from mhsa.introspect.readings.fit import fits
from mhsa.introspect.resolve import understand
from mhsa.records.errors import SubjectError
from tests.helpers.model_file import model_file
from tests.introspect.stages.asked import asked

MODELS = """
import math
import torch
from torch import nn


class Base(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        assert dim % heads == 0
        self.heads, self.d_k = heads, dim // heads
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.prepare()

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.out((self.scores(q, k).softmax(self.axis) @ v).transpose(1, 2).flatten(2))

    axis = -1


class Logarithm(Base):
    def prepare(self):
        self.temperature = nn.Parameter(torch.tensor(-0.5 * math.log(self.d_k)))

    def scores(self, q, k):
        return q @ k.mT * self.temperature.exp()


class OverQueries(Logarithm):
    axis = -2


class OfEachHead(Base):
    def prepare(self):
        self.scale = nn.Parameter(torch.full((self.heads, 1, 1), self.d_k**-0.5))

    def scores(self, q, k):
        return q @ k.mT * self.scale


class Cosine(Base):
    def prepare(self):
        self.logit_scale = nn.Parameter(torch.log(10 * torch.ones(self.heads, 1, 1)))

    def scores(self, q, k):
        q, k = (nn.functional.normalize(y, dim=-1) for y in (q, k))
        return q @ k.mT * self.logit_scale.clamp(max=4.6).exp()


class One(Base):
    def prepare(self):
        self.tau = nn.Parameter(torch.ones(1))

    def scores(self, q, k):
        return q @ k.mT * self.tau


class OfTheWeights(Base):
    def prepare(self):
        self.scale = nn.Parameter(torch.ones(self.heads, 1, 1))

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        weights = (q @ k.mT / self.d_k**0.5).softmax(-1) * self.scale
        return self.out((weights @ v).transpose(1, 2).flatten(2))


class Drawn(OfEachHead):
    def prepare(self):
        self.scale = nn.Parameter(torch.rand(self.heads, 1, 1))


class OfTheOutput(Base):
    def prepare(self):
        self.gain = nn.Parameter(torch.ones(self.heads, 1, 1))

    def scores(self, q, k):
        return (q * self.gain) @ k.mT * self.d_k**-0.5
"""
file = model_file(MODELS)
WORDS = "a learned scale, which is kept at its initial value"


@pytest.mark.parametrize(("name", "right"), [("Logarithm", True), ("OfEachHead", True), ("OverQueries", False)])
def test_the_usual_scale_at_the_start(file: Path, name: str, right: bool) -> None:
    subject = understand(f"{file}:{name}")
    assert fits(subject) == right
    assert any(WORDS in words for words in subject.not_judged)


@pytest.mark.parametrize(("name", "declaration"), [("Cosine", {"qk_norm": "l2", "scale": 10.0}), ("One", {"scale": 1.0})])
def test_another_number_is_asked_about(file: Path, name: str, declaration: dict[str, Any]) -> None:
    declared, subject = asked(f"{file}:{name}")
    assert declared == declaration
    assert fits(subject)
    assert any(WORDS in words for words in subject.not_judged)


@pytest.mark.parametrize("name", ["Drawn", "OfTheOutput", "OfTheWeights"])
def test_what_is_no_scale_is_not_understood(file: Path, name: str) -> None:
    with pytest.raises(SubjectError, match="is not part of plain multi-head attention"):
        understand(f"{file}:{name}")
