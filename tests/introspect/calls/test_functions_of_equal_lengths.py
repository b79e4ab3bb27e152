"""Functions of heads that raise where there are more or fewer keys than queries: meant for self-attention."""

import math
from typing import Any

import pytest
import torch

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.subject.subject import Subject

NAN = {"fully_masked_row": "nan", "reason": "https://github.com/pytorch/pytorch/issues/41508"}
FEW = ("oracle.output_*", "masks.masking_is_deleting")


def squared(q, k, v, mask=None):
    """Shape the scores by the number of queries alone."""
    batch, head, length, width = q.shape
    scores = (q @ k.mT).view(batch, head, length, length) / math.sqrt(width)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1) @ v


def squared_of_a_decoder(q, k, v):
    hidden = torch.ones(q.size(2), q.size(2), dtype=torch.bool, device=q.device).triu(1)
    return ((q @ k.mT / math.sqrt(q.size(-1))).masked_fill(hidden, float("-inf"))).softmax(-1) @ v


def squared_with_its_mask_turned(q, k, v, mask=None):
    return squared(q, k, v, mask if mask is None else mask.mT)


def squared_unscaled(q, k, v, mask=None):
    return squared(q * math.sqrt(q.size(-1)), k, v, mask)


def squared_one_early(q, k, v):
    hidden = torch.ones(q.size(2), q.size(2), dtype=torch.bool, device=q.device).triu(2)
    return ((q @ k.mT / math.sqrt(q.size(-1))).masked_fill(hidden, float("-inf"))).softmax(-1) @ v


def read(function: Any, **declared: Any) -> Subject:
    return understand(Request(f"{__file__}:{function.__name__}", contract=declared), target=function)


def judged(function: Any, **declared: Any) -> Any:
    return verify(f"{__file__}:{function.__name__}", contract=declared or None, dtypes="float64", properties=FEW)


@pytest.mark.parametrize(
    ("function", "declared"),
    [(squared, {"lengths": "equal", **NAN}), (squared_of_a_decoder, {"lengths": "equal", "causal": "top-left"})],
)
def test_equal_lengths_are_a_question_and_hold_as_declared(function: Any, declared: dict[str, Any]) -> None:
    with pytest.raises(Question, match="takes as many queries as keys") as asked:
        read(function)
    assert asked.value.declaration == declared
    assert read(function, **declared).adapter.square
    found = judged(function, **declared)
    assert found, str(found)


@pytest.mark.parametrize(
    ("function", "declared"),
    [
        (squared_with_its_mask_turned, {"lengths": "equal"}),
        (squared_unscaled, {"lengths": "equal"}),
        (squared_one_early, {"lengths": "equal", "causal": "top-left"}),
    ],
)
def test_no_bug_is_explained_away(function: Any, declared: dict[str, Any]) -> None:
    assert judged(function).verdict != "holds"
    assert judged(function, **declared).verdict == "violated"


def test_any_lengths_are_no_declaration_of_a_function() -> None:
    with pytest.raises(Question, match="is judged with any"):
        read(squared, lengths="any")
