"""A constructor that is given a class of norms or activations: the one that changes nothing, which counts with an exact fit."""

from pathlib import Path

import pytest

from mhsa.introspect.readings.fit import fits
from mhsa.introspect.resolve import understand
from mhsa.records.errors import Question
from tests.helpers.model_file import model_file

MODELS = """
from torch import nn


class Base(nn.Module):
    def make(self, dim, num_heads):
        super().__init__()
        assert dim % num_heads == 0
        self.h, self.maps = num_heads, nn.ModuleList(nn.Linear(dim, dim) for _ in range(4))

    def forward(self, x):
        q, k, v = (f(x).unflatten(-1, (self.h, -1)).transpose(1, 2) for f in self.maps[:3])
        heads = (q @ k.mT / self.root(q)).softmax(-1) @ v
        return self.maps[3](self.part(heads.transpose(1, 2).flatten(2)))

    def root(self, q):
        return q.size(-1) ** 0.5


class Layered(Base):
    def __init__(self, dim, num_heads, norm_layer):
        self.make(dim, num_heads)
        self.part = norm_layer(dim)


class UnscaledLayered(Layered):
    def root(self, q):
        return 1.0


class Activation(Base):
    def __init__(self, dim, num_heads, activation=None):
        self.make(dim, num_heads)
        self.part = activation()


class UnscaledActivation(Activation):
    def root(self, q):
        return 1.0


class Built(Base):
    def __init__(self, dim, num_heads, nonlinearity):
        self.make(dim, num_heads)
        self.part = nonlinearity
"""
file = model_file(MODELS)


NAMES = [("Layered", "norm_layer"), ("Activation", "activation"), ("Built", "nonlinearity")]


@pytest.mark.parametrize(("name", "given"), NAMES)
def test_it_is_given_what_changes_nothing(file: Path, name: str, given: str) -> None:
    subject = understand(f"{file}:{name}")
    assert fits(subject)
    assert f"{given}=nn.Identity" in str(subject.understood)


def test_what_is_wrong_with_it_is_judged_where_the_name_is_one_of_layers(file: Path) -> None:
    assert not fits(understand(f"{file}:UnscaledLayered"))
    with pytest.raises(Question, match=r"activation=nn\.Identity, which mhsa chose"):
        understand(f"{file}:UnscaledActivation")
