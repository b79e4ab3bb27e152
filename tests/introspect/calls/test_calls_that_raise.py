"""What a call leaves behind that raises while the call is looked for: it decides nothing of the calls that follow."""

import pytest
import torch
from torch import Tensor, nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.request import Request
from mhsa.subject.filled.as_before import as_before


class NeedsItsMask(nn.Module):
    """Adds its mask, which must be given; the first call, without one, raises."""

    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__()
        assert d_model % num_heads == 0
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, x: Tensor, attention_mask: Tensor) -> Tensor:
        """attention_mask [B, 1, 1, T] is added to the scores: 0 for tokens, -inf for padding."""
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        weights = (q @ k.mT / q.size(-1) ** 0.5 + self.mask(attention_mask)).softmax(-1)
        output: Tensor = self.o((weights @ v).transpose(1, 2).flatten(2))
        return output

    def mask(self, given: Tensor) -> Tensor:
        return given


class KeepsItsMask(NeedsItsMask):
    """Keeps the mask of the first call; after one that is None every call of it raises."""

    kept: Tensor

    def mask(self, given: Tensor) -> Tensor:
        if not hasattr(self, "kept") or self.kept.shape != given.shape:
            self.kept = given
        return self.kept


def test_a_right_one_is_read() -> None:
    declared = {"fully_masked_row": "nan", "reason": "https://example.org"}
    subject = understand(Request("it", f"{__file__}:NeedsItsMask", contract=declared))
    assert subject.contract.mask == "additive"


def test_a_mask_that_is_kept_is_judged_and_no_question_of_how_it_is_called() -> None:
    found = verify(f"{__file__}:KeepsItsMask", dtypes="float64", properties="symmetry.each_sample_is_answered_alone")
    assert found.verdict == "violated"


def _raise_within(module: KeepsItsMask) -> None:
    with as_before(module):
        module.kept = torch.ones(1)
        module.q = nn.Linear(1, 1)
        module.o.note = "left"
        raise ValueError("again")


def test_only_what_raises_is_undone() -> None:
    module = KeepsItsMask(2, 4)
    with as_before(module):
        module.kept = torch.zeros(1)
    with pytest.raises(ValueError, match="again"):
        _raise_within(module)
    assert not module.kept.any()
    assert module.q.in_features == 4
    assert not hasattr(module.o, "note")
