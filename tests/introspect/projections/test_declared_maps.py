"""Whether there are maps is declared, printed, and contradicted by parameters that say something else."""

from pathlib import Path

import pytest

from mhsa.introspect.resolve import understand
from mhsa.records.contract import Contract
from mhsa.records.errors import Question
from mhsa.records.request import Request
from tests.helpers.model_file import model_file

MODELS = """
import torch
from torch import nn


class Whole(nn.Module):
    def __init__(self, dim, num_heads):
        super().__init__()
        self.h = num_heads
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))

    def maps(self, x):
        return (f(x).unflatten(-1, (self.h, -1)).transpose(1, 2) for f in (self.query, self.key, self.value))

    def merged(self, z):
        return self.out(z)

    def forward(self, x):
        q, k, v = self.maps(x)
        return self.merged(((q @ k.mT * q.shape[-1] ** -0.5).softmax(-1) @ v).transpose(1, 2).flatten(2))


class NoOut(Whole):
    def __init__(self, dim, num_heads):
        super().__init__(dim, num_heads)
        del self.out

    def merged(self, z):
        return z


class OutAlone(Whole):
    def __init__(self, dim, num_heads):
        super().__init__(dim, num_heads)
        del self.query, self.key, self.value

    def maps(self, x):
        return (x.unflatten(-1, (self.h, -1)).transpose(1, 2) for _ in range(3))


class Shared(Whole):
    def __init__(self, dim, num_heads):
        super().__init__(dim, num_heads)
        self.query, self.key, self.value = (nn.Linear(dim // num_heads, dim // num_heads) for _ in range(3))

    def maps(self, x):
        return (f(x.unflatten(-1, (self.h, -1)).transpose(1, 2)) for f in (self.query, self.key, self.value))
"""
KINDS = {
    "Whole": ("projection", "projection"),
    "NoOut": ("none", "projection"),
    "OutAlone": ("projection", "none"),
    "Shared": ("projection", "shared by heads"),
}


file = model_file(MODELS, "maps.py")


@pytest.mark.parametrize("name", KINDS)
def test_it_is_declared_and_printed(file: Path, name: str) -> None:
    out, projections = KINDS[name]
    subject = understand(Request("a", f"{file}:{name}", contract={"out": out, "projections": projections}))
    assert {each.part: each.declaration for each in subject.understood if each.part in ("out", "projections")} == {
        "out": {"out": out},
        "projections": {"projections": projections},
    }
    assert {"out", "projections"} <= {topic for topic, _ in subject.notes}


@pytest.mark.parametrize("name", KINDS)
def test_it_is_contradicted(file: Path, name: str) -> None:
    out, projections = KINDS[name]
    wrong = {"out": "none" if out == "projection" else "projection"}
    with pytest.raises(Question, match="is declared, but its parameters say") as asked:
        understand(Request("a", f"{file}:{name}", contract=wrong))
    assert asked.value.declaration == {"out": out}
    others = {"projection", "none", "shared by heads"} - {projections}
    for other in others:
        with pytest.raises(Question, match=f'projections = "{other}" is declared'):
            understand(Request("a", f"{file}:{name}", contract={"projections": other}))


def test_a_function_has_no_maps() -> None:
    with pytest.raises(Question, match=r"a function on .* has no projections of its own"):
        understand(Request("a", "torch.nn.functional:scaled_dot_product_attention", contract={"out": "none"}))


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ValueError, match="must be one of None, 'projection', 'none', 'shared by heads'"):
        Contract(projections="shared")
    with pytest.raises(ValueError, match="must be one of None, 'projection', 'none'"):
        Contract(out="identity")
