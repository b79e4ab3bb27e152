"""Caches of keys and values: an optional one is left out and named, and what is returned for one is no obstacle."""

from pathlib import Path

import pytest

from mhsa.judge.verification import verify

SOURCE = """
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, dim, num_heads):
        super().__init__()
        assert dim % num_heads == 0
        self.num_heads = num_heads
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, x, CACHE):
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f in (self.query, self.key, self.value))
        LOOK_UP
        w = (q @ k.mT / SCALE ** 0.5).softmax(-1)
        y = self.out((w @ v).transpose(1, 2).flatten(2))
        return RETURNED
"""
PAIR = "k, v = (k, v) if {0} is None else (torch.cat([{0}[0], k], 2), torch.cat([{0}[1], v], 2))"
DICT = "cache.update({'k': k, 'v': v}) if cache is not None else None"
CASES = {
    "cache": ("cache=None", PAIR.format("cache"), "y", ["argument cache"]),
    "written into": ("cache=None", DICT, "y", ["argument cache"]),
    "layer_past": (
        "layer_past=None, use_cache=False", PAIR.format("layer_past"), "(y, (k, v)) if use_cache else (y, None)",
        ["argument layer_past", "argument use_cache"],
    ),
    "returned unasked": (
        "past_key_value=None", PAIR.format("past_key_value"), "(y, (k, v))",
        ["argument past_key_value", "value 2 of 2 returned: a tuple"],
    ),
    "of two arguments": (
        "past_k=None, past_v=None", PAIR.format("past_k").replace("past_k[1]", "past_v").replace("past_k[0]", "past_k"),
        "(y, k, v)", ["argument past_k", "argument past_v"],
    ),
    "with weights": (
        "past_key_value=None, output_attentions=False, use_cache=True", PAIR.format("past_key_value"),
        "(y, w if output_attentions else None, (k, v) if use_cache else None)",
        ["argument past_key_value", "argument use_cache", "value 3 of 3 returned: a tuple"],
    ),
}  # fmt: skip


def written(folder: Path, case: str, scale: str) -> str:
    cache, look_up, returned, _ = CASES[case]
    source = SOURCE.replace("CACHE", cache).replace("LOOK_UP", look_up).replace("RETURNED", returned).replace("SCALE", scale)
    path = folder / f"m{abs(hash(source))}.py"
    path.write_text(source)
    return str(path)


@pytest.mark.parametrize("case", CASES)
def test_a_cache_is_left_out_and_named(tmp_path: Path, case: str) -> None:
    found = verify(written(tmp_path, case, "q.size(-1)"), dtypes="float64", properties=["oracle.*", "weights.*"])
    assert found, str(found)
    assert set(CASES[case][3]) <= set(found.not_judged)
    assert verify(written(tmp_path, case, "x.size(-1)"), dtypes="float64", properties="oracle.*").verdict == "violated"
