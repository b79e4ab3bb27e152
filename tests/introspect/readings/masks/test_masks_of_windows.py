"""Masks of fewer windows than samples: with a table of a window's offsets the windows of a picture follow one another."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mhsa
from mhsa.introspect.resolve import understand
from mhsa.records.request import Request

DECLARED = {"bias": {"rule": "swin"}, "fully_masked_row": "nan", "reason": "a softmax of nothing", "indivisible": "any"}


class InAPicture(nn.Module):
    """Self-attention in windows of rows x columns tokens, with a learned bias of the offset."""

    def __init__(self, dim: int, window_size: tuple[int, int], num_heads: int) -> None:
        super().__init__()
        self.heads = num_heads
        rows, columns = window_size
        self.relative_position_bias_table = nn.Parameter(torch.randn((2 * rows - 1) * (2 * columns - 1), num_heads))
        at = torch.arange(rows * columns)
        down, across = (x[:, None] - x + most - 1 for x, most in ((at // columns, rows), (at % columns, columns)))
        self.register_buffer("places", down * (2 * columns - 1) + across)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """mask: 0 or -inf, added to the scores."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        s = q @ k.mT / q.size(3) ** 0.5 + self.relative_position_bias_table[self.places].permute(2, 0, 1)
        if mask is not None:
            s = s + self.of_each(mask, x.size(0))[:, None]
        return self.proj((s.softmax(-1) @ v).transpose(1, 2).flatten(2))

    def of_each(self, mask: Tensor, samples: int) -> Tensor:
        return mask.repeat(samples // mask.size(0), 1, 1)


class PicturesFirst(InAPicture):
    def of_each(self, mask: Tensor, samples: int) -> Tensor:
        return mask.repeat_interleave(samples // mask.size(0), 0)


class FirstAlone(InAPicture):
    def of_each(self, mask: Tensor, samples: int) -> Tensor:
        return mask if len(mask) == samples else mask[:1]


class OneEach(InAPicture):
    """It takes a mask of each sample alone."""

    def of_each(self, mask: Tensor, samples: int) -> Tensor:
        return mask.view(samples, *mask.shape[1:])


class WithoutOffsets(nn.Module):
    """Nothing says that its samples are windows."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.heads = num_heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """mask: True where attention is allowed."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        s = q @ k.mT / q.size(3) ** 0.5
        if mask is not None:
            each = mask.repeat_interleave(x.size(0) // mask.size(0), 0)
            s = s.masked_fill(~each[:, None], -1e9)
        return self.proj((s.softmax(-1) @ v).transpose(1, 2).flatten(2))


def _found(name: str, **declared: Any) -> Any:
    return understand(Request("a", f"{__file__}:{name}", contract=declared, dtypes=("float64",)))


def test_windows_that_follow_one_another_are_right_and_said() -> None:
    subject = _found("InAPicture", **DECLARED)
    assert not subject.wrong_call
    assert any("of fewer windows than samples" in part.text for part in subject.understood)


@pytest.mark.parametrize("name", ["PicturesFirst", "FirstAlone"])
def test_another_window_s_mask_is_a_violation(name: str) -> None:
    assert "sample n must take mask n % 2" in _found(name, **DECLARED).wrong_call
    judged = mhsa.verify(f"{__file__}:{name}", dtypes="float64", properties=("oracle.output_without_mask",), contract=DECLARED)
    assert judged.verdict == "violated"


@pytest.mark.parametrize(("name", "declared"), [("OneEach", DECLARED), ("WithoutOffsets", {})])
def test_what_takes_none_or_has_no_windows_is_not_wrong(name: str, declared: dict[str, Any]) -> None:
    subject = _found(name, **declared)
    assert not subject.wrong_call
    assert not any("of fewer windows" in part.text for part in subject.understood)
