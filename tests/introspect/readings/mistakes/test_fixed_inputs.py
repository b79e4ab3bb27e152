"""Constructors whose layers take a width that stands in the code; groups of a norm; a map named after one of three."""

from pathlib import Path

import pytest

from mhsa.introspect.readings.fit import fits
from mhsa.introspect.resolve import understand

SENSORS = """
import torch
from torch import nn


class SensorSelfAttention(nn.Module):
    def __init__(self, n_channels=17, proj_dim=32):
        super().__init__()
        self.n_channels = n_channels
        self.query, self.key, self.value = (nn.Linear(96, proj_dim) for _ in range(3))
        self.scale = SCALE ** 0.5

    def forward(self, x):
        w = torch.softmax(self.query(x) @ self.key(x).mT / self.scale, dim=-1)
        return w @ self.value(x), WEIGHTS
"""
PACKED = """
import torch
from torch import nn


class SelfAttention(nn.Module):
    def __init__(self, d_model, heads):
        super().__init__()
        self.heads = heads
        self.q, self.out = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)

    def forward(self, x):
        q, k, v = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in self.q(x).chunk(3, -1))
        a = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
        return self.out((a @ v).transpose(1, 2).flatten(-2))
"""
INNER = """
import torch
from torch import nn


class MultiHeadAttention(nn.Module):
    def __init__(self, nin, dim, nhead):
        super().__init__()
        self.qs, self.ks, self.vs = (nn.Linear(nin, dim * nhead) for _ in range(3))
        self.dim, self.nhead = dim, nhead

    def forward(self, x):
        q, k, v = (m(x).unflatten(-1, (self.nhead, self.dim)).transpose(1, 2) for m in (self.qs, self.ks, self.vs))
        a = (q @ k.mT * self.dim ** -0.5).softmax(-1)
        return (a @ v).transpose(1, 2).flatten(-2)
"""


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "model.py"
    path.write_text(text)
    return str(path)


def of_sensors(scale: str = "proj_dim", weights: str = "w") -> str:
    return SENSORS.replace("SCALE", scale).replace("WEIGHTS", weights)


def test_inputs_of_a_width_in_the_code(tmp_path: Path) -> None:
    subject = understand(written(tmp_path, of_sensors()))
    assert subject.adapter.sizes == (1, 96)
    assert fits(subject)


def test_a_scale_of_what_is_only_stored_is_wrong(tmp_path: Path) -> None:
    assert not fits(understand(written(tmp_path, of_sensors("n_channels"))))


def test_weights_with_queries_and_keys_exchanged_are_wrong(tmp_path: Path) -> None:
    assert "exchanged" in understand(written(tmp_path, of_sensors(weights="w.mT"))).wrong_weights


@pytest.mark.parametrize("axis", [-1, -2])
@pytest.mark.parametrize("text", [PACKED, INNER], ids=["packed", "inner"])
def test_other_forms_are_read(tmp_path: Path, text: str, axis: int) -> None:
    subject = understand(written(tmp_path, text.replace("softmax(-1)", f"softmax({axis})")))
    assert fits(subject) == (axis == -1)
