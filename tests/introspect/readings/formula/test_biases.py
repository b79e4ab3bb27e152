"""A declared bias: its argument is found by name, its form by calling, and what is not understood is a question."""

from pathlib import Path

import pytest
import torch
from torch import nn

from mhsa.introspect.questions import load_under
from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.subject.subject import Subject
from tests.helpers.model_file import model_file

NAN = {"fully_masked_row": "nan", "reason": "softmax over -inf alone"}
MODEL = """
import torch
from torch import nn


class Optional(nn.Module):
    def __init__(self, dim, num_heads):
        super().__init__()
        self.h = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))

    def scores(self, q, k, bias):
        return q @ k.mT / q.size(-1) ** 0.5 + (0 if bias is None else bias)

    def forward(self, query, key, value, mask=None, attn_bias=None):
        pairs = ((self.q, query), (self.k, key), (self.v, value))
        q, k, v = (f(x).unflatten(-1, (self.h, -1)).transpose(1, 2) for f, x in pairs)
        s = self.scores(q, k, attn_bias)
        if mask is not None:
            s = s.masked_fill(~mask[:, None], -1e9)
        return self.o((s.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Needed(Optional):
    def forward(self, query, key, value, position_bias):
        return super().forward(query, key, value, None, position_bias)


class NeededOrNone(Optional):
    def forward(self, query, key, value, position_bias: torch.Tensor | None):
        return super().forward(query, key, value, None, position_bias)


class OfHeads(Optional):
    def scores(self, q, k, bias):
        if bias is not None and bias.dim() != 3:
            raise ValueError("bias is [H, Tq, Tk]")
        return super().scores(q, k, bias)


class InsteadOfTheScores(Optional):
    def scores(self, q, k, bias):
        return super().scores(q, k, None) if bias is None else bias.expand(q.size(0), self.h, -1, -1)


class Unread(Optional):
    def scores(self, q, k, bias):
        return super().scores(q, k, None)


class OfEdges(Optional):
    def scores(self, q, k, bias):  # [B, Tq, Tk, H]
        return super().scores(q, k, None if bias is None else bias.movedim(-1, 1)[:, : self.h])

    def forward(self, query, key, value, mask=None, attn_bias=None):
        if attn_bias is not None and attn_bias.shape != (len(query), query.size(1), key.size(1), self.h):
            raise ValueError("attn_bias is [B, Tq, Tk, H]")
        return super().forward(query, key, value, mask, attn_bias)


class OneSampleOnly(Optional):
    def scores(self, q, k, bias):
        return super().scores(q, k, None if bias is None else bias[:1])


class Additive(Optional):
    def forward(self, x, mask=None):
        return super().forward(x, x, x, None, None if mask is None else mask)


class Without(Optional):
    def forward(self, x):
        return super().forward(x, x, x)


def function(query, key, value, mask=None, bias=None):
    s = query @ key.mT / query.size(-1) ** 0.5 + (0 if bias is None else bias)
    return (s if mask is None else s.masked_fill(~mask, -1e9)).softmax(-1) @ value
"""
file = model_file(MODEL, "biased_model.py")


def of(file: Path, name: str, **contract: str) -> Subject:
    return understand(Request("a", f"{file}:{name}", contract={"bias": "given"} | contract))


@pytest.mark.parametrize(
    ("name", "shape", "kinds", "in_mask"),
    [
        ("Optional", "[B, H, Tq, Tk]", 4, False),
        ("Needed", "[B, H, Tq, Tk]", 4, False),
        ("NeededOrNone", "[B, H, Tq, Tk]", 4, False),
        ("OfHeads", "[H, Tq, Tk]", 1, False),
        ("OneSampleOnly", "[B, H, Tq, Tk]", 4, False),  # a bug: it takes every kind
        ("function", "[B, H, Tq, Tk]", 4, False),
    ],
)
def test_the_form_is_found(file: Path, name: str, shape: str, kinds: int, in_mask: bool) -> None:
    subject = of(file, name)
    form = subject.caller.bias_form
    assert form is not None
    assert (form.shape, len(form.kinds), form.in_mask) == (shape, kinds, in_mask)
    assert not any("bias" in words for words in subject.not_judged)
    assert any(topic == "bias" and shape in text for topic, text in subject.notes)


def test_an_additive_mask_is_a_bias(file: Path) -> None:
    form = of(file, "Additive", mask="additive", mask_shape="[B, 1, Tq, Tk]", **NAN).caller.bias_form
    assert form is not None
    assert form.in_mask
    torchs = understand(Request("a", "torch.nn:MultiheadAttention", contract={"bias": "given"})).caller.bias_form
    assert torchs is not None
    assert (torchs.in_mask, torchs.kinds) == (True, ("samples",))


def test_without_a_declaration_the_name_says_what_it_is(file: Path) -> None:
    for name in ("Optional", "OneSampleOnly"):
        subject = understand(f"{file}:{name}")
        assert subject.caller.bias_form is not None
        assert "argument attn_bias" not in subject.not_judged
        said = {part.part: (part.known, part.declaration) for part in subject.understood}
        assert said["bias"] == ("named", {"bias": "given"})
        assert said["formula"] == ("named", {})
    assert understand(f"{file}:Optional").masks == of(file, "Optional").masks
    bugs = verify(f"{file}:OneSampleOnly", dtypes="float64", properties="oracle.*")
    assert bugs.verdict == "violated"


@pytest.mark.parametrize("name", ["InsteadOfTheScores", "Unread"])
def test_one_that_is_not_added_to_the_scores_is_asked_about(file: Path, name: str) -> None:
    with pytest.raises(Question, match="attn_bias is a bias of the scores by its name") as asked:
        understand(f"{file}:{name}")
    assert asked.value.declaration == {"bias": "given"}
    assert verify(f"{file}:{name}", contract={"bias": "given"}, dtypes="float64", properties="oracle.*").verdict == "violated"
    accepted = understand(Request("a", f"{file}:{name}", not_judged=("argument attn_bias",)))
    assert accepted.caller.bias_form is None
    assert "argument attn_bias" in accepted.not_judged


def test_one_of_a_form_that_is_not_known_is_left_out(file: Path) -> None:
    subject = understand(f"{file}:OfEdges")
    assert subject.caller.bias_form is None
    assert "argument attn_bias" in subject.not_judged


def test_a_bias_that_must_be_given_and_may_be_none(file: Path) -> None:
    left = understand(Request("a", f"{file}:NeededOrNone", not_judged=("argument position_bias",)))
    assert dict(left.notes)["call"].startswith("forward(query, key, value, position_bias=None)")
    for subject in (of(file, "NeededOrNone"), understand(f"{file}:NeededOrNone")):
        assert dict(subject.notes)["call"].startswith("forward(query, key, value, position_bias=bias)")


def test_a_bias_that_is_needed_is_asked_about(file: Path) -> None:
    loaded = load_under(Request("a", f"{file}:Needed"))
    assert loaded.question is not None
    assert loaded.question.declaration == {"bias": "given"}
    assert isinstance(loaded.subject, Subject)


def test_a_bias_that_is_not_taken_is_a_question(file: Path) -> None:
    with pytest.raises(Question, match='bias = "given" is declared, but applies to nothing: it has no argument for one'):
        of(file, "Without")


def test_an_adapter_says_that_it_takes_one() -> None:
    import mhsa

    class Mine(mhsa.Adapter):
        contract = mhsa.Contract(bias="given", mask="allowed")
        takes_bias = True

        def build(self, head: int, d_model: int) -> nn.Module:
            return mhsa.MultiHeadAttention(head, d_model)

        def call(self, module, query, key, value, mask, bias=None):
            if bias is None:
                return module(query, key, value, mask)
            mask = None if mask is None else mask[:, None]
            z = torch.nn.functional.scaled_dot_product_attention(
                *module._heads(query, key, value),
                attn_mask=bias if mask is None else torch.where(mask, bias, -torch.inf),
            )
            return module.linear_out(z.transpose(1, 2).flatten(2))

    form = understand(Request("a", "a"), target=Mine).caller.bias_form
    assert form is not None
    assert len(form.kinds) == 4
