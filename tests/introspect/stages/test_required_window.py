"""A window that a constructor must be given is asked about, with the causality under which it is exactly right."""

from pathlib import Path
from typing import Any

import pytest

from mhsa.introspect.readings.fit import fits
from mhsa.introspect.resolve import understand
from mhsa.records.errors import Question
from mhsa.records.request import Request
from tests.helpers.model_file import model_file
from tests.introspect.stages.asked import asked

MODELS = """
import torch
from torch import nn


class Sliding(nn.Module):
    def __init__(self, dim, num_heads, window_size):
        super().__init__()
        assert dim % num_heads == 0
        self.num_heads, self.window_size = num_heads, window_size
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def seen(self, places):
        far = places[:, None] - places
        return (far >= 0) & (far < self.window_size)

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        s = q @ k.mT / q.size(-1) ** 0.5
        s = s.masked_fill(~self.seen(torch.arange(x.size(1))), float("-inf"))
        return self.out((s.softmax(-1) @ v).transpose(1, 2).flatten(2))


class BothSides(Sliding):
    def seen(self, places):
        return (places[:, None] - places).abs() <= self.window_size


class WithoutItsOwn(Sliding):
    def seen(self, places):
        far = places[:, None] - places
        return (far >= 0) & (far <= self.window_size)


class OneTooWide(WithoutItsOwn):
    '''Sliding window: the last window_size tokens, itself included.'''


class Unscaled(Sliding):
    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        s = (q @ k.mT).masked_fill(~self.seen(torch.arange(x.size(1))), float("-inf"))
        return self.out((s.softmax(-1) @ v).transpose(1, 2).flatten(2))
"""
file = model_file(MODELS)


@pytest.mark.parametrize(
    ("name", "declaration"),
    [("Sliding", {"causal": "top-left", "window": [3, 0]}), ("BothSides", {"window": [3, 3]})],
)
def test_it_is_asked_about(file: Path, name: str, declaration: dict[str, Any]) -> None:
    declared, subject = asked(f"{file}:{name}")
    assert declared == declaration
    assert fits(subject)


def test_one_that_counts_otherwise_is_told_how(file: Path) -> None:
    with pytest.raises(Question, match=r"--argument window_size=4") as told:
        understand(Request.of(f"{file}:WithoutItsOwn"))
    assert not told.value.declaration


def test_one_that_does_not_count_as_its_docstring_says_is_violated_as_declared(file: Path) -> None:
    declared, subject = asked(f"{file}:OneTooWide")
    assert declared == {"causal": "top-left", "window": [3, 0]}
    assert not fits(subject)


def test_a_bug_fits_under_none_and_is_violated_as_declared(file: Path) -> None:
    with pytest.raises(Question, match="window_size"):
        understand(Request.of(f"{file}:Unscaled"))
    assert not fits(understand(Request.of(f"{file}:Unscaled", contract={"causal": "top-left", "window": [3, 0]})))
