"""Under widths = "apart" values are wider than queries, inputs wider than d_model: what merges into another width raises."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mhsa.bugs.diagnosis.match import compare
from mhsa.introspect.readings.fit import Fit
from mhsa.introspect.resolve import understand
from mhsa.records.errors import Question, SubjectError
from mhsa.records.request import Request
from mhsa.subject import check
from mhsa.subject.generic_inputs import generic_case
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial


def mixed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return heads [B, H, T, d_v]."""
    return torch.softmax(q @ k.mT / q.size(-1) ** 0.5, -1) @ v


def into_the_width_of_the_query(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.zeros_like(q) + mixed(q, k, v)


class OfAnInput(nn.Module):
    def __init__(self, input_dim, embed_dim, num_heads):
        super().__init__()
        self.num_heads, self.embed_dim = num_heads, embed_dim
        self.qkv_proj, self.o_proj = nn.Linear(input_dim, 3 * embed_dim), nn.Linear(embed_dim, embed_dim)

    def width(self, x):
        return self.embed_dim

    def forward(self, x):
        heads = self.qkv_proj(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        z = mixed(*heads.chunk(3, -1)).transpose(1, 2)
        return self.o_proj(z.reshape(*x.shape[:2], self.width(x)))


class MergedIntoTheInput(OfAnInput):
    def width(self, x):
        return x.size(-1)


class OfKeys(nn.Module):
    values_of = "vdim"

    def __init__(self, embed_dim, num_heads, kdim=None, vdim=None):
        super().__init__()
        self.num_heads = num_heads
        width = {"kdim": kdim or embed_dim, "vdim": vdim or embed_dim, "embed_dim": embed_dim}
        self.q_proj, self.out_proj = nn.Linear(embed_dim, embed_dim), nn.Linear(embed_dim, embed_dim)
        self.k_proj, self.v_proj = nn.Linear(width["kdim"], embed_dim), nn.Linear(width[self.values_of], embed_dim)

    def forward(self, query, key, value):
        pairs = ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f, x in pairs)
        return self.out_proj(mixed(q, k, v).transpose(1, 2).flatten(2))


class ValuesOfTheWrongWidth(OfKeys):
    values_of = "embed_dim"


class FromOneWidthToAnother(nn.Module):
    """Every input has the width d_in, and all else the width d_out."""

    def __init__(self, d_in, d_out, num_heads):
        super().__init__()
        self.num_heads, self.scale = num_heads, (self.scaled_by(d_in, d_out) / num_heads) ** -0.5
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(d_in, d_out) for _ in range(3))
        self.out_proj = nn.Linear(d_out, d_out)

    def scaled_by(self, d_in, d_out):
        return d_out

    def forward(self, query, key, value):
        pairs = ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f, x in pairs)
        return self.out_proj((torch.softmax(q @ k.mT * self.scale, -1) @ v).transpose(1, 2).flatten(2))


class ScaledByTheInput(FromOneWidthToAnother):
    def scaled_by(self, d_in, d_out):
        return d_in


class WidthAndThatOfTheOutput(FromOneWidthToAnother):
    def __init__(self, dim, out_dim, num_heads):
        super().__init__(dim, out_dim, num_heads)


class OutputOfTheInputsWidth(FromOneWidthToAnother):
    """What it adds to its input must have the same width."""

    def forward(self, query, key, value):
        return query - query + super().forward(query, key, value)


def understood(target: Any, **contract: Any) -> Subject:
    return understand(Request("a", "a:A", contract=contract), target=target)


@pytest.mark.parametrize("target", [mixed, OfAnInput, OfKeys])
def test_what_is_right_is_right_in_other_widths(target: Any) -> None:
    subject = understood(target, widths="apart")
    assert Fit().without_mask(subject)
    trial = Trial(subject, generic_case(subject))
    differentiated = trial.differentiate(trial.cotangent(1, trial.case.output_shape))
    for name, gradient in differentiated.observed.items():
        must = differentiated.expected[name]
        assert (abs(gradient - must.value) <= must.error).all(), name
    said = {"features more than", "one feature more than", "=d_model + 2"}
    assert any(words in part.text for part in subject.understood for words in said)


@pytest.mark.parametrize("target", [into_the_width_of_the_query, MergedIntoTheInput, ValuesOfTheWrongWidth])
def test_what_merges_into_another_width_is_wrong_only_where_that_is_declared(target: Callable[..., Any]) -> None:
    assert Fit().without_mask(understood(target))
    subject = understood(target, widths="apart")
    with pytest.raises(check.Violation):
        Trial(subject, generic_case(subject))()


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (OfAnInput, "input_dim=d_model + 2"),
        (OfKeys, "kdim=d_model + 2 and vdim=d_model + 2"),
        (FromOneWidthToAnother, "d_in=d_model + 2"),
        (ScaledByTheInput, "d_in=d_model + 2"),
        (WidthAndThatOfTheOutput, "dim=d_model + 2"),
    ],
)
def test_what_can_be_called_with_inputs_of_another_width_is_judged_so_without_a_declaration(target: Any, words: str) -> None:
    subject = understood(target)
    (switch,) = subject.switches
    assert switch.words == words
    assert Fit().without_mask(subject)
    assert Fit().without_mask(switch.of(subject)) == (target is not ScaledByTheInput)


@pytest.mark.parametrize("target", [MergedIntoTheInput, OutputOfTheInputsWidth])
def test_what_cannot_be_called_so_is_judged_with_one_width(target: Any) -> None:
    assert not understood(target).switches
    assert Fit().without_mask(understood(target))


def test_it_applies_to_nothing_where_no_width_of_an_input_is_named() -> None:
    class Plain(OfAnInput):
        def __init__(self, embed_dim, num_heads):
            super().__init__(embed_dim, embed_dim, num_heads)

    with pytest.raises(Question, match="no argument of a constructor is the width of an input"):
        understood(Plain, widths="apart")


def test_no_known_bug_has_values_of_another_width() -> None:
    with pytest.raises(SubjectError, match="values have 3 features a head, where its queries have 2"):
        compare(understood(mixed, widths="apart"))
