"""Numbers other than 0, 1 and -inf in masks, and masks of heads: judged where a docstring or a call says what they mean."""

from pathlib import Path

import pytest
from torch import Tensor, nn

from mhsa.judge.verification import verify


class MaskOfTheFirstHead(nn.Module):
    """Of a mask with an axis of the heads the first one's is taken.

    mask: bool (B, H, Tq, Tk), True where a query may attend
    """

    def __init__(self, d_model: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q, self.k, self.v, self.out = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        layers = (self.q, query), (self.k, key), (self.v, value)
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f, x in layers)
        s = q @ k.mT * q.size(-1) ** -0.5
        s = s if mask is None else s.masked_fill(~mask[:, :1], -1e30)
        return self.out((s.softmax(-1) @ v).transpose(1, 2).flatten(2))


MODULE = '''
import math

import torch
from torch import nn


class Attention(nn.Module):
    """Multi-head attention."""

    def __init__(self, d_model, num_heads):
        super().__init__()
        if d_model % num_heads:
            raise ValueError("d_model must be a multiple of num_heads")
        self.num_heads = num_heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        """Attend.

        Args:
            mask: {said}
        """
        layers = (self.q_proj, query), (self.k_proj, key), (self.v_proj, value)
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f, x in layers)
        s = q @ k.mT / math.sqrt(q.size(-1))
        if mask is not None:
            {code}
        return self.out_proj((s.softmax(-1) @ v).transpose(1, 2).flatten(2))
'''
INTEGERS, FLOATS = "mask_forms.integers_mean_what_bools_mean", "mask_forms.a_floating_mask_is_one_of_two_things"
HEADS, SHAPES = "mask_forms.each_head_has_its_own_mask", "mask_forms.broadcast_shapes_mean_the_same"
ADDED, GRADIENT = "biases.output_with_a_bias", "biases.gradient_of_the_bias"
ALONE = "biases.the_bias_alone_is_differentiated"
FILLED = "s = s.masked_fill({}, -1e30)"
NONZERO = "bool or integer (B, Tq, Tk), any nonzero entry may be attended, zero may not"
NUMBERS = "bool, integer or float (B, Tq, Tk), nonzero entries may be attended, zeros may not"
IGNORED = "bool, integer or float (B, Tq, Tk), nonzero entries are ignored, zeros are attended to"
ZERO_ONE = "integer (B, Tq, Tk), 1 may be attended, 0 may not"
SUM = "float (B, Tq, Tk), added to the scores"
OF_HEADS = "float (B, num_heads, Tq, Tk), added to the scores"
LISTED = "float (B, Tq, Tk), added to the scores, 0 where attention is allowed and -inf where it is not"
LEARNED = "float (B, H or 1, Tq, Tk), a bias that is added to the scores and may be learned"
BOOLS = "bool (B, H, Tq, Tk), True where a query may attend"
SHARED = "bool (B, H, Tq, Tk), True where a query may attend, the same for all heads"
MATRIX = "bool (Tq, Tk), True where a query may attend, for all samples"
GUESSED = """if mask.shape == (s.size(0), s.size(-1)):
                mask = mask[:, None, None]
            s = s.masked_fill(~mask, -1e30)"""

WRONG = [
    (INTEGERS, NONZERO, FILLED.format("(mask != 1).unsqueeze(1)")),
    (INTEGERS, NONZERO, FILLED.format("(mask <= 0).unsqueeze(1)")),
    (INTEGERS, NONZERO, "s = s + (1.0 - mask.to(s.dtype)).unsqueeze(1) * -1e9"),
    (INTEGERS, IGNORED, FILLED.format("(mask == 1).unsqueeze(1)")),
    (FLOATS, NUMBERS, FILLED.format("(mask.long() == 0).unsqueeze(1)")),
    (FLOATS, NUMBERS, FILLED.format("(mask < 0.5 if mask.is_floating_point() else mask == 0).unsqueeze(1)")),
    (FLOATS, IGNORED, FILLED.format("(mask == 1 if mask.is_floating_point() else mask != 0).unsqueeze(1)")),
    (ADDED, SUM, FILLED.format("(mask < 0).unsqueeze(1)")),
    (ADDED, SUM, "s = s + mask.clamp(max=0).unsqueeze(1)"),
    (ADDED, SUM, "s = s + mask.unsqueeze(1) / math.sqrt(q.size(-1))"),
    (ADDED, OF_HEADS, "s = s + mask[:, :1]"),
    (ALONE, SUM, "s = s + (mask if q.requires_grad else mask.detach()).unsqueeze(1)"),
    (GRADIENT, LEARNED, "s = s + mask.detach()"),
    (HEADS, BOOLS, FILLED.format("~mask[:, :1]")),
    (HEADS, BOOLS, FILLED.format("~mask.any(1, keepdim=True)")),
    (SHAPES, MATRIX, GUESSED),
]
RIGHT = [
    (NONZERO, FILLED.format("(mask == 0).unsqueeze(1)")),
    (NONZERO, "s = torch.where(mask.bool()[:, None], s, torch.full_like(s, -1e30))"),
    (ZERO_ONE, FILLED.format("(mask != 1).unsqueeze(1)")),
    (ZERO_ONE, "s = s + (1.0 - mask.to(s.dtype)).unsqueeze(1) * -1e9"),
    (NUMBERS, FILLED.format("(mask == 0).unsqueeze(1)")),
    (IGNORED, FILLED.format("mask.bool().unsqueeze(1)")),
    (NONZERO + ", or a float mask that is added", "s = s + mask.unsqueeze(1) if mask.is_floating_point() else "
     "s.masked_fill((mask == 0).unsqueeze(1), -1e30)"),
    (LISTED, FILLED.format("(mask < 0).unsqueeze(1)")),
    (SUM, "s = torch.add(s, mask.unsqueeze(1).clamp(min=torch.finfo(s.dtype).min))"),
    (SUM, "s = s + mask.detach().unsqueeze(1)"),
    (LEARNED, "s = s + mask"),
    (BOOLS, FILLED.format("~mask")),
    (SHARED, FILLED.format("~mask[:, :1]")),
    (MATRIX, FILLED.format("~mask")),
    ("bool (Tq, Tk) or (B, Tk), True where a query may attend", GUESSED),
]  # fmt: skip
NAN = {"fully_masked_row": "nan", "reason": "rows of -inf"}
ALL = (INTEGERS, FLOATS, HEADS, SHAPES, ADDED, GRADIENT, ALONE)


def outcomes_of(folder: Path, said: str, code: str, properties: tuple[str, ...]) -> dict[str, str]:
    file = folder / "attention.py"
    file.write_text(MODULE.format(said=said, code=code))
    found = verify(f"{file}:Attention", dtypes="float64", properties=properties, contract=NAN)
    return {p.id: p.outcome for p in found.properties}


@pytest.mark.parametrize(("identity", "said", "code"), WRONG)
def test_what_it_is_said_to_mean_it_must_mean(tmp_path: Path, identity: str, said: str, code: str) -> None:
    assert outcomes_of(tmp_path, said, code, (identity,)) == {identity: "fail"}


@pytest.mark.parametrize(("said", "code"), RIGHT)
def test_nothing_else_is_asked(tmp_path: Path, said: str, code: str) -> None:
    assert set(outcomes_of(tmp_path, said, code, ALL).values()) <= {"pass", "not-applicable"}
