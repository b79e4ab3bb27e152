"""A right module with a window of its own, alone or with more, is one question that names all; a wrong one is none."""

from pathlib import Path

import pytest

import mhsa
from mhsa.introspect.resolve import understand
from mhsa.records.errors import Question
from tests.helpers.model_file import model_file

MODEL = """
import torch
from torch import nn


class Banded(nn.Module):
    def __init__(self, width, num_heads):
        super().__init__()
        self.heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x):
        q, k, v = (part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.q, self.k, self.v))
        s = self.bent(q @ k.mT / q.size(-1) ** 0.5)
        place = torch.arange(x.size(1))
        s = s.masked_fill(~self.near(place[:, None] - place), -torch.inf)
        return self.o((s.softmax(-1) @ v).transpose(1, 2).flatten(2))

    def bent(self, s):
        return s

    def near(self, back):
        return back.abs() <= 4


class CausalBand(Banded):
    def near(self, back):
        return (back >= 0) & (back < 6)


class CappedBand(Banded):
    def bent(self, s):  # soft cap
        return 15.0 * torch.tanh(s / 15.0)


class CappedCausalBand(CausalBand):
    def bent(self, s):  # soft cap
        return 15.0 * torch.tanh(s / 15.0)


class NarrowCappedBand(CappedBand):
    def bent(self, s):  # soft cap
        return 15.0 * torch.tanh(s / 15.0)

    def near(self, back):
        return (back >= 0) & (back <= 1)


class Whole(Banded):
    def near(self, back):
        return back > -1000


class FirstFour(Banded):
    def near(self, back):
        place = torch.arange(back.size(1))
        return (place < 4).expand_as(back)


class EveryFourth(Banded):
    def near(self, back):
        return back % 4 != 3


class ScaledCausalBand(CausalBand):
    def bent(self, s):
        return s * 0.5
"""
file = model_file(MODEL, "bands.py")


@pytest.mark.parametrize(
    ("name", "declaration"),
    [
        ("Banded", {"window": [4, 4]}),
        ("CausalBand", {"causal": "top-left", "window": [5, -1]}),
        ("CappedBand", {"softcap": 15.0, "window": [4, 4]}),
        ("CappedCausalBand", {"causal": "top-left", "softcap": 15.0, "window": [5, -1]}),
        ("NarrowCappedBand", {"causal": "top-left", "softcap": 15.0, "window": [1, -1]}),
    ],
)
def test_one_question_names_all(file: Path, name: str, declaration: dict[str, object]) -> None:
    with pytest.raises(Question, match="exactly") as caught:
        understand(f"{file}:{name}", dtypes=("float64",))
    assert caught.value.declaration == declaration


@pytest.mark.parametrize("name", ["Whole", "FirstFour", "EveryFourth", "ScaledCausalBand"])
def test_what_is_no_window_is_none(file: Path, name: str) -> None:
    """Keys by their own place, every fourth one, and a scale that no declaration names are for the properties to judge."""
    subject = understand(f"{file}:{name}", dtypes=("float64",))
    assert subject.contract.window is None


def test_the_declaration_holds(file: Path) -> None:
    found = mhsa.verify(
        f"{file}:CappedCausalBand", dtypes="float64", properties=("oracle.*", "causality.*", "numbers.long_sequences"),
        contract={"causal": "top-left", "softcap": 15.0, "window": [5, -1]},
    )  # fmt: skip
    assert found.verdict == "holds", str(found)


def test_another_window_than_the_declared_one_is_violated(file: Path) -> None:
    for window in ([4, -1], [6, -1]):
        contract = {"causal": "top-left", "window": window}
        found = mhsa.verify(f"{file}:CausalBand", dtypes="float64", properties=("oracle.output_*",), contract=contract)
        assert found.verdict == "violated"


def test_who_declares_that_it_is_not_causal_is_not_asked(file: Path) -> None:
    found = mhsa.verify(
        f"{file}:Banded", dtypes="float64", properties=("oracle.output_without_mask",), contract={"causal": "no"}
    )
    assert found.verdict == "violated"
