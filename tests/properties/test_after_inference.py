"""A module that makes its tables in a first call under inference_mode cannot be trained afterwards: a question."""

from typing import Any

import torch
from torch import Tensor, nn

from mhsa.judge.verification import Verification, verify

TRIED = ["oracle.output_without_mask", "modes.gradients_after_calls_without_them"]


class MakesItsScale(nn.Module):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__()
        assert d_model % num_heads == 0
        self.num_heads = num_heads
        self.qkv, self.out = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)
        self.scale: Tensor | None = None

    def kept(self, scale: Tensor) -> Tensor:
        return scale

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (h.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for h in self.qkv(x).chunk(3, -1))
        if self.scale is None or self.scale.dtype != x.dtype:
            self.scale = self.kept(x.new_full((), q.size(-1) ** -0.5))
        heads = (q @ k.mT * self.scale).softmax(-1) @ v
        return self.out(heads.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class MakesItOutsideOfInference(MakesItsScale):
    def kept(self, scale: Tensor) -> Tensor:
        with torch.inference_mode(False):
            return torch.full((), float(scale), dtype=scale.dtype, device=scale.device)


def judged(kind: Any, **contract: str) -> Verification:
    return verify(f"{__file__}:{kind.__name__}", dtypes="float64", properties=TRIED, contract=contract or None)


def test_it_is_a_question() -> None:
    asked = judged(MakesItsScale)
    assert (asked.verdict, asked.declaration) == ("question", {"after_inference": "raise"})
    assert "after a first call under inference_mode it cannot be trained" in asked.reason
    assert judged(MakesItsScale, after_inference="raise").verdict == "holds"
    assert judged(MakesItsScale, after_inference="trains").verdict == "violated"


def test_what_is_made_outside_of_inference_holds() -> None:
    assert judged(MakesItOutsideOfInference, after_inference="trains").verdict == "holds"
