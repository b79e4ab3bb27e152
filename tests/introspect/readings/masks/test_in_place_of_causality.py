"""Modules that are causal without a mask, and leave that to a mask that is given: meant where it is written, else a bug."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mhsa.introspect.questions import load_under
from mhsa.introspect.readings.fit import fits
from mhsa.judge.verification import verify
from mhsa.records.contract import Contract
from mhsa.records.request import Request
from mhsa.subject.subject import Subject

DECLARED = {"causal": "top-left-without-mask"}


class Base(nn.Module):
    def __init__(self, d_model: int, num_heads: int) -> None:
        super().__init__()
        if d_model % num_heads:
            raise ValueError("the width is no multiple of the heads")
        self.num_heads = num_heads
        self.qkv, self.proj = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)

    def attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, dim=-1))
        scores = q @ k.mT * self.scale(q)
        below = torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device).tril()
        weights = scores.masked_fill(~(below if mask is None else mask), -torch.inf).softmax(-1).nan_to_num()
        return self.proj((weights @ v).transpose(1, 2).flatten(2))

    def scale(self, q: Tensor) -> float:
        return q.size(-1) ** -0.5


class MustBeGiven(Base):
    def forward(self, x: Tensor, attn_mask: Tensor | None) -> Tensor:
        return self.attend(x, attn_mask)


class SaysIt(Base):
    def forward(self, x: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        """Attend.

        Args:
            x: [B, T, d_model].
            attn_mask: [B, 1, T, T], True where attention is allowed. It has to hide future tokens, too.
        """
        return self.attend(x, attn_mask)


class SaysNothing(Base):
    def forward(self, x: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        return self.attend(x, attn_mask)


class Both(Base):
    def forward(self, x: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        later = torch.ones(x.size(1), x.size(1), dtype=torch.bool, device=x.device).tril()
        return self.attend(x, later if attn_mask is None else later & attn_mask)


class MustBeGivenScaledByTheWidth(MustBeGiven):
    def scale(self, q: Tensor) -> float:
        return (q.size(-1) * self.num_heads) ** -0.5


class OfPadding(Base):
    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        return self.attend(x, None if key_padding_mask is None else ~key_padding_mask[:, None, None])


def asked(name: str) -> tuple[str, dict[str, object]]:
    loaded = load_under(Request("a", f"{__file__}:{name}"))
    assert loaded.question is not None
    return str(loaded.question), dict(loaded.question.declaration)


@pytest.mark.parametrize("name", ["MustBeGiven", "SaysIt"])
def test_where_it_is_meant_the_question_says_so_and_all_holds_under_it(name: str) -> None:
    words, declaration = asked(name)
    assert "which has to hide later keys, too" in words
    assert declaration == DECLARED
    found = verify(f"{__file__}:{name}", contract=DECLARED, properties=["oracle.*", "causality.*", "masks.*"])
    assert found.verdict == "holds", found
    masked = next(p for p in found.properties if p.id == "oracle.output_under_masks")
    assert masked.outcome == "pass"


def test_else_it_is_causality_that_is_lost_and_the_question_names_the_other_way() -> None:
    words, declaration = asked("SaysNothing")
    assert declaration == {"causal": "top-left"}
    assert 'declare causal = "top-left-without-mask" instead' in words
    spec = f"{__file__}:SaysNothing"
    assert verify(spec, contract=declaration, properties="oracle.*").verdict == "violated"
    assert verify(spec, contract=DECLARED, properties="oracle.*").verdict == "holds"


def test_one_that_is_causal_under_masks_is_declared_without_a_word_of_it() -> None:
    words, declaration = asked("Both")
    assert declaration == {"causal": "top-left"}
    assert "with a mask" not in words


def test_masks_of_padding_cannot_stand_in_for_it() -> None:
    assert asked("OfPadding")[1] == {"causal": "top-left"}
    found = verify(f"{__file__}:OfPadding", contract=DECLARED, properties="oracle.*")
    assert found.verdict == "question"
    assert "its masks are the same for every query, and cannot hide the later keys of each" in found.reason


def test_a_bug_next_to_it_is_violated_under_the_declaration() -> None:
    spec = f"{__file__}:MustBeGivenScaledByTheWidth"
    assert verify(spec, contract=DECLARED, properties="oracle.*").verdict == "violated"


def test_a_mask_is_given_with_what_causality_hides_in_it() -> None:
    loaded = load_under(Request("a", f"{__file__}:MustBeGiven", contract=DECLARED))
    assert isinstance(loaded.subject, Subject)
    assert fits(loaded.subject)
    given = loaded.subject.caller.convert(torch.ones(2, 3, 3, dtype=torch.bool), torch.float64)
    assert torch.equal(given.reshape(-1, 3, 3)[0], torch.ones(3, 3, dtype=torch.bool).tril())


def test_the_formula_is_that_of_causal_attention() -> None:
    assert Contract(causal="bottom-right-without-mask").formula == replace(Contract().formula, causal="bottom-right")


def test_a_function_of_torch_with_a_switch_is_left_as_it_is() -> None:
    """is_causal next to a mask raises there: nothing stands in for anything."""
    found = verify(functional.scaled_dot_product_attention, properties="oracle.output_under_masks")
    assert found.verdict == "holds"
