"""A module that keeps keys for later calls, and says how to drop them, is judged from a fresh start in each call."""

from pathlib import Path

import pytest

from mhsa.judge.verification import verify

STREAM = """
import torch
from torch import nn


class Streaming(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        assert d_model % num_heads == 0
        self.num_heads, self.seen = num_heads, None
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def RESET(self):
        self.seen = None

    def forward(self, x):
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        if self.seen is not None:
            k, v = (torch.cat(pair, dim=2) for pair in zip(self.seen, (k, v)))
        self.seen = KEPT
        hidden = torch.ones(q.size(2), k.size(2), dtype=torch.bool).triu(1 + k.size(2) - q.size(2))
        scores = (q @ k.mT SCALE).masked_fill(hidden, float("-inf"))
        return self.o((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
"""
KEEPS, SCALE = "k.detach(), v.detach()", "/ q.size(-1) ** 0.5"
SOME = ["oracle.*", "purity.*", "graphs.*", "modes.*", "copies.*", "causality.*"]


def streaming(folder: Path, reset: str = "reset", kept: str = KEEPS, scale: str = SCALE) -> str:
    (folder / "stream.py").write_text(STREAM.replace("RESET", reset).replace("KEPT", kept).replace("SCALE", scale))
    return str(folder / "stream.py")


@pytest.mark.parametrize("reset", ["reset", "clear_kv_cache"])
def test_a_right_one_holds_and_what_is_kept_is_not_judged(tmp_path: Path, reset: str) -> None:
    found = verify(streaming(tmp_path, reset), contract={"causal": "top-left"}, dtypes="float64", properties=SOME)
    assert found, str(found)
    assert tuple(found.not_judged) == (f"what it keeps from one call for the next, which {reset}() drops",)


def test_a_wrong_one_is_violated(tmp_path: Path) -> None:
    path = streaming(tmp_path, scale="/ q.size(-1)")
    assert verify(path, contract={"causal": "top-left"}, dtypes="float64", properties="oracle.*").verdict == "violated"


def test_what_no_method_drops_is_violated(tmp_path: Path) -> None:
    path = streaming(tmp_path, "start")
    assert verify(path, contract={"causal": "top-left"}, dtypes="float64", properties="purity.*").verdict == "violated"


def test_a_method_without_which_all_is_the_same_is_not_called(tmp_path: Path) -> None:
    path = streaming(tmp_path, kept="None")
    found = verify(path, contract={"causal": "top-left"}, dtypes="float64", properties="purity.two_threads*")
    assert [p.outcome for p in found.properties] == ["pass"], "judged, since nothing is kept"
    assert tuple(found.not_judged) == ()
