"""Constructors that take the module that rotates: one of the file is built for the width of a head."""

import pytest
import torch
from torch import Tensor, nn

from mhsa.introspect.questions import load_under
from mhsa.introspect.readings.fit import fits
from mhsa.judge.verification import verify
from mhsa.records.request import Request
from mhsa.subject.construction.by_source.rotations import Rotation, rotations
from mhsa.subject.subject import Subject


class RotaryTable(nn.Module):
    def __init__(self, dim: int, max_len: int, theta: float) -> None:
        super().__init__()
        rates = theta ** (-torch.arange(0, dim, 2) / dim)
        self.register_buffer("angles", torch.outer(torch.arange(max_len), rates).repeat(1, 2))

    def forward(self, x: Tensor) -> Tensor:
        angles, (first, second) = self.angles[: x.size(-2)], x.chunk(2, dim=-1)
        return x * angles.cos() + torch.cat((-second, first), -1) * angles.sin()


class RotaryOfSomethingElse(nn.Module):
    """It needs what nobody knows."""

    def __init__(self, dim: int, axes: tuple[int, ...]) -> None:
        super().__init__()


class Takes(nn.Module):
    def __init__(self, d_model: int, num_heads: int, rope: nn.Module) -> None:
        super().__init__()
        if d_model % num_heads:
            raise ValueError("the width is no multiple of the heads")
        self.num_heads = num_heads
        self.rotation = rope
        self.qkv, self.proj = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, dim=-1))
        weights = self.weights(self.rotation(q), self.rotation(k))
        return self.proj((weights @ v).transpose(1, 2).flatten(2))

    def weights(self, q: Tensor, k: Tensor) -> Tensor:
        return (q @ k.mT / q.size(-1) ** 0.5).softmax(-1)


class RotatesValuesOfScoresTwice(Takes):
    def weights(self, q: Tensor, k: Tensor) -> Tensor:
        return super().weights(q, self.rotation(k))


class Switched(nn.Module):
    """Its rope is a switch, and is called nowhere."""

    def __init__(self, d_model: int, num_heads: int, rope: bool) -> None:
        super().__init__()
        self.num_heads, self.rotates = num_heads, rope
        self.table = RotaryTable(d_model // num_heads, 1026, 10000.0)
        self.qkv, self.proj = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, dim=-1))
        q, k = (self.table(q), self.table(k)) if self.rotates else (q, k)
        return self.proj(((q @ k.mT / q.size(-1) ** 0.5).softmax(-1) @ v).transpose(1, 2).flatten(2))


def test_it_is_built_for_the_width_of_a_head_and_the_rotation_is_asked_about() -> None:
    loaded = load_under(Request("a", f"{__file__}:Takes"))
    assert loaded.question is not None
    assert loaded.question.declaration == {"rotary": "half"}
    assert isinstance(loaded.subject, Subject)
    assert fits(loaded.subject)
    assert "rope=RotaryTable(dim=d_model / heads, max_len=1026, theta=10000.0)" in str(dict(loaded.subject.notes))


@pytest.mark.parametrize(("name", "verdict"), [("Takes", "holds"), ("RotatesValuesOfScoresTwice", "violated")])
def test_under_the_declaration_there_is_a_verdict(name: str, verdict: str) -> None:
    found = verify(f"{__file__}:{name}", contract={"rotary": "half"}, properties=["oracle.*", "rotary.*"])
    assert found.verdict == verdict, found


def test_only_what_is_called_and_can_be_built_is_a_rotation() -> None:
    assert rotations(Takes, "rope") == [Rotation(RotaryTable, "dim", ("max_len",), ("theta",))]
    assert rotations(Takes, "d_model") == []
    assert rotations(nn.Linear, "rope") == []  # its file has no such class


def test_a_switch_is_given_what_is_declared() -> None:
    found = verify(f"{__file__}:Switched", contract={"rotary": "half"}, properties="oracle.*")
    assert found.verdict == "holds", found
