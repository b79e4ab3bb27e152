"""A function of heads that returns them merged is read so, right or wrong, with heads before or after time."""

from typing import Any

import pytest
from torch import Tensor

from mhsa.introspect.resolve import understand
from tests.helpers.layers import fails


def merged(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Any:
    s = q @ k.mT / q.size(-1) ** 0.5
    s = s if mask is None else s.masked_fill(~mask, -1e9)
    return (s.softmax(-1) @ v).transpose(1, 2).flatten(2)


def merged_as_it_lies(q: Tensor, k: Tensor, v: Tensor) -> Any:
    z = (q @ k.mT / q.size(-1) ** 0.5).softmax(-1) @ v
    return z.reshape(z.size(0), z.size(2), -1)


def merged_after_time(q: Tensor, k: Tensor, v: Tensor) -> Any:
    return merged(*(x.transpose(1, 2) for x in (q, k, v)))


def merged_with_weights(q: Tensor, k: Tensor, v: Tensor) -> Any:
    weights = (q @ k.mT / q.size(-1) ** 0.5).softmax(-1)
    return (weights @ v).transpose(1, 2).flatten(2), weights


@pytest.mark.parametrize("function", ["merged", "merged_after_time", "merged_with_weights"])
def test_a_right_one_is_read(function: str) -> None:
    subject = understand(f"{__file__}:{function}", ("float64",))
    assert "heads are returned merged, [B, Tq, H * d]" in [each.text for each in subject.understood]
    assert not fails(f"{__file__}:{function}")


def test_heads_that_are_merged_without_turning_them_are_violated() -> None:
    assert fails(f"{__file__}:merged_as_it_lies")
