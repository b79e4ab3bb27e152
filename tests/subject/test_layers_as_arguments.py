"""A constructor that is given its dropout as a layer, and sizes that a file sets for itself."""

from pathlib import Path

import pytest

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.request import Request
from tests.helpers.model_file import model_file

MODELS = """
import torch
from torch import nn

WIDTH, HEADS = 16, 4


class Base(nn.Module):
    def make(self, dim, heads):
        super().__init__()
        assert dim % heads == 0
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))

    def attend(self, x, mask=None):
        q, k, v = (f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        s = q @ k.mT / q.size(-1) ** 0.5
        s = s if mask is None else s * (1 - mask[:, None, None]) - 1e30 * mask[:, None, None]
        return self.o((self.dropped(s.softmax(-1)) @ v).transpose(1, 2).flatten(2))

    def dropped(self, weights):
        return weights


class Annotated(Base):
    def __init__(self, dim, heads, dropout: nn.Module):
        self.make(dim, heads)
        self.dropout = dropout

    def forward(self, x):
        return self.attend(x)

    def dropped(self, weights):
        return self.dropout(weights)


class Called(Annotated):
    def __init__(self, dim, heads, dropout):
        super().__init__(dim, heads, dropout)
        self.dropout = dropout


class Made(Annotated):
    def __init__(self, dim, heads, dropout):
        self.make(dim, heads)
        self.dropout = nn.Dropout(dropout)


class NotRescaled(Called):
    def dropped(self, weights):
        return self.dropout(weights) * 0.9 if self.training else weights


class OfItsFile(Base):
    def __init__(self):
        self.make(WIDTH, HEADS)

    def forward(self, x, mask):
        return self.attend(x, mask)
"""
file = model_file(MODELS)


@pytest.mark.parametrize("name", ["Annotated", "Called"])
def test_a_dropout_that_is_a_layer_is_given_as_one(file: Path, name: str) -> None:
    subject = understand(f"{file}:{name}", ("float64",))
    assert "dropout (nn.Dropout)" in str(subject.notes)
    assert subject.adapter.build_dropping(2, 8, 0.25).dropout.p == 0.25


def test_a_rate_of_which_a_layer_of_its_name_is_made_is_given_as_a_rate(file: Path) -> None:
    subject = understand(f"{file}:Made", ("float64",))
    assert "nn.Dropout" not in str(subject.notes)
    assert subject.adapter.build_dropping(2, 8, 0.25).dropout.p == 0.25


def test_dropout_within_it_is_judged(file: Path) -> None:
    assert verify(f"{file}:NotRescaled", dtypes="float64", properties="dropout.*").verdict == "violated"


def test_sizes_of_a_file_are_found_with_a_required_floating_mask_of_two_axes(file: Path) -> None:
    subject = understand(Request.of(f"{file}:OfItsFile", dtypes=("float64",), contract={"mask": "blocked"}))
    assert (subject.adapter.sizes, subject.contract.mask_shape) == ((4, 16), "[B, Tk]")
