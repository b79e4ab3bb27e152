"""Rotary frequencies that are rounded to the dtype of the data are found in every run that has a half format."""

from pathlib import Path

import pytest

from mhsa.records.case import Case
from mhsa.records.request import Request
from tests.helpers.model_file import model_file
from tests.helpers.toy_project import replayed

SOURCE = """
import torch
from torch import nn


class Turning(nn.Module):
    def __init__(self, embed_dim, num_heads):
        super().__init__()
        self.h = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(embed_dim, embed_dim) for _ in range(4))

    def frequencies(self, x):
        return 1e4 ** (-torch.arange(0, x.size(-1), 2, dtype=torch.float32) / x.size(-1))

    def turned(self, x):
        angles = torch.arange(x.size(2), dtype=torch.float32)[:, None] * self.frequencies(x)
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        a, b = x.chunk(2, -1)
        return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)

    def forward(self, x):
        q, k, v = (f(x).unflatten(-1, (self.h, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        s = self.turned(q) @ self.turned(k).mT / q.size(-1) ** 0.5
        return self.o((s.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Rounded(Turning):
    def frequencies(self, x):
        return super().frequencies(x).to(x.dtype).float()
"""
models = model_file(SOURCE)
CASE = Case("bfloat16", 1, 1, 2, 2, 4, data="integers", tie="all")


@pytest.mark.parametrize(
    ("name", "dtypes", "words"),
    [
        ("Turning", ("float64", "bfloat16"), ""),
        ("Rounded", ("float64", "bfloat16"), "must be"),
        ("Rounded", ("float16",), "must be"),
    ],
)
def test_rounded_frequencies_are_found_in_half_formats(
    models: Path, tmp_path: Path, name: str, dtypes: tuple[str, ...], words: str
) -> None:
    request = Request("a", f"model.py:{name}", folder=str(models.parent), dtypes=dtypes, contract={"rotary": "half"})
    found = replayed(request, "rotary.far_places_in_half_formats", {"case": CASE}, tmp_path / "script.py")
    assert words in found
    assert bool(words) == bool(found)
