"""A mask that must be given, next to causality that nothing declares: first the formula is asked about, then the mask."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mhsa.introspect.questions import load_under
from mhsa.introspect.readings.fit import fits
from mhsa.judge.verification import verify
from mhsa.records.request import Request
from mhsa.subject.subject import Subject


class AddsItsMask(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.size = config.hidden_size // self.heads
        self.query, self.key, self.value = (nn.Linear(config.hidden_size, config.hidden_size) for _ in range(3))

    def hide(self, scores: Tensor, mask: Tensor) -> Tensor:
        return scores + mask

    def forward(self, hidden_states: Tensor, attention_mask: Tensor) -> Tensor:
        q, k, v = (
            f(hidden_states).unflatten(-1, (self.heads, self.size)).transpose(1, 2) for f in (self.query, self.key, self.value)
        )
        scores = q @ k.mT / self.size**0.5
        later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = self.hide(scores.masked_fill(later, -torch.inf), attention_mask)
        return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


class HidesWhatItMarks(AddsItsMask):
    def hide(self, scores: Tensor, mask: Tensor) -> Tensor:
        return scores.masked_fill(mask, -torch.inf)


class AddsItTwiceAsLarge(AddsItsMask):
    def hide(self, scores: Tensor, mask: Tensor) -> Tensor:
        return 1.25 * scores + mask


@pytest.mark.parametrize(("name", "mask"), [("AddsItsMask", "additive"), ("HidesWhatItMarks", "blocked")])
def test_both_are_declared(name: str, mask: str) -> None:
    loaded = load_under(Request("a", f"{__file__}:{name}"))
    assert loaded.question is not None
    declared = {key: value for key, value in loaded.question.declaration.items() if key in ("causal", "mask")}
    assert declared == {"causal": "top-left", "mask": mask}
    assert isinstance(loaded.subject, Subject)
    assert fits(loaded.subject)


def test_a_bug_next_to_them_is_no_question() -> None:
    assert verify(f"{__file__}:AddsItTwiceAsLarge", dtypes="float64", properties="oracle.*").verdict == "violated"
