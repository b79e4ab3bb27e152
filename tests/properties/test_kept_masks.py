"""Masks that are the same for every sample are among the earlier calls, too."""

import pytest
import torch
from torch import Tensor, nn

from mhsa.judge.verification import verify


class MaskEntersItsBuffer(nn.Module):
    """The mask of a call stays in the triangle that later calls read."""

    def __init__(self, d_model: int, num_heads: int, max_length: int = 256) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv, self.proj = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)
        self.register_buffer("triangle", torch.ones(max_length, max_length, dtype=torch.bool).tril(), persistent=False)

    def forward(self, x: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        """Attend; ``attn_mask`` is [T, T], True where attention is allowed."""
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, dim=-1))
        seen = self.triangle[: x.size(1), : x.size(1)]
        if attn_mask is not None:
            seen = self.together(seen, attn_mask)
        weights = (q @ k.mT / q.size(-1) ** 0.5).masked_fill(~seen, -torch.inf).softmax(-1).nan_to_num()
        return self.proj((weights @ v).transpose(1, 2).flatten(2))

    def together(self, seen: Tensor, mask: Tensor) -> Tensor:
        seen &= mask
        return seen


class MaskIsLeftAlone(MaskEntersItsBuffer):
    def together(self, seen: Tensor, mask: Tensor) -> Tensor:
        return seen & mask


@pytest.mark.parametrize(("kind", "verdict"), [(MaskEntersItsBuffer, "violated"), (MaskIsLeftAlone, "holds")])
def test_a_mask_that_is_kept_is_seen(kind: type[nn.Module], verdict: str) -> None:
    found = verify(kind, contract={"causal": "top-left"}, properties="purity.earlier_calls_leave_no_trace")
    assert found.verdict == verdict, found
